"""Diagram 8 over FIX: an IOC order trades what it can, and its remainder is ended by a report that nobody asked for."""

from __future__ import annotations

import pytest

from matchmark.conformance.suites._support import VIEWS, View
from matchmark.conformance.suites._trading import Teller, trading
from matchmark.conformance.venue import Venue

pytestmark = pytest.mark.needs("fix", "limit", "ioc")

BIDS = ((100, 10_050), (200, 10_049))


@VIEWS
@pytest.mark.clause("D08.X20", "D08.4", "D08.6", "D02.X21", "D02.X20")
def test_the_diagram_s_ioc_is_told_of_two_fills_and_its_end(venue: Venue, view: View) -> None:
    """300 filled, 200 cancelled, under its own ClOrdID."""
    with trading(venue) as floor:
        owner, taker = floor.party(1), floor.party(2)
        resting = []
        for lots, px in BIDS:
            bid = Teller(floor, owner.new(view.resting, lots, view.px(px)), view.resting, lots, view.px(px))
            floor.expect("D01.8", owner, [bid.accepted()], "is told that its order rests")
            resting.append(bid)
        px = view.px(10_048)
        order = Teller(floor, taker.new(view.incoming, 500, px, tif="ioc"), view.incoming, 500, px, "ioc")
        expected = [order.accepted(), *[order.fill(lots, view.px(at)) for lots, at in BIDS], order.ended()]
        floor.expect(
            "D08.X20", taker, expected, "is told of two fills and that the other 200 are cancelled", taker.all()
        )
        fills = [bid.fill(lots, view.px(at)) for bid, (lots, at) in zip(resting, BIDS, strict=True)]
        floor.expect("D08.4", owner, fills, "is told of its two fills", owner.all())
        late = Teller(floor, owner.new(view.resting, 10, view.px(10_040)), view.resting, 10, view.px(10_040))
        floor.expect("D08.7", owner, [late.accepted()], "finds nothing of the IOC order", owner.all())


@VIEWS
@pytest.mark.clause("D08.X20", "D08.X1", "D08.X2", "D02.X21")
@pytest.mark.parametrize("lots", [1, 300, 301])
@pytest.mark.parametrize("limit", [10_051, 10_050, 10_049])
def test_the_end_of_an_ioc_says_what_was_filled(venue: Venue, view: View, lots: int, limit: int) -> None:
    """Nothing, a part, or all of it: then there is no report of an end."""
    with trading(venue) as floor:
        owner, taker = floor.party(1), floor.party(2)
        for size, px in BIDS:
            owner.new(view.resting, size, view.px(px))
        owner.all()
        px = view.px(limit)
        order = Teller(floor, taker.new(view.incoming, lots, px, tif="ioc"), view.incoming, lots, px, "ioc")
        expected, left = [order.accepted()], lots
        for size, at in BIDS:
            if left and at >= limit:
                expected.append(order.fill(min(left, size), view.px(at)))
                left -= min(left, size)
        expected += [order.ended()] if left else []
        floor.expect("D08.X20", taker, expected, f"has {lots - left} filled and {left} cancelled", taker.all())
