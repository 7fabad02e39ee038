"""Diagram 7 over FIX: a market order walks through price levels; what it cost can be computed from its reports alone."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from matchmark.conformance.fix.message import FixMessage
from matchmark.conformance.suites._support import VIEWS, View
from matchmark.conformance.suites._trading import Floor, Party, Teller, trading
from matchmark.conformance.venue import Venue

pytestmark = pytest.mark.needs("fix", "limit", "market")

BIDS = ((100, 10_050), (300, 10_049), (200, 10_048), (400, 10_047))


def walk(floor: Floor, view: View) -> tuple[Party, list[FixMessage]]:
    """The diagram's market order against the diagram's book, with all that its sender is told."""
    owners, taker = [floor.party(1), floor.party(2)], floor.party(3)
    resting = []
    for n, (lots, px) in enumerate(BIDS):
        owner = owners[n % 2]
        bid = Teller(floor, owner.new(view.resting, lots, view.px(px)), view.resting, lots, view.px(px))
        floor.expect("D01.8", owner, [bid.accepted()], "is told that its order rests")
        resting.append(bid)
    order = Teller(floor, taker.new(view.incoming, 1000), view.incoming, 1000, None)
    expected = [order.accepted(), *[order.fill(lots, view.px(px)) for lots, px in BIDS]]
    told = floor.expect("D07.7", taker, expected, "is told of four executions, level by level")
    for n, (lots, px) in enumerate(BIDS):
        floor.expect("D07.7", owners[n % 2], [resting[n].fill(lots, view.px(px))], "is told of its fill")
    return taker, told


@VIEWS
@pytest.mark.clause("D07.7", "D07.X20", "D07.N1", "D07.8", "D02.X20", "D02.X21")
def test_the_diagram_s_walk_is_told_to_the_last_field(venue: Venue, view: View) -> None:
    """Filled by 1000 at an average of 100.481 (ruling R2), worth 100,481.00, and nothing comes behind it."""
    with trading(venue) as floor:
        taker, told = walk(floor, view)
        average = Fraction(floor.on.tick_size) * sum(lots * view.px(px) for lots, px in BIDS) / 1000
        if Fraction(Decimal(told[-1].need(6))) != average:
            floor.violate("D07.X20", "AvgPx of the whole walk", [f"6={float(average)}"], [f"6={told[-1].get(6)}"])
        floor.expect_silence("D07.N1", taker, "is filled: no later order and no further report is needed")


@VIEWS
@pytest.mark.clause("D07.N2")
def test_the_slippage_can_be_computed_from_the_reports(venue: Venue, view: View) -> None:
    """0.019 a share against the best price before the order."""
    with trading(venue) as floor:
        _, told = walk(floor, view)
        fills = [m for m in told if m.get(150) == "F"]
        best = Decimal(fills[0].need(31))
        by_average = abs(best - Decimal(told[-1].need(6)))
        worth = sum((Decimal(m.need(31)) * Decimal(m.need(32)) for m in fills), Decimal())
        by_fills = abs(best - worth / sum((Decimal(m.need(32)) for m in fills), Decimal()))
        expected = Decimal("1.9") * floor.on.tick_size
        if by_average != expected or by_fills != expected:
            found = [f"{by_average} by AvgPx", f"{by_fills} by the executions"]
            floor.violate("D07.N2", "slippage a share against the best price", [str(expected)], found)


@pytest.mark.clause("D07.N1", "D02.X21")
@pytest.mark.parametrize("lots", [1, 999, 1000, 1001, 5000])
def test_a_market_order_is_finished_when_it_is_answered(venue: Venue, lots: int) -> None:
    """Filled or cancelled; a later order on the other side finds nothing of it."""
    view = VIEWS.args[1][0]
    with trading(venue) as floor:
        owner, taker, late = floor.party(1), floor.party(2), floor.party(3)
        for size, px in BIDS:
            owner.new(view.resting, size, view.px(px))
        owner.all()
        taker.new(view.incoming, lots)
        told = taker.all()
        last = told[-1] if told else None
        if last is None or last.get(39) not in ("2", "4", "8") or Decimal(last.need(151)) != 0:
            floor.violate(
                "D07.N1", f"a market order for {lots} is finished", ["39=2 or 39=4, 151=0"], [str(m) for m in told]
            )
        order = Teller(floor, late.new(view.resting, 10, view.px(9_000)), view.resting, 10, view.px(9_000))
        floor.expect("D07.N1", late, [order.accepted()], "finds nothing of the market order", late.all())


THIRDS = ((7, 10_013), (6, 10_009), (4, 10_007), (1, 10_001), (1, 10_001), (1, 10_000))


@VIEWS
@pytest.mark.clause("D07.X20")
def test_every_average_on_the_way_is_exact(venue: Venue, view: View) -> None:
    """Of both sides: quotients that do not end are rounded to the decimals that the profile states, and only the quotient is."""
    with trading(venue) as floor:
        owner, taker = floor.party(1), floor.party(2)
        for lots, px in THIRDS:
            owner.new(view.resting, lots, view.px(px))
        owner.all()
        taker.new(view.incoming, 20)
        fills = [m for m in taker.all() if m.get(150) == "F"]
        lots_done, worth = Fraction(0), Fraction(0)
        for m in fills:
            lots_done += Fraction(m.need(32))
            worth += Fraction(m.need(31)) * Fraction(m.need(32))
            off = abs(Fraction(m.need(6)) - worth / lots_done)
            if off * 2 * 10**floor.average_decimals > 1:
                exact = f"{float(worth / lots_done):.{floor.average_decimals}f}"
                floor.violate("D07.X20", "the average so far", [f"6={exact}"], [str(m)])
        if len(fills) != len(THIRDS):
            floor.violate("D07.7", "one execution for each match", [str(len(THIRDS))], [str(m) for m in fills])
