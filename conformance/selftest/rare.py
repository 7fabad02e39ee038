"""Mutants that differ from run to run, or that die or hang on an input that comes seldom."""

from __future__ import annotations

from matchmark.conformance.messages import Cancelled, New, OrdType, Rejected, Replace
from matchmark.conformance.selftest.declare import mutant
from matchmark.conformance.targets.base import TargetDied, TargetHung
from matchmark.reference.book import Level, Order
from matchmark.reference.model import ModelEngine


class Lives(ModelEngine):
    """For state that a reset does not clear: how many orders this process has taken in its life."""

    taken = 0

    def accept(self, command: New) -> Order:
        self.taken += 1
        return super().accept(command)


@mutant(
    "d01_every_50th_order_jumps_the_queue",
    breaks=("D01.X11",),
    story="Every 50th order since the process began met a cache line that was being rebuilt, and rested in front.",
)
class Every50thJumps(Lives):
    def enqueue(self, order: Order, level: Level) -> None:
        super().enqueue(order, level)
        if self.taken % 50 == 0:
            level.orders.move_to_end(order.id, last=False)


@mutant(
    "d01_empty_book_answered_by_turns",
    breaks=("D01.X11",),
    story="Whether a market order into an empty book was refused or cancelled depended on which thread took it.",
)
class EmptyBookByTurns(ModelEngine):
    turn = 0

    def new(self, command: New) -> None:
        super().new(command)
        last = self.events[-1]
        if command.type == OrdType.MARKET and isinstance(last, Cancelled) and last.cum == 0 and len(self.events) == 2:
            self.turn += 1
            if self.turn % 2:
                del self.orders[command.cl]
                self.events[:] = [Rejected(command.cl, "no liquidity")]


@mutant(
    "d01_dies_when_a_level_of_ten_is_swept",
    breaks=("D01.X8",),
    story="A buffer for the reports of one command had room for nine, and the tenth fill ended the process.",
)
class DiesOnTenthFill(ModelEngine):
    def match(self, incoming: Order) -> None:
        self.fills = 0
        super().match(incoming)

    def fill_resting(self, order: Order, qty: int, level: Level) -> None:
        self.fills += 1
        if self.fills == 10:
            raise TargetDied("it ended: killed by SIGSEGV")
        super().fill_resting(order, qty, level)


@mutant(
    "d01_hangs_on_a_self_replace",
    breaks=("D01.X8",),
    story="A replace under the order's own ClOrdID linked the order to itself, and the list had no end.",
)
class HangsOnSelfReplace(ModelEngine):
    def replace(self, command: Replace) -> None:
        order = self.owned(command.orig, command.acct, command.sym)
        if order and order.leaves and command.cl == command.orig:
            raise TargetHung("no answer within 5 s")
        super().replace(command)
