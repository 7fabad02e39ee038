"""What the suites have in common: the mirrored view, comparing answers, and looking into a book from outside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pytest

from matchmark.conformance.checks.finding import Finding, show
from matchmark.conformance.driver import Driver, Reply
from matchmark.conformance.messages import (
    Accepted,
    Cancelled,
    Event,
    New,
    OrdType,
    Rejected,
    Replace,
    Side,
    Tif,
    Top,
    Trade,
)
from matchmark.conformance.verdict import violation_type

PIVOT_TICKS = 10_050
"""100.50 in ticks of a cent: the best bid of every diagram, and the point round which prices are mirrored."""
PROBE = "PROBE"
"""The account whose orders only look what is in a book."""


@dataclass(frozen=True)
class View:
    """The diagrams sell into bids. The mirrored view buys into asks, each price as far on the pivot's other side."""

    incoming: Side

    @property
    def resting(self) -> Side:
        return self.incoming.opposite

    def px(self, ticks: int) -> int:
        return ticks if self.incoming is Side.SELL else 2 * PIVOT_TICKS - ticks

    def rest(self, engine: Driver, qty: int, px: int, acct: str = "A1", sym: str | None = None) -> Reply:
        """A day limit order on the side that the incoming order will trade with."""
        return engine.new(self.resting, qty, self.px(px), acct=acct, sym=sym)

    def limit(self, engine: Driver, qty: int, px: int, acct: str = "A2", tif: str = Tif.DAY) -> Reply:
        return engine.new(self.incoming, qty, self.px(px), acct=acct, tif=tif)

    def ioc(self, engine: Driver, qty: int, px: int, acct: str = "A2") -> Reply:
        return self.limit(engine, qty, px, acct, Tif.IOC)

    def market(self, engine: Driver, qty: int, acct: str = "A2") -> Reply:
        return engine.new(self.incoming, qty, acct=acct)

    def trade(self, engine: Driver, qty: int, px: int, resting: Reply, incoming: Reply) -> Trade:
        return Trade(engine.symbol(), self.px(px), qty, resting.cl, incoming.cl)

    def top(self, engine: Driver, resting: tuple[int, int] | None, incoming: tuple[int, int] | None) -> Top:
        """The top with (price, quantity) on the resting and on the incoming order's side."""
        far, near = ((self.px(q[0]), q[1]) if q else None for q in (resting, incoming))
        return Top(engine.symbol(), *((far, near) if self.resting is Side.BUY else (near, far)))


VIEWS = pytest.mark.parametrize("view", [View(Side.SELL), View(Side.BUY)], ids=["sell-into-bids", "buy-into-asks"])


# --- comparing ---


def without_top(reply: Reply) -> list[Event]:
    """The answer itself. What is published may come at any place in it (ruling R14) and is compared by itself."""
    return [e for e in reply.events if not isinstance(e, Top)]


def tops(reply: Reply) -> list[Event]:
    return [e for e in reply.events if isinstance(e, Top)]


def words(value: object) -> str:
    return show(value) if hasattr(value, "op") or hasattr(value, "ev") else str(value)  # type: ignore[arg-type]


def expect(engine: Driver, clause: str, expected: Sequence[object], actual: Sequence[object], message: str) -> None:
    """Raises the clause's violation unless the two lists are equal."""
    if list(expected) != list(actual):
        violate(engine, clause, message, map(words, expected), map(words, actual))


def violate(engine: Driver, clause: str, message: str, expected: Iterable[str], actual: Iterable[str]) -> None:
    engine.settle()
    finding = Finding(clause, len(engine.history) - 1, message, tuple(expected), tuple(actual))
    raise violation_type(clause)(finding, engine.history)


def expect_refused(engine: Driver, clause: str, refusal: type[Event], reply: Reply, message: str) -> None:
    """The whole answer is one refusal, with a reason."""
    expect(engine, clause, [refusal(reply.cl)], reply.events, message)  # type: ignore[call-arg]
    if not reply.events[0].reason.strip():  # type: ignore[union-attr]
        violate(engine, clause, message, ["a reason"], ["an empty reason"])


def expect_nothing_found(engine: Driver, clause: str, reply: Reply, qty: int, message: str) -> None:
    """A market order that met an empty side: cancelled whole or, by the adapter's choice (ruling R15), rejected."""
    answer = without_top(reply)
    if answer == [Rejected(reply.cl)]:
        expect_refused(engine, clause, Rejected, reply, message)
    else:
        expect(engine, clause, [Accepted(reply.cl), Cancelled(reply.cl, qty, 0)], answer, message)


# --- looking into a book ---


def lots_sent(engine: Driver, side: str, sym: str) -> int:
    """At most so many lots can rest on that side: those of all orders sent so far.

    A probe asks for no more: an engine that never takes an order out of its book would answer it without end.
    """
    lots = 0
    for x in engine.history:
        c = x.command
        if (
            isinstance(c, New)
            and c.side == side
            and c.sym == sym
            and 0 < c.qty <= engine.info.instruments.quantity_max_lots
        ):
            lots += c.qty
        elif isinstance(c, Replace) and c.sym == sym:
            lots += max(c.new_qty or 0, 0)
    return lots


def take(engine: Driver, side: str, qty: int, sym: str) -> list[Trade]:
    """A probing order that trades with all that it finds, at any price. It uses what the target has: a market order, else
    an IOC, else a limit order at the end of the scale that is cancelled afterwards."""
    has = engine.info.capabilities
    px = engine.info.instruments.price_max_ticks if side == Side.BUY else 1
    acct = PROBE if "accounts" in has else "A1"
    if "market" in has:
        return engine.new(side, qty, type=OrdType.MARKET, acct=acct, sym=sym).trades
    if "ioc" in has:
        return engine.new(side, qty, px, tif=Tif.IOC, acct=acct, sym=sym).trades
    reply = engine.new(side, qty, px, acct=acct, sym=sym)
    if sum(t.qty for t in reply.trades) < qty:
        engine.cancel(reply.cl, acct=acct, sym=sym)
    return reply.trades


def sweep(engine: Driver, side: str, sym: str | None = None) -> list[Trade]:
    """Empties the side that orders of `side` trade with; the trades tell its prices, quantities and queues."""
    sym = sym or engine.symbol()
    largest = engine.info.instruments.quantity_max_lots
    lots = lots_sent(engine, Side(side).opposite, sym) + 1
    found: list[Trade] = []
    while lots > 0:
        qty = min(lots, largest)
        trades = take(engine, side, qty, sym)
        found += trades
        if sum(t.qty for t in trades) < qty:
            break
        lots -= qty
    return found


def queue(trades: Iterable[Trade]) -> list[tuple[str, int, int]]:
    """(ClOrdID, price, quantity) of the resting orders that a sweep met."""
    return [(t.resting, t.px, t.qty) for t in trades]


def expect_book(
    engine: Driver,
    clause: str,
    side: str,
    expected: Sequence[tuple[str, int, int]],
    message: str,
    sym: str | None = None,
) -> None:
    """What rests against `side`, best first, each order as (ClOrdID, price, quantity). The sweep takes it all."""
    expect(engine, clause, expected, queue(sweep(engine, side, sym)), message)
