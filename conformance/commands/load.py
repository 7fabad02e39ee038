"""`matchmark load run|find-knee|compare|report|mixes|locust`: how much a FIX exchange sustains, how late its answers are, and
whether they were right while it was under load."""

from __future__ import annotations

import argparse
import secrets
import sys
import webbrowser
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from matchmark.conformance.load_progress import LoadProgress
from matchmark.conformance.load_show import show_knee, show_load
from matchmark.conformance.targets.base import TargetUnavailable
from matchmark.conformance.targets.open import redactor_for
from matchmark.conformance.targets.profile import ProfileError
from matchmark.load import compare, knee, knee_result, mix, result
from matchmark.load.arrivals import KINDS, Arrivals, ScheduleError
from matchmark.load.bitstamp import FlowMissing
from matchmark.load.environment import Before
from matchmark.load.latency import HistogramFileError, Latencies
from matchmark.load.repeat import fired
from matchmark.load.result import cleaned
from matchmark.load.run import Outcome, Plan, floor_of, shots_for
from matchmark.load.run import run as run_once
from matchmark.load.stats import Slo, SloError, slo_of
from matchmark.load.venue import Venue, open_profile

NAME = "load"
HELP = "fire orders at a FIX exchange: latency at a stated rate, where the knee is, and whether every answer was right"

OK, FOUND, USAGE, BLOCKED = 0, 1, 2, 3
RATE, SECONDS, SESSIONS = 10_000.0, 10.0, 4


class Refused(Exception):
    """What was asked cannot be done as it was asked."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "exit codes: 0 measured, and every answer right; 1 a wrong answer, or an objective (--slo) that broke; 2 usage; "
        "3 the target refused, stalled, broke off or rejected everything, or no knee was found"
    )
    actions = parser.add_subparsers(dest="action", metavar="run|find-knee|compare|report|mixes|locust", required=True)
    one = actions.add_parser("run", help="one load, or some repetitions of it")
    _add_load(one)
    one.add_argument("--repeat", type=int, default=1, metavar="N", help="so many runs, with confidence intervals")
    one.add_argument("--slo", type=_slo, metavar="BOUNDS", help='exit code 1 where it breaks: "p99<5ms,p99.9<20ms"')
    one.add_argument(
        "--window", type=int, default=0, metavar="N", help="closed loop: at most N orders a session unanswered"
    )
    one.add_argument("--open", action="store_true", help="open the report in a browser")
    knees = actions.add_parser("find-knee", help="step the rate until an objective breaks")
    _add_load(knees, seconds=3.0, rate=2_000.0)
    knees.add_argument(
        "--slo", type=_slo, default=slo_of("p99<10ms"), metavar="BOUNDS", help="objective (default %(default)s)"
    )
    knees.add_argument(
        "--max", type=float, default=1_000_000.0, metavar="ORDERS_S", help="no rate above (default %(default)g)"
    )
    knees.add_argument("--repeat", type=int, default=3, metavar="N", help="runs a step, at most (default %(default)s)")
    knees.add_argument("--searches", type=int, default=1, metavar="N", help="so many searches (default %(default)s)")
    both = actions.add_parser("compare", help="two or more run folders in one report")
    both.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="run folders, the one to compare with first")
    both.add_argument("--out", type=Path, default=Path("out/load-compare"), metavar="DIR")
    shown = actions.add_parser("report", help="show a run folder again; several are merged, histogram by histogram")
    shown.add_argument("folders", type=Path, nargs="+", metavar="DIR")
    shown.add_argument("--open", action="store_true", help="open the report in a browser")
    actions.add_parser("mixes", help="the order mixes of the kit")
    # No character begins an option: argparse would take the first flag for one of its own, in spite of REMAINDER.
    swarm = actions.add_parser(
        "locust", add_help=False, prefix_chars="\0", help="locust with this kit's users: further words are locust's"
    )
    swarm.add_argument("words", nargs=argparse.REMAINDER, metavar="...")


def _add_load(parser: argparse.ArgumentParser, seconds: float = SECONDS, rate: float = RATE) -> None:
    add = parser.add_argument
    add("--target", default="exchange", help="exchange, exchange-fsync, or a profile (FILE.toml) with a FIX port")
    add("--mix", default="specification", metavar="NAME", help="an order mix, or its file (matchmark load mixes)")
    add("--rate", type=float, metavar="ORDERS_S", help=f"arrivals a second, of find-knee the first (default {rate:g})")
    add("--seconds", type=float, metavar="S", help=f"how long a run is (default {seconds:g})")
    add("--arrivals", choices=KINDS, help="when orders are due (default poisson, or what the mix says)")
    add("--rate-end", type=float, default=0.0, metavar="ORDERS_S", help="of a ramp")
    add("--rates", metavar="A,B,C", help="of steps")
    add("--burst", metavar="SIZE/S", help="of bursts: so many orders at once each so many seconds, 500/1")
    add(
        "--speed", type=float, default=60.0, metavar="X", help="of the bitstamp mix (default %(default)g times its own)"
    )
    add("--events", type=int, metavar="N", help="of the bitstamp mix: only its first N")
    add("--sessions", type=int, default=SESSIONS, metavar="N", help="FIX sessions (default %(default)s)")
    add("--symbols", choices=("own", "shared"), default="own",
        help="each session trades one of its own, so that priority can be judged without a log; or all trade a few")  # fmt: skip
    add("--seed", type=int, help="of schedule and mix (default: a new one, printed)")
    add("--warm", type=float, default=1.0, metavar="S", help="of each run, not measured (default %(default)g)")
    add("--threads", type=int, choices=(0, 1, 2), default=0, help="of the cannon; 0: by the number of processors")
    add("--judge", type=int, default=60_000, metavar="N", help="commands held against the model (default %(default)s)")
    add("--no-floor", action="store_true", help="leave the floor out: then nobody knows what of it is the target's")
    add("--out", type=Path, metavar="DIR", help="the run folder (default out/load-TARGET-SEED)")
    add("--quiet", action="store_true", help="print the table and the path, nothing else")
    add("--set", action="append", default=[], metavar="TABLE.KEY=VALUE", help="override a key of the profile")
    parser.set_defaults(seconds_default=seconds, rate_default=rate)


def _slo(text: str) -> Slo:
    try:
        return slo_of(text)
    except SloError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(args: argparse.Namespace) -> int:
    console = Console(highlight=False)
    actions = {
        "run": _run,
        "find-knee": _find_knee,
        "compare": _compare,
        "report": _report,
        "mixes": _mixes,
        "locust": _locust,
    }
    try:
        return actions[args.action](args, console)
    except (
        Refused,
        ProfileError,
        mix.MixError,
        ScheduleError,
        FlowMissing,
        result.ResultError,
        HistogramFileError,
    ) as error:
        print(f"matchmark load: {error}", file=sys.stderr)
        return USAGE
    except TargetUnavailable as error:
        print(f"matchmark load: {error}", file=sys.stderr)
        return BLOCKED


# --- what is asked for ---


def _plan(args: argparse.Namespace) -> Plan:
    if args.sessions < 1 or args.sessions > 256 or args.warm < 0 or args.judge < 0:
        raise Refused("--sessions is from 1 to 256, --warm and --judge not below 0")
    known = mix.load_mix(args.mix).arrivals if args.mix != mix.BITSTAMP else {}
    asked: dict[str, Any] = {"rate": args.rate_default, "seconds": args.seconds_default, **known}
    for name, value in (("kind", args.arrivals), ("rate", args.rate), ("seconds", args.seconds)):
        if value is not None:
            asked[name] = value
    if args.rates:
        asked.update(kind="step", rates=tuple(_number(word, "--rates") for word in args.rates.split(",")))
    if args.rate_end:
        asked.update(kind="ramp", rate_end=args.rate_end)
    if args.burst:
        size, _, every = args.burst.partition("/")
        asked.update(kind="burst", size=int(_number(size, "--burst")), every_s=_number(every or "1", "--burst"))
    arrivals = Arrivals(**asked)
    if args.warm >= arrivals.seconds:
        raise Refused(f"--warm {args.warm:g} leaves nothing of {arrivals.seconds:g} s to measure")
    seed = args.seed if args.seed is not None else secrets.randbelow(1 << 31)
    if args.mix != mix.BITSTAMP:
        arrivals.times(seed)  # what is no schedule is said before anything is started
    return Plan(
        args.mix, arrivals, seed, args.sessions, args.symbols == "own", warm_s=args.warm, window=getattr(args, "window", 0),
        threads=args.threads, speed=args.speed, events=args.events, floor=not args.no_floor, judge=args.judge,
    )  # fmt: skip


def _number(word: str, flag: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise Refused(f"{flag}: {word!r} is no number") from None


def _out(args: argparse.Namespace, name: str, seed: int, what: str = "load") -> Path:
    return args.out or Path("out") / f"{what}-{name}-{seed}"


# --- run ---


def _run(args: argparse.Namespace, console: Console) -> int:
    plan = _plan(args)
    name, profile = open_profile(args.target, args.set)
    if args.repeat < 1:
        raise Refused("--repeat is not below 1")
    if not args.quiet:
        words = "the recording" if plan.mix == mix.BITSTAMP else plan.arrivals.words
        console.print(f"matchmark load: {name}, {plan.mix}, {words}, seed {plan.seed}", markup=False)
    with LoadProgress(args.quiet) as progress:
        said, outcomes = fired(name, profile, plan, progress, args.repeat)
    said = cleaned(said, redactor_for(args.target))
    folder = _out(args, name, plan.seed)
    result.write(folder, said, result.histograms_of(outcomes))
    broken = show_load(console, said, outcomes, args.slo)
    print(folder / result.PAGE)
    if args.open:
        webbrowser.open((folder / result.PAGE).resolve().as_uri())
    return _code(outcomes, broken)


def _code(outcomes: Sequence[Outcome], broken: bool) -> int:
    if broken or not all(o.right for o in outcomes):
        return FOUND
    if any(o.trouble for o in outcomes) or not all(o.measured for o in outcomes):
        return BLOCKED
    return OK


# --- the knee ---


def _find_knee(args: argparse.Namespace, console: Console) -> int:
    plan = _plan(args)
    if plan.mix == mix.BITSTAMP or plan.arrivals.kind not in ("poisson", "constant"):
        raise Refused("find-knee sets the rate: poisson or constant arrivals, and no recording")
    if args.repeat < 1 or args.searches < 1 or args.max < plan.arrivals.rate:
        raise Refused("--repeat and --searches are not below 1, and --max not below --rate")
    name, profile = open_profile(args.target, args.set)
    searches: list[knee.Search] = []
    floors: list[Latencies] = []
    numbers = iter(range(1, 1_000_000))
    with Venue(name, profile) as venue, LoadProgress(args.quiet) as progress:
        before = Before(venue.processes())

        def fire(rate: float) -> Outcome:
            n = next(numbers)
            arrivals = replace(plan.arrivals, rate=rate)
            one = replace(plan, arrivals=arrivals, seed=plan.seed + n, judge=plan.judge // 4)
            outcome = run_once(venue, one, n, progress, floors[0] if floors else None)
            if outcome.floor is not None and not floors:
                floors.append(outcome.floor)
            return outcome

        def told(t: knee.Trial, counts: bool) -> None:
            again = "" if counts else f"; others used {t.disturbed:.0%} of the processors: made again"
            progress("say", {"text": f"{t.rate:>10,.0f}/s  p99 {t.p99_ns / 1e6:.3f} ms  {t.why or 'holds'}{again}"})

        def alone(rate: float) -> bool:
            one = replace(plan, arrivals=replace(plan.arrivals, rate=rate))
            measured = floor_of(one, shots_for(one, venue.info.capabilities, 10_000)[0]).measured
            kept = measured is not None and not measured.late
            progress("say", {"text": f"{rate:>10,.0f}/s  against an echo: {'in time' if kept else 'late'}"})
            return kept

        for _ in range(args.searches):
            searches.append(knee.search(fire, args.slo, plan.arrivals.rate, args.max, args.repeat, told, alone))
            if searches[-1].findings:
                break
        environment, warnings = before.document()
        floor_p99 = floors[0].percentile(99) if floors else 0
        said = knee_result.document(venue.target, plan, args.slo, searches, floor_p99, environment, warnings)
    said = cleaned(said, redactor_for(args.target))
    folder = _out(args, name, plan.seed, "knee")
    result.write(folder, said, {"floor": floors[0]} if floors else {})
    show_knee(console, said)
    print(folder / result.PAGE)
    return FOUND if said["findings"] else OK if said["knee"]["found"] else BLOCKED


# --- what there is already ---


def _compare(args: argparse.Namespace, console: Console) -> int:
    if len(args.folders) < 2:
        raise Refused("compare takes at least two run folders")
    said = {_label(folder, args.folders): result.read(folder) for folder in args.folders}
    if any(one["kind"] != "load" for one in said.values()):
        raise Refused("compare takes folders of `matchmark load run`")
    found = compare.document(said)
    result.write(args.out, found, {})
    result.comparison(said).to_csv(args.out / "comparison.csv")
    console.print(result.comparison(said).to_string(float_format=lambda value: f"{value:,.3f}"), markup=False)
    for text in found["differences"]:
        console.print(text, markup=False, soft_wrap=True)
    console.print(found["words"], markup=False, soft_wrap=True)
    print(args.out / result.PAGE)
    return OK


def _label(folder: Path, folders: Sequence[Path]) -> str:
    """The folder's name, as long as that tells them apart."""
    return folder.name if [f.name for f in folders].count(folder.name) == 1 else str(folder)


def _report(args: argparse.Namespace, console: Console) -> int:
    if len(args.folders) > 1:
        table = result.latency_table(result.merged(args.folders))
        console.print(table.to_string(float_format=lambda value: f"{value:,.0f}"), markup=False)
        return OK
    folder: Path = args.folders[0]
    said = result.read(folder)
    from matchmark.load.report import page

    place = folder if folder.is_dir() else folder.parent
    (place / result.PAGE).write_text(page(said), encoding="utf-8")
    if said["kind"] == "load":
        show_load(console, said, [], None)
    elif said["kind"] == "knee":
        show_knee(console, said)
    else:
        console.print(said["words"], markup=False)
    print(place / result.PAGE)
    if args.open:
        webbrowser.open((place / result.PAGE).resolve().as_uri())
    return OK


def _mixes(args: argparse.Namespace, console: Console) -> int:
    table = Table("mix", "what it is", "arrivals")
    for name in mix.names():
        if name == mix.BITSTAMP:
            table.add_row(name, "314,057 real events of a Bitcoin exchange, --speed times as fast", "recorded")
        else:
            one = mix.load_mix(name)
            table.add_row(name, one.text, str(one.arrivals.get("kind", "poisson")))
    console.print(table)
    return OK


def _locust(args: argparse.Namespace, console: Console) -> int:
    from matchmark.load.swarm import run_locust

    return run_locust(args.words)
