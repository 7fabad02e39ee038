"""Mutants of time priority: who is next at a price."""

from __future__ import annotations

from matchmark.conformance.messages import Side
from matchmark.conformance.selftest.declare import mutant
from matchmark.reference.book import Level, Order
from matchmark.reference.model import ModelEngine


def to_front(level: Level, order: Order) -> None:
    level.orders.move_to_end(order.id, last=False)


@mutant("d01_lifo", breaks=("D01.X2",), story="The queue at a price was a stack: the last to arrive traded first.")
class Lifo(ModelEngine):
    def next_resting(self, level: Level) -> Order:
        return next(reversed(level.orders.values()))


@mutant(
    "d01_ask_queue_inverted",
    breaks=("D01.X2",),
    story="The ask side was copied from the bid side with the sort turned round, and the queue in each level with it.",
)
class AskQueueInverted(ModelEngine):
    def enqueue(self, order: Order, level: Level) -> None:
        super().enqueue(order, level)
        if order.side == Side.SELL:
            to_front(level, order)


@mutant(
    "d01_largest_first",
    breaks=("D01.X2",),
    story="A size-priority option of another market was left switched on.",
)
class LargestFirst(ModelEngine):
    def next_resting(self, level: Level) -> Order:
        return max(level.orders.values(), key=lambda order: order.leaves)


@mutant(
    "d01_queue_sorted_by_cl_ord_id",
    breaks=("D01.X2",),
    story="A level was a map keyed by the ClOrdID's text, so that c10 came before c9.",
)
class QueueSortedByClOrdId(ModelEngine):
    def next_resting(self, level: Level) -> Order:
        return min(level.orders.values(), key=lambda order: order.cl)


@mutant(
    "d01_own_broker_first",
    breaks=("D01.X2",),
    story="A broker-preferencing rule of another market let an account's order trade first with the same account's.",
)
class OwnBrokerFirst(ModelEngine):
    def match(self, incoming: Order) -> None:
        self.matching = incoming
        super().match(incoming)

    def next_resting(self, level: Level) -> Order:
        own = (order for order in level.orders.values() if order.acct == self.matching.acct)
        return next(own, None) or super().next_resting(level)


@mutant(
    "d01_block_of_64_linked_in_front",
    breaks=("D01.X2",),
    story="The queue was made of blocks of 64 orders, and a new block was linked in front of the first.",
)
class BlockLinkedInFront(ModelEngine):
    def enqueue(self, order: Order, level: Level) -> None:
        super().enqueue(order, level)
        if len(level.orders) > 64 and len(level.orders) % 64 == 1:
            to_front(level, order)


@mutant(
    "d01_257th_order_of_a_level",
    breaks=("D01.X2",),
    story="The position in the queue was kept in eight bits: the 257th order of a level became its first.",
)
class QueuePositionInEightBits(ModelEngine):
    def enqueue(self, order: Order, level: Level) -> None:
        super().enqueue(order, level)
        if len(level.orders) == 257:
            to_front(level, order)


@mutant(
    "d01_1025th_order_of_a_level",
    breaks=("D01.X2",),
    story="A level's ring had 1,024 slots, and the next order took the slot at its head.",
)
class RingOf1024(ModelEngine):
    def enqueue(self, order: Order, level: Level) -> None:
        super().enqueue(order, level)
        if len(level.orders) == 1025:
            to_front(level, order)


@mutant(
    "d03_partial_fill_loses_place",
    breaks=("D03.X1",),
    story="A resting order that was filled in part was taken out and queued again with its new quantity.",
)
class PartialFillLosesPlace(ModelEngine):
    def fill_resting(self, order: Order, qty: int, level: Level) -> None:
        super().fill_resting(order, qty, level)
        if order.leaves:
            level.orders.move_to_end(order.id)


@mutant(
    "d03_second_partial_fill_loses_place",
    breaks=("D03.X1",),
    story="The first fill of a resting order was an update in place, every later one a removal and a new insertion.",
)
class SecondPartialFillLosesPlace(ModelEngine):
    def fill_resting(self, order: Order, qty: int, level: Level) -> None:
        filled_before = order.cum > 0
        super().fill_resting(order, qty, level)
        if order.leaves and filled_before:
            level.orders.move_to_end(order.id)


@mutant(
    "d03_remainder_jumps_the_queue",
    breaks=("D03.X3",),
    story="The remainder of an order that had traded was put in front of the orders already resting at its price.",
)
class RemainderJumpsTheQueue(ModelEngine):
    def enqueue(self, order: Order, level: Level) -> None:
        super().enqueue(order, level)
        if order.cum:
            to_front(level, order)


@mutant(
    "d03_second_level_from_the_back",
    breaks=("D03.3",),
    story="The walk kept a cursor that began at the head of the best level and at the tail of every further one.",
)
class SecondLevelFromTheBack(ModelEngine):
    def match(self, incoming: Order) -> None:
        self.first_px: int | None = None
        super().match(incoming)

    def next_resting(self, level: Level) -> Order:
        if self.first_px is None:
            self.first_px = level.px
        return super().next_resting(level) if level.px == self.first_px else next(reversed(level.orders.values()))
