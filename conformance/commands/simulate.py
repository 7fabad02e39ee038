"""`matchmark simulate`: the reference's control plane in a simulated world, seed by seed. docs/control-plane.md."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matchmark.reference.simulate.run import Outcome
    from matchmark.reference.simulate.sweep import Summary

NAME = "simulate"
HELP = "run the control plane of the reference exchange in a simulated world, from seeds"
SEEDS = 1_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "exit codes: 0 nothing was violated (and every planted bug was found), 1 something was, 2 usage"
    parser.add_argument("--seed", type=_count, metavar="N", help="this one, with its timeline")
    parser.add_argument("--seeds", type=_count, default=SEEDS, metavar="N", help=f"so many (default {SEEDS})")
    parser.add_argument("--first", type=_count, default=0, metavar="N", help="the first of them (default 0)")
    parser.add_argument("--processes", type=_count, metavar="N", help="default 2, on one core 1")
    parser.add_argument("--bug", metavar="NAME", help="with this bug planted; `list` names them all")
    parser.add_argument(
        "--planted",
        action="store_true",
        help="hunt every planted bug as well, each within --seeds seeds, and replay it",
    )


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError
    return value


def run(args: argparse.Namespace) -> int:
    from matchmark.reference.simulate.bugs import BUGS
    from matchmark.reference.simulate.sweep import processes_default

    if args.bug == "list":
        for name, bug in BUGS.items():
            print(f"{name:28} {bug.says}")
        return 0
    if args.bug is not None and args.bug not in BUGS:
        print(f"matchmark simulate: no bug is called {args.bug}; --bug list names them", file=sys.stderr)
        return 2
    if args.seed is not None:
        return _one(args.seed, args.bug)
    processes = args.processes or processes_default()
    started = time.monotonic()
    summary = _sweep(args.first, args.seeds, processes, args.bug)
    _print_summary(summary, time.monotonic() - started, args.bug)
    found = _hunt_all(args.seeds, processes) if args.planted else True
    return 0 if found and not summary.failures else 1


def _one(seed: int, bug: str | None) -> int:
    from matchmark.reference.simulate.bugs import BUGS
    from matchmark.reference.simulate.cluster import SOUND
    from matchmark.reference.simulate.run import run_seed

    outcome = run_seed(seed, SOUND if bug is None else BUGS[bug].parts, trace=True)
    for at, who, text in outcome.timeline:
        print(f"{at / 1e9:10.4f} s  {who:9}  {text}")
    print(_in_short(outcome))
    return 1 if outcome.violation is not None else 0


def _in_short(outcome: Outcome) -> str:
    said = (
        f"seed {outcome.seed}: mode {outcome.mode}, {outcome.members} members, {outcome.simulated_ns / 1e9:.1f} s simulated, "
        f"{outcome.acknowledged} orders acknowledged, {outcome.takeovers} takeovers"
    )
    return f"{said}; VIOLATED: {outcome.violation}" if outcome.violation else f"{said}; nothing violated"


def _sweep(first: int, count: int, processes: int, bug: str | None) -> Summary:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from matchmark.reference.simulate.sweep import sweep

    columns = (TextColumn("simulate"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=count)
        return sweep(first, count, processes, lambda done: progress.advance(task, done), bug)


def _print_summary(summary: Summary, took_s: float, bug: str | None) -> None:
    planted = f" --bug {bug}" if bug else ""
    for seed, violation in summary.failed.items():
        print(f"seed {seed}: {violation}\n    matchmark simulate --seed {seed}{planted}")
    if summary.failures > len(summary.failed):
        print(f"and {summary.failures - len(summary.failed)} more")
    print(
        f"{summary.seeds} seeds in {took_s:.0f} s: {summary.simulated_ns / 3.6e12:.1f} h simulated, {summary.events} events, "
        f"{summary.acknowledged} orders acknowledged, {summary.takeovers} takeovers, {summary.halts} halts"
    )
    print("modes: " + ", ".join(f"{mode} {n}" for mode, n in sorted(summary.modes.items())))
    print("faults: " + ", ".join(f"{fault} {n}" for fault, n in summary.faults.most_common()))
    print(
        f"losses that were stated: {summary.lost_stated} orders; takeovers forced by the operator in {summary.forced} seeds"
    )
    print(f"violated: {summary.failures}" if summary.failures else "nothing was violated")


def _hunt_all(count: int, processes: int) -> bool:
    from matchmark.reference.simulate.bugs import BUGS
    from matchmark.reference.simulate.run import run_seed
    from matchmark.reference.simulate.sweep import hunt

    missed = 0
    for name, bug in BUGS.items():
        outcome = hunt(name, count, processes)
        replayed = outcome is not None and run_seed(outcome.seed, bug.parts).violation == outcome.violation
        missed += not replayed
        where = f"seed {outcome.seed}: {outcome.violation}" if outcome else f"NOT FOUND within {count} seeds"
        print(f"{name:28} {where}{'' if replayed or outcome is None else ', NOT REPLAYED'}", flush=True)
    print(f"planted bugs found and replayed: {len(BUGS) - missed} of {len(BUGS)}")
    return not missed
