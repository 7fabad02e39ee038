"""The records of an audit log as what they tell: each command with the events that it caused, in the engine's sequence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from matchmark.conformance.checks import audit_format as f
from matchmark.conformance.checks.audit_format import Happened, Op, Records

SIDES = {0: "1", 1: "2"}
TYPES = {0: "2", 1: "1"}
TIFS = {0: "0", 1: "3"}
"""Words of the log to those of FIX: Side (54), OrdType (40), TimeInForce (59)."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `leaves` and `cum` are the order's after it, `resting_leaves` and `resting_cum` those of a trade's other order.

    `cl` and `other` are the ClOrdIDs of the record: of the order, and of the resting order of a trade, or of the request, or the
    OrigClOrdID (docs/audit-log.md). `quantity` is what was traded, or what was left when the order ended.
    """

    sequence: int
    what: Happened
    cl: str
    other: str
    order_id: int
    other_order_id: int
    price: int
    quantity: int
    leaves: int
    cum: int
    resting_leaves: int
    resting_cum: int
    reason: int
    state: int
    account: int
    other_account: int
    session: int
    other_session: int
    symbol: int
    side: int
    cl_number: int
    other_number: int
    money: int
    """Sum of price x quantity of the order's fills so far, in ticks x lots; `resting_money` of a trade's other order."""
    resting_money: int


@dataclass(frozen=True, slots=True)
class TopOfBook:
    """An event of kind TOP: (price, quantity) of each side, None for an empty one."""

    sequence: int
    symbol: int
    bid: tuple[int, int] | None
    ask: tuple[int, int] | None
    what: Happened = Happened.TOP


@dataclass(slots=True)
class Step:
    """One command. `whole` is false when the log ends before the last event of it."""

    sequence: int
    op: Op
    cl: str
    orig: str
    side: int
    type: int
    tif: int
    smp: int
    price: int | None
    quantity: int | None
    account: int
    symbol: int
    session: int
    cl_number: int
    orig_number: int
    epoch: int
    received_ns: int
    defer: int = 0
    time_ns: int = 0
    money: int = 0
    """Of a warning or halt: sum of price x quantity of the trades in the average, in ticks x lots."""
    events: list[Event] = field(default_factory=list)
    tops: list[TopOfBook] = field(default_factory=list)
    whole: bool = False

    def of(self, *what: Happened) -> list[Event]:
        return [e for e in self.events if e.what in what]

    @property
    def accepted(self) -> bool:
        return bool(self.of(Happened.ACCEPTED))


def steps(records: Records) -> list[Step]:
    """What records of audit_format.RECORD, without a fault in their structure, tell."""
    is_command = records["kind"] == f.Kind.COMMAND
    is_top = ~is_command & (records.view(f.EVENT)["event"] == Happened.TOP)
    commands = _commands(records.view(f.COMMAND)[is_command])
    events = _events(records.view(f.EVENT)[~is_command & ~is_top])
    tops = _tops(records.view(f.TOP)[is_top])
    out: list[Step] = []
    for command, top, last in zip(is_command.tolist(), is_top.tolist(), (records["flags"] & 1).tolist(), strict=True):
        if command:
            out.append(next(commands))
        elif top:
            out[-1].tops.append(next(tops))
        else:
            out[-1].events.append(next(events))
        out[-1].whole = bool(last)
    return out


def _columns(records: Records, *names: str) -> Iterator[tuple[int, ...]]:
    return zip(*(records[name].tolist() for name in names), strict=True)


def _texts(records: Records, name: str) -> list[str]:
    return [text.decode("ascii", "replace") for text in records[name].tolist()]


def _commands(records: Records) -> Iterator[Step]:
    texts, origs = _texts(records, "text"), _texts(records, "other_text")
    names = (
        "sequence", "op", "side", "type", "tif", "smp", "price_ticks", "quantity_lots", "account", "symbol", "session",
        "cl_ord_id", "orig_cl_ord_id", "epoch", "received_ns", "defer", "time_ns",
    )  # fmt: skip
    rows = _columns(records, *names)
    for text, orig, row, money in zip(texts, origs, rows, _money(records, "notional"), strict=True):
        (
            sequence, op, side, kind, tif, smp, price, quantity, account, symbol, session, cl, orig_cl, epoch, received,
            defer, made,
        ) = row  # fmt: skip
        yield Step(
            sequence, Op(op), text, orig, side, kind, tif, smp, _given(price), _given(quantity), account, symbol, session,
            cl, orig_cl, epoch, received, defer, made, money,
        )  # fmt: skip


def _events(records: Records) -> Iterator[Event]:
    texts, others = _texts(records, "text"), _texts(records, "other_text")
    names = (
        "sequence", "event", "order_id", "other_order_id", "price_ticks", "quantity_lots", "leaves_lots", "cum_lots",
        "other_leaves_lots", "body_cum_lots", "reason", "state", "account", "other_account", "session", "other_session",
        "symbol", "side", "cl_ord_id", "other_cl_ord_id",
    )  # fmt: skip
    money, resting = (_money(records, name) for name in ("notional", "other_notional"))
    for n, (sequence, what, *numbers) in enumerate(_columns(records, *names)):
        values: list[Any] = [sequence, Happened(what), texts[n], others[n], *numbers, money[n], resting[n]]
        yield Event(*values)


def _money(records: Records, name: str) -> list[int]:
    """128 bits, low word first."""
    return [low + (high << 64) for low, high in _columns(records, f"{name}_low", f"{name}_high")]


def _tops(records: Records) -> Iterator[TopOfBook]:
    for sequence, symbol, *quotes in _columns(
        records, "sequence", "symbol", "bid_ticks", "bid_lots", "ask_ticks", "ask_lots"
    ):
        bid, ask = (None if price == f.ABSENT else (price, lots) for price, lots in (quotes[:2], quotes[2:]))
        yield TopOfBook(sequence, symbol, bid, ask)


def _given(number: int) -> int | None:
    return None if number == f.ABSENT else number
