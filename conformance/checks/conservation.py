"""Quantity is neither made nor lost: sizes of trades, one report a fill, nothing traded by an order that is over."""

from __future__ import annotations

from collections.abc import Iterator

from matchmark.conformance.checks.finding import Finding
from matchmark.conformance.checks.moments import TradeSeen
from matchmark.conformance.checks.observed import Seen
from matchmark.conformance.checks.rule import rule


@rule("D02.X3", on=TradeSeen)
def no_order_fills_for_more_than_it_has(t: TradeSeen) -> Iterator[Finding]:
    if t.event.qty <= 0:
        yield t.breaks("D02.X3", f"a trade of {t.event.qty} lots moves nothing", "trade of at least 1 lot")
        return
    for order in (t.resting, t.incoming):
        if order is not None and not order.over and not t.repeats and t.event.qty > order.leaves:
            yield t.breaks(
                "D02.X3",
                f"{order.cl} had {order.leaves} lots left of {order.qty} and was filled for {t.event.qty}",
                f"trade of at most {order.leaves} lots",
            )
            return


@rule("D02.5", on=TradeSeen)
def a_match_takes_the_smaller_of_the_two(t: TradeSeen) -> Iterator[Finding]:
    if t.fault is None and not t.repeats and 0 < t.event.qty < t.full_lots:
        yield t.breaks(
            "D02.5",
            f"{t.event.resting} and {t.event.incoming} could trade {t.full_lots} lots and traded only {t.event.qty}",
            f"trade qty={t.full_lots}",
        )


@rule("D02.X4", on=TradeSeen)
def one_fill_has_one_report(t: TradeSeen) -> Iterator[Finding]:
    if t.repeats:
        yield t.breaks(
            "D02.X4",
            f"{t.event.resting} and {t.event.incoming} were reported to trade twice in answer to one command",
            "one trade of these two orders",
        )


@rule("D02.8", "D01.5", "D01.X3", "D01.X5", "D01.X6", "D01.X8", on=TradeSeen)
def a_trade_names_the_resting_and_the_incoming_order(t: TradeSeen) -> Iterator[Finding]:
    e, f = t.event, t.fault
    if f == "unknown":
        name = e.resting if t.resting is None else e.incoming
        clause = t.step.seen.refused.get(name, "D01.X8")
        message = f"the trade names {name}, which is no accepted order"
        yield t.breaks(clause, message, "a trade between accepted orders")
    elif f == "self":
        yield t.breaks("D02.8", f"the trade names {e.resting} as both its sides", "two different orders")
    elif f == "swapped":
        yield t.breaks(
            "D02.8",
            f"{e.resting} has just arrived, and is named as the resting order",
            f"trade resting={e.incoming} incoming={e.resting}",
        )
    elif f == "side" and t.resting is not None:
        yield t.breaks("D02.8", f"{e.resting} and {e.incoming} both {t.resting.side}", "a buy and a sell order")
    elif f == "foreign":
        yield t.breaks(
            "D01.5", f"{e.incoming} is not the order that this command is about, and yet traded now", "no such trade"
        )
    elif f == "symbol" and t.resting is not None and t.incoming is not None:
        yield t.breaks(
            "D01.X6",
            f"{e.resting} is an order in {t.resting.sym}, {e.incoming} in {t.incoming.sym}; the trade is in {e.sym}",
            "no trade across symbols",
        )


@rule(
    "D02.6",
    "D04.6",
    "D08.7",
    "D02.X1",
    "D02.X10",
    "D02.X11",
    "D04.X11",
    "D04.X14",
    on=TradeSeen,
)
def an_order_that_is_over_never_trades(t: TradeSeen) -> Iterator[Finding]:
    if t.fault == "over" and not t.repeats and t.resting is not None:
        yield _dead(t, t.resting)


def _dead(t: TradeSeen, order: Seen) -> Finding:
    return t.breaks(order.over_clause, f"{order.cl} {order.over}, yet it traded", f"no more trades of {order.cl}")
