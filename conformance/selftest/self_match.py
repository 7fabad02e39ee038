"""Mutants of self-match prevention (optional capabilities)."""

from __future__ import annotations

from matchmark.conformance.messages import Cancelled, Side, Smp, State
from matchmark.conformance.selftest.declare import mutant
from matchmark.reference.book import Book, Level, Order
from matchmark.reference.model import ModelEngine


class KnowsFirst(ModelEngine):
    """For bugs that treat the first resting order in line differently from the others."""

    def match(self, incoming: Order) -> None:
        self.first: Order | None = None
        super().match(incoming)

    def next_resting(self, level: Level) -> Order:
        order = super().next_resting(level)
        self.first = self.first or order
        return order


@mutant(
    "d02_newest_only_the_first_in_line_checked",
    breaks=("D02.X10",),
    story="Self-match prevention looked at the head of the book once; own orders further on were traded with.",
)
class OnlyFirstChecked(KnowsFirst):
    def is_self_match(self, incoming: Order, resting: Order) -> bool:
        later = incoming.smp == Smp.CANCEL_NEWEST and resting is not self.first
        return super().is_self_match(incoming, resting) and not later


@mutant(
    "d02_newest_checked_before_the_first_trade",
    breaks=("D02.X10",),
    story="An incoming order was cancelled whole, before any trade, when an own order stood anywhere in its way.",
)
class NewestCheckedAhead(ModelEngine):
    def match(self, incoming: Order) -> None:
        levels = self.books[incoming.sym].levels[Side(incoming.side).opposite].values()
        in_the_way = [o for level in levels if self.crosses(incoming, level.px) for o in level.orders.values()]
        if incoming.smp == Smp.CANCEL_NEWEST and any(self.is_self_match(incoming, order) for order in in_the_way):
            self.end(incoming, "smp")
        else:
            super().match(incoming)


@mutant(
    "d02_newest_cancelled_without_a_report",
    breaks=("D02.X10",),
    story="Self-match prevention dropped the incoming order's remainder silently.",
)
class NewestDroppedSilently(ModelEngine):
    def prevent_self_match(self, incoming: Order, resting: Order) -> None:
        if incoming.smp == Smp.CANCEL_NEWEST:
            incoming.state, incoming.leaves = State.CANCELLED, 0
        else:
            super().prevent_self_match(incoming, resting)


@mutant(
    "d02_newest_takes_the_resting_order_along",
    breaks=("D02.X10",),
    story="Cancel-newest was implemented as cancel-both.",
)
class NewestTakesBoth(ModelEngine):
    def prevent_self_match(self, incoming: Order, resting: Order) -> None:
        if incoming.smp == Smp.CANCEL_NEWEST:
            self.take_out(resting)
            self.end(resting, "smp")
        super().prevent_self_match(incoming, resting)


@mutant(
    "d02_oldest_stops_matching",
    breaks=("D02.X11",),
    story="With the resting order cancelled the matching ended, and the incoming order's remainder went to rest.",
)
class OldestStopsMatching(ModelEngine):
    def match(self, incoming: Order) -> None:
        self.stopped = False
        super().match(incoming)

    def prevent_self_match(self, incoming: Order, resting: Order) -> None:
        super().prevent_self_match(incoming, resting)
        self.stopped = True

    def next_level(self, book: Book, incoming: Order) -> Level | None:
        return None if self.stopped else super().next_level(book, incoming)


@mutant(
    "d02_oldest_takes_the_whole_level",
    breaks=("D02.X11",),
    story="All own orders of the level were cancelled at once, those behind where the matching ended too.",
)
class OldestTakesLevel(ModelEngine):
    def prevent_self_match(self, incoming: Order, resting: Order) -> None:
        own = [o for o in self.level_of(resting).orders.values() if self.is_self_match(incoming, o)]
        super().prevent_self_match(incoming, resting)
        for order in own if incoming.smp == Smp.CANCEL_OLDEST else ():
            if order is not resting:
                self.take_out(order)
                self.end(order, "smp")


@mutant(
    "d02_oldest_cancelled_ahead_of_its_turn",
    breaks=("D02.X11",),
    story="Own orders at the best level were cancelled before matching began, whether or not their turn came.",
)
class OldestAheadOfTurn(ModelEngine):
    def match(self, incoming: Order) -> None:
        best = self.next_level(self.books[incoming.sym], incoming)
        if incoming.smp == Smp.CANCEL_OLDEST and best and self.crosses(incoming, best.px):
            for order in [o for o in best.orders.values() if self.is_self_match(incoming, o)]:
                self.take_out(order)
                self.end(order, "smp")
        super().match(incoming)


@mutant(
    "d02_oldest_reports_the_incoming_quantity",
    breaks=("D02.X11",),
    story="The report of the resting order's cancel carried the incoming order's leaves.",
)
class OldestReportsIncoming(ModelEngine):
    def match(self, incoming: Order) -> None:
        self.matching = incoming
        super().match(incoming)

    def cancel_report(self, order: Order, reason: str) -> Cancelled:
        leaves = self.matching.leaves if reason == "smp" and order is not self.matching else order.leaves
        return Cancelled(order.cl, leaves, order.cum, reason)
