"""What the events of an audit log make of balances, in ticks and lots: pure, order by order, and no balance is carried along.

What an order holds follows from what it is in the end, and what an account has gained from the trades.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from matchmark.conformance.checks import audit_format as f
from matchmark.conformance.checks.audit_format import Happened
from matchmark.conformance.checks.audit_steps import Event

BUY = 0


@dataclass
class Order:
    account: int
    symbol: int
    side: int
    ticks: int
    leaves: int


@dataclass
class Gained:
    """By account, or account and symbol. `cash` in ticks x lots: what trades brought. `held`: what open orders hold."""

    cash: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    held_cash: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    lots: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    held_lots: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))


def gained(events: Iterable[Event]) -> Gained:
    out, live = Gained(), dict[int, Order]()
    for e in events:
        if e.what is Happened.ACCEPTED:
            ticks = 0 if e.price == f.ABSENT else e.price
            live[e.order_id] = Order(e.account, e.symbol, e.side, ticks, e.quantity)
        elif e.what is Happened.REPLACED:
            live[e.order_id].ticks, live[e.order_id].leaves = e.price, e.quantity
        elif e.what is Happened.CANCELLED:
            live.pop(e.order_id, None)
        elif e.what is Happened.TRADE:
            bought = e.side == BUY
            buyer, seller = (e.account, e.other_account) if bought else (e.other_account, e.account)
            out.cash[buyer] -= e.price * e.quantity
            out.cash[seller] += e.price * e.quantity
            out.lots[buyer, e.symbol] += e.quantity
            out.lots[seller, e.symbol] -= e.quantity
            live[e.order_id].leaves -= e.quantity
            live[e.other_order_id].leaves -= e.quantity
    for order in live.values():
        if order.side == BUY:
            out.held_cash[order.account] += order.ticks * order.leaves
        else:
            out.held_lots[order.account, order.symbol] += order.leaves
    return out
