"""Diagram 3 in its corners: part fills that random flow seldom makes. Each example is the least that shows a bug which a
mutant of the self-test has."""

from __future__ import annotations

import pytest

from matchmark.conformance.driver import Driver
from matchmark.conformance.messages import Accepted
from matchmark.conformance.suites._support import VIEWS, View, expect, expect_book, without_top

pytestmark = pytest.mark.needs("limit")


@VIEWS
@pytest.mark.clause("D03.5")
def test_what_remains_is_counted_by_trades_and_not_by_the_sizes_of_the_orders_met(engine: Driver, view: View) -> None:
    """The first order met has 30 of its 100 lots left: the incoming order's 50 go down by 30, and 20 find the next."""
    part_filled, behind = view.rest(engine, 100, 10_050), view.rest(engine, 100, 10_049)
    view.limit(engine, 70, 10_050)
    incoming = view.limit(engine, 50, 10_048, acct="A3")
    expected = [
        view.trade(engine, 30, 10_050, part_filled, incoming),
        view.trade(engine, 20, 10_049, behind, incoming),
    ]
    expect(engine, "D03.5", expected, incoming.trades, "after a match of 30 lots 20 of 50 remain")


@VIEWS
@pytest.mark.clause("D03.X2")
@pytest.mark.parametrize("matches", [1, 3, 4, 5, 20, 300])
def test_an_incoming_order_has_left_what_its_matches_did_not_take(engine: Driver, view: View, matches: int) -> None:
    """However many matches it had in one command: the remainder rests with quantity minus fills."""
    for n in range(matches):
        view.rest(engine, 2 + n % 3, 10_050)
    met = sum(2 + n % 3 for n in range(matches))
    incoming = view.limit(engine, met + 11, 10_050)
    expect(engine, "D03.X2", [met], [sum(t.qty for t in incoming.trades)], "all that rested was taken")
    left = [(incoming.cl, view.px(10_050), 11)]
    expect_book(engine, "D03.X2", view.resting, left, f"after {matches} fills 11 lots are left")


@VIEWS
@pytest.mark.clause("D03.X3")
def test_a_remainder_is_ahead_of_what_comes_later(engine: Driver, view: View) -> None:
    """It is the first at its price, and orders that come to the price after it queue behind it."""
    view.rest(engine, 10, 10_050)
    remainder = view.limit(engine, 25, 10_050)
    later = [view.limit(engine, 5 + n, 10_050, acct="A3") for n in range(2)]
    expected = [(remainder.cl, view.px(10_050), 15)] + [(r.cl, view.px(10_050), 5 + n) for n, r in enumerate(later)]
    expect_book(engine, "D03.X3", view.resting, expected, "the remainder came to rest first")


@VIEWS
@pytest.mark.clause("D03.X5")
@pytest.mark.parametrize("left", [1, 2])
def test_a_remainder_of_one_lot_is_worth_as_much_as_any(engine: Driver, view: View, left: int) -> None:
    """Of a resting order and of an incoming one: it stays, and trades."""
    resting = view.rest(engine, 10, 10_050)
    first = view.limit(engine, 10 - left, 10_050)
    expect(
        engine,
        "D03.X5",
        [Accepted(first.cl), view.trade(engine, 10 - left, 10_050, resting, first)],
        without_top(first),
        "the resting order is filled in part",
    )
    second = view.limit(engine, 2 * left, 10_050, acct="A3")
    expect(
        engine,
        "D03.X5",
        [Accepted(second.cl), view.trade(engine, left, 10_050, resting, second)],
        without_top(second),
        f"{left} of 10 lots was left",
    )
    expect_book(engine, "D03.X5", view.resting, [(second.cl, view.px(10_050), left)], "and as much of the incoming one")


@VIEWS
@pytest.mark.needs("order_status")
@pytest.mark.clause("D03.X10")
def test_a_status_request_changes_nothing(engine: Driver, view: View) -> None:
    """Neither the queue nor what is left of the order, asked for by its owner or by a stranger."""
    orders = [view.rest(engine, 10 + n, 10_050) for n in range(3)]
    view.limit(engine, 4, 10_050)
    for order in orders:
        engine.status(order.cl)
        if "accounts" in engine.info.capabilities:
            engine.status(order.cl, acct="A2")
    expected = [(r.cl, view.px(10_050), (6, 11, 12)[n]) for n, r in enumerate(orders)]
    expect_book(engine, "D03.X10", view.incoming, expected, "the queue is as it was before the requests")
