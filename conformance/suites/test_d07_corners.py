"""Diagram 7 in its corners: walks that random flow seldom makes. Each example is the least that shows a bug which a mutant of
the self-test has."""

from __future__ import annotations

import pytest

from matchmark.conformance.driver import Driver
from matchmark.conformance.messages import Accepted, Trade
from matchmark.conformance.suites._support import VIEWS, View, expect, without_top

pytestmark = pytest.mark.needs("limit", "market")


@VIEWS
@pytest.mark.clause("D07.X5")
@pytest.mark.parametrize(("levels", "apart_ticks"), [(40, 1), (40, 60), (300, 7), (12, 70_000)])
def test_a_long_walk_is_answered_in_full(engine: Driver, view: View, levels: int, apart_ticks: int) -> None:
    """Over many levels and over a wide range of prices: every level that is wanted, to the last."""
    apart = min(apart_ticks, engine.info.instruments.price_max_ticks // (levels + 2))
    prices = [1 + apart * (n + 1) for n in range(levels)]
    best_first = prices[::-1] if view.resting == "buy" else prices
    resting = [engine.new(view.resting, 2 + n % 3, px) for n, px in enumerate(best_first)]
    incoming = view.market(engine, sum(2 + n % 3 for n in range(levels)))
    trades = [
        Trade(engine.symbol(), px, 2 + n % 3, r.cl, incoming.cl)
        for n, (r, px) in enumerate(zip(resting, best_first, strict=True))
    ]
    expect(engine, "D07.X5", [Accepted(incoming.cl), *trades], without_top(incoming), "the walk takes every level")


@VIEWS
@pytest.mark.clause("D07.X1")
@pytest.mark.parametrize("apart_ticks", [1, 64, 2**16, 2**20, 2**32])
def test_a_better_price_that_came_later_is_first(engine: Driver, view: View, apart_ticks: int) -> None:
    """However far it is from the best that was there before."""
    largest = engine.info.instruments.price_max_ticks
    low, high = 10_050, min(10_050 + apart_ticks, largest)
    worse_px, better_px = (low, high) if view.resting == "buy" else (high, low)
    engine.new(view.resting, 10, worse_px)
    better = engine.new(view.resting, 10, better_px)
    incoming = view.market(engine, 5)
    expected = [Trade(engine.symbol(), better_px, 5, better.cl, incoming.cl)]
    expect(engine, "D07.X1", expected, incoming.trades, f"{better_px} is better than {worse_px}")
