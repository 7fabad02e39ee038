"""One load: its floor, the shots, the watch over them, what was measured and whether it was right.

The floor comes first: the same cannon with the same schedule against an echo on this machine that answers at once. What the
target adds is what is above it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from matchmark.load import resources
from matchmark.load.arrivals import Arrivals, constant
from matchmark.load.cannon import Cannon, CannonCounts, CannonSettings, Echo
from matchmark.load.environment import Before
from matchmark.load.fix_load import LoadSession
from matchmark.load.flow import Place, bitstamp_shots, shots_of
from matchmark.load.judge import JUDGED_MAX, Judgement, judged, logged
from matchmark.load.latency import Latencies
from matchmark.load.measure import Measured, measured
from matchmark.load.mix import BITSTAMP, load_mix
from matchmark.load.shots import Array
from matchmark.load.trouble import STALL_S, Trouble, Watch, at_logon
from matchmark.load.venue import Venue

LOOK_S = 0.05
FLOOR_S = 2.0
DRAIN_S = 10.0
"""After the last order answers are waited for so long; a target that answers nothing for STALL_S ends it before."""
FORGOTTEN_SHARE = 0.02
"""So few orders without an answer when all were sent, and silence: they were forgotten, which is a finding; more: a stall."""
CLOSED_ORDERS_PER_S, CLOSED_ORDERS_MAX = 400_000, 4_000_000
"""A closed loop is given so many shots a second, and so many at most; one that has fired them all ends."""

Progress = Callable[[str, dict[str, Any]], None]
"""Told what goes on: a word (floor, run, judge), and values."""


@dataclass(frozen=True)
class Plan:
    """What is asked for. `speed`, `events`: of the Bitstamp recording; `window`: above 0 a closed loop; `warm_s`: of the start,
    not measured; `judge`: so many commands are held against the model."""

    mix: str
    arrivals: Arrivals
    seed: int
    sessions: int = 4
    own: bool = True
    shared_symbols: int = 4
    warm_s: float = 1.0
    window: int = 0
    threads: int = 0
    spin_us: int = 60
    speed: float = 1.0
    events: int | None = None
    floor: bool = True
    judge: int = JUDGED_MAX
    stall_s: float = STALL_S
    drain_s: float = DRAIN_S

    @property
    def symbols(self) -> int:
        if self.mix == BITSTAMP:
            return 1
        return self.sessions if self.own else self.shared_symbols


@dataclass
class Outcome:
    """Of one run. `trouble`: why it ended early; `measured` is None when nothing was sent. `floor`: response of the echo."""

    plan: Plan
    floor: Latencies | None = None
    measured: Measured | None = None
    judgement: Judgement = field(default_factory=Judgement)
    trouble: Trouble | None = None
    counts: CannonCounts | None = None
    notes: list[str] = field(default_factory=list)
    resources: dict[str, float] = field(default_factory=dict)
    """Memory and descriptors at its end."""
    disturbed: float = 0.0
    """Share of the processors' time that neither generator nor target had."""

    @property
    def right(self) -> bool:
        return not self.judgement.findings


def shots_for(plan: Plan, capabilities: frozenset[str], middle_ticks: int) -> tuple[Array, list[str]]:
    """Shots, and what was left out of the mix. MixError, ScheduleError, FlowMissing: the user's."""
    if plan.mix == BITSTAMP:
        return bitstamp_shots(Place(plan.sessions, 1, False), plan.speed, plan.events), []
    mix, out = load_mix(plan.mix).without(capabilities)
    place = Place(plan.sessions, plan.symbols, plan.own, middle_ticks)
    notes = [f"left out of the mix, not declared by the target: {', '.join(out)}"] if out else []
    seconds = min(plan.arrivals.seconds, CLOSED_ORDERS_MAX / CLOSED_ORDERS_PER_S)
    times = constant(CLOSED_ORDERS_PER_S, seconds) if plan.window else plan.arrivals.times(plan.seed)
    return shots_of(mix, times, place, plan.seed), notes


def floor_of(plan: Plan, shots: Array, stall_ms: int = 0, stall_every_ms: int = 0) -> Outcome:
    """The plan's first FLOOR_S against an echo; judged by nobody, for an echo has no book. With a stall: the control."""
    part = shots if stall_ms else shots[shots["at_ns"] < int((FLOOR_S + plan.warm_s) * 1e9)]
    plan = replace(plan, arrivals=replace(plan.arrivals, seconds=min(plan.arrivals.seconds, FLOOR_S + plan.warm_s)))
    settings = CannonSettings(run=0, symbols=tuple(f"E{n}" for n in range(plan.symbols)))
    sessions = [LoadSession(f"FLOOR{n}", "ECHO", {}, {}, reset_first=True) for n in range(plan.sessions)]
    with Echo(stall_ms, stall_every_ms) as echo:
        cannon = Cannon(_threads(settings, plan), sessions, part)
        return _fired(cannon, "127.0.0.1", echo.port, plan, lambda word, values: None)


def run(venue: Venue, plan: Plan, number: int, progress: Progress, floor: Latencies | None = None) -> Outcome:
    """`number` makes ClOrdIDs unique among the runs on a venue, below 10^6. The venue goes on running."""
    return _run(venue, plan, number, progress, floor)[0]


def run_and_stop(venue: Venue, plan: Plan, number: int, progress: Progress) -> Outcome:
    """The only run of a venue: then it is stopped, and its log, where it has one, is held against the clients."""
    outcome, cannon = _run(venue, plan, number, progress, None)
    if cannon is None or not venue.has_log:
        return outcome
    if outcome.trouble is not None:
        outcome.judgement.left_out.append("the log: the run was cut short")
        return outcome
    progress("judge", {"what": "the audit log"})
    judge_log(venue, outcome, cannon, only_run=True)
    return outcome


def judge_log(venue: Venue, outcome: Outcome, cannon: Cannon, only_run: bool) -> None:
    log, folder, wrongs = venue.stopped_log()
    logged(cannon, log, folder, only_run, outcome.judgement)
    outcome.notes += wrongs


def _run(
    venue: Venue, plan: Plan, number: int, progress: Progress, floor: Latencies | None
) -> tuple[Outcome, Cannon | None]:
    entry = venue.entry(plan.sessions, plan.symbols, number, plan.own)
    shots, notes = shots_for(plan, venue.info.capabilities, entry.middle_ticks)
    if floor is None and plan.floor:
        progress("floor", {})
        against = floor_of(plan, shots)
        floor = against.measured.histograms["response"] if against.measured else None
    cannon = Cannon(_threads(entry.settings, plan), entry.sessions, shots, venue.numbers(entry.sessions))
    progress("run", {"orders": len(shots), "seconds": float(shots["at_ns"][-1]) / 1e9 if len(shots) else 0.0})
    before = Before(venue.processes())
    outcome = _fired(cannon, entry.host, entry.port, plan, progress)
    outcome.disturbed = sum(before.shares())
    venue.remember(entry.sessions, cannon.numbers)
    outcome.floor, outcome.notes = floor, notes
    outcome.resources = resources.document(venue.processes())
    if outcome.counts is not None and outcome.counts.sent:
        progress("judge", {"what": "the answers"})
        whole = outcome.trouble is None
        own = plan.own and plan.mix != BITSTAMP
        outcome.judgement = judged(cannon, venue.info, own, entry.fresh, venue.started, whole, plan.judge)
    return outcome, cannon


def _threads(settings: CannonSettings, plan: Plan) -> CannonSettings:
    return replace(settings, threads=plan.threads, spin_us=plan.spin_us, window=plan.window)


def _fired(cannon: Cannon, host: str, port: int, plan: Plan, progress: Progress) -> Outcome:
    outcome = Outcome(plan)
    with cannon:
        cannon.connect(host, port)
        outcome.trouble = at_logon(cannon.ends(), len(cannon.sessions))
        if outcome.trouble is None:
            cannon.start()
            outcome.trouble = _watched(cannon, plan, progress)
        end_ns = time.monotonic_ns()
        cannon.cease()
        outcome.counts = cannon.look()
    if cannon.start_ns and outcome.counts.sent:
        outcome.counts = cannon.look()
        outcome.measured = measured(cannon, plan.warm_s, end_ns)
    return outcome


def _watched(cannon: Cannon, plan: Plan, progress: Progress) -> Trouble | None:
    """Until everything is answered, or the time is up, or there is trouble. Ctrl-C is trouble too: what there is is kept."""
    watch = Watch(len(cannon.sessions), plan.stall_s)
    # A closed loop ends with its time, whatever is left of its shots.
    last_s = plan.arrivals.seconds if plan.window else float(cannon.shots["at_ns"][-1]) / 1e9
    until = cannon.start_ns / 1e9 + last_s
    try:
        while True:
            now, counts = time.monotonic(), cannon.look()
            progress("load", {"counts": counts, "seconds": max(0.0, now - cannon.start_ns / 1e9), "of": last_s})
            words = cannon.session(0).words if counts.rejected or counts.refused_messages else ""
            if trouble := watch.look(counts, cannon.ends() if counts.down else (), now, words):
                left = counts.sent - counts.told
                forgotten = trouble.kind == "stalled" and counts.done and left <= FORGOTTEN_SHARE * counts.sent
                return None if forgotten else trouble
            if now > until and plan.window:
                cannon.cease()
            over = bool(counts.done or plan.window)
            until = now if counts.done and plan.window and now < until else until
            if now > until and over and (counts.told >= counts.sent or now > until + plan.drain_s):
                return None
            if now > until + plan.drain_s:
                return Trouble(
                    "stalled", f"the target took no more orders: {counts.sent:,} of {len(cannon.shots):,} were sent"
                )
            time.sleep(LOOK_S)
    except KeyboardInterrupt:
        return Trouble("stopped", "stopped by the user")
