"""What becomes of quantity that an order could not trade at once: a day limit rests, IOC and market are cancelled."""

from __future__ import annotations

from collections.abc import Iterator

from matchmark.conformance.checks.finding import Finding
from matchmark.conformance.checks.moments import EndSeen, Step
from matchmark.conformance.checks.observed import Seen
from matchmark.conformance.checks.rule import rule
from matchmark.conformance.messages import New, Replace, Smp


@rule("D01.6", "D03.6", on=EndSeen)
def a_limit_order_keeps_its_remainder_in_the_book(end: EndSeen) -> Iterator[Finding]:
    order = end.order
    if end.role != "incoming" or order is None or not order.may_rest or _met_itself(end, order):
        return
    clause = "D03.6" if end.step.trades else "D01.6"
    yield end.breaks(
        clause,
        f"{order.cl} is a day limit order and nobody cancelled it: its {end.leaves} lots rest at {order.px}",
        "no cancelled event",
    )


def _met_itself(end: EndSeen, order: Seen) -> bool:
    return order.smp == Smp.CANCEL_NEWEST and end.front is not None and end.front.acct == order.acct


@rule("D02.X2", "D08.5", "D08.X1", on=New)
def an_unfilled_remainder_is_reported_as_cancelled(step: Step) -> Iterator[Finding]:
    order = step.order
    if order is None or order.may_rest or step.unreported_lots == 0:
        return
    yield step.breaks(
        _clause_of_remainder(step, order, "D08.5"),
        f"{order.cl} could not fill {step.unreported_lots} lots and no report says that they are cancelled",
        f"cancelled cl={order.cl} leaves={step.unreported_lots} cum={order.cum}",
    )


@rule("D02.X2", "D02.X10", "D08.6", "D08.X1", on=EndSeen)
def the_report_of_a_remainder_has_its_quantities(end: EndSeen) -> Iterator[Finding]:
    order = end.order
    if end.role != "incoming" or order is None or (end.event.leaves, end.event.cum) == (end.leaves, end.cum):
        return
    if order.may_rest and not _met_itself(end, order):
        return  # that it was cancelled at all is the finding
    clause = "D02.X10" if order.may_rest else _clause_of_remainder(end.step, order, "D08.6")
    yield end.breaks(
        clause,
        f"{order.cl} executed {end.cum} lots and has {end.leaves} unfilled; the report of its end says otherwise",
        f"cancelled cl={order.cl} leaves={end.leaves} cum={end.cum}",
    )


def _clause_of_remainder(step: Step, order: Seen, ioc_clause: str) -> str:
    if order.is_market:
        return "D02.X2"
    return ioc_clause if step.trades else "D08.X1"


@rule("D01.X8", "D07.6", "D08.X2", on=EndSeen)
def a_filled_order_is_not_cancelled_as_well(end: EndSeen) -> Iterator[Finding]:
    order, step = end.order, end.step
    if end.role != "over" or order is None or order is not step.order:
        return
    if step.done_for:
        clause, why = "D01.X8", "is reported as cancelled twice"
    elif order.is_ioc:
        clause, why = "D08.X2", "is filled, so nothing of it is left to cancel"
    elif order.is_market:
        clause, why = "D07.6", "is filled, so nothing of it is left to cancel"
    else:
        clause, why = "D01.X8", "is filled, so nothing of it is left to cancel"
    yield end.breaks(clause, f"{order.cl} {why}", "no such cancelled event")


@rule("D01.X8", "D04.5", on=EndSeen)
def nobody_else_is_cancelled(end: EndSeen) -> Iterator[Finding]:
    """Orders that the command is not about stay as they are."""
    order, role = end.order, end.role
    if role == "unknown":
        yield end.breaks(
            "D01.X8", f"{end.event.cl} is no accepted order, yet it is reported as cancelled", "no such event"
        )
    elif role == "bystander" and order is not None and not _newest(end.step):
        clause = "D04.5" if end.step.subject is not None and not isinstance(end.step.command, Replace) else "D01.X8"
        yield end.breaks(clause, f"{order.cl} is reported as cancelled, and nobody asked for that", "no such event")
    elif role == "over" and order is not end.step.order and order is not end.step.subject and order is not None:
        yield end.breaks("D01.X8", f"{order.cl} {order.over} and is reported as cancelled again", "no such event")


def _newest(step: Step) -> bool:
    return step.order is not None and step.order.smp == Smp.CANCEL_NEWEST
