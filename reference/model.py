"""The model book: docs/engine-rules.md in plain Python, the oracle that every engine is compared with.

What lives here: one class that takes commands and answers with events, each rule of the page in a method of its own, so
that a reader finds a rule by its name and a mutant breaks exactly one. What does not: sessions, logs, clocks, and any
code of the native engine, which must be able to disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from matchmark.conformance.messages import (
    Accepted,
    Cancel,
    Cancelled,
    CancelRejected,
    Command,
    Event,
    MassCancel,
    MassCancelled,
    New,
    OrdType,
    Rejected,
    Replace,
    Replaced,
    Reset,
    Side,
    Smp,
    State,
    Status,
    StatusReport,
    Tif,
    Top,
    Trade,
)
from matchmark.conformance.messages import Level as Quote
from matchmark.conformance.trading_messages import Control, MarketEvent, Release
from matchmark.reference.book import Book, Books, Level, Order
from matchmark.reference.model_trading import TradingRules
from matchmark.reference.state_hash import order_hash, state_hash

PRICE_MAX_TICKS = 2**53 - 1
QUANTITY_MAX_LOTS = 2**31 - 1


class ModelEngine(TradingRules):
    """Takes commands one at a time; `submit` gives the events of each. Bad input gets a reason, never an exception."""

    def __init__(
        self,
        symbols: Sequence[str],
        *,
        price_max: int = PRICE_MAX_TICKS,
        quantity_max: int = QUANTITY_MAX_LOTS,
        emit_top: bool = True,
    ) -> None:
        self.symbols = tuple(symbols)
        self.symbol_index = {sym: n for n, sym in enumerate(self.symbols)}
        self.price_max = price_max
        self.quantity_max = quantity_max
        self.emit_top = emit_top
        self.handlers: dict[type[Command], Callable[..., None]] = {
            New: self.new,
            Cancel: self.cancel,
            Replace: self.replace,
            MassCancel: self.mass_cancel,
            Status: self.status,
        }
        self.reset()

    # --- from outside ---

    def reset(self) -> None:
        self.books = Books()
        self.orders: dict[str, Order] = {}  # every ClOrdID ever accepted
        self.accounts: dict[str, int] = {}
        self.last_id = 0
        self.reset_trading()
        self.events: list[Any] = []

    def submit(self, command: Command) -> list[Event]:
        """Everything that the command causes, in order (docs/engine-rules.md)."""
        self.events = []
        if isinstance(command, Reset):
            self.reset()
            return []
        self.accounts.setdefault(command.acct, len(self.accounts))
        self.handlers[type(command)](command)
        if self.emit_top:
            self.publish_top(command.sym)
        return self.events

    def control(self, command: Control) -> list[Event | MarketEvent]:
        """The same for what the circuit breaker, an operator or a rate limit says."""
        self.events = []
        if isinstance(command, Release):
            self.accounts.setdefault(command.acct, len(self.accounts))
        self.take_control(command)
        if self.emit_top:
            self.publish_top(command.sym)
        return list(self.events)

    def top(self, sym: str) -> tuple[Quote | None, Quote | None]:
        """Best bid and best ask as (price in ticks, quantity in lots)."""
        return self.books[sym].top()

    def state_hash(self) -> int:
        resting = (entry for sym in self.symbols for entry in self.books[sym].resting())
        hashes = [order_hash(self.order_words(order, ahead)) for order, ahead in resting]
        return state_hash(self.last_id, hashes + self.trading_hashes())

    # --- new ---

    def new(self, command: New) -> None:
        reason = self.refusal_of_new(command)
        if reason:
            self.emit(Rejected(command.cl, reason))
            return
        order = self.accept(command)
        self.emit(Accepted(order.cl, str(order.id)))
        if command.defer and self.is_warned(command.sym):
            self.defer(order)
        else:
            self.decide(order)

    def refusal_of_new(self, command: New) -> str | None:
        if not self.known_symbol(command.sym):
            return "unknown_symbol"
        if self.is_halted(command.sym):
            return "trading_halted"
        if not self.well_formed(command):
            return "malformed"
        if not self.quantity_in_range(command.qty):
            return "bad_quantity"
        if command.type == OrdType.LIMIT and not self.price_in_range(command.px):
            return "bad_price"
        if self.seen_before(command.cl):
            return "duplicate_cl_ord_id"
        return None

    def accept(self, command: New) -> Order:
        c = command
        px = c.px if c.type == OrdType.LIMIT else None
        order = Order(self.next_id(), c.cl, c.acct, c.sym, c.side, c.type, c.tif, px, c.qty, c.smp)
        self.orders[c.cl] = order
        return order

    def next_id(self) -> int:
        self.last_id += 1
        return self.last_id

    # --- checks ---

    def known_symbol(self, sym: str) -> bool:
        return sym in self.symbol_index

    def well_formed(self, command: New) -> bool:
        return command.side in SIDES and command.type in TYPES and command.tif in TIFS and command.smp in SMPS

    def quantity_in_range(self, qty: int) -> bool:
        return 1 <= qty <= self.quantity_max

    def price_in_range(self, px: int | None) -> bool:
        return px is not None and 1 <= px <= self.price_max

    def seen_before(self, cl: str) -> bool:
        return cl in self.orders

    def owned(self, orig: str, acct: str, sym: str) -> Order | None:
        """The account's order of that ClOrdID on that symbol. A stranger's order is the same as an unknown one."""
        order = self.orders.get(orig)
        return order if order and order.sym == sym and self.is_owner(order, acct) else None

    def is_owner(self, order: Order, acct: str) -> bool:
        return order.acct == acct

    # --- matching ---

    def match(self, incoming: Order) -> None:
        book = self.books[incoming.sym]
        while incoming.leaves and (level := self.next_level(book, incoming)) and self.crosses(incoming, level.px):
            resting = self.next_resting(level)
            if incoming.smp and self.is_self_match(incoming, resting):
                self.prevent_self_match(incoming, resting)
            else:
                self.trade(incoming, resting, level)

    def next_level(self, book: Book, incoming: Order) -> Level | None:
        return book.best[Side.SELL if incoming.side == Side.BUY else Side.BUY]

    def crosses(self, incoming: Order, px: int) -> bool:
        if incoming.px is None:
            return True
        return px <= incoming.px if incoming.side == Side.BUY else px >= incoming.px

    def next_resting(self, level: Level) -> Order:
        return next(iter(level.orders.values()))

    def is_self_match(self, incoming: Order, resting: Order) -> bool:
        return incoming.acct == resting.acct

    def prevent_self_match(self, incoming: Order, resting: Order) -> None:
        if incoming.smp == Smp.CANCEL_NEWEST:
            self.end(incoming, "smp")
        else:
            self.take_out(resting)
            self.end(resting, "smp")

    def trade(self, incoming: Order, resting: Order, level: Level) -> None:
        qty = self.trade_quantity(incoming, resting)
        self.emit(Trade(incoming.sym, self.trade_price(incoming, level), qty, resting.cl, incoming.cl))
        self.fill(incoming, qty)
        self.fill_resting(resting, qty, level)

    def trade_quantity(self, incoming: Order, resting: Order) -> int:
        return min(incoming.leaves, resting.leaves)

    def trade_price(self, incoming: Order, level: Level) -> int:
        return level.px

    def fill(self, order: Order, qty: int) -> None:
        order.leaves -= qty
        order.cum += qty
        order.state = State.PARTIALLY_FILLED if order.leaves else State.FILLED

    def fill_resting(self, order: Order, qty: int, level: Level) -> None:
        level.qty -= qty
        self.fill(order, qty)
        if not order.leaves:
            self.unlink(order, level)

    # --- remainder and book ---

    def settle_remainder(self, order: Order) -> None:
        if not order.leaves:
            return
        if self.may_rest(order):
            self.rest(order)
        else:
            self.end(order, "no_liquidity" if order.type == OrdType.MARKET else "ioc")

    def may_rest(self, order: Order) -> bool:
        return order.type == OrdType.LIMIT and order.tif == Tif.DAY

    def rest(self, order: Order) -> None:
        assert order.px is not None, "a market order never rests"
        level = self.books[order.sym].level(order.side, order.px)
        level.qty += order.leaves
        self.enqueue(order, level)

    def enqueue(self, order: Order, level: Level) -> None:
        level.orders[order.id] = order

    def level_of(self, order: Order) -> Level:
        assert order.px is not None, "a market order never rests"
        level: Level = self.books[order.sym].levels[order.side][order.px]
        return level

    def take_out(self, order: Order) -> None:
        """Remove a resting order from the book with all its leaves."""
        level = self.level_of(order)
        level.qty -= order.leaves
        self.unlink(order, level)

    def unlink(self, order: Order, level: Level) -> None:
        del level.orders[order.id]
        if not level.orders:
            self.books[order.sym].drop_level(order.side, level)

    def end(self, order: Order, reason: str) -> None:
        """The order is over with leaves unfilled: report them, and it never trades again."""
        self.emit(self.cancel_report(order, reason))
        order.state = State.CANCELLED
        order.leaves = 0

    def cancel_report(self, order: Order, reason: str) -> Cancelled:
        return Cancelled(order.cl, order.leaves, order.cum, reason)

    # --- cancel ---

    def cancel(self, command: Cancel) -> None:
        order = self.owned(command.orig, command.acct, command.sym)
        if not self.known_symbol(command.sym):
            self.emit(CancelRejected(command.cl, "unknown_symbol"))
        elif order is None:
            self.emit(CancelRejected(command.cl, "unknown_order"))
        elif not order.leaves:
            self.emit(CancelRejected(command.cl, "too_late"))
        else:
            self.take_away(order)
            self.end(order, "requested")

    def mass_cancel(self, command: MassCancel) -> None:
        if command.sym is not None and not self.known_symbol(command.sym):
            self.emit(CancelRejected(command.cl, "unknown_symbol"))
            return
        orders = self.orders_to_mass_cancel(command)
        for order in orders:
            self.take_away(order)
            self.end(order, "mass_cancel")
        self.emit(MassCancelled(command.cl, len(orders)))

    def orders_to_mass_cancel(self, command: MassCancel) -> list[Order]:
        symbols = self.symbols if command.sym is None else (command.sym,)
        mine: list[Order] = []
        for sym in symbols:
            mine += [order for order, _ in self.books[sym].resting() if self.is_owner(order, command.acct)]
            mine += [order for order in self.waiting(sym) if self.is_owner(order, command.acct)]
        return mine

    # --- replace ---

    def replace(self, command: Replace) -> None:
        order = self.owned(command.orig, command.acct, command.sym)
        reason = self.refusal_of_replace(command, order)
        if reason or order is None:
            self.emit(CancelRejected(command.cl, reason or "unknown_order"))
            return
        px = order.px if command.new_px is None else command.new_px
        qty = order.qty if command.new_qty is None else command.new_qty
        keeps_place = self.keeps_place(order, px, qty)
        if keeps_place:
            self.cut(order, qty)
        else:
            self.take_out(order)
        self.rename(order, command.cl)
        order.px, order.leaves, order.smp = px, qty - order.cum, command.smp
        self.emit(Replaced(order.cl, command.orig, px or 0, order.leaves, order.cum))
        if not keeps_place:
            self.match(order)
            self.settle_remainder(order)

    def refusal_of_replace(self, command: Replace, order: Order | None) -> str | None:
        if not self.known_symbol(command.sym):
            return "unknown_symbol"
        if self.is_halted(command.sym):
            return "trading_halted"
        if (command.new_px is None and command.new_qty is None) or command.smp not in SMPS:
            return "malformed"
        if order is None:
            return "unknown_order"
        if not order.leaves:
            return "too_late"
        if self.waits(order):
            return "deferred"
        if command.new_qty is not None and not self.replacement_quantity_ok(order, command.new_qty):
            return "bad_quantity"
        if command.new_px is not None and not self.price_in_range(command.new_px):
            return "bad_price"
        if self.seen_before(command.cl):
            return "duplicate_cl_ord_id"
        return None

    def replacement_quantity_ok(self, order: Order, qty: int) -> bool:
        return self.quantity_in_range(qty) and qty > order.cum

    def keeps_place(self, order: Order, px: int | None, qty: int) -> bool:
        return px == order.px and qty <= order.qty

    def cut(self, order: Order, qty: int) -> None:
        """A smaller total at the same price: the level shrinks by the difference, the order stays where it is."""
        self.level_of(order).qty -= order.qty - qty

    def rename(self, order: Order, cl: str) -> None:
        self.orders[order.cl] = replace(order, leaves=0, state=State.CANCELLED)
        order.cl = cl
        self.orders[cl] = order

    # --- status ---

    def status(self, command: Status) -> None:
        order = self.owned(command.orig, command.acct, command.sym)
        if order is None:
            self.emit(StatusReport(command.cl, command.orig, State.UNKNOWN, 0, 0))
        else:
            self.emit(StatusReport(command.cl, command.orig, order.state, order.leaves, order.cum))

    # --- what is made public ---

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def publish_top(self, sym: str | None) -> None:
        for name in self.symbols if sym is None else (sym,):
            book = self.books.get(name)
            if book is not None and (top := book.top()) != book.published:
                book.published = top
                self.emit(Top(name, *top))

    def order_words(self, order: Order, ahead: int) -> tuple[int, ...]:
        side = 0 if order.side == Side.BUY else 1
        px = order.px or 0
        symbol = self.symbol_index[order.sym]
        return symbol, side, px, order.leaves, order.cum, self.accounts[order.acct], order.id, ahead


SIDES: frozenset[str] = frozenset(Side)
TYPES: frozenset[str] = frozenset(OrdType)
TIFS: frozenset[str] = frozenset(Tif)
SMPS: frozenset[str | None] = frozenset((None, *Smp))
