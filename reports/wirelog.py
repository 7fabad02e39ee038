"""A transcript as a table to read: what was sent, what came back, when, and which exchange the finding is about.

Its rows are commands with their answers, or single FIX messages of a session (conformance.history).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SHOWN_BEFORE = 30
SHOWN_AFTER = 5
SHOWN_FIRST = 5
"""A page holds the start of a long transcript and what surrounds the finding. Shrunk transcripts are shorter."""


@dataclass(frozen=True, slots=True)
class Message:
    verb: str
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ExchangeRow:
    """One exchange, numbered from 1, `at` its time since the first. `omitted` counts exchanges left out before it."""

    number: int
    at: str
    sent: Message | None
    """None where the row is a message that came."""
    answers: tuple[Message, ...]
    failure: str
    marked: bool
    omitted: int
    wire: tuple[Message, ...] = ()
    """The FIX messages of all sessions that belong to the exchange, in the order of their times."""
    single: bool = False
    """The row is one FIX message: no answer is missing from it."""


def rows(transcript: Sequence[Mapping[str, Any]], index: int | None) -> list[ExchangeRow]:
    """The rows to show; `index` is the exchange to mark, from 0, or None for the last."""
    marked = len(transcript) - 1 if index is None else index
    start = _time(transcript[0]) if transcript else None
    whole = len(transcript) <= SHOWN_FIRST + SHOWN_BEFORE + SHOWN_AFTER
    near = range(marked - SHOWN_BEFORE, marked + SHOWN_AFTER + 1)
    shown = [n for n in range(len(transcript)) if whole or n < SHOWN_FIRST or n in near]
    before = -1
    table = []
    for n in shown:
        table.append(_row(n, transcript[n], start, n == marked, n - before - 1))
        before = n
    return table


def left_out_after(transcript: Sequence[Mapping[str, Any]], shown: Sequence[ExchangeRow]) -> int:
    """How many exchanges follow the last one shown."""
    return len(transcript) - shown[-1].number if shown else 0


def _row(n: int, exchange: Mapping[str, Any], start: int | None, marked: bool, omitted: int) -> ExchangeRow:
    sent = _time(exchange)
    at = nanoseconds(sent - start) if sent is not None and start is not None else ""
    if "fix" in exchange:
        said = fix_message(exchange)
        out, back = (said, ()) if exchange.get("sent") else (None, (said,))
        return ExchangeRow(n + 1, at, out, back, "", marked, omitted, single=True)
    return ExchangeRow(
        number=n + 1,
        at=at,
        sent=message(exchange.get("command")),
        answers=tuple(message(event) for event in _list(exchange.get("events"))),
        failure=str(exchange.get("failure") or ""),
        marked=marked,
        omitted=omitted,
        wire=tuple(fix_message(line) for line in _list(exchange.get("wire")) if isinstance(line, Mapping)),
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _time(exchange: Mapping[str, Any]) -> int | None:
    return _integer(exchange.get("at_ns" if "fix" in exchange else "sent_ns"))


FIX_TYPES = {
    "0": "Heartbeat",
    "1": "TestRequest",
    "2": "ResendRequest",
    "3": "Reject",
    "4": "SequenceReset",
    "5": "Logout",
    "8": "ExecutionReport",
    "9": "OrderCancelReject",
    "A": "Logon",
    "D": "NewOrderSingle",
    "F": "OrderCancelRequest",
    "G": "OrderCancelReplaceRequest",
    "H": "OrderStatusRequest",
    "j": "BusinessMessageReject",
    "q": "OrderMassCancelRequest",
    "r": "OrderMassCancelReport",
}


def fix_message(line: Mapping[str, Any]) -> Message:
    """A FIX message as its session, direction and name, and its fields by tag in their order."""
    text = _text(line.get("fix", ""))
    fields = tuple((tag, value) for tag, _, value in (part.partition("=") for part in text.split("|") if part))
    kind = next((value for tag, value in fields if tag == "35"), "")
    name = FIX_TYPES.get(kind, f"MsgType {kind}" if kind else "bytes")
    return Message(f"{_text(line.get('session', '?'))} {'→' if line.get('sent') else '←'} {name}", fields)


def message(wire: Any) -> Message:
    """A wire object as its verb and its other fields; whatever else it is, as its JSON text."""
    if not isinstance(wire, Mapping):
        return Message("" if wire is None else json.dumps(wire), ())
    key = "op" if "op" in wire else "ev"
    return Message(_text(wire.get(key, "?")), tuple((str(k), _text(v)) for k, v in wire.items() if k != key))


def nanoseconds(ns: int) -> str:
    """Three figures and a unit: 870 ns, 12.3 µs, 1.20 ms, 2.00 s."""
    for unit, size in (("s", 10**9), ("ms", 10**6), ("µs", 10**3)):
        if abs(ns) >= size:
            value = ns / size
            return f"{value:.{2 if abs(value) < 10 else 1 if abs(value) < 100 else 0}f} {unit}"
    return f"{ns} ns"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _integer(value: Any) -> int | None:
    return value if type(value) is int else None
