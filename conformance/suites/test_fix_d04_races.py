"""Diagram 4 over FIX with several sessions at once: cancels, replaces and trades race, and all parties agree who was first.

Who wins is the exchange's affair. That somebody does, that everyone is told the same, and that it could have come about by
deciding one request after another, is judged from all the sessions' streams.
"""

from __future__ import annotations

import threading

import pytest

from matchmark.conformance.fix import business
from matchmark.conformance.fix.message import Field
from matchmark.conformance.messages import Side, Tif
from matchmark.conformance.suites._trading import Floor, Party, trading
from matchmark.conformance.venue import Venue

pytestmark = pytest.mark.needs("fix", "limit", "ioc", "cancel", "accounts")

ORDERS = 24
Messages = list[tuple[str, list[Field]]]
FIRST = pytest.mark.parametrize("first", ["owner", "takers"])
RACE = ("D04.X21", "D04.X20", "D02.X20", "D02.X21", "D01.4", "D01.X33", "D01.X32")


def rest(owner: Party, lots: int, levels: int) -> list[str]:
    orders = [owner.buy(lots, 10_050 - n % levels) for n in range(ORDERS)]
    owner.all()
    return orders


def hits(party: Party, lots: int, count: int) -> Messages:
    """IOC sells that reach every level, to be sent at once."""
    messages: Messages = []
    for _ in range(count):
        cl = party.floor.venue.new_cl()
        party.floor.sides[cl] = Side.SELL
        fields = business.new_order(party.floor.on, cl, Side.SELL, lots, 10_040, tif=Tif.IOC)
        messages.append(("D", party.floor.with_account(party.account, fields)))
    return messages


def cancels(owner: Party, orders: list[str]) -> Messages:
    on, new_cl = owner.floor.on, owner.floor.venue.new_cl
    return [("F", owner.floor.with_account(owner.account, business.cancel(on, new_cl(), o, Side.BUY))) for o in orders]


def at_once(parties: list[tuple[Party, Messages]]) -> None:
    """Each party sends what it has in one piece, from a thread of its own, and reads its answers as they come."""
    ready = threading.Barrier(len(parties))

    def go(party: Party, messages: Messages) -> None:
        ready.wait()
        party.send_cut(messages, None)
        waits = 0
        while len(party.inbox) < len(messages) and waits < 40:
            before = len(party.inbox)
            party.gather(0.05)
            waits += len(party.inbox) == before

    threads = [threading.Thread(target=go, args=pair) for pair in parties]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def judged(floor: Floor) -> None:
    floor.settle()
    floor.judge()
    floor.explain()


@FIRST
@pytest.mark.clause(*RACE)
@pytest.mark.parametrize("levels", [1, 6])
def test_cancels_race_with_trades(venue: Venue, first: str, levels: int) -> None:
    """The owner cancels all its orders while two others sell into them: each order is filled, cancelled, or both in part."""
    with trading(venue) as floor:
        owner, a, b = floor.party(1), floor.party(2), floor.party(3)
        orders = rest(owner, 10, levels)
        sides = [(owner, cancels(owner, orders)), (a, hits(a, 7, 14)), (b, hits(b, 13, 10))]
        at_once(sides if first == "owner" else sides[::-1])
        judged(floor)


@FIRST
@pytest.mark.needs("replace")
@pytest.mark.clause(*RACE, "D03.N3")
def test_replaces_race_with_trades(venue: Venue, first: str) -> None:
    """The owner changes price and quantity while others sell: what was filled stays, what comes after is at the new price."""
    with trading(venue) as floor:
        owner, a, b = floor.party(1), floor.party(2), floor.party(3)
        orders = rest(owner, 10, 3)
        changes: Messages = []
        for n, order in enumerate(orders):
            _, fields = owner.replacing(order, (30, 12, 11)[n % 3], 10_050 + n % 4 - 2)
            changes.append(("G", fields))
        sides = [(owner, changes), (a, hits(a, 4, 20)), (b, hits(b, 9, 10))]
        at_once(sides if first == "owner" else sides[::-1])
        judged(floor)


@pytest.mark.needs("mass_cancel")
@pytest.mark.clause(*RACE, "D04.X14")
def test_a_mass_cancel_races_with_trades_and_new_orders(venue: Venue) -> None:
    """It ends what is there when its turn comes: not what was filled before, nor what comes after."""
    with trading(venue) as floor:
        owner, a, b = floor.party(1), floor.party(2), floor.party(3)
        rest(owner, 10, 3)
        more: Messages = []
        for n in range(12):
            cl = venue.new_cl()
            floor.sides[cl] = Side.BUY
            more.append(
                ("D", floor.with_account(owner.account, business.new_order(floor.on, cl, Side.BUY, 5, 10_045 + n % 4)))
            )
            if n == 5:
                more.append(("q", floor.with_account(owner.account, business.mass_cancel(venue.new_cl(), floor.on))))
        at_once([(a, hits(a, 8, 12)), (owner, more), (b, hits(b, 6, 12))])
        judged(floor)


@pytest.mark.clause(*RACE)
def test_two_cancels_of_one_order_have_one_winner(venue: Venue) -> None:
    """From two sessions of one account, or from one where an account has no more: one confirmation, one refusal."""
    with trading(venue) as floor:
        owner = floor.party(1)
        orders = rest(owner, 10, 4)
        owner.send_cut([m for order in orders for m in cancels(owner, [order, order])], None)
        told = owner.all()
        answers = [sum(m.get(41) == order and m.type == kind for m in told) for order in orders for kind in "89"]
        if set(answers) != {1}:
            floor.violate(
                "D04.X21", "two cancels of one order", ["one confirmation, one refusal"], [str(m) for m in told]
            )
        judged(floor)


@pytest.mark.clause(*RACE, "D01.X12", "D04.X5")
def test_everybody_trades_with_everybody(venue: Venue) -> None:
    """Five accounts quote, take and cancel in one book at the same time, on one thread each."""
    with trading(venue) as floor:
        parties = [floor.party(n) for n in range(1, 6)]
        sends: list[tuple[Party, Messages]] = []
        for k, party in enumerate(parties):
            messages: Messages = []
            mine: list[str] = []
            for n in range(20):
                cl, side = venue.new_cl(), (Side.BUY, Side.SELL)[(n + k) % 2]
                floor.sides[cl] = side
                px = 10_050 + (n * 3 + k * 5) % 7 - 3
                fields = business.new_order(floor.on, cl, side, 1 + (n * 7 + k) % 9, px)
                messages.append(("D", floor.with_account(party.account, fields)))
                mine.append(cl)
                if n % 3 == 2:
                    old = mine[n - 2]
                    cancel = business.cancel(floor.on, venue.new_cl(), old, floor.sides[old])
                    messages.append(("F", floor.with_account(party.account, cancel)))
            sends.append((party, messages))
        at_once(sends)
        judged(floor)
