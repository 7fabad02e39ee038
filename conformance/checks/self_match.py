"""Self-match prevention: what an order asks for when it would meet another of its own account."""

from __future__ import annotations

from collections.abc import Iterator

from matchmark.conformance.checks.finding import Finding
from matchmark.conformance.checks.moments import EndSeen, Step, TradeSeen
from matchmark.conformance.checks.observed import Seen
from matchmark.conformance.checks.rule import rule
from matchmark.conformance.messages import New, Replace, Smp


def clause_of(smp: str | None) -> str:
    return "D02.X10" if smp == Smp.CANCEL_NEWEST else "D02.X11"


@rule("D02.X10", "D02.X11", on=TradeSeen)
def an_account_that_asks_never_trades_with_itself(t: TradeSeen) -> Iterator[Finding]:
    if t.fault or t.incoming is None or t.resting is None or t.incoming.smp is None:
        return
    if t.incoming.acct == t.resting.acct:
        yield t.breaks(
            clause_of(t.incoming.smp),
            f"{t.incoming.cl} asked for {t.incoming.smp} and traded with {t.resting.cl} of its own account "
            f"{t.incoming.acct}",
            "no trade within one account",
        )


@rule("D02.X11", on=EndSeen)
def only_own_orders_in_the_way_are_cancelled(end: EndSeen) -> Iterator[Finding]:
    incoming = end.step.order
    if end.role != "smp" or end.order is None or incoming is None:
        return
    if end.order.acct != incoming.acct or end.order is not end.front:
        yield end.breaks(
            "D02.X11",
            f"{end.order.cl} was cancelled while {incoming.cl} matched, although it is not an own order that "
            "comes next",
            "cancelled only for the next resting order, when it is of the same account",
        )
    elif (end.event.leaves, end.event.cum) != (end.leaves, end.cum):
        yield end.breaks(
            "D02.X11",
            f"the report of {end.order.cl} cancelled to prevent a self-match has the wrong quantities",
            f"cancelled cl={end.order.cl} leaves={end.leaves} cum={end.cum}",
        )


@rule("D02.X10", on=EndSeen)
def cancel_newest_leaves_resting_orders_alone(end: EndSeen) -> Iterator[Finding]:
    incoming = end.step.order
    if end.role == "bystander" and incoming is not None and incoming.smp == Smp.CANCEL_NEWEST:
        yield end.breaks(
            "D02.X10",
            f"{end.event.cl} rests and was cancelled, although {incoming.cl} asked that it be cancelled itself",
            f"cancelled cl={incoming.cl}",
        )


@rule("D02.X10", "D02.X11", on=(New, Replace))
def an_own_order_in_the_way_is_dealt_with(step: Step) -> Iterator[Finding]:
    order = step.order
    if order is None or order.smp is None or order.sym not in step.seen.symbols:
        return
    front = step.seen.books[order.sym].front_for(order)
    if front is None or front.acct != order.acct or front is order:
        return
    if order.smp == Smp.CANCEL_NEWEST and not step.done_for and _has_lots_left(step, order):
        yield step.breaks(
            "D02.X10",
            f"{order.cl} met {front.cl} of its own account and was not cancelled",
            f"cancelled cl={order.cl}",
        )
    if order.smp == Smp.CANCEL_OLDEST and (step.done_for or _has_lots_left(step, order)):
        yield step.breaks(
            "D02.X11",
            f"{order.cl} met {front.cl} of its own account, which was not cancelled",
            f"cancelled cl={front.cl} leaves={front.leaves} cum={front.cum}",
        )


def _has_lots_left(step: Step, order: Seen) -> bool:
    return order.leaves > 0 or step.unreported_lots > 0
