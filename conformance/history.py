"""What was said to a target and what it answered: the one input of every check, and the evidence of every verdict.

A History is append-only. It knows nothing of targets or of verdicts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from matchmark.conformance.messages import Command, Event, command_from_wire, event_from_wire, to_wire

_encode = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class WireLine:
    """One FIX message as the kit's end of a session saw it; `fix` is its text with | for SOH."""

    session: str
    sent: bool
    fix: str
    at_ns: int = 0


@dataclass(frozen=True, slots=True)
class Exchange:
    """One command and its whole answer. `failure` is set when the target gave none: it died, hung or sent garbage.

    `wire` is what was said to get it, where the target speaks FIX.
    """

    command: Command
    events: tuple[Event, ...]
    sent_ns: int = 0
    done_ns: int = 0
    failure: str | None = None
    wire: tuple[WireLine, ...] = ()


@dataclass(slots=True)
class History:
    """Commands with their answers, then what was said on FIX sessions without a command of the kit's vocabulary."""

    exchanges: list[Exchange] = field(default_factory=list)
    wire: list[WireLine] = field(default_factory=list)

    def add(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)

    def __iter__(self) -> Iterator[Exchange]:
        return iter(self.exchanges)

    def __len__(self) -> int:
        return len(self.exchanges)

    @property
    def commands(self) -> list[Command]:
        return [x.command for x in self.exchanges]

    @property
    def events(self) -> list[Event]:
        return [event for x in self.exchanges for event in x.events]

    def json_lines(self, **context: Any) -> Iterator[str]:
        """One line a command, its events in it, times in ns; `context` (test, example) is put on each line."""
        for row in self.rows():
            yield _encode({**context, **row})

    def rows(self) -> list[dict[str, Any]]:
        """The history as JSON values, a row a command and then a row a FIX message: the transcript of evidence."""
        return [*map(exchange_to_wire, self.exchanges), *map(line_to_wire, self.wire)]


def exchange_to_wire(x: Exchange) -> dict[str, Any]:
    line: dict[str, Any] = {"sent_ns": x.sent_ns, "done_ns": x.done_ns, "command": to_wire(x.command)}
    line["events"] = [to_wire(event) for event in x.events]
    if x.failure is not None:
        line["failure"] = x.failure
    if x.wire:
        line["wire"] = [line_to_wire(message) for message in x.wire]
    return line


def line_to_wire(line: WireLine) -> dict[str, Any]:
    return {"session": line.session, "sent": line.sent, "fix": line.fix, "at_ns": line.at_ns}


def line_from_wire(wire: dict[str, Any]) -> WireLine:
    return WireLine(wire["session"], wire["sent"], wire["fix"], wire["at_ns"])


_SECRETS = re.compile(r"(?<=\|)(554|925)=[^|]*|(?<![\w-])[\w-]{8,4096}\.[\w-]{8,4096}\.[\w-]{16,}")
"""Password, NewPassword, and what looks like a JSON Web Token wherever it stands."""


def readable(raw: bytes) -> str:
    """A FIX message as text that can be printed and shown: | for SOH, bytes that are no ASCII as their escape, secrets hidden."""
    text = raw.decode("ascii", "backslashreplace").replace("\x01", "|")
    return _SECRETS.sub(lambda found: f"{found[1]}=(hidden)" if found[1] else "(hidden)", text)


def read_jsonl(lines: Iterable[str]) -> History:
    """The History that `json_lines` gave."""
    return history_of(json.loads(line) for line in lines)


def history_of(rows: Iterable[dict[str, Any]]) -> History:
    """The History that `rows` gave."""
    history = History()
    for wire in rows:
        if "fix" in wire:
            history.wire.append(line_from_wire(wire))
            continue
        history.add(
            Exchange(
                command_from_wire(wire["command"]),
                tuple(event_from_wire(e) for e in wire["events"]),
                wire.get("sent_ns", 0),
                wire.get("done_ns", 0),
                wire.get("failure"),
                tuple(map(line_from_wire, wire.get("wire", ()))),
            )
        )
    return history
