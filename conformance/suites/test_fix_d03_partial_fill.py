"""Diagram 3 over FIX: a large order walks the book, rests with its remainder, and goes on trading as the same order."""

from __future__ import annotations

import pytest

from matchmark.conformance.messages import Side
from matchmark.conformance.suites._support import VIEWS, View
from matchmark.conformance.suites._trading import Floor, Party, Teller, trading
from matchmark.conformance.venue import Venue

pytestmark = pytest.mark.needs("fix", "limit")

BIDS = ((100, 10_050), (200, 10_049), (150, 10_049))
"""The diagram's book, in lots and ticks, best first."""


def diagram_book(floor: Floor, view: View, owners: list[Party]) -> list[Teller]:
    """One order of each owner, in turn."""
    resting = []
    for n, (lots, px) in enumerate(BIDS):
        owner = owners[n % len(owners)]
        order = Teller(floor, owner.new(view.resting, lots, view.px(px)), view.resting, lots, view.px(px))
        floor.expect("D01.8", owner, [order.accepted()], "is told that its order rests")
        resting.append(order)
    return resting


@VIEWS
@pytest.mark.clause("D03.10", "D03.8", "D02.X20", "D02.X21", "D07.X20")
def test_the_diagram_s_order_is_told_of_three_fills_and_what_is_left(venue: Venue, view: View) -> None:
    """450 of 500 (ruling R1); each bidder of their own fill, and nobody of anything else."""
    with trading(venue) as floor:
        owners, taker = [floor.party(1), floor.party(2), floor.party(3)], floor.party(4)
        resting = diagram_book(floor, view, owners)
        order = Teller(floor, taker.new(view.incoming, 500, view.px(10_048)), view.incoming, 500, view.px(10_048))
        expected = [order.accepted(), *[order.fill(lots, view.px(px)) for lots, px in BIDS]]
        told = floor.expect("D03.10", taker, expected, "is told of the walk: 450 filled, 50 left, partially filled")
        for owner, bid, (lots, px), mine in zip(owners, resting, BIDS, told[1:], strict=True):
            theirs = floor.expect("D03.8", owner, [bid.fill(lots, view.px(px))], "is told of its fill")
            if (theirs[0].get(31), theirs[0].get(32)) != (mine.get(31), mine.get(32)):
                floor.violate(
                    "D02.X20", "the two sides of an execution were told different things", [str(mine)], [str(theirs[0])]
                )
        for party in (taker, *owners):
            floor.expect_silence("D03.8", party, "has been told of everything")


@VIEWS
@pytest.mark.clause("D03.N3", "D02.X21", "D07.X20")
@pytest.mark.parametrize("away", ["stays", "reconnects"])
def test_the_remainder_trades_later_as_the_same_order(venue: Venue, view: View, away: str) -> None:
    """In two parts, with another session than before, in one case after its owner logged off and on again."""
    with trading(venue) as floor:
        seller = floor.join(venue.accounts[3], venue.new_session(venue.accounts[3]))
        diagram_book(floor, view, [floor.party(1), floor.party(2)])
        px = view.px(10_048)
        order = Teller(floor, seller.new(view.incoming, 500, px), view.incoming, 500, px)
        first = [order.accepted(), *[order.fill(lots, view.px(at)) for lots, at in BIDS]]
        ids = {m.get(37) for m in floor.expect("D03.10", seller, first, "is told of the walk")}
        if away == "reconnects":
            seller.client.logout()
            seller.client.logon()
        late = floor.party(3)
        for lots in (20, 30):
            buy = Teller(floor, late.new(view.resting, lots, view.px(10_049)), view.resting, lots, view.px(10_049))
            floor.expect("D03.6", late, [buy.accepted(), buy.fill(lots, px)], "trades with what was left")
            later = floor.expect("D03.N3", seller, [order.fill(lots, px)], "is told that more of its order has traded")
            ids |= {m.get(37) for m in later}
        if len(ids) != 1:
            floor.violate("D03.N3", "one order has several order ids", ["one"], [str(i) for i in ids])


@pytest.mark.needs("replace", "cancel")
@pytest.mark.clause("D03.N3", "D02.X21", "D07.X20")
def test_an_order_is_one_order_through_fills_and_replaces(venue: Venue) -> None:
    """Two replaces between three fills, then a cancel: one order id, a chain of ClOrdIDs, cum carried on."""
    with trading(venue) as floor:
        owner, taker = floor.party(1), floor.party(2)
        order = Teller(floor, owner.buy(100, 10_050), Side.BUY, 100, 10_050)
        ids = [m.get(37) for m in floor.expect("D01.8", owner, [order.accepted()], "is told that its order rests")]

        def hit(lots: int, px: int) -> None:
            taker.sell(lots, px, tif="ioc")
            told = floor.expect("D03.N3", owner, [order.fill(lots, px)], "is told of a fill of the same order")
            ids.append(told[0].get(37))

        hit(10, 10_050)
        for lots, px in ((200, 10_051), (150, 10_040)):
            cl = owner.replace(order.cl, lots, px)
            told = floor.expect("D03.N3", owner, [order.replaced(cl, lots, px)], "is told of the replace")
            ids.append(told[0].get(37))
            hit(20, px)
        cl = owner.cancel(order.cl)
        ids += [m.get(37) for m in floor.expect("D03.N3", owner, [order.ended(cl)], "is told of the cancel, 50 filled")]
        if len(set(ids)) != 1:
            floor.violate("D03.N3", "one order has several order ids", ["one"], [str(i) for i in ids])


LADDER = ((40, 10_050), (30, 10_049), (50, 10_047), (60, 10_040))


@VIEWS
@pytest.mark.clause("D03.N1")
@pytest.mark.parametrize("lots", [39, 41, 120, 200])
@pytest.mark.parametrize("limit", [10_051, 10_050, 10_048, 10_047, 1])
def test_a_walk_ends_when_it_is_filled_or_at_its_limit(venue: Venue, view: View, lots: int, limit: int) -> None:
    """And for no other reason: every level within the limit is taken while the order has quantity, and none beyond."""
    with trading(venue) as floor:
        owner, taker = floor.party(1), floor.party(2)
        for size, px in LADDER:
            owner.new(view.resting, size, view.px(px))
        owner.all()
        order = Teller(floor, taker.new(view.incoming, lots, view.px(limit)), view.incoming, lots, view.px(limit))
        expected, left = [order.accepted()], lots
        for size, px in LADDER:
            if left and px >= limit:
                taken = min(left, size)
                expected.append(order.fill(taken, view.px(px)))
                left -= taken
        told = taker.all()
        floor.expect(
            "D03.N1", taker, expected, "walks the book as far as quantity and limit allow, and no further", told
        )
