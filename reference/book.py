"""The model's data: orders, the queue at a price, and the book of a symbol. What is done with them is in model.py.

A level is an OrderedDict of orders by order id: arrival order and O(1) removal in one structure. (A plain dict would
do, but finding its first entry is slow once many earlier ones have been deleted.)
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from sortedcontainers import SortedDict

from matchmark.conformance.messages import Level as Quote
from matchmark.conformance.messages import Side, State


@dataclass(slots=True)
class Order:
    """One order for as long as the engine lives. `px` is None for a market order, `leaves` 0 once the order is over."""

    id: int
    cl: str
    acct: str
    sym: str
    side: str
    type: str
    tif: str
    px: int | None
    leaves: int
    smp: str | None
    cum: int = 0
    state: State = State.NEW

    @property
    def qty(self) -> int:
        """Total quantity (FIX OrderQty) of a live order."""
        return self.leaves + self.cum


class Level:
    """The queue at one price, oldest order first, and its total quantity."""

    __slots__ = ("orders", "px", "qty")

    def __init__(self, px: int) -> None:
        self.px = px
        self.qty = 0
        self.orders: OrderedDict[int, Order] = OrderedDict()


class Book:
    """One symbol: on each side a map of price to level in price order, and the best level kept at hand."""

    __slots__ = ("best", "levels", "published", "sym")

    def __init__(self, sym: str) -> None:
        self.sym = sym
        self.levels: dict[str, SortedDict[int, Level]] = {Side.BUY: SortedDict(), Side.SELL: SortedDict()}
        self.best: dict[str, Level | None] = {Side.BUY: None, Side.SELL: None}
        self.published: tuple[Quote | None, Quote | None] = (None, None)

    def level(self, side: str, px: int) -> Level:
        """The level at that price, made when there is none."""
        levels = self.levels[side]
        if px not in levels:
            levels[px] = Level(px)
            self.find_best(side)
        level: Level = levels[px]
        return level

    def drop_level(self, side: str, level: Level) -> None:
        del self.levels[side][level.px]
        if self.best[side] is level:
            self.find_best(side)

    def find_best(self, side: str) -> None:
        levels = self.levels[side]
        self.best[side] = levels.peekitem(-1 if side == Side.BUY else 0)[1] if levels else None

    def top(self) -> tuple[Quote | None, Quote | None]:
        """Best bid and best ask as (price in ticks, total quantity in lots)."""
        bid, ask = self.best[Side.BUY], self.best[Side.SELL]
        return (bid.px, bid.qty) if bid else None, (ask.px, ask.qty) if ask else None

    def resting(self) -> Iterator[tuple[Order, int]]:
        """Every order with the id of the one ahead of it (0 at the front): bids from the best price, then asks from the
        best price, each level oldest first."""
        for level in (*reversed(self.levels[Side.BUY].values()), *self.levels[Side.SELL].values()):
            ahead = 0
            for order in level.orders.values():
                yield order, ahead
                ahead = order.id


class Books(dict[str, Book]):
    """Symbol to book, made when it is first asked for: an engine may list many symbols that nobody trades."""

    def __missing__(self, sym: str) -> Book:
        book = self[sym] = Book(sym)
        return book
