"""How a check says that a clause is broken: the exception, its text, and the words for verdicts.

How several become one is decided in reports/verdicts.py: the worst stands, and a part that was blocked or left out outweighs
any number that passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING

from matchmark.conformance.history import History
from matchmark.conformance.messages import to_wire

if TYPE_CHECKING:
    from matchmark.conformance.checks.finding import Finding


class Verdict(StrEnum):
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    PASS = "PASS"
    BLOCKED = "BLOCKED"
    NOT_APPLICABLE = "NOT_APPLICABLE"
    UNTESTED = "UNTESTED"


class ClauseViolation(AssertionError):
    """The target broke `finding.clause`; `history` is the transcript that shows it.

    Its text can be understood without the test's source: what was demanded, what was expected, what came, and every
    message that led to it.
    """

    def __init__(self, finding: Finding, history: History) -> None:
        super().__init__(finding, history)
        self.finding = finding
        self.history = History(list(history.exchanges))
        self.also: list[ClauseViolation] = []
        """Of other clauses that the same answer broke: they are reported with this one."""

    def __str__(self) -> str:
        f = self.finding
        lines = [f"{f.clause}: {f.message}"]
        lines += _listed("expected", f.expected) + _listed("actual", f.actual)
        lines.append("transcript:")
        lines += transcript(self.history, mark=f.index)
        return "\n".join(lines)


def _listed(title: str, values: Sequence[str]) -> list[str]:
    return [f"  {title}: {values[0] if values else '(nothing)'}"] + [f"  {'':{len(title)}}  {v}" for v in values[1:]]


def transcript(history: History, mark: int | None = None) -> list[str]:
    """The history in lines of `->` command and `<-` event; the exchange at index `mark` is pointed at."""
    lines = []
    for index, x in enumerate(history):
        pointer = ">>" if index == mark else "  "
        lines.append(f"{pointer} -> {_terse(x.command)}")
        lines += [f"   <- {_terse(event)}" for event in x.events]
        if x.failure:
            lines.append(f"   !! {x.failure}")
    return lines


def _terse(message: object) -> str:
    return " ".join(f"{k}={v}" if k not in ("op", "ev") else str(v) for k, v in to_wire(message).items())  # type: ignore[arg-type]


@cache
def violation_type(clause: str) -> type[ClauseViolation]:
    """A ClauseViolation class of its own for each clause: hypothesis tells bugs apart, and shrinks them, by type."""
    return type(f"Violation_{clause.replace('.', '_')}", (ClauseViolation,), {})


def violations_in(error: BaseException) -> list[ClauseViolation]:
    """Every ClauseViolation in an exception or a (nested) ExceptionGroup; empty when there is anything else in it."""
    if isinstance(error, ClauseViolation):
        return [error, *error.also]
    if isinstance(error, BaseExceptionGroup):
        found = [violations_in(e) for e in error.exceptions]
        return [v for part in found for v in part] if all(found) else []
    return []
