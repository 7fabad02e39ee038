"""A game day: the schedule from a seed, episode after episode, the negative controls, and what came of it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matchmark.chaos.controls import Caught, planted
from matchmark.chaos.episode import Outcome, Watch, play
from matchmark.chaos.live_controls import LIVE, Live
from matchmark.chaos.recovery import Spread, spread
from matchmark.chaos.scenarios import BY_NAME, Scenario
from matchmark.chaos.schedule import EpisodePlan, episodes
from matchmark.chaos.target import OneMember, Target, sessions_of, settings_of
from matchmark.conformance.hooks import HookFailed
from matchmark.conformance.lab import Lab
from matchmark.conformance.targets.base import TargetUnavailable
from matchmark.conformance.targets.profile import Profile
from matchmark.load.fix_load import FixLoad

SESSIONS = 4
WINDOW = 512
LOAD_S_MAX = 12
"""Of an episode: so long the ledger has room at the full rate."""


@dataclass(frozen=True)
class Day:
    """What is asked for. `profiles` by name: each is a target, or a mode of one."""

    profiles: Mapping[str, Profile]
    scenarios: tuple[str, ...]
    seed: int
    kills: int
    cuts: int
    rate: int
    built_in: bool = False
    controls: bool = True


@dataclass
class Result:
    day: Day
    outcomes: list[Outcome] = field(default_factory=list)
    controls: list[Caught] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """What was not done, and why."""
    seconds: float = 0.0

    def count(self, fault: str) -> int:
        return sum(f.fault == fault for o in self.outcomes for f in o.faults)

    @property
    def orders(self) -> int:
        return sum(o.counts.sent for o in self.outcomes if o.counts)

    @property
    def acknowledged(self) -> int:
        return sum(o.acknowledged for o in self.outcomes)

    @property
    def lost(self) -> int:
        return sum(o.lost for o in self.outcomes)

    @property
    def excused(self) -> int:
        return sum(o.excused for o in self.outcomes)

    @property
    def doubled(self) -> int:
        return sum(o.doubled for o in self.outcomes)

    @property
    def findings(self) -> list[str]:
        return [f"{o.plan.scenario} on {o.plan.storage}, {o.plan.target}: {f}" for o in self.outcomes for f in o.found]

    @property
    def uncaught(self) -> list[Caught]:
        return [c for c in self.controls if c.caught is False]

    def recovery(self, fault: str, target: str | None = None) -> Spread | None:
        gaps = [
            r.gap_ns
            for o in self.outcomes
            if target in (None, o.plan.target)
            for r in o.recoveries
            if r.fault.fault == fault and r.gap_ns is not None
        ]
        return spread(gaps)


def schedule(day: Day) -> tuple[list[EpisodePlan], list[str]]:
    """The episodes, and what is left out and why."""
    plans: list[EpisodePlan] = []
    skipped: list[str] = []
    wanted = [BY_NAME[name] for name in day.scenarios]
    for scenario in wanted:
        targets = [
            name for name, profile in day.profiles.items() if scenario.capability in (None, *profile.info.capabilities)
        ]
        if reason := scenario.lacks():
            skipped.append(f"{scenario.name}: {reason}")
        elif not targets:
            skipped.append(f"{scenario.name}: the target does not declare {scenario.capability}")
        else:
            steps = _steps(scenario, wanted, day)
            plans += episodes(scenario.name, targets, scenario.possible(), scenario.kinds, steps, day.rate, day.seed)
    return plans, skipped


def _steps(scenario: Scenario, wanted: Sequence[Scenario], day: Day) -> int:
    """How many faults of it: kills and cuts are shared out between the scenarios that have them."""
    total = {"kills": day.kills, "cuts": day.cuts}.get(scenario.counts)
    if total is None:
        return scenario.others
    sharing = [s.name for s in wanted if s.counts == scenario.counts and s.lacks() is None]
    part, rest = divmod(total, max(1, len(sharing)))
    return part + (sharing.index(scenario.name) < rest)


def run(day: Day, plans: Sequence[EpisodePlan], watch: Watch, keep: Callable[[Outcome], None]) -> Result:
    """`keep` is given each outcome as soon as it is there, with its evidence, which is dropped then."""
    result, began = Result(day), time.monotonic()
    for n, plan in enumerate(plans):
        watch("episode", {"plan": plan, "number": n, "of": len(plans)})
        outcome = _episode(day, plan, day.rate, watch, n)
        result.outcomes.append(outcome)
        if day.controls and not result.controls and outcome.evidence is not None and not outcome.found:
            result.controls = planted(outcome.evidence)
        keep(outcome)
        outcome.evidence = None
        watch("outcome", {"outcome": outcome})
    for n, control in enumerate(LIVE if day.controls else ()):
        if control.reference_only and not day.built_in:
            continue
        watch("control", {"name": control.name})
        result.controls.append(_live(day, control, watch, len(plans) + n))
        watch("caught", {"caught": result.controls[-1]})
    result.seconds = time.monotonic() - began
    return result


def _episode(day: Day, plan: EpisodePlan, rate: int, watch: Watch, n: int) -> Outcome:
    profile = day.profiles[plan.target]
    with (
        tempfile.TemporaryDirectory(prefix="matchmark-chaos-") as folder,
        _member(profile, Path(folder), plan.storage) as target,
    ):
        return _played(day, plan, target, target.lab, rate, watch, n)


@contextmanager
def _member(profile: Profile, folder: Path, storage: str) -> Iterator[OneMember]:
    target = OneMember(profile, folder, storage)
    try:
        yield target
    finally:
        target.close()


def _played(day: Day, plan: EpisodePlan, target: Target, lab: Lab, rate: int, watch: Watch, n: int) -> Outcome:
    try:
        target.start()
        run_number = (day.seed * 1009 + n) % 1_000_000
        capacity = rate * LOAD_S_MAX // SESSIONS
        load = FixLoad(settings_of(lab, plan.seed, run_number, capacity, WINDOW), sessions_of(lab, SESSIONS))
    except TargetUnavailable as error:
        return Outcome(plan, blocked=str(error))
    return play(plan, target, load, rate, watch)


def _live(day: Day, control: Live, watch: Watch, n: int) -> Caught:
    if reason := control.needs():
        return Caught(control.name, control.story, None, reason)
    name, profile = list(day.profiles.items())[-1]
    quiet: Watch = lambda kind, values: None  # noqa: E731
    with (
        tempfile.TemporaryDirectory(prefix="matchmark-chaos-") as folder,
        control.target(profile, Path(folder)) as target,
    ):
        assert isinstance(target, OneMember)
        plan = control.plan(name, day.seed)
        try:
            outcome = _played(day, plan, target, target.lab, control.rate or day.rate, quiet, n)
        except HookFailed as error:
            return Caught(control.name, control.story, None, str(error))
    hits = [finding for finding in outcome.found if finding.kind in control.kinds]
    if hits:
        return Caught(control.name, control.story, True, str(hits[0]))
    if outcome.blocked:
        return Caught(control.name, control.story, None, outcome.blocked)
    return Caught(control.name, control.story, False, f"not found; the checks say {outcome.found or 'clean'}")


def document(result: Result) -> dict[str, Any]:
    """The results as JSON has them."""
    return {
        "seed": result.day.seed,
        "rate": result.day.rate,
        "seconds": round(result.seconds, 1),
        "kills": result.count("kill"),
        "cuts": result.count("cut"),
        "pauses": result.count("pause"),
        "orders": result.orders,
        "acknowledged": result.acknowledged,
        "lost": result.lost,
        "lost_within_the_announced_window": result.excused,
        "duplicated": result.doubled,
        "findings": result.findings,
        "blocked": [o.blocked for o in result.outcomes if o.blocked],
        "skipped": result.skipped,
        "controls": [vars(c) for c in result.controls],
        "recovery_ms": {
            f"{fault}, {target}": vars(found)
            for fault in ("kill", "cut", "pause")
            for target in result.day.profiles
            if (found := result.recovery(fault, target))
        },
    }
