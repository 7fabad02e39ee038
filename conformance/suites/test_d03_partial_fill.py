"""Diagram 3: a limit order through the spread fills in part, and its remainder rests.

The diagram's book is bids of 100 at 100.50, 200 and 150 at 100.49; the incoming order sells 500 at 100.48. By
price-time priority it fills 100 + 200 + 150 = 450 and 50 rest (ruling R1); the diagram's own 300 and 200 are a slip.
"""

from __future__ import annotations

import hypothesis
import pytest

from matchmark.conformance.driver import Driver, Reply
from matchmark.conformance.messages import Accepted, Cancelled, State, StatusReport, Trade
from matchmark.conformance.plugin import Examples
from matchmark.conformance.strategies import Profile, run_property
from matchmark.conformance.suites._support import VIEWS, View, expect, expect_book, tops, without_top

pytestmark = pytest.mark.needs("limit")

BIDS = ((100, 10_050), (200, 10_049), (150, 10_049))
"""(lots, ticks) in order of arrival."""
LIMIT = 10_048


def diagram(engine: Driver, view: View, qty: int = 500, px: int = LIMIT) -> tuple[list[Reply], Reply]:
    resting = [view.rest(engine, lots, ticks) for lots, ticks in BIDS]
    return resting, view.limit(engine, qty, px)


def diagram_trades(engine: Driver, view: View, resting: list[Reply], incoming: Reply) -> list[Trade]:
    return [view.trade(engine, q, px, r, incoming) for (q, px), r in zip(BIDS, resting, strict=True)]


@VIEWS
@pytest.mark.clause("D03.1")
@pytest.mark.parametrize("px", [10_050, 10_049, 10_048, 9_000])
def test_a_limit_order_through_the_spread_trades_at_once(engine: Driver, view: View, px: int) -> None:
    """From a limit equal to the best opposite price on, it executes in the answer to its own command."""
    resting, incoming = diagram(engine, view, 100, px)
    answer = [Accepted(incoming.cl), view.trade(engine, 100, 10_050, resting[0], incoming)]
    expect(engine, "D03.1", answer, without_top(incoming), "accepted, and executed at once")


def nth_trade_is(engine: Driver, view: View, clause: str, n: int) -> None:
    resting, incoming = diagram(engine, view)
    expected = diagram_trades(engine, view, resting, incoming)[n : n + 1]
    expect(engine, clause, expected, incoming.trades[n : n + 1], f"trade {n + 1} of the diagram")
    later = view.limit(engine, 1, BIDS[n][1], acct="A3")
    gone = [t for t in later.trades if t.resting == resting[n].cl]
    expect(engine, clause, [], gone, "the order that was filled by it is gone")


@VIEWS
@pytest.mark.clause("D03.2")
def test_the_first_match_is_100_at_the_best_price(engine: Driver, view: View) -> None:
    """100 at 100.50, and that bid is gone."""
    nth_trade_is(engine, view, "D03.2", 0)


@VIEWS
@pytest.mark.clause("D03.3")
def test_the_second_match_is_200_with_the_earlier_order_of_the_level(engine: Driver, view: View) -> None:
    """200 at 100.49, and that bid is gone."""
    nth_trade_is(engine, view, "D03.3", 1)


@VIEWS
@pytest.mark.clause("D03.4")
def test_the_third_match_is_150_with_the_later_order_of_the_level(engine: Driver, view: View) -> None:
    """All of its 150, not the 100 that the diagram's text says (ruling R1)."""
    nth_trade_is(engine, view, "D03.4", 2)


@VIEWS
@pytest.mark.needs("cancel")
@pytest.mark.clause("D03.5")
@pytest.mark.parametrize(("orders", "leaves"), [(1, 400), (2, 200), (3, 50)])
def test_what_remains_is_right_after_each_match(engine: Driver, view: View, orders: int, leaves: int) -> None:
    """400, 200, 50: with only so many of the diagram's orders in the book, a cancel tells what the order still has."""
    for lots, ticks in BIDS[:orders]:
        view.rest(engine, lots, ticks)
    incoming = view.limit(engine, 500, LIMIT)
    cancel = engine.cancel(incoming.cl, acct="A2")
    report = Cancelled(incoming.cl, leaves, 500 - leaves)
    expect(engine, "D03.5", [report], without_top(cancel), f"after {orders} matches {leaves} of 500 lots remain")


@VIEWS
@pytest.mark.clause("D03.6")
def test_the_remainder_rests_on_its_own_side_at_its_own_limit(engine: Driver, view: View) -> None:
    """50 at 100.48: a later order on the other side trades with it at that price, and there is no more of it."""
    _, incoming = diagram(engine, view)
    expect_book(
        engine, "D03.6", view.resting, [(incoming.cl, view.px(LIMIT), 50)], "50 lots rest at the order's own limit"
    )


@VIEWS
@pytest.mark.clause("D03.7")
def test_the_order_is_partially_filled_with_cum_450_and_leaves_50(engine: Driver, view: View) -> None:
    """Its trades add up to 450 and nothing ended it; status and cancel, where the target has them, say the same."""
    _, incoming = diagram(engine, view)
    cum = sum(t.qty for t in incoming.trades)
    ended = [e for e in incoming.events if isinstance(e, Cancelled)]
    expect(engine, "D03.7", [450, []], [cum, ended], "450 of 500 executed, the rest still alive")
    if "order_status" in engine.info.capabilities:
        status = engine.status(incoming.cl, acct="A2")
        report = StatusReport(status.cl, incoming.cl, State.PARTIALLY_FILLED, 50, 450)
        expect(engine, "D03.7", [report], without_top(status), "partially filled: 450 executed, 50 left")
    if "cancel" in engine.info.capabilities:
        cancel = engine.cancel(incoming.cl, acct="A2")
        expect(engine, "D03.7", [Cancelled(incoming.cl, 50, 450)], without_top(cancel), "cum 450, leaves 50")


@VIEWS
@pytest.mark.clause("D03.8")
def test_there_is_one_execution_for_each_match_in_their_order(engine: Driver, view: View) -> None:
    """Three matches, three executions; the answer has nothing else."""
    resting, incoming = diagram(engine, view)
    answer = [Accepted(incoming.cl), *diagram_trades(engine, view, resting, incoming)]
    expect(engine, "D03.8", answer, without_top(incoming), "one execution for each match, in execution order")


@VIEWS
@pytest.mark.needs("top")
@pytest.mark.clause("D03.9")
def test_the_top_after_it_shows_the_remainder(engine: Driver, view: View) -> None:
    """50 at 100.48 is the best of its side and the other side is empty; a walk that stops early shows what it left."""
    _, incoming = diagram(engine, view)
    expect(engine, "D03.9", [view.top(engine, None, (LIMIT, 50))], tops(incoming), "top after the diagram's order")
    engine.reset()
    _, incoming = diagram(engine, view, 250)
    expect(engine, "D03.9", [view.top(engine, (10_049, 200), None)], tops(incoming), "top after 250 of 450 lots")


@VIEWS
@pytest.mark.clause("D03.X1")
@pytest.mark.parametrize("fills", [1, 2, 5, 99])
def test_a_partly_filled_resting_order_keeps_its_place(engine: Driver, view: View, fills: int) -> None:
    """However often it was filled in part, it is the next to trade at its price."""
    first = view.rest(engine, 100, 10_050, acct="A1")
    second = view.rest(engine, 100, 10_050, acct="A3")
    for _ in range(fills):
        view.limit(engine, 1, 10_050)
    left = [(first.cl, view.px(10_050), 100 - fills), (second.cl, view.px(10_050), 100)]
    expect_book(engine, "D03.X1", view.incoming, left, "the partly filled order is still ahead")


@VIEWS
@pytest.mark.needs("cancel")
@pytest.mark.clause("D03.X2")
@pytest.mark.parametrize("fills", [1, 2, 3, 4, 10, 100, 300])
def test_leaves_are_the_quantity_minus_the_fills(engine: Driver, view: View, fills: int) -> None:
    """After any number of fills the next one, and the cancel, find exactly what is left."""
    resting = view.rest(engine, 1_000, 10_050)
    taken = 0
    for n in range(fills):
        qty = 1 + n % 3
        incoming = view.limit(engine, qty, 10_050)
        expected = [Accepted(incoming.cl), view.trade(engine, qty, 10_050, resting, incoming)]
        expect(engine, "D03.X2", expected, without_top(incoming), f"fill {n + 1} is for {qty} lots")
        taken += qty
    cancel = engine.cancel(resting.cl)
    report = Cancelled(resting.cl, 1_000 - taken, taken)
    expect(engine, "D03.X2", [report], without_top(cancel), f"1000 minus {fills} fills of {taken} lots in all")


@VIEWS
@pytest.mark.clause("D03.X2")
@pytest.mark.parametrize("fills", [2, 3, 4, 100])
def test_the_last_fill_takes_exactly_what_is_left(engine: Driver, view: View, fills: int) -> None:
    """An order filled bit by bit ends with its last lot, not before and not after."""
    resting = view.rest(engine, 3 * fills, 10_050)
    for _ in range(fills - 1):
        view.limit(engine, 3, 10_050)
    last = view.limit(engine, 50, 10_050)
    expected = [Accepted(last.cl), view.trade(engine, 3, 10_050, resting, last)]
    expect(engine, "D03.X2", expected, without_top(last), "the last fill is for the last 3 lots")


@VIEWS
@pytest.mark.clause("D03.X3")
def test_a_remainder_counts_from_when_it_rested(engine: Driver, view: View) -> None:
    """It is behind the orders that were at its price before and ahead of those that came later."""
    own = view.incoming
    view.rest(engine, 20, 10_050)
    early = engine.new(own, 30, view.px(10_051), acct="A2")
    remainder = view.limit(engine, 60, 10_050, acct="A3")
    late = view.limit(engine, 30, 10_050, acct="A4")
    expected = [
        (r.cl, view.px(px), q) for r, px, q in ((remainder, 10_050, 40), (late, 10_050, 30), (early, 10_051, 30))
    ]
    expect_book(engine, "D03.X3", view.resting, expected, "the remainder is ahead of later orders at its price")


@VIEWS
@pytest.mark.clause("D03.X3")
def test_a_remainder_is_behind_what_was_at_its_price_before(engine: Driver, view: View) -> None:
    """It trades through better prices first, and then queues behind the order that already waited at its limit."""
    waiting = engine.new(view.incoming, 30, view.px(10_051), acct="A2")
    crossing = engine.new(view.resting, 50, view.px(10_051), acct="A1")
    remainder = engine.new(view.incoming, 30, view.px(10_051), acct="A3")
    later = engine.new(view.incoming, 10, view.px(10_051), acct="A4")
    trade = Trade(engine.symbol(), view.px(10_051), 20, crossing.cl, remainder.cl)
    expect(engine, "D03.X3", [Accepted(remainder.cl), trade], without_top(remainder), f"{waiting.cl} took 30 of 50")
    expected = [(remainder.cl, view.px(10_051), 10), (later.cl, view.px(10_051), 10)]
    expect_book(engine, "D03.X3", view.resting, expected, "remainders queue by when they came to rest")


@VIEWS
@pytest.mark.needs("order_status", "cancel")
@pytest.mark.clause("D03.X10")
def test_order_status_follows_the_order_through_its_life(engine: Driver, view: View) -> None:
    """new, partially filled, filled; cancelled; unknown: with leaves and cum each time."""

    def told(orig: str, acct: str, state: State, leaves: int, cum: int) -> None:
        reply = engine.status(orig, acct=acct)
        report = StatusReport(reply.cl, orig, state, leaves, cum)
        expect(engine, "D03.X10", [report], reply.events, f"{orig} is {state} with {leaves} left and {cum} executed")

    order = view.rest(engine, 100, 10_050)
    told(order.cl, "A1", State.NEW, 100, 0)
    view.limit(engine, 40, 10_050)
    told(order.cl, "A1", State.PARTIALLY_FILLED, 60, 40)
    last = view.limit(engine, 60, 10_050)
    told(order.cl, "A1", State.FILLED, 0, 100)
    told(last.cl, "A2", State.FILLED, 0, 60)
    other = view.rest(engine, 70, 10_050)
    view.limit(engine, 20, 10_050)
    engine.cancel(other.cl)
    told(other.cl, "A1", State.CANCELLED, 0, 20)
    told("never-sent", "A1", State.UNKNOWN, 0, 0)
    if "accounts" in engine.info.capabilities:
        told(other.cl, "A2", State.UNKNOWN, 0, 0)


PROFILE = Profile(
    takers=("limit", "limit", "limit", "ioc", "market"),
    ladder_levels=(1, 2, 3, 4),
    ladder_orders=(2, 3, 4),
    quantities=(7, 3, 11, 20, 50, 100),
    taker_quantities=(5, 13, 30, 77, 150),
    managers=("status", "cancel", "status"),
    accounts=3,
)


@pytest.mark.clause("D03.1", "D03.6", "D03.9", "D03.X1", "D03.X2", "D03.X3", "D03.X5", "D03.X10")
def test_any_flow_of_unequal_sizes_is_answered_as_the_model_answers_it(
    engine: Driver, examples: Examples, property_settings: hypothesis.settings
) -> None:
    """Sizes that rarely match, so that most trades fill one side in part; status asked on the way."""
    run_property(PROFILE, engine, property_settings, on_end=examples.add)
