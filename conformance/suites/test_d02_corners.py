"""Diagram 2 in its corners: books and market orders that random flow seldom makes. Each example is the least that shows a bug
which a mutant of the self-test has."""

from __future__ import annotations

import pytest

from matchmark.conformance.driver import Driver
from matchmark.conformance.messages import Accepted, Cancelled, Smp
from matchmark.conformance.suites._support import VIEWS, View, expect, expect_book, without_top

pytestmark = pytest.mark.needs("limit", "market")


@VIEWS
@pytest.mark.needs("cancel")
@pytest.mark.clause("D02.3")
def test_a_market_order_sees_the_book_that_a_cancel_left(engine: Driver, view: View) -> None:
    """The best order was cancelled just before: the next best trades, and nothing is missing."""
    best, behind = view.rest(engine, 10, 10_050), view.rest(engine, 20, 10_040)
    engine.cancel(best.cl)
    incoming = view.market(engine, 15)
    answer = [Accepted(incoming.cl), view.trade(engine, 15, 10_040, behind, incoming)]
    expect(engine, "D02.3", answer, without_top(incoming), f"{best.cl} is cancelled and {behind.cl} is the best")


@VIEWS
@pytest.mark.clause("D02.6")
@pytest.mark.parametrize("sizes", [(10, 10), (10, 25), (25, 10)])
def test_an_order_that_was_met_by_one_of_its_size_is_gone(engine: Driver, view: View, sizes: tuple[int, int]) -> None:
    """Both are filled by the one trade; the order behind is next and is whole."""
    first, second = (view.rest(engine, lots, 10_050) for lots in sizes)
    equal = view.market(engine, sizes[0])
    later = view.market(engine, 4, acct="A3")
    expected = [
        view.trade(engine, sizes[0], 10_050, first, equal),
        view.trade(engine, 4, 10_050, second, later),
    ]
    expect(engine, "D02.6", expected, [*equal.trades, *later.trades], f"{first.cl} is filled, so {second.cl} is next")
    left = [(second.cl, view.px(10_050), sizes[1] - 4)]
    expect_book(engine, "D02.6", view.incoming, left, "only the second order is left")


@VIEWS
@pytest.mark.clause("D02.8")
def test_each_execution_in_a_level_names_its_own_resting_order(engine: Driver, view: View) -> None:
    """Three orders at one price, taken by one market order and by one limit order."""
    for incoming_px in (None, 10_050):
        resting = [view.rest(engine, 5 + n, 10_050) for n in range(3)]
        px = None if incoming_px is None else view.px(incoming_px)
        incoming = engine.new(view.incoming, 18, px, acct="A2")
        expected = [view.trade(engine, 5 + n, 10_050, r, incoming) for n, r in enumerate(resting)]
        expect(engine, "D02.8", expected, incoming.trades, "three executions, each with the order that traded")


@VIEWS
@pytest.mark.clause("D02.X3")
def test_twins_are_not_filled_as_one(engine: Driver, view: View) -> None:
    """Two orders of one size at a price, and an incoming order of that size: it gets that much, from the first."""
    first, twin = view.rest(engine, 10, 10_050), view.rest(engine, 10, 10_050)
    incoming = view.market(engine, 10)
    answer = [Accepted(incoming.cl), view.trade(engine, 10, 10_050, first, incoming)]
    expect(engine, "D02.X3", answer, without_top(incoming), "the incoming order wanted 10 lots")
    expect_book(engine, "D02.X3", view.incoming, [(twin.cl, view.px(10_050), 10)], "the twin is untouched")


@VIEWS
@pytest.mark.clause("D02.X3")
@pytest.mark.parametrize("taken", [1, 5, 9])
def test_a_part_fill_is_taken_off_once_and_at_once(engine: Driver, view: View, taken: int) -> None:
    """Also when it is exactly half: what is left of 10 lots can be had once."""
    order = view.rest(engine, 10, 10_050)
    view.market(engine, taken)
    rest = view.market(engine, 10, acct="A3")
    answer = [
        Accepted(rest.cl),
        view.trade(engine, 10 - taken, 10_050, order, rest),
        Cancelled(rest.cl, taken, 10 - taken),
    ]
    expect(engine, "D02.X3", answer, without_top(rest), f"{10 - taken} of 10 lots were left")


@VIEWS
@pytest.mark.needs("accounts", "smp_cancel_oldest")
@pytest.mark.clause("D02.X11")
def test_cancel_oldest_leaves_own_orders_behind_the_last_trade(engine: Driver, view: View) -> None:
    """Only those whose turn comes go: one behind the order that fills the incoming one stays, in the same level."""
    own = view.rest(engine, 10, 10_050, acct="A2")
    stranger = view.rest(engine, 10, 10_050, acct="A1")
    behind = view.rest(engine, 10, 10_050, acct="A2")
    incoming = engine.new(view.incoming, 10, view.px(10_050), acct="A2", smp=Smp.CANCEL_OLDEST)
    answer = [Accepted(incoming.cl), Cancelled(own.cl, 10, 0), view.trade(engine, 10, 10_050, stranger, incoming)]
    expect(engine, "D02.X11", answer, without_top(incoming), f"{behind.cl} was not in the way")
    expect_book(engine, "D02.X11", view.incoming, [(behind.cl, view.px(10_050), 10)], "the own order behind stays")
