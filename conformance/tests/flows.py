"""Random command flows for testing the checks themselves: the whole vocabulary, good and bad, at few prices."""

from __future__ import annotations

import random
from collections.abc import Callable

from matchmark.conformance.history import Exchange, History
from matchmark.conformance.messages import Cancel, Command, Event, MassCancel, New, Replace, Reset, Status
from matchmark.conformance.targets.base import Instruments, TargetInfo

CAPABILITIES = frozenset(
    [
        "limit",
        "market",
        "ioc",
        "cancel",
        "replace",
        "replace_priority",
        "mass_cancel",
        "order_status",
        "smp_cancel_newest",
        "smp_cancel_oldest",
        "top",
        "multi_symbol",
        "accounts",
        "validation",
        "duplicate_check",
        "symbol_list",
    ]
)
INFO = TargetInfo("under test", "1", CAPABILITIES, Instruments(("S0", "S1", "S2"), 2**53 - 1, 2**31 - 1))


def without(*capabilities: str) -> TargetInfo:
    return TargetInfo("under test", "1", CAPABILITIES - set(capabilities), INFO.instruments)


def random_flow(rng: random.Random, count: int, has: frozenset[str] = CAPABILITIES) -> list[Command]:
    """Commands that a target with these capabilities may be asked."""
    accounts = ("A1", "A2", "A3") if "accounts" in has else ("A1",)
    symbols = ("S0", "S1") if "multi_symbol" in has else ("S0",)
    base = rng.choice((100, 100, 2**40))
    cls: list[tuple[str, str, str]] = [("c0", "A1", "S0")]
    flow: list[Command] = []

    def new(cl: str) -> New:
        kind = rng.choice(("limit", "limit", "limit", "market")) if "market" in has else "limit"
        tif = "ioc" if kind == "limit" and "ioc" in has and rng.random() < 0.2 else "day"
        smps = [s for s in ("cancel_newest", "cancel_oldest") if f"smp_{s}" in has and "accounts" in has]
        smp = rng.choice(smps) if smps and rng.random() < 0.2 else None
        px = base + rng.randrange(-4, 5) if kind == "limit" else None
        qty = rng.choice((1, 2, 3, 5, 10, 20))
        acct, sym = rng.choice(accounts), rng.choice(symbols)
        if "validation" in has and rng.random() < 0.04:
            qty = rng.choice((0, -1, 2**31, 2**64))
        if "validation" in has and kind == "limit" and rng.random() < 0.04:
            px = rng.choice((0, -5, None, 2**53))
        if "symbol_list" in has and rng.random() < 0.02:
            sym = "NOPE"
        if "duplicate_check" in has and rng.random() < 0.05:
            cl = rng.choice(cls)[0]
        return New(cl, acct, sym, rng.choice(("buy", "sell")), kind, qty, px, tif, smp)

    def other(cl: str) -> Command:
        orig, acct, sym = rng.choice(cls[-12:])
        if "accounts" in has and rng.random() < 0.15:
            acct = rng.choice(accounts)
        if "multi_symbol" in has and rng.random() < 0.05:
            sym = rng.choice(symbols)
        draw = rng.random()
        if draw < 0.25 and "replace" in has:
            px = base + rng.randrange(-4, 5) if rng.random() < 0.5 else None
            qty = rng.choice((1, 2, 3, 5, 8, 10, 15)) if px is None or rng.random() < 0.5 else None
            new_cl = rng.choice(cls)[0] if "duplicate_check" in has and rng.random() < 0.1 else cl
            return Replace(
                new_cl,
                orig,
                acct,
                sym,
                px,
                qty,
                rng.choice((None, None, "cancel_oldest")) if {"smp_cancel_oldest", "accounts"} <= has else None,
            )
        if draw < 0.4 and "order_status" in has:
            return Status(cl, orig if rng.random() < 0.9 else "ghost", acct, sym)
        if draw < 0.45 and "mass_cancel" in has:
            return MassCancel(cl, acct, rng.choice((None, sym)))
        if draw < 0.46:
            return Reset()
        return Cancel(cl, orig if rng.random() < 0.9 else "ghost", acct, sym)

    for n in range(1, count + 1):
        command = new(f"c{n}") if rng.random() < 0.7 else other(f"c{n}")
        flow.append(command)
        if isinstance(command, New | Replace):
            cls.append((command.cl, command.acct, command.sym))
        elif isinstance(command, Reset):
            cls = cls[-3:]
    return flow


def history_of(submit: Callable[[Command], list[Event]], flow: list[Command]) -> History:
    history = History()
    for command in flow:
        history.add(Exchange(command, tuple(submit(command))))
    return history
