"""Generated order flow: a hypothesis state machine that talks to a target, and at the end of each example judges it.

Its rules are made in flow_rules.py, from the Profile of a suite and the capabilities of the target.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable
from typing import Any

import hypothesis
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from matchmark.conformance.checks import Finding, audit
from matchmark.conformance.checks.differential import differential
from matchmark.conformance.driver import Driver
from matchmark.conformance.flow_rules import (
    GHOST,
    RECENT,
    UNLISTED,
    Profile,
    abuse_rule,
    begin_rule,
    build_rule,
    manage_rule,
    meddle_rule,
    possible,
    quote_rule,
    take_rule,
)
from matchmark.conformance.messages import Command, New, Replace, Replaced, Trade
from matchmark.conformance.suites._support import sweep
from matchmark.conformance.targets.base import TargetInfo
from matchmark.conformance.verdict import violation_type

__all__ = ["Flow", "Profile", "judge", "machine_for", "run_property"]

STEPS = 6
"""Rules an example: with what each sends 12 to 40 commands, enough for walks, queues and their aftermath."""


class Flow(RuleBasedStateMachine):
    """Base of the machines that `machine_for` makes: sends commands, and judges the whole history at the end."""

    engine: Driver
    on_end: Callable[[], None]
    symbols: tuple[str, ...]
    middle_ticks: int
    unit_lots: int

    def __init__(self) -> None:
        super().__init__()
        self.engine.reset()
        self.sent: list[tuple[str, str, str]] = [(GHOST, "A1", self.symbols[0])]
        self.touched: dict[str, None] = {}
        self.filled: dict[str, int] = {}
        self.total: dict[str, int] = {}

    def send(self, command: Command) -> None:
        if isinstance(command, Replace):
            command = self.above_cum(command)
        for event in self.engine.submit(command):
            if isinstance(event, Trade):
                for cl in (event.resting, event.incoming):
                    self.filled[cl] = self.filled.get(cl, 0) + event.qty
            elif isinstance(event, Replaced):
                self.filled[event.cl] = self.filled.get(event.orig, 0)
                self.total[event.cl] = event.leaves + event.cum
        if isinstance(command, New):
            self.touched[command.sym] = None
            self.total[command.cl] = command.qty
        if isinstance(command, Replace) or (isinstance(command, New) and self.may_be_resting(command)):
            self.sent.append((command.cl, command.acct, command.sym))

    def above_cum(self, command: Replace) -> Replace:
        """What a quantity that is executed already does to an order is each venue's own rule, judged only if declared."""
        filled, total = self.filled.get(command.orig, 0), self.total.get(command.orig, 0)
        if "replace_above_cum" in self.engine.info.capabilities or command.new_qty is None:
            return command
        qty = command.new_qty + filled if command.new_qty <= filled else command.new_qty
        return dataclasses.replace(command, new_qty=qty + (qty == total))  # nor what a change to the same quantity does

    def may_be_resting(self, command: New) -> bool:
        """Others are named by requests now and then: those that are over, for sure."""
        rests = command.type == "limit" and command.tif == "day"
        return command.sym != UNLISTED and (rests or len(self.sent) % 4 == 0)

    def new(self, **fields: Any) -> None:
        fields["qty"] *= self.unit_lots
        self.send(New(cl=self.engine.fresh_cl(), **fields))

    def recent(self, back: int) -> tuple[str, str, str]:
        """ClOrdID, account and symbol of an order sent lately, the latest for 0; of none, while there is none."""
        return self.sent[-1 - back % max(min(len(self.sent) - 1, RECENT), 1)]

    def teardown(self) -> None:
        history = self.engine.history
        if history.exchanges and history.exchanges[-1].failure is not None:
            return  # the target failed: the plugin has taken over
        for sym in self.touched:
            if sym in self.engine.info.instruments.symbols:
                sweep(self.engine, "sell", sym)
                sweep(self.engine, "buy", sym)
        self.on_end()
        self.engine.settle()
        judge(self.engine)


def judge(engine: Driver) -> None:
    """Audits the history; raises the violation of the first wrong exchange.

    Each clause has an exception type of its own, by which hypothesis tells bugs apart and shrinks each by itself. Other
    clauses that the same exchange broke are with it in `also`.
    """
    found = sorted(audit(engine.history, engine.info) + differential(engine.history, engine.info), key=_position)
    if not found:
        return
    first = found[0]
    violation = violation_type(first.clause)(first, engine.history)
    others = {f.clause: f for f in found if f.index == first.index and f.clause != first.clause}
    violation.also = [violation_type(clause)(f, engine.history) for clause, f in sorted(others.items())]
    raise violation


def _position(finding: Finding) -> int:
    return finding.index


def run_property(
    profile: Profile, engine: Driver, settings: hypothesis.settings, on_end: Callable[[], None] = lambda: None
) -> None:
    """Tries generated examples on the target; `on_end` is called once for each."""
    settings = hypothesis.settings(settings, stateful_step_count=STEPS)
    run_state_machine_as_test(machine_for(profile, engine, on_end), settings=settings)


def middles(info: TargetInfo, span: int) -> list[int]:
    """Prices to trade round, the plainest first, then across 2^31 and 2^32, and the end of the scale."""
    highest = info.instruments.price_max_ticks - 2 * span
    wanted = [10_050, 2**31, 2**32, highest]
    return list(dict.fromkeys(px for px in wanted if 2 * span < px <= highest)) or [max(highest // 2, 1)]


def _reach_ticks(profile: Profile) -> int:
    """How far from the middle its orders go, ladders with gaps and takers included: good prices must stay good."""
    return max(profile.span_ticks, 3 * max(profile.ladder_levels))


def machine_for(profile: Profile, engine: Driver, on_end: Callable[[], None]) -> type[Flow]:
    """The state machine of a profile for a target, without what the target does not declare."""
    info = engine.info
    symbols = _symbols(info, profile.symbols if "multi_symbol" in info.capabilities else 1)
    accounts = tuple(f"A{n + 1}" for n in range(profile.accounts if "accounts" in info.capabilities else 1))
    common = {"side": ("buy", "sell"), "acct": accounts, "sym": symbols}
    rules: dict[str, Any] = {
        "begin": begin_rule(middles(info, _reach_ticks(profile)), info.instruments.quantity_max_lots),
        "quote": quote_rule(profile, common),
        "build": build_rule(profile, common),
        "take": take_rule(profile, common, info),
    }
    if possible(profile.managers, info):
        rules["manage"] = manage_rule(profile, info)
        rules |= {f"meddle_{n}": meddle_rule(profile, common, info) for n in range(profile.meddling)}
    if abuses := possible(profile.abuses, info):
        rules["abuse"] = abuse_rule(profile, common, abuses, info)
    body = {"engine": engine, "on_end": staticmethod(on_end), "symbols": symbols, **rules}
    return types.new_class("FlowOfProfile", (Flow,), exec_body=lambda namespace: namespace.update(body))


def _symbols(info: TargetInfo, count: int) -> tuple[str, ...]:
    """The first ones and the last: where a table of books is most likely to be one short."""
    symbols = info.instruments.symbols
    return symbols if len(symbols) <= count else (*symbols[: max(count - 1, 1)], *symbols[-1:][: count - 1])
