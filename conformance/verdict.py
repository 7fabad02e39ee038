"""How a check says that a clause is broken: the exception, its text, and the words for verdicts.

How several become one is decided in reports/verdicts.py: the worst stands, and a part that was blocked or left out outweighs
any number that passed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, NoReturn, Protocol

from matchmark.conformance.history import History, WireLine, readable
from matchmark.conformance.messages import to_wire

if TYPE_CHECKING:
    from matchmark.conformance.checks.finding import Finding
    from matchmark.conformance.targets.base import StreamFault


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
        self.history = History(list(history.exchanges), list(history.wire))
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
        lines += [f"      {_said(line)}" for line in x.wire]
    return lines + [f"   {_said(line)}" for line in history.wire]


def _said(line: WireLine) -> str:
    return f"{line.session} {'->' if line.sent else '<-'} {line.fix}"


def _terse(message: object) -> str:
    return " ".join(f"{k}={v}" if k not in ("op", "ev") else str(v) for k, v in to_wire(message).items())  # type: ignore[arg-type]


@cache
def violation_type(clause: str) -> type[ClauseViolation]:
    """A ClauseViolation class of its own for each clause: hypothesis tells bugs apart, and shrinks them, by type."""
    return type(f"Violation_{clause.replace('.', '_')}", (ClauseViolation,), {})


class SaidMessage(Protocol):
    """What fix_violation reads of a conformance.fix FixMessage."""

    @property
    def raw(self) -> bytes: ...
    @property
    def at_ns(self) -> int: ...


class SaidLine(Protocol):
    """What fix_violation reads of a conformance.fix Line."""

    @property
    def sent(self) -> bool: ...
    @property
    def message(self) -> SaidMessage: ...


Streams = Mapping[str, Sequence[SaidLine]]
"""What each session said and heard, in its order; the key names the session in the transcript."""
WIRE_LINES_MAX = 2_000
"""Evidence holds the last so many messages of all sessions together."""


def wire_log(streams: Streams) -> list[WireLine]:
    """The sessions' streams as one log, by the time at which each message was sent or came."""
    lines = [
        WireLine(session, line.sent, readable(line.message.raw), line.message.at_ns)
        for session, stream in streams.items()
        for line in stream
    ]
    return sorted(lines, key=lambda line: line.at_ns)[-WIRE_LINES_MAX:]


def fix_violation(
    clause: str, message: str, expected: Sequence[str], actual: Sequence[str], streams: Streams
) -> NoReturn:
    """Raises the clause's violation with the wire log of the sessions as its transcript."""
    from matchmark.conformance.checks.finding import Finding

    history = History(wire=wire_log(streams))
    raise violation_type(clause)(Finding(clause, -1, message, tuple(expected), tuple(actual)), history)


def stream_violation(fault: StreamFault, history: History) -> ClauseViolation:
    """The violation of what an adapter found in the sessions' streams, at the last exchange of the history."""
    from matchmark.conformance.checks.finding import Finding

    finding = Finding(fault.clause, len(history) - 1, fault.message, fault.expected, fault.actual)
    return violation_type(fault.clause)(finding, history)


def violations_in(error: BaseException) -> list[ClauseViolation]:
    """Every ClauseViolation in an exception or a (nested) ExceptionGroup; empty when there is anything else in it."""
    if isinstance(error, ClauseViolation):
        return [error, *error.also]
    if isinstance(error, BaseExceptionGroup):
        found = [violations_in(e) for e in error.exceptions]
        return [v for part in found for v in part] if all(found) else []
    return []
