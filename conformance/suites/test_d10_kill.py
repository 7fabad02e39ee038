"""Diagram 10 and 6: processes are killed (kill -9) under load, one role or all of them, and started again on the same data.

Shared memory and page cache outlive a killed process, so nothing that was acknowledged may be missing, in any mode.
"""

from __future__ import annotations

import random
import time

import pytest

from matchmark.conformance.checks import audit_ledger as ledgers
from matchmark.conformance.checks.audit_ledger import Breach
from matchmark.conformance.checks.audit_steps import Step
from matchmark.conformance.hooks import HookFailed, waited
from matchmark.conformance.lab import Lab
from matchmark.conformance.lab_fixtures import judge, violate
from matchmark.conformance.lab_load import Load
from matchmark.conformance.suites._durability import (
    AFTER_A_CRASH,
    Desk,
    instruments,
    read_steps,
    structure,
    survived,
)

pytestmark = pytest.mark.needs("audit_log", "restart")

ROLES = ("engine", "writer", "gateway")
EXAMPLES_PER_KILL = 400
"""Of the run's examples; at least one kill."""
BETWEEN_KILLS = 40
"""Orders of the load."""
RECOVERY_KILLS = 4


def kills_of(request: pytest.FixtureRequest) -> int:
    return 1 + int(request.config.getoption("--examples")) // EXAMPLES_PER_KILL


def bring_back(lab: Lab, role: str, pid: int) -> None:
    """The role's supervisor starts it again; where nobody does, the exchange is ended and started as a whole."""
    if not lab.wait_role(role, pid):
        lab.kill("all")
        lab.restart()


@pytest.mark.clause("D10.X1", "D10.X2", "D06.X4")
def test_a_killed_role_loses_nothing_acknowledged_and_leaves_no_hole(lab: Lab, request: pytest.FixtureRequest) -> None:
    lab.start()
    seed = request.config.getoption("--hypothesis-seed", None)
    chance = random.Random(f"kills {seed}")
    with Load(lab, lab.accounts[:3], "kill-") as load:
        for role in ROLES * kills_of(request):
            load.wait_sent(chance.randint(BETWEEN_KILLS // 2, 2 * BETWEEN_KILLS))
            bring_back(lab, role, lab.kill(role))
        load.wait_sent(BETWEEN_KILLS)
        load.stop()
        answered = load.settle()
    lab.stop()
    _, logged, faults = read_steps(lab)
    judge(lab, faults, survived(lab, lab.ledger, logged, "D10.X1", "engine, writer and gateway were killed", "D10.X1"))
    if answered:
        judge(lab, ledgers.told_as_logged(lab.ledger, logged, instruments(lab), "D10.X1", complete=True))


@pytest.mark.clause("D10.X1", "D10.X2", "D10.X12", "D06.X4")
@pytest.mark.needs("fix")
def test_after_everything_was_killed_the_exchange_goes_on_where_it_was(lab: Lab) -> None:
    """Open orders keep their places, used ClOrdIDs stay used, ids and numbers go on, nothing is executed again."""
    lab.start()
    first, second = Desk(lab, lab.accounts[3]), Desk(lab, lab.accounts[4])
    queue = [first.order("sell", 3, 0, n=7), second.order("sell", 4, 0, n=7), first.order("sell", 5, 0, n=7)]
    better = second.order("sell", 2, -1, n=7)
    half = first.order("buy", 1, -1, n=7)  # a fill that must not come again
    with Load(lab, lab.accounts[:2], "all-") as load:
        load.wait_sent(3 * BETWEEN_KILLS)
        lab.kill("all")
        load.stop()
        before, recovered, faults = lab.ledger, read_steps(lab)[1], read_steps(lab)[2]
        judge(
            lab,
            faults,
            ledgers.no_hole(before, recovered, "D10.X2"),
            ledgers.nothing_invented(before, recovered, "D06.X4"),
        )
        lab.restart()
        load.settle()
    _goes_on(lab, queue, better, half)
    lab.stop()
    _, logged, faults = read_steps(lab)
    judge(lab, faults, survived(lab, lab.ledger, logged, "D10.X1", "everything was killed", "D10.X12"))


def _goes_on(lab: Lab, queue: list[str], better: str, half: str) -> None:
    """Looks at a restarted exchange from outside: the book by sweeping it, ClOrdIDs by using one again."""
    told_before = [r for reports in lab.ledger.reports.values() for r in reports if not r.refusal]
    ids = {r.order_id for r in told_before if r.exec_type == "0"}
    executions = {r.exec_id for r in told_before}
    desk = Desk(lab, lab.accounts[5], "after.")
    again = Desk(lab, lab.accounts[3], "again.")
    again.order("sell", 9, 5, n=7, cl=queue[0], wait=False)
    answer = again.answer(queue[0])
    if answer.get(150) != "8":
        text = f"ClOrdID {queue[0]} was used before the restart, and an order that used it again was not refused"
        violate(lab, Breach("D10.X12", text, ("35=8 150=8",), (str(answer),), frozenset((queue[0],))))
    sweep = desk.order("buy", 13, 0, n=7)
    waited(lambda: not desk.client.poll(0.2), 5.0)
    step = next((s for s in _steps_when_logged(lab, sweep) if s.cl == sweep), None)
    met = [(e.other, e.quantity) for e in step.events if e.other] if step else []
    due = [(better, 1), (queue[0], 3), (queue[1], 4), (queue[2], 5)]
    if met != due:
        text = "after the restart the book is another: a sweep of it met other orders, or in another order"
        violate(
            lab,
            Breach(
                "D10.X12", text, tuple(map(str, due)), tuple(map(str, met)), frozenset((sweep, *queue, better, half))
            ),
        )
    told = lab.ledger.entries[sweep].reports
    if not told or told[0].order_id in ids:
        text = f"the first order after the restart has an order id that was given before: {told[0].order_id if told else 'none'}"
        violate(lab, Breach("D10.X12", text, about=frozenset((sweep,))))
    if told[0].exec_id in executions:
        text = f"the first execution id after the restart was given before: {told[0].exec_id}"
        violate(lab, Breach("D10.X12", text, about=frozenset((sweep,))))


def _steps_when_logged(lab: Lab, cl: str) -> list[Step]:
    lab.wait_logged({cl})
    return read_steps(lab)[1]


@pytest.mark.clause("D10.4")
def test_records_reach_the_log_with_no_further_order_and_with_the_engine_dead(lab: Lab) -> None:
    lab.start()
    desk = Desk(lab, lab.accounts[0])
    alone = desk.order("buy", 1, -3)
    if not lab.wait_logged({alone}):
        violate(
            lab, Breach("D10.4", "an order that none followed did not reach the log", (alone,), (), frozenset((alone,)))
        )
    last = [desk.order("buy", 1, -3, wait=False) for _ in range(50)]
    desk.answer(last[0])
    pid = lab.kill("engine")
    acknowledged = set(lab.ledger.acknowledged)
    if not lab.wait_logged(acknowledged):
        missing = sorted(acknowledged - {s.cl for s in read_steps(lab)[1]})
        text = "the engine died after it had acknowledged orders, and their records did not reach the log"
        violate(lab, Breach("D10.4", text, tuple(missing[:5]), (), frozenset(missing[:5])))
    bring_back(lab, "engine", pid)


@pytest.mark.clause("D06.X11")
def test_killed_again_and_again_while_it_recovers_it_loses_and_doubles_nothing(lab: Lab) -> None:
    began = time.monotonic()
    lab.start()
    start_s = time.monotonic() - began
    chance = random.Random(11)
    with Load(lab, lab.accounts[:3], "again-") as load:
        load.wait_sent(3 * BETWEEN_KILLS)
        for n in range(RECOVERY_KILLS):
            lab.kill("all")
            _start_and_kill(lab, start_s * chance.uniform(0.1, 1.0 - 0.1 * n))
        lab.kill("all")
        try:
            lab.restart()
        except HookFailed as error:
            violate(
                lab, Breach("D06.X11", f"killed {RECOVERY_KILLS} times as it started, it does not recover: {error}")
            )
        for role in ("engine", "writer"):
            for _ in range(2):  # as soon as its successor is there, that is killed as well
                pid = lab.kill(role)
                waited(lambda role=role, pid=pid: lab.instance.pid_of(role) != pid, 10.0)  # type: ignore[misc]
        bring_back(lab, "engine", 0)
        load.wait_sent(BETWEEN_KILLS)
        load.stop()
        load.settle()
    lab.stop()
    _, logged, faults = read_steps(lab)
    judge(lab, faults, survived(lab, lab.ledger, logged, "D06.X11", "killed while it recovered", "D06.X11"))


def _start_and_kill(lab: Lab, after_s: float) -> None:
    """A start that is killed in the middle, wherever that is."""
    lab.instance.launch()
    time.sleep(after_s)


@pytest.mark.clause("D10.X11")
def test_the_log_goes_on_in_the_next_file_over_a_crash_at_that_moment(lab: Lab) -> None:
    lab.start()
    with Load(lab, lab.accounts[:3], "rotate-", burst=20) as load:
        for role in ("writer", "all"):
            files = len(_log_names(lab))
            if not waited(lambda files=files: len(_log_names(lab)) > files or load.error is not None, 60.0):  # type: ignore[misc]
                pytest.skip(
                    "the log did not go on in another file within a minute: give the profile's lab_start smaller files"
                )
            pid = lab.kill(role)
            try:
                lab.restart() if role == "all" else bring_back(lab, role, pid)
            except HookFailed as error:
                violate(lab, Breach("D10.X11", f"killed ({role}) as a file began, it does not start again: {error}"))
        load.wait_sent(BETWEEN_KILLS)
        load.stop()
        load.settle()
    lab.stop()
    log, logged, _ = read_steps(lab)
    clauses = dict.fromkeys(AFTER_A_CRASH, "D10.X11")
    judge(lab, structure(log, clauses), ledgers.nothing_lost(lab.ledger, logged, "D10.X11", "killed as a file began"))


def _log_names(lab: Lab) -> list[str]:
    return [p.name for p in lab.log_dir.iterdir() if p.name.endswith(".log")]
