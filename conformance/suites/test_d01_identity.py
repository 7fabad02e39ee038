"""Diagram 1, what is refused and what is told apart: bad numbers, ClOrdIDs that are taken, symbols."""

from __future__ import annotations

import pytest

from matchmark.conformance.driver import Driver
from matchmark.conformance.messages import Accepted, Cancelled, CancelRejected, Rejected
from matchmark.conformance.suites._support import VIEWS, View, expect, expect_book, expect_refused, without_top

pytestmark = pytest.mark.needs("limit")


BAD_NUMBERS = (
    "quantity 0",
    "quantity -1",
    "quantity beyond the largest",
    "price 0",
    "price -1",
    "price beyond the largest",
)


@VIEWS
@pytest.mark.needs("validation")
@pytest.mark.clause("D01.X3")
@pytest.mark.parametrize("what", [*BAD_NUMBERS, "no price", "quantity 2^32 + 5", "quantity 2^64 + 5"])
def test_a_bad_price_or_quantity_is_rejected(engine: Driver, view: View, what: str) -> None:
    """With a reason, and it changes nothing: the order is not there afterwards, in no shortened form either."""
    resting = [view.rest(engine, 10 + n, 10_050) for n in range(3)]
    limits = engine.info.instruments
    qty, px = {
        "quantity 0": (0, 10_050),
        "quantity -1": (-1, 10_050),
        "quantity beyond the largest": (limits.quantity_max_lots + 1, 10_050),
        "quantity 2^32 + 5": (2**32 + 5, 10_050),
        "quantity 2^64 + 5": (2**64 + 5, 10_050),
        "price 0": (5, 0),
        "price -1": (5, -1),
        "price beyond the largest": (5, limits.price_max_ticks + 1),
        "no price": (5, None),
    }[what]
    for side in (view.incoming, view.resting):
        reply = engine.new(side, qty, px, type="limit", acct="A2")
        expect_refused(engine, "D01.X3", Rejected, reply, f"a limit order with {what} is rejected")
    left = [(r.cl, view.px(10_050), 10 + n) for n, r in enumerate(resting)]
    expect_book(engine, "D01.X3", view.incoming, left, "the book is as it was, the queue too")
    expect_book(engine, "D01.X3", view.resting, [], "nothing of the rejected orders rests")


CANCELLED = pytest.param("cancelled", marks=pytest.mark.needs("cancel"))


@VIEWS
@pytest.mark.needs("duplicate_check")
@pytest.mark.clause("D01.X4")
@pytest.mark.parametrize("earlier", ["live", "part-filled", "filled", "filled as incoming", CANCELLED])
def test_a_cl_ord_id_is_taken_once(engine: Driver, view: View, earlier: str) -> None:
    """Whatever became of the order that had it: the second is rejected with a reason and executes nothing."""
    first = view.rest(engine, 10, 10_050)
    if earlier in ("filled", "filled as incoming", "part-filled"):
        taker = view.limit(engine, 4 if earlier == "part-filled" else 10, 10_050)
        first = taker if earlier == "filled as incoming" else first
    elif earlier == "cancelled":
        engine.cancel(first.cl)
    counter = engine.new(view.incoming, 7, view.px(10_060), acct="A2")
    for acct, side, px in (("A1", view.resting, 10_070), ("A3", view.incoming, 10_000)):
        reply = engine.new(side, 5, view.px(px), acct=acct, cl=first.cl)
        expect_refused(engine, "D01.X4", Rejected, reply, f"the ClOrdID belongs to an order that is {earlier}")
    expected = [(counter.cl, view.px(10_060), 7)]
    expect_book(engine, "D01.X4", view.resting, expected, "the refused orders executed nothing and do not rest")


@pytest.mark.needs("duplicate_check")
@pytest.mark.clause("D01.X4")
def test_no_cl_ord_id_is_forgotten(engine: Driver) -> None:
    """After 1,200 more orders, most of them filled, the ClOrdIDs of the first ones are still taken."""
    first = [engine.new(("buy", "sell")[n % 2], 1, 10_050, acct=f"A{1 + n % 2}") for n in range(8)]
    for n in range(1_200):
        engine.new(("buy", "sell")[n % 2], 1, 10_050, acct=f"A{1 + n % 2}")
    for order in first:
        reply = engine.buy(1, 10_040, cl=order.cl)
        expect_refused(engine, "D01.X4", Rejected, reply, "the ClOrdID belongs to an order of long ago")


@pytest.mark.needs("duplicate_check", "multi_symbol")
@pytest.mark.clause("D01.X4")
def test_a_cl_ord_id_is_taken_in_all_symbols(engine: Driver) -> None:
    """It identifies an order in the whole engine, so no other symbol may have another order of that name."""
    symbols = (engine.symbol(0), engine.symbol(1), engine.info.instruments.symbols[-1])
    for n, here in enumerate(symbols):
        first = engine.buy(10, 10_050, sym=here)
        for there in symbols:
            reply = engine.buy(5, 10_040, sym=there, cl=first.cl)
            expect_refused(engine, "D01.X4", Rejected, reply, f"the ClOrdID belongs to order {n + 1}, in {here}")


@pytest.mark.needs("duplicate_check", "replace")
@pytest.mark.clause("D01.X4")
def test_a_replace_needs_a_cl_ord_id_of_its_own(engine: Driver) -> None:
    """Not the order's own, nor another's, live or finished: refused, and the order is as it was."""
    order, other = engine.buy(10, 10_050), engine.buy(20, 10_049)
    moved = engine.replace(other.cl, qty=25)
    for taken in (order.cl, other.cl, moved.cl):
        reply = engine.replace(order.cl, qty=5, cl=taken)
        expect_refused(engine, "D01.X4", CancelRejected, reply, "the ClOrdID of the replace is taken")
    left = [(order.cl, 10_050, 10), (moved.cl, 10_049, 25)]
    expect_book(engine, "D01.X4", "sell", left, "the refused replaces changed nothing")


@pytest.mark.needs("duplicate_check", "validation")
@pytest.mark.clause("D01.X4")
def test_a_rejected_order_does_not_use_up_its_cl_ord_id(engine: Driver) -> None:
    """Nothing became of it, so a corrected order may come under the same ClOrdID."""
    bad = engine.buy(0, 10_050)
    expect_refused(engine, "D01.X3", Rejected, bad, "quantity 0")
    good = engine.buy(10, 10_050, cl=bad.cl)
    expect(engine, "D01.X4", [Accepted(good.cl)], without_top(good), "the ClOrdID was still free")


@VIEWS
@pytest.mark.needs("symbol_list")
@pytest.mark.clause("D01.X5")
def test_an_unknown_symbol_is_rejected(engine: Driver, view: View) -> None:
    """With a reason; no book comes into being for it, however often it is asked for."""
    resting = view.rest(engine, 10, 10_050)
    for side in (view.resting, view.incoming):
        reply = engine.new(side, 5, 10_050, sym="NO-SUCH-SYMBOL", acct="A2")
        expect_refused(engine, "D01.X5", Rejected, reply, "the symbol is not on the list")
    if "cancel" in engine.info.capabilities:
        cancel = engine.cancel(resting.cl, sym="NO-SUCH-SYMBOL")
        expect_refused(engine, "D01.X5", CancelRejected, cancel, "the symbol is not on the list")
    expect_book(engine, "D01.X5", view.incoming, [(resting.cl, view.px(10_050), 10)], "the listed symbol is untouched")


@VIEWS
@pytest.mark.needs("multi_symbol")
@pytest.mark.clause("D01.X6")
def test_symbols_never_affect_one_another(engine: Driver, view: View) -> None:
    """Orders that would cross, in the first, second and last symbol: none trades with another symbol's."""
    last = len(engine.info.instruments.symbols) - 1
    symbols = list(dict.fromkeys((engine.symbol(0), engine.symbol(1), engine.symbol(last))))
    resting = {sym: [view.rest(engine, 10 + n, 10_050, sym=sym) for n in range(2)] for sym in symbols}
    for n, sym in enumerate(symbols):
        taker = engine.new(view.incoming, 1 + n, view.px(10_050), acct="A2", sym=sym)
        named = [(t.sym, t.resting, t.qty) for t in taker.trades]
        expect(engine, "D01.X6", [(sym, resting[sym][0].cl, 1 + n)], named, f"an order in {sym} trades in {sym}")
    for n, sym in enumerate(symbols):
        left = [(r.cl, view.px(10_050), 10 + m - (1 + n) * (m == 0)) for m, r in enumerate(resting[sym])]
        expect_book(engine, "D01.X6", view.incoming, left, f"the book of {sym} saw its own orders only", sym=sym)
        expect_book(engine, "D01.X6", view.resting, [], f"nothing else rests in {sym}", sym=sym)


@VIEWS
@pytest.mark.needs("multi_symbol")
@pytest.mark.clause("D01.X6")
def test_an_order_finds_nothing_in_other_symbols(engine: Driver, view: View) -> None:
    """Whichever symbol it is for, first, middle or last: only its own book counts, and the others' queues stay."""
    every = engine.info.instruments.symbols
    symbols = list(dict.fromkeys((every[0], every[len(every) // 2], every[-1])))
    for sym in symbols:
        engine.reset()
        others = {o: [view.rest(engine, 10 + n, 10_050, sym=o) for n in range(2)] for o in symbols if o != sym}
        own = view.rest(engine, 4, 10_050, sym=sym)
        taker = engine.new(view.incoming, 20, view.px(10_040), acct="A2", sym=sym)
        named = [(t.sym, t.resting, t.qty) for t in taker.trades]
        expect(engine, "D01.X6", [(sym, own.cl, 4)], named, f"{sym} has one order to trade with")
        for other, orders in others.items():
            left = [(r.cl, view.px(10_050), 10 + n) for n, r in enumerate(orders)]
            expect_book(engine, "D01.X6", view.incoming, left, f"the book of {other} is as it was", sym=other)


@VIEWS
@pytest.mark.needs("multi_symbol", "cancel")
@pytest.mark.clause("D01.X6")
def test_a_cancel_in_one_symbol_leaves_the_others_alone(engine: Driver, view: View) -> None:
    """Orders at the same price in two symbols; a cancel names both the order and its symbol."""
    here, there = engine.symbol(0), engine.symbol(1)
    orders = [view.rest(engine, 10, 10_050, sym=sym) for sym in (here, there, here, there)]
    expect(
        engine, "D01.X6", [Cancelled(orders[0].cl, 10, 0)], without_top(engine.cancel(orders[0].cl, sym=here)), "cancel"
    )
    elsewhere = engine.cancel(orders[1].cl, sym=here)
    expect_refused(engine, "D01.X6", CancelRejected, elsewhere, f"that order is in {there}")
    px = view.px(10_050)
    expect_book(engine, "D01.X6", view.incoming, [(orders[2].cl, px, 10)], f"left in {here}", sym=here)
    left = [(orders[1].cl, px, 10), (orders[3].cl, px, 10)]
    expect_book(engine, "D01.X6", view.incoming, left, f"left in {there}", sym=there)
