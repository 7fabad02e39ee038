"""A game day: the schedule from a seed, episode after episode, the negative controls, and what came of it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from matchmark.chaos.controls import Caught, planted
from matchmark.chaos.episode import Outcome, Watch, play
from matchmark.chaos.faults.disk import DiskFailed
from matchmark.chaos.faults.machine import MachineFailed
from matchmark.chaos.faults.partition import PartitionFailed
from matchmark.chaos.live_controls import LIVE, Live
from matchmark.chaos.pair import PairOfMembers
from matchmark.chaos.readers.kills import ROLES
from matchmark.chaos.readers.services import Kafka, ServiceError
from matchmark.chaos.readers.target import ReadExchange
from matchmark.chaos.recovery import Silence, Spread, spread
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
PATIENCE = 0.5
"""Heartbeats that a client of a pair waits for an answer before it tries the other address."""
CONTROL_LOAD_S = 12
"""Of a control's episode: so long its ledger has room at the full rate."""
FAULTS = ("kill", "failover", "cut", "disk", "pause", "zombie", "lonely", "partition")


@dataclass(frozen=True)
class Day:
    """What is asked for. `profiles` by name: each is a target, or a mode of one."""

    profiles: Mapping[str, Profile]
    scenarios: tuple[str, ...]
    seed: int
    kills: int
    cuts: int
    rate: int
    heartbeat_s: float = 1.0
    """Of a pair; its timeout too."""
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
    def kills(self) -> int:
        return self.count("kill") + self.count("failover")

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

    def caught_up(self, role: str) -> Spread | None:
        """Of the readers' kills of that role: until all readers had what the log has."""
        return spread([f.caught_up_ns for o in self.outcomes for f in o.faults if f.role == role and f.caught_up_ns])

    @property
    def silences(self) -> list[Silence]:
        return [o.silence for o in self.outcomes if o.silence]

    def of_role(self, role: str) -> int:
        """How many kills of readers were of it."""
        return sum(f.role == role for o in self.outcomes if o.plan.readers for f in o.faults)


def schedule(day: Day) -> tuple[list[EpisodePlan], list[str]]:
    """The episodes, and what is left out and why."""
    plans: list[EpisodePlan] = []
    skipped: list[str] = []
    wanted = [BY_NAME[name] for name in day.scenarios]
    for scenario in wanted:
        targets = _targets(scenario, day)
        if reason := scenario.lacks():
            skipped.append(f"{scenario.name}: {reason}")
        elif not targets:
            what = "[cluster] members = 2 with its hooks" if scenario.pair else str(scenario.capability)
            what = "itself the reference exchange, which this needs" if scenario.readers else what
            skipped.append(f"{scenario.name}: the target does not declare {what}")
        else:
            steps = _steps(scenario, wanted, day)
            drawn = episodes(
                scenario.name, targets, scenario.possible(), scenario.kinds, steps, min(day.rate, scenario.rate_max), day.seed,
                scenario.steps_max,
            )  # fmt: skip
            plans += [replace(plan, pair=scenario.pair, readers=scenario.readers) for plan in drawn]
    return plans, skipped


def _targets(scenario: Scenario, day: Day) -> list[str]:
    """Those that it can be played with. A mode that needs a standby is played with a pair alone."""
    out = []
    for name, profile in day.profiles.items():
        hooks = {"cluster_start", "standby_start"} <= set(profile.tables["hooks"])
        paired = hooks and profile.tables.get("cluster", {}).get("members", 1) >= 2
        alone = "start" in profile.tables["hooks"] and profile.tables["audit_log"]["durability"] != "replicated"
        declared = scenario.capability in (None, *profile.info.capabilities)
        declared = declared and (day.built_in or not scenario.readers)
        if declared and (paired if scenario.pair else alone):
            out.append(name)
    return out


def _steps(scenario: Scenario, wanted: Sequence[Scenario], day: Day) -> int:
    """How many faults of it: kills and cuts are shared out between the scenarios that have them."""
    total = {"kills": day.kills, "cuts": day.cuts}.get(scenario.counts)
    if total is None:
        return scenario.others
    sharing = [s.name for s in wanted if s.counts == scenario.counts and s.lacks() is None and _targets(s, day)]
    part, rest = divmod(total, max(1, len(sharing)))
    return part + (sharing.index(scenario.name) < rest)


def run(day: Day, plans: Sequence[EpisodePlan], watch: Watch, keep: Callable[[Outcome], None]) -> Result:
    """`keep` is given each outcome as soon as it is there, with its evidence, which is dropped then."""
    result, began = Result(day), time.monotonic()
    with closing(Kafka()) as kafka:
        _episodes(day, plans, watch, keep, result, kafka)
    live = LIVE if day.controls and not all(plan.readers for plan in plans) else ()
    for n, control in enumerate(live):
        if control.reference_only and not day.built_in:
            continue
        watch("control", {"name": control.name})
        result.controls.append(play_control(day, control, len(plans) + n))
        watch("caught", {"caught": result.controls[-1]})
    result.seconds = time.monotonic() - began
    return result


def _episodes(
    day: Day,
    plans: Sequence[EpisodePlan],
    watch: Watch,
    keep: Callable[[Outcome], None],
    result: Result,
    kafka: Kafka,
) -> None:
    sown = False
    for n, plan in enumerate(plans):
        watch("episode", {"plan": plan, "number": n, "of": len(plans)})
        rate = min(day.rate, BY_NAME[plan.scenario].rate_max)
        own = day.controls and not any(o.controls for o in result.outcomes)
        outcome = _episode(day, plan, rate, watch, n, kafka, own)
        result.outcomes.append(outcome)
        if day.controls and not sown and outcome.evidence is not None and not outcome.found:
            result.controls += planted(outcome.evidence)
            sown = True
        for caught in outcome.controls:
            result.controls.append(caught)
            watch("caught", {"caught": caught})
        keep(outcome)
        outcome.evidence = None
        watch("outcome", {"outcome": outcome})


def _episode(day: Day, plan: EpisodePlan, rate: int, watch: Watch, n: int, kafka: Kafka, controls: bool) -> Outcome:
    try:
        with (
            tempfile.TemporaryDirectory(prefix="matchmark-chaos-") as folder,
            _target(day, plan, Path(folder), kafka, n, controls) as target,
        ):
            outcome = _played(day, plan, target, target.lab, rate, watch, n)
            outcome.controls = target.caught if isinstance(target, ReadExchange) else []
            return outcome
    except (DiskFailed, MachineFailed, PartitionFailed, ServiceError) as error:
        return Outcome(plan, blocked=str(error))


@contextmanager
def _target(
    day: Day, plan: EpisodePlan, folder: Path, kafka: Kafka, n: int, controls: bool
) -> Iterator[OneMember | PairOfMembers]:
    profile = day.profiles[plan.target]
    target: OneMember | PairOfMembers
    if plan.readers:
        target = ReadExchange(profile, folder, kafka, f"game-day.{n}", plan.seed, controls)
    elif plan.pair:
        target = PairOfMembers(profile, folder, plan.storage, day.heartbeat_s)
    else:
        target = OneMember(profile, folder, plan.storage)
    try:
        yield target
    finally:
        target.close()


def _played(day: Day, plan: EpisodePlan, target: Target, lab: Lab, rate: int, watch: Watch, n: int) -> Outcome:
    try:
        target.start()
        run_number = (day.seed * 1009 + n) % 1_000_000
        scenario = BY_NAME.get(plan.scenario)
        seconds = scenario.load_s_max if scenario else CONTROL_LOAD_S
        seconds *= len(plan.steps) if plan.readers else 1
        capacity = rate * seconds // SESSIONS
        patience_ms = int(PATIENCE * day.heartbeat_s * 1000) if plan.pair else 0
        settings = replace(settings_of(lab, plan.seed, run_number, capacity, WINDOW), patience_ms=patience_ms)
        load = FixLoad(settings, sessions_of(lab, SESSIONS))
    except TargetUnavailable as error:
        return Outcome(plan, blocked=_short(error))
    return play(plan, target, load, rate, watch)


def _short(error: Exception) -> str:
    """Its first words and its last: what lies between is a traceback of the target's."""
    lines = str(error).strip().splitlines()
    return lines[0] if len(lines) < 3 else f"{lines[0][:200]} ... {lines[-1][:300]}"


def play_control(day: Day, control: Live, n: int = 0) -> Caught:
    """The broken target under load, as often as the control says: whether the checks catch it. `n` makes its names its own."""
    if reason := control.needs():
        return Caught(control.name, control.story, None, reason)
    for attempt in range(control.tries):
        caught = _play_control(day, control, n, attempt)
        if caught.caught is not False:
            break
    return caught


def _play_control(day: Day, control: Live, n: int, attempt: int) -> Caught:
    modes = [(name, p) for name, p in day.profiles.items() if p.tables["audit_log"]["durability"] != "replicated"]
    name, profile = (modes or list(day.profiles.items()))[-1]
    quiet: Watch = lambda kind, values: None  # noqa: E731
    with (
        tempfile.TemporaryDirectory(prefix="matchmark-chaos-") as folder,
        control.target(profile, Path(folder)) as target,
    ):
        plan = control.plan(name, day.seed + attempt)
        try:
            outcome = _played(day, plan, target, target.lab, control.rate or day.rate, quiet, n)
        except (HookFailed, MachineFailed, PartitionFailed) as error:
            return Caught(control.name, control.story, None, _short(error))
    hits = [finding for finding in outcome.found if finding.kind in control.kinds]
    if hits:
        return Caught(control.name, control.story, True, str(hits[0]))
    if outcome.blocked:
        return Caught(control.name, control.story, None, outcome.blocked)
    said = f"not found in {attempt + 1} tries; the checks say {outcome.found or 'clean'}"
    return Caught(control.name, control.story, False, said)


def document(result: Result) -> dict[str, Any]:
    """The results as JSON has them."""
    return {
        "seed": result.day.seed,
        "rate": result.day.rate,
        "seconds": round(result.seconds, 1),
        "kills": result.kills,
        "cuts": result.count("cut"),
        "faults": {fault: n for fault in FAULTS if (n := result.count(fault))},
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
            for fault in FAULTS
            for target in result.day.profiles
            if (found := result.recovery(fault, target))
        },
        "kills_by_reader": {role: n for role in ROLES if (n := result.of_role(role))},
        "caught_up_ms": {role: vars(found) for role in ROLES if (found := result.caught_up(role))},
        "acknowledgements": [vars(one) for one in result.silences],
    }
