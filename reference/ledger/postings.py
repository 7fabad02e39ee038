"""From event records of the audit log to the lines of the ledger: what each event moves, for whom.

A reserve is what the order may still cost: a buy holds its limit x leaves, a sell its leaves. A market order to buy has no limit
and holds nothing: what the gateway holds for it meanwhile is a guess from prices that it has heard of, which the log has not.
It is the rule by which a gateway adopts the orders of a log (native/risk.c).

An incoming order holds its limit, which is in the record, and a resting order trades at its own: what a trade or a cancel gives
back needs no memory. Only a replace does, of the price and leaves before it: `Holds`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from matchmark.native.pipeline_records import EVENT_RECORD
from matchmark.native.records import ABSENT, EventKind, Side
from matchmark.reference.audit_log import Records

Numbers = npt.NDArray[Any]
_FAST = float(2**61)
"""Amounts below it, and their differences, fit in 64 bits."""
_MOVING = (EventKind.ACCEPTED, EventKind.REPLACED, EventKind.TRADE, EventKind.CANCELLED)
OPENING = 0
"""Kind of a line that is no event's."""


class PoisonRecord(Exception):
    """A record that cannot be entered. `sequence`: which."""

    def __init__(self, sequence: int, why: str) -> None:
        super().__init__(f"record {sequence} of the audit log cannot be entered in the ledger: {why}")
        self.sequence = sequence


@dataclass(frozen=True)
class Units:
    """`tick`: minor units of cash in a tick; `lot`: shares in a lot; each shape (symbols,), int64. `accounts`: their number."""

    tick: Numbers
    lot: Numbers
    accounts: int

    @classmethod
    def of(cls, tick_units: Sequence[int], lot_sizes: Sequence[int], accounts: int) -> Units:
        return cls(np.array(tick_units, dtype=np.int64), np.array(lot_sizes, dtype=np.int64), accounts)


class Lines(NamedTuple):
    """Lines of the ledger, each shape (n,): by sequence, a trade's buyer (side 0) before its seller (side 1).

    Amounts are int64, or Python integers where they may be too large for that.
    """

    sequence: Numbers
    side: Numbers
    kind: Numbers
    account: Numbers
    asset: Numbers
    order_id: Numbers
    cash: Numbers
    cash_reserved: Numbers
    shares: Numbers
    shares_reserved: Numbers

    def part(self, chosen: Numbers) -> Lines:
        return Lines(*(column[chosen] for column in self))


class Touches(NamedTuple):
    """What records say of orders: after record `at` the order is open for `leaves` at `ticks`; each shape (n,)."""

    at: Numbers
    order_id: Numbers
    ticks: Numbers
    leaves: Numbers


class Holds:
    """Open orders, as the last entered record has them."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[int, int]] = {}

    def before(self, touches: Touches, wanted: Numbers) -> tuple[Numbers, Numbers]:
        """Ticks and leaves of the orders of the records at `wanted`, just before each."""
        ticks, leaves = np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.int64)
        order = np.lexsort((touches.at, touches.order_id))
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        mine = np.searchsorted(touches.at, wanted)  # a replace touches one order, once
        for n, touch in enumerate(mine.tolist()):
            p = int(place[touch])
            before = int(order[p - 1]) if p else -1
            if before >= 0 and touches.order_id[before] == touches.order_id[touch]:
                ticks[n], leaves[n] = touches.ticks[before], touches.leaves[before]
            else:
                ticks[n], leaves[n] = self._open.get(int(touches.order_id[touch]), (0, 0))
        return ticks, leaves

    def take(self, touches: Touches) -> None:
        if not len(touches.at):
            return
        order = np.lexsort((touches.at, touches.order_id))
        ids = touches.order_id[order]
        last = order[np.append(ids[1:] != ids[:-1], True)]
        is_open = touches.leaves[last] > 0
        for order_id in touches.order_id[last[~is_open]].tolist():
            self._open.pop(order_id, None)
        o = last[is_open]
        values = zip(touches.ticks[o].tolist(), touches.leaves[o].tolist(), strict=True)
        self._open.update(zip(touches.order_id[o].tolist(), values, strict=True))

    def __len__(self) -> int:
        return len(self._open)


def moving(records: Records) -> Records:
    """The events that move something, as EVENT_RECORD."""
    events = records.view(EVENT_RECORD)
    return events[np.isin(events["body"]["kind"], _MOVING)]


def touches_of(events: Records) -> Touches:
    """By `at`; a trade touches the incoming order and the resting one."""
    e = events["body"]
    kind, n = e["kind"], len(events)
    trade = np.flatnonzero(kind == EventKind.TRADE)
    leaves = np.where(kind == EventKind.TRADE, events["leaves_lots"], e["quantity_lots"]).astype(np.int64)
    leaves[kind == EventKind.CANCELLED] = 0
    at = np.concatenate((np.arange(n), trade))
    ids = np.concatenate((e["order_id"], e["other_order_id"][trade])).astype(np.int64)
    ticks = np.concatenate((events["limit_ticks"], e["price_ticks"][trade]))
    left = np.concatenate((leaves, events["other_leaves_lots"][trade].astype(np.int64)))
    by = np.argsort(at, kind="stable")
    ticks = np.where(ticks == ABSENT, 0, ticks)
    return Touches(at[by], ids[by], ticks[by], left[by])


def lines_of(events: Records, units: Units, holds: Holds, touches: Touches) -> Lines:
    """The lines of `moving` events. PoisonRecord: one names an account or a symbol that there is not."""
    _check(events, units)
    e = events["body"]
    kind, symbol = e["kind"], e["symbol"]
    trade = kind == EventKind.TRADE
    lots = e["quantity_lots"].astype(np.int64)
    limit = np.where(events["limit_ticks"] == ABSENT, 0, events["limit_ticks"])
    tick, lot = units.tick[symbol], units.lot[symbol]
    replaced = np.flatnonzero(kind == EventKind.REPLACED)
    old_ticks, old_lots = holds.before(touches, replaced) if len(replaced) else (np.zeros(0, np.int64),) * 2
    if _large(tick, lot, lots, limit, e["price_ticks"][trade], old_ticks, old_lots):
        lots, limit, tick, lot, old_ticks, old_lots = (
            a.astype(object) for a in (lots, limit, tick, lot, old_ticks, old_lots)
        )
    value = limit * tick * (lots * lot)
    shares = lots * lot
    # What the event's own order holds more (accepted, replaced) or less (cancelled): a trade's lines are apart.
    more_cash, more_shares = value.copy(), shares.copy()
    more_cash[replaced] -= old_ticks * tick[replaced] * (old_lots * lot[replaced])
    more_shares[replaced] -= old_lots * lot[replaced]
    cancelled = kind == EventKind.CANCELLED
    more_cash[cancelled] *= -1
    more_shares[cancelled] *= -1
    side = e["side"].astype(np.int64)
    more_cash[side == Side.SELL] = 0
    more_shares[side == Side.BUY] = 0

    paid = np.where(trade, e["price_ticks"], 0) * tick * shares
    bought = side == Side.BUY  # of a trade: the incoming order buys
    gone = np.where(bought, value, paid)  # of the buyer's reserve
    t, o = np.flatnonzero(trade), np.flatnonzero(~trade)
    nothing = paid[t] * 0
    columns = (
        (side[o], side[t] * 0, side[t] * 0 + 1),
        (e["account"][o], *_sides(e, t, bought[t], "account")),
        (e["order_id"][o], *_sides(e, t, bought[t], "order_id")),
        (-more_cash[o], gone[t] - paid[t], paid[t]),
        (more_cash[o], -gone[t], nothing),
        (-more_shares[o], shares[t], nothing),
        (more_shares[o], nothing, -shares[t]),
    )
    at = np.concatenate((o, t, t))
    sides, account, order_id, cash, cash_reserved, free, reserved = (np.concatenate(c) for c in columns)
    by = np.lexsort((sides, at))
    at = at[by]
    lines = Lines(
        events["sequence"][at].astype(np.int64), sides[by], kind[at].astype(np.int64), account[by].astype(np.int64),
        symbol[at].astype(np.int64) + 1, order_id[by].astype(np.int64), cash[by], cash_reserved[by], free[by], reserved[by],
    )  # fmt: skip
    moves = (lines.cash != 0) | (lines.cash_reserved != 0) | (lines.shares != 0) | (lines.shares_reserved != 0)
    return lines if moves.all() else lines.part(moves)


def _sides(e: Numbers, trade: Numbers, bought: Numbers, what: str) -> tuple[Numbers, Numbers]:
    """Of the buyers and of the sellers."""
    incoming, resting = e[what][trade], e[f"other_{what}"][trade]
    return np.where(bought, incoming, resting), np.where(bought, resting, incoming)


def _large(tick: Numbers, lot: Numbers, lots: Numbers, *prices_and_lots: Numbers) -> bool:
    def most(a: Numbers) -> float:
        return float(np.abs(a).max()) if len(a) else 0.0

    limit, price, old_ticks, old_lots = prices_and_lots
    ticks = max(most(limit), most(price), most(old_ticks))
    return ticks * most(tick) * max(most(lots), most(old_lots)) * most(lot) >= _FAST


def _check(events: Records, units: Units) -> None:
    e = events["body"]
    other = np.where(e["kind"] == EventKind.TRADE, e["other_account"], 0)
    wrong = np.flatnonzero((e["symbol"] >= len(units.tick)) | (np.maximum(e["account"], other) >= units.accounts))
    if len(wrong):
        first = events[wrong[0]]
        body = first["body"]
        what = (
            f"it names symbol {body['symbol']} of {len(units.tick)} and account {max(body['account'], body['other_account'])} "
            f"of {units.accounts}"
        )
        raise PoisonRecord(int(first["sequence"]), f"{what}; is the configuration that of this log?")
