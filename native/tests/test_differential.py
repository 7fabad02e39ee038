"""The native engine against a deliberately naive matcher: same random commands, equal event records, equal state hash.

The matcher below keeps every book as a plain list, sorts it for each command and shares nothing with the C code.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from matchmark.native import (
    ABSENT,
    ALL_SYMBOLS,
    COMMAND,
    EVENT,
    MAX_PRICE_TICKS,
    MAX_QUANTITY_LOTS,
    TOP,
    Engine,
    Event,
    EventKind,
    Op,
    OrdType,
    Reason,
    Side,
    Smp,
    State,
    Tif,
    Top,
)

MASK = 2**64 - 1


@dataclass
class Order:
    cl: int
    order_id: int
    account: int
    symbol: int
    side: int
    price: int
    leaves: int
    cum: int
    arrival: int


@dataclass
class Command:
    op: int
    cl: int = 0
    orig: int = 0
    account: int = 0
    symbol: int = 0
    side: int = 0
    type: int = 0
    tif: int = 0
    smp: int = 0
    price: int = ABSENT
    quantity: int = ABSENT

    def record(self) -> tuple[object, ...]:
        return (
            self.op, self.side, self.type, self.tif, self.smp, 0, (0, 0), self.account, self.symbol, self.cl, self.orig,
            self.price, self.quantity, 0, 0,
        )  # fmt: skip


@dataclass
class Naive:
    symbols: int
    max_orders: int
    remembered_ids: int
    emit_top: bool
    resting: list[Order] = field(default_factory=list)
    finished: dict[int, tuple[Order, int]] = field(default_factory=dict)
    accepted: int = 0
    arrivals: int = 0
    events: list[Event | Top] = field(default_factory=list)

    def emit(self, kind: EventKind, **fields: int) -> None:
        self.events.append(Event(**{**dict.fromkeys(Event._fields, 0), "kind": kind, **fields}))

    def side(self, symbol: int, side: int) -> list[Order]:
        sign = -1 if side == Side.BUY else 1
        of_side = (o for o in self.resting if o.symbol == symbol and o.side == side)
        return sorted(of_side, key=lambda o: (sign * o.price, o.arrival))

    def top(self, symbol: int) -> tuple[int, int, int, int]:
        out: list[int] = []
        for side in Side:
            orders = self.side(symbol, side)
            best = [o for o in orders if o.price == orders[0].price]
            out += [best[0].price if best else ABSENT, sum(o.leaves for o in best)]
        return out[0], out[1], out[2], out[3]

    def take(self, c: Command) -> list[Event | Top]:
        self.events = []
        tops = [self.top(s) for s in range(self.symbols)] if self.emit_top else []
        handler = {
            Op.NEW: self.new, Op.CANCEL: self.cancel, Op.REPLACE: self.replace, Op.MASS_CANCEL: self.mass_cancel,
            Op.STATUS: self.status, Op.RESET: self.reset,
        }.get(c.op, self.malformed)  # type: ignore[call-overload]  # fmt: skip
        handler(c)
        for symbol, was in enumerate(tops):
            if c.op != Op.RESET and (now := self.top(symbol)) != was:
                self.events.append(Top(EventKind.TOP, symbol, *now))
        return self.events

    def refuse(self, c: Command, kind: EventKind, reason: Reason) -> None:
        if kind == EventKind.REJECTED:
            self.emit(
                kind,
                reason=reason,
                side=c.side,
                symbol=c.symbol,
                cl_ord_id=c.cl,
                price_ticks=c.price,
                account=c.account,
            )
        else:
            self.emit(kind, reason=reason, symbol=c.symbol, cl_ord_id=c.cl, other_cl_ord_id=c.orig, account=c.account)

    def malformed(self, c: Command) -> None:
        self.refuse(c, EventKind.REJECTED, Reason.MALFORMED)

    def reset(self, c: Command) -> None:
        self.resting, self.finished, self.accepted = [], {}, 0

    def known(self, cl: int) -> bool:
        return cl in self.finished or any(o.cl == cl for o in self.resting)

    def ids_full(self) -> bool:
        return bool(self.remembered_ids) and len(self.finished) + len(self.resting) >= self.remembered_ids

    def finish(self, order: Order, state: State) -> None:
        if self.remembered_ids:
            self.finished[order.cl] = (Order(**vars(order)), state)

    def cancelled(self, o: Order, reason: Reason) -> None:
        self.emit(
            EventKind.CANCELLED, reason=reason, side=o.side, state=State.CANCELLED, symbol=o.symbol, cl_ord_id=o.cl,
            order_id=o.order_id, price_ticks=o.price, quantity_lots=o.leaves, cum_lots=o.cum, account=o.account,
        )  # fmt: skip
        if o in self.resting:
            self.resting.remove(o)
        self.finish(o, State.CANCELLED)

    def check_new(self, c: Command) -> Reason:
        if c.symbol >= self.symbols:
            return Reason.UNKNOWN_SYMBOL
        if c.side > 1 or c.type > 1 or c.tif > 1 or c.smp > 2:
            return Reason.MALFORMED
        if not 1 <= c.quantity <= MAX_QUANTITY_LOTS:
            return Reason.BAD_QUANTITY
        if c.type == OrdType.LIMIT and not 1 <= c.price <= MAX_PRICE_TICKS:
            return Reason.BAD_PRICE
        if self.known(c.cl):
            return Reason.DUPLICATE_CL_ORD_ID
        full = c.type == OrdType.LIMIT and c.tif == Tif.DAY and len(self.resting) >= self.max_orders
        return Reason.CAPACITY if full or self.ids_full() else Reason.NONE

    def new(self, c: Command) -> None:
        if reason := self.check_new(c):
            self.refuse(c, EventKind.REJECTED, reason)
            return
        self.accepted += 1
        price = ABSENT if c.type == OrdType.MARKET else c.price
        o = Order(c.cl, self.accepted, c.account, c.symbol, c.side, price, c.quantity, 0, 0)
        self.emit(
            EventKind.ACCEPTED, side=o.side, state=State.NEW, symbol=o.symbol, cl_ord_id=o.cl, order_id=o.order_id,
            price_ticks=price, quantity_lots=o.leaves, account=o.account,
        )  # fmt: skip
        self.match(o, c.type, c.tif, c.smp)

    def match(self, o: Order, type: int, tif: int, smp: int) -> None:
        for other in self.side(o.symbol, 1 - o.side):
            worse = other.price > o.price if o.side == Side.BUY else other.price < o.price
            if not o.leaves or (type == OrdType.LIMIT and worse):
                break
            if smp and other.account == o.account:
                if smp == Smp.CANCEL_NEWEST:
                    self.cancelled(o, Reason.SMP)
                    return
                self.cancelled(other, Reason.SMP)
                continue
            self.trade(o, other)
        if not o.leaves:
            self.finish(o, State.FILLED)
        elif type == OrdType.MARKET:
            self.cancelled(o, Reason.NO_LIQUIDITY)
        elif tif == Tif.IOC:
            self.cancelled(o, Reason.IOC)
        else:
            self.arrivals += 1
            o.arrival = self.arrivals
            self.resting.append(o)

    def trade(self, o: Order, other: Order) -> None:
        lots = min(o.leaves, other.leaves)
        for party in (o, other):
            party.leaves -= lots
            party.cum += lots
        state = State.PARTIALLY_FILLED if other.leaves else State.FILLED
        self.emit(
            EventKind.TRADE, side=o.side, state=state, symbol=o.symbol, cl_ord_id=o.cl, other_cl_ord_id=other.cl,
            order_id=o.order_id, price_ticks=other.price, quantity_lots=lots, cum_lots=other.cum, account=o.account,
            other_account=other.account, other_order_id=other.order_id,
        )  # fmt: skip
        if not other.leaves:
            self.resting.remove(other)
            self.finish(other, State.FILLED)

    def own(self, c: Command) -> Order | Reason:
        for o in self.resting:
            if o.cl == c.orig:
                return o if (o.account, o.symbol) == (c.account, c.symbol) else Reason.UNKNOWN_ORDER
        gone = self.finished.get(c.orig)
        if gone and (gone[0].account, gone[0].symbol) == (c.account, c.symbol):
            return Reason.TOO_LATE
        return Reason.UNKNOWN_ORDER

    def refuse_request(self, c: Command, reason: Reason) -> None:
        """The owner of the order is told which it is and where it stands."""
        told: dict[str, int] = {}
        for o in self.resting:
            if (o.cl, o.account, o.symbol) == (c.orig, c.account, c.symbol):
                told = {
                    "state": State.PARTIALLY_FILLED if o.cum else State.NEW,
                    "order_id": o.order_id,
                    "cum_lots": o.cum,
                }
        gone = self.finished.get(c.orig)
        if gone and (gone[0].account, gone[0].symbol) == (c.account, c.symbol):
            told = {"state": gone[1], "order_id": gone[0].order_id, "cum_lots": gone[0].cum}
        names = {"symbol": c.symbol, "cl_ord_id": c.cl, "other_cl_ord_id": c.orig, "account": c.account}
        self.emit(EventKind.CANCEL_REJECTED, reason=reason, **names, **told)

    def cancel(self, c: Command) -> None:
        found = self.own(c) if c.symbol < self.symbols else Reason.UNKNOWN_SYMBOL
        if isinstance(found, Order):
            self.cancelled(found, Reason.REQUESTED)
        else:
            self.refuse_request(c, found)

    def check_replace(self, c: Command) -> Order | Reason:
        if c.symbol >= self.symbols:
            return Reason.UNKNOWN_SYMBOL
        if c.price == ABSENT == c.quantity or c.smp > 2:
            return Reason.MALFORMED
        o = self.own(c)
        if not isinstance(o, Order):
            return o
        if c.quantity != ABSENT and (not 1 <= c.quantity <= MAX_QUANTITY_LOTS or c.quantity <= o.cum):
            return Reason.BAD_QUANTITY
        if c.price != ABSENT and not 1 <= c.price <= MAX_PRICE_TICKS:
            return Reason.BAD_PRICE
        if self.known(c.cl):
            return Reason.DUPLICATE_CL_ORD_ID
        return Reason.CAPACITY if self.ids_full() else o

    def replace(self, c: Command) -> None:
        o = self.check_replace(c)
        if not isinstance(o, Order):
            self.refuse_request(c, o)
            return
        price = o.price if c.price == ABSENT else c.price
        leaves = o.leaves if c.quantity == ABSENT else c.quantity - o.cum
        keeps = price == o.price and leaves <= o.leaves
        self.finish(o, State.CANCELLED)
        o.cl, o.price, o.leaves = c.cl, price, leaves
        state = State.PARTIALLY_FILLED if o.cum else State.NEW
        self.emit(
            EventKind.REPLACED, side=o.side, state=state, symbol=o.symbol, cl_ord_id=o.cl, other_cl_ord_id=c.orig,
            order_id=o.order_id, price_ticks=price, quantity_lots=leaves, cum_lots=o.cum, account=o.account,
        )  # fmt: skip
        if not keeps:
            self.resting.remove(o)
            self.match(o, OrdType.LIMIT, Tif.DAY, c.smp)

    def mass_cancel(self, c: Command) -> None:
        if c.symbol >= self.symbols and c.symbol != ALL_SYMBOLS:
            self.refuse(c, EventKind.CANCEL_REJECTED, Reason.UNKNOWN_SYMBOL)
            return
        symbols = range(self.symbols) if c.symbol == ALL_SYMBOLS else [c.symbol]
        mine = [o for s in symbols for side in Side for o in self.side(s, side) if o.account == c.account]
        for o in mine:
            self.cancelled(o, Reason.MASS_CANCEL)
        self.emit(EventKind.MASS_CANCELLED, symbol=c.symbol, cl_ord_id=c.cl, quantity_lots=len(mine), account=c.account)

    def status(self, c: Command) -> None:
        answer = {"price_ticks": ABSENT}
        for o in self.resting:
            if (o.cl, o.account, o.symbol) == (c.orig, c.account, c.symbol):
                answer = {
                    "state": State.PARTIALLY_FILLED if o.cum else State.NEW, "side": o.side, "order_id": o.order_id,
                    "price_ticks": o.price, "quantity_lots": o.leaves, "cum_lots": o.cum,
                }  # fmt: skip
        gone = self.finished.get(c.orig)
        if gone and (gone[0].account, gone[0].symbol) == (c.account, c.symbol):
            answer.update(state=gone[1], order_id=gone[0].order_id, cum_lots=gone[0].cum)
        self.emit(
            EventKind.STATUS, symbol=c.symbol, cl_ord_id=c.cl, other_cl_ord_id=c.orig, account=c.account, **answer
        )

    def state_hash(self) -> int:
        total = 0
        for symbol in range(self.symbols):
            for side in Side:
                ahead: Order | None = None
                for o in self.side(symbol, side):
                    before = ahead.order_id if ahead and ahead.price == o.price else 0
                    h = 0
                    for v in (symbol, side, o.price, o.leaves, o.cum, o.account, o.order_id, before):
                        h = (mix(h ^ v) + 0x9E3779B97F4A7C15) & MASK
                    total += h
                    ahead = o
        return mix((total + mix(self.accepted)) & MASK)


def mix(x: int) -> int:
    x ^= x >> 30
    x = x * 0xBF58476D1CE4E5B9 & MASK
    x ^= x >> 27
    x = x * 0x94D049BB133111EB & MASK
    return x ^ x >> 31


PRICES: dict[str, Callable[[Flow], int]] = {
    "narrow": lambda r: r.randint(95, 105),
    "window": lambda r: r.choice((r.randint(900, 1100), r.randint(1, 3000))),
    "wide": lambda r: r.choice((r.randint(1, 40), 2 ** r.randint(0, 52), r.randint(1, MAX_PRICE_TICKS))),
    "drift": lambda r: 10_000 + int(5000 * (1 + np.sin(next(r.clock) / 300))) + r.randint(-70, 70),
}


class Flow(random.Random):
    """Random commands whose ids, prices and accounts often meet."""

    def __init__(self, seed: int, prices: str, symbols: int, ids: int) -> None:
        super().__init__(seed)
        self.clock: Iterator[int] = iter(range(10**9))
        self.price = PRICES[prices]
        self.symbols = symbols
        self.ids = ids
        self.fresh = 0

    def cl(self) -> int:
        if self.random() < 0.03:
            return self.choice((0, 2**64 - 1, self.randint(1, 2**64 - 1)))
        self.fresh += 1
        return self.fresh if self.random() < 0.97 else self.recent()

    def recent(self) -> int:
        return max(0, self.fresh - self.randint(0, self.ids))

    def command(self) -> Command:
        symbol = self.randrange(self.symbols) if self.random() < 0.99 else self.choice((self.symbols, 2**31))
        account = self.randrange(4)
        smp = self.choice((0, 0, 0, 1, 2)) if self.random() < 0.995 else 3
        draw = self.random()
        if draw < 0.6:
            quantity = self.randint(1, 50) if self.random() < 0.97 else self.choice((0, -1, 2**31 - 1, 2**31, ABSENT))
            price = self.price(self) if self.random() < 0.98 else self.choice((0, -5, ABSENT, 2**53, 2**62))
            side = self.randrange(2) if self.random() < 0.995 else 2
            type_, tif = int(self.random() < 0.05), int(self.random() < 0.1)
            return Command(Op.NEW, self.cl(), 0, account, symbol, side, type_, tif, smp, price, quantity)
        if draw < 0.76:
            return Command(Op.CANCEL, self.cl(), self.recent(), account, symbol)
        if draw < 0.93:
            price = self.price(self) if self.random() < 0.6 else ABSENT
            quantity = self.randint(0, 60) if self.random() < 0.6 else ABSENT
            return Command(
                Op.REPLACE, self.cl(), self.recent(), account, symbol, smp=smp, price=price, quantity=quantity
            )
        if draw < 0.98:
            return Command(Op.STATUS, self.cl(), self.recent(), account, symbol)
        if draw < 0.989:
            symbol = ALL_SYMBOLS if self.random() < 0.5 else symbol
            return Command(Op.MASS_CANCEL, self.cl(), 0, account, symbol)
        return Command(Op.RESET) if draw < 0.9893 else Command(self.choice((0, 13, 255)), self.cl())


def decode(records: np.ndarray) -> list[Event | Top]:
    out: list[Event | Top] = []
    for record in records:
        if record["kind"] == EventKind.TOP:
            t = record.view(TOP)
            fields = ("kind", "symbol", "bid_ticks", "bid_lots", "ask_ticks", "ask_lots")
            out.append(Top(*(int(t[name]) for name in fields)))
        else:
            out.append(Event(*(int(v) for v in record.item())))
    return out


CASES = [
    # prices, symbols, max_orders, remembered ids, top, window, events a call has room for, commands
    ("narrow", 1, 1000, 1 << 20, True, 64, 4, 20_000),
    ("narrow", 5, 60, 400, True, 64, 100, 20_000),
    ("window", 2, 1000, 1 << 20, False, 64, 7, 20_000),
    ("window", 3, 1000, 0, True, 512, 1000, 20_000),
    ("wide", 1, 1000, 1 << 20, True, 64, 5, 20_000),
    ("wide", 2, 300, 3000, False, 4096, 1000, 10_000),
    ("wide", 2, 300, 3000, True, 262144, 1000, 4_000),
    ("drift", 1, 1000, 0, True, 64, 1000, 20_000),
    ("drift", 2, 1000, 1 << 20, False, 1024, 64, 10_000),
    ("drift", 1, 1000, 1 << 20, False, 8192, 64, 10_000),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}-{c[1]}-{c[5]}")
def test_events_and_state_equal_the_naive_matchers(case: tuple[str, int, int, int, bool, int, int, int]) -> None:
    prices, symbols, max_orders, ids, top, window, room, n = case
    naive = Naive(symbols, max_orders, ids, top)
    flow = Flow(7, prices, symbols, 120)
    buffer = np.empty(room, dtype=EVENT)
    with Engine(symbols, max_orders, remembered_ids=ids, emit_top=top, window_ticks=window) as engine:
        for start in range(0, n, 500):
            commands = [flow.command() for _ in range(500)]
            expected = [e for c in commands for e in naive.take(c)]
            batch = np.array([c.record() for c in commands], dtype=COMMAND)
            actual: list[Event | Top] = []
            taken = 0
            while taken < len(batch) or engine.unfinished:
                done, written = engine.submit_into(batch[taken:], buffer)
                actual += decode(buffer[:written])
                taken += done
            for i, (a, b) in enumerate(zip(actual, expected, strict=False)):
                assert a == b, f"event {i} after command {start}"
            assert len(actual) == len(expected)
            assert engine.state_hash() == naive.state_hash()
            engine.check()
        assert engine.counters().accepted == naive.accepted
