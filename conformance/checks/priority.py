"""Who may trade with whom and at what price: price priority, time priority, limits, and when matching stops."""

from __future__ import annotations

from collections.abc import Iterator

from matchmark.conformance.checks.finding import Finding
from matchmark.conformance.checks.moments import Step, TradeSeen
from matchmark.conformance.checks.observed import BUY, Seen
from matchmark.conformance.checks.rule import rule
from matchmark.conformance.messages import New, Replace


def _worse(px: int, limit: int, side: str) -> bool:
    """A price that an order of that side and limit must not trade at."""
    return px > limit if side == BUY else px < limit


@rule("D01.X1", "D08.2", on=TradeSeen)
def nobody_trades_beyond_their_limit(t: TradeSeen) -> Iterator[Finding]:
    for order in (t.incoming, t.resting):
        if order is None or order.px is None or not _worse(t.event.px, order.px, order.side):
            continue
        is_ioc = order is t.incoming and order.is_ioc
        yield t.breaks(
            "D08.2" if is_ioc else "D01.X1",
            f"{order.cl} is limited to {order.px} ({order.side}) and traded at {t.event.px}, which is worse for it",
            f"no trade of {order.cl} at {t.event.px}",
        )


@rule("D02.N1", on=TradeSeen)
def the_resting_order_sets_the_price(t: TradeSeen) -> Iterator[Finding]:
    if t.fault is None and t.resting is not None and t.event.px != t.resting.px:
        yield t.breaks(
            "D02.N1",
            f"{t.resting.cl} rests at {t.resting.px}, yet its trade with {t.event.incoming} is at {t.event.px}",
            f"trade at px={t.resting.px}",
        )


@rule("D02.4", "D07.X1", on=TradeSeen)
def the_best_price_comes_first(t: TradeSeen) -> Iterator[Finding]:
    front, resting = t.front, t.resting
    if t.fault or t.repeats or front is None or resting is None or front.px == resting.px:
        return
    first = t.nth == 0
    yield t.breaks(
        "D02.4" if first else "D07.X1",
        f"{t.event.incoming} traded with {resting.cl} at {resting.px} while {front.cl} was waiting at the better price "
        f"{front.px}",
        f"trade with {front.cl} at {front.px}",
    )


@rule("D01.X2", "D03.X1", "D03.X3", "D04.X10", "D04.X11", on=TradeSeen)
def at_one_price_the_earlier_order_comes_first(t: TradeSeen) -> Iterator[Finding]:
    front, resting = t.front, t.resting
    if t.fault or t.repeats or front is None or resting is None or front is resting or front.px != resting.px:
        return
    clause, why = _reason_of_place(front, resting)
    yield t.breaks(
        clause,
        f"{resting.cl} traded before {front.cl}, which is ahead of it at the same price {front.px}: {why}",
        f"trade with {front.cl}",
    )


def _reason_of_place(front: Seen, traded: Seen) -> tuple[str, str]:
    """The clause that puts `front` ahead of `traded`, by what happened to the two."""
    if front.kept_place:
        return "D04.X10", f"{front.cl} had its quantity cut, which keeps its place"
    if traded.lost_place:
        return "D04.X11", f"{traded.cl} was replaced, which puts it at the back"
    if front.fills_resting:
        return "D03.X1", f"{front.cl} was partly filled, which keeps its place"
    if front.fills_incoming:
        return "D03.X3", f"{front.cl} is the remainder of an order that traded first, and counts from when it rested"
    return "D01.X2", f"{front.cl} arrived earlier"


@rule("D07.X2", on=TradeSeen)
def matching_stops_when_the_order_is_filled(t: TradeSeen) -> Iterator[Finding]:
    if t.fault == "done" and not t.repeats and t.incoming is not None:
        yield t.breaks(
            "D07.X2",
            f"{t.incoming.cl} {t.incoming.over} earlier in this exchange, yet it traded again",
            f"no more trades of {t.incoming.cl}",
        )


@rule("D03.1", "D04.X12", "D08.3", "D02.4", "D07.X1", on=(New, Replace))
def matching_goes_on_while_prices_cross(step: Step) -> Iterator[Finding]:
    """An order with quantity left has met everything within its limit."""
    order = step.order
    if order is None or (not step.crossed_on_arrival and not step.trades):
        return
    leaves = _left_over(step, order)
    front = step.seen.books[order.sym].front_for(order) if leaves and order.sym in step.seen.symbols else None
    if front is None or (order.smp and front.acct == order.acct):
        return  # self_match.py judges what an own order in the way does
    clause = _clause_of_stopping(step, order)
    if clause is not None:
        yield step.breaks(
            clause,
            f"{order.cl} has {leaves} lots left and stopped, although {front.cl} offers {front.leaves} at {front.px}, "
            "within its limit",
            f"trade px={front.px} qty={min(leaves, front.leaves)} resting={front.cl} incoming={order.cl}",
        )


def _left_over(step: Step, order: Seen) -> int:
    ends = [end.leaves for end in step.ends if end.role == "incoming"]
    if ends:
        return ends[0]
    if order.over == "was filled":
        return 0
    return order.leaves if order.resting else step.unreported_lots


def _clause_of_stopping(step: Step, order: Seen) -> str | None:
    if isinstance(step.command, Replace):
        return "D04.X12"
    if order.is_ioc:
        return "D08.3"
    if order.is_market:
        return "D07.X1" if step.trades else "D02.4"
    return None if step.trades else "D03.1"
