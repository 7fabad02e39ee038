"""Diagram 4 over FIX: cancels and their refusals, told under the right ids to the right party, and nothing to strangers."""

from __future__ import annotations

import pytest

from matchmark.conformance.fix.message import FixMessage
from matchmark.conformance.messages import Side
from matchmark.conformance.suites._trading import Floor, Party, Report, Teller, trading
from matchmark.conformance.venue import NotOffered, Venue

pytestmark = pytest.mark.needs("fix", "cancel")

SESSION_FIELDS = frozenset((8, 9, 10, 34, 49, 52, 56, 60))
IDS = frozenset((11, 41))


def refusal(order_id: str, request: str, orig: str, status: str, to: str = "1") -> Report:
    return {35: "9", 37: order_id, 11: request, 41: orig, 39: status, 434: to}


def expect_refusal(floor: Floor, party: Party, expected: Report, message: str) -> FixMessage:
    told = floor.expect("D04.X20", party, [expected], message)
    if not told[0].get(102):
        floor.violate("D04.X20", f"{party.account} {message}", ["CxlRejReason(102)"], [str(told[0])])
    return told[0]


def accepted(floor: Floor, party: Party, order: Teller) -> str:
    """The order's id."""
    return floor.expect("D01.8", party, [order.accepted()], "is told that its order rests")[0].need(37)


@pytest.mark.clause("D04.1", "D04.8", "D02.X21")
@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
@pytest.mark.parametrize("filled", [0, 30], ids=["whole", "part filled"])
def test_a_cancel_is_confirmed_under_both_ids(venue: Venue, side: Side, filled: int) -> None:
    """To the last field: the diagram's order of 100 at 100.50, and one of which 30 have traded; then nothing of it trades."""
    with trading(venue) as floor:
        owner, taker = floor.party(1), floor.party(2)
        order = Teller(floor, owner.new(side, 100, 10_050), side, 100, 10_050)
        order_id = accepted(floor, owner, order)
        if filled:
            taker.new(side.opposite, filled, 10_050)
            floor.expect("D02.8", owner, [order.fill(filled, 10_050)], "is told of its fill")
        taker.all()
        request = owner.cancel(order.cl)
        told = floor.expect("D04.1", owner, [order.ended(request)], "is told that its order is cancelled")
        if told[0].get(37) != order_id:
            floor.violate("D04.1", "the confirmation names the order", [f"37={order_id}"], [str(told[0])])
        late = Teller(floor, taker.new(side.opposite, 10, 10_050), side.opposite, 10, 10_050)
        floor.expect("D04.6", taker, [late.accepted()], "finds nothing of a cancelled order", taker.all())
        floor.expect_silence("D04.8", owner, "has been told once")


@pytest.mark.clause("D04.X20", "D04.X1", "D04.1")
@pytest.mark.parametrize("state", ["filled", "cancelled", "rejected", "never sent"])
def test_a_refused_cancel_tells_where_the_order_stands(venue: Venue, state: str) -> None:
    """The order's id and true status, for an order of one's own; NONE and rejected for what is none."""
    with trading(venue) as floor:
        owner, taker = floor.party(1), floor.party(2)
        order = Teller(floor, venue.new_cl(), Side.BUY, 10, 10_050)
        order_id, status = "NONE", "8"
        if state == "rejected":
            owner.new(Side.BUY, 0, 10_050, cl=order.cl)
        elif state != "never sent":
            owner.buy(10, 10_050, cl=order.cl)
            order_id = accepted(floor, owner, order)
        if state == "filled":
            taker.sell(10, 10_050)
            floor.expect("D02.8", owner, [order.fill(10, 10_050)], "is told of its fill")
            status = "2"
        elif state == "cancelled":
            floor.expect("D04.1", owner, [order.ended(owner.cancel(order.cl))], "is told that its order is cancelled")
            status = "4"
        floor.settle()
        owner.inbox.clear()
        expected = refusal(order_id, request := owner.cancel(order.cl), order.cl, status)
        expect_refusal(floor, owner, expected, f"is refused the cancel {request} of an order that is {state}")
        floor.expect_silence("D04.X1", owner, "has been told once")


@pytest.mark.needs("accounts")
@pytest.mark.clause("D04.X20", "D04.X2", "D04.2", "D01.X32")
@pytest.mark.parametrize("state", ["new", "part filled", "filled", "cancelled"])
@pytest.mark.parametrize("what", ["cancel", "replace"])
def test_a_stranger_s_request_is_refused_as_if_the_order_were_none(venue: Venue, state: str, what: str) -> None:
    """The refusal is the same as for an order that never was, but for the ids; the owner hears nothing and keeps the order."""
    if what == "replace" and "replace" not in venue.profile.info.capabilities:
        raise NotOffered("the target does not declare replace")
    with trading(venue) as floor:
        owner, taker, stranger = floor.party(1), floor.party(2), floor.party(3)
        order = Teller(floor, owner.buy(10, 10_050), Side.BUY, 10, 10_050)
        accepted(floor, owner, order)
        lots = {"part filled": 4, "filled": 10}.get(state, 0)
        if lots:
            taker.sell(lots, 10_050)
            floor.expect("D02.8", owner, [order.fill(lots, 10_050)], "is told of its fill")
        if state == "cancelled":
            floor.expect("D04.1", owner, [order.ended(owner.cancel(order.cl))], "is told that its order is cancelled")
        taker.all()
        refusals = []
        for orig in (order.cl, venue.new_cl()):
            request = stranger.cancel(orig) if what == "cancel" else stranger.replace(orig, 20, 10_050)
            expected = refusal("NONE", request, orig, "8", "1" if what == "cancel" else "2")
            m = expect_refusal(floor, stranger, expected, f"is refused to {what} what it has not sent")
            refusals.append([pair for pair in m.pairs if pair[0] not in SESSION_FIELDS | IDS])
        if refusals[0] != refusals[1]:
            message = "a stranger can tell an order that there is from one that never was"
            floor.violate("D04.X2", message, [str(refusals[1])], [str(refusals[0])])
        floor.expect_silence("D04.2", owner, "hears nothing of it")
        if state in ("new", "part filled"):
            taker.sell(10, 10_050)
            floor.expect("D04.2", owner, [order.fill(10 - lots, 10_050)], "still has its order")


@pytest.mark.needs("replace")
@pytest.mark.clause("D04.X20", "D04.X13", "D03.N3")
@pytest.mark.parametrize("state", ["filled", "cancelled", "never sent", "replaced"])
def test_a_refused_replace_tells_where_the_order_stands(venue: Venue, state: str) -> None:
    """A replaced order is no longer known by its old ClOrdID: which status that name has is open."""
    with trading(venue) as floor:
        owner, taker = floor.party(1), floor.party(2)
        order = Teller(floor, venue.new_cl(), Side.SELL, 10, 10_050)
        first, order_id, status = order.cl, "NONE", "8"
        if state != "never sent":
            owner.sell(10, 10_050, cl=order.cl)
            order_id = accepted(floor, owner, order)
        if state == "filled":
            taker.buy(10, 10_050)
            floor.expect("D02.8", owner, [order.fill(10, 10_050)], "is told of its fill")
            status = "2"
        elif state == "cancelled":
            floor.expect("D04.1", owner, [order.ended(owner.cancel(order.cl))], "is told that its order is cancelled")
            status = "4"
        elif state == "replaced":
            cl = owner.replace(order.cl, 20, 10_060)
            floor.expect("D03.N3", owner, [order.replaced(cl, 20, 10_060)], "is told of the replace")
        expected = refusal(order_id, owner.replace(first, 30, 10_070), first, status, "2")
        if state == "replaced":
            del expected[39]
        expect_refusal(floor, owner, expected, f"is refused to replace an order that is {state}")
        floor.expect_silence("D04.X13", owner, "has been told once")


@pytest.mark.needs("replace", "risk_checks", "validation")
@pytest.mark.clause("D04.X20", "D04.X13", "D01.3")
@pytest.mark.parametrize("filled", [0, 4], ids=["new", "part filled"])
@pytest.mark.parametrize("why", ["tick", "collar", "size", "quantity"])
def test_a_replace_that_a_check_refuses_leaves_the_order_as_it_is(venue: Venue, why: str, filled: int) -> None:
    """Also one that no engine saw is refused with the order's id and its true status; and the order trades on as it was."""
    if venue.limits is None or venue.limits.collar_bps is None or venue.limits.max_lots is None:
        raise NotOffered("the profile states no size limit or collar")
    limits, max_lots = venue.limits, venue.limits.max_lots
    with trading(venue, limits.fresh_symbol()) as floor:
        owner, taker = floor.party(1), floor.party(2)
        px = int((limits.reference_price or 0) / floor.on.tick_size)
        order = Teller(floor, owner.buy(10, px), Side.BUY, 10, px)
        order_id = accepted(floor, owner, order)
        if filled:
            taker.sell(filled, px)
            floor.expect("D02.8", owner, [order.fill(filled, px)], "is told of its fill")
        taker.all()
        lots, ticks = {
            "size": (max_lots + 1, px),
            "quantity": (-5, px),
            "collar": (20, px * 3),
            "tick": (20, px),
        }[why]
        cl, fields = owner.replacing(order.cl, lots, ticks)
        if why == "tick":
            fields = [(tag, f"{value}05" if tag == 44 else value) for tag, value in fields]
        owner.send("G", fields)
        told = owner.all()
        if any(m.get(150) == "5" for m in told):
            floor.violate("D04.X13", f"a replace is refused for its {why}", ["35=9"], [str(m) for m in told])
        if len(told) == 1 and told[0].type in "3j" and why in ("tick", "quantity"):
            pass  # a value that no field of that kind may have is a fault of the message
        else:
            expected = refusal(order_id, cl, order.cl, "1" if filled else "0", "2")
            floor.expect("D04.X20", owner, [expected], f"is refused a replace for its {why}", told)
        taker.sell(10, px, tif="ioc") if "ioc" in floor.has else taker.sell(10, px)
        floor.expect("D04.X13", owner, [order.fill(10 - filled, px)], "still has its order as it was")


@pytest.mark.needs("accounts", "mass_cancel")
@pytest.mark.clause("D04.X14", "D02.X21", "D01.X32")
@pytest.mark.parametrize("scope", ["symbol", "all"])
def test_a_mass_cancel_ends_the_account_s_orders_with_a_report_each(venue: Venue, scope: str) -> None:
    """Part filled ones too; those of another account and, if a symbol is named, in another symbol stay."""
    with trading(venue) as floor:
        owner, other = floor.party(1), floor.party(2)
        elsewhere = floor.also_trades(venue.fresh_symbol())
        mine = [Teller(floor, owner.buy(10, 10_000 + n), Side.BUY, 10, 10_000 + n) for n in range(5)]
        floor.expect("D01.8", owner, [o.accepted() for o in mine], "is told that its orders rest")
        away = Teller(floor, owner.buy(10, 10_000, on=elsewhere), Side.BUY, 10, 10_000, on=elsewhere)
        accepted(floor, owner, away)
        other.buy(7, 10_002)
        other.sell(3, 10_004)
        floor.expect("D02.8", owner, [mine[4].fill(3, 10_004)], "is told of a fill")
        other.all()
        floor.mass_cancel(owner, floor.on if scope == "symbol" else None)
        told = owner.all()
        ended = [*mine, away] if scope == "all" else mine
        got = sorted((m.get(11), m.get(39), m.get(14)) for m in told if m.type == "8")
        expected = sorted((o.cl, "4", floor.on.quantity(o.cum)) for o in ended)
        count = [m.get(533) for m in told if m.type == "r" and m.get(533) is not None]
        if got != expected or count not in ([], [str(len(ended))]):
            floor.violate(
                "D04.X14", f"a mass cancel of {scope}", [f"{len(ended)} ends: {expected}"], [str(m) for m in told]
            )
        floor.expect_silence("D04.X14", other, "hears nothing of another account's mass cancel")
