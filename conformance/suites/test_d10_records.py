"""Diagram 10, steps 1 to 7, and the log's part in diagrams 1 to 4: what the records say against what the clients were told.

One lab is run for all of it: scenes whose records are known in advance, then a load on three sessions; it is stopped cleanly and
its log is read once. Where the machine has a disk that keeps a journal of its calls, the writer's calls are judged too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from matchmark.chaos.faults.disk_rules import Call
from matchmark.chaos.faults.mounting import cannot_mount
from matchmark.conformance.checks import audit_ledger as ledgers
from matchmark.conformance.checks.audit_calls import Batches, holes, unflushed
from matchmark.conformance.checks.audit_format import Happened, Op
from matchmark.conformance.checks.audit_ledger import Breach
from matchmark.conformance.checks.audit_replay import replay
from matchmark.conformance.checks.audit_steps import Event, Step, steps
from matchmark.conformance.checks.audit_structure import AuditLog, FaultKind
from matchmark.conformance.lab import Lab
from matchmark.conformance.lab_fixtures import MakeLab, judge, violate
from matchmark.conformance.lab_load import Load, middle_ticks
from matchmark.conformance.ledger import Ledger
from matchmark.conformance.plugin import CERTIFICATION
from matchmark.conformance.suites._durability import CLEAN_RUN, Desk, instruments, structure
from matchmark.conformance.verdict import Verdict

pytestmark = pytest.mark.needs("audit_log")

MARKET, PARTIAL, CANCELS = 4, 5, 6
"""Symbols of the scenes; the load trades in others."""
SINGLES = 10
LOAD_PER_EXAMPLE = 0.6
"""Orders of the load for each example that the run asks for."""


@dataclass
class Recorded:
    """`scene` has the ClOrdIDs of the scenes by what they are; `calls` is what the disk was asked, None without such a disk."""

    lab: Lab
    ledger: Ledger
    log: AuditLog
    steps: list[Step]
    scene: dict[str, str]
    calls: list[Call] | None

    def step(self, name: str) -> Step | None:
        return next((s for s in self.steps if s.cl == self.scene[name]), None)


RECORDED = pytest.StashKey[Recorded]()


@pytest.fixture
def recorded(request: pytest.FixtureRequest, make_lab: MakeLab) -> Recorded:
    if RECORDED not in request.config.stash:
        lab = make_lab(on_disk=cannot_mount() is None)
        request.config.stash[RECORDED] = _record(lab, request.config.getoption("--examples"), _seed(request.config))
    return request.config.stash[RECORDED]


def _seed(config: pytest.Config) -> str:
    return str(config.getoption("--hypothesis-seed", None) or 0)


def _record(lab: Lab, examples: int, seed: str) -> Recorded:
    lab.start()
    scene = _play(lab)
    with Load(lab, lab.accounts[:3], f"load{seed}") as load:
        load.wait_sent(max(150, round(examples * LOAD_PER_EXAMPLE)))
        load.stop()
        load.settle()
    lab.stop()
    log = lab.read_log()
    calls = lab.disk.journal() if lab.disk else None
    if calls is not None and lab.disk:
        under = lab.disk.place(lab.log_dir)
        calls = [call for call in calls if call.path.startswith(under)]
    return Recorded(lab, lab.ledger, log, steps(log.records), scene, calls)


def _play(lab: Lab) -> dict[str, str]:
    """The scenes of diagrams 2, 3 and 4, and some orders that come alone."""
    a, b = Desk(lab, lab.accounts[0]), Desk(lab, lab.accounts[1])
    scene = {f"m{n}": b.order("sell", 100 * n, n, MARKET) for n in (1, 2, 3)}
    scene["market"] = a.order("buy", 450, None, MARKET)
    scene |= {f"p{n}": b.order("sell", 10 * n, n, PARTIAL) for n in (1, 2, 3)}
    scene["partial"] = a.order("buy", 100, 9, PARTIAL)
    scene["target"] = a.order("buy", 10, 0, CANCELS)
    scene["taker"] = b.order("sell", 4, 0, CANCELS)
    scene["cancel"] = a.cancel(scene["target"], "buy", CANCELS)
    scene["too_late"] = a.cancel(scene["target"], "buy", CANCELS)
    scene["unknown"] = a.cancel("neversent", "buy", CANCELS)
    scene["other"] = a.order("buy", 3, -5, CANCELS)
    scene["foreign"] = b.cancel(scene["other"], "buy", CANCELS)
    for _ in range(SINGLES):
        a.order("buy", 1, -9, CANCELS)
    return scene


def _run_of(step: Step | None, name: str, r: Recorded, clause: str) -> Step:
    if step is None:
        violate(r.lab, Breach(clause, f"the log has no record of {r.scene[name]}", about=frozenset((r.scene[name],))))
    return step


def _expect_run(r: Recorded, name: str, clause: str, what: str, expected: list[tuple[object, ...]]) -> None:
    """The whole run of a command's events, each as (what, other order, price in ticks from the middle, quantity, leaves, cum)."""
    step = _run_of(r.step(name), name, r, clause)
    middle = middle_ticks(r.lab)
    logged = [_words(e, middle) for e in step.events]
    numbers = [e.sequence for e in step.events]
    if logged != expected or numbers != list(range(step.sequence + 1, step.sequence + 1 + len(numbers))):
        shown = tuple(" ".join(map(str, e)) for e in expected), tuple(" ".join(map(str, e)) for e in logged)
        violate(r.lab, Breach(clause, f"{what} is not in the log as one run of records", *shown, frozenset((step.cl,))))


def _words(e: Event, middle: int) -> tuple[object, ...]:
    if e.what is Happened.TRADE:
        return ("trade", e.other, e.price - middle, e.quantity, e.leaves, e.cum)
    if e.what is Happened.CANCELLED:
        return ("cancelled", e.cl, e.quantity, e.cum)
    return (e.what.name.lower(), e.cl)


@pytest.mark.clause("D10.1")
def test_each_command_leaves_its_record_and_one_of_each_event_in_the_documented_format(recorded: Recorded) -> None:
    r = recorded
    numbered = {**CLEAN_RUN, FaultKind.SEQUENCE: "D10.1"}  # consecutive numbers are part of the format
    judge(r.lab, structure(r.log, numbered), ledgers.as_sent(r.ledger, r.steps, instruments(r.lab), "D10.1"))
    if r.log.torn or r.log.whole_commands != len(r.log.records):
        violate(
            r.lab,
            Breach("D10.1", f"after a clean stop the log ends in the middle of a command or of a record: {r.log.torn}"),
        )


@pytest.mark.clause("D10.2")
def test_under_load_every_record_is_there_whole_and_once(recorded: Recorded) -> None:
    r = recorded
    judge(
        r.lab,
        structure(r.log, CLEAN_RUN),
        ledgers.nothing_lost(r.ledger, r.steps, "D10.2", "under load"),
        ledgers.nothing_invented(r.ledger, r.steps, "D10.2"),
        ledgers.nothing_twice(r.ledger, r.steps, "D10.2"),
        ledgers.told_as_logged(r.ledger, r.steps, instruments(r.lab), "D10.2", complete=True),
    )


@pytest.mark.clause("D01.7")
@pytest.mark.needs("limit")
def test_every_accepted_order_is_in_the_log_in_the_engines_sequence_with_its_events(recorded: Recorded) -> None:
    r = recorded
    judge(
        r.lab,
        ledgers.nothing_lost(r.ledger, r.steps, "D01.7", "no fault"),
        ledgers.in_order(r.ledger, r.steps, "D01.7"),
        ledgers.told_as_logged(r.ledger, r.steps, instruments(r.lab), "D01.7", complete=True),
    )


@pytest.mark.clause("D02.7")
@pytest.mark.needs("market")
def test_a_market_order_is_followed_by_each_of_its_executions(recorded: Recorded) -> None:
    scene = recorded.scene
    trades: list[tuple[object, ...]] = [
        ("trade", scene["m1"], 1, 100, 350, 100),
        ("trade", scene["m2"], 2, 200, 150, 300),
        ("trade", scene["m3"], 3, 150, 0, 450),
    ]
    expected = [("accepted", scene["market"]), *trades]
    _expect_run(recorded, "market", "D02.7", "the market order with its three executions", expected)
    parties = {scene[name] for name in ("market", "m1", "m2", "m3")}
    told = ledgers.told_as_logged(recorded.ledger, recorded.steps, instruments(recorded.lab), "D02.7", complete=True)
    judge(recorded.lab, (breach for breach in told if breach.about & parties))


@pytest.mark.clause("D03.N2")
@pytest.mark.needs("limit")
def test_a_partial_fill_is_one_run_of_records_up_to_the_resting_remainder(recorded: Recorded) -> None:
    scene = recorded.scene
    trades: list[tuple[object, ...]] = [
        ("trade", scene["p1"], 1, 10, 90, 10),
        ("trade", scene["p2"], 2, 20, 70, 30),
        ("trade", scene["p3"], 3, 30, 40, 60),
    ]
    expected = [("accepted", scene["partial"]), *trades]
    _expect_run(recorded, "partial", "D03.N2", "the order, its three executions and its remainder of 40", expected)


@pytest.mark.clause("D04.7")
@pytest.mark.needs("cancel")
def test_every_cancel_is_in_its_place_with_its_outcome_refused_ones_too(recorded: Recorded) -> None:
    r, scene = recorded, recorded.scene
    _expect_run(r, "cancel", "D04.7", "the cancel of a partly filled order", [("cancelled", scene["target"], 6, 4)])
    for name in ("too_late", "unknown", "foreign"):
        step = _run_of(r.step(name), name, r, "D04.7")
        if step.op is not Op.CANCEL or [e.what for e in step.events] != [Happened.CANCEL_REJECTED]:
            told = tuple(e.what.name.lower() for e in step.events)
            text = f"the cancel {step.cl} ({name.replace('_', ' ')}) was refused, and the log has another outcome"
            violate(r.lab, Breach("D04.7", text, ("cancel_rejected",), told, frozenset((step.cl,))))
    judge(r.lab, ledgers.in_order(r.ledger, r.steps, "D04.7"))


@pytest.mark.clause("D10.X7")
def test_a_replay_of_the_commands_makes_the_logged_events(recorded: Recorded) -> None:
    difference = replay(recorded.steps)
    if difference is not None:
        text = f"record {difference.sequence}: {difference.text}"
        violate(recorded.lab, Breach("D10.X7", text, difference.expected, difference.logged))


# --- the writer's calls ---


@pytest.fixture
def batches(recorded: Recorded, request: pytest.FixtureRequest) -> Batches:
    if recorded.calls is None:
        reason = f"the writer's calls cannot be seen on this machine: {cannot_mount()}"
        request.config.stash[CERTIFICATION].note(request.node, Verdict.INCONCLUSIVE, reason)
        pytest.skip(reason)
    return Batches(recorded.log, recorded.calls)


@pytest.mark.clause("D10.6")
def test_each_batch_is_written_behind_the_one_before_it(recorded: Recorded, batches: Batches) -> None:
    _judge_calls(recorded, "D10.6", holes(batches.calls))


@pytest.mark.clause("D10.7")
def test_each_batch_is_flushed_before_the_next_is_written(recorded: Recorded, batches: Batches) -> None:
    _judge_calls(recorded, "D10.7", unflushed(batches.calls))


@pytest.mark.clause("D10.5")
def test_a_batch_has_at_most_a_thousand_records_and_a_single_record_is_not_kept(
    recorded: Recorded, batches: Batches
) -> None:
    _judge_calls(recorded, "D10.5", batches.too_large())


@pytest.mark.clause("D10.N3")
def test_there_is_one_write_and_one_flush_for_a_batch(recorded: Recorded, batches: Batches) -> None:
    _judge_calls(recorded, "D10.N3", batches.more_calls_than_batches())


def _judge_calls(r: Recorded, clause: str, faults: Sequence[str]) -> None:
    if faults:
        violate(r.lab, Breach(clause, faults[0], (), tuple(faults[:5])))
