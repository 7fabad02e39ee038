"""Diagram 1 at its edges: numbers up to the largest that the target declares, books of many levels and far prices."""

from __future__ import annotations

import random

import pytest

from matchmark.conformance.driver import Driver, Reply
from matchmark.conformance.messages import Accepted, Cancelled, Trade
from matchmark.conformance.suites._support import VIEWS, View, expect, expect_book, sweep, tops, without_top

pytestmark = pytest.mark.needs("limit")

EDGES = {
    "2^31": 2**31,
    "2^32": 2**32,
    "2^31 of cents": 2**31 * 100,
    "2^53 - 1": 2**53 - 1,
    "the largest": None,
}
"""Where integer and floating types end; what is beyond the declared largest price becomes the largest."""


@pytest.fixture(params=list(EDGES))
def edge_ticks(request: pytest.FixtureRequest, engine: Driver) -> int:
    largest = engine.info.instruments.price_max_ticks
    return min(EDGES[request.param] or largest, largest)


def rest(engine: Driver, side: str, qty: int, px: int) -> Reply:
    reply = engine.new(side, qty, px)
    expect(engine, "D01.X9", [Accepted(reply.cl)], without_top(reply), f"a limit order at {px} is accepted and rests")
    return reply


@VIEWS
@pytest.mark.clause("D01.X9")
def test_prices_are_exact_up_to_the_largest(engine: Driver, view: View, edge_ticks: int) -> None:
    """Neighbouring prices on both sides of an edge keep their order, and trades are at exactly those prices."""
    largest = engine.info.instruments.price_max_ticks
    prices = [px for px in range(edge_ticks - 3, edge_ticks + 4) if 1 <= px <= largest]
    prices += [px for px in (1, 2, 10_050, largest // 2) if px not in prices and px <= largest]
    shuffled = random.Random(7).sample(prices, len(prices))
    resting = {px: rest(engine, view.resting, 1 + n, px) for n, px in enumerate(shuffled)}
    quantities = {px: 1 + n for n, px in enumerate(shuffled)}
    best_first = sorted(prices, reverse=view.resting == "buy")
    expected = [(resting[px].cl, px, quantities[px]) for px in best_first]
    expect_book(engine, "D01.X9", view.incoming, expected, "every price is kept to the tick")


@VIEWS
@pytest.mark.clause("D01.X9")
def test_a_limit_is_kept_to_the_tick_at_the_edge(engine: Driver, view: View, edge_ticks: int) -> None:
    """Between two prices one tick apart the limit decides."""
    worse, better = (edge_ticks - 1, edge_ticks) if view.resting == "buy" else (edge_ticks, edge_ticks - 1)
    outside, inside = rest(engine, view.resting, 5, worse), rest(engine, view.resting, 7, better)
    taker = engine.new(view.incoming, 20, better, acct="A2")
    answer = [Accepted(taker.cl), Trade(engine.symbol(), better, 7, inside.cl, taker.cl)]
    expect(engine, "D01.X9", answer, without_top(taker), f"the limit {better} leaves out the order at {worse}")
    expect_book(engine, "D01.X9", view.resting, [(taker.cl, better, 13)], "the remainder rests at the limit")
    expect_book(engine, "D01.X9", view.incoming, [(outside.cl, worse, 5)], "the other order is untouched")


@VIEWS
@pytest.mark.clause("D01.X9")
@pytest.mark.parametrize("low_ticks", [1, 10_050])
def test_prices_far_apart_are_compared_rightly(engine: Driver, view: View, edge_ticks: int, low_ticks: int) -> None:
    """However far a limit is from the price that it meets: on one side it trades, on the other it rests."""
    bid, ask = view.resting == "buy", view.resting == "sell"
    passive, far = (low_ticks, edge_ticks) if ask else (edge_ticks, low_ticks)
    order = rest(engine, view.resting, 5, passive)
    crossing = engine.new(view.incoming, 5, far, acct="A2")
    answer = [Accepted(crossing.cl), Trade(engine.symbol(), passive, 5, order.cl, crossing.cl)]
    expect(engine, "D01.X9", answer, without_top(crossing), f"a limit of {far} reaches {passive}")
    low, high = rest(engine, "buy", 5, low_ticks), rest(engine, "sell", 5, edge_ticks)
    left = [(low.cl, low_ticks, 5)] if bid else [(high.cl, edge_ticks, 5)]
    expect_book(engine, "D01.X9", view.incoming, left, "a buy far below a sell rests, and so does the sell")


@VIEWS
@pytest.mark.clause("D01.X9")
def test_quantities_are_exact_up_to_the_largest(engine: Driver, view: View) -> None:
    """Orders of the largest quantity, alone and five of them in one level, more than one order may have."""
    largest = engine.info.instruments.quantity_max_lots
    resting = [view.rest(engine, largest, 10_050) for _ in range(5)]
    small = view.limit(engine, 1, 10_050)
    expect(engine, "D01.X9", [view.trade(engine, 1, 10_050, resting[0], small)], small.trades, "1 lot of the largest")
    big = view.limit(engine, largest, 10_050)
    expected = [
        view.trade(engine, largest - 1, 10_050, resting[0], big),
        view.trade(engine, 1, 10_050, resting[1], big),
    ]
    expect(engine, "D01.X9", expected, big.trades, "the first order ends to the lot, the second gives one")
    left = [largest - 1, largest, largest, largest]
    found: dict[str, int] = {}
    for t in sweep(engine, view.incoming):
        found[t.resting] = found.get(t.resting, 0) + t.qty
    named = {r.cl: qty for r, qty in zip(resting[1:], left, strict=True)}
    expect(engine, "D01.X9", [named], [found], "what is left of each order")


@VIEWS
@pytest.mark.needs("cancel")
@pytest.mark.clause("D01.X9")
@pytest.mark.parametrize("taken", [255, 65_535, 65_536, 70_000, 2**24 + 1, 2**31 - 2], ids=str)
def test_leaves_and_cum_are_exact_for_large_fills(engine: Driver, view: View, taken: int) -> None:
    """An order of the largest quantity, filled in two steps round an edge, and cancelled: both numbers are right."""
    largest = engine.info.instruments.quantity_max_lots
    taken = min(taken, largest - 1)
    order = view.rest(engine, largest, 10_050)
    for qty in (taken - 1, 1):
        taker = view.limit(engine, qty, 10_050)
        expected = [view.trade(engine, qty, 10_050, order, taker)]
        expect(engine, "D01.X9", expected, taker.trades, f"a fill of {qty} lots")
    cancel = engine.cancel(order.cl)
    report = Cancelled(order.cl, largest - taken, taken)
    expect(engine, "D01.X9", [report], without_top(cancel), f"{taken} of {largest} lots were filled")


@VIEWS
@pytest.mark.needs("top")
@pytest.mark.clause("D01.X9")
def test_the_published_quantity_of_a_level_does_not_overflow(engine: Driver, view: View) -> None:
    """The sum of orders of the largest quantity at the best price."""
    largest = engine.info.instruments.quantity_max_lots
    for n in range(1, 7):
        reply = view.rest(engine, largest, 10_050)
        expected = [view.top(engine, (10_050, n * largest), None)]
        expect(engine, "D01.X9", expected, tops(reply), f"{n} orders of the largest quantity")


def prices_of(shape: str, levels: int, largest: int) -> list[int]:
    """Distinct prices around 100.50, dense or far apart, as many as fit below the largest price."""
    step = 1 if shape == "dense" else max(min((largest - 20_000) // levels, 1_000_003), 1)
    start = max(10_050 - levels // 2, 1)
    return [start + n * step for n in range(levels) if start + n * step <= largest]


@VIEWS
@pytest.mark.clause("D01.X10")
@pytest.mark.parametrize("shape", ["dense", "far apart"])
@pytest.mark.parametrize("levels", [300, 1_050, 5_000])
def test_priority_holds_in_a_book_of_many_levels(engine: Driver, view: View, levels: int, shape: str) -> None:
    """Built in random order, some levels with two orders; taken from the best price to the last, the 257th and the
    1,025th level included."""
    rng = random.Random(levels)
    prices = prices_of(shape, levels, engine.info.instruments.price_max_ticks)
    book: dict[int, list[tuple[str, int, int]]] = {px: [] for px in prices}
    for px in (*rng.sample(prices, len(prices)), *rng.sample(prices, len(prices) // 4)):
        qty = 1 + px % 5
        book[px].append((engine.new(view.resting, qty, px).cl, px, qty))
    best_first = sorted(prices, reverse=view.resting == "buy")
    expected = [order for px in best_first for order in book[px]]
    expect_book(engine, "D01.X10", view.incoming, expected, f"{len(prices)} levels are met in price order, none missed")


@VIEWS
@pytest.mark.needs("cancel")
@pytest.mark.clause("D01.X10")
def test_levels_that_come_and_go_leave_the_order_of_the_rest_intact(engine: Driver, view: View) -> None:
    """1,000 levels of which two thirds are cancelled, in random order, and a quarter of those built again."""
    rng = random.Random(3)
    prices = prices_of("dense", 1_000, engine.info.instruments.price_max_ticks)
    book = {px: engine.new(view.resting, 1 + px % 5, px) for px in rng.sample(prices, len(prices))}
    gone = rng.sample(prices, 2 * len(prices) // 3)
    for px in gone:
        engine.cancel(book.pop(px).cl)
    for px in gone[::4]:
        book[px] = engine.new(view.resting, 1 + px % 5, px)
    expected = [(book[px].cl, px, 1 + px % 5) for px in sorted(book, reverse=view.resting == "buy")]
    expect_book(engine, "D01.X10", view.incoming, expected, "the levels that are left are met in price order")
