"""What an audit log's records tell the public, by the tables of docs/direct-feed.md: what a receiver must have had at the end."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from matchmark.conformance.packets.receiver import IMMEDIATE, LAST, MARKET, Message

_COMMAND, _RESET = 1, 6
_ACCEPTED, _REPLACED, _TRADE, _CANCELLED, _STATE, _RELEASED, _DEFERRED = 1, 3, 4, 5, 10, 12, 15
_LETTERS = {_ACCEPTED: "A", _REPLACED: "U", _TRADE: "E", _CANCELLED: "X", _STATE: "S", _RELEASED: "R"}
_EVENT = np.dtype(
    [
        ("kind", "u1"), ("reason", "u1"), ("side", "u1"), ("state", "u1"), ("symbol", "<u4"), ("cl_ord_id", "<u8"),
        ("other_cl_ord_id", "<u8"), ("order_id", "<u8"), ("price", "<i8"), ("quantity", "<u4"), ("cum", "<u4"),
        ("account", "<u4"), ("other_account", "<u4"), ("other_order_id", "<u8"),
    ]
)  # fmt: skip


def told_by(records: npt.NDArray[np.void]) -> list[Message]:
    """`records`: AUDIT_RECORD, commands and events, in order. `whole` is False in all: packets say that."""
    bodies = np.ascontiguousarray(records["body"]).view(np.uint8).reshape(-1, 64).copy().view(_EVENT).reshape(-1)
    out = []
    for record, event in zip(records, bodies, strict=True):
        if record["kind"] == _COMMAND:
            if event["kind"] == _RESET:  # a command's first byte is its op
                out.append(Message("C", LAST, 0, 0, 0, int(record["sequence"]), 0))
        elif letter := _LETTERS.get(int(event["kind"])):
            out.append(_message("D" if event["reason"] == _DEFERRED and letter == "A" else letter, record, event))
    return out


def _message(letter: str, record: Any, event: Any) -> Message:
    last = LAST if record["flags"] & 1 else 0
    of_order = (MARKET if record["type"] == 1 else 0) | (IMMEDIATE if record["tif"] == 1 else 0)
    flags = last if letter == "S" else last | of_order
    state = int(event["state"]) if letter in "SE" else 0
    stamps = (int(record["sequence"]), int(record["stage_b_ns"]))
    head = (letter, flags, int(event["side"]), state, int(event["symbol"]), *stamps)
    order, lots, price = int(event["order_id"]), int(event["quantity"]), int(event["price"])
    if letter == "S":
        return Message(*head)
    if letter == "X":
        return Message(*head, order, quantity=lots)
    if letter == "E":
        leaves, resting_leaves = int(record["leaves_lots"]), int(record["other_leaves_lots"])
        return Message(*head, order, int(event["other_order_id"]), price, lots, 0, leaves, resting_leaves)
    return Message(*head, order, price=price, quantity=lots, cum=int(event["cum"]) if letter == "U" else 0)
