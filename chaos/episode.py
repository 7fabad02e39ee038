"""One episode: a fresh target under load, its faults one after the other, and what the checks find when all is over.

First safety, then liveness: after each fault the target must trade again in time, before the next one strikes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from matchmark.chaos.checks import Finding, Losses, findings, losses
from matchmark.chaos.controls import Caught
from matchmark.chaos.evidence import Evidence, Injected
from matchmark.chaos.recovery import Recovery, Silence, recoveries, silence, stood_still
from matchmark.chaos.schedule import EpisodePlan, Step
from matchmark.chaos.target import Target
from matchmark.conformance.hooks import HookFailed
from matchmark.load.fix_load import FixLoad, LoadCounts
from matchmark.reference.verify import verify

TRADES_AGAIN_S = 30.0
"""More than any exchange may need; how long it did need is measured."""
SETTLE_S = 20.0
TAIL_ORDERS_S = 0.2
"""So long the load goes on behind the last fault."""
POLL_S = 0.002

Watch = Callable[[str, dict[str, Any]], None]
"""Told what goes on: a word, and values."""


@dataclass
class Outcome:
    """`blocked`: why the episode could not be had to its end through no fault of the target's."""

    plan: EpisodePlan
    evidence: Evidence | None = None
    found: list[Finding] = field(default_factory=list)
    recoveries: list[Recovery] = field(default_factory=list)
    faults: list[Injected] = field(default_factory=list)
    counts: LoadCounts | None = None
    losses: Losses | None = None
    busy_s: float = 0.0
    """How long orders were sent."""
    silence: Silence | None = None
    """Of a day of the readers."""
    controls: list[Caught] = field(default_factory=list)
    """Those that the target had of its own."""
    blocked: str = ""

    @property
    def lost(self) -> int:
        return sum(f.count for f in self.found if f.kind in ("lost", "hole"))

    @property
    def doubled(self) -> int:
        return sum(f.count for f in self.found if f.kind == "doubled")

    @property
    def acknowledged(self) -> int:
        return int(self.losses.acknowledged.sum()) if self.losses else 0

    @property
    def excused(self) -> int:
        """Lost to power cuts within what mode async announces."""
        return int(self.losses.excused.sum()) if self.losses else 0


def play(plan: EpisodePlan, target: Target, load: FixLoad, rate: int, watch: Watch) -> Outcome:
    """The target runs already; it is stopped when this returns. What it does wrong is in the outcome, never an exception."""
    outcome = Outcome(plan)
    trouble: list[str] = []
    with load:
        load.addresses(target.addresses())
        began = time.monotonic()
        try:
            load.rate(rate)
            for step in plan.steps:
                _wait_orders(load, step.after_orders, rate)
                time.sleep(step.delay_us / 1e6)
                watch("fault", {"step": step})
                outcome.faults.append(target.strike(step, load))
                if outcome.faults[-1].wrongs:
                    break  # enough is known of it, and what would follow may only be what comes of that
                if not _trades_again(load, outcome.faults[-1]):
                    trouble.append(f"after {step.words} nobody could trade for {TRADES_AGAIN_S:g} s")
                    break
                watch("load", {"counts": load.counts()})
            _wait_orders(load, int(rate * TAIL_ORDERS_S), rate)
        except HookFailed as error:
            trouble.append(f"after {_last(plan, outcome).words}: {error}")
        outcome.busy_s = time.monotonic() - began
        load.rate(0)
        settled = not trouble and load.settled(SETTLE_S)
        trouble += [*target.finish(), *target.differs()] if not trouble else []
    _judge(outcome, target, load, settled, trouble)
    return outcome


def _last(plan: EpisodePlan, outcome: Outcome) -> Step:
    return plan.steps[min(len(outcome.faults), len(plan.steps) - 1)]


def _wait_orders(load: FixLoad, orders: int, rate: int) -> None:
    """Until so many more were sent; a target that is slower than the load gets five times as long."""
    goal, until = load.counts().sent + orders, time.monotonic() + 1 + 5 * orders / rate
    while load.counts().sent < goal and time.monotonic() < until:
        time.sleep(POLL_S)


def _trades_again(load: FixLoad, fault: Injected) -> bool:
    until = time.monotonic() + TRADES_AGAIN_S
    while True:
        counts = load.counts()
        if counts.up == len(load.sessions) and counts.last_told_ns > fault.ended_ns:
            return True
        if time.monotonic() > until:
            return False
        time.sleep(POLL_S)


def _judge(outcome: Outcome, target: Target, load: FixLoad, settled: bool, trouble: list[str]) -> None:
    try:
        log = target.read_log()
    except OSError as error:
        outcome.blocked = f"the log could not be read: {error}"
        outcome.found = [Finding("trouble", 1, text) for text in trouble]
        return
    outcome.counts = counts = load.counts()
    structure = [str(fault) for fault in log.faults]
    e = Evidence.of(load, log.records, outcome.faults, structure, settled=settled, others=target.others)
    outcome.evidence, outcome.recoveries = e, recoveries(e)
    wrongs = [text for fault in outcome.faults for text in fault.wrongs]
    outcome.found = [Finding("trouble", 1, text) for text in (*trouble, *wrongs)] + findings(e)
    outcome.losses = losses(e)
    if outcome.plan.readers:
        outcome.silence = silence(e)
        outcome.found += [Finding("trouble", 1, text) for text in stood_still(outcome.silence)]
    if counts.full or any(len(orders) == e.capacity for orders in e.orders):
        outcome.blocked = "the load's ledger was full before the end: fewer faults an episode, or a lower rate"
    for count, what in (
        (counts.too_low, "messages came under a number that had been used, without PossDupFlag"),
        (counts.garbled, "messages had a wrong CheckSum"),
        (counts.rejected_messages, "messages of the load were rejected"),
    ):
        if count:
            outcome.found.append(Finding("session", count, f"{count} {what}"))
    if not e.structure:
        books = verify(target.log_dir())
        outcome.found += [Finding("book", 1, str(finding)) for finding in books.findings]
