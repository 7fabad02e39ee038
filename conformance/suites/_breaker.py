"""What the circuit breaker's suites have in common: a lab whose breaker watches fresh symbols, its traders, clock and operator.

A trade is an order and its counterpart from two accounts, each waited for. What the sessions are told of a symbol's state are
SecurityStatus messages (35=f); which value of SecurityTradingStatus stands for what says the profile.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import NoReturn

from matchmark.conformance.checks.audit_ledger import Breach
from matchmark.conformance.fix import business
from matchmark.conformance.fix.business import Instrument
from matchmark.conformance.fix.client import FixClient, NoAnswer
from matchmark.conformance.fix.message import FixMessage
from matchmark.conformance.hooks import HookFailed, run_hook
from matchmark.conformance.lab import Lab
from matchmark.conformance.lab_fixtures import violate
from matchmark.conformance.targets.profile_breaker import TICKS, BreakerProfile, breaker_of
from matchmark.conformance.trading_messages import Trading

MARGIN_S = 0.5
"""Beyond an interval: how late a check, or what it leads to, may come to us on a busy machine and still be of that interval."""
PATIENCE_S = 5.0
BULK = 1_000_000
"""Lots beside which a single one does not move the average by a tick."""


@dataclass
class Trader:
    """One session, and what it was told of states, in order."""

    account: str
    client: FixClient
    told: list[tuple[str, Trading, FixMessage]]


class Market:
    """A started lab. `maker` and `taker` trade, `watcher` only listens."""

    def __init__(self, lab: Lab, clause: str) -> None:
        self.lab, self.clause = lab, clause
        self.rules: BreakerProfile = breaker_of(lab.profile.tables["breaker"])
        self._symbols = itertools.count(1)
        self._cl = itertools.count(1)
        if not lab.ready:
            lab.start()
        self.maker, self.taker, self.watcher = (self.trader(n) for n in range(3))

    def trader(self, n: int) -> Trader:
        account = self.lab.accounts[n]
        return Trader(account, self.lab.client(account), [])

    def again(self) -> None:
        """The same traders after the exchange was started again; what they had been told stays told."""
        for trader in (self.maker, self.taker, self.watcher):
            trader.client = self.lab.client(trader.account)

    def symbol(self) -> Instrument:
        """One that nobody has traded."""
        n, table = next(self._symbols), self.lab.profile.tables.get("instruments", {})
        assert n <= self.rules.symbol_count, "more symbols than the profile has"
        tick, lot = Decimal(str(table.get("tick_size", "0.01"))), int(table.get("lot_size", 1))
        return Instrument(
            self.rules.symbols.replace("{n}", str(n)), tick, lot, self.lab.entry.get("price_decimals")
        )  # fmt: skip

    # --- orders ---

    def order(
        self,
        who: Trader,
        at: Instrument,
        side: str,
        lots: int,
        ticks: int | None,
        tif: str = "day",
        wait: bool = True,
    ) -> str:
        cl = f"{who.account}.{next(self._cl)}"
        who.client.send("D", business.new_order(at, cl, side, lots, ticks, tif=tif, account=who.account))
        if wait:
            self.answer(who, cl)
        return cl

    def answer(self, who: Trader, cl: str, timeout_s: float = PATIENCE_S) -> FixMessage:
        """The next report that names the request; states that are told meanwhile are kept."""
        try:
            return who.client.expect(lambda m: m.type in "893j" and m.get(11) == cl, timeout_s)
        except NoAnswer:
            self.fail(f"{cl} of {who.account} has no answer", about=(cl,))

    def filled(self, who: Trader, cl: str) -> FixMessage:
        try:
            return who.client.expect(lambda m: m.type == "8" and m.get(11) == cl and m.get(150) == "F", PATIENCE_S)
        except NoAnswer:
            self.fail(f"{cl} of {who.account} should have traded", about=(cl,))

    def trade(self, at: Instrument, ticks: int, lots: int = 1) -> None:
        """Two orders that meet."""
        self.trade_between(self.maker, self.taker, at, ticks, lots)

    def trade_between(self, buyer: Trader, seller: Trader, at: Instrument, ticks: int, lots: int = 1) -> None:
        resting = self.order(buyer, at, "buy", lots, ticks)
        incoming = self.order(seller, at, "sell", lots, ticks)
        self.filled(seller, incoming)
        self.filled(buyer, resting)

    def average(self, at: Instrument, ticks: int = TICKS) -> None:
        """So many lots at a price that it is the average, whatever single lots are traded at later."""
        self.trade(at, ticks, BULK)

    def cancel(self, who: Trader, at: Instrument, orig: str, side: str) -> FixMessage:
        cl = f"{who.account}.{next(self._cl)}"
        who.client.send("F", business.cancel(at, cl, orig, side, account=who.account))
        return self.answer(who, cl)

    def status(self, who: Trader, at: Instrument, cl: str, side: str) -> FixMessage:
        who.client.send("H", business.status(at, cl, side, account=who.account))
        try:
            return who.client.expect(lambda m: m.type == "8" and m.get(11) == cl and m.get(150) == "I", PATIENCE_S)
        except NoAnswer:
            self.fail(f"{who.account} asked for the state of {cl} and was told nothing", about=(cl,))

    # --- time ---

    def advance(self, seconds: float, jump: float = 0.0) -> None:
        """Time passes for the breaker, or (jump) somebody sets the wall clock."""
        time.sleep(0.02)  # what was traded before is of before
        places = {**self.lab.instance.places, "advance": str(seconds), "jump": str(jump), "pid": "0"}
        run_hook("clock", self.lab.instance.hooks, places)

    def checks_pass(self) -> None:
        """At least one check has seen everything up to now, and what it led to has been told."""
        time.sleep(2 * self.rules.interval_s + MARGIN_S)

    # --- what is told ---

    def hear(self, who: Trader) -> list[tuple[str, Trading, FixMessage]]:
        """All that the session was told of states so far."""
        who.client.keep_alive()
        while True:
            try:
                message = who.client.expect("f", 0.0)
            except NoAnswer:
                return who.told
            who.told.append((message.get(55) or "", self.state_in(message), message))

    def state_in(self, m: FixMessage) -> Trading:
        value = m.get(326)
        if value == self.rules.halt:
            return Trading.HALTED
        return Trading.OPEN if value in self.rules.open else Trading.WARNED

    def states(self, who: Trader, at: Instrument) -> list[Trading]:
        return [state for symbol, state, _ in self.hear(who) if symbol == at.symbol]

    def expect_state(self, at: Instrument, state: Trading, who: Trader | None = None, what: str = "") -> FixMessage:
        """Waits until the session is told; the message. Else the clause is broken."""
        who = who or self.watcher
        until = time.monotonic() + PATIENCE_S
        while not (now := self.states(who, at)) or now[-1] is not state:
            if time.monotonic() > until:
                self.fail(
                    f"{what or 'the symbol should be ' + state}: {who.account} was not told",
                    (f"35=f 55={at.symbol} {state}",), tuple(map(str, now)) or ("nothing",),
                )  # fmt: skip
            time.sleep(0.01)
        return next(m for symbol, _, m in reversed(who.told) if symbol == at.symbol)

    def expect_nothing(self, at: Instrument, what: str, before: Iterable[Trading] = ()) -> None:
        """After a check, the state is what it was."""
        self.checks_pass()
        due, now = list(before), self.states(self.watcher, at)
        if now != due:
            self.fail(what, tuple(map(str, due)) or ("nothing is told",), tuple(map(str, now)))

    # --- operators ---

    def operator(self, command: str, at: str, token: str | None = None, reason: str = "") -> str | None:
        """What the command printed; None when it was refused."""
        token = self.operator_token() if token is None else token
        places = {
            **self.lab.instance.places, "command": command, "symbol": at, "token": token, "reason": reason,
            "admin": str(self.lab.ready.get("admin", "")), "pid": str(self.lab.ready.get("pid", 0)),
        }  # fmt: skip
        try:
            return run_hook("operator", self.lab.instance.hooks, places)
        except HookFailed:
            return None

    def operator_token(self) -> str:
        return self.lab.instance.token("operator", 600, "operator")

    def resume(self, at: Instrument) -> None:
        if self.operator("resume", at.symbol, reason="reviewed") is None:
            self.fail(f"an operator's resume of {at.symbol}, which is halted, was refused")

    def halt(self, at: Instrument) -> None:
        """By a fall, as nobody's decision."""
        self.average(at)
        self.trade(at, self.beyond_halt)
        self.expect_state(at, Trading.HALTED)

    # --- prices ---

    @property
    def at_warning(self) -> int:
        """The ticks of a last price that is clearly at level 1, where the average is TICKS."""
        return TICKS - TICKS * (self.rules.warn_bps + self.rules.halt_bps) // 20_000

    @property
    def beyond_halt(self) -> int:
        return TICKS - TICKS * (self.rules.halt_bps + 240) // 10_000

    # --- verdicts ---

    def fail(
        self, text: str, expected: Iterable[str] = (), actual: Iterable[str] = (), about: Iterable[str] = ()
    ) -> NoReturn:
        violate(self.lab, Breach(self.clause, text, tuple(expected), tuple(actual), frozenset(about)))
