"""Diagram 1 over FIX: orders that a check must refuse, each with a reason of its own, and nothing else happens.

Around every refusal the same order within the limits is accepted, so that it is the limit which was judged.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from matchmark.conformance.fix import business
from matchmark.conformance.fix.message import Field, FixMessage
from matchmark.conformance.messages import Side
from matchmark.conformance.suites._trading import Floor, Party, Teller, trading
from matchmark.conformance.venue import Limits, NotOffered, Venue

pytestmark = pytest.mark.needs("fix", "limit", "validation")

SIDES = pytest.mark.parametrize("side", [Side.BUY, Side.SELL])


def limits_of(venue: Venue) -> Limits:
    limits = venue.limits
    if limits is None or limits.max_lots is None or limits.collar_bps is None or limits.reference_price is None:
        raise NotOffered("the profile states no size limit and collar")
    return limits


def reason(m: FixMessage) -> tuple[str | None, ...]:
    return m.get(103), m.get(58), m.get(373), m.get(371), m.get(380)


def is_refusal(m: FixMessage, cl: str, seq: str) -> bool:
    if m.type == "8":
        return (m.get(11), m.get(150), m.get(39)) == (cl, "8", "8") and (m.get(14), m.get(151)) == ("0", "0")
    return m.type in "3j" and m.get(45) == seq


def refused(floor: Floor, party: Party, clause: str, fields: list[Field], why: str) -> FixMessage:
    """Sends the order, which is refused once and with a reason."""
    cl = next(value for tag, value in fields if tag == 11)
    seq = party.send("D", fields).need(34)
    told = party.all()
    if len(told) != 1 or not is_refusal(told[0], cl, seq):
        floor.violate(
            clause, f"an order with {why} is refused", [f"35=8|11={cl}|150=8|39=8|14=0|151=0"], [str(m) for m in told]
        )
    if not any(reason(told[0])):
        floor.violate(clause, f"an order with {why} is refused with a reason", ["103 or 58"], [str(told[0])])
    return told[0]


def order(floor: Floor, party: Party, side: Side, lots: int, ticks: int) -> list[Field]:
    cl = floor.venue.new_cl()
    floor.sides[cl] = side
    return floor.with_account(party.account, business.new_order(floor.on, cl, side, lots, ticks))


def changed(fields: list[Field], tag: int, value: str | None) -> list[Field]:
    rest = [(t, v) for t, v in fields if t != tag]
    return rest if value is None else [*rest, (tag, value)]


def untouched(floor: Floor, owner: Party, taker: Party, resting: list[Teller]) -> None:
    """The orders that rested before still trade, in their order; then nothing is there."""
    for one in resting:
        px = int(Decimal(str(one.form[44])) / floor.on.tick_size)
        probe = taker.new(Side.SELL if one.fixed[54] == "1" else Side.BUY, one.lots, px)
        floor.expect("D01.X3", owner, [one.fill(one.lots, px)], "still has its order after the refusals")
        taker.all()
        assert probe


@pytest.mark.needs("risk_checks")
@pytest.mark.clause("D01.3")
@SIDES
def test_size_and_collar_each_have_their_reason(venue: Venue, side: Side) -> None:
    """One lot or one tick inside is accepted, one outside refused; neither book nor later orders notice."""
    limits = limits_of(venue)
    with trading(venue, limits.fresh_symbol()) as floor:
        owner, party = floor.party(1), floor.party(2)
        mid = int((limits.reference_price or 0) / floor.on.tick_size)
        collar = mid * (limits.collar_bps or 0) // 10_000
        most = limits.max_lots or 0
        rests = Teller(floor, owner.new(side.opposite, 5, mid), side.opposite, 5, mid)
        floor.expect("D01.8", owner, [rests.accepted()], "is told that its order rests")
        passive = mid - collar // 2 if side is Side.BUY else mid + collar // 2
        too_large = refused(floor, party, "D01.3", order(floor, party, side, most + 1, passive), "one lot too many")
        for px in (mid - collar - 2, mid + collar + 2):
            outside = refused(floor, party, "D01.3", order(floor, party, side, 1, px), "a price outside the collar")
        if reason(too_large) == reason(outside):
            floor.violate(
                "D01.3", "size and collar have reasons of their own", ["two reasons"], [str(too_large), str(outside)]
            )
        accepted = [(most, passive), (1, mid - collar + 2 if side is Side.BUY else mid + collar - 2)]
        orders = [Teller(floor, party.new(side, lots, px), side, lots, px) for lots, px in accepted]
        floor.expect(
            "D01.3", party, [o.accepted() for o in orders], "has orders within the limits accepted", party.all()
        )
        untouched(floor, owner, floor.party(3), [rests])


BAD: dict[str, Callable[[list[Field]], list[Field]]] = {
    "no price": lambda f: changed(f, 44, None),
    "price zero": lambda f: changed(f, 44, "0"),
    "price negative": lambda f: changed(f, 44, "-1"),
    "price no tick": lambda f: changed(f, 44, "100.0001"),
    "price no number": lambda f: changed(f, 44, "abc"),
    "no quantity": lambda f: changed(f, 38, None),
    "quantity zero": lambda f: changed(f, 38, "0"),
    "quantity negative": lambda f: changed(f, 38, "-5"),
    "quantity no whole lot": lambda f: changed(f, 38, "1.5"),
    "quantity no number": lambda f: changed(f, 38, "ten"),
    "no side": lambda f: changed(f, 54, None),
    "side of no order": lambda f: changed(f, 54, "Z"),
    "no order type": lambda f: changed(f, 40, None),
}


@pytest.mark.clause("D01.X3", "D01.X8")
@pytest.mark.parametrize("what", sorted(BAD))
def test_a_field_that_is_missing_or_out_of_range_is_refused(venue: Venue, what: str) -> None:
    """By a report, a BusinessMessageReject or a Reject, as FIX has it for that field; the session goes on, the book stays."""
    with trading(venue) as floor:
        owner, party, taker = floor.party(1), floor.party(2), floor.party(3)
        rests = [Teller(floor, owner.new(s, 10, px), s, 10, px) for s, px in ((Side.BUY, 10_000), (Side.SELL, 10_100))]
        floor.expect("D01.8", owner, [r.accepted() for r in rests], "is told that its orders rest")
        for side, px in ((Side.BUY, 10_200), (Side.SELL, 9_900)):  # either would trade if it were taken
            refused(floor, party, "D01.X3", BAD[what](order(floor, party, side, 10, px)), what)
        untouched(floor, owner, taker, rests)


@pytest.mark.needs("symbol_list")
@pytest.mark.clause("D01.X5")
def test_an_unknown_symbol_is_refused(venue: Venue) -> None:
    """And no market comes into being: two orders that would trade in it are both refused."""
    with trading(venue) as floor:
        a, b = floor.party(1), floor.party(2)
        for party, side in ((a, Side.BUY), (b, Side.SELL)):
            fields = changed(order(floor, party, side, 10, 10_000), 55, "NO-SUCH-SYMBOL")
            refused(floor, party, "D01.X5", fields, "an unknown symbol")


@pytest.mark.needs("accounts")
@pytest.mark.clause("D01.2")
def test_an_order_in_another_account_s_name_is_not_decided(venue: Venue) -> None:
    """It is refused, and nothing of it is in the book; the account that was named hears nothing."""
    with trading(venue) as floor:
        party, named, taker = floor.party(1), floor.party(2), floor.party(3)
        fields = changed(order(floor, party, Side.BUY, 10, 10_000), 1, named.account)
        refused(floor, party, "D01.2", fields, "the account of somebody else")
        sell = Teller(floor, taker.sell(10, 10_000), Side.SELL, 10, 10_000)
        floor.expect("D01.2", taker, [sell.accepted()], "finds nothing to trade with", taker.all())
        floor.expect_silence("D01.2", named, "hears nothing of an order that it did not send")


@pytest.mark.needs("duplicate_check")
@pytest.mark.clause("D01.X4")
@pytest.mark.parametrize("state", ["open", "filled", "cancelled"])
def test_a_clordid_that_was_used_is_refused(venue: Venue, state: str) -> None:
    """And what it named before is as it was."""
    with trading(venue) as floor:
        owner, taker = floor.party(1), floor.party(2)
        first = Teller(floor, owner.buy(10, 10_000), Side.BUY, 10, 10_000)
        floor.expect("D01.8", owner, [first.accepted()], "is told that its order rests")
        if state == "filled":
            taker.sell(10, 10_000)
            floor.expect("D02.8", owner, [first.fill(10, 10_000)], "is told of its fill")
        elif state == "cancelled":
            floor.expect("D04.1", owner, [first.ended(owner.cancel(first.cl))], "is told that its order is cancelled")
        taker.all()
        refused(
            floor, owner, "D01.X4", changed(order(floor, owner, Side.BUY, 7, 10_001), 11, first.cl), "a used ClOrdID"
        )
        sell = Teller(floor, taker.sell(20, 10_000), Side.SELL, 20, 10_000)
        expected = [sell.accepted(), *([sell.fill(10, 10_000)] if state == "open" else [])]
        floor.expect("D01.X4", taker, expected, "meets what there was before", taker.all())
