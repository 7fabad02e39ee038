"""Generated order flow: a hypothesis state machine that talks to a target, and at the end of each example judges it.

Drawing is what costs time here, so each command is one integer, taken apart by Choices (the simplest choice first, which
is where hypothesis shrinks to), and a rule draws a list of them. What a suite wants to see often is its Profile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from matchmark.conformance.checks import Finding, audit
from matchmark.conformance.checks.differential import differential
from matchmark.conformance.driver import Driver
from matchmark.conformance.messages import Cancel, Command, MassCancel, New, Replace, Status
from matchmark.conformance.suites._support import sweep
from matchmark.conformance.targets.base import TargetInfo
from matchmark.conformance.verdict import violation_type

STEPS = 6
"""Rules an example: with their batches 15 to 40 commands, enough for walks, queues and their aftermath."""
BATCH_MAX = 8
RECENT = 12
"""Cancels and replaces name one of the latest orders, so that they often find one alive."""
GHOST = "ghost"
UNLISTED = "NO-SUCH-SYMBOL"


class Choices:
    """Independent choices, packed into one integer below `size`; 0 is the first option of each."""

    def __init__(self, **options: Sequence[Any]) -> None:
        self.options = list(options.items())
        self.size = prod(len(values) for _, values in self.options)

    def take(self, n: int) -> dict[str, Any]:
        taken = {}
        for name, values in self.options:
            n, at = divmod(n, len(values))
            taken[name] = values[at]
        return taken

    def batches(self, most: int = BATCH_MAX) -> st.SearchStrategy[list[int]]:
        return st.lists(st.integers(0, self.size - 1), min_size=1, max_size=most)


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


class Flow(RuleBasedStateMachine):
    """Base of the machines that `machine_for` makes: sends commands, and judges the whole history at the end."""

    engine: Driver
    on_end: Callable[[], None]
    symbols: tuple[str, ...]
    middle_ticks: int

    def __init__(self) -> None:
        super().__init__()
        self.engine.reset()
        self.sent: list[tuple[str, str, str]] = [(GHOST, "A1", self.symbols[0])]
        self.touched: dict[str, None] = {}

    def send(self, command: Command) -> None:
        self.engine.submit(command)
        if isinstance(command, New):
            self.touched[command.sym] = None
        if isinstance(command, New | Replace) and command.sym != UNLISTED:
            self.sent.append((command.cl, command.acct, command.sym))

    def new(self, **fields: Any) -> None:
        self.send(New(cl=self.engine.fresh_cl(), **fields))

    def recent(self, back: int) -> tuple[str, str, str]:
        """ClOrdID, account and symbol of an order sent lately, the latest for 0."""
        return self.sent[-1 - back % min(len(self.sent), RECENT)]

    def teardown(self) -> None:
        history = self.engine.history
        if history.exchanges and history.exchanges[-1].failure is not None:
            return  # the target failed: the plugin has taken over
        for sym in self.touched:
            if sym in self.engine.info.instruments.symbols:
                sweep(self.engine, "sell", sym)
                sweep(self.engine, "buy", sym)
        self.on_end()
        judge(self.engine)


def judge(engine: Driver) -> None:
    """Audits the history; raises the violation of the first wrong exchange.

    Each clause has an exception type of its own, by which hypothesis tells bugs apart and shrinks each by itself. Other
    clauses that the same exchange broke are with it in `also`.
    """
    found = sorted(audit(engine.history, engine.info) + differential(engine.history, engine.info), key=_position)
    if not found:
        return
    here = {f.clause: f for f in reversed(found) if f.index == found[0].index}
    violation = violation_type(found[0].clause)(found[0], engine.history)
    violation.also = [f for clause, f in sorted(here.items()) if clause != found[0].clause]  # type: ignore[attr-defined]
    raise violation


def _position(finding: Finding) -> int:
    return finding.index


def run_property(
    profile: Profile, engine: Driver, settings: hypothesis.settings, on_end: Callable[[], None] = lambda: None
) -> None:
    """Tries generated examples on the target; `on_end` is called once for each."""
    settings = hypothesis.settings(settings, stateful_step_count=STEPS)
    run_state_machine_as_test(machine_for(profile, engine, on_end), settings=settings)  # type: ignore[no-untyped-call]


def middles(info: TargetInfo, span: int) -> list[int]:
    """Prices to trade round, the plainest first, then across 2^31 and 2^32, and the end of the scale."""
    highest = info.instruments.price_max_ticks - 2 * span
    wanted = [10_050, 2**31, 2**32, highest]
    return list(dict.fromkeys(px for px in wanted if 2 * span < px <= highest)) or [max(highest // 2, 1)]


def machine_for(profile: Profile, engine: Driver, on_end: Callable[[], None]) -> type[Flow]:
    """The state machine of a profile for a target, without what the target does not declare."""
    info = engine.info
    symbols = info.instruments.symbols[: profile.symbols if "multi_symbol" in info.capabilities else 1]
    accounts = tuple(f"A{n + 1}" for n in range(profile.accounts if "accounts" in info.capabilities else 1))
    common = {"side": ("buy", "sell"), "acct": accounts, "sym": symbols}
    rules: dict[str, Any] = {
        "begin": _begin(middles(info, profile.span_ticks)),
        "quote": _quote(profile, common),
        "build": _build(profile, common),
        "take": _take(profile, common, info),
    }
    if managers := possible(profile.managers, info):
        rules["manage"] = _manage(profile, common, managers, info)
    if abuses := possible(profile.abuses, info):
        rules["abuse"] = _abuse(profile, common, abuses, info)
    body = {"engine": engine, "on_end": staticmethod(on_end), "symbols": symbols, **rules}
    machine: type[Flow] = type(Flow)("FlowOfProfile", (Flow,), body)
    return machine


def _begin(prices: list[int]) -> Any:
    @initialize(middle=st.sampled_from(prices))
    def begin(self: Flow, middle: int) -> None:
        self.middle_ticks = middle

    return begin


def _away(side: str, ticks: int) -> int:
    """Signed distance from the middle of a price that is `ticks` on the passive side of it."""
    return -ticks if side == "buy" else ticks


def _quote(profile: Profile, common: dict[str, Any]) -> Any:
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


def _build(profile: Profile, common: dict[str, Any]) -> Any:
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

    @rule(card=st.integers(0, choices.size - 1))
    def build(self: Flow, card: int) -> None:
        c = choices.take(card)
        for n in range(c["levels"] * c["orders"]):
            away = 1 + n % c["levels"] * c["gap"]
            px = max(self.middle_ticks + _away(c["side"], away), 1)
            acct = accounts[n % len(accounts)]
            self.new(acct=acct, sym=c["sym"], side=c["side"], type="limit", px=px, qty=c["qty"] + n)

    return build


def _take(profile: Profile, common: dict[str, Any], info: TargetInfo) -> Any:
    """Orders that reach into the other side: how far, for how much, and what becomes of the rest."""
    far = max(profile.ladder_levels) * 3
    choices = Choices(
        **common,
        kind=possible(profile.takers, info) or ("limit",),
        reach=(1, 2, 3, profile.span_ticks, far, 0),
        qty=(*profile.taker_quantities, info.instruments.quantity_max_lots),
        smp=(None, None, *possible(profile.smp, info)) if possible(profile.smp, info) else (None,),
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


def _manage(profile: Profile, common: dict[str, Any], managers: tuple[str, ...], info: TargetInfo) -> Any:
    """Cancels, replaces, mass cancels and status requests of orders sent lately, by those who own them."""
    smp = possible(profile.smp, info)
    choices = Choices(
        what=managers,
        back=range(RECENT),
        away=(None, None, 1, 2, 0, -2),
        qty=(None, 1, 2, 4, 9, 30, 70),
        smp=(None, *smp),
        everywhere=(False, True),
    )

    @rule(cards=choices.batches(6))
    def manage(self: Flow, cards: list[int]) -> None:
        for card in cards:
            c = choices.take(card)
            orig, acct, sym = self.recent(c["back"])
            cl = self.engine.fresh_cl()
            if c["what"] == "replace":
                px = None if c["away"] is None else self.middle_ticks + c["away"]
                qty = c["qty"] if px is not None or c["qty"] is not None else 1
                self.send(Replace(cl, orig, acct, sym, px, qty, c["smp"]))
            elif c["what"] == "mass_cancel":
                self.send(MassCancel(cl, acct, None if c["everywhere"] else sym))
            elif c["what"] == "status":
                self.send(Status(cl, orig, acct, sym))
            else:
                self.send(Cancel(cl, orig, acct, sym))

    return manage


def _abuse(profile: Profile, common: dict[str, Any], abuses: tuple[str, ...], info: TargetInfo) -> Any:
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
