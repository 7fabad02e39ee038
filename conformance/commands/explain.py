"""`matchmark explain D04.7`: all that is known of a clause; `matchmark explain R1`: a ruling and who it touches."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from matchmark.conformance.clauses import (
    CAPABILITIES,
    CORE_CAPABILITIES,
    KIND_TITLES,
    RULINGS,
    Clause,
    Register,
    Ruling,
    UnknownClause,
    load,
    ns_text,
)

NAME = "explain"
HELP = "explain a clause (D04.7) or a ruling (R1)"

_WIDEST = 110  # lines longer than this are hard to read, however wide the terminal


@dataclass(frozen=True)
class Catalogue:
    """What the code has for each clause id: checks that judge it and mutants that they must catch."""

    checks: Mapping[str, Sequence[str]]
    mutants: Mapping[str, Sequence[str]]


def catalogue_of_the_code() -> Catalogue:
    # Imported here: it loads every suite, which `matchmark --help` has no use for.
    from matchmark.conformance.catalogue import checks_by_clause, mutants_by_clause

    return Catalogue(checks_by_clause(), mutants_by_clause())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", nargs="+", metavar="ID", help="clause or ruling, such as D04.7, D01.X2 or R1")


def run(args: argparse.Namespace, catalogue: Callable[[], Catalogue] = catalogue_of_the_code) -> int:
    """Exit code 2 when an id is unknown; nothing is printed on stdout then."""
    register = load()
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    try:
        subjects = [_find(register, text) for text in args.ids]
    except UnknownSubject as error:
        print(f"matchmark explain: {error}", file=sys.stderr)
        return 2
    known = catalogue() if any(isinstance(subject, Clause) for subject in subjects) else Catalogue({}, {})
    pages = [_page(register, subject, known, width) for subject in subjects]
    print("\n\n".join("\n".join(page) for page in pages))
    return 0


class UnknownSubject(LookupError):
    """Neither clause nor ruling; the message has suggestions."""


def _find(register: Register, text: str) -> Clause | Ruling:
    if ruling := re.fullmatch(r"[rR]0*(\d+)", text.strip()):
        name = f"R{ruling[1]}"
        if name not in RULINGS:
            first, *_, last = RULINGS
            raise UnknownSubject(f"no ruling {text!r}; there are {first} to {last}")
        return RULINGS[name]
    if any(text.strip().upper() == diagram.id for diagram in register.diagrams()):
        raise UnknownSubject(f"{text!r} is a diagram; `matchmark clauses --diagram {text}` lists its clauses")
    try:
        return register[text.strip()]
    except UnknownClause as error:
        raise UnknownSubject(str(error)) from None


def _page(register: Register, subject: Clause | Ruling, catalogue: Catalogue, width: int) -> list[str]:
    if isinstance(subject, Clause):
        return clause_lines(register, subject, catalogue, width)
    return ruling_lines(register, subject, width)


def clause_lines(register: Register, clause: Clause, catalogue: Catalogue, width: int = 100) -> list[str]:
    """The whole page on one clause."""
    title = next(diagram.title for diagram in register.diagrams() if diagram.id == clause.diagram)
    place = f"{title}, {KIND_TITLES[clause.kind].lower()}"
    lines = [f"{clause.id}  {clause.strength}  ({place})", *_section("Demand", [clause.text], width)]
    lines += _section("Why", [clause.why], width)
    lines += _section("Levels", [", ".join(clause.levels)], width)
    lines += _section("Needs", _needs(clause), width)
    if clause.budget_ns is not None:
        lines += _section("Budget", [_budget(register, clause)], width)
    if clause.ruling is not None:
        lines += _section(f"Ruling {clause.ruling}", _ruling(RULINGS[clause.ruling]), width)
    checks, mutants = catalogue.checks.get(clause.id, ()), catalogue.mutants.get(clause.id, ())
    lines += _section("Checks", checks or [_unchecked(clause)], width)
    lines += _section("Mutants its checks must catch", mutants or ["none"], width)
    return lines + _section("Verdicts", _verdicts(clause, bool(checks)), width)


def ruling_lines(register: Register, ruling: Ruling, width: int = 100) -> list[str]:
    """The ruling in full and the clauses that follow it."""
    touched = [clause.id for clause in register if clause.ruling == ruling.id]
    lines = [f"{ruling.id}  ruling on the specification", *_section("Where", [ruling.where], width)]
    lines += _section("The specification", [ruling.says], width)
    lines += _section("Ruling", [ruling.ruling], width)
    return lines + _section("Clauses", [", ".join(touched)], width)


def _needs(clause: Clause) -> Iterable[str]:
    for need in clause.needs:
        core = " (required for level matching)" if need in CORE_CAPABILITIES else ""
        yield f"{need}: {CAPABILITIES[need]}{core}"
    if not clause.needs:
        yield "no capability"


def _budget(register: Register, clause: Clause) -> str:
    assert clause.budget_ns is not None
    clock = next(diagram.clock for diagram in register.diagrams() if diagram.id == clause.diagram)
    return (
        f"{ns_text(clause.budget_ns)} from time zero, which is {clock}; "
        "a SHOULD, measured always and judged only when the profile's timing grade asks for it"
    )


def _ruling(ruling: Ruling) -> list[str]:
    return [f"where: {ruling.where}", f"the specification: {ruling.says}", f"ruling: {ruling.ruling}"]


def _unchecked(clause: Clause) -> str:
    if clause.untested is not None:
        return f"none: {clause.untested}"
    return "none, and the register gives no reason: this is a defect of matchmark, please report it"


def _verdicts(clause: Clause, checked: bool) -> Iterable[str]:
    if not checked:
        yield "UNTESTED: no certificate says anything about this clause; the reason is given above"
        return
    yield "PASS: no example of any of its checks showed it broken"
    yield "FAIL: at least one example showed it broken; the transcript is in the evidence"
    yield "INCONCLUSIVE: the target hung, died or answered in a way that cannot be judged; never a PASS"
    yield "BLOCKED: the positive control failed, so that silence would prove nothing"
    if clause.needs:
        yield f"NOT_APPLICABLE: the target does not declare all of {', '.join(clause.needs)}"


def _section(title: str, paragraphs: Iterable[str], width: int) -> list[str]:
    """A title and its paragraphs, indented under it, with a hanging indent."""
    lines = ["", title]
    for paragraph in paragraphs:
        lines += textwrap.wrap(
            paragraph, max(width, 40), initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
        )
    return lines
