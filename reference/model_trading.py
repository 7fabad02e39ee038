"""The model's trading states and deferred orders: docs/engine-rules.md, rules 10 to 13.

A part of the model book, which has the rest; each rule is a method of its own, as there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matchmark.conformance.messages import OrdType, Smp, Tif
from matchmark.conformance.trading_messages import (
    Act,
    Control,
    MarketEvent,
    Release,
    Released,
    SetTrading,
    Trading,
    TradingChanged,
    TradingRefused,
)
from matchmark.reference.book import Book, Books, Level, Order
from matchmark.reference.state_hash import deferred_hash, trading_hash

CHANGES: dict[str, tuple[tuple[Trading, ...], Trading, str]] = {
    Act.WARN: ((Trading.OPEN,), Trading.WARNED, "already"),
    Act.CALM: ((Trading.WARNED,), Trading.OPEN, "not_warned"),
    Act.HALT: ((Trading.OPEN, Trading.WARNED), Trading.HALTED, "already"),
    Act.RESUME: ((Trading.HALTED,), Trading.OPEN, "not_halted"),
}
"""By act: the states that it begins in, the one that it ends in, and why it is refused in any other."""


class TradingRules:
    """What each symbol does, and the orders that wait."""

    books: Books
    symbol_index: dict[str, int]
    events: list[Any]

    if TYPE_CHECKING:  # the book's rules

        def match(self, incoming: Order) -> None: ...
        def settle_remainder(self, order: Order) -> None: ...
        def next_level(self, book: Book, incoming: Order) -> Level | None: ...
        def crosses(self, incoming: Order, px: int) -> bool: ...
        def may_rest(self, order: Order) -> bool: ...
        def rest(self, order: Order) -> None: ...
        def end(self, order: Order, reason: str) -> None: ...
        def take_out(self, order: Order) -> None: ...
        def known_symbol(self, sym: str) -> bool: ...
        def owned(self, orig: str, acct: str, sym: str) -> Order | None: ...
        def order_words(self, order: Order, ahead: int) -> tuple[int, ...]: ...

    def reset_trading(self) -> None:
        self.trading: dict[str, Trading] = {}  # of symbols that are not open
        self.deferred: dict[str, dict[int, Order]] = {}  # by symbol and order id, oldest first

    def announce(self, event: MarketEvent) -> None:
        self.events.append(event)

    def take_control(self, command: Control) -> None:
        if isinstance(command, Release):
            self.release(command)
        else:
            self.set_trading(command)

    def defer(self, order: Order) -> None:
        self.deferred.setdefault(order.sym, {})[order.id] = order

    def decide(self, order: Order) -> None:
        self.match(order)
        self.settle_remainder(order)

    def is_warned(self, sym: str) -> bool:
        return self.trading.get(sym) == Trading.WARNED

    def is_halted(self, sym: str) -> bool:
        return self.trading.get(sym) == Trading.HALTED

    def waiting(self, sym: str) -> list[Order]:
        return list(self.deferred.get(sym, {}).values())

    def waits(self, order: Order) -> bool:
        return order.id in self.deferred.get(order.sym, {})

    def take_away(self, order: Order) -> None:
        """Out of the queue that it waits in, or out of the book."""
        if self.waits(order):
            self.take_up(order)
        else:
            self.take_out(order)

    def take_up(self, order: Order) -> None:
        del self.deferred[order.sym][order.id]

    def set_trading(self, command: SetTrading) -> None:
        reason = self.refusal_of_trading(command)
        if reason:
            self.announce(TradingRefused(command.cl, reason))
            return
        to = CHANGES[command.act][1]
        if to is Trading.OPEN:
            del self.trading[command.sym]
        else:
            self.trading[command.sym] = to
        self.announce(TradingChanged(command.sym, to))
        for order in self.waiting(command.sym):
            self.take_up(order)
            if to is Trading.HALTED:
                self.settle_at_halt(order)
            else:
                self.announce(Released(order.cl))
                self.decide(order)

    def refusal_of_trading(self, command: SetTrading) -> str | None:
        if not self.known_symbol(command.sym):
            return "unknown_symbol"
        begins, _, reason = CHANGES[command.act]
        return None if self.trading.get(command.sym, Trading.OPEN) in begins else reason

    def settle_at_halt(self, order: Order) -> None:
        """Nothing trades from the halt on: what would is cancelled, what would rest does."""
        level = self.next_level(self.books[order.sym], order)
        would_trade = level is not None and self.crosses(order, level.px)
        if would_trade or not self.may_rest(order):
            self.end(order, "trading_halted")
        else:
            self.announce(Released(order.cl))
            self.rest(order)

    def release(self, command: Release) -> None:
        order = self.owned(command.orig, command.acct, command.sym)
        if not self.known_symbol(command.sym):
            self.announce(TradingRefused(command.cl, "unknown_symbol"))
        elif order is None or not self.waits(order):
            self.announce(TradingRefused(command.cl, "too_late" if order else "unknown_order"))
        else:
            self.take_up(order)
            self.announce(Released(order.cl))
            self.decide(order)

    def trading_hashes(self) -> list[int]:
        """What states and deferred orders add to the state hash."""
        states = [trading_hash(self.symbol_index[sym], list(Trading).index(s)) for sym, s in self.trading.items()]
        return states + [deferred_hash(words) for sym in self.deferred for words in self.deferred_words(sym)]

    def deferred_words(self, sym: str) -> list[tuple[int, ...]]:
        ahead = 0
        out: list[tuple[int, ...]] = []
        for o in self.waiting(sym):
            symbol, side, px, leaves, _, account, id_, _ = self.order_words(o, 0)
            kind = o.type == OrdType.MARKET, o.tif == Tif.IOC
            smp = 0 if o.smp is None else 1 + list(Smp).index(Smp(o.smp))
            out.append((symbol, side, px, leaves, account, id_, ahead, int(kind[0]), int(kind[1]), smp))
            ahead = o.id
        return out
