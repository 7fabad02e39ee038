"""Diagrams 6 and 11: the primary is killed under load, again and again, and each time its standby goes on.

Shared memory outlives a kill, so nothing acknowledged may be missing in any mode; where the mode says so, not even when the
memory is lost with it.
"""

from __future__ import annotations

import random
import time

import pytest

from matchmark.conformance.checks import audit_ledger as ledgers
from matchmark.conformance.checks.audit_ledger import Breach
from matchmark.conformance.lab_fixtures import judge, violate
from matchmark.conformance.lab_load import Load
from matchmark.conformance.pair_lab import PairLab
from matchmark.conformance.plugin import CERTIFICATION
from matchmark.conformance.suites._availability import alerted, heard, judged_log, same_log, taken_over
from matchmark.conformance.suites._durability import Desk, instruments
from matchmark.conformance.verdict import Verdict

pytestmark = pytest.mark.needs("standby", "audit_log")

FAILOVERS = 3
EXAMPLES_PER_FAILOVER = 100
"""Of the run's examples, beyond the first three."""
BETWEEN = 60
"""Orders of the load."""
LATE = 0.75
"""Of a heartbeat: so late it may be without being missed."""
S = 1_000_000_000


def failovers_of(request: pytest.FixtureRequest) -> int:
    return FAILOVERS + int(request.config.getoption("--examples")) // EXAMPLES_PER_FAILOVER


@pytest.mark.clause(
    "D06.1", "D06.2", "D06.4", "D06.5", "D06.7", "D06.8", "D06.9", "D06.X2", "D06.X6", "D06.P3", "D11.3", "D11.10",
    "D11.X2", "D11.P2",
)  # fmt: skip
@pytest.mark.needs("fix")
def test_kill_after_kill_under_load_nothing_acknowledged_is_lost(pair: PairLab, request: pytest.FixtureRequest) -> None:
    chance = random.Random(f"failovers {request.config.getoption('--hypothesis-seed', None)}")
    epochs, firsts, outages = [pair.epoch()], [], []
    with Load(pair, pair.accounts[:3], "fail-", burst=20) as load:
        for n in range(failovers_of(request)):
            dead, heir = pair.primary, pair.standby
            load.wait_sent(chance.randint(BETWEEN // 2, 2 * BETWEEN))
            time.sleep(chance.uniform(0, 0.02))
            killed_ns = time.perf_counter_ns()
            pair.kill(dead)
            taken_over(pair, heir, "D06.4" if n == 0 else "D11.X2")
            epochs.append(pair.epoch())
            desk = Desk(pair, pair.accounts[4], f"new{n}.")
            firsts.append((desk.order("buy", 1, -3), epochs[-1]))
            outages.append(time.perf_counter_ns() - killed_ns)
            desk.client.close()
            pair.start_member(dead, standby=True)
        load.wait_sent(BETWEEN)
        load.stop()
        answered = load.settle()
        desk.connect_again()  # its last order may have been filled since it left
        heard(desk.client, pair.heartbeat_s)
    _tell(request, outages)
    pair.quiet()
    _under_new_epochs(pair, epochs)
    pair.end()
    _, logged, breaches = judged_log(pair, f"the primary was killed {len(epochs) - 1} times")
    judge(pair, breaches)
    if answered:
        judge(pair, ledgers.told_as_logged(pair.ledger, logged, instruments(pair), "D06.9", complete=True))
    else:
        silent = sorted(pair.ledger.unknown)[:5]
        violate(pair, Breach("D06.8", "the new primary leaves orders unanswered", tuple(silent), (), frozenset(silent)))
    for cl, epoch in firsts:
        step = next((s for s in logged if s.cl == cl), None)
        if step is None or step.epoch != epoch:
            text = f"the first order after a failover, {cl}, is logged under epoch {step.epoch if step else None}"
            violate(pair, Breach("D11.10", text, (str(epoch),), (), frozenset((cl,))))
    same_log(pair, "D06.1")


def _under_new_epochs(pair: PairLab, epochs: list[int]) -> None:
    if epochs != sorted(set(epochs)):
        text = "a primary came to its place under an epoch that was not above those before it"
        violate(pair, Breach("D06.5", text, ("rising",), tuple(map(str, epochs))))


def _tell(request: pytest.FixtureRequest, outages: list[int]) -> None:
    """From a kill to the first acknowledgement by the heir."""
    outages.sort()
    figures = {
        "p50_ns": outages[len(outages) // 2],
        **dict.fromkeys(("p99_ns", "p999_ns", "max_ns"), outages[-1]),
    }
    for stage in ("D06.10", "D11.P3"):
        name = f"{stage} kill to the first acknowledgement"
        request.config.stash[CERTIFICATION].emit("latency", stage=name, count=len(outages), **figures, budget_ns=6 * S)


@pytest.mark.clause("D06.3", "D06.N1", "D11.6", "D11.5")
@pytest.mark.needs("operator")
def test_death_is_noticed_after_the_timeout_and_told(pair: PairLab, request: pytest.FixtureRequest) -> None:
    """A pause shorter than the timeout changes nothing, under load too; a kill is noticed and said, with the epoch."""
    epoch = pair.epoch()
    with Load(pair, pair.accounts[:2], "beat-") as load:
        load.wait_sent(BETWEEN)
        for _ in range(3):
            began = time.monotonic()
            with pair.paused(pair.primary):
                time.sleep(LATE * pair.heartbeat_s)
            took_s = time.monotonic() - began
            time.sleep(pair.heartbeat_s)
            if pair.role("b") == "primary":
                if took_s > 0.95 * pair.heartbeat_s:
                    reason = f"a pause of {LATE:g} heartbeats took {took_s:.2f} s here: this machine has too much to do"
                    request.config.stash[CERTIFICATION].note(request.node, Verdict.INCONCLUSIVE, reason)
                    pytest.skip(reason)
                text = f"the primary stood still for {took_s:.2f} s, and the standby took over"
                violate(pair, Breach("D11.6", text))
        load.stop()
        load.settle()
    wall_ns, began = time.time_ns(), time.monotonic()
    pair.kill("a")
    while pair.role("b") != "primary" and time.monotonic() - began < pair.heartbeat_s:
        time.sleep(0.01)
    if pair.role("b") == "primary" and time.monotonic() - began < 0.9 * pair.heartbeat_s:
        took_s = time.monotonic() - began
        text = f"the standby took over {took_s:.2f} s after the kill: a heartbeat that is late is no death"
        violate(pair, Breach("D06.3", text, (f"not before the timeout, {pair.heartbeat_s:g} s",)))
    taken_over(pair, "b", "D11.5")
    if not alerted(pair, "b", wall_ns, ("dead",)):
        text = "a primary was declared dead, and no alert says so"
        violate(
            pair, Breach("D06.N1", text, ("an alert of the status page with time, epoch and reason",), _shown(pair))
        )
    rows = [row for row in pair.alerts("b") if int(row.get("time_ns", 0)) >= wall_ns and "dead" in str(row)]
    if not any(str(epoch) in str(row.get("text")) for row in rows):
        violate(pair, Breach("D06.N1", f"the alert does not say which epoch died: {epoch}", (), _shown(pair)))


def _shown(pair: PairLab) -> tuple[str, ...]:
    return tuple(f"{row.get('code')}: {row.get('text')}" for row in pair.alerts("b")[-5:])


@pytest.mark.clause("D11.5", "D06.2", "D06.P3")
def test_the_primary_loses_its_memory_with_its_life(pair: PairLab) -> None:
    """As its machine's power goes, with a disk that can be read again: modes fsync and replicated lose nothing."""
    with Load(pair, pair.accounts[:3], "power-", burst=20) as load:
        load.wait_sent(3 * BETWEEN)
        pair.kill("a", wipe=True)
        taken_over(pair, "b", "D11.5", "the primary's machine went down")
        if pair.durability == "async":
            load.stop()  # what is missing by right, and what a client makes of it, is between it and the exchange
            return
        load.wait_sent(BETWEEN)
        load.stop()
        load.settle()
    pair.end()
    _, logged, _ = judged_log(pair, "")
    for clause in ("D06.2", "D06.P3"):
        judge(pair, ledgers.nothing_lost(pair.ledger, logged, clause, "the primary's machine went down"))
