"""Diagram 4: an order is cancelled. Replaces and mass cancels, which are optional, are in test_d04_replace.py."""

from __future__ import annotations

from collections.abc import Collection

import hypothesis
import pytest

from matchmark.conformance.driver import Driver, Reply
from matchmark.conformance.messages import Accepted, Cancelled, CancelRejected
from matchmark.conformance.plugin import Examples
from matchmark.conformance.strategies import Profile, run_property
from matchmark.conformance.suites._support import (
    VIEWS,
    View,
    expect,
    expect_book,
    expect_refused,
    tops,
    violate,
    without_top,
)

pytestmark = pytest.mark.needs("limit", "cancel")


def level(engine: Driver, view: View, orders: int, px: int = 10_050) -> list[Reply]:
    """A queue of orders of 10, 11, 12 ... lots at one price."""
    return [view.rest(engine, 10 + n, px) for n in range(orders)]


def left_of(
    view: View, orders: list[Reply], without: Collection[int] = (), px: int = 10_050
) -> list[tuple[str, int, int]]:
    return [(r.cl, view.px(px), 10 + n) for n, r in enumerate(orders) if n not in without]


@VIEWS
@pytest.mark.needs("accounts")
@pytest.mark.clause("D04.2")
def test_only_the_owner_can_cancel(engine: Driver, view: View) -> None:
    """A stranger's cancel is refused, and the order stands in its place; then the owner's is carried out."""
    orders = level(engine, view, 2)
    stranger = engine.cancel(orders[0].cl, acct="A2")
    expect_refused(engine, "D04.2", CancelRejected, stranger, "the order belongs to another account")
    trade = view.limit(engine, 1, 10_050, acct="A3")
    expected = [view.trade(engine, 1, 10_050, orders[0], trade)]
    expect(engine, "D04.2", expected, trade.trades, "the order is still first in its level")
    owner = engine.cancel(orders[0].cl, acct="A1")
    expect(engine, "D04.2", [Cancelled(orders[0].cl, 9, 1)], without_top(owner), "its owner can cancel it")


@VIEWS
@pytest.mark.clause("D04.3")
def test_a_cancel_takes_effect_in_its_place_in_the_sequence(engine: Driver, view: View) -> None:
    """What came before it could still trade with the order; what comes after it cannot."""
    order = view.rest(engine, 10, 10_050)
    before = view.limit(engine, 4, 10_050)
    cancel = engine.cancel(order.cl)
    after = view.limit(engine, 4, 10_050, acct="A3")
    expect(
        engine, "D04.3", [view.trade(engine, 4, 10_050, order, before)], before.trades, "before the cancel it trades"
    )
    expect(engine, "D04.3", [Cancelled(order.cl, 6, 4)], without_top(cancel), "the cancel finds what was left then")
    expect(engine, "D04.3", [Accepted(after.cl)], without_top(after), "after the cancel it does not")
    late = engine.cancel(before.cl, acct="A2")
    expect_refused(engine, "D04.3", CancelRejected, late, "an order filled before its cancel cannot be cancelled")


@VIEWS
@pytest.mark.clause("D04.4")
@pytest.mark.parametrize("orders", [1, 10, 300])
def test_any_live_order_is_found_by_its_cl_ord_id(engine: Driver, view: View, orders: int) -> None:
    """However many there are, wherever they stand, and whatever they traded."""
    resting = [view.rest(engine, 10, 10_050 - n % 40) for n in range(orders)]
    view.limit(engine, 5, 10_050)
    for n in (*range(1, orders, 3), *range(2, orders, 3), *range(0, orders, 3)):
        cancel = engine.cancel(resting[n].cl)
        report = Cancelled(resting[n].cl, 5, 5) if n == 0 else Cancelled(resting[n].cl, 10, 0)
        expect(
            engine, "D04.4", [report], without_top(cancel), f"order {n + 1} of {orders} is live and can be cancelled"
        )


@VIEWS
@pytest.mark.clause("D04.5")
def test_a_cancelled_order_leaves_the_book_and_no_other_does(engine: Driver, view: View) -> None:
    """Its level goes with it when it was alone there; all other orders stand as they stood."""
    behind = level(engine, view, 2, 10_048)
    alone = view.rest(engine, 99, 10_049)
    front = level(engine, view, 3, 10_050)
    engine.cancel(alone.cl)
    engine.cancel(front[1].cl)
    expected = left_of(view, front, {1}) + left_of(view, behind, px=10_048)
    expect_book(engine, "D04.5", view.incoming, expected, "two orders are gone, the others are as they were")


@VIEWS
@pytest.mark.clause("D04.6")
def test_a_cancelled_order_never_trades_again(engine: Driver, view: View) -> None:
    """Whatever comes to its price, and when."""
    order = view.rest(engine, 10, 10_050)
    engine.cancel(order.cl)
    first = view.limit(engine, 3, 10_050)
    expect(engine, "D04.6", [Accepted(first.cl)], without_top(first), "nothing is there to trade with")
    again = view.rest(engine, 10, 10_045)
    second = view.limit(engine, 20, 10_040, acct="A3")
    expected = [view.trade(engine, 10, 10_045, again, second)]
    expect(engine, "D04.6", expected, second.trades, "only the live order trades")


@VIEWS
@pytest.mark.clause("D04.8")
def test_a_cancel_is_confirmed_once_with_what_was_left(engine: Driver, view: View) -> None:
    """One event, which names the order that it ended."""
    orders = level(engine, view, 3)
    for n in (2, 0, 1):
        cancel = engine.cancel(orders[n].cl)
        expect(engine, "D04.8", [Cancelled(orders[n].cl, 10 + n, 0)], without_top(cancel), "one confirmation")


@VIEWS
@pytest.mark.needs("top")
@pytest.mark.clause("D04.9")
def test_the_top_is_published_when_a_cancel_changed_it(engine: Driver, view: View) -> None:
    """A quantity at the best price, a new best price, an empty side; and nothing for a cancel deeper in the book."""
    deep = level(engine, view, 2, 10_049)
    front = level(engine, view, 2, 10_050)
    steps = [
        (deep[0], None, "deeper in the book"),
        (front[0], view.top(engine, (10_050, 11), None), "one of two at the best price"),
        (front[1], view.top(engine, (10_049, 11), None), "the last at the best price"),
        (deep[1], view.top(engine, None, None), "the last of its side"),
    ]
    for order, top, what in steps:
        cancel = engine.cancel(order.cl)
        expect(engine, "D04.9", [top] if top else [], tops(cancel), f"published after a cancel of {what}")


@VIEWS
@pytest.mark.clause("D04.E1")
@pytest.mark.parametrize("fills", [(40,), (1, 1, 1), (30, 69), (10,) * 9])
def test_of_a_part_filled_order_only_the_leaves_are_cancelled(
    engine: Driver, view: View, fills: tuple[int, ...]
) -> None:
    """The report carries leaves and cum; the fills stand (ruling R13). For a resting order and for a remainder."""
    resting = view.rest(engine, 100, 10_050)
    for qty in fills:
        view.limit(engine, qty, 10_050)
    cum = sum(fills)
    cancel = engine.cancel(resting.cl)
    expect(engine, "D04.E1", [Cancelled(resting.cl, 100 - cum, cum)], without_top(cancel), f"{cum} of 100 were filled")
    for qty in fills:
        view.rest(engine, qty, 10_050)
    remainder = view.limit(engine, 100, 10_050)
    cancel = engine.cancel(remainder.cl, acct="A2")
    report = Cancelled(remainder.cl, 100 - cum, cum)
    expect(engine, "D04.E1", [report], without_top(cancel), f"{cum} of the incoming 100 were filled")


@VIEWS
@pytest.mark.clause("D04.X1")
@pytest.mark.parametrize("order", ["unknown", "filled", "filled as incoming", "cancelled"])
def test_a_cancel_without_a_live_order_is_refused(engine: Driver, view: View, order: str) -> None:
    """Once, with a reason, and nothing changes."""
    bystander = view.rest(engine, 7, 10_040)
    subject, acct = view.rest(engine, 10, 10_050), "A1"
    if order == "cancelled":
        engine.cancel(subject.cl)
    elif order != "unknown":
        incoming = view.limit(engine, 10, 10_050)
        subject, acct = (incoming, "A2") if order == "filled as incoming" else (subject, acct)
    for _ in range(2):
        cancel = engine.cancel("never-sent" if order == "unknown" else subject.cl, acct=acct)
        expect_refused(engine, "D04.X1", CancelRejected, cancel, f"there is no live order to cancel: it is {order}")
    expected = [(bystander.cl, view.px(10_040), 7)]
    if order == "unknown":
        expected.insert(0, (subject.cl, view.px(10_050), 10))
    expect_book(engine, "D04.X1", view.incoming, expected, "a refused cancel changes nothing")


@VIEWS
@pytest.mark.needs("accounts")
@pytest.mark.clause("D04.X2")
@pytest.mark.parametrize("order", ["live", "part-filled", "filled", "cancelled"])
def test_a_stranger_learns_nothing(engine: Driver, view: View, order: str) -> None:
    """The answer is that of an order that never was, to the word, whatever state the order is in."""
    subject = view.rest(engine, 10, 10_050)
    if order == "cancelled":
        engine.cancel(subject.cl)
    elif order != "live":
        view.limit(engine, 10 if order == "filled" else 4, 10_050, acct="A3")
    unknown = engine.cancel("x" * len(subject.cl), acct="A2")
    stranger = engine.cancel(subject.cl, acct="A2")
    expect_refused(engine, "D04.X2", CancelRejected, stranger, "a stranger's cancel is refused")
    told = [reason_of(reply, orig) for reply, orig in ((unknown, "x" * len(subject.cl)), (stranger, subject.cl))]
    if told[0] != told[1]:
        message = f"a stranger is told something else about an order that is {order} than about one that never was"
        violate(engine, "D04.X2", message, [f"reason: {told[0]}"], [f"reason: {told[1]}"])


def reason_of(reply: Reply, orig: str) -> str:
    """The reason of a refusal, without the two ids that it may quote."""
    reasons = [e.reason for e in reply.events if isinstance(e, CancelRejected)]
    return " ".join(reasons).replace(orig, "?").replace(reply.cl, "?")


@VIEWS
@pytest.mark.clause("D04.X3")
@pytest.mark.parametrize("gone", [{0}, {2}, {4}, {0, 1}, {1, 3}, {3, 4}, {0, 2, 4}])
def test_the_others_in_the_level_keep_their_order(engine: Driver, view: View, gone: set[int]) -> None:
    """After cancels at the front, in the middle and at the back."""
    orders = level(engine, view, 5)
    for n in sorted(gone, reverse=True):
        engine.cancel(orders[n].cl)
    late = view.rest(engine, 77, 10_050)
    expected = [*left_of(view, orders, gone), (late.cl, view.px(10_050), 77)]
    expect_book(engine, "D04.X3", view.incoming, expected, "those left trade in the order of their arrival")


@VIEWS
@pytest.mark.clause("D04.X4")
@pytest.mark.parametrize("emptied_by", ["cancel", "trade"])
def test_a_level_emptied_and_used_again_works_as_new(engine: Driver, view: View, emptied_by: str) -> None:
    """Ten times over: a queue in order of arrival, with no trace of the orders before."""
    for _ in range(10):
        orders = level(engine, view, 3)
        if emptied_by == "cancel":
            for order in orders:
                engine.cancel(order.cl)
        else:
            expect_book(engine, "D04.X4", view.incoming, left_of(view, orders), "the level trades in order")
    orders = level(engine, view, 3)
    expect_book(engine, "D04.X4", view.incoming, left_of(view, orders), "a level used again has a queue as any other")


PROFILE = Profile(
    takers=("limit", "limit", "ioc", "market"),
    ladder_levels=(1, 2, 3),
    ladder_orders=(1, 2, 4),
    span_ticks=2,
    quantities=(5, 8, 10, 20, 50),
    taker_quantities=(1, 3, 6, 12, 30),
    managers=("cancel", "cancel", "cancel", "mass_cancel", "cancel", "status", "replace"),
    meddling=2,
    abuses=("ghost", "stranger", "stranger", "elsewhere"),
    smp=("cancel_oldest", "cancel_newest"),
    accounts=3,
    symbols=2,
)


@pytest.mark.clause(
    "D04.2", "D04.4", "D04.6", "D04.8", "D04.9", "D04.E1", "D04.X1", "D04.X2", "D04.X5", "D04.X14",
)  # fmt: skip
def test_any_flow_with_cancels_is_answered_as_the_model_answers_it(
    engine: Driver, examples: Examples, property_settings: hypothesis.settings
) -> None:
    """Cancels and mass cancels, by owners and strangers, in time and too late, among all kinds of orders."""
    run_property(PROFILE, engine, property_settings, on_end=examples.add)


@VIEWS
@pytest.mark.clause("D04.5")
def test_a_cancel_in_a_long_queue_takes_one_order_out(engine: Driver, view: View) -> None:
    """300 orders at one price; every seventh is cancelled, and the 257th."""
    orders = [view.rest(engine, 2 + n % 5, 10_050) for n in range(300)]
    gone = {*range(0, 300, 7), 256}
    for n in sorted(gone):
        engine.cancel(orders[n].cl)
    expected = [(r.cl, view.px(10_050), 2 + n % 5) for n, r in enumerate(orders) if n not in gone]
    expect_book(engine, "D04.5", view.incoming, expected, "all other orders are there, in their order")
