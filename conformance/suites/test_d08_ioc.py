"""Diagram 8: an immediate-or-cancel order takes what is there at its limit, and what it cannot fill is cancelled."""

from __future__ import annotations

import hypothesis
import pytest

from matchmark.conformance.driver import Driver, Reply
from matchmark.conformance.messages import Accepted, Cancelled, Event
from matchmark.conformance.plugin import Examples
from matchmark.conformance.strategies import Profile, run_property
from matchmark.conformance.suites._support import VIEWS, View, expect, expect_book, tops, without_top

pytestmark = pytest.mark.needs("limit", "ioc")

LIMIT = 10_048
"""The incoming order: 500 lots at 100.48."""


def diagram_book(engine: Driver, view: View) -> list[Reply]:
    """Bids of 100 at 100.50 and 200 at 100.49."""
    return [view.rest(engine, 100, 10_050), view.rest(engine, 200, 10_049)]


def diagram_trades(engine: Driver, view: View, resting: list[Reply], incoming: Reply) -> list[Event]:
    first, second = resting
    return [view.trade(engine, 100, 10_050, first, incoming), view.trade(engine, 200, 10_049, second, incoming)]


@VIEWS
@pytest.mark.clause("D08.1")
@pytest.mark.parametrize("book", ["crossing", "beyond the limit", "empty"])
def test_an_ioc_order_is_accepted_whatever_it_finds(engine: Driver, view: View, book: str) -> None:
    """It is acknowledged like any other limit order, whether or not there is anything to trade with."""
    if book != "empty":
        view.rest(engine, 100, 10_050 if book == "crossing" else LIMIT - 1)
    incoming = view.ioc(engine, 500, LIMIT)
    expect(engine, "D08.1", [Accepted(incoming.cl)], incoming.events[:1], "an IOC order is acknowledged first of all")


@VIEWS
@pytest.mark.clause("D08.2")
@pytest.mark.parametrize("beyond_ticks", [1, 2, 40])
def test_only_prices_at_the_limit_or_better_count(engine: Driver, view: View, beyond_ticks: int) -> None:
    """An order exactly at the limit trades; one tick beyond it nothing does."""
    diagram_book(engine, view)
    at_limit = view.rest(engine, 30, LIMIT)
    outside = view.rest(engine, 70, LIMIT - beyond_ticks)
    incoming = view.ioc(engine, 500, LIMIT)
    last = view.trade(engine, 30, LIMIT, at_limit, incoming)
    expect(engine, "D08.2", [last], incoming.trades[2:], "the last trade is with the order at the limit itself")
    left = [(outside.cl, view.px(LIMIT - beyond_ticks), 70)]
    expect_book(engine, "D08.2", view.incoming, left, "the order beyond the limit was not touched")


@VIEWS
@pytest.mark.clause("D08.3")
@pytest.mark.parametrize(("levels", "orders"), [(1, 1), (1, 7), (6, 1), (5, 4), (60, 3)])
def test_all_the_quantity_within_the_limit_is_used(engine: Driver, view: View, levels: int, orders: int) -> None:
    """Over all levels and orders that hold it."""
    places = [(10_050 - level, 3 + n) for level in range(levels) for n in range(orders)]
    resting = [view.rest(engine, qty, px) for px, qty in places]
    total = sum(qty for _, qty in places)
    incoming = view.ioc(engine, total + 11, 10_050 - levels + 1)
    expected = [view.trade(engine, q, px, r, incoming) for (px, q), r in zip(places, resting, strict=True)]
    expect(engine, "D08.3", expected, incoming.trades, f"all {total} lots within the limit are used")


@VIEWS
@pytest.mark.clause("D08.4")
def test_the_executions_are_those_of_the_diagram(engine: Driver, view: View) -> None:
    """100 at 100.50, then 200 at 100.49, and no others."""
    resting = diagram_book(engine, view)
    incoming = view.ioc(engine, 500, LIMIT)
    expect(
        engine, "D08.4", diagram_trades(engine, view, resting, incoming), incoming.trades, "the trades of the diagram"
    )


@VIEWS
@pytest.mark.clause("D08.5")
def test_the_remainder_is_cancelled_with_a_report(engine: Driver, view: View) -> None:
    """Exactly one report, after the executions and in the same answer."""
    resting = diagram_book(engine, view)
    incoming = view.ioc(engine, 500, LIMIT)
    trades = diagram_trades(engine, view, resting, incoming)
    kinds = [e.ev for e in (Accepted(incoming.cl), *trades, Cancelled(incoming.cl, 200, 300))]
    expect(engine, "D08.5", kinds, [e.ev for e in without_top(incoming)], "accepted, two trades, one cancelled")


@VIEWS
@pytest.mark.clause("D08.6")
def test_the_report_says_filled_300_and_cancelled_200(engine: Driver, view: View) -> None:
    """The two add up to the order's 500."""
    diagram_book(engine, view)
    incoming = view.ioc(engine, 500, LIMIT)
    reports = [e for e in incoming.events if isinstance(e, Cancelled)]
    expect(engine, "D08.6", [Cancelled(incoming.cl, 200, 300)], reports, "300 filled and 200 cancelled of 500")


@VIEWS
@pytest.mark.clause("D08.7")
@pytest.mark.parametrize("book", ["diagram", "empty"])
def test_nothing_of_an_ioc_order_ever_rests(engine: Driver, view: View, book: str) -> None:
    """No later order trades with it, whatever its price and however many come."""
    if book == "diagram":
        diagram_book(engine, view)
    view.ioc(engine, 500, LIMIT)
    for px in (LIMIT, LIMIT + 1, LIMIT - 1):
        later = engine.new(view.resting, 10, view.px(px), acct="A1", tif="ioc")
        expect(
            engine,
            "D08.7",
            [Accepted(later.cl), Cancelled(later.cl, 10, 0)],
            without_top(later),
            "an order that comes after the IOC finds nothing of it",
        )
    expect_book(engine, "D08.7", view.resting, [], "the IOC order's side of the book is empty")


@VIEWS
@pytest.mark.needs("top")
@pytest.mark.clause("D08.8")
def test_an_ioc_order_only_takes_liquidity_away(engine: Driver, view: View) -> None:
    """The published top shows what it took from the other side, and nothing of its own."""
    diagram_book(engine, view)
    part = view.ioc(engine, 150, LIMIT)
    expect(engine, "D08.8", [view.top(engine, (10_049, 150), None)], tops(part), "150 of 200 are left at 100.49")
    rest = view.ioc(engine, 500, LIMIT)
    expect(engine, "D08.8", [view.top(engine, None, None)], tops(rest), "everything was taken, nothing was added")
    nothing = view.ioc(engine, 500, LIMIT)
    expect(engine, "D08.8", [], tops(nothing), "an IOC that finds nothing publishes nothing")


@VIEWS
@pytest.mark.clause("D08.N1")
def test_a_day_limit_rests_where_an_ioc_is_cancelled(engine: Driver, view: View) -> None:
    """The same book, price and quantity: the same trades, and only the day order's remainder is in the book."""
    resting = diagram_book(engine, view)
    day = view.limit(engine, 500, LIMIT)
    answer = [Accepted(day.cl), *diagram_trades(engine, view, resting, day)]
    expect(engine, "D08.N1", answer, without_top(day), "a day limit order trades and says no more")
    expect_book(engine, "D08.N1", view.resting, [(day.cl, view.px(LIMIT), 200)], "its remainder rests")
    engine.reset()
    resting = diagram_book(engine, view)
    ioc = view.ioc(engine, 500, LIMIT)
    answer = [Accepted(ioc.cl), *diagram_trades(engine, view, resting, ioc), Cancelled(ioc.cl, 200, 300)]
    expect(engine, "D08.N1", answer, without_top(ioc), "an IOC order trades the same and cancels the rest")
    expect_book(engine, "D08.N1", view.resting, [], "and nothing of it rests")


@VIEWS
@pytest.mark.clause("D08.X1")
@pytest.mark.parametrize("book", ["beyond the limit", "empty", "emptied"])
def test_an_ioc_that_finds_nothing_is_cancelled_whole(engine: Driver, view: View, book: str) -> None:
    """One report, with all its quantity as leaves and cum 0."""
    if book == "beyond the limit":
        view.rest(engine, 100, LIMIT - 1)
    elif book == "emptied":
        view.rest(engine, 100, LIMIT)
        view.limit(engine, 100, LIMIT)
    incoming = view.ioc(engine, 500, LIMIT)
    answer = [Accepted(incoming.cl), Cancelled(incoming.cl, 500, 0)]
    expect(engine, "D08.X1", answer, without_top(incoming), "nothing to trade with: cancelled whole")


@VIEWS
@pytest.mark.clause("D08.X2")
@pytest.mark.parametrize("qty", [1, 100, 101, 299, 300])
def test_a_filled_ioc_gets_no_cancel(engine: Driver, view: View, qty: int) -> None:
    """Filled by one order or by the last lot of the book, it has nothing left to cancel."""
    diagram_book(engine, view)
    incoming = view.ioc(engine, qty, LIMIT)
    expect(engine, "D08.X2", [qty], [sum(t.qty for t in incoming.trades)], "it is filled")
    expect(engine, "D08.X2", [], [e for e in incoming.events if isinstance(e, Cancelled)], "and so not cancelled")


PROFILE = Profile(
    takers=("ioc", "ioc", "ioc", "limit", "market"),
    ladder_levels=(1, 2, 3, 6),
    managers=("cancel",),
    smp=("cancel_newest", "cancel_oldest"),
)


@pytest.mark.clause("D08.1", "D08.2", "D08.3", "D08.5", "D08.6", "D08.7", "D08.8", "D08.X1", "D08.X2", "D08.X5")
def test_any_flow_with_ioc_orders_is_answered_as_the_model_answers_it(
    engine: Driver, examples: Examples, property_settings: hypothesis.settings
) -> None:
    """Day, IOC and market orders mixed, judged rule by rule and whole answer by whole answer."""
    run_property(PROFILE, engine, property_settings, on_end=examples.add)
