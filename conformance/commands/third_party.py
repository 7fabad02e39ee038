"""`matchmark third-party`: certify the engines of docs/examples and write docs/third-party.md from what came out.

Each folder there holds a profile, an adapter and NOTES.md: how the engine is driven, and every failure shown again by
hand with the engine's own API. The page puts the two side by side, and says when a run and the notes disagree. It holds
nothing of the machine that it was made on, so that making it again changes only what changed.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matchmark.conformance.clauses import UnknownClause, load
from matchmark.conformance.clauses.vocabulary import CORE_CAPABILITIES
from matchmark.conformance.history import History, read_jsonl
from matchmark.conformance.plugin import EXAMPLES_DEFAULT
from matchmark.conformance.runner import EXIT_BLOCKED, EXIT_FAILED, EXIT_OK, EXIT_USAGE
from matchmark.conformance.verdict import Verdict, transcript
from matchmark.reports.records import ClauseResult, Evidence, Results
from matchmark.reports.results import from_json

LEVEL = "matching"
SEED = 1
EXCHANGES_SHOWN = 8
"""The page shows the end of a transcript; the certificate that the command writes has all of it."""
LINES_SHOWN = 7
LIST_SHOWN = 6

INTRODUCTION = """\
# Engines that this project did not write

Written by `matchmark third-party` (`make third-party`), which certifies the engine of every folder in
[examples/](examples/) with seed {seed} and {examples:,} examples a property, and puts its result beside that folder's
notes. matchmark {version}.

A verdict is about one released version, judged by one reading of one specification ([spec/](spec/README.md)), through
an adapter of ours. Many of these engines are libraries for research or teaching and never promised a market order, an
owner's cancel or a refusal of bad input: what a profile does not declare is not held against an engine, except that a
certificate at level `{level}` needs the four core capabilities (limit, market, ioc, cancel). Failures were confirmed by
hand: the notes show each with a few lines against the engine's own API, without the kit and without the adapter; one
that is not confirmed yet says so.

| engine | version | language | level {level} | pass | fail | other | failed clauses, missing core capabilities |
|---|---|---|---|---|---|---|---|
"""


class Refused(Exception):
    """The command cannot be carried out as it was given."""


@dataclass(frozen=True)
class Confirmation:
    """A section of the notes, `## D04.X1, D04.3: cause`: clauses that failed for one cause, shown by hand."""

    cause: str
    clauses: tuple[str, ...]
    body: str


@dataclass(frozen=True)
class Example:
    """One folder of docs/examples; all but name and profile is read from its notes."""

    name: str
    profile: Path
    language: str
    about: str
    confirmations: tuple[Confirmation, ...]

    @property
    def confirmed(self) -> set[str]:
        return {clause for c in self.confirmations for clause in c.clauses}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine", action="append", default=[], metavar="NAME", help="only this folder of the examples; repeatable"
    )
    parser.add_argument(
        "--examples-dir", type=Path, default=Path("docs/examples"), metavar="DIR", help="default %(default)s"
    )
    parser.add_argument(
        "--page", type=Path, default=Path("docs/third-party.md"), metavar="FILE", help="default %(default)s"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out/third-party"), metavar="DIR", help="the run folders (default %(default)s)"
    )
    parser.add_argument(
        "--page-only", action="store_true", help="run nothing: write the page from the run folders that are there"
    )


def run(args: argparse.Namespace) -> int:
    try:
        examples = find(args.examples_dir)
        chosen = _chosen(examples, args.engine)
        if not args.page_only:
            for number, example in enumerate(chosen, 1):
                _certify(example, args.out, f"[{number}/{len(chosen)}]")
        return _write_page(examples, args)
    except Refused as error:
        print(f"matchmark third-party: {error}", file=sys.stderr)
        return EXIT_USAGE


def find(folder: Path) -> list[Example]:
    """Every example in the folder, by name. Refused when there is none or its notes lack something."""
    profiles = sorted(folder.glob("*/target.toml"))
    if not profiles:
        raise Refused(f"no */target.toml in {folder}; run this in a checkout of matchmark, or give --examples-dir")
    return [_example(path) for path in profiles]


def _example(profile: Path) -> Example:
    path = profile.parent / "NOTES.md"
    try:
        notes = path.read_text(encoding="utf-8")
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}; every example has notes, see the others") from None
    language = re.search(r"^- language: (.+)$", notes, re.MULTILINE)
    if language is None:
        raise Refused(f"{path}: lacks a line `- language: ...`, which the page's table shows")
    about, *sections = re.split(r"^## (?=D\d\d\.)", notes, flags=re.MULTILINE)
    plain = re.sub(r"^(# |- language: ).*\n", "", about, flags=re.MULTILINE).strip()
    confirmations = tuple(_confirmation(path, section) for section in sections)
    return Example(profile.parent.name, profile, language[1].strip(), plain, confirmations)


def _confirmation(notes: Path, section: str) -> Confirmation:
    title, _, body = section.partition("\n")
    ids, colon, cause = title.partition(":")
    if not colon:
        raise Refused(f"{notes}: the heading {title!r} must be clauses, a colon and the cause, as in `## D04.X1: ...`")
    clauses = tuple(word.strip() for word in ids.split(","))
    for clause in clauses:
        try:
            load()[clause]
        except UnknownClause as error:
            raise Refused(f"{notes}: {error}") from None
    return Confirmation(cause.strip(), clauses, body.strip())


def _chosen(examples: Sequence[Example], names: Sequence[str]) -> list[Example]:
    known = [e.name for e in examples]
    for name in names:
        if name not in known:
            raise Refused(f"--engine {name}: unknown; the examples are {', '.join(known)}")
    return [e for e in examples if not names or e.name in names]


def _certify(example: Example, out: Path, counter: str) -> None:
    """One run in a process of its own: an engine that takes it down must not take the others' runs along."""
    print(f"{counter} {example.name} ...", flush=True)
    command = [
        sys.executable,
        "-m",
        "matchmark.conformance.cli",
        "certify",
        "--target",
        str(example.profile),
        "--level",
        LEVEL,
    ]
    command += ["--seed", str(SEED), "--out", str(out / example.name), "--quiet"]
    started_s = time.monotonic()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    if done.returncode not in (EXIT_OK, EXIT_FAILED, EXIT_BLOCKED):
        raise Refused(f"{example.name}: certify ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    results = _results(example, out)
    if results is None:
        raise Refused(f"{example.name}: certify wrote no results: {(done.stdout + done.stderr).strip()[-500:]}")
    print(f"      {status(results)}, {_counts(results)}, {time.monotonic() - started_s:.0f} s", flush=True)


def _results(example: Example, out: Path) -> Results | None:
    path = out / example.name / "results.json"
    if not path.exists():
        return None
    try:
        return from_json(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise Refused(f"{path}: {error}; certify this engine again") from None


def _write_page(examples: Sequence[Example], args: argparse.Namespace) -> int:
    outcomes = [(example, _results(example, args.out)) for example in examples]
    missing = [example.name for example, results in outcomes if results is None]
    if missing:
        print(
            f"no run of {', '.join(missing)} in {args.out}: the page is not written; run without --engine",
            file=sys.stderr,
        )
        return EXIT_BLOCKED
    runs = [(example, results) for example, results in outcomes if results is not None]
    args.page.write_text(page(runs), encoding="utf-8")
    print(f"page: {args.page}")
    open_ends = [text for example, results in runs for text in disagreements(example, results)]
    for text in open_ends:
        print(f"  {text}", file=sys.stderr)
    return EXIT_BLOCKED if open_ends else EXIT_OK


def disagreements(example: Example, results: Results) -> list[str]:
    """Where the run and the notes do not say the same, a sentence each; also a run that judged nothing."""
    failed = {clause.id for clause in failures(results)}
    texts = []
    if blocked(results):
        texts.append(f"{example.name}: blocked, nothing was tested: {results.level_reasons.get(LEVEL, '')}")
        return texts
    if unconfirmed := sorted(failed - example.confirmed):
        texts.append(f"{example.name}: failed and not confirmed in its notes: {', '.join(unconfirmed)}")
    if stale := sorted(example.confirmed - failed):
        texts.append(f"{example.name}: confirmed in its notes and not failed in this run: {', '.join(stale)}")
    return texts


def failures(results: Results) -> list[ClauseResult]:
    return [clause for clause in results.clauses if clause.verdict is Verdict.FAIL]


def blocked(results: Results) -> bool:
    judged = {Verdict.PASS, Verdict.FAIL}
    return not any(clause.verdict in judged for clause in results.clauses)


def status(results: Results) -> str:
    return "BLOCKED" if blocked(results) else str(results.levels[LEVEL]).replace("_", " ")


def _counts(results: Results) -> str:
    counts = results.counts()
    return f"{counts[Verdict.PASS]} pass, {counts[Verdict.FAIL]} fail"


def page(runs: Sequence[tuple[Example, Results]]) -> str:
    """The whole of docs/third-party.md."""
    version = runs[0][1].matchmark
    parts = [INTRODUCTION.format(seed=SEED, examples=EXAMPLES_DEFAULT, version=version, level=LEVEL)]
    parts += [_row(example, results) for example, results in runs]
    for example, results in runs:
        parts.append(_section(example, results))
    return "".join(parts).rstrip() + "\n"


def _row(example: Example, results: Results) -> str:
    counts = Counter(clause.verdict for clause in results.clauses if "matching" in clause.levels)
    target = results.target
    failed = [clause.id for clause in failures(results)]
    shown = ", ".join(failed[:LIST_SHOWN]) + (
        f" and {len(failed) - LIST_SHOWN} more" if len(failed) > LIST_SHOWN else ""
    )
    lacks = [f"lacks {name}" for name in CORE_CAPABILITIES if name not in target.capabilities]
    other = counts[Verdict.INCONCLUSIVE] + counts[Verdict.BLOCKED]
    cells = [
        f"[{cell(target.name)}](#{example.name})",
        cell(target.version),
        cell(example.language),
        status(results),
        str(counts[Verdict.PASS]),
        str(counts[Verdict.FAIL]),
        f"{counts[Verdict.NOT_APPLICABLE]} n/a" + (f", {other} open" if other else ""),
        "; ".join(filter(None, [shown, *lacks])),
    ]
    return f"| {' | '.join(cells)} |\n"


def cell(text: str) -> str:
    """The text as one cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")


def _section(example: Example, results: Results) -> str:
    target = results.target
    lines = ["", f'## <a id="{example.name}"></a>{target.name} {target.version}', ""]
    lines += [f"**{status(results)}**. {results.level_reasons.get(LEVEL, '')}", ""]
    lines += [f"Declared: {', '.join(target.capabilities)}.", *results.notes, ""]
    command = f"matchmark certify --target docs/examples/{example.name}/target.toml --seed {SEED}"
    lines += [f"[Profile and adapter](examples/{example.name}/), `{command}`", ""]
    lines += [example.about, ""]
    failed = {clause.id: clause for clause in failures(results)}
    for confirmation in example.confirmations:
        clauses = [failed.pop(clause) for clause in confirmation.clauses if clause in failed]
        if clauses:
            title = confirmation.cause[0].upper() + confirmation.cause[1:]
            lines += [f"### {title}", "", *_shown(clauses), "By hand:", "", confirmation.body, ""]
    for clause in failed.values():
        lines += [f"### {clause.id}, not confirmed by hand yet", "", *_shown([clause])]
    open_clauses = [c.id for c in results.clauses if c.verdict in (Verdict.INCONCLUSIVE, Verdict.BLOCKED)]
    if open_clauses:
        lines += [f"Not brought to an end: {', '.join(open_clauses)}.", ""]
    return "\n".join(lines)


def _shown(clauses: Sequence[ClauseResult]) -> list[str]:
    """What the run says of clauses with one cause: a line each, and the shortest transcript of them all."""
    lines = [f"- **{clause.id}** {clause.reason}" for clause in clauses]
    evidence = [e for clause in clauses for e in clause.evidence if e.transcript]
    if not evidence:
        return [*lines, ""]
    shortest = min(evidence, key=lambda e: (len(e.transcript), e.clause, e.test))
    wire = (f"    {line}".rstrip() for line in _evidence(shortest))
    return [*lines, "", f"As the kit saw it ({shortest.clause}):", "", *wire, ""]


def _evidence(evidence: Evidence) -> list[str]:
    """The end of the transcript up to the exchange that the finding is about, then what was expected and what came."""
    exchanges = list(read_jsonl(json.dumps(line) for line in evidence.transcript))
    index = len(exchanges) - 1 if evidence.index is None else min(evidence.index, len(exchanges) - 1)
    first = max(0, index + 1 - EXCHANGES_SHOWN)
    lines = [f"... {first} commands before ..."] if first else []
    for exchange in exchanges[first : index + 1]:
        lines += _shortened(transcript(History([exchange])))
    lines += _listed("expected", evidence.expected)
    return lines + _listed("actual", evidence.actual)


def _listed(title: str, values: Sequence[str]) -> list[str]:
    return _shortened([f"{title}: {value}" for value in values or ["(nothing)"]])


def _shortened(lines: Sequence[str]) -> list[str]:
    """A long answer's beginning and its last line."""
    if len(lines) <= LINES_SHOWN:
        return list(lines)
    return [*lines[: LINES_SHOWN - 2], f"   ... {len(lines) - LINES_SHOWN + 1} more ...", lines[-1]]
