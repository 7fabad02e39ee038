"""Mutants of order status (optional capability)."""

from __future__ import annotations

from dataclasses import replace

from matchmark.conformance.messages import Event, State, Status, StatusReport
from matchmark.conformance.selftest.declare import mutant
from matchmark.reference.book import Order
from matchmark.reference.model import ModelEngine


class EditsStatus(ModelEngine):
    """For bugs of the report alone: what is answered, given what should be."""

    def edited(self, report: StatusReport) -> StatusReport:
        raise NotImplementedError

    def emit(self, event: Event) -> None:
        super().emit(self.edited(event) if isinstance(event, StatusReport) else event)


@mutant(
    "d03_status_of_partly_filled_is_new",
    breaks=("D03.X10",),
    story="The state was new until the order was filled.",
)
class PartlyFilledIsNew(EditsStatus):
    def edited(self, report: StatusReport) -> StatusReport:
        return replace(report, state=State.NEW) if report.state == State.PARTIALLY_FILLED else report


@mutant(
    "d03_status_leaves_is_the_quantity",
    breaks=("D03.X10",),
    story="A status report's leaves were the order's quantity.",
)
class LeavesIsQuantity(EditsStatus):
    def edited(self, report: StatusReport) -> StatusReport:
        return replace(report, leaves=report.leaves + report.cum) if report.leaves else report


@mutant(
    "d03_status_of_cancelled_keeps_its_leaves",
    breaks=("D03.X10",),
    story="A cancelled order still showed the leaves that it had when it was cancelled.",
)
class CancelledKeepsLeaves(EditsStatus):
    def reset(self) -> None:
        super().reset()
        self.left: dict[str, int] = {}

    def end(self, order: Order, reason: str) -> None:
        self.left[order.cl] = order.leaves
        super().end(order, reason)

    def edited(self, report: StatusReport) -> StatusReport:
        return replace(report, leaves=self.left[report.orig]) if report.orig in self.left else report


@mutant(
    "d03_status_moves_the_order_back",
    breaks=("D03.X10",),
    story="Reading an order's status wrote it back to its level, at the end of the queue.",
)
class StatusMovesOrder(ModelEngine):
    def status(self, command: Status) -> None:
        super().status(command)
        order = self.owned(command.orig, command.acct, command.sym)
        if order and order.leaves:
            self.level_of(order).orders.move_to_end(order.id)


@mutant(
    "d03_status_tells_strangers",
    breaks=("D03.X10",),
    story="A status request was not checked for the owner of the order.",
)
class StatusTellsStrangers(ModelEngine):
    def status(self, command: Status) -> None:
        order = self.orders.get(command.orig)
        owner = order.acct if order and order.sym == command.sym else command.acct
        super().status(replace(command, acct=owner))
