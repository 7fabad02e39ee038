"""Updates as WebSocket frames, in Protocol Buffers (market_data.proto) or JSON; each is made once, when it is wanted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from matchmark.reference.market_data import market_data_pb2 as pb
from matchmark.reference.market_data.book import ASK
from matchmark.reference.market_data.conflate import Update

PROTOBUF, JSON = 0, 1
ENCODINGS = ("protobuf", "json")
_TRADING = ("NORMAL", "WARNED", "HALTED")
_BINARY, _TEXT = 0x82, 0x81


def protobuf(update: Update) -> bytes:
    """The message `Update`."""
    message = pb.Update(
        symbol=update.symbol,
        after=update.after,
        sequence=update.sequence,
        book=update.book,
        snapshot=update.snapshot,
        made_ns=update.made_ns,
    )
    add_trade = message.trades.add
    for sequence, price, lots, sold in update.trades:
        add_trade(sequence=sequence, price_ticks=price, quantity_lots=lots, sold=sold)
    for status in update.statuses:
        message.statuses.add(sequence=status.sequence, trading=status.trading)
    if update.quote is not None:
        bid, bid_lots, ask, ask_lots = update.quote
        message.quote.SetInParent()
        message.quote.bid_ticks, message.quote.bid_lots = bid, bid_lots
        message.quote.ask_ticks, message.quote.ask_lots = ask, ask_lots
    add_level = message.levels.add
    for side, price, lots in update.levels:
        add_level(ask=side == ASK, price_ticks=price, quantity_lots=lots)
    return message.SerializeToString()


def as_json(update: Update, name: str) -> dict[str, Any]:
    """The same under the names of market_data.proto, with the symbol's name; numbers are JSON numbers."""
    out: dict[str, Any] = {
        "op": "update",
        "name": name,
        "symbol": update.symbol,
        "after": update.after,
        "sequence": update.sequence,
        "book": update.book,
        "snapshot": update.snapshot,
        "made_ns": update.made_ns,
    }
    if update.trades:
        out["trades"] = [
            {"sequence": t.sequence, "price_ticks": t.price_ticks, "quantity_lots": t.quantity_lots, "sold": t.sold}
            for t in update.trades
        ]
    if update.statuses:
        out["statuses"] = [{"sequence": s.sequence, "trading": _TRADING[s.trading]} for s in update.statuses]
    if update.quote is not None:
        out["quote"] = update.quote._asdict()
    if update.levels:
        out["levels"] = [
            {"ask": side == ASK, "price_ticks": price, "quantity_lots": lots} for side, price, lots in update.levels
        ]
    return out


def frame(opcode: int, payload: bytes) -> bytes:
    """A whole message as a server sends it (RFC 6455, 5.2). `opcode` with FIN."""
    n = len(payload)
    if n < 126:
        return bytes((opcode, n)) + payload
    if n < 65536:
        return bytes((opcode, 126)) + n.to_bytes(2, "big") + payload
    return bytes((opcode, 127)) + n.to_bytes(8, "big") + payload


def text(words: dict[str, Any]) -> bytes:
    """A frame of JSON."""
    return frame(_TEXT, json.dumps(words, separators=(",", ":")).encode())


class Encoder:
    """`names`: of the symbols, by number."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def name(self, symbol: int) -> str:
        return self._names[symbol]

    def frame(self, update: Update, encoding: int) -> bytes:
        if encoding == JSON:
            return text(as_json(update, self._names[update.symbol]))
        return frame(_BINARY, protobuf(update))
