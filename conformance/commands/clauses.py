"""`matchmark clauses`: the clause register as a table, a line of JSON, or the list of capabilities."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from matchmark.conformance.clauses import CAPABILITIES, CORE_CAPABILITIES, LEVELS, Clause, Register, load
from matchmark.conformance.clauses.register import DIAGRAMS

NAME = "clauses"
HELP = "list the clauses of the specification"

_UNWRAPPED = 10_000  # columns when the output is not a terminal: one line a clause, for grep
_NARROWEST = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--level", choices=list(LEVELS), metavar="LEVEL", help=f"only this level: {', '.join(LEVELS)}")
    parser.add_argument("--diagram", type=_diagram, metavar="D04", help="only this sequence diagram")
    parser.add_argument("--untested", action="store_true", help="only clauses that no check reaches, with the reason")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print JSON, every field of each clause")
    output.add_argument("--capabilities", action="store_true", help="list what a target can declare, and what needs it")


def run(args: argparse.Namespace) -> int:
    register = load()
    chosen = select(register, args.level, args.diagram, args.untested)
    if args.json:
        clauses = [asdict(clause) for clause in chosen]
        print(json.dumps({"total": len(register), "selected": len(clauses), "clauses": clauses}, indent=1))
    elif args.capabilities:
        print("\n".join(capability_lines(chosen, _width())))
    else:
        print("\n".join([*table_lines(register, chosen, _width()), summary(register, chosen)]))
    return 0


def select(register: Register, level: str | None, diagram: str | None, untested: bool) -> list[Clause]:
    """The clauses that pass every filter given, in register order."""
    chosen = list(register) if level is None else register.for_level(level)
    return [c for c in chosen if diagram in (None, c.diagram) and not (untested and c.untested is None)]


def table_lines(register: Register, clauses: Sequence[Clause], width: int) -> list[str]:
    """A block a diagram; the demand is wrapped into what is left of `width` columns."""
    lines = []
    for diagram in register.diagrams():
        rows = [clause for clause in clauses if clause.diagram == diagram.id]
        if rows:
            lines += [f"{diagram.id}  {diagram.title}", *(line for row in rows for line in _row(row, width)), ""]
    return lines


def _row(clause: Clause, width: int) -> list[str]:
    levels = ", ".join(clause.levels)
    body = clause.text if clause.untested is None else f"{clause.text} [untested: {clause.untested}]"
    head = f"  {clause.id:<8}{clause.strength:<8}"
    if width < 100:  # too narrow for a column of levels
        body = f"({levels}) {body}"
    else:
        head += f"{levels:<26}"
    return textwrap.wrap(
        body, max(width, _NARROWEST), initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False
    )


def summary(register: Register, clauses: Sequence[Clause]) -> str:
    """`87 of 321 clauses: 40 steps, ...; 80 MUST, 7 SHOULD; 0 untested`."""
    kinds = Counter(clause.kind for clause in clauses)
    strengths = Counter(clause.strength for clause in clauses)
    count = f"{len(clauses)}" if len(clauses) == len(register) else f"{len(clauses)} of {len(register)}"
    untested = sum(clause.untested is not None for clause in clauses)
    return (
        f"{count} clauses, {kinds['step']} of them numbered steps: {strengths['MUST']} MUST, "
        f"{strengths['SHOULD']} SHOULD; {untested} untested (matchmark explain ID says more)"
    )


def capability_lines(clauses: Sequence[Clause], width: int) -> list[str]:
    """One line a capability: its name, what it means, how many of `clauses` need it, whether it is core."""
    needed = Counter(need for clause in clauses for need in clause.needs)
    pad = max(map(len, CAPABILITIES)) + 2
    lines = []
    for name, meaning in CAPABILITIES.items():
        core = "; required for level matching" if name in CORE_CAPABILITIES else ""
        body = f"{meaning} ({needed[name]} clause{'' if needed[name] == 1 else 's'}{core})"
        lines += textwrap.wrap(
            body, max(width, _NARROWEST), initial_indent=f"{name:<{pad}}", subsequent_indent=" " * pad
        )
    return lines


def _width() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _UNWRAPPED


def _diagram(text: str) -> str:
    """D04, d4 and 4 are all diagram 4."""
    digits = text.strip().upper().removeprefix("D")
    name = f"D{int(digits):02}" if digits.isascii() and digits.isdigit() else text
    if name not in DIAGRAMS:
        raise argparse.ArgumentTypeError(f"no diagram {text!r}; there are {DIAGRAMS[0]} to {DIAGRAMS[-1]}")
    return name
