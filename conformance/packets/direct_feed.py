"""The packets of the direct feed as scapy layers: read, shown and forged like any other protocol's. docs/direct-feed.md.

    DirectFeed(data).show()
    bytes(Request(after=0, through=100))

Prices are ticks, quantities lots, times nanoseconds of the exchange's monotonic clock, sequences those of the audit log. Where no
message begins the rest is scapy's Raw.
"""

from __future__ import annotations

from typing import Any, ClassVar

from scapy.base_classes import BasePacket
from scapy.fields import (
    ByteEnumField,
    ByteField,
    FlagsField,
    IntField,
    LEIntField,
    LELongField,
    LEShortField,
    LESignedLongField,
    PacketListField,
    StrFixedLenField,
)
from scapy.packet import Packet, Raw

HEADER_BYTES, HEAD_BYTES, PACKET_BYTES, REQUEST_BYTES = 48, 24, 1400, 24
MAGIC, REQUEST_MAGIC, VERSION = b"MMDF", b"MMDR", 1
CONTINUES, ANSWER, UNAVAILABLE = 1, 2, 4
"""Flags of a packet."""
LAST, MARKET, IMMEDIATE = 1, 2, 4
"""Flags of a message."""
SIDES = {0: "buy", 1: "sell"}
TRADING = {0: "open", 1: "warned", 2: "halted"}
STATES = {0: "", 1: "new", 2: "partially_filled", 3: "filled", 4: "cancelled"}
ABSENT = -(1 << 63)
"""Price of a market order."""


class Message(Packet):
    """One message; its class says which. A message's bytes end where its type says, so several follow each other."""

    LETTER = ""

    def extract_padding(self, s: bytes) -> tuple[bytes, bytes | None]:
        return b"", s


def _head(letter: str, side: dict[int, str], state: dict[int, str]) -> list[Any]:
    return [
        ByteField("type", ord(letter)),
        FlagsField("flags", 0, 8, ["last", "market", "immediate"]),
        ByteEnumField("side", 0, side),
        ByteEnumField("state", 0, state),
        LEIntField("symbol", 0),
        LELongField("sequence", 0),
        LELongField("matched_ns", 0),
    ]


_ORDER = [
    LELongField("order_id", 0),
    LESignedLongField("price", 0),
    LEIntField("quantity", 0),
    LEIntField("cum", 0),
]


class Added(Message):
    name, LETTER = "Added", "A"
    fields_desc: ClassVar[list[Any]] = [*_head("A", SIDES, STATES), *_ORDER]


class Deferred(Message):
    name, LETTER = "Deferred", "D"
    fields_desc: ClassVar[list[Any]] = [*_head("D", SIDES, STATES), *_ORDER]


class Released(Message):
    name, LETTER = "Released", "R"
    fields_desc: ClassVar[list[Any]] = [*_head("R", SIDES, STATES), *_ORDER]


class Replaced(Message):
    name, LETTER = "Replaced", "U"
    fields_desc: ClassVar[list[Any]] = [*_head("U", SIDES, STATES), *_ORDER]


class Trade(Message):
    name, LETTER = "Trade", "E"
    fields_desc: ClassVar[list[Any]] = [
        *_head("E", SIDES, STATES),
        LELongField("order_id", 0),
        LELongField("resting_order_id", 0),
        LESignedLongField("price", 0),
        LEIntField("quantity", 0),
        LEIntField("leaves", 0),
        LEIntField("resting_leaves", 0),
        IntField("zero", 0),
    ]


class Cancelled(Message):
    name, LETTER = "Cancelled", "X"
    fields_desc: ClassVar[list[Any]] = [
        *_head("X", SIDES, STATES),
        LELongField("order_id", 0),
        LEIntField("quantity", 0),
        IntField("zero", 0),
    ]


class TradingState(Message):
    name, LETTER = "TradingState", "S"
    fields_desc: ClassVar[list[Any]] = _head("S", TRADING, TRADING)


class Cleared(Message):
    name, LETTER = "Cleared", "C"
    fields_desc: ClassVar[list[Any]] = _head("C", SIDES, STATES)


MESSAGES: dict[int, type[Message]] = {
    ord(kind.LETTER): kind for kind in (Added, Deferred, Released, Replaced, Trade, Cancelled, TradingState, Cleared)
}
"""By the first byte."""


def _next_message(packet: Packet, done: list[BasePacket], current: Packet | None, rest: bytes) -> type[Packet] | None:
    """Raw, which takes all that is left, where no message begins."""
    if not rest or len(done) >= packet.messages:
        return None
    return MESSAGES.get(rest[0], Raw)


class DirectFeed(Packet):
    """A packet of the feed. `body`: its messages, in order; something in it that is no message: Raw."""

    name = "DirectFeed"
    fields_desc: ClassVar[list[Any]] = [
        StrFixedLenField("magic", MAGIC, 4),
        ByteField("version", VERSION),
        FlagsField("flags", 0, 8, ["continues", "answer", "unavailable"]),
        LEShortField("messages", 0),
        LELongField("began", 0),
        LELongField("after", 0),
        LELongField("through", 0),
        LELongField("sent_ns", 0),
        LEIntField("epoch", 0),
        IntField("zero", 0),
        PacketListField("body", [], next_cls_cb=_next_message),
    ]


class Request(Packet):
    """Asks for what is public in records after + 1 to through."""

    name = "DirectFeedRequest"
    fields_desc: ClassVar[list[Any]] = [
        StrFixedLenField("magic", REQUEST_MAGIC, 4),
        ByteField("version", VERSION),
        StrFixedLenField("zero", bytes(3), 3),
        LELongField("after", 0),
        LELongField("through", 0),
    ]
