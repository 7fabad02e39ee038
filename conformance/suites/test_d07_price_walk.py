"""Diagram 7: a large market order walks through the levels of the book."""

from __future__ import annotations

from fractions import Fraction

import hypothesis
import pytest
from matchmark.conformance.driver import Driver, Reply
from matchmark.conformance.messages import Accepted, Cancelled, Rejected
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

LEVELS = ((100, 10_050), (300, 10_049), (200, 10_048), (400, 10_047))
"""The diagram's book: (lots, ticks), 1,000 lots in all."""


def diagram_book(engine: Driver, view: View) -> list[Reply]:
    return [view.rest(engine, qty, px) for qty, px in LEVELS]


def walk(engine: Driver, view: View, qty: int = 1_000) -> tuple[list[Reply], Reply]:
    return diagram_book(engine, view), view.market(engine, qty)


@VIEWS
@pytest.mark.clause("D07.1")
def test_a_market_order_larger_than_the_best_level_is_accepted_whole(engine: Driver, view: View) -> None:
    """A market order is one order of its whole quantity, however little the best level, or the book, offers."""
    _, exact = walk(engine, view)
    expect(engine, "D07.1", [Accepted(exact.cl)], exact.events[:1], "the market order of 1000 was not accepted")
    engine.reset()
    resting, beyond = walk(engine, view, 1_500)
    expected = [
        Accepted(beyond.cl),
        *(view.trade(engine, qty, px, r, beyond) for (qty, px), r in zip(LEVELS, resting, strict=True)),
        Cancelled(beyond.cl, 500, 1_000),
    ]
    expect(
        engine, "D07.1", expected, without_top(beyond), "a market order of 1500 into 1000 fills 1000 and cancels 500"
    )


def nth_trade_is(engine: Driver, view: View, clause: str, n: int) -> None:
    qty, px = LEVELS[n]
    resting, incoming = walk(engine, view)
    trade = view.trade(engine, qty, px, resting[n], incoming)
    expect(
        engine, clause, [trade], incoming.trades[n : n + 1], f"trade {n + 1} of the walk is the whole level: {qty} lots"
    )


@VIEWS
@pytest.mark.clause("D07.2")
def test_the_first_trade_is_the_whole_best_level(engine: Driver, view: View) -> None:
    """100 at 100.50."""
    nth_trade_is(engine, view, "D07.2", 0)


@VIEWS
@pytest.mark.clause("D07.3")
def test_the_second_trade_is_the_whole_second_level(engine: Driver, view: View) -> None:
    """300 at 100.49."""
    nth_trade_is(engine, view, "D07.3", 1)


@VIEWS
@pytest.mark.clause("D07.4")
def test_the_third_trade_is_the_whole_third_level(engine: Driver, view: View) -> None:
    """200 at 100.48."""
    nth_trade_is(engine, view, "D07.4", 2)


@VIEWS
@pytest.mark.clause("D07.5")
def test_the_fourth_trade_is_the_whole_last_level(engine: Driver, view: View) -> None:
    """400 at 100.47, and then that side of the book is empty."""
    nth_trade_is(engine, view, "D07.5", 3)
    expect_book(engine, "D07.5", view.incoming, [], "after the walk nothing is left on that side")


@VIEWS
@pytest.mark.clause("D07.6")
def test_the_order_is_filled_exactly(engine: Driver, view: View) -> None:
    """The trades add up to the order's 1000: nothing is cancelled and nothing rests."""
    _, incoming = walk(engine, view)
    expect(engine, "D07.6", [1_000], [sum(t.qty for t in incoming.trades)], "the order's fills add up to its quantity")
    ends = [e for e in incoming.events if isinstance(e, Cancelled)]
    expect(engine, "D07.6", [], ends, "a market order that is filled has nothing left to cancel")
    expect_book(engine, "D07.6", view.resting, [], "nothing of the market order came to rest")


@VIEWS
@pytest.mark.clause("D07.7")
def test_there_is_one_execution_for_each_match(engine: Driver, view: View) -> None:
    """Four matches, four executions, in the order of the walk; two orders in one level are two matches."""
    resting, incoming = walk(engine, view)
    expected = [view.trade(engine, q, px, r, incoming) for (q, px), r in zip(LEVELS, resting, strict=True)]
    expect(engine, "D07.7", [Accepted(incoming.cl), *expected], without_top(incoming), "one execution for each level")
    engine.reset()
    pairs = [view.rest(engine, 10 + n, px) for _, px in LEVELS for n in range(2)]
    incoming = view.market(engine, 84)
    expected = [view.trade(engine, 10 + n % 2, LEVELS[n // 2][1], order, incoming) for n, order in enumerate(pairs)]
    expect(engine, "D07.7", expected, incoming.trades, "one execution for each resting order, oldest first in a level")


@VIEWS
@pytest.mark.clause("D07.8")
@pytest.mark.parametrize(("qty", "average_ticks"), [(1_000, "10048.1"), (700, "10048 4/7"), (150, "10049 2/3")])
def test_the_average_price_is_exact(engine: Driver, view: View, qty: int, average_ticks: str) -> None:
    """100.481 a share and 100,481.00 for the diagram's walk (ruling R2), and the exact quotient for any other."""
    whole, _, part = average_ticks.partition(" ")
    average = Fraction(whole) + Fraction(part or 0)
    if view.resting == "sell":
        average = 2 * 10_050 - average
    _, incoming = walk(engine, view, qty)
    value = sum(t.px * t.qty for t in incoming.trades)
    filled = sum(t.qty for t in incoming.trades)
    expect(engine, "D07.8", [average * qty], [value], "the value of the executions, in ticks times lots")
    expect(engine, "D07.8", [average], [Fraction(value, filled)], "the average price of the executions, in ticks")


@VIEWS
@pytest.mark.needs("top")
@pytest.mark.clause("D07.9")
def test_the_top_after_a_walk_is_the_first_level_not_consumed(engine: Driver, view: View) -> None:
    """One publication after the whole walk; the levels on the way are never published as the top."""
    _, incoming = walk(engine, view, 500)
    expect(engine, "D07.9", [view.top(engine, (10_048, 100), None)], tops(incoming), "top after 500 of 1000 lots")
    engine.reset()
    _, incoming = walk(engine, view)
    expect(engine, "D07.9", [view.top(engine, None, None)], tops(incoming), "top after the whole side was consumed")


@VIEWS
@pytest.mark.clause("D07.X1")
@pytest.mark.parametrize(
    "arrival", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)], ids=["best-first", "best-last", "mixed"]
)
def test_levels_are_met_in_price_order_whenever_they_came(engine: Driver, view: View, arrival: tuple[int, ...]) -> None:
    """No trade is made at a price while a better one still has quantity, in whatever order the levels came to be."""
    by_level = {n: view.rest(engine, *LEVELS[n]) for n in arrival}
    incoming = view.market(engine, 1_000)
    expected = [view.trade(engine, *LEVELS[n], by_level[n], incoming) for n in range(4)]
    expect(engine, "D07.X1", expected, incoming.trades, "levels trade from the best price on, each to its end")


@VIEWS
@pytest.mark.clause("D07.X1")
def test_a_walk_through_more_than_a_thousand_levels_skips_none(engine: Driver, view: View) -> None:
    """The same, 1,030 levels deep, with gaps between the prices."""
    prices = [10_050 - n - (7 if n % 5 == 0 else 0) - 8 * (n // 5) for n in range(1_030)]
    prices = sorted({px for px in prices if px > 0}, reverse=True)
    resting = {px: view.rest(engine, 1 + px % 3, px) for px in prices[::2] + prices[1::2]}
    total = sum(1 + px % 3 for px in prices)
    incoming = view.market(engine, total)
    expected = [view.trade(engine, 1 + px % 3, px, resting[px], incoming) for px in prices]
    expect(engine, "D07.X1", [Accepted(incoming.cl), *expected], without_top(incoming), "every level, in price order")


@VIEWS
@pytest.mark.clause("D07.X2")
@pytest.mark.parametrize("qty", [1, 99, 100, 101, 400, 401, 999])
def test_matching_stops_with_the_lot_that_fills_the_order(engine: Driver, view: View, qty: int) -> None:
    """What the last level still has stays, and so do the levels behind it."""
    resting, incoming = walk(engine, view, qty)
    left, wanted = [], qty
    for (level_qty, px), order in zip(LEVELS, resting, strict=True):
        taken = min(wanted, level_qty)
        wanted -= taken
        if taken < level_qty:
            left.append((order.cl, view.px(px), level_qty - taken))
    expect(engine, "D07.X2", [qty], [sum(t.qty for t in incoming.trades)], "the order takes exactly its quantity")
    expect_book(engine, "D07.X2", view.incoming, left, "what the order did not need is still there, in its order")


@VIEWS
@pytest.mark.clause("D07.X3")
def test_a_consumed_level_is_gone_and_can_be_built_anew(engine: Driver, view: View) -> None:
    """Later orders do not trade with it; a new order at its price makes a new queue. Ten times over."""
    for _ in range(10):
        _, incoming = walk(engine, view)
        expect(
            engine, "D07.X3", [1_000], [sum(t.qty for t in incoming.trades)], "the rebuilt book trades like the first"
        )
        after = view.market(engine, 10)
        expect_nothing_found(engine, "D07.X3", after, 10, "all levels were consumed, so a market order finds nothing")
    rebuilt = [view.rest(engine, 5 + n, 10_049) for n in range(3)]
    expected = [(r.cl, view.px(10_049), 5 + n) for n, r in enumerate(rebuilt)]
    expect_book(engine, "D07.X3", view.incoming, expected, "a level that was consumed has a queue of its own again")


PROFILE = Profile(
    takers=("market", "market", "limit", "ioc"),
    ladder_levels=(2, 5, 9, 12),
    ladder_orders=(1, 2, 3),
    quantities=(1, 2, 3, 5, 8, 10, 20, 50),
    taker_quantities=(5, 20, 60, 100, 200, 400),
    managers=("cancel",),
)


@pytest.mark.clause("D07.X1", "D07.X2", "D07.X5", "D07.6", "D07.9")
def test_any_walk_is_answered_as_the_model_answers_it(
    engine: Driver, examples: Examples, property_settings: hypothesis.settings
) -> None:
    """Deep walks through many levels with a queue in each, judged rule by rule and whole answer by whole answer."""
    run_property(PROFILE, engine, property_settings, on_end=examples.add)


@VIEWS
@pytest.mark.clause("D07.X2")
def test_an_empty_book_gives_nothing(engine: Driver, view: View) -> None:
    """With nothing on the other side a market order ends at once; orders on its own side are not touched (ruling R15)."""
    own = engine.new(view.incoming, 10, view.px(10_060), acct="A2")
    incoming = view.market(engine, 10)
    answer = without_top(incoming)
    if answer != [Rejected(incoming.cl)]:
        expect(
            engine, "D07.X2", [Accepted(incoming.cl), Cancelled(incoming.cl, 10, 0)], answer, "nothing to trade with"
        )
    expect_book(engine, "D07.X2", view.resting, [(own.cl, view.px(10_060), 10)], "the order's own side is untouched")
