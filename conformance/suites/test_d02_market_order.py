"""Diagram 2: a market order executes at once against the best price of the other side."""

from __future__ import annotations

import hypothesis
import pytest

from matchmark.conformance.driver import Driver, Reply
from matchmark.conformance.messages import Accepted, Cancelled, Event, Smp, Trade
from matchmark.conformance.plugin import Examples
from matchmark.conformance.strategies import Profile, run_property
from matchmark.conformance.suites._support import (
    VIEWS,
    View,
    expect,
    expect_book,
    expect_nothing_found,
    tops,
    without_top,
)

pytestmark = pytest.mark.needs("limit", "market")


def diagram_book(engine: Driver, view: View) -> list[Reply]:
    """A bid of 100 at 100.50, which the market order sells into, and 100 at 100.49 behind it."""
    return [view.rest(engine, 100, 10_050), view.rest(engine, 100, 10_049)]


@VIEWS
@pytest.mark.clause("D02.3")
def test_a_market_order_is_taken_in_its_turn_and_needs_no_price(engine: Driver, view: View) -> None:
    """It sees the book as the commands before it left it."""
    for qty in (100, 30):
        resting = view.rest(engine, qty, 10_050)
        incoming = view.market(engine, qty)
        answer = [Accepted(incoming.cl), view.trade(engine, qty, 10_050, resting, incoming)]
        expect(engine, "D02.3", answer, without_top(incoming), "a market order without a price executes in its turn")


@VIEWS
@pytest.mark.clause("D02.4")
@pytest.mark.parametrize("best_first", [True, False], ids=["best-came-first", "best-came-last"])
def test_a_market_order_meets_the_best_price_first(engine: Driver, view: View, best_first: bool) -> None:
    """A sell the highest bid, a buy the lowest ask, whenever that came."""
    prices = (10_050, 10_049, 10_040) if best_first else (10_040, 10_049, 10_050)
    resting = {px: view.rest(engine, 100, px) for px in prices}
    incoming = view.market(engine, 100)
    expected = [view.trade(engine, 100, 10_050, resting[10_050], incoming)]
    expect(engine, "D02.4", expected, incoming.trades, "the best price trades first")


@VIEWS
@pytest.mark.clause("D02.5")
@pytest.mark.parametrize("qty", [1, 50, 99, 100, 150])
def test_a_match_is_for_the_smaller_of_the_two(engine: Driver, view: View, qty: int) -> None:
    """Whichever of the two orders has less left."""
    resting = diagram_book(engine, view)
    incoming = view.market(engine, qty)
    first = view.trade(engine, min(qty, 100), 10_050, resting[0], incoming)
    expect(engine, "D02.5", [first], incoming.trades[:1], f"{qty} against 100 trades {min(qty, 100)}")


@VIEWS
@pytest.mark.clause("D02.6")
def test_a_filled_order_is_out_of_the_book_at_once(engine: Driver, view: View) -> None:
    """It trades no more, and the order behind it is next."""
    first, second = diagram_book(engine, view)
    view.market(engine, 100)
    later = view.market(engine, 40)
    expected = [view.trade(engine, 40, 10_049, second, later)]
    expect(engine, "D02.6", expected, later.trades, f"{first.cl} is filled, so {second.cl} is next")
    own = engine.new(view.resting, 10, view.px(10_060), acct="A3", tif="day")
    expect(
        engine, "D02.6", [Accepted(own.cl)], without_top(own), "nothing of the filled market orders is left to trade"
    )


@VIEWS
@pytest.mark.clause("D02.8")
def test_an_execution_names_the_resting_and_the_incoming_order(engine: Driver, view: View) -> None:
    """Rightly and once, so that buyer and seller both learn of it."""
    resting = diagram_book(engine, view)
    incoming = view.market(engine, 100)
    answer = [Accepted(incoming.cl), view.trade(engine, 100, 10_050, resting[0], incoming)]
    expect(engine, "D02.8", answer, without_top(incoming), "one execution that names both orders")


@VIEWS
@pytest.mark.needs("top")
@pytest.mark.clause("D02.9")
def test_after_the_trade_the_new_best_is_published(engine: Driver, view: View) -> None:
    """100.49 after the diagram's trade, the rest of a level that was not consumed, or that the side is empty."""
    diagram_book(engine, view)
    first = view.market(engine, 100)
    expect(engine, "D02.9", [view.top(engine, (10_049, 100), None)], tops(first), "the next level is the best one now")
    part = view.market(engine, 30)
    expect(engine, "D02.9", [view.top(engine, (10_049, 70), None)], tops(part), "70 of it are left")
    last = view.market(engine, 70)
    expect(engine, "D02.9", [view.top(engine, None, None)], tops(last), "the side is empty")
    nothing = view.market(engine, 70)
    expect(engine, "D02.9", [], tops(nothing), "nothing changed, nothing is published")


@VIEWS
@pytest.mark.clause("D02.N1")
def test_the_price_is_the_resting_orders(engine: Driver, view: View) -> None:
    """Whatever the incoming order would have paid: a market order, and a limit far through the price."""
    first, second = diagram_book(engine, view)
    market = view.market(engine, 100)
    expect(
        engine, "D02.N1", [view.trade(engine, 100, 10_050, first, market)], market.trades, "the resting order's price"
    )
    limit = view.limit(engine, 100, 9_000)
    expect(
        engine, "D02.N1", [view.trade(engine, 100, 10_049, second, limit)], limit.trades, "the resting order's price"
    )


@VIEWS
@pytest.mark.clause("D02.X1")
@pytest.mark.parametrize("book", ["diagram", "empty"])
def test_a_market_order_never_rests(engine: Driver, view: View, book: str) -> None:
    """When its answer is complete it is filled, cancelled or refused, and no later order trades with it."""
    if book == "diagram":
        diagram_book(engine, view)
    view.market(engine, 500)
    for px in (10_050, 1, 20_000):
        later = engine.new(view.resting, 10, px, acct="A3")
        expect(engine, "D02.X1", [Accepted(later.cl)], without_top(later), "nothing is there to trade with")
    expect_book(engine, "D02.X1", view.resting, [], "that side of the book is empty")


@VIEWS
@pytest.mark.clause("D02.X2")
def test_what_cannot_be_filled_is_cancelled_with_a_report(engine: Driver, view: View) -> None:
    """The unfilled quantity and the cum are in the report, which comes after the executions (ruling R15)."""
    resting = diagram_book(engine, view)
    incoming = view.market(engine, 250)
    answer: list[Event] = [
        Accepted(incoming.cl),
        view.trade(engine, 100, 10_050, resting[0], incoming),
        view.trade(engine, 100, 10_049, resting[1], incoming),
        Cancelled(incoming.cl, 50, 200),
    ]
    expect(engine, "D02.X2", answer, without_top(incoming), "200 of 250 are filled and 50 cancelled")


@VIEWS
@pytest.mark.clause("D02.X2")
@pytest.mark.parametrize("book", ["never used", "emptied", "own side only"])
def test_a_market_order_into_an_empty_side_is_never_lost(engine: Driver, view: View, book: str) -> None:
    """It is cancelled, or rejected with a reason (ruling R15)."""
    if book == "emptied":
        view.rest(engine, 10, 10_050)
        view.market(engine, 10)
    elif book == "own side only":
        engine.new(view.incoming, 10, view.px(10_060), acct="A3")
    incoming = view.market(engine, 70)
    expect_nothing_found(engine, "D02.X2", incoming, 70, "nothing to trade with: cancelled whole, or rejected")


@VIEWS
@pytest.mark.clause("D02.X3")
def test_quantity_is_conserved(engine: Driver, view: View) -> None:
    """Seven orders of different sizes meet three market orders: each lot of the book is traded once."""
    resting = [view.rest(engine, 10 + n, 10_050 - n // 3) for n in range(7)]
    fills: dict[str, int] = {}
    for qty in (25, 37, 500):
        for trade in view.market(engine, qty).trades:
            fills[trade.resting] = fills.get(trade.resting, 0) + trade.qty
    expected = [(r.cl, 10 + n) for n, r in enumerate(resting)]
    expect(engine, "D02.X3", expected, [(r.cl, fills.get(r.cl, 0)) for r in resting], "each order's total fills")


@VIEWS
@pytest.mark.clause("D02.X4")
@pytest.mark.parametrize("fills", [1, 2, 3, 20])
def test_each_fill_is_reported_once(engine: Driver, view: View, fills: int) -> None:
    """Neither repeated nor merged, for one resting order filled bit by bit and for many filled at once."""
    order = view.rest(engine, 10 * fills, 10_050)
    for _ in range(fills):
        incoming = view.market(engine, 10)
        expected = [view.trade(engine, 10, 10_050, order, incoming)]
        expect(engine, "D02.X4", expected, incoming.trades, "one report of one fill")
    many = [view.rest(engine, 10, 10_050) for _ in range(fills)]
    incoming = view.market(engine, 10 * fills)
    expected = [view.trade(engine, 10, 10_050, r, incoming) for r in many]
    expect(engine, "D02.X4", expected, incoming.trades, f"{fills} fills, {fills} reports")


@VIEWS
@pytest.mark.clause("D02.X4")
@pytest.mark.parametrize("over", [0, 5], ids=["filled", "left over"])
@pytest.mark.parametrize("levels", [1, 2, 3, 5, 20])
def test_no_fill_of_a_walk_is_left_out(engine: Driver, view: View, levels: int, over: int) -> None:
    """Two orders in each level: every one has its report, the one that empties its level too."""
    places = [(10_050 - n // 2, 4 + n % 3) for n in range(2 * levels)]
    resting = [view.rest(engine, qty, px) for px, qty in places]
    incoming = view.market(engine, sum(qty for _, qty in places) + over)
    expected = [view.trade(engine, qty, px, r, incoming) for (px, qty), r in zip(places, resting, strict=True)]
    expect(engine, "D02.X4", expected, incoming.trades, "each fill has one report")


# Self-match prevention (ruling R16): two own orders behind a stranger's, at one price and at the next.


def own_and_foreign(engine: Driver, view: View) -> tuple[Reply, Reply, Reply, Reply]:
    return (
        view.rest(engine, 10, 10_050, acct="A1"),
        view.rest(engine, 20, 10_050, acct="A2"),
        view.rest(engine, 30, 10_050, acct="A1"),
        view.rest(engine, 40, 10_049, acct="A2"),
    )


def incoming_with(engine: Driver, view: View, smp: Smp, qty: int, px: int | None) -> Reply:
    return engine.new(view.incoming, qty, None if px is None else view.px(px), acct="A2", smp=smp)


@VIEWS
@pytest.mark.needs("accounts", "smp_cancel_newest")
@pytest.mark.clause("D02.X10")
@pytest.mark.parametrize("px", [None, 10_049], ids=["market", "limit"])
def test_cancel_newest_ends_the_incoming_order_where_it_meets_its_own(
    engine: Driver, view: View, px: int | None
) -> None:
    """It trades with strangers up to there; its remainder is cancelled with a report; the own order stays as it was."""
    foreign, own, behind, last = own_and_foreign(engine, view)
    incoming = incoming_with(engine, view, Smp.CANCEL_NEWEST, 100, px)
    answer = [Accepted(incoming.cl), view.trade(engine, 10, 10_050, foreign, incoming), Cancelled(incoming.cl, 90, 10)]
    expect(engine, "D02.X10", answer, without_top(incoming), f"matching stops at {own.cl} of the same account")
    left = [(own.cl, 10_050, 20), (behind.cl, 10_050, 30), (last.cl, 10_049, 40)]
    book = [(cl, view.px(px), qty) for cl, px, qty in left]
    expect_book(engine, "D02.X10", view.incoming, book, "the resting orders are untouched")


@VIEWS
@pytest.mark.needs("accounts", "smp_cancel_oldest")
@pytest.mark.clause("D02.X11")
@pytest.mark.parametrize("px", [None, 10_049], ids=["market", "limit"])
def test_cancel_oldest_takes_own_orders_out_of_the_way(engine: Driver, view: View, px: int | None) -> None:
    """Each own order is cancelled with a report when it is next in line, and matching goes on behind it."""
    foreign, own, behind, last = own_and_foreign(engine, view)
    after = view.rest(engine, 50, 10_049, acct="A1")
    incoming = incoming_with(engine, view, Smp.CANCEL_OLDEST, 60, px)
    answer = [
        Accepted(incoming.cl),
        view.trade(engine, 10, 10_050, foreign, incoming),
        Cancelled(own.cl, 20, 0),
        view.trade(engine, 30, 10_050, behind, incoming),
        Cancelled(last.cl, 40, 0),
        view.trade(engine, 20, 10_049, after, incoming),
    ]
    expect(engine, "D02.X11", answer, without_top(incoming), "own orders are cancelled, strangers' trade")
    left = [(after.cl, view.px(10_049), 30)]
    expect_book(engine, "D02.X11", view.incoming, left, "the cancelled orders are gone")


@VIEWS
@pytest.mark.needs("accounts", "smp_cancel_oldest")
@pytest.mark.clause("D02.X11")
def test_cancel_oldest_reports_what_a_part_filled_own_order_had(engine: Driver, view: View) -> None:
    """Leaves and cum at that moment; and own orders that the incoming order does not reach stay."""
    own = view.rest(engine, 20, 10_050, acct="A2")
    view.market(engine, 5, acct="A1")
    other = view.rest(engine, 10, 10_050, acct="A1")
    unreached = view.rest(engine, 10, 10_040, acct="A2")
    incoming = incoming_with(engine, view, Smp.CANCEL_OLDEST, 10, 10_040)
    answer = [Accepted(incoming.cl), Cancelled(own.cl, 15, 5), view.trade(engine, 10, 10_050, other, incoming)]
    expect(engine, "D02.X11", answer, without_top(incoming), "the own order had 5 filled and 15 left")
    left = [(unreached.cl, view.px(10_040), 10)]
    expect_book(engine, "D02.X11", view.incoming, left, "a filled order cancels nothing behind")


@VIEWS
@pytest.mark.needs("accounts")
@pytest.mark.clause("D02.8")
def test_without_prevention_own_orders_trade_like_any_other(engine: Driver, view: View) -> None:
    """An order that asks for no self-match prevention gets none: both its sides are named."""
    own = view.rest(engine, 10, 10_050, acct="A2")
    incoming = view.market(engine, 10, acct="A2")
    expected = [Trade(engine.symbol(), view.px(10_050), 10, own.cl, incoming.cl)]
    expect(engine, "D02.8", expected, incoming.trades, "the two orders of one account trade")


PROFILE = Profile(
    takers=("market", "market", "market", "limit", "ioc"),
    managers=("cancel",),
    smp=("cancel_newest", "cancel_oldest"),
)


@pytest.mark.clause(
    "D02.3", "D02.4", "D02.5", "D02.6", "D02.8", "D02.9", "D02.N1", "D02.X1", "D02.X2", "D02.X3", "D02.X4", "D02.X5",
    "D02.X10", "D02.X11",
)  # fmt: skip
def test_any_flow_with_market_orders_is_answered_as_the_model_answers_it(
    engine: Driver, examples: Examples, property_settings: hypothesis.settings
) -> None:
    """Market orders among limits and IOCs, own orders in their way, judged rule by rule and answer by answer."""
    run_property(PROFILE, engine, property_settings, on_end=examples.add)
