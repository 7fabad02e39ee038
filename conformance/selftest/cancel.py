"""Mutants of cancels: whose order may go, what goes with it, and what is said about it."""

from __future__ import annotations

from matchmark.conformance.messages import Cancel, Cancelled, CancelRejected, Command, Event, State
from matchmark.conformance.selftest.declare import mutant
from matchmark.reference.book import Order
from matchmark.reference.model import ModelEngine


@mutant(
    "d04_owner_not_checked",
    breaks=("D04.2",),
    story="A cancel was looked up by ClOrdID alone: anyone's order could go.",
)
class OwnerNotChecked(ModelEngine):
    def cancel(self, command: Cancel) -> None:
        order = self.orders.get(command.orig)
        owner = order.acct if order and order.sym == command.sym else command.acct
        super().cancel(Cancel(command.cl, command.orig, owner, command.sym))


@mutant(
    "d04_owner_compared_by_first_letter",
    breaks=("D04.2",),
    story="Account names were compared up to the length of the shorter one, and that was the firm's one-letter prefix.",
)
class OwnerComparedByPrefix(ModelEngine):
    def is_owner(self, order: Order, acct: str) -> bool:
        return order.acct[:1] == acct[:1]


@mutant(
    "d04_owner_forgotten_after_partial_fill",
    breaks=("D04.2",),
    story="A partly filled order was stored anew without its owner, and any account could cancel it.",
)
class OwnerForgottenAfterFill(ModelEngine):
    def is_owner(self, order: Order, acct: str) -> bool:
        return order.acct == acct or (order.cum > 0 and order.leaves > 0)


@mutant(
    "d04_cancel_takes_effect_a_command_late",
    breaks=("D04.3",),
    story="Cancels were confirmed at once and applied behind the next order, which could still trade.",
)
class CancelTakesEffectLate(ModelEngine):
    def reset(self) -> None:
        super().reset()
        self.pending: Order | None = None

    def submit(self, command: Command) -> list[Event]:
        late, self.pending = self.pending, None
        events = super().submit(command)
        if late is not None and late.leaves:
            self.take_out(late)
            late.leaves = 0
        return events

    def cancel(self, command: Cancel) -> None:
        order = self.owned(command.orig, command.acct, command.sym)
        if order is None or not order.leaves:
            super().cancel(command)
            return
        self.emit(self.cancel_report(order, "requested"))
        order.state = State.CANCELLED
        self.pending = order


@mutant(
    "d04_partly_filled_order_not_found",
    breaks=("D04.4",),
    story="A partial fill wrote the order back under its internal id, and a cancel by ClOrdID found nothing.",
)
class PartlyFilledNotFound(ModelEngine):
    def cancel(self, command: Cancel) -> None:
        order = self.owned(command.orig, command.acct, command.sym)
        if order and order.leaves and order.cum:
            self.emit(CancelRejected(command.cl, "unknown_order"))
        else:
            super().cancel(command)


@mutant(
    "d04_200th_live_order_not_found",
    breaks=("D04.4",),
    story="The map of orders was grown at 200 entries, and what was inserted while it grew was lost from it.",
)
class NotFoundWhileGrowing(ModelEngine):
    def cancel(self, command: Cancel) -> None:
        order = self.owned(command.orig, command.acct, command.sym)
        if order and order.id == 200:
            self.emit(CancelRejected(command.cl, "unknown_order"))
        else:
            super().cancel(command)


@mutant(
    "d04_cancel_removes_the_head",
    breaks=("D04.5",),
    story="A cancel popped the head of the order's level and reported the right ClOrdID.",
)
class CancelRemovesHead(ModelEngine):
    def cancel(self, command: Cancel) -> None:
        order = self.owned(command.orig, command.acct, command.sym)
        if order is None or not order.leaves:
            super().cancel(command)
            return
        head = self.next_resting(self.level_of(order))
        self.take_out(head)
        self.emit(self.cancel_report(order, "requested"))
        order.cl, head.cl = head.cl, order.cl
        self.orders[order.cl], self.orders[head.cl] = order, head
        head.state, head.leaves = State.CANCELLED, 0


@mutant(
    "d04_cancel_of_the_tail_takes_the_level",
    breaks=("D04.5",),
    story="The cancel of a level's last order cleared its tail pointer, and the level with all its orders was erased.",
)
class CancelOfTailTakesLevel(ModelEngine):
    def cancel(self, command: Cancel) -> None:
        order = self.owned(command.orig, command.acct, command.sym)
        level = self.level_of(order) if order and order.leaves else None
        super().cancel(command)
        if order and level and level.orders and order.id > max(level.orders):
            for left in list(level.orders.values()):
                self.take_out(left)
                left.leaves = 0


@mutant(
    "d04_cancelled_order_trades_when_others_rest_beside_it",
    breaks=("D04.6",),
    story="Cancels left a tombstone in levels that held other orders, and matching did not look at it.",
)
class TombstoneTrades(ModelEngine):
    def cancel(self, command: Cancel) -> None:
        order = self.owned(command.orig, command.acct, command.sym)
        shared = bool(order and order.leaves and len(self.level_of(order).orders) > 1)
        if order is None or not shared or order.state == State.CANCELLED:
            super().cancel(command)
            return
        self.emit(self.cancel_report(order, "requested"))
        order.state = State.CANCELLED


@mutant(
    "d04_confirmed_twice",
    breaks=("D04.8",),
    story="The book and the session each confirmed a cancel of an order that was alone at its price.",
)
class ConfirmedTwice(ModelEngine):
    def cancel(self, command: Cancel) -> None:
        order = self.owned(command.orig, command.acct, command.sym)
        if order and order.leaves and len(self.level_of(order).orders) == 1:
            self.emit(self.cancel_report(order, "requested"))
        super().cancel(command)


@mutant(
    "d04_report_without_leaves",
    breaks=("D04.8",),
    story="The cancel report was written after the order had been cleared: its leaves were always zero.",
)
class ReportWithoutLeaves(ModelEngine):
    def cancel_report(self, order: Order, reason: str) -> Cancelled:
        return Cancelled(order.cl, 0 if reason == "requested" else order.leaves, order.cum, reason)


@mutant(
    "d04_report_of_original_quantity",
    breaks=("D04.E1",),
    story="The cancel of a partly filled order reported its original quantity as cancelled and nothing as filled.",
)
class ReportOfOriginalQuantity(ModelEngine):
    def cancel_report(self, order: Order, reason: str) -> Cancelled:
        if reason == "requested":
            return Cancelled(order.cl, order.qty, 0, reason)
        return super().cancel_report(order, reason)


@mutant(
    "d04_cum_is_the_last_fill",
    breaks=("D04.E1",),
    story="The cancel report's cum was the size of the last fill.",
)
class CumIsTheLastFill(ModelEngine):
    def reset(self) -> None:
        super().reset()
        self.last_fill: dict[int, int] = {}

    def fill(self, order: Order, qty: int) -> None:
        super().fill(order, qty)
        self.last_fill[order.id] = qty

    def cancel_report(self, order: Order, reason: str) -> Cancelled:
        cum = self.last_fill.get(order.id, 0) if reason == "requested" else order.cum
        return Cancelled(order.cl, order.leaves, cum, reason)


@mutant(
    "d04_cancel_of_filled_order_confirmed",
    breaks=("D04.X1",),
    story="A cancel that came too late for a filled order was confirmed with nothing left.",
)
class CancelOfFilledConfirmed(ModelEngine):
    def cancel(self, command: Cancel) -> None:
        order = self.owned(command.orig, command.acct, command.sym)
        if order and order.state == State.FILLED:
            self.emit(self.cancel_report(order, "requested"))
        else:
            super().cancel(command)


@mutant(
    "d04_second_cancel_confirmed_again",
    breaks=("D04.X1",),
    story="Cancels were made idempotent: one of an order already cancelled was confirmed once more.",
)
class SecondCancelConfirmed(ModelEngine):
    def cancel(self, command: Cancel) -> None:
        order = self.owned(command.orig, command.acct, command.sym)
        if order and order.state == State.CANCELLED:
            self.emit(self.cancel_report(order, "requested"))
        else:
            super().cancel(command)


@mutant(
    "d04_refused_without_a_reason",
    breaks=("D04.X1",),
    story="The cancel reject of a finished order had an empty reason.",
)
class RefusedWithoutReason(ModelEngine):
    def emit(self, event: Event) -> None:
        if isinstance(event, CancelRejected) and event.reason == "too_late":
            event = CancelRejected(event.cl, "")
        super().emit(event)


@mutant(
    "d04_stranger_told_too_late",
    breaks=("D04.X2",),
    story="Whether an order was finished was checked before whose it was, and told a stranger that it had existed.",
)
class StrangerToldTooLate(ModelEngine):
    def cancel(self, command: Cancel) -> None:
        order = self.orders.get(command.orig)
        if order and order.sym == command.sym and order.acct != command.acct and not order.leaves:
            self.emit(CancelRejected(command.cl, "too_late"))
        else:
            super().cancel(command)


@mutant(
    "d04_stranger_told_not_your_order",
    breaks=("D04.X2",),
    story="A stranger's cancel was refused with a reason of its own, which gave the order away.",
)
class StrangerToldNotYours(ModelEngine):
    def cancel(self, command: Cancel) -> None:
        order = self.orders.get(command.orig)
        if order and order.sym == command.sym and order.acct != command.acct and order.leaves:
            self.emit(CancelRejected(command.cl, "not_your_order"))
        else:
            super().cancel(command)


@mutant(
    "d04_last_order_moved_into_the_gap",
    breaks=("D04.X3",),
    story="A level was an array, and a cancel filled the gap with the array's last order.",
)
class LastMovedIntoGap(ModelEngine):
    def take_out(self, order: Order) -> None:
        level = self.level_of(order)
        ids = list(level.orders)
        super().take_out(order)
        if ids[-1] != order.id:
            ids[ids.index(order.id)] = ids.pop()
            for order_id in ids:
                level.orders.move_to_end(order_id)


@mutant(
    "d04_tail_becomes_head_when_head_is_cancelled",
    breaks=("D04.X3",),
    story="Cancelling the front of a level of three or more set the head pointer to the tail.",
)
class TailBecomesHead(ModelEngine):
    def take_out(self, order: Order) -> None:
        level = self.level_of(order)
        was_head = self.next_resting(level) is order
        super().take_out(order)
        if was_head and len(level.orders) > 1:
            level.orders.move_to_end(next(reversed(level.orders)), last=False)
