"""Mutants of the answers to cancels: what is confirmed, what is refused, and with which numbers."""

from __future__ import annotations

from matchmark.conformance.messages import Cancel, Cancelled, CancelRejected, Event, State
from matchmark.conformance.selftest.declare import mutant
from matchmark.reference.book import Order
from matchmark.reference.model import ModelEngine


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
