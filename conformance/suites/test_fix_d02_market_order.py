"""Diagram 2 over FIX: a market order, and what both sides are told of its executions."""

from __future__ import annotations

import pytest

from matchmark.conformance.fix import business
from matchmark.conformance.messages import Side
from matchmark.conformance.suites._support import VIEWS, View
from matchmark.conformance.suites._trading import Teller, trading
from matchmark.conformance.venue import Venue

pytestmark = pytest.mark.needs("fix", "market")


@VIEWS
@pytest.mark.clause("D02.8", "D02.X20", "D02.X21", "D02.1", "D01.X32")
def test_buyer_and_seller_are_told_of_the_diagram_s_trade(venue: Venue, view: View) -> None:
    """To the last field, and the order behind it is untouched."""
    with trading(venue) as floor:
        owner, taker, next_one = floor.party(1), floor.party(2), floor.party(3)
        resting = Teller(floor, owner.new(view.resting, 100, view.px(10_050)), view.resting, 100, view.px(10_050))
        floor.expect("D01.8", owner, [resting.accepted()], "is told that its order rests")
        behind = Teller(floor, next_one.new(view.resting, 100, view.px(10_049)), view.resting, 100, view.px(10_049))
        floor.expect("D01.8", next_one, [behind.accepted()], "is told that its order rests")
        market = Teller(floor, taker.new(view.incoming, 100), view.incoming, 100, None)
        sold = [market.accepted(), market.fill(100, view.px(10_050))]
        told = floor.expect("D02.8", taker, sold, "is told of the execution")
        other = floor.expect("D02.8", owner, [resting.fill(100, view.px(10_050))], "is told of the same execution")
        assert told[1].need(37) != other[0].need(37)
        floor.expect_silence("D01.X32", next_one, "has no part in the trade")
        floor.expect_silence("D02.X4", owner, "is filled and told so once")


@VIEWS
@pytest.mark.clause("D02.1")
@pytest.mark.parametrize("price", [None, 9_000, 12_000], ids=["no price", "low price", "high price"])
def test_a_market_order_needs_no_price_and_is_not_limited_by_one(venue: Venue, view: View, price: int | None) -> None:
    """One with a price may be refused, but never held to it."""
    with trading(venue) as floor:
        owner, taker = floor.party(1), floor.party(2)
        prices = [view.px(10_050), view.px(10_000)]
        resting = [Teller(floor, owner.new(view.resting, 10, px), view.resting, 10, px) for px in prices]
        floor.expect("D01.8", owner, [r.accepted() for r in resting], "is told that its orders rest")
        cl = venue.new_cl()
        fields = business.new_order(floor.on, cl, view.incoming, 20)
        fields += [] if price is None else [(44, floor.on.price(price))]
        floor.sides[cl] = view.incoming
        taker.send("D", floor.with_account(taker.account, fields))
        told = taker.all()
        refused = len(told) == 1 and (told[0].type in "3j" or told[0].get(150) == "8")
        if price is not None and refused:
            return
        market = Teller(floor, cl, view.incoming, 20, None)
        del market.form[40]
        expected = [market.accepted(), *[market.fill(10, px) for px in prices]]
        for report in expected:
            report.pop(44, None)
        floor.expect("D02.1", taker, expected, "sent a market order, which trades at any price", told)


@VIEWS
@pytest.mark.clause("D02.X2", "D02.X21", "D08.X20")
@pytest.mark.parametrize("lots", [0, 60], ids=["empty", "too little"])
def test_what_a_market_order_cannot_fill_is_cancelled(venue: Venue, view: View, lots: int) -> None:
    """Under its own ClOrdID; into an empty book it may be rejected instead (ruling R15)."""
    with trading(venue) as floor:
        owner, taker = floor.party(1), floor.party(2)
        if lots:
            resting = Teller(floor, owner.new(view.resting, lots, 10_050), view.resting, lots, 10_050)
            floor.expect("D01.8", owner, [resting.accepted()], "is told that its order rests")
        market = Teller(floor, taker.new(view.incoming, 100), view.incoming, 100, None)
        told = taker.all()
        if not lots and len(told) == 1 and told[0].get(150) == "8":
            return
        filled = [market.fill(lots, 10_050)] if lots else []
        accepted = Teller(floor, market.cl, view.incoming, 100, None).accepted()
        floor.expect("D02.X2", taker, [accepted, *filled, market.ended()], "has its remainder cancelled", told)


@pytest.mark.clause("D02.X20", "D02.X4", "D02.8")
def test_every_execution_has_two_reports_that_agree(venue: Venue) -> None:
    """Three sellers at three prices, three buyers that walk through them: each trade is told to both, with ids of its own."""
    with trading(venue) as floor:
        parties = [floor.party(n) for n in (1, 2, 3, 4)]
        orders: dict[str, Teller] = {}
        for n in range(9):
            px = 10_050 + n % 3
            cl = parties[n % 2].sell(7 + n, px)
            orders[cl] = Teller(floor, cl, Side.SELL, 7 + n, px)
        floor.settle()
        for n in range(6):
            parties[2 + n % 2].buy(11, None)
            floor.settle()
        fills = [m for p in parties for m in p.all() if m.get(150) == "F"]
        if len({m.need(17) for m in fills}) not in (len(fills), len(fills) // 2):
            floor.violate(
                "D02.X20", "execution ids are used more than once", ["a new id for each"], [m.need(17) for m in fills]
            )
        bought = sorted((m.need(31), m.need(32)) for m in fills if m.get(54) == "1")
        sold = sorted((m.need(31), m.need(32)) for m in fills if m.get(54) == "2")
        if bought != sold:
            floor.violate(
                "D02.X20",
                "the two sides were told of different trades",
                [f"{x}" for x in sold],
                [f"{x}" for x in bought],
            )
