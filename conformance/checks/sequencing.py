"""Each command is answered once, at once and in order, and acknowledged orders have ids of their own."""

from __future__ import annotations

from collections.abc import Iterator

from matchmark.conformance.checks.demand import Kind
from matchmark.conformance.checks.finding import Finding
from matchmark.conformance.checks.moments import Step
from matchmark.conformance.checks.rule import rule
from matchmark.conformance.messages import (
    Accepted,
    Cancel,
    Cancelled,
    CancelRejected,
    Event,
    MassCancel,
    MassCancelled,
    New,
    Rejected,
    Replace,
    Replaced,
    Status,
    StatusReport,
    Top,
    Trade,
)

ANSWERS: dict[type, tuple[type, ...]] = {
    New: (Accepted, Rejected),
    Cancel: (Cancelled, CancelRejected),
    Replace: (Replaced, CancelRejected),
    MassCancel: (MassCancelled, CancelRejected),
    Status: (StatusReport,),
}
"""The events of which each command is owed exactly one."""


def is_answer(event: Event, step: Step) -> bool:
    command = step.command
    if not isinstance(event, ANSWERS[type(command)]):
        return False
    if isinstance(event, Cancelled):
        return isinstance(command, Cancel) and event.cl == command.orig
    return event.cl == command.cl  # type: ignore[union-attr]


@rule("D01.8", "D01.X8", "D04.8", on=tuple(ANSWERS))
def every_command_is_answered_once(step: Step) -> Iterator[Finding]:
    answers = [event for event in step.events if is_answer(event, step)]
    if len(answers) == 1:
        return
    wanted = " or ".join(cls.ev for cls in ANSWERS[type(step.command)])  # type: ignore[attr-defined]
    clause = "D01.X8"
    if len(answers) > 1 and all(isinstance(a, Accepted) for a in answers):
        clause = "D01.8"
    elif isinstance(step.command, Cancel) and step.demand.kind is Kind.ACCEPT:
        clause = "D04.8"
    count = "no answer" if not answers else f"{len(answers)} answers"
    yield step.breaks(clause, f"the command got {count}; it is owed one", f"one event: {wanted}")


@rule("D01.8", "D04.X12", on=(New, Replace))
def the_acknowledgement_comes_first(step: Step) -> Iterator[Finding]:
    first = next((e for e in step.events if not isinstance(e, Top)), None)
    if first is None or is_answer(first, step) or not any(is_answer(e, step) for e in step.events):
        return
    clause = "D01.8" if isinstance(step.command, New) else "D04.X12"
    yield step.breaks(clause, "something happened to the order before it was acknowledged", "the acknowledgement first")


@rule("D01.8", on=New)
def order_ids_are_unique(step: Step) -> Iterator[Finding]:
    for event in step.events:
        if not isinstance(event, Accepted):
            continue
        holder = step.seen.ids.get(event.id)
        if not event.id:
            yield step.breaks("D01.8", f"{event.cl} was accepted without an order id", "accepted with an id")
        elif holder is not None:
            yield step.breaks(
                "D01.8",
                f"{event.cl} was given the order id {event.id}, which belongs to {holder}",
                "an id that no other order has",
            )


@rule("D01.5", "D01.X8", on=tuple(ANSWERS))
def nothing_else_is_reported(step: Step) -> Iterator[Finding]:
    """Trades and cancelled events are judged one by one (conservation.py, remainder.py); these are the other events."""
    for event in step.events:
        if isinstance(event, Trade | Cancelled | Top) or is_answer(event, step):
            continue
        late = event.cl in step.seen.requests
        yield step.breaks(
            "D01.5" if late else "D01.X8",
            f"the {event.ev} event for {event.cl} does not answer this command"
            + (", but an earlier one" if late else ""),
            "events of this command only",
        )


@rule("D01.5", on=(Cancel, MassCancel, Status))
def only_orders_cause_trades(step: Step) -> Iterator[Finding]:
    if step.trades and all(t.fault != "foreign" for t in step.trades):
        yield step.breaks("D01.5", f"a {step.command.op} caused a trade", "no trade")


@rule("D01.6", "D01.X3", "D01.X4", "D01.X5", "D02.3", "D03.1", "D08.1", on=New)
def an_order_is_accepted_or_rejected_as_it_should_be(step: Step) -> Iterator[Finding]:
    command, demand = step.command, step.demand
    accepted = any(isinstance(e, Accepted) and e.cl == command.cl for e in step.events)  # type: ignore[union-attr]
    rejection = next((e for e in step.events if isinstance(e, Rejected) and e.cl == command.cl), None)  # type: ignore[union-attr]
    if demand.kind is Kind.ACCEPT and rejection is not None:
        yield step.breaks(demand.clause, f"{rejection.cl} was rejected although {demand.why}", "accepted")
    elif demand.kind is Kind.REFUSE and accepted:
        yield step.breaks(demand.clause, f"the order was accepted although {demand.why}", "rejected, with a reason")
    elif demand.kind is Kind.REFUSE and rejection is not None and not rejection.reason.strip():
        yield step.breaks(demand.clause, f"the order was rejected without a reason ({demand.why})", "a reason")
