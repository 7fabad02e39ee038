"""Random commands, good and bad, at few prices: what the checks themselves, adapters and whole engines are tried on.

Property tests of targets use hypothesis (strategies.py), which shrinks what it finds; this is for volume, by a seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from matchmark.conformance.history import Exchange, History
from matchmark.conformance.messages import Cancel, Command, Event, MassCancel, New, Replace, Reset, Status

SYMBOLS = ("S0", "S1", "S2")
BAD_QUANTITIES = (0, -1, 2**31, 2**64)
BAD_PRICES = (0, -5, None, 2**53)


class FlowMaker:
    """Random commands at few prices, good and bad, that a target with these capabilities may be asked."""

    def __init__(self, rng: random.Random, has: frozenset[str]) -> None:
        self.rng, self.has = rng, has
        self.accounts = ("A1", "A2", "A3") if "accounts" in has else ("A1",)
        self.symbols = SYMBOLS[:2] if "multi_symbol" in has else SYMBOLS[:1]
        self.smps = [s for s in ("cancel_newest", "cancel_oldest") if {f"smp_{s}", "accounts"} <= has]
        self.base = rng.choice((100, 100, 2**40))
        self.sent = [("c0", "A1", "S0")]

    def flow(self, count: int) -> list[Command]:
        return [self.command(f"c{n}") for n in range(1, count + 1)]

    def often(self, share: float, *capabilities: str) -> bool:
        return self.rng.random() < share and set(capabilities) <= self.has

    def smp(self) -> str | None:
        return self.rng.choice(self.smps) if self.smps and self.often(0.25) else None

    def px(self) -> int:
        return self.base + self.rng.randrange(-4, 5)

    def command(self, cl: str) -> Command:
        if self.rng.random() < 0.7:
            return self.remember(self.new(cl))
        orig, acct, sym = self.rng.choice(self.sent[-12:])
        acct = self.rng.choice(self.accounts) if self.often(0.15, "accounts") else acct
        sym = self.rng.choice(self.symbols) if self.often(0.05, "multi_symbol") else sym
        orig = "ghost" if self.often(0.05) else orig
        if self.often(0.25, "replace"):
            return self.remember(self.replace(cl, orig, acct, sym))
        if self.often(0.2, "order_status"):
            return Status(cl, orig, acct, sym)
        if self.often(0.08, "mass_cancel"):
            return MassCancel(cl, acct, self.rng.choice((None, sym)))
        return Reset() if self.often(0.01) else Cancel(cl, orig, acct, sym)

    def remember(self, command: New | Replace) -> Command:
        self.sent.append((command.cl, command.acct, command.sym))
        return command

    def new(self, cl: str) -> New:
        market, ioc = self.often(0.25, "market"), self.often(0.2, "ioc")
        px, qty = (None if market else self.px()), self.rng.choice((1, 2, 3, 5, 10, 20))
        if self.often(0.04, "validation"):
            qty = self.rng.choice(BAD_QUANTITIES)
        if not market and self.often(0.04, "validation"):
            px = self.rng.choice(BAD_PRICES)
        sym = "NOPE" if self.often(0.02, "symbol_list") else self.rng.choice(self.symbols)
        cl = self.rng.choice(self.sent)[0] if self.often(0.05, "duplicate_check") else cl
        side, kind = self.rng.choice(("buy", "sell")), "market" if market else "limit"
        return New(cl, self.rng.choice(self.accounts), sym, side, kind, qty, px, "ioc" if ioc else "day", self.smp())

    def replace(self, cl: str, orig: str, acct: str, sym: str) -> Replace:
        px = self.px() if self.rng.random() < 0.5 else None
        qty = self.rng.choice((1, 2, 3, 5, 8, 10, 15)) if px is None or self.rng.random() < 0.5 else None
        if "replace_above_cum" not in self.has:
            qty = None if qty is None else qty + 1000  # more than anything that an order of this flow can have executed
        cl = self.rng.choice(self.sent)[0] if self.often(0.1, "duplicate_check") else cl
        return Replace(cl, orig, acct, sym, px, qty, self.smp())


def history_of(submit: Callable[[Command], list[Event]], flow: Iterable[Command]) -> History:
    history = History()
    for command in flow:
        history.add(Exchange(command, tuple(submit(command))))
    return history
