"""`matchmark chaos list|run|replay`: game days. Faults under load from a seed, and whether anything was lost or done twice."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from matchmark.chaos import game_day, timeline
from matchmark.chaos.episode import Outcome
from matchmark.chaos.readers.kills import ROLES
from matchmark.chaos.recovery import Silence, Spread
from matchmark.chaos.scenarios import BY_NAME, SCENARIOS
from matchmark.chaos.schedule import EpisodePlan, plan_of
from matchmark.conformance.chaos_progress import DayProgress
from matchmark.conformance.lab import LOG_FORMATS
from matchmark.conformance.targets.open import PROFILES, suites_speak
from matchmark.conformance.targets.profile import Profile, ProfileError, load

NAME = "chaos"
HELP = "game days: kill, pause and cut off an expendable target under load; is anything lost or done twice?"

OK, FOUND, USAGE, BLOCKED = 0, 1, 2, 3
MODES = {"exchange": ("exchange", "exchange-fsync", "exchange-replicated")}
"""Built-in targets whose modes take turns."""
KILLS, CUTS, RATE = 25, 25, 50_000


class Refused(Exception):
    """What was asked cannot be done as it was asked."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "exit codes: 0 nothing lost, nothing twice; 1 something was; 2 usage; 3 blocked, or a control was not caught"
    )
    actions = parser.add_subparsers(dest="action", metavar="list|run|replay", required=True)
    actions.add_parser("list", help="the scenarios: what each does, and whether this machine can")
    runs = actions.add_parser("run", help="a game day")
    runs.add_argument(
        "--target", default="exchange", help="exchange, exchange-fsync or a profile (FILE.toml) marked expendable"
    )
    runs.add_argument("--scenario", action="append", default=[], metavar="NAME", help="only these; repeatable")
    runs.add_argument("--faults", metavar="A,B", help="only scenarios with these faults: kill, cut, pause ...")
    runs.add_argument("--seed", type=int, help="seed of the schedule (default: a new one, printed)")
    runs.add_argument("--rounds", type=int, metavar="N", help="as many kills and as many cuts")
    runs.add_argument("--kills", type=int, default=KILLS, metavar="N", help="kills in all (default %(default)s)")
    runs.add_argument("--cuts", type=int, default=CUTS, metavar="N", help="power cuts in all (default %(default)s)")
    runs.add_argument(
        "--rate", type=int, default=RATE, metavar="ORDERS_S", help="orders a second (default %(default)s)"
    )
    runs.add_argument(
        "--heartbeat-s", type=float, default=1.0, metavar="S", help="of a pair, and its timeout (default %(default)s)"
    )
    runs.add_argument("--no-controls", action="store_true", help="leave the negative controls out: then it shows less")
    runs.add_argument(
        "--set", action="append", default=[], metavar="TABLE.KEY=VALUE", help="override a key of the profile"
    )
    again = actions.add_parser("replay", help="the schedule of a run folder once more")
    again.add_argument("folder", type=Path, metavar="DIR", help="a run folder")
    for parser_of in (runs, again):
        parser_of.add_argument("--out", type=Path, metavar="DIR", help="the run folder (default out/chaos-TARGET-SEED)")
        parser_of.add_argument("--quiet", action="store_true", help="print the table and the path, nothing else")


def run(args: argparse.Namespace) -> int:
    console = Console(highlight=False)
    try:
        if args.action == "list":
            return _list(console)
        target, day, plans, skipped = _asked(args) if args.action == "run" else _replayed(args)
        if not plans:
            raise Refused("nothing of it can be done here: " + ("; ".join(skipped) or "no faults were asked for"))
    except (Refused, ProfileError) as error:
        print(f"matchmark chaos: {error}", file=sys.stderr)
        return USAGE
    folder = args.out or Path("out") / f"chaos-{Path(target).stem}-{day.seed}"
    return _run(console, target, day, plans, skipped, folder, args.quiet)


# --- what is asked for ---


def _asked(args: argparse.Namespace) -> tuple[str, game_day.Day, list[EpisodePlan], list[str]]:
    profiles = _profiles(args.target, args.set)
    kills, cuts = (args.kills, args.cuts) if args.rounds is None else (args.rounds, args.rounds)
    if min(kills, cuts) < 0 or args.rate < 100:
        raise Refused("--kills, --cuts and --rounds are not below 0, and --rate not below 100")
    seed = args.seed if args.seed is not None else secrets.randbelow(1 << 31)
    day = game_day.Day(
        profiles,
        _scenarios(args),
        seed,
        kills,
        cuts,
        args.rate,
        args.heartbeat_s,
        args.target in PROFILES,
        not args.no_controls,
    )
    return args.target, day, *game_day.schedule(day)


def _scenarios(args: argparse.Namespace) -> tuple[str, ...]:
    for name in args.scenario:
        if name not in BY_NAME:
            raise Refused(f"--scenario {name}: there is none; `matchmark chaos list` shows {', '.join(BY_NAME)}")
    faults = set(args.faults.split(",")) if args.faults else set()
    known = {kind.fault for scenario in SCENARIOS for kind in scenario.kinds}
    if unknown := faults - known:
        raise Refused(f"--faults {', '.join(sorted(unknown))}: there are {', '.join(sorted(known))}")
    chosen = [s.name for s in SCENARIOS if s.name in args.scenario or not (args.scenario or s.readers)]
    return tuple(n for n in chosen if not faults or faults & {kind.fault for kind in BY_NAME[n].kinds})


def _profiles(target: str, overrides: list[str]) -> dict[str, Profile]:
    """By name; refuses what may not be killed, and what it could not read the log of."""
    if target in PROFILES:
        folder = PROFILES[target].parent
        return {name: load(folder / f"{name}.toml", overrides) for name in MODES.get(target, (target,))}
    path = Path(target)
    if path.suffix != ".toml":
        raise Refused(f"--target {target}: expected {', '.join(PROFILES)} or the path of a profile (FILE.toml)")
    if not path.is_file():
        raise Refused(f"--target {target}: there is no such file; `matchmark init --adapter fix {target}` writes one")
    profile = load(path, overrides)
    suites_speak(profile)
    if not profile.tables["target"].get("expendable", False):
        raise Refused(
            f"{path}: the target is not marked expendable, so nothing is done to it. A game day kills it, pauses it and "
            "takes its power away. Where that is meant, write `expendable = true` into [target]; never for anything in production"
        )
    for table in ("hooks", "audit_log", "order_entry"):
        if table not in profile.tables:
            raise Refused(f"{path}: lacks [{table}], without which it can be neither started, loaded nor judged")
    if profile.tables["audit_log"].get("format", "matchmark") not in LOG_FORMATS:
        raise Refused(f"{path}: [audit_log] format is none of {', '.join(LOG_FORMATS)}: what is left could not be read")
    return {path.stem: profile}


def _replayed(args: argparse.Namespace) -> tuple[str, game_day.Day, list[EpisodePlan], list[str]]:
    path = args.folder / "schedule.json"
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        plans = [plan_of(document) for document in said["episodes"]]
        target, seed, rate = str(said["target"]), int(said["seed"]), int(said["rate"])
        scenarios, controls = tuple(said["scenarios"]), bool(said["controls"])
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}; give the folder of a run") from None
    except (ValueError, KeyError, TypeError):
        raise Refused(f"{path}: not the schedule of a game day") from None
    profiles = _profiles(target, said.get("set", []))
    heartbeat_s = float(said.get("heartbeat_s", 1.0))
    day = game_day.Day(profiles, scenarios, seed, 0, 0, rate, heartbeat_s, target in PROFILES, controls)
    return target, day, plans, []


# --- the run ---


def _run(
    console: Console,
    target: str,
    day: game_day.Day,
    plans: list[EpisodePlan],
    skipped: list[str],
    folder: Path,
    quiet: bool,
) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "schedule.json", {
        "target": target, "seed": day.seed, "rate": day.rate, "heartbeat_s": day.heartbeat_s,
        "scenarios": day.scenarios, "controls": day.controls,
        "episodes": [plan.document() for plan in plans],
    })  # fmt: skip
    if not quiet:
        console.print(f"matchmark chaos: {target}, seed {day.seed}, {len(plans)} episodes, {day.rate:,} orders/s")
        for words in skipped:
            console.print(f"left out: {words}", markup=False)
    lanes: list[timeline.Lane] = []
    history = (folder / "history.jsonl").open("w", encoding="utf-8")

    def keep(outcome: Outcome) -> None:
        if lane := timeline.lane_of(outcome):
            lanes.append(lane)
        for line in _history(outcome, len(lanes)):
            history.write(json.dumps(line) + "\n")
        if outcome.found and outcome.evidence is not None:
            outcome.evidence.save(folder / f"evidence-{len(lanes)}.npz")

    with history, DayProgress(sum(len(plan.steps) for plan in plans), quiet) as progress:
        result = game_day.run(day, plans, progress, keep)
    result.skipped += skipped
    _write(folder / "results.json", game_day.document(result))
    title = f"Game day of {target}, seed {day.seed}: {result.kills} kills, {result.count('cut')} power cuts"
    (folder / "timeline.svg").write_text(timeline.svg(lanes, title), encoding="utf-8")
    return _verdict(console, result, folder)


def _history(outcome: Outcome, number: int) -> list[dict[str, Any]]:
    plan = outcome.plan
    lines: list[dict[str, Any]] = [
        {"episode": number, "scenario": plan.scenario, "target": plan.target, "storage": plan.storage}
    ]
    lines += [
        {"episode": number, **asdict(r.fault), "recovery_ms": None if r.gap_ns is None else round(r.gap_ns / 1e6, 3)}
        for r in outcome.recoveries
    ]
    lines += [{"episode": number, "finding": str(finding)} for finding in outcome.found]
    if outcome.counts:
        lines.append({"episode": number, **asdict(outcome.counts)})
    return lines


def _write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _verdict(console: Console, result: game_day.Result, folder: Path) -> int:
    console.print(_table(result))
    for caught in result.controls:
        word = {True: "caught", False: "NOT CAUGHT", None: "not done"}[caught.caught]
        said = caught.story if caught.caught else caught.words
        console.print(f"control  {word:10}  {caught.name}: {said}", markup=False, soft_wrap=True)
    for words in result.findings:
        console.print(f"FOUND    {words}", markup=False, soft_wrap=True)
    blocked = [f"{o.plan.scenario}: {o.blocked}" for o in result.outcomes if o.blocked]
    for words in blocked:
        console.print(f"BLOCKED  {words}", markup=False, soft_wrap=True)
    console.print(f"{folder}: results.json, history.jsonl, schedule.json, timeline.svg", markup=False, soft_wrap=True)
    if result.findings:
        return FOUND
    return BLOCKED if result.uncaught or blocked or not result.acknowledged else OK


def _table(result: game_day.Result) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    sound = sum(c.caught is True for c in result.controls)
    excused = f" (and {result.excused} within the window that mode async announces)" if result.excused else ""
    rows = [
        ("kills", f"{result.kills}"),
        ("power cuts", f"{result.count('cut')}"),
        *(
            (f"{fault}s", f"{n}")
            for fault in ("failover", "disk", "pause", "zombie", "partition")
            if (n := result.count(fault))
        ),
        ("orders", f"{result.orders:,}"),
        ("acknowledged", f"{result.acknowledged:,}"),
        ("lost", f"{result.lost}{excused}"),
        ("duplicated", f"{result.doubled}"),
    ]
    for role in ROLES:
        if count := result.of_role(role):
            rows.append((f"kills, {role}", f"{count}{_spread('; caught up', result.caught_up(role))}"))
    if result.silences:
        rows += _trading(result.silences)
    for fault in game_day.FAULTS:
        if found := result.recovery(fault):
            rows.append(
                (f"recovery, {fault}", f"p50 {found.p50:,.0f} ms, p99 {found.p99:,.0f} ms, max {found.longest:,.0f} ms")
            )
    rows.append(("controls caught", f"{sound} of {sum(c.caught is not None for c in result.controls)}"))
    rows.append(("time", f"{result.seconds:,.0f} s"))
    for name, value in rows:
        table.add_row(name, value)
    return table


def _spread(word: str, found: Spread | None) -> str:
    return f"{word} p50 {found.p50:,.0f} ms, p99 {found.p99:,.0f} ms, max {found.longest:,.0f} ms" if found else ""


def _trading(silences: list[Silence]) -> list[tuple[str, str]]:
    """How trading went while its readers were killed."""
    longest, calm = (max(getattr(s, name) for s in silences) for name in ("longest_ms", "calm_longest_ms"))
    p50, p99 = (max(s.wait_ms[n] for s in silences) for n in (0, 1))
    calm_50, calm_99 = (max(s.calm_ms[n] for s in silences) for n in (0, 1))
    return [
        ("longest silence", f"{longest:,.0f} ms between two acknowledgements; {calm:,.0f} ms before the first kill"),
        (
            "acknowledged in",
            f"p50 {p50:,.1f} ms, p99 {p99:,.1f} ms in the second after a kill; {calm_50:,.1f} and {calm_99:,.1f} ms before",
        ),
    ]


def _list(console: Console) -> int:
    table = Table("scenario", "faults", "storage", "what it does", "here", box=None)
    for s in SCENARIOS:
        faults = ", ".join(sorted({kind.fault for kind in s.kinds}))
        here = ", ".join(s.possible()) or f"no: {s.lacks()}"
        table.add_row(s.name, faults, ", ".join(name for name, _ in s.storages), s.does, here)
    console.print(table)
    return OK
