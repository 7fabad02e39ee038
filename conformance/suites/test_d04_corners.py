"""Diagram 4 in its corners: cancels that random flow seldom makes. Each example is the least that shows a bug which a mutant of
the self-test has."""

from __future__ import annotations

import pytest

from matchmark.conformance.driver import Driver
from matchmark.conformance.messages import Accepted, Cancelled, CancelRejected, Replaced
from matchmark.conformance.suites._support import VIEWS, View, expect, expect_book, expect_refused, without_top

pytestmark = pytest.mark.needs("limit", "cancel")


@VIEWS
@pytest.mark.needs("accounts")
@pytest.mark.clause("D04.2")
def test_a_part_filled_order_still_has_its_owner(engine: Driver, view: View) -> None:
    """A fill does not let go of it: a stranger's cancel is refused, the owner's is carried out."""
    order = view.rest(engine, 10, 10_050)
    view.limit(engine, 4, 10_050)
    for stranger in ("A2", "A3"):
        refused = engine.cancel(order.cl, acct=stranger)
        expect_refused(engine, "D04.2", CancelRejected, refused, "the order belongs to A1")
    owner = engine.cancel(order.cl)
    expect(engine, "D04.2", [Cancelled(order.cl, 6, 4)], without_top(owner), "its owner can cancel it")


@VIEWS
@pytest.mark.clause("D04.5")
def test_the_next_level_is_best_when_the_best_was_cancelled_away(engine: Driver, view: View) -> None:
    """One level after the other, by cancels alone; what is behind can be traded with at once."""
    levels = [view.rest(engine, 10 + n, 10_050 - n) for n in range(4)]
    for n in range(3):
        engine.cancel(levels[n].cl)
        incoming = view.limit(engine, 1, 10_040)
        expected = [view.trade(engine, 1, 10_049 - n, levels[n + 1], incoming)]
        expect(engine, "D04.5", expected, incoming.trades, f"{levels[n + 1].cl} is the best now")


@VIEWS
@pytest.mark.clause("D04.5")
@pytest.mark.parametrize("orders", [2, 3, 5])
def test_the_cancel_of_the_last_in_line_leaves_the_others(engine: Driver, view: View, orders: int) -> None:
    """The level stays, with all who were ahead, and takes new orders at its end."""
    queue = [view.rest(engine, 10 + n, 10_050) for n in range(orders)]
    engine.cancel(queue[-1].cl)
    newcomer = view.rest(engine, 99, 10_050)
    expected = [(r.cl, view.px(10_050), 10 + n) for n, r in enumerate(queue[:-1])]
    expected.append((newcomer.cl, view.px(10_050), 99))
    expect_book(engine, "D04.5", view.incoming, expected, "one order is gone from the end, one has come to it")


@VIEWS
@pytest.mark.needs("replace")
@pytest.mark.clause("D04.X1")
def test_the_old_cl_ord_id_of_a_replaced_order_cancels_nothing(engine: Driver, view: View) -> None:
    """The order goes by its new ClOrdID, and only that cancels it."""
    old = view.rest(engine, 10, 10_050)
    new = engine.replace(old.cl, px=view.px(10_049))
    expect(engine, "D04.X1", [Replaced(new.cl, old.cl, view.px(10_049), 10, 0)], without_top(new), "replaced")
    refused = engine.cancel(old.cl)
    expect_refused(engine, "D04.X1", CancelRejected, refused, f"{old.cl} was replaced")
    incoming = view.limit(engine, 4, 10_049)
    answer = [Accepted(incoming.cl), view.trade(engine, 4, 10_049, new, incoming)]
    expect(engine, "D04.X1", answer, without_top(incoming), "the order is there, under its new ClOrdID")
    cancel = engine.cancel(new.cl)
    expect(engine, "D04.X1", [Cancelled(new.cl, 6, 4)], without_top(cancel), "which cancels it")


@VIEWS
@pytest.mark.needs("replace")
@pytest.mark.clause("D04.X12")
def test_a_part_filled_order_at_the_front_can_be_replaced(engine: Driver, view: View) -> None:
    """Being next in line does not hold it."""
    order = view.rest(engine, 10, 10_050)
    view.limit(engine, 4, 10_050)
    moved = engine.replace(order.cl, px=view.px(10_049))
    expect(engine, "D04.X12", [Replaced(moved.cl, order.cl, view.px(10_049), 6, 4)], without_top(moved), "it is live")
