"""What was said to a target and what it answered: the one input of every check, and the evidence of every verdict.

A History is append-only. It knows nothing of targets or of verdicts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from matchmark.conformance.messages import Command, Event, command_from_wire, event_from_wire, to_wire

_encode = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Exchange:
    """One command and its whole answer. `failure` is set when the target gave none: it died, hung or sent garbage."""

    command: Command
    events: tuple[Event, ...]
    sent_ns: int = 0
    done_ns: int = 0
    failure: str | None = None


@dataclass(slots=True)
class History:
    exchanges: list[Exchange] = field(default_factory=list)

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
        for x in self.exchanges:
            yield _encode({**context, **exchange_to_wire(x)})


def exchange_to_wire(x: Exchange) -> dict[str, Any]:
    line: dict[str, Any] = {"sent_ns": x.sent_ns, "done_ns": x.done_ns, "command": to_wire(x.command)}
    line["events"] = [to_wire(event) for event in x.events]
    if x.failure is not None:
        line["failure"] = x.failure
    return line


def read_jsonl(lines: Iterable[str]) -> History:
    """The History that `json_lines` gave."""
    history = History()
    for line in lines:
        wire = json.loads(line)
        history.add(
            Exchange(
                command_from_wire(wire["command"]),
                tuple(event_from_wire(e) for e in wire["events"]),
                wire["sent_ns"],
                wire["done_ns"],
                wire.get("failure"),
            )
        )
    return history
