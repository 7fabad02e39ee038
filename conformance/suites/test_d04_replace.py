"""Diagram 4, what it leaves out: replaces and mass cancels, by declared capability (ruling R16)."""

from __future__ import annotations

from collections.abc import Iterable

import hypothesis
import pytest

from matchmark.conformance.driver import Driver, Reply
from matchmark.conformance.messages import (
    Accepted,
    Cancelled,
    CancelRejected,
    Event,
    MassCancelled,
    Replaced,
)
from matchmark.conformance.plugin import Examples
from matchmark.conformance.strategies import Profile, run_property
from matchmark.conformance.suites._support import (
    VIEWS,
    View,
    expect,
    expect_book,
    expect_refused,
    tops,
    without_top,
)

pytestmark = pytest.mark.needs("limit", "cancel")


def three(engine: Driver, view: View, px: int = 10_050) -> list[Reply]:
    return [view.rest(engine, 10, px), view.rest(engine, 20, px), view.rest(engine, 30, px)]


def replaced(engine: Driver, clause: str, reply: Reply, orig: str, px: int, leaves: int, cum: int = 0) -> None:
    report = Replaced(reply.cl, orig, px, leaves, cum)
    expect(engine, clause, [report], without_top(reply), "the replace is confirmed with what the order is now")


@VIEWS
@pytest.mark.needs("replace", "replace_priority")
@pytest.mark.clause("D04.X10")
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_smaller_quantity_keeps_the_place(engine: Driver, view: View, at: int) -> None:
    """At the same price, and also when the replace repeats the price or the quantity that the order has."""
    orders = three(engine, view)
    qty = 10 * (at + 1)
    cuts = [(None, qty - 4), (view.px(10_050), qty - 5), (view.px(10_050), None)]
    cl, left = orders[at].cl, qty
    for px, new_qty in cuts:
        reply = engine.replace(cl, px=px, qty=new_qty)
        left = new_qty or left
        replaced(engine, "D04.X10", reply, cl, view.px(10_050), left)
        cl = reply.cl
    expected = [(r.cl, view.px(10_050), 10 * (n + 1)) for n, r in enumerate(orders)]
    expected[at] = (cl, view.px(10_050), left)
    expect_book(engine, "D04.X10", view.incoming, expected, "the order is smaller and where it was")


@VIEWS
@pytest.mark.needs("replace", "replace_priority")
@pytest.mark.clause("D04.X10")
def test_a_part_filled_order_that_is_cut_keeps_its_place(engine: Driver, view: View) -> None:
    """The new quantity is the order's total, of which the fills are part."""
    orders = three(engine, view)
    view.limit(engine, 4, 10_050)
    reply = engine.replace(orders[0].cl, qty=7)
    replaced(engine, "D04.X10", reply, orders[0].cl, view.px(10_050), 3, 4)
    expected = [(c, view.px(10_050), q) for c, q in ((reply.cl, 3), (orders[1].cl, 20), (orders[2].cl, 30))]
    expect_book(engine, "D04.X10", view.incoming, expected, "3 lots are left, still first")


@VIEWS
@pytest.mark.needs("replace")
@pytest.mark.clause("D04.X11")
@pytest.mark.parametrize("change", ["more", "away and back", "another price"])
def test_a_new_price_or_more_quantity_loses_the_place(engine: Driver, view: View, change: str) -> None:
    """The order goes to the back of the level that it is in then."""
    orders = three(engine, view)
    there = three(engine, view, 10_049)
    cl, px, qty = orders[0].cl, 10_050, 10
    if change == "more":
        reply = engine.replace(cl, qty=11)
        qty = 11
    else:
        reply = engine.replace(cl, px=view.px(10_049))
        px = 10_049
        if change == "away and back":
            replaced(engine, "D04.X11", reply, cl, view.px(10_049), 10)
            cl = reply.cl
            reply = engine.replace(cl, px=view.px(10_050))
            px = 10_050
    replaced(engine, "D04.X11", reply, cl, view.px(px), qty)
    levels = {10_050: [(r.cl, 10 * n) for n, r in enumerate(orders, 1) if n > 1]}
    levels[10_049] = [(r.cl, 10 * n) for n, r in enumerate(there, 1)]
    levels[px].append((reply.cl, qty))
    expected = [(c, view.px(p), q) for p in (10_050, 10_049) for c, q in levels[p]]
    expect_book(engine, "D04.X11", view.incoming, expected, "the replaced order is at the back of its level")


@VIEWS
@pytest.mark.needs("replace")
@pytest.mark.clause("D04.X11")
def test_the_old_cl_ord_id_is_finished(engine: Driver, view: View) -> None:
    """After a chain of replaces only the last ClOrdID names the order."""
    chain = [view.rest(engine, 10, 10_050).cl]
    for n in range(5):
        reply = engine.replace(chain[-1], px=view.px(10_049 - n), qty=11 + n)
        replaced(engine, "D04.X11", reply, chain[-1], view.px(10_049 - n), 11 + n)
        chain.append(reply.cl)
    for cl in chain[:-1]:
        expect_refused(engine, "D04.X11", CancelRejected, engine.cancel(cl), "that ClOrdID was replaced")
    cancel = engine.cancel(chain[-1])
    expect(engine, "D04.X11", [Cancelled(chain[-1], 15, 0)], without_top(cancel), "the last ClOrdID is the order's")


@VIEWS
@pytest.mark.needs("replace", "top")
@pytest.mark.clause("D04.9")
def test_the_top_after_a_part_filled_order_moved_counts_its_leaves(engine: Driver, view: View) -> None:
    """What is published is what can be traded with, not the order's total."""
    order = view.rest(engine, 28, 10_050)
    view.limit(engine, 8, 10_050)
    reply = engine.replace(order.cl, px=view.px(10_051))
    message = "20 of the 28 lots are left, at the new price"
    expect(engine, "D04.9", [view.top(engine, (10_051, 20), None)], tops(reply), message)


@VIEWS
@pytest.mark.needs("replace")
@pytest.mark.clause("D04.X12")
def test_a_replace_that_crosses_trades_at_once(engine: Driver, view: View) -> None:
    """For the new leaves, at the resting orders' prices, and what remains rests at the new price."""
    resting = three(engine, view)
    own = engine.new(view.incoming, 25, view.px(10_060), acct="A2")
    reply = engine.replace(own.cl, px=view.px(10_049), qty=70, acct="A2")
    answer = [
        Replaced(reply.cl, own.cl, view.px(10_049), 70, 0),
        *(view.trade(engine, 10 * n, 10_050, r, reply) for n, r in enumerate(resting, 1)),
    ]
    expect(engine, "D04.X12", answer, without_top(reply), "confirmed, then executed")
    expect_book(engine, "D04.X12", view.resting, [(reply.cl, view.px(10_049), 10)], "10 of 70 rest at the new price")


@VIEWS
@pytest.mark.needs("replace")
@pytest.mark.clause("D04.X12")
def test_a_part_filled_order_carries_its_cum_through_a_replace(engine: Driver, view: View) -> None:
    """The new quantity is the total, so leaves are what it has above the cum; a later cancel reports the same cum."""
    order = view.rest(engine, 10, 10_050)
    view.limit(engine, 4, 10_050)
    moved = engine.replace(order.cl, px=view.px(10_049), qty=30)
    replaced(engine, "D04.X12", moved, order.cl, view.px(10_049), 26, 4)
    taker = view.limit(engine, 6, 10_049, acct="A3")
    expect(engine, "D04.X12", [view.trade(engine, 6, 10_049, moved, taker)], taker.trades, "it trades at its new price")
    cancel = engine.cancel(moved.cl)
    expect(engine, "D04.X12", [Cancelled(moved.cl, 20, 10)], without_top(cancel), "4 and 6 of 30 were filled")


@VIEWS
@pytest.mark.needs("replace", "top")
@pytest.mark.clause("D04.9")
def test_the_top_follows_a_replace(engine: Driver, view: View) -> None:
    """A cut at the best price, a move away from it, and a replace deeper in the book."""
    deep = view.rest(engine, 5, 10_048)
    order = view.rest(engine, 10, 10_050)
    cut = engine.replace(order.cl, qty=6)
    answer = [Replaced(cut.cl, order.cl, view.px(10_050), 6, 0), view.top(engine, (10_050, 6), None)]
    expect(engine, "D04.9", sorted(map(str, answer)), sorted(map(str, cut.events)), "the quantity at the best changed")
    away = engine.replace(cut.cl, px=view.px(10_040))
    expect(engine, "D04.9", [view.top(engine, (10_048, 5), None)], away.events[1:], "the next level is the best now")
    quiet = engine.replace(away.cl, qty=2)
    expect(engine, "D04.9", [], quiet.events[1:], f"{deep.cl} is still the best, nothing to publish")


BAD_REPLACES = {
    "unknown order": (),
    "filled order": (),
    "cancelled order": (),
    "another account's order": ("accounts",),
    "quantity not above cum": ("replace_above_cum",),
    "quantity below cum": ("replace_above_cum",),
    "quantity zero": ("validation",),
    "quantity too large": ("validation",),
    "price zero": ("validation",),
    "price too high": ("validation",),
    "cl_ord_id in use": ("duplicate_check",),
}


@VIEWS
@pytest.mark.clause("D04.X13", "D04.X15")
@pytest.mark.parametrize(
    "what", [pytest.param(what, marks=pytest.mark.needs("replace", *needs)) for what, needs in BAD_REPLACES.items()]
)
def test_a_bad_replace_is_refused_and_the_order_is_as_it_was(engine: Driver, view: View, what: str) -> None:
    """Refused once, with a reason; the order keeps price, quantity, place and name."""
    order, behind = view.rest(engine, 10, 10_050), view.rest(engine, 20, 10_050)
    view.limit(engine, 4, 10_050)
    over = view.rest(engine, 5, 10_051)
    if what == "filled order":
        view.limit(engine, 5, 10_051)
    else:
        engine.cancel(over.cl)
    limits = engine.info.instruments
    clause = "D04.X13"
    if what == "cl_ord_id in use":
        clause = "D01.X4"
    elif what in ("quantity not above cum", "quantity below cum"):
        clause = "D04.X15"
    reply = {
        "unknown order": lambda: engine.replace("never-sent", qty=50),
        "filled order": lambda: engine.replace(over.cl, qty=50),
        "cancelled order": lambda: engine.replace(over.cl, qty=50),
        "another account's order": lambda: engine.replace(order.cl, qty=50, acct="A3"),
        "quantity not above cum": lambda: engine.replace(order.cl, qty=4),
        "quantity below cum": lambda: engine.replace(order.cl, qty=3, px=view.px(10_049)),
        "quantity zero": lambda: engine.replace(order.cl, qty=0),
        "quantity too large": lambda: engine.replace(order.cl, qty=limits.quantity_max_lots + 1),
        "price zero": lambda: engine.replace(order.cl, px=0),
        "price too high": lambda: engine.replace(order.cl, px=limits.price_max_ticks + 1),
        "cl_ord_id in use": lambda: engine.replace(order.cl, qty=8, cl=behind.cl),
    }[what]()
    expect_refused(engine, clause, CancelRejected, reply, f"a replace is refused: {what}")
    expected = [(order.cl, view.px(10_050), 6), (behind.cl, view.px(10_050), 20)]
    expect_book(engine, clause, view.incoming, expected, "a refused replace changes nothing")


@VIEWS
@pytest.mark.needs("accounts", "mass_cancel")
@pytest.mark.clause("D04.X14")
def test_a_mass_cancel_ends_the_accounts_orders_and_no_others(engine: Driver, view: View) -> None:
    """On both sides and at all prices, part-filled ones with their cum; the others keep their places."""
    own, foreign = [], []
    for n in range(4):
        own.append(view.rest(engine, 10 + n, 10_050 - n // 2, acct="A1"))
        foreign.append(view.rest(engine, 20 + n, 10_050 - n // 2, acct="A2"))
    ask = engine.new(view.incoming, 7, view.px(10_070), acct="A1")
    view.limit(engine, 3, 10_050, acct="A3")
    reply = engine.mass_cancel(acct="A1")
    ended = [Cancelled(own[0].cl, 7, 3), *(Cancelled(o.cl, 10 + n, 0) for n, o in enumerate(own) if n)]
    ended.append(Cancelled(ask.cl, 7, 0))
    answer = without_top(reply)
    expect(engine, "D04.X14", sorted(map(str, ended)), sorted(map(str, ends_in(answer))), "all own orders, once")
    expect(engine, "D04.X14", [MassCancelled(reply.cl, 5)], answer[-1:], "the count comes last")
    expected = [(o.cl, view.px(10_050 - n // 2), 20 + n) for n, o in enumerate(foreign)]
    expect_book(engine, "D04.X14", view.incoming, expected, "the others' orders are untouched")
    expect_book(engine, "D04.X14", view.resting, [], "nothing of the account is left")


def ends_in(answer: Iterable[Event]) -> list[Event]:
    """The `cancelled` events: a mass cancel may report them in any order. Their reason is for people."""
    return [Cancelled(e.cl, e.leaves, e.cum) for e in answer if isinstance(e, Cancelled)]


@pytest.mark.needs("accounts", "mass_cancel", "multi_symbol")
@pytest.mark.clause("D04.X14")
def test_a_mass_cancel_keeps_to_the_symbol_that_it_names(engine: Driver) -> None:
    """Without one it is about all symbols; of nothing it says 0."""
    here, there = engine.symbol(0), engine.symbol(1)
    first, second = engine.buy(10, 10_050, sym=here), engine.buy(20, 10_050, sym=there)
    reply = engine.mass_cancel(sym=there)
    expect(
        engine, "D04.X14", [Cancelled(second.cl, 20, 0), MassCancelled(reply.cl, 1)], without_top(reply), "one symbol"
    )
    reply = engine.mass_cancel()
    expect(
        engine, "D04.X14", [Cancelled(first.cl, 10, 0), MassCancelled(reply.cl, 1)], without_top(reply), "all symbols"
    )
    reply = engine.mass_cancel()
    expect(engine, "D04.X14", [MassCancelled(reply.cl, 0)], without_top(reply), "nothing is left to cancel")
    after = engine.sell(5, 10_050, acct="A2", sym=here)
    expect(engine, "D04.X14", [Accepted(after.cl)], without_top(after), "the cancelled orders never trade again")


PROFILE = Profile(
    takers=("limit", "limit", "ioc", "market"),
    ladder_levels=(1, 2, 3),
    ladder_orders=(1, 2, 4),
    span_ticks=2,
    quantities=(5, 8, 10, 20, 50),
    taker_quantities=(1, 3, 6, 12, 30),
    managers=("replace", "replace", "replace", "cancel", "status"),
    meddling=3,
    abuses=("replace_badly",),
    smp=("cancel_oldest", "cancel_newest"),
    accounts=3,
)


@pytest.mark.needs("replace")
@pytest.mark.clause("D04.X5", "D04.X10", "D04.X11", "D04.X12", "D04.X13", "D04.X15")
def test_any_flow_with_replaces_is_answered_as_the_model_answers_it(
    engine: Driver, examples: Examples, property_settings: hypothesis.settings
) -> None:
    """Replaces in the middle of an order's life: cuts, raises, moves, crossings, too late, and in chains."""
    run_property(PROFILE, engine, property_settings, on_end=examples.add)
