"""What a check reports, and how it puts messages into words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from matchmark.conformance.messages import Command, Event, to_wire


@dataclass(frozen=True)
class Finding:
    """One broken clause at one exchange of a history."""

    clause: str
    index: int
    """Position in the history of the exchange whose answer is wrong; of the line in its stream, for a finding in FIX streams."""
    message: str
    """One sentence that can be understood without the source of the check."""
    expected: tuple[str, ...] = ()
    actual: tuple[str, ...] = ()
    session: str = ""
    """Whose stream `index` counts the lines of; empty for a history."""


def show(message: Command | Event) -> str:
    """A message on one line, as in a transcript: `trade sym=S1 px=10050 qty=100 resting=c1 incoming=c3`."""
    wire = to_wire(message)
    return " ".join(str(value) if key in ("op", "ev") else f"{key}={value}" for key, value in wire.items())


def show_all(messages: Iterable[Command | Event]) -> tuple[str, ...]:
    return tuple(show(message) for message in messages)
