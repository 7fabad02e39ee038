"""The book as an outsider knows it: orders, queues and levels, moved only by what replay.py reads in a history.

Nothing here matches orders.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from sortedcontainers import SortedDict

from matchmark.conformance.messages import Level as Quote
from matchmark.conformance.messages import OrdType, Side, Tif

BUY, SELL = str(Side.BUY), str(Side.SELL)
TopOfBook = tuple[Quote | None, Quote | None]


@dataclass(slots=True, eq=False)
class Seen:
    """An order, as far as an outsider knows it."""

    n: int
    """Counts orders as they are first seen."""
    cl: str
    acct: str
    sym: str
    side: str
    type: str
    tif: str
    smp: str | None
    px: int | None
    """Limit in ticks, None for a market order."""
    leaves: int
    cum: int = 0
    resting: bool = False
    fills_resting: int = 0
    fills_incoming: int = 0
    kept_place: bool = False
    """A replace cut its quantity, so that it stayed where it was."""
    lost_place: bool = False
    """A replace put it at the back."""
    over: str | None = None
    """How it ended, in words; None while it is alive."""
    over_clause: str = ""
    """The clause that is broken if it ever trades again."""

    @property
    def qty(self) -> int:
        return self.leaves + self.cum

    @property
    def is_market(self) -> bool:
        return self.type == OrdType.MARKET

    @property
    def is_ioc(self) -> bool:
        return self.tif == Tif.IOC and not self.is_market

    @property
    def may_rest(self) -> bool:
        return self.tif == Tif.DAY and not self.is_market

    def crosses(self, px: int) -> bool:
        """Whether it may trade at that price of the other side."""
        if self.px is None:
            return True
        return px <= self.px if self.side == BUY else px >= self.px

    def end(self, how: str, clause: str) -> None:
        """`clause` is the one that is broken if it trades again."""
        self.over, self.over_clause, self.leaves = how, clause, 0


class Queue:
    """The orders at one price by arrival, and their total quantity in lots."""

    __slots__ = ("orders", "px", "qty")

    def __init__(self, px: int) -> None:
        self.px = px
        self.qty = 0
        self.orders: OrderedDict[int, Seen] = OrderedDict()

    @property
    def front(self) -> Seen:
        return next(iter(self.orders.values()))


class ObservedBook:
    """The resting orders of one symbol."""

    __slots__ = ("best", "sides")

    def __init__(self) -> None:
        self.sides: dict[str, SortedDict[int, Queue]] = {BUY: SortedDict(), SELL: SortedDict()}
        self.best: dict[str, Queue | None] = {BUY: None, SELL: None}

    def _find_best(self, side: str) -> None:
        queues = self.sides[side]
        self.best[side] = queues.peekitem(-1 if side == BUY else 0)[1] if queues else None

    def front_for(self, order: Seen) -> Seen | None:
        """The resting order with the first claim on `order`; None when the other side has nothing within its limit."""
        best = self.best[SELL if order.side == BUY else BUY]
        return best.front if best and order.crosses(best.px) else None

    def add(self, order: Seen) -> None:
        assert order.px is not None
        queues = self.sides[order.side]
        queue = queues.get(order.px)
        if queue is None:
            queue = queues[order.px] = Queue(order.px)
            self._find_best(order.side)
        queue.orders[order.n] = order
        queue.qty += order.leaves
        order.resting = True

    def queue_of(self, order: Seen) -> Queue:
        assert order.px is not None, "only limit orders rest"
        queue: Queue = self.sides[order.side][order.px]
        return queue

    def remove(self, order: Seen) -> None:
        queue = self.queue_of(order)
        del queue.orders[order.n]
        queue.qty -= order.leaves
        if not queue.orders:
            del self.sides[order.side][queue.px]
            if self.best[order.side] is queue:
                self._find_best(order.side)
        order.resting = False

    def shrink(self, order: Seen, lots: int) -> None:
        """A resting order lost lots and stays where it is."""
        self.queue_of(order).qty -= lots
        order.leaves -= lots

    def top(self) -> TopOfBook:
        bid, ask = self.best[BUY], self.best[SELL]
        return (bid.px, bid.qty) if bid else None, (ask.px, ask.qty) if ask else None

    def is_crossed(self) -> bool:
        bid, ask = self.best[BUY], self.best[SELL]
        return bid is not None and ask is not None and bid.px >= ask.px

    def orders(self) -> Iterator[Seen]:
        for queues in self.sides.values():
            for queue in queues.values():
                yield from queue.orders.values()
