"""What an audit log's records tell the public, by the tables of docs/direct-feed.md: what a receiver must have had at the end."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from matchmark.conformance.checks.audit_format import COMMAND, EVENT, Happened, Kind, Op
from matchmark.conformance.packets.receiver import IMMEDIATE, LAST, MARKET, Message

_DEFERRED = 15
"""Reason of an order that was accepted and waits."""
_LETTERS: dict[int, str] = {
    Happened.ACCEPTED: "A", Happened.REPLACED: "U", Happened.TRADE: "E", Happened.CANCELLED: "X", Happened.STATE: "S",
    Happened.RELEASED: "R",
}  # fmt: skip


def told_by(records: npt.NDArray[np.void]) -> list[Message]:
    """`records`: commands and events as they are in the log's files, in order. `whole` is False in all: packets say that."""
    commands, events = records.view(COMMAND), records.view(EVENT)
    out = []
    for n, kind in enumerate(records["kind"].tolist()):
        if kind == Kind.COMMAND:
            if commands["op"][n] == Op.RESET:
                out.append(Message("C", LAST, 0, 0, 0, int(records["sequence"][n]), 0))
        elif letter := _LETTERS.get(int(events["event"][n])):
            deferred = letter == "A" and events["reason"][n] == _DEFERRED
            out.append(_message("D" if deferred else letter, events[n]))
    return out


def _message(letter: str, event: Any) -> Message:
    last = LAST if event["flags"] & 1 else 0
    of_order = (MARKET if event["type"] == 1 else 0) | (IMMEDIATE if event["tif"] == 1 else 0)
    flags = last if letter == "S" else last | of_order
    state = int(event["state"]) if letter in "SE" else 0
    stamps = (int(event["sequence"]), int(event["stage_b_ns"]))
    head = (letter, flags, int(event["side"]), state, int(event["symbol"]), *stamps)
    order, lots, price = int(event["order_id"]), int(event["quantity_lots"]), int(event["price_ticks"])
    if letter == "S":
        return Message(*head)
    if letter == "X":
        return Message(*head, order, quantity=lots)
    if letter == "E":
        leaves, resting_leaves = int(event["leaves_lots"]), int(event["other_leaves_lots"])
        return Message(*head, order, int(event["other_order_id"]), price, lots, 0, leaves, resting_leaves)
    return Message(*head, order, price=price, quantity=lots, cum=int(event["body_cum_lots"]) if letter == "U" else 0)
