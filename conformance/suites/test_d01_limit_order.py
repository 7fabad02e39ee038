"""Diagram 1: a limit order is accepted, rests in the book, and is found there by its price and its place.

What the diagram implies for every order is judged here too: limits, priority, one answer each, determinism. Bad input,
ClOrdIDs and symbols are in test_d01_identity.py, many levels and large numbers in test_d01_scale.py.
"""

from __future__ import annotations

import random

import hypothesis
import pytest

from matchmark.conformance.driver import Driver, Reply
from matchmark.conformance.messages import Accepted, CancelRejected, Event, Rejected, Side
from matchmark.conformance.plugin import Examples
from matchmark.conformance.strategies import Profile, run_property
from matchmark.conformance.suites._support import (
    VIEWS,
    View,
    expect,
    expect_book,
    sweep,
    tops,
    violate,
    without_top,
)

pytestmark = pytest.mark.needs("limit")


@VIEWS
@pytest.mark.clause("D01.5")
def test_commands_are_decided_in_the_order_received(engine: Driver, view: View) -> None:
    """Each answer is complete and about its own command only: who came first trades first."""
    asks = [view.rest(engine, 10, 10_050) for _ in range(3)]
    for n, order in enumerate(asks):
        taker = view.limit(engine, 10, 10_050)
        expected = [Accepted(taker.cl), view.trade(engine, 10, 10_050, order, taker)]
        expect(engine, "D01.5", expected, without_top(taker), f"order {n + 1} is decided as the book was when it came")
    late = view.limit(engine, 10, 10_050)
    expect(engine, "D01.5", [Accepted(late.cl)], without_top(late), "the book was empty when it came")


@VIEWS
@pytest.mark.clause("D01.5")
@pytest.mark.parametrize("orders", range(1, 8))
def test_an_answer_is_complete_before_the_next_command_is_decided(engine: Driver, view: View, orders: int) -> None:
    """Nothing of a long answer is held back, published tops included, and nothing of it turns up later."""
    resting = [view.rest(engine, 10, 10_050 - n) for n in range(orders)]
    walk = view.limit(engine, 10 * orders + 5, 10_050 - orders)
    answer = [Accepted(walk.cl), *(view.trade(engine, 10, 10_050 - n, r, walk) for n, r in enumerate(resting))]
    expect(engine, "D01.5", answer, without_top(walk), "the whole answer, and nothing else")
    next_order = view.limit(engine, 5, 10_050, acct="A3")
    expect(engine, "D01.5", [Accepted(next_order.cl)], without_top(next_order), "the next answer is about its command")
    if "top" in engine.info.capabilities:
        after_walk = [view.top(engine, None, (10_050 - orders, 5))]
        expect(engine, "D01.5", [after_walk, []], [tops(walk), tops(next_order)], "tops belong to the command's answer")


@VIEWS
@pytest.mark.clause("D01.6")
@pytest.mark.parametrize("px", [10_050, 10_049, 10_047, 10_001, 9_973, 1])
def test_a_limit_order_that_does_not_cross_rests_at_its_price(engine: Driver, view: View, px: int) -> None:
    """The diagram: best ask 100.52, a buy of 100 at 100.50 trades with nothing and rests. So it does at any other price."""
    engine.new(view.incoming, 100, view.px(10_052), acct="A2")
    passive = view.rest(engine, 100, px)
    expect(engine, "D01.6", [Accepted(passive.cl)], without_top(passive), "it is accepted and causes no trade")
    expected = [(passive.cl, view.px(px), 100)]
    expect_book(engine, "D01.6", view.incoming, expected, "it rests with its whole quantity at its own price")


@pytest.mark.clause("D01.6")
@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize("px", [1, 7, 99, 12_345, 100_003, 1_234_567, 2**31 + 3, 2**40 + 1])
def test_an_order_rests_at_exactly_its_price_on_any_scale(engine: Driver, side: str, px: int) -> None:
    """It is neither rounded to a coarser grid nor brought nearer to the market."""
    px = min(px, engine.info.instruments.price_max_ticks)
    order = engine.new(side, 130, px)
    expect(engine, "D01.6", [Accepted(order.cl)], without_top(order), "it is accepted and causes no trade")
    expect_book(engine, "D01.6", Side(side).opposite, [(order.cl, px, 130)], "it rests whole, at its own price")


@VIEWS
@pytest.mark.clause("D01.8")
def test_an_accepted_order_is_acknowledged_once_with_an_id_of_its_own(engine: Driver, view: View) -> None:
    """First of all events about it; no two orders share an id, also across sides and after trades."""
    ids: dict[str, str] = {}
    for n in range(600):
        reply = engine.new((Side.BUY, Side.SELL)[n % 2], 1 + n % 4, view.px(10_050 + n % 3), acct=f"A{1 + n % 2}")
        expect(engine, "D01.8", [Accepted(reply.cl)], reply.events[:1], "the acknowledgement comes first")
        again = [e for e in reply.events[1:] if isinstance(e, Accepted)]
        expect(engine, "D01.8", [], again, "and only once")
        given = next(e.id for e in reply.events if isinstance(e, Accepted))
        expect(engine, "D01.8", [False], [given == "" or given in ids], f"order id {given!r} is new and not empty")
        ids[given] = reply.cl


@VIEWS
@pytest.mark.needs("top")
@pytest.mark.clause("D01.9")
def test_the_top_is_published_exactly_when_it_changes(engine: Driver, view: View) -> None:
    """A first order, a better price, more quantity at the best price; and nothing for an order behind the best."""
    steps = [
        (100, 10_050, (10_050, 100)),
        (50, 10_049, None),
        (70, 10_050, (10_050, 170)),
        (10, 10_051, (10_051, 10)),
        (10, 10_050, None),
    ]
    for qty, px, best in steps:
        reply = view.rest(engine, qty, px)
        expected = [view.top(engine, best, None)] if best else []
        expect(engine, "D01.9", expected, tops(reply), f"published after {qty} lots at {view.px(px)}")
    other = engine.new(view.incoming, 5, view.px(10_052), acct="A2")
    expected = [view.top(engine, (10_051, 10), (10_052, 5))]
    expect(engine, "D01.9", expected, tops(other), "published after the other side got its first order")


@VIEWS
@pytest.mark.clause("D01.X1")
def test_nobody_trades_beyond_their_limit(engine: Driver, view: View) -> None:
    """A limit between two levels trades up to itself and rests."""
    first, second = view.rest(engine, 10, 10_050), view.rest(engine, 10, 10_048)
    beyond = view.rest(engine, 10, 10_047)
    taker = view.limit(engine, 100, 10_048)
    answer = [
        Accepted(taker.cl),
        view.trade(engine, 10, 10_050, first, taker),
        view.trade(engine, 10, 10_048, second, taker),
    ]
    expect(engine, "D01.X1", answer, without_top(taker), f"{beyond.cl} is beyond the limit {view.px(10_048)}")
    expect_book(engine, "D01.X1", view.resting, [(taker.cl, view.px(10_048), 80)], "the rest waits at the limit")


@VIEWS
@pytest.mark.clause("D01.X2")
@pytest.mark.parametrize("orders", [2, 5, 300, 1_100])
def test_at_one_price_the_earlier_order_trades_first(engine: Driver, view: View, orders: int) -> None:
    """And trades out before the next one is touched; in one walk, and in many small orders."""
    resting = [view.rest(engine, 2 + n % 3, 10_050, acct=f"A{3 + n % 2}") for n in range(orders)]
    whole = [(r, 2 + n % 3) for n, r in enumerate(resting)]
    taker = view.limit(engine, 3, 10_050)
    expected = [view.trade(engine, 2, 10_050, resting[0], taker), view.trade(engine, 1, 10_050, resting[1], taker)]
    expect(engine, "D01.X2", expected, taker.trades, "the first trades out before the second is touched")
    left = [(r.cl, view.px(10_050), q - (n == 1)) for n, (r, q) in enumerate(whole) if n]
    expect_book(engine, "D01.X2", view.incoming, left, "the queue is in order of arrival")


@VIEWS
@pytest.mark.clause("D01.X7")
@pytest.mark.parametrize("through_ticks", [0, 1, 30])
def test_prices_that_meet_never_rest_against_each_other(engine: Driver, view: View, through_ticks: int) -> None:
    """Equal prices trade instead of locking the book, better ones instead of crossing it."""
    resting = view.rest(engine, 10, 10_050)
    taker = view.limit(engine, 15, 10_050 - through_ticks)
    answer = [Accepted(taker.cl), view.trade(engine, 10, 10_050, resting, taker)]
    expect(engine, "D01.X7", answer, without_top(taker), "prices that meet trade")
    left = [(taker.cl, view.px(10_050 - through_ticks), 5)]
    expect_book(engine, "D01.X7", view.resting, left, "only the remainder is in the book")
    expect_book(engine, "D01.X7", view.incoming, [], "and nothing on the other side")


@VIEWS
@pytest.mark.clause("D01.X7")
@pytest.mark.parametrize("fills", [3, 9, 20, 70, 300])
def test_a_book_is_not_crossed_after_many_fills(engine: Driver, view: View, fills: int) -> None:
    """An order that trades with everything within its limit rests only when nothing there is left."""
    resting = [view.rest(engine, 2, 10_050 - n % 10) for n in range(fills)]
    outside = view.rest(engine, 2, 10_030)
    taker = view.limit(engine, 2 * fills + 5, 10_040)
    expect(engine, "D01.X7", [2 * len(resting)], [sum(t.qty for t in taker.trades)], "everything within the limit")
    left = [(taker.cl, view.px(10_040), 5)]
    expect_book(engine, "D01.X7", view.resting, left, "the remainder rests")
    expect_book(engine, "D01.X7", view.incoming, [(outside.cl, view.px(10_030), 2)], "with no price that it meets")


def mixed_orders(engine: Driver, rng: random.Random, count: int) -> list[Event]:
    """Limit orders and, where the target has them, cancels, market and IOC orders; the same for the same generator."""
    has = engine.info.capabilities
    events: list[Event] = []
    mine: list[Reply] = []
    for _ in range(count):
        draw, side, px = rng.random(), rng.choice(("buy", "sell")), 10_050 + rng.randrange(-6, 7)
        if draw < 0.2 and mine and "cancel" in has:
            reply = engine.cancel(mine[rng.randrange(len(mine))].cl)
        elif draw < 0.3 and "market" in has:
            reply = engine.new(side, rng.randrange(1, 60))
        else:
            tif = "ioc" if draw > 0.9 and "ioc" in has else "day"
            reply = engine.new(side, rng.randrange(1, 40), px, tif=tif)
            mine.append(reply)
        events += reply.events
    return events


@pytest.mark.clause("D01.X11")
@pytest.mark.parametrize("seed", range(5))
def test_the_same_commands_cause_the_same_events(engine: Driver, seed: int) -> None:
    """400 commands, then a reset, then the same again; ids included, if the target counts them from its reset."""
    first = mixed_orders(engine, random.Random(seed), 400) + list(sweep(engine, "buy")) + list(sweep(engine, "sell"))
    engine.reset()
    again = mixed_orders(engine, random.Random(seed), 400) + list(sweep(engine, "buy")) + list(sweep(engine, "sell"))
    for n, (one, two) in enumerate(zip(first, again, strict=False)):
        expect(engine, "D01.X11", [one], [two], f"event {n + 1} of the second run is that of the first")
    if len(first) != len(again):
        violate(engine, "D01.X11", "both runs cause as many events", [str(len(first))], [str(len(again))])


@pytest.mark.clause("D01.X8")
def test_every_command_is_answered_once(engine: Driver) -> None:
    """One acceptance for each order, whether it rests, trades, or is filled."""
    for n in range(200):
        reply = engine.new(("buy", "sell")[n % 2], 1 + n % 3, 10_050 + n % 2, acct=f"A{1 + n % 2}")
        answers = [e for e in reply.events if isinstance(e, Accepted | Rejected)]
        expect(engine, "D01.X8", [Accepted(reply.cl)], answers, "one answer to one order")
        known = {x.command.cl for x in engine.history if hasattr(x.command, "cl")}
        named = [t for t in reply.trades if not {t.resting, t.incoming} <= known]
        expect(engine, "D01.X8", [], named, "trades name orders that were sent")


@pytest.mark.needs("duplicate_check")
@pytest.mark.clause("D01.X8")
def test_a_refused_command_is_answered_once(engine: Driver) -> None:
    """By its refusal alone: no other report, of it or of the order whose ClOrdID it tried to take."""
    order = engine.buy(10, 10_050)
    duplicate = engine.sell(5, 10_060, cl=order.cl)
    expect(engine, "D01.X8", [Rejected(order.cl)], duplicate.events, "a refused order has one event")
    if "cancel" in engine.info.capabilities:
        cancel = engine.cancel("never-sent")
        expect(engine, "D01.X8", [CancelRejected(cancel.cl)], cancel.events, "a refused cancel has one event")
    expect_book(engine, "D01.X8", "sell", [(order.cl, 10_050, 10)], "and the order is untouched")


PROFILE = Profile(
    takers=("limit",),
    managers=("cancel",),
    abuses=("quantity", "price", "duplicate", "duplicate", "symbol", "elsewhere"),
    accounts=2,
    symbols=3,
)


@pytest.mark.clause(
    "D01.5", "D01.6", "D01.8", "D01.9", "D01.X1", "D01.X2", "D01.X3", "D01.X4", "D01.X5", "D01.X6", "D01.X7", "D01.X8",
    "D01.X12",
)  # fmt: skip
def test_any_flow_of_limit_orders_is_answered_as_the_model_answers_it(
    engine: Driver, examples: Examples, property_settings: hypothesis.settings
) -> None:
    """Limit orders in several symbols, good and bad, judged rule by rule and whole answer by whole answer."""
    run_property(PROFILE, engine, property_settings, on_end=examples.add)
