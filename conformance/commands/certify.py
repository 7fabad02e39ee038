"""`matchmark certify`: run the suites against a target, judge it clause by clause, write the run folder."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from matchmark.conformance.certification import ASSESSABLE, levels_for, results_of
from matchmark.conformance.clauses import UnknownClause, load
from matchmark.conformance.clauses.vocabulary import LEVELS
from matchmark.conformance.plugin import EXAMPLES_DEFAULT
from matchmark.conformance.progress import RunProgress
from matchmark.conformance.runner import (
    EXIT_BLOCKED,
    EXIT_FAILED,
    EXIT_OK,
    EXIT_USAGE,
    Request,
    Run,
    UsageError,
    default_seed,
)
from matchmark.conformance.shards import run as run_suites
from matchmark.conformance.targets.base import TargetError
from matchmark.conformance.targets.open import UnknownTarget, capabilities_of, in_process, no_wire, redactor_for
from matchmark.conformance.targets.profile import ProfileError
from matchmark.conformance.verdict import Verdict
from matchmark.reports import ReportError, write
from matchmark.reports.allure import write_environment
from matchmark.reports.describe import describe_from_register
from matchmark.reports.keys import KeyFileError
from matchmark.reports.records import LOAD_PAGE
from matchmark.reports.redact import Redactor
from matchmark.reports.results import LevelStatus, Results, Waiver
from matchmark.reports.summary import print_load, print_summary

if TYPE_CHECKING:
    from matchmark.conformance.certify_load import Load

NAME = "certify"
HELP = "run the suites against a target and write its certificate"

OWN_FILES = ("results.json", "certificate.html", "certificate.json", "history.jsonl", "junit.xml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--target",
        required=True,
        help="model, native, exchange, exchange-fsync, exchange-full, exchange-dpdk, or the path of a target profile (FILE.toml)",
    )
    parser.add_argument(
        "--level",
        action="append",
        help=f"levels to certify, by commas or one a flag, of {', '.join(ASSESSABLE)} (default: all that the target declares)",
    )
    parser.add_argument(
        "--clause", action="append", default=[], metavar="ID", help="only the checks of this clause; repeatable"
    )
    parser.add_argument("--seed", type=int, help="seed of the generated examples (default: a new one, printed)")
    parser.add_argument(
        "--examples", type=int, default=EXAMPLES_DEFAULT, help="examples a property (default %(default)s)"
    )
    parser.add_argument("--out", type=Path, help="the run folder (default out/TARGET-SEED)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="TABLE.KEY=VALUE", help="override a key of the profile"
    )
    parser.add_argument(
        "--waivers",
        type=Path,
        metavar="FILE",
        help="declared deviations, each with an expiry (docs/certify-your-engine.md)",
    )
    parser.add_argument(
        "--signing-key",
        type=Path,
        metavar="FILE",
        help="Ed25519 key in PEM; default: MATCHMARK_SIGNING_KEY, else one of your own",
    )
    parser.add_argument(
        "--load",
        type=float,
        metavar="ORDERS_S",
        help="after the suites fire so many orders a second for 10 s; who answers wrongly then is not certified (docs/load.md)",
    )
    parser.add_argument("--dry-run", action="store_true", help="list the checks that would run, and run none")
    parser.add_argument(
        "--exploratory",
        action="store_true",
        help="allow a run that cannot certify (too few examples); it never certifies",
    )
    parser.add_argument("--quiet", action="store_true", help="print the verdict and the path, nothing else")


SHARDS_MAX = 4
"""More children than that no run is long enough for."""


class Refused(Exception):
    """The request cannot be carried out as it was written."""


def run(args: argparse.Namespace) -> int:
    console = Console(highlight=False)
    try:
        _known_clauses(args.clause)
        waivers = _waivers(args.waivers)
        levels, left_out = _levels(args)
        for level, why in left_out.items():
            print(f"level {level} is left out. {why}", file=sys.stderr)
        request = replace(_request(args), levels=() if args.clause else tuple(levels))
        load_asked = _load(args, request)
        if args.dry_run:
            return _dry_run(request, levels)
        return _certify(args, request, levels, left_out, waivers, console, load_asked)
    except (Refused, UsageError, UnknownClause, ProfileError) as error:
        print(f"matchmark certify: {error}", file=sys.stderr)
        return EXIT_USAGE
    except (ReportError, KeyFileError) as error:
        print(f"matchmark certify: {error}", file=sys.stderr)
        return EXIT_BLOCKED


def _levels(args: argparse.Namespace) -> tuple[list[str], dict[str, str]]:
    """Those to certify; and those of the target's that are left out of a run that names none, each with why, a sentence."""
    if args.level is None:
        levels = list(levels_for(_declared(args)))
        left_out = {}
        if "wire" in levels and (why := no_wire(args.target, args.set)):
            left_out["wire"] = f"This machine cannot: {why} (matchmark doctor)."
        return [level for level in levels if level not in left_out], left_out
    levels = list(dict.fromkeys(word.strip() for said in args.level for word in said.split(",") if word.strip()))
    for level in levels:
        if level not in LEVELS:
            raise Refused(f"--level {level}: unknown; the levels are {', '.join(LEVELS)}")
        if level not in ASSESSABLE:
            raise Refused(
                f"--level {level}: this version has no suites for it yet; it certifies {', '.join(ASSESSABLE)}"
            )
    if not levels:
        raise Refused(f"--level: name at least one of {', '.join(ASSESSABLE)}")
    return levels, {}


def _declared(args: argparse.Namespace) -> frozenset[str]:
    """What the target declares; nothing, where only its start will tell."""
    try:
        return capabilities_of(args.target, args.set)
    except (UnknownTarget, ProfileError) as error:
        raise Refused(str(error)) from None
    except TargetError:
        return frozenset()


def _known_clauses(clauses: Sequence[str]) -> None:
    for clause in clauses:
        load()[clause]


def _waivers(path: Path | None) -> list[Waiver]:
    """[[waiver]] tables with clause, reason and expires (a date). Refused names the entry that is wrong."""
    if path is None:
        return []
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("waiver", [])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Refused(f"--waivers {path}: {getattr(error, 'strerror', None) or error}") from None
    waivers = []
    for number, entry in enumerate(entries, 1):
        missing = {"clause", "reason", "expires"} - set(entry)
        if missing:
            raise Refused(f"--waivers {path}: waiver {number} lacks {', '.join(sorted(missing))}")
        if not isinstance(entry["expires"], date):
            raise Refused(f"--waivers {path}: waiver {number}: expires must be a date, as in expires = 2027-01-31")
        _known_clauses([entry["clause"]])
        waivers.append(Waiver(entry["clause"], str(entry["reason"]), entry["expires"].isoformat()))
    return waivers


def _request(args: argparse.Namespace) -> Request:
    if args.examples < 1:
        raise Refused(f"--examples {args.examples}: at least 1")
    if args.examples < EXAMPLES_DEFAULT and not (args.exploratory or args.clause or args.dry_run):
        raise Refused(
            f"--examples {args.examples}: a certificate needs at least {EXAMPLES_DEFAULT} a property; "
            "with --exploratory fewer will do, and nothing is certified"
        )
    seed = default_seed() if args.seed is None else args.seed
    if not 0 <= seed < 2**32:
        raise Refused(f"--seed {seed}: from 0 to {2**32 - 1}")
    out = args.out or Path("out", f"{_slug(args.target)}-{seed}")
    return Request(args.target, seed, args.examples, tuple(args.clause), (), tuple(args.set), out)


def _load(args: argparse.Namespace, request: Request) -> Load | None:
    """What --load asks for. ProfileError where the target does not speak FIX."""
    if args.load is None:
        return None
    if args.clause:
        raise Refused("--load: it is a part of a whole run, and --clause asks for less than one")
    from matchmark.conformance.certify_load import Load
    from matchmark.load.arrivals import ScheduleError

    try:
        return Load(args.target, args.set, args.load, request.seed)
    except ScheduleError as error:
        raise Refused(f"--load {args.load:g}: {error}") from None


def _slug(target: str) -> str:
    path = Path(target)
    name = path.parent.name if path.stem == "target" and path.parent.name else path.stem
    return re.sub(r"[^\w.-]+", "-", name) or "target"


def _dry_run(request: Request, levels: Sequence[str]) -> int:
    from matchmark.conformance.catalogue import checks_by_clause

    checks = checks_by_clause()
    wanted = [c for c in load() if set(c.levels) & set(levels) and (not request.clauses or c.id in request.clauses)]
    for clause in wanted:
        its_checks = ", ".join(checks.get(clause.id, [])) or f"no check: {clause.untested}"
        print(f"{clause.id:8} {clause.strength:6} {its_checks}")
    asked = f"target {request.target}, seed {request.seed}, {request.examples} examples a property"
    print(f"{len(wanted)} clauses, {asked}; nothing was run")
    return EXIT_OK if wanted else EXIT_BLOCKED


def _certify(
    args: argparse.Namespace,
    request: Request,
    levels: list[str],
    left_out: dict[str, str],
    waivers: list[Waiver],
    console: Console,
    load_asked: Load | None,
) -> int:
    assert request.out is not None
    _clear(request.out)
    if not args.quiet:
        console.print(
            f"target {request.target}, level {','.join(levels)}, seed {request.seed}, {request.examples} examples a property",
            markup=False,
            soft_wrap=True,
        )
    started = datetime.now(UTC)
    with RunProgress(_slug(request.target), args.quiet) as progress:
        outcome = run_suites(request, _shards(args), progress)
    redactor = redactor_for(request.target)
    under_load = None if load_asked is None or outcome.blocked else load_asked.fire(request.out, redactor, args.quiet)
    results = results_of(
        outcome, request, levels, started, invocation=_invocation(), waivers=waivers, exploratory=args.exploratory,
        left_out=left_out, under_load=under_load,
    )  # fmt: skip
    _take_secrets_out(request.out, redactor)
    write_environment(request.out / "allure-results", results)
    written = write(
        results,
        request.out,
        signing_key_file=args.signing_key,
        redactor=redactor,
        say=lambda text: console.print(text, markup=False),
    )
    code = exit_code(results, outcome, request, levels)
    if under_load is not None and (under_load.findings or under_load.trouble):
        code = EXIT_FAILED if under_load.findings else code or EXIT_BLOCKED
    _summary(console, results, outcome, levels, args.quiet)
    console.print(f"certificate: {written.html}", markup=False, soft_wrap=True)
    return code


def _shards(args: argparse.Namespace) -> int:
    """A single clause is not worth a second process; a target outside of the child is not to be shared."""
    if args.clause or not in_process(args.target):
        return 1
    return max(1, min(len(os.sched_getaffinity(0)), SHARDS_MAX))


def _clear(out: Path) -> None:
    """An earlier run's files must not stand among this one's; anything else in the folder is left alone."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in OWN_FILES:
            (out / name).unlink(missing_ok=True)
        for stale in (out / "allure-results").glob("*"):
            stale.unlink()
        shutil.rmtree((out / LOAD_PAGE).parent, ignore_errors=True)
    except OSError as error:
        raise Refused(f"--out {out}: {error.strerror}") from None


def _take_secrets_out(out: Path, redactor: Redactor) -> None:
    """Of what pytest and Allure wrote themselves."""
    for path in [*out.glob("junit*.xml"), *(out / "allure-results").glob("*")]:
        text = path.read_text(encoding="utf-8", errors="replace")
        if (clean := redactor.text(text)) != text:
            path.write_text(clean, encoding="utf-8")


def _invocation() -> str:
    return shlex.join(["matchmark", *sys.argv[1:]])


def exit_code(results: Results, outcome: Run, request: Request, levels: Sequence[str]) -> int:
    """0 certified (or, with --clause or --exploratory, all that was asked for passed); 1 a MUST clause failed; else 3."""
    waived = {w.clause for w in results.waivers if w.state == "in force"}
    asked = [
        c
        for c in results.clauses
        if c.id in request.clauses or (not request.clauses and set(c.levels or load()[c.id].levels) & set(levels))
    ]
    if any(c.verdict is Verdict.FAIL and c.level == "MUST" and c.id not in waived for c in asked):
        return EXIT_FAILED
    if outcome.blocked:
        return EXIT_BLOCKED
    if request.clauses or results.exploratory:
        open_ones = [c for c in asked if c.verdict in (Verdict.INCONCLUSIVE, Verdict.BLOCKED, Verdict.UNTESTED)]
        passed = any(c.verdict is Verdict.PASS for c in asked)
        return EXIT_OK if passed and not open_ones else EXIT_BLOCKED
    return EXIT_OK if all(results.levels[level] is LevelStatus.CERTIFIED for level in levels) else EXIT_BLOCKED


def _summary(console: Console, results: Results, outcome: Run, levels: Sequence[str], quiet: bool) -> None:
    if outcome.blocked:
        console.print(f"BLOCKED: {outcome.control_message or outcome.log.strip()[-500:]}", markup=False)
    if quiet:
        for level in levels:
            console.print(f"level {level}: {results.levels[level]}  {results.level_reasons[level]}", markup=False)
        if results.load is not None:
            print_load(console, results.load)
        return
    print_summary(console, describe_from_register(results))  # which levels a clause counts for is in the register
    examples = sum(record.examples for record in outcome.tests)
    console.print(f"{len(outcome.tests)} checks, {examples:,} examples in {results.duration_s:.0f} s", markup=False)
    failed = [clause for clause in results.clauses if clause.evidence]
    if failed:
        console.print(f"run one again: {failed[0].evidence[0].reproduce}", markup=False, soft_wrap=True)
