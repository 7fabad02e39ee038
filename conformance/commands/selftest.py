"""`matchmark selftest`: run the suites against engines broken on purpose, and against sound ones."""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
from functools import cache
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from matchmark.conformance import runner
from matchmark.conformance.clauses import load
from matchmark.conformance.history import history_of
from matchmark.conformance.progress import PLAIN_EVERY_S
from matchmark.conformance.runner import EXIT_FAILED, EXIT_OK, EXIT_USAGE, Request, Run, UsageError, Violation
from matchmark.conformance.selftest import carrier_build, report
from matchmark.conformance.selftest.broken_process import PROCESSES
from matchmark.conformance.selftest.campaign import PORT, SOUND_ENGINES, Plan, Result, carry_out
from matchmark.conformance.selftest.matrix import Matrix, Row, judge_mutant, judge_process
from matchmark.conformance.selftest.mutant import MUTANTS, mutant_target
from matchmark.conformance.selftest.shims import compiler
from matchmark.conformance.selftest.wire_declare import WireMutant
from matchmark.conformance.selftest.wire_mutants import SOUND_WIRES, WIRES
from matchmark.conformance.selftest.wire_port import BrokenPort
from matchmark.conformance.targets.open import UnknownTarget
from matchmark.conformance.verdict import transcript

NAME = "selftest"
HELP = "run the suites against every mutant: does the kit catch them"

EXAMPLES_DEFAULT = 40
"""Enough that every mutant is killed whatever the seed (tested with five), since what is rare has an example of its own."""
EXAMPLES_SHOWN = 300
"""With --mutant: more examples and shrinking, for the shortest transcript."""
WIRE_EXAMPLES_SHOWN = 20
WIRE_CHOICES = ("all", "clauses", "ports", "none")
SEEDS_DEFAULT = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mutant", action="append", default=[], metavar="NAME", help="only this one, and show its failure in full"
    )
    parser.add_argument(
        "--list", action="store_true", help="list the mutants with the clauses they break, and run nothing"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the generated examples (default %(default)s)")
    parser.add_argument(
        "--examples", type=int, help=f"examples a property (default {EXAMPLES_DEFAULT}; with --mutant {EXAMPLES_SHOWN})"
    )
    parser.add_argument(
        "--seeds", type=int, default=SEEDS_DEFAULT, help="seeds to run each sound engine with (default %(default)s)"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time (default: one a core, here %(default)s)"
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="all suites against each mutant, not only the checks of the clause it breaks",
    )
    parser.add_argument(
        "--wires",
        choices=WIRE_CHOICES,
        default="all",
        help="wire mutants, each with an exchange of its own: all, and sound ones beside them; one for each clause (which, "
        "goes by the seed); those of the poll-mode port, which are asked for by name; or none",
    )
    parser.add_argument("--no-false-alarms", action="store_true", help="leave the sound engines out")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write selftest.json and selftest.html there")


def run(args: argparse.Namespace) -> int:
    if args.list:
        return _list()
    try:
        for name in args.mutant:
            mutant_target(name)
    except UnknownTarget as error:
        return _usage(str(error))
    if problem := _out_of_range(args):
        return _usage(problem)
    try:
        return _show(args) if args.mutant else _all(args)
    except UsageError as error:
        return _usage(str(error))


def _usage(text: str) -> int:
    print(f"matchmark selftest: {text}", file=sys.stderr)
    return EXIT_USAGE


def _out_of_range(args: argparse.Namespace) -> str | None:
    if args.examples is not None and args.examples < 1:
        return f"--examples {args.examples}: at least 1"
    if not 0 <= args.seed <= 2**32 - 1 - args.seeds:
        return f"--seed {args.seed}: from 0 to {2**32 - 1 - args.seeds}"
    if args.seeds < 1:
        return f"--seeds {args.seeds}: at least 1; --no-false-alarms leaves the sound engines out"
    return f"--jobs {args.jobs}: at least 1" if args.jobs < 1 else None


def _list() -> int:
    for mutant in MUTANTS.values():
        print(f"{mutant.name:55} {' '.join(mutant.breaks):20} {mutant.story}")
    for wire in WIRES.values():
        print(f"{wire.name:55} {' '.join(wire.breaks):20} {wire.story}")
    for process in PROCESSES.values():
        print(f"{process.name:55} {process.expected:20} {process.story}")
    return EXIT_OK


# --- all of them ---


def _all(args: argparse.Namespace) -> int:
    wires = chosen_wires(args.wires, args.seed)
    plan = Plan(
        mutants=tuple(MUTANTS),
        processes=tuple(PROCESSES),
        sound=() if args.no_false_alarms else SOUND_ENGINES,
        seed=args.seed,
        seeds=args.seeds,
        examples=args.examples or EXAMPLES_DEFAULT,
        jobs=args.jobs,
        full=args.full,
        wires=wires,
        sound_wires=_sound_wires(args.wires) if not args.no_false_alarms else (),
    )
    for lacking, names in (
        ()
        if args.wires == "none"
        else itertools.groupby(sorted(filter(_lacking, WIRES.values()), key=_lacking), _lacking)
    ):
        print(f"skipped: {' '.join(wire.name for wire in names)}: {lacking}")
    print(
        f"{len(plan.mutants)} mutants, {len(plan.wires)} wire mutants, {len(plan.processes)} broken processes, "
        f"{len(plan.sound) + len(plan.sound_wires)} sound engines, seed {plan.seed}, {plan.examples} examples a property, "
        f"{plan.jobs} at a time"
    )
    with Watch(plan) as watch:
        matrix = carry_out(plan, watch)
    return _conclude(matrix, args.out)


def _sound_wires(choice: str) -> tuple[str, ...]:
    if choice == "ports":
        return () if no_port() else (PORT,)
    return tuple(name for name in SOUND_WIRES if name != PORT) if choice == "all" else ()


def chosen_wires(choice: str, seed: int) -> tuple[str, ...]:
    """Those of the wire mutants that can be judged here."""
    able = [w for w in WIRES.values() if issubclass(w.wire, BrokenPort) is (choice == "ports") and not _lacking(w)]
    if choice != "clauses":
        return tuple(wire.name for wire in able) if choice != "none" else ()
    by_clause: dict[str, list[str]] = {}
    for wire in able:
        by_clause.setdefault(wire.breaks[0], []).append(wire.name)
    return tuple(names[seed % len(names)] for names in by_clause.values())


def _lacking(wire: WireMutant) -> str:
    """Why it cannot be judged here; empty when it can."""
    if load()[wire.breaks[0]].untested:
        return f"{wire.breaks[0]} has no check yet"
    if issubclass(wire.wire, BrokenPort):
        return no_port()
    return "there is no C compiler on this machine" if wire.needs_compiler and compiler() is None else ""


@cache
def no_port() -> str:
    return carrier_build.lacking()


def _conclude(matrix: Matrix, out: Path | None) -> int:
    width = max(len(row.name) for row in matrix.rows)
    for row in matrix.rows:
        print(report.row_line(row, width))
    print()
    for line in report.summary(matrix):
        print(line)
    if out is not None:
        try:
            print(f"matrix: {report.write(matrix, out)}")
        except OSError as error:
            return _usage(f"--out {out}: {error.strerror}")
    print(f"self-test {'passed' if matrix.ok else 'FAILED'} in {matrix.duration_s:.0f} s")
    return EXIT_OK if matrix.ok else EXIT_FAILED


class Watch:
    """Progress on stderr: a bar on a terminal, elsewhere a line now and then; what goes wrong is said at once."""

    def __init__(self, plan: Plan) -> None:
        self._console = Console(stderr=True)
        self._total, self._done, self._said_s = plan.runs, 0, time.monotonic()
        columns = (
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._fancy = sys.stderr.isatty()
        self._bar = Progress(*columns, console=self._console, transient=True, disable=not self._fancy)
        self._task = self._bar.add_task("self-test", total=plan.runs)

    def __enter__(self) -> Watch:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def __call__(self, result: Result) -> None:
        self._done += 1
        self._bar.update(self._task, completed=self._done)
        if not result.ok:
            name = (
                f"{result.name}: {result.outcome}"
                if isinstance(result, Row)
                else f"false alarm: {result.engine}, seed {result.seed}"
            )
            self._console.print(name, markup=False, highlight=False, soft_wrap=True)
        if not self._fancy and time.monotonic() - self._said_s > PLAIN_EVERY_S:
            self._said_s = time.monotonic()
            self._console.print(f"{self._done} of {self._total} runs done", highlight=False)


# --- one, in full ---


def _show(args: argparse.Namespace) -> int:
    rows = []
    for name in args.mutant:
        wire = WIRES.get(name)
        if wire and (lacking := _lacking(wire)):
            print(f"{name}: skipped: {lacking}")
            continue
        most = WIRE_EXAMPLES_SHOWN if wire else EXAMPLES_SHOWN
        request = Request(f"mutant:{name}", args.seed, args.examples or most, wire.breaks[:1] if wire else ())
        began_s = time.monotonic()
        outcome = runner.run(request)
        took_s = round(time.monotonic() - began_s, 2)
        mutant = wire or MUTANTS.get(name)
        row = judge_mutant(mutant, outcome, took_s) if mutant else judge_process(PROCESSES[name], outcome, took_s)
        rows.append(row)
        print(f"{row.name}: {row.story}")
        _show_failure(row, outcome)
    if args.out is not None:
        return _conclude(
            Matrix(args.seed, args.examples or EXAMPLES_SHOWN, tuple(rows), (), 0.0, whole=False), args.out
        )
    return EXIT_OK if all(row.ok for row in rows) else EXIT_FAILED


def _show_failure(row: Row, outcome: Run) -> None:
    breaks = f", which breaks {row.breaks[0]}" if row.breaks else ""
    print(f"  {row.outcome}{breaks}; failed: {' '.join(row.failed) or 'nothing'}")
    if not row.ok or not outcome.violations:
        print(f"  {row.reason}")
    shown = [v for v in outcome.violations if v.clause == (row.breaks[0] if row.breaks else "")] or outcome.violations
    if not shown:
        return
    shortest = min(shown, key=lambda v: len(v.transcript))
    print(f"  {shortest.clause}: {shortest.message}")
    for title, values in (("expected", shortest.expected), ("actual", shortest.actual)):
        for value in values or ["(nothing)"]:
            print(f"    {title:9}{value}")
    for line in _transcript(shortest):
        print(f"    {line}")
    print()


def _transcript(violation: Violation) -> list[str]:
    return transcript(history_of(violation.transcript), mark=violation.index)
