"""What must hold when everything has been said: nothing is missing, nothing is left over, and the parts make up the whole."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal

from matchmark.conformance.checks.finding import Finding
from matchmark.conformance.checks.reports_order import Order
from matchmark.conformance.checks.reports_read import BUY, SELL, Report, Request
from matchmark.conformance.checks.reports_seen import StreamsEnd, finding, stream_rule


@stream_rule("D01.X8", on=StreamsEnd)
def every_request_is_answered(end: StreamsEnd) -> Iterator[Finding]:
    for request in end.seen.waiting:
        if request.answered is None and not request.again:
            yield finding(request.said, "D01.X8", f"{request.name} was never answered", ["an answer"])


@stream_rule("D07.N1", "D08.5", on=StreamsEnd)
def what_may_not_rest_is_finished(end: StreamsEnd) -> Iterator[Finding]:
    for order in end.seen.orders:
        if order.acknowledged and order.is_open and not order.may_rest and order.last is not None and not order.broken:
            clause, kind = ("D07.N1", "a market order") if order.is_market else ("D08.5", "an IOC order")
            order.broken = True
            yield finding(
                order.last,
                clause,
                f"{order.cl} is {kind}; {order.leaves} of it are neither filled nor cancelled",
                ["39=2 or 39=4"],
            )


@stream_rule("D07.N1", on=StreamsEnd)
def the_average_lies_between_the_best_and_the_worst_fill(end: StreamsEnd) -> Iterator[Finding]:
    for order in end.seen.orders:
        if not order.is_market or not order.fills:
            continue
        prices, told = [f.last_px for f in order.fills], order.fills[-1].average
        rounding = Decimal(5).scaleb(-1 - end.seen.market.average_decimals)
        if not min(prices) - rounding <= told <= max(prices) + rounding:
            yield finding(
                order.fills[-1].said,
                "D07.N1",
                f"{order.cl} traded between {min(prices)} and {max(prices)}, and its average is {told}",
            )


@stream_rule("D04.X21", on=StreamsEnd)
def fills_and_what_was_cancelled_make_up_the_order(end: StreamsEnd) -> Iterator[Finding]:
    for order in end.seen.orders:
        if order.last is None:
            continue
        filled = sum(f.last_qty for f in order.fills)
        if filled != order.cum or (order.status == "2" and filled != order.qty):
            yield finding(
                order.last,
                "D04.X21",
                f"{order.cl} of {order.qty}: fills of {filled}, CumQty {order.cum}, OrdStatus {order.status}",
            )


@stream_rule("D04.X14", on=StreamsEnd)
def a_mass_cancel_leaves_nothing_open(end: StreamsEnd) -> Iterator[Finding]:
    """What its account knew to rest when it was sent, in the symbol that it names or in all, was cancelled or filled."""
    for order in end.seen.orders:
        if not order.is_open or order.broken or not order.stays:
            continue
        for request in end.seen.account(order.account).mass:
            if request.answered == "r" and order.stays[0].from_ns < request.said.at_ns and _in_scope(request, order):
                order.broken = True
                message = f"{request.name} was carried out, and no report says that {order.cl} ended"
                yield finding(order.last or request.said, "D04.X14", message, ["39=4 or 39=2"])
                break


def _in_scope(request: Request, order: Order) -> bool:
    whole = request.said.message.get(530) == "7"
    return (whole or order.symbol == request.symbol) and request.side in ("", order.side)


@stream_rule("D02.X20", on=StreamsEnd)
def every_fill_has_another_side(end: StreamsEnd) -> Iterator[Finding]:
    """For each symbol and price the fills of buys and of sells are the same quantities."""
    sides: dict[tuple[str, object], dict[str, list[Report]]] = defaultdict(lambda: {BUY: [], SELL: []})
    for order, fill in end.seen.fills:
        if order.side in (BUY, SELL):
            sides[order.symbol, fill.last_px][order.side].append(fill)
    for (symbol, px), found in sides.items():
        lots = {side: Counter(f.last_qty for f in fills) for side, fills in found.items()}
        for side, other in ((BUY, SELL), (SELL, BUY)):
            alone = lots[side] - lots[other]
            for qty in alone:
                fill = next(f for f in reversed(found[side]) if f.last_qty == qty)
                yield finding(
                    fill.said,
                    "D02.X20",
                    f"{fill.account} was told of {qty} of {symbol} at {px}, and no report of the other side agrees",
                    [f"a report of the other side with 31={px}|32={qty}"],
                )


@stream_rule("D03.N1", "D02.X2", on=StreamsEnd)
def a_walk_goes_on_while_something_is_within_the_limit(end: StreamsEnd) -> Iterator[Finding]:
    """An order that was left with a remainder, while another rested within its limit that whole time, stopped short."""
    books: dict[tuple[str, str], list[Order]] = defaultdict(list)
    for order in end.seen.orders:
        if order.stays and not order.broken:
            books[order.symbol, order.side].append(order)
    for order in end.seen.orders:
        if order.last is None or order.broken:
            continue
        passive = next(
            (p for p in books[order.symbol, SELL if order.side == BUY else BUY] if _left_out(order, p)), None
        )
        if passive is not None:
            order.broken = True
            clause = "D02.X2" if order.is_market else "D03.N1"
            yield finding(
                order.last,
                clause,
                f"{order.cl} was left with {order.qty - order.cum} while {passive.cl} was there for {passive.price}",
                ["they trade"],
            )


def _left_out(order: Order, passive: Order) -> bool:
    if passive.account == order.account or (order.qty <= order.cum and not order.may_rest):
        return False
    for stay in passive.stays:
        if order.may_rest:
            if any(
                order.within(stay.price, mine.price) and mine.from_ns < stay.to_ns and stay.from_ns < mine.to_ns
                for mine in order.stays
            ):
                return True
        elif order.within(stay.price) and stay.from_ns < order.request.said.at_ns and order.ended_at_ns < stay.to_ns:
            return True
    return False
