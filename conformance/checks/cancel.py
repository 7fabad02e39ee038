"""Cancels, mass cancels and order status: who may, what is reported, what is left."""

from __future__ import annotations

from collections.abc import Iterator

from matchmark.conformance.checks.demand import Kind
from matchmark.conformance.checks.finding import Finding
from matchmark.conformance.checks.moments import EndSeen, HistoryEnd, Step
from matchmark.conformance.checks.observed import Seen
from matchmark.conformance.checks.rule import rule
from matchmark.conformance.messages import (
    Cancel,
    Cancelled,
    CancelRejected,
    MassCancel,
    MassCancelled,
    State,
    Status,
    StatusReport,
)


@rule("D01.X5", "D01.X6", "D04.2", "D04.4", "D04.X1", on=Cancel)
def a_cancel_succeeds_or_fails_as_it_should(step: Step) -> Iterator[Finding]:
    command, demand = step.command, step.demand
    assert isinstance(command, Cancel)
    refusal = next((e for e in step.events if isinstance(e, CancelRejected) and e.cl == command.cl), None)
    done = any(isinstance(e, Cancelled) and e.cl == command.orig for e in step.events)
    if demand.kind is Kind.ACCEPT and refusal is not None:
        message = f"the cancel was refused although {demand.why}"
        yield step.breaks(demand.clause, message, f"cancelled cl={command.orig}")
    elif demand.kind is Kind.REFUSE and done:
        yield step.breaks(demand.clause, f"the cancel was carried out although {demand.why}", "cancel_rejected")
    elif demand.kind is Kind.REFUSE and refusal is not None and not refusal.reason.strip():
        yield step.breaks("D04.X1", f"the cancel was refused without a reason ({demand.why})", "a reason")


@rule("D03.X2", "D04.8", "D04.E1", on=EndSeen)
def a_cancel_reports_leaves_and_cum(end: EndSeen) -> Iterator[Finding]:
    order, event = end.order, end.event
    if end.role != "subject" or order is None or (event.leaves, event.cum) == (end.leaves, end.cum):
        return
    expected = f"cancelled cl={order.cl} leaves={end.leaves} cum={end.cum}"
    message = f"{order.cl} had {end.leaves} lots left and {end.cum} executed, and its cancel reports other quantities"
    yield end.breaks("D04.E1" if end.cum else "D04.8", message, expected)
    if end.cum and event.leaves != end.leaves + end.cum:
        yield end.breaks("D03.X2", message, expected)


@rule("D04.X2", on=HistoryEnd)
def strangers_learn_nothing(end: HistoryEnd) -> Iterator[Finding]:
    """The refusal of a stranger's cancel reads like the refusal of an unknown order's."""
    unknown = {reason for _, _, reason in end.seen.refusals["unknown"]}
    for index, text, reason in end.seen.refusals["stranger"]:
        if unknown and reason not in unknown:
            yield Finding(
                "D04.X2",
                index,
                "the refusal of a stranger's cancel is not that of an unknown order: it tells that the order exists",
                tuple(sorted({text for _, text, _ in end.seen.refusals["unknown"]})),
                (text,),
            )


@rule("D04.X14", on=EndSeen)
def a_mass_cancel_ends_own_orders_only(end: EndSeen) -> Iterator[Finding]:
    command = end.step.command
    if end.role != "mass" or end.order is None or not isinstance(command, MassCancel):
        return
    if not end.step.seen.owns(command.acct, end.order) or command.sym not in (None, end.order.sym):
        yield end.breaks(
            "D04.X14",
            f"{end.order.cl} is not one of the orders of this mass cancel, and was cancelled",
            "no such cancelled event",
        )
    elif (end.event.leaves, end.event.cum) != (end.leaves, end.cum):
        yield end.breaks(
            "D04.X14",
            f"{end.order.cl} had {end.leaves} lots left and {end.cum} executed; its cancel reports other quantities",
            f"cancelled cl={end.order.cl} leaves={end.leaves} cum={end.cum}",
        )


@rule("D01.X5", "D04.X14", on=MassCancel)
def a_mass_cancel_ends_all_own_orders(step: Step) -> Iterator[Finding]:
    done = next((e for e in step.events if isinstance(e, MassCancelled)), None)
    if step.demand.kind is Kind.REFUSE and done is not None:
        yield step.breaks(step.demand.clause, f"carried out although {step.demand.why}", "cancel_rejected")
    if step.demand.kind is not Kind.ACCEPT:
        return
    if done is None and any(isinstance(e, CancelRejected) for e in step.events):
        yield step.breaks("D04.X14", "the mass cancel was refused", "mass_cancelled")
    for order in step.overlooked:
        yield step.breaks(
            "D04.X14", f"{order.cl} rests in {order.sym} and belongs to the account, and was not cancelled", "cancelled"
        )
    if done is not None and done.count != (count := sum(end.role == "mass" for end in step.ends)):
        yield step.breaks(
            "D04.X14",
            f"{count} orders were reported as cancelled, and the count says {done.count}",
            f"mass_cancelled count={count}",
        )


@rule("D03.X2", "D03.X10", on=Status)
def status_tells_state_leaves_and_cum(step: Step) -> Iterator[Finding]:
    command = step.command
    assert isinstance(command, Status)
    report = next((e for e in step.events if isinstance(e, StatusReport) and e.cl == command.cl), None)
    order = step.subject
    known = order is not None and step.seen.owns(command.acct, order) and order.sym == command.sym
    state, leaves, cum = _status_of(order) if known and order is not None else (State.UNKNOWN, 0, 0)
    if report is None or (report.orig, report.state, report.leaves, report.cum) == (command.orig, state, leaves, cum):
        return
    drifted = cum > 0 and report.state == state and report.orig == command.orig
    yield step.breaks(
        "D03.X2" if drifted else "D03.X10",
        f"{command.orig} is {state} with {leaves} lots left and {cum} executed, and its status says otherwise",
        f"status cl={command.cl} orig={command.orig} state={state} leaves={leaves} cum={cum}",
    )


def _status_of(order: Seen) -> tuple[State, int, int]:
    if order.over == "was filled":
        return State.FILLED, 0, order.cum
    if order.over:
        return State.CANCELLED, 0, order.cum
    return (State.PARTIALLY_FILLED if order.cum else State.NEW), order.leaves, order.cum
