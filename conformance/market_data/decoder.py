"""How a feed is asked and read. A vendor's feed has a class of its own in the profile ([market_data] decoder); the default one
speaks the reference exchange's protocol: requests in JSON text, updates in Protocol Buffers or JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

from google.protobuf import json_format
from google.protobuf.message import DecodeError

from matchmark.conformance.market_data import schema
from matchmark.conformance.market_data.updates import (
    Dropped,
    Heard,
    Level,
    Live,
    LoggedOn,
    Quote,
    Refused,
    Stale,
    Status,
    Subscribed,
    Trade,
    Trading,
    Unreadable,
    Unsubscribed,
    Update,
)

Message = str | bytes
"""One WebSocket message, text or binary."""
DEPTH, QUOTES = "depth", "quotes"
PROTOBUF, JSON = "protobuf", "json"


@dataclass(frozen=True)
class Request:
    """`after`: the last sequence heard of a symbol, by symbol; what came behind it is sent again, trades included."""

    number: int
    symbols: tuple[str, ...]
    channel: str = DEPTH
    encoding: str = PROTOBUF
    after: Mapping[str, int] = field(default_factory=dict)


class Decoder(Protocol):
    """One connection's: it may remember what was agreed on it. What it is given by the profile's [market_data] options are its
    keyword arguments."""

    def login(self, token: str) -> Message | None:
        """What is sent first; None when nothing is."""

    def subscribe(self, request: Request) -> Message: ...

    def unsubscribe(self, number: int, symbols: Sequence[str]) -> Message: ...

    def read(self, message: Message, at_ns: int) -> Sequence[Heard]:
        """What the message says, in its order; [] of what means nothing to a subscriber. Never raises."""


class MatchmarkDecoder:
    """The reference exchange's."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}

    def login(self, token: str) -> Message | None:
        return json.dumps({"op": "login", "token": token})

    def subscribe(self, request: Request) -> Message:
        asked: dict[str, Any] = {
            "op": "subscribe", "id": request.number, "symbols": list(request.symbols), "channel": request.channel,
            "encoding": request.encoding,
        }  # fmt: skip
        return json.dumps(asked | ({"after": dict(request.after)} if request.after else {}))

    def unsubscribe(self, number: int, symbols: Sequence[str]) -> Message:
        return json.dumps({"op": "unsubscribe", "id": number, "symbols": list(symbols)})

    def read(self, message: Message, at_ns: int) -> Sequence[Heard]:
        try:
            if isinstance(message, bytes):
                return (self._update(_classes()["Update"].FromString(message), message, at_ns),)
            return self._text(json.loads(message), message, at_ns)
        except (DecodeError, json_format.ParseError, ValueError, KeyError, TypeError, AttributeError) as error:
            raw = message if isinstance(message, bytes) else message.encode()
            return (Unreadable(f"{type(error).__name__}: {error}", raw, at_ns),)

    def _text(self, said: Mapping[str, Any], text: str, at_ns: int) -> Sequence[Heard]:
        op = said.get("op")
        if op in (None, "update"):
            values = {key: value for key, value in said.items() if key not in ("op", "name")}
            name = values.get("symbol")
            if isinstance(name, str):
                del values["symbol"]
            update = json_format.ParseDict(values, _classes()["Update"](), ignore_unknown_fields=True)
            return (self._update(update, text.encode(), at_ns, name if isinstance(name, str) else None),)
        number = said.get("id")
        if op == "subscribed":
            self._names.update({int(n): symbol for symbol, n in said["symbols"].items()})
            return (Subscribed(int(number or 0), tuple(said["symbols"]), at_ns),)
        if op == "unsubscribed":
            return (Unsubscribed(int(number or 0), tuple(said.get("symbols", ())), at_ns),)
        if op == "refused":
            return (Refused(number if isinstance(number, int) else None, str(said.get("reason", "")), at_ns),)
        if op == "dropped":
            return (Dropped(str(said.get("reason", "")), at_ns),)
        simple: dict[str, Heard] = {"stale": Stale(at_ns), "live": Live(at_ns)}
        if op in ("welcome", "logged_in", "logged_on", "login"):
            return (LoggedOn(at_ns),)
        return (simple[op],) if op in simple else ()

    def _update(self, u: Any, raw: bytes, at_ns: int, symbol: str | None = None) -> Update:
        binary = raw[:1] != b"{"
        name = self._names.get(u.symbol, f"(number {u.symbol})") if symbol is None else symbol
        quote = None
        if u.HasField("quote"):
            q = u.quote
            quote = Quote(
                (q.bid_ticks, q.bid_lots) if q.bid_lots else None, (q.ask_ticks, q.ask_lots) if q.ask_lots else None
            )
        return Update(
            name, u.after, u.sequence,
            tuple(Trade(t.sequence, t.price_ticks, t.quantity_lots, t.sold, t.ByteSize() * binary) for t in u.trades),
            tuple(Status(s.sequence, TRADING[s.trading]) for s in u.statuses),
            u.book, u.snapshot, quote,
            tuple(Level(x.ask, x.price_ticks, x.quantity_lots) for x in u.levels),
            u.made_ns, at_ns, raw,
        )  # fmt: skip


TRADING = (Trading.NORMAL, Trading.WARNED, Trading.HALTED)


@cache
def _classes() -> dict[str, Any]:
    return dict(schema.message_classes(schema.published()))
