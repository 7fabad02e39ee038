"""Diagram 1 in its corners: what goes wrong only after something that random orders seldom do. Each example is the least that
shows a bug which a mutant of the self-test has."""

from __future__ import annotations

import pytest

from matchmark.conformance.driver import Driver
from matchmark.conformance.messages import Accepted, CancelRejected, Rejected, Trade
from matchmark.conformance.suites._support import (
    VIEWS,
    View,
    expect,
    expect_book,
    expect_refused,
    sweep,
    without_top,
)

pytestmark = pytest.mark.needs("limit")


@VIEWS
@pytest.mark.clause("D01.8")
@pytest.mark.parametrize("orders", [300, 1_100])
def test_order_ids_do_not_come_round(engine: Driver, view: View, orders: int) -> None:
    """Hundreds of orders, live and filled ones, and no id twice; where the target sends ids at all."""
    replies = [view.rest(engine, 5, 10_050 - n % 7) for n in range(orders)]
    replies += [view.limit(engine, 5, 10_044) for _ in range(20)]
    ids = [e.id for reply in replies for e in reply.events if isinstance(e, Accepted) and e.id]
    twice = sorted({i for i in ids if ids.count(i) > 1}) if len(set(ids)) < len(ids) else []
    expect(engine, "D01.8", [], twice, "order ids that were given to two orders")


@VIEWS
@pytest.mark.needs("cancel")
@pytest.mark.clause("D01.8")
def test_the_id_of_a_cancelled_order_is_not_given_to_another(engine: Driver, view: View) -> None:
    """Its reports may still be on their way, or asked for."""
    ids = []
    for _ in range(5):
        reply = view.rest(engine, 5, 10_050)
        ids += [e.id for e in reply.events if isinstance(e, Accepted) and e.id]
        engine.cancel(reply.cl)
    twice = sorted({i for i in ids if ids.count(i) > 1})
    expect(engine, "D01.8", [], twice, "order ids that were given to two orders")


@VIEWS
@pytest.mark.needs("accounts")
@pytest.mark.clause("D01.X2")
def test_whose_orders_they_are_has_no_part_in_the_queue(engine: Driver, view: View) -> None:
    """An incoming order meets the first in line, also when a later one is of its own account."""
    stranger = view.rest(engine, 10, 10_050, acct="A1")
    own = view.rest(engine, 10, 10_050, acct="A2")
    incoming = view.limit(engine, 10, 10_050, acct="A2")
    expected = [view.trade(engine, 10, 10_050, stranger, incoming)]
    expect(engine, "D01.X2", expected, incoming.trades, f"{stranger.cl} arrived before {own.cl}")


@VIEWS
@pytest.mark.needs("validation")
@pytest.mark.clause("D01.X3")
@pytest.mark.parametrize("px", [0, 10_050])
def test_a_refused_order_moves_nobody_in_the_queue(engine: Driver, view: View, px: int) -> None:
    """Refused for its price or, at a good price, for its quantity: the queues of both sides stand as they stood."""
    queues = {
        side: [engine.new(side, 5 + n, 10_000 if side == "buy" else 10_100) for n in range(3)]
        for side in ("buy", "sell")
    }
    for side in (view.incoming, view.resting):
        reply = engine.new(side, 0 if px else 5, px, type="limit", acct="A2")
        expect_refused(engine, "D01.X3", Rejected, reply, "the order is refused")
    for side, sweeper, ticks in (("buy", "sell", 10_000), ("sell", "buy", 10_100)):
        expected = [(r.cl, ticks, 5 + n) for n, r in enumerate(queues[side])]
        expect_book(engine, "D01.X3", sweeper, expected, "the queue is as it was before the refused orders")


@VIEWS
@pytest.mark.clause("D01.X8")
@pytest.mark.parametrize("orders", [10, 100, 1_000])
def test_a_command_with_many_reports_is_answered_in_full(engine: Driver, view: View, orders: int) -> None:
    """One order that meets many: the answer has them all, and the next command is answered too."""
    for _ in range(orders):
        view.rest(engine, 1, 10_050)
    incoming = view.limit(engine, orders, 10_050)
    expect(engine, "D01.X8", [orders], [len(incoming.trades)], "executions in the answer to one command")
    after = view.rest(engine, 1, 10_050)
    expect(engine, "D01.X8", [Accepted(after.cl)], without_top(after), "the next order is answered as ever")


@VIEWS
@pytest.mark.clause("D01.X9")
@pytest.mark.parametrize("apart_ticks", [2**16, 2**31 + 5, 2**32 + 5, 2**51, 2**53 - 20_000])
def test_prices_far_apart_are_told_apart(engine: Driver, view: View, apart_ticks: int) -> None:
    """A low bid and a high ask do not meet; a bid above and an ask below do, at the price of the one that rests."""
    low, high = 10_050, min(10_050 + apart_ticks, engine.info.instruments.price_max_ticks)
    bid, ask = engine.new("buy", 5, low), engine.new("sell", 6, high)
    for reply in (bid, ask):
        expect(engine, "D01.X9", [Accepted(reply.cl)], without_top(reply), f"{low} and {high} do not meet")
    resting, own_px, limit = (
        (bid, low, 1) if view.incoming == "sell" else (ask, high, engine.info.instruments.price_max_ticks)
    )
    incoming = engine.new(view.incoming, 2, limit, acct="A2")
    expected = [Trade(engine.symbol(), own_px, 2, resting.cl, incoming.cl)]
    expect(engine, "D01.X9", expected, incoming.trades, f"the limit {limit} goes beyond {own_px}")
    left = {bid.cl: 5, ask.cl: 6} | {resting.cl: 3 if resting is bid else 4}
    expect_book(engine, "D01.X9", "sell", [(bid.cl, low, left[bid.cl])], "the bid rests at its price")
    expect_book(engine, "D01.X9", "buy", [(ask.cl, high, left[ask.cl])], "the ask rests at its price")


@VIEWS
@pytest.mark.clause("D01.X10")
@pytest.mark.parametrize("apart_ticks", [63, 64, 65, 4_096, 2**16, 2**20, 2**31])
def test_the_next_level_is_found_however_far_away(engine: Driver, view: View, apart_ticks: int) -> None:
    """Levels with nothing between them, made from the worst to the best; each is best when those before it are gone."""
    largest = engine.info.instruments.price_max_ticks
    gap = min(apart_ticks, largest // 5)
    prices = [1 + gap * n for n in range(4)]
    worst_first = prices if view.resting == "buy" else prices[::-1]
    resting = [engine.new(view.resting, 5 + n, px) for n, px in enumerate(worst_first)]
    best_first = list(zip(resting, worst_first, strict=True))[::-1]
    first, best_px = best_first[0]
    taker = engine.new(view.incoming, 8, best_px, acct="A2")
    expected = [Trade(engine.symbol(), best_px, 8, first.cl, taker.cl)]
    expect(engine, "D01.X10", expected, taker.trades, "the best level trades first, though it came last")
    left = [(r.cl, px, 5 + n) for n, (r, px) in enumerate(zip(resting, worst_first, strict=True))][:-1]
    swept = sweep(engine, view.incoming)
    expect(engine, "D01.X10", left[::-1], [(t.resting, t.px, t.qty) for t in swept], "then the others, best first")


@VIEWS
@pytest.mark.clause("D01.X12")
def test_an_account_may_have_many_orders_at_a_price_and_on_both_sides(engine: Driver, view: View) -> None:
    """There is no rule that refuses a second order, or one against an order of the same account."""
    own = [view.rest(engine, 5 + n, 10_050) for n in range(4)]
    away = view.limit(engine, 9, 10_060, acct="A1")
    for reply in (*own, away):
        expect(engine, "D01.X12", [Accepted(reply.cl)], without_top(reply), "it meets nothing, and rests")
    incoming = view.limit(engine, 11, 10_050, acct="A1")
    answer = [
        Accepted(incoming.cl),
        view.trade(engine, 5, 10_050, own[0], incoming),
        view.trade(engine, 6, 10_050, own[1], incoming),
    ]
    expect(engine, "D01.X12", answer, without_top(incoming), "own orders trade like any other")


@VIEWS
@pytest.mark.needs("cancel")
@pytest.mark.clause("D01.X8")
def test_a_request_that_comes_too_late_is_answered_all_the_same(engine: Driver, view: View) -> None:
    """A cancel of a filled order, of a cancelled one and of one that never was: one refusal each."""
    filled, cancelled = view.rest(engine, 5, 10_050), view.rest(engine, 5, 10_040)
    view.limit(engine, 5, 10_050)
    engine.cancel(cancelled.cl)
    for orig in (filled.cl, cancelled.cl, "never-sent"):
        reply = engine.cancel(orig)
        expect(engine, "D01.X8", [CancelRejected(reply.cl)], without_top(reply), f"the cancel of {orig} is refused")
