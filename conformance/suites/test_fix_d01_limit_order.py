"""Diagram 1 over FIX: an order is decided as it was sent, once, in its turn, and only its parties hear of it."""

from __future__ import annotations

import itertools

import pytest

from matchmark.conformance.fix import business
from matchmark.conformance.fix.message import Field
from matchmark.conformance.messages import Side
from matchmark.conformance.suites._support import VIEWS, View
from matchmark.conformance.suites._trading import Party, Teller, trading
from matchmark.conformance.venue import Venue

pytestmark = pytest.mark.needs("fix", "limit")


@VIEWS
@pytest.mark.clause("D01.1", "D01.8", "D02.X21")
@pytest.mark.parametrize("size", ["one", "diagram", "odd", "many lots", "highest price"])
def test_an_order_is_decided_as_it_was_sent(venue: Venue, view: View, size: str) -> None:
    """Side, price, quantity, symbol and ClOrdID are the request's in the acknowledgement, and in the trade that follows."""
    limits = venue.profile.info.instruments
    lots, px = {
        "one": (1, 1),
        "diagram": (100, view.px(10_050)),
        "odd": (77_777, 123_457),
        "many lots": (limits.quantity_max_lots, 10_050),
        "highest price": (1, limits.price_max_ticks),
    }[size]
    with trading(venue) as floor:
        owner, taker = floor.party(1), floor.party(2)
        order = Teller(floor, owner.new(view.resting, lots, px), view.resting, lots, px)
        floor.expect("D01.1", owner, [order.accepted()], "is told of the order that it sent")
        other = Teller(floor, taker.new(view.incoming, lots, px), view.incoming, lots, px)
        floor.expect("D01.1", taker, [other.accepted(), other.fill(lots, px)], "trades what was offered")
        floor.expect("D01.1", owner, [order.fill(lots, px)], "trades what it offered")


LONG_ID = 20
"""Characters of a ClOrdID: as many as most exchanges take."""


@pytest.mark.clause("D01.1")
def test_a_long_clordid_comes_back_whole_or_its_order_is_refused(venue: Venue) -> None:
    with trading(venue) as floor:
        owner = floor.party(1)
        cl = owner.buy(10, 10_000, cl=venue.new_cl().ljust(LONG_ID, "x"))
        told = owner.told(1)
        if any(m.type == "8" and m.get(150) != "8" and m.get(11) != cl for m in told):
            floor.violate("D01.1", "a ClOrdID is the one that was sent", [f"11={cl}"], [str(m) for m in told])


@pytest.mark.clause("D01.X32", "D02.8")
def test_only_its_parties_are_told_of_an_order(venue: Venue) -> None:
    """Not the account with an order beside it, nor one with none; and no field tells one side who the other is."""
    with trading(venue) as floor:
        buyer, seller, beside, nobody = (floor.party(n) for n in (1, 2, 3, 4))
        bid = Teller(floor, buyer.buy(100, 10_050), Side.BUY, 100, 10_050)
        floor.expect("D01.8", buyer, [bid.accepted()], "is told that its order rests")
        ask = Teller(floor, beside.buy(50, 10_049), Side.BUY, 50, 10_049)
        floor.expect("D01.8", beside, [ask.accepted()], "is told that its order rests")
        sell = Teller(floor, seller.sell(60, 10_050), Side.SELL, 60, 10_050)
        floor.expect("D02.8", seller, [sell.accepted(), sell.fill(60, 10_050)], "is told of its trade")
        floor.expect("D02.8", buyer, [bid.fill(60, 10_050)], "is told of its trade")
        for party in (beside, nobody):
            floor.expect_silence("D01.X32", party, "has no part in the trade")


BURST = 500
"""Orders of each session before anything is read: more than a small queue or socket buffer takes at once."""


@pytest.mark.needs("market")
@pytest.mark.clause("D01.4", "D01.8", "D01.X8", "D01.X33", "D01.X32")
def test_orders_that_arrive_at_once_are_each_decided_once(venue: Venue) -> None:
    """Four sessions send as fast as they can and read nothing. Each order is acknowledged or refused with a reason, and one
    market order then finds exactly the lots of those that were acknowledged."""
    with trading(venue) as floor:
        parties = [floor.party(n) for n in (1, 2, 3, 4)]
        sent = {party.account: list[str]() for party in parties}
        for n in range(BURST):
            for k, party in enumerate(parties):
                sent[party.account].append(party.buy(1, 10_000 - (n * 7 + k) % 50))
        standing = 0
        for party in parties:
            told = party.all()
            answers = [m.get(11) for m in told]
            if sorted(map(str, answers)) != sorted(sent[party.account]):
                missing = set(sent[party.account]) - set(answers)
                more = [cl for cl, n in itertools.groupby(sorted(map(str, answers))) if len(list(n)) > 1]
                floor.violate(
                    "D01.4",
                    f"{BURST} orders of {party.account}",
                    ["one answer each"],
                    [f"none: {missing}", f"several: {more}"],
                )
            silent = [str(m) for m in told if m.get(150) == "8" and not (m.get(58) or m.get(103))]
            if silent:
                floor.violate("D01.4", "a refusal says why", ["58 or 103"], silent[:5])
            standing += sum(m.get(150) == "0" for m in told)
        taker = floor.party(5)
        order = Teller(floor, taker.sell(standing + 1), Side.SELL, standing + 1, None)
        told = taker.all()
        if not told or told[-1].get(14) != floor.on.quantity(standing):
            floor.violate(
                "D01.4", f"{standing} lots were acknowledged", [f"14={standing}"], [str(m) for m in told[-1:]]
            )
        assert order.cl == told[-1].get(11)


def pairs(party: Party, count: int) -> list[tuple[str, list[Field]]]:
    """Orders with their cancels right behind."""
    floor, messages = party.floor, list[tuple[str, list[Field]]]()
    for n in range(count):
        cl = floor.venue.new_cl()
        floor.sides[cl] = Side.BUY
        new = business.new_order(floor.on, cl, Side.BUY, 10 + n, 10_000 + n % 3)
        cancel = business.cancel(floor.on, floor.venue.new_cl(), cl, Side.BUY)
        messages += [("D", floor.with_account(party.account, new)), ("F", floor.with_account(party.account, cancel))]
    return messages


@pytest.mark.needs("cancel")
@pytest.mark.clause("D01.X33", "D04.1", "D01.4")
@pytest.mark.parametrize("cut", [None, 1, 7, 160, 1460], ids=["at once", "bytes", "sevens", "messages", "segments"])
def test_a_cancel_never_overtakes_its_order(venue: Venue, cut: int | None) -> None:
    """Orders and cancels of them right behind, in TCP segments that end anywhere, while another session trades."""
    with trading(venue) as floor:
        party, other = floor.party(1), floor.party(2)
        messages = pairs(party, 4 if cut == 1 else 25)
        for n in range(10):
            other.sell(5, 10_100 + n)
        names = party.send_cut(messages, cut)
        told = party.all()
        expected: list[dict[int, str | None]] = [
            {35: "8", 150: kind, 11: cl} for cl, kind in zip(names, itertools.cycle("04"))
        ]
        floor.expect("D01.X33", party, expected, "has each order accepted and then cancelled", told)
