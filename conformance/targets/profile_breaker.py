"""The profile's [breaker] table and its hooks: what the circuit breaker does, and how an operator and a clock are reached."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from matchmark.conformance.targets.profile_key import Fail, Key, Tables

OVER_RATE = ("defer", "reject")
TICKS = 10_000
"""The suites' middle price: both thresholds are a whole number of ticks of it."""

BREAKER: dict[str, Key] = {
    "symbols": Key(str, 'pattern of the symbols that it watches, with {n}, such as "BRK{n}"', required=True),
    "symbol_count": Key(int, "how many there are; each test takes fresh ones", required=True),
    "rate_per_s": Key(int, "orders of a session in a second at level 1", required=True),
    "over_rate": Key(str, 'what becomes of orders above it: "defer" or "reject"', required=True),
    "window_s": Key(int, "seconds of the average (default 120)"),
    "interval_s": Key((int, float), "seconds between two checks (default 1)"),
    "warn_percent": Key((int, float), "a drop of so much or more warns (default 5)"),
    "halt_percent": Key((int, float), "a drop of more than so much halts (default 10)"),
    "status_warning": Key(str, 'SecurityTradingStatus (326) of a warning (default "23", fast market)'),
    "status_halt": Key(str, 'of a halt (default "2")'),
    "status_open": Key(list, 'of the end of either (default ["3", "17"])'),
}
HOOKS: dict[str, Key] = {
    "operator": Key(
        list,
        "gives an operator's command, {command} (status, halt, resume) for {symbol} with {token} and {reason}; exit status 0 "
        "when it was carried out; status prints the figures that led to a halt",
    ),
    "clock": Key(list, "lets {advance} seconds pass for the breaker, or sets the wall clock ahead by {jump}"),
}
PLACES = {
    "operator": {"command", "symbol", "token", "reason", "admin", "folder", "pid"},
    "clock": {"advance", "jump", "folder", "pid"},
}


@dataclass(frozen=True)
class BreakerProfile:
    """The table with its defaults. Thresholds in hundredths of a percent."""

    symbols: str
    symbol_count: int
    rate_per_s: int
    defers: bool
    window_s: int
    interval_s: float
    warn_bps: int
    halt_bps: int
    warning: str
    halt: str
    open: tuple[str, ...]


def breaker_of(table: dict[str, Any] | Any) -> BreakerProfile:
    """Of a table that was checked."""
    return BreakerProfile(
        table["symbols"], table["symbol_count"], table["rate_per_s"], table["over_rate"] == "defer",
        table.get("window_s", 120), float(table.get("interval_s", 1)), _bps(table.get("warn_percent", 5)),
        _bps(table.get("halt_percent", 10)), table.get("status_warning", "23"), table.get("status_halt", "2"),
        tuple(table.get("status_open", ("3", "17"))),
    )  # fmt: skip


def check_breaker(tables: Tables, capabilities: Iterable[str], fail: Fail) -> None:
    has = set(capabilities)
    if "breaker" not in tables:
        if "breaker" in has:
            fail("target", "capabilities", "breaker needs a table [breaker] that says what it does")
        return
    table, hooks = tables["breaker"], tables.get("hooks", {})
    if table["symbols"].count("{n}") != 1:
        fail("breaker", "symbols", f'must contain {{n}} once, as in "BRK{{n}}", not {table["symbols"]!r}')
    for key in ("symbol_count", "rate_per_s"):
        if table[key] < 1:
            fail("breaker", key, f"must be at least 1, not {table[key]}")
    if table["over_rate"] not in OVER_RATE:
        fail("breaker", "over_rate", f"must be one of {', '.join(OVER_RATE)}, not {table['over_rate']!r}")
    if ("rate_deferral" in has) != (table["over_rate"] == "defer"):
        fail("breaker", "over_rate", 'is "defer" exactly where the target declares rate_deferral')
    warn, halt = _bps(table.get("warn_percent", 5)), _bps(table.get("halt_percent", 10))
    if not 0 < warn < halt < 9000:
        fail("breaker", "warn_percent", f"must be above 0 and below halt_percent: {warn / 100:g}, {halt / 100:g}")
    if "breaker" in has:
        for hook, what in (("clock", "breaker"), ("operator", "operator")):
            if what in has and hook not in hooks:
                fail("hooks", None, f"lacks {hook}, but the target declares {what}: {HOOKS[hook].help}")


def _bps(percent: float) -> int:
    try:
        return int(Decimal(str(percent)) * 100)
    except InvalidOperation:
        return 0
