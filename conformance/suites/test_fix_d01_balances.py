"""Diagrams 1, 2 and 4 over FIX: cash and positions are reserved by orders, paid by fills and given back by cancels, to the unit.

A test says what the account has free; `prove` then finds out by orders that cost exactly that, and one unit more.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import hypothesis
import pytest
from hypothesis import Phase, given
from hypothesis import strategies as st

from matchmark.conformance.flow_rules import Choices
from matchmark.conformance.messages import Side
from matchmark.conformance.plugin import Examples
from matchmark.conformance.suites._purse import Open, Purse, keep, limits_of, purse
from matchmark.conformance.suites._trading import Floor, Party, trading
from matchmark.conformance.venue import Venue

pytestmark = pytest.mark.needs("fix", "limit", "cancel", "ioc", "balances")

SIDES = pytest.mark.parametrize("side", [Side.BUY, Side.SELL])


@contextmanager
def account(venue: Venue) -> Iterator[tuple[Floor, Purse, Party]]:
    """The floor, an account of which everything is known, and somebody to trade with."""
    limits = limits_of(venue)
    with trading(venue, limits.fresh_symbol()) as floor:
        p = purse(venue, floor, limits)
        other = floor.party(1)
        yield floor, p, other
        p.cancel_all()
    keep(venue, p)


@pytest.mark.clause("D01.3", "D01.X39")
def test_an_order_reserves_exactly_what_it_could_cost(venue: Venue) -> None:
    """Cash for a buy, lots for a sell: all of it can be used and not a unit more, and a cancel gives all of it back."""
    with account(venue) as (_, p, _other):
        p.prove("D01.3")
        half = p.cash // 2 // p.mid
        p.send("D01.3", Side.BUY, half, p.mid)
        p.send("D01.3", Side.SELL, p.lots // 3, p.mid + p.reach)
        p.prove("D01.X39")


@SIDES
@pytest.mark.clause("D04.N1", "D01.X39")
@pytest.mark.parametrize("filled", [0, 30])
def test_a_cancel_gives_back_what_was_reserved_once(venue: Venue, side: Side, filled: int) -> None:
    """Of the leaves alone; a second cancel of the same order gives nothing back, nor does one of an order that is filled."""
    with account(venue) as (_, p, other):
        cl = p.send("D01.3", side, 100, p.mid)
        assert cl is not None
        if filled:
            other.new(side.opposite, filled, p.mid, tif="ioc")
            other.all()
        for _ in range(2):
            p.party.cancel(cl)
            p.hear()
        p.prove("D04.N1")


@SIDES
@pytest.mark.clause("D01.X39", "D04.N1")
@pytest.mark.parametrize("way", ["passive", "better price", "ioc remainder"])
def test_a_fill_pays_what_was_traded_and_frees_the_rest(venue: Venue, side: Side, way: str) -> None:
    """At the resting order's price: a buy that pays less than its limit has the difference back, a sell has what it got."""
    with account(venue) as (_, p, other):
        step = 5 if side is Side.BUY else -5
        if way == "passive":
            p.send("D01.3", side, 100, p.mid)
            other.new(side.opposite, 100, p.mid)
        else:
            other.new(side.opposite, 60, p.mid)
            other.all()
            p.send("D01.3", side, 100 if way == "ioc remainder" else 60, p.mid + step, "ioc")
        other.all()
        p.hear()
        if p.orders:
            p.floor.violate("D01.X39", "the order is finished", ["filled or cancelled"], [str(p.orders)])
        p.prove("D01.X39")


@pytest.mark.needs("replace")
@pytest.mark.clause("D01.X39", "D04.X13")
def test_a_replace_reserves_the_difference(venue: Venue) -> None:
    """More for a higher price or quantity, if there is more; less at once when it is cut. A refused one changes nothing."""
    with account(venue) as (floor, p, other):
        cl = p.send("D01.3", Side.BUY, 100, p.mid)
        assert cl is not None
        other.sell(20, p.mid, tif="ioc")
        other.all()
        p.hear()
        for lots, px in ((200, p.mid + 10), (50, p.mid - 10), (50, p.mid + 20), (80, p.mid + 20)):
            new = p.party.replace(cl, lots, px)
            told = p.hear()
            if new not in p.orders:
                floor.violate("D01.X39", "there is cash for the replace", [f"150=5|11={new}"], [str(m) for m in told])
            cl = new
            p.prove("D01.X39")
        free = p.cash // p.mid
        p.party.replace(cl, 80 + free + 1, p.mid + 20)
        told = p.hear()
        if [m.type for m in told] != ["9"]:
            floor.violate("D01.X39", "there is no cash for the replace", ["35=9"], [str(m) for m in told])
        p.prove("D01.X39")


@pytest.mark.needs("market", "risk_checks")
@pytest.mark.clause("D02.2", "D01.X39")
@SIDES
def test_a_market_order_is_held_to_size_and_balance(venue: Venue, side: Side) -> None:
    """One that could not be paid at what stands in the book, or is too large, is refused and trades nothing; one that can be is
    paid at the prices that it got."""
    limits = limits_of(venue)
    with account(venue) as (_, p, other):
        px = p.mid + p.reach // 5 if side is Side.BUY else p.mid - p.reach // 5
        other.new(side.opposite, p.most, px)
        other.all()
        if side is Side.BUY:  # leave what pays for less than 1,000 lots at that price
            used = (p.cash - 1000 * px) // (p.mid - p.reach)
            while used > 0:
                p.send("D01.3", Side.BUY, min(used, p.most), p.mid - p.reach)
                used -= p.most
        too_many = [1001 if side is Side.BUY else p.lots + 1] + ([limits.max_lots + 1] if limits.max_lots else [])
        for lots in too_many:
            cl = p.party.new(side, lots)
            p.expect("D02.2", cl, False, p.hear(), f"market {side} {lots}")
        cl = p.party.new(side, 50)
        p.orders[cl] = Open(side, 50, px)  # all of it trades at that price
        p.cash -= 50 * px if side is Side.BUY else 0
        p.lots -= 50 if side is Side.SELL else 0
        p.expect("D02.2", cl, True, p.hear(), f"market {side} 50")
        other.all()
        p.prove("D02.2")


@pytest.mark.clause("D01.X39", "D01.3", "D04.N1")
def test_two_sessions_cannot_use_the_same_cash(venue: Venue) -> None:
    """Orders of 40% of the cash each, sent at once on two sessions of the account: two are accepted, whichever they are."""
    with account(venue) as (floor, p, _other):
        second = floor.join(p.account.name, venue.new_session(p.account.name))
        lots = p.cash * 2 // 5 // p.mid
        size = min(lots, p.most)
        while p.cash - size * p.mid * 5 // 2 > p.mid * 10:  # so much that an order of the largest size is 40%
            p.send("D01.3", Side.BUY, min((p.cash - size * p.mid * 5 // 2) // p.mid, p.most), p.mid)
        before = p.cash
        sent = [(who, who.buy(size, p.mid)) for _ in range(4) for who in (p.party, second)]
        told = [m for who in (p.party, second) for m in who.all()]
        accepted = {m.get(11) for m in told if m.get(150) == "0"} & {cl for _, cl in sent}
        if len(accepted) != 2:
            floor.violate(
                "D01.X39",
                f"{before} pays for two orders of {size} at {p.mid}",
                ["two accepted"],
                [str(m) for m in told],
            )
        for who, cl in sent:
            if cl in accepted:
                who.cancel(cl)
        floor.settle()
        p.party.inbox.clear()
        p.prove("D04.N1")


CHOICES = Choices(
    what=("buy", "sell", "cancel", "hit", "offer", "replace", "ioc"),
    lots=(10, 1, 700, 2500, 4000, 90),
    away=(0, 1, -1, 5, -5),
    back=range(3),
)
EXAMPLES_MAX = 12


def act(p: Purse, other: Party, c: dict[str, object]) -> None:
    lots, px = int(str(c["lots"])), p.mid + int(str(c["away"]))
    mine = list(p.orders)[-3:]
    order = mine[int(str(c["back"])) % len(mine)] if mine else None
    what = str(c["what"])
    if what in ("buy", "sell", "ioc"):
        p.send("D01.X39", Side.SELL if what == "sell" else Side.BUY, lots, px, "ioc" if what == "ioc" else "day")
    elif what == "offer":
        other.sell(lots // 2 + 1, px)
    elif order is None:
        other.buy(lots // 2 + 1, px)
    elif what == "hit":
        held = p.orders[order]
        other.new(Side.SELL if held.side == Side.BUY else Side.BUY, held.lots // 2 + 1, held.px, tif="ioc")
    elif what == "replace" and "replace" in p.floor.has:
        p.party.replace(order, lots + 5000, px)
    else:
        p.party.cancel(order)
    other.all()
    p.hear()


@pytest.mark.clause("D01.X39", "D01.3", "D04.N1")
def test_balances_follow_any_flow_of_orders(
    venue: Venue, examples: Examples, property_settings: hypothesis.settings
) -> None:
    """Buys, sells, fills at the limit or better, cancels, replaces: what is accepted can be paid, and the end is exact."""
    most = min(property_settings.max_examples, EXAMPLES_MAX)

    @hypothesis.settings(property_settings, max_examples=most, phases=(Phase.generate,))
    @given(cards=st.lists(CHOICES.one(), min_size=8, max_size=16))
    def run(cards: list[int]) -> None:
        with account(venue) as (_, p, other):
            for card in cards:
                act(p, other, CHOICES.take(card))
            p.prove("D01.X39")
            p.cancel_all()
            p.prove("D04.N1")
        examples.add()

    run()
