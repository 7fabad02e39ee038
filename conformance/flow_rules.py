"""What generated order flow is made of: the rules of the state machine in strategies.py, and how they draw.

Drawing is what takes time, so each command is one integer, taken apart by Choices (the simplest choice first, which is
where hypothesis shrinks to), and a rule draws a list of them. What a suite wants to see often is its Profile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from matchmark.conformance.messages import Cancel, Command, MassCancel, New, Replace, Status
from matchmark.conformance.targets.base import TargetInfo

if TYPE_CHECKING:
    from matchmark.conformance.strategies import Flow

BATCH_MAX = 8
RECENT = 8
"""Cancels and replaces name one of the latest orders, so that they often find one alive."""
QUANTITY_MAX_UNITS = 500
"""No profile asks for more in one order."""
GHOST = "ghost"
UNLISTED = "NO-SUCH-SYMBOL"
SLACK = 64
"""Hypothesis draws small integers of a range far more often than large ones. With a range so many times larger than there
are combinations this leaves what is left of the integer unused, and each choice about even."""


class Choices:
    """Independent choices, packed into one integer; 0 is the first option of each, and `size` combinations repeat."""

    def __init__(self, **options: Sequence[Any]) -> None:
        self.options = list(options.items())
        self.size = prod(len(values) for _, values in self.options)

    def take(self, n: int) -> dict[str, Any]:
        taken = {}
        for name, values in self.options:
            n, at = divmod(n, len(values))
            taken[name] = values[at]
        return taken

    def one(self) -> st.SearchStrategy[int]:
        return st.integers(0, SLACK * self.size - 1)

    def batches(self, most: int = BATCH_MAX) -> st.SearchStrategy[list[int]]:
        return st.lists(self.one(), min_size=1, max_size=most)


@dataclass(frozen=True)
class Profile:
    """What a suite's examples are made of. Optional parts are left out for targets that do not declare them."""

    takers: tuple[str, ...] = ("limit",)
    """Incoming orders, by frequency: limit, ioc, market."""
    ladder_levels: tuple[int, ...] = (1, 2, 3)
    ladder_orders: tuple[int, ...] = (1, 2, 3)
    span_ticks: int = 4
    """Orders rest within so many ticks of the middle."""
    quantities: tuple[int, ...] = (1, 2, 3, 5, 8, 10, 20, 50)
    taker_quantities: tuple[int, ...] = (1, 3, 5, 10, 25, 60, 200)
    managers: tuple[str, ...] = ()
    """Requests about earlier orders, by frequency: cancel, replace, mass_cancel, status."""
    meddling: int = 1
    """How many rules of all make such a request in the middle of an order's life, on purpose."""
    abuses: tuple[str, ...] = ()
    """quantity, price, duplicate, symbol, ghost, stranger, elsewhere, replace_badly."""
    smp: tuple[str, ...] = ()
    accounts: int = 2
    symbols: int = 1


NEEDS = {
    "ioc": {"ioc"},
    "market": {"market"},
    "cancel": {"cancel"},
    "replace": {"replace"},
    "mass_cancel": {"mass_cancel"},
    "status": {"order_status"},
    "quantity": {"validation"},
    "price": {"validation"},
    "duplicate": {"duplicate_check"},
    "symbol": {"symbol_list"},
    "ghost": {"cancel"},
    "stranger": {"cancel", "accounts"},
    "elsewhere": {"cancel", "multi_symbol"},
    "replace_badly": {"replace"},
    "cancel_newest": {"smp_cancel_newest", "accounts"},
    "cancel_oldest": {"smp_cancel_oldest", "accounts"},
}
"""The capabilities without which a target is not sent such commands."""


def possible(names: Sequence[str], info: TargetInfo) -> tuple[str, ...]:
    return tuple(name for name in names if NEEDS.get(name, set()) <= info.capabilities)


def begin_rule(prices: list[int], quantity_max_lots: int) -> Any:
    """Where an example trades and in what units. All its orders share the unit: a huge order among tiny ones would only
    make an engine that gives its liquidity away answer for ever."""
    units = (1, 1, 1, max(quantity_max_lots // QUANTITY_MAX_UNITS, 1))

    @initialize(middle=st.sampled_from(prices), unit=st.sampled_from(units))
    def begin(self: Flow, middle: int, unit: int) -> None:
        self.middle_ticks, self.unit_lots = middle, unit

    return begin


def _away(side: str, ticks: int) -> int:
    """Signed distance from the middle of a price that is `ticks` on the passive side of it."""
    return -ticks if side == "buy" else ticks


def quote_rule(profile: Profile, common: dict[str, Any]) -> Any:
    """Day limit orders round the middle; those with a distance of 0 or less meet each other."""
    away = (1, *range(2, profile.span_ticks + 1), 0, -1)
    choices = Choices(**common, away=away, qty=profile.quantities)

    @rule(cards=choices.batches())
    def quote(self: Flow, cards: list[int]) -> None:
        for card in cards:
            c = choices.take(card)
            px = self.middle_ticks + _away(c["side"], c.pop("away"))
            self.new(type="limit", px=px, **c)

    return quote


def build_rule(profile: Profile, common: dict[str, Any]) -> Any:
    """Many levels with a queue in each, from one draw."""
    choices = Choices(
        side=common["side"],
        sym=common["sym"],
        levels=profile.ladder_levels,
        orders=profile.ladder_orders,
        gap=(1, 1, 3),
        qty=profile.quantities,
    )
    accounts = common["acct"]

    @rule(card=choices.one())
    def build(self: Flow, card: int) -> None:
        c = choices.take(card)
        for n in range(c["levels"] * c["orders"]):
            away = 1 + n % c["levels"] * c["gap"]
            px = max(self.middle_ticks + _away(c["side"], away), 1)
            acct = accounts[n % len(accounts)]
            self.new(acct=acct, sym=c["sym"], side=c["side"], type="limit", px=px, qty=c["qty"] + n)

    return build


def take_rule(profile: Profile, common: dict[str, Any], info: TargetInfo) -> Any:
    """Orders that reach into the other side: how far, for how much, and what becomes of the rest."""
    far = max(profile.ladder_levels) * 3
    choices = Choices(
        **common,
        kind=possible(profile.takers, info) or ("limit",),
        reach=(1, 2, 3, profile.span_ticks, far, 0),
        qty=profile.taker_quantities,
        smp=(None, *possible(profile.smp, info)),
    )

    @rule(cards=choices.batches(4))
    def take(self: Flow, cards: list[int]) -> None:
        for card in cards:
            c = choices.take(card)
            kind, reach = c.pop("kind"), c.pop("reach")
            px = max(self.middle_ticks - _away(c["side"], reach), 1)
            if kind == "market":
                self.new(type="market", **c)
            else:
                self.new(type="limit", px=px, tif="ioc" if kind == "ioc" else "day", **c)

    return take


def _requests(profile: Profile, info: TargetInfo) -> dict[str, Sequence[Any]]:
    """The choices of a request about an earlier order."""
    return {
        "what": possible(profile.managers, info),
        "away": (None, None, 1, -4, 0, 4, -8, 2),
        "qty": (None, 1, 2, 4, 9, 30, 70),
        "smp": (None, *possible(profile.smp, info)),
        "everywhere": (False, True),
    }


def _request(flow: Flow, orig: str, acct: str, sym: str, c: dict[str, Any]) -> Command:
    """A cancel, replace, mass cancel or status request by the order's owner."""
    cl = flow.engine.fresh_cl()
    if c["what"] == "replace":
        px = None if c["away"] is None else max(flow.middle_ticks + c["away"], 1)
        qty = c["qty"] if px is not None or c["qty"] is not None else 1
        return Replace(cl, orig, acct, sym, px, None if qty is None else qty * flow.unit_lots, c["smp"])
    if c["what"] == "mass_cancel":
        return MassCancel(cl, acct, None if c["everywhere"] else sym)
    return Status(cl, orig, acct, sym) if c["what"] == "status" else Cancel(cl, orig, acct, sym)


def manage_rule(profile: Profile, info: TargetInfo) -> Any:
    """Requests about orders sent lately."""
    choices = Choices(**_requests(profile, info), back=range(RECENT))

    @rule(cards=choices.batches(6))
    def manage(self: Flow, cards: list[int]) -> None:
        for card in cards:
            c = choices.take(card)
            self.send(_request(self, *self.recent(c["back"]), c))

    return manage


def meddle_rule(profile: Profile, common: dict[str, Any], info: TargetInfo) -> Any:
    """A request in the middle of an order's life: two orders queue at one price, something is on the other side for a
    replace to meet, a third order trades with a part of the first or more, and then comes the request about the first.
    By chance alone this is rare."""
    choices = Choices(
        **{**_requests(profile, info), **common},
        lots=(9, 20, 50),
        taken=(4, 1, 0, 12),
        rests_away=(1, 2, 3),
    )
    accounts = common["acct"]

    @rule(card=choices.one())
    def meddle(self: Flow, card: int) -> None:
        c = choices.take(card)
        side, acct, sym, lots = c["side"], c["acct"], c["sym"], c["lots"]
        px = self.middle_ticks + _away(side, c["rests_away"])
        other = accounts[(accounts.index(acct) + 1) % len(accounts)]
        self.new(acct=acct, sym=sym, side=side, type="limit", px=px, qty=lots)
        first = self.sent[-1]
        self.new(acct=other, sym=sym, side=side, type="limit", px=px, qty=7)
        opposite = "sell" if side == "buy" else "buy"
        self.new(acct=other, sym=sym, side=opposite, type="limit", px=self.middle_ticks + _away(opposite, 3), qty=6)
        if c["taken"]:
            self.new(acct=other, sym=sym, side=opposite, type="limit", px=px, qty=c["taken"])
        self.send(_request(self, *first, c))

    return meddle


def abuse_rule(profile: Profile, common: dict[str, Any], abuses: tuple[str, ...], info: TargetInfo) -> Any:
    """Commands that must be refused and change nothing."""
    limits = info.instruments
    choices = Choices(
        **common,
        what=abuses,
        back=range(RECENT),
        bad_qty=(0, -1, limits.quantity_max_lots + 1, -(2**31)),
        bad_px=(0, -1, limits.price_max_ticks + 1, None),
    )

    @rule(cards=choices.batches(3))
    def abuse(self: Flow, cards: list[int]) -> None:
        for card in cards:
            self.send(_refusable(self, choices.take(card), accounts=common["acct"]))

    return abuse


def _refusable(flow: Flow, c: dict[str, Any], accounts: tuple[str, ...]) -> New | Cancel | Replace:
    what, cl = c["what"], flow.engine.fresh_cl()
    side, px = c["side"], flow.middle_ticks
    orig, acct, sym = flow.recent(c["back"])
    if what == "quantity":
        return New(cl, c["acct"], c["sym"], side, "limit", c["bad_qty"], px)
    if what == "price":
        return New(cl, c["acct"], c["sym"], side, "limit", 10, c["bad_px"])
    if what == "symbol":
        return New(cl, c["acct"], UNLISTED, side, "limit", 10, px)
    if what == "duplicate":
        return New(orig, c["acct"], c["sym"], side, "limit", 10, px)
    if what == "replace_badly":
        if "validation" not in flow.engine.info.capabilities:
            return Replace(cl, GHOST, acct, sym, px)
        bad_qty = c["bad_qty"] if c["bad_px"] is None else None
        return Replace(cl, orig, acct, sym, c["bad_px"], bad_qty)
    if what == "ghost":
        return Cancel(cl, GHOST, acct, sym)
    if what == "stranger":
        stranger = accounts[(accounts.index(acct) + 1) % len(accounts)] if acct in accounts else acct
        return Cancel(cl, orig, stranger, sym)
    return Cancel(cl, orig, acct, c["sym"])
