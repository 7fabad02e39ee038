"""What the circuit breaker, an operator and a rate limit say to an engine, and what it answers: no trader's messages.

Beside messages.py, whose commands and events are what an adapter carries. Rules 10 to 13 of docs/engine-rules.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar


class Trading(StrEnum):
    """What a symbol does: trade, trade slowly after a warning, or nothing."""

    OPEN = "open"
    WARNED = "warned"
    HALTED = "halted"


class Act(StrEnum):
    """What makes a symbol another state: each has the states that it begins in, and one that it ends in."""

    WARN = "warn"
    CALM = "calm"
    HALT = "halt"
    RESUME = "resume"


@dataclass(frozen=True, slots=True)
class SetTrading:
    """`act` is an Act. Nobody's order, so it has no account."""

    op: ClassVar[str] = "set_trading"
    cl: str
    sym: str
    act: str


@dataclass(frozen=True, slots=True)
class Release:
    """A deferred order's turn has come."""

    op: ClassVar[str] = "release"
    cl: str
    orig: str
    acct: str
    sym: str


Control = SetTrading | Release


@dataclass(frozen=True, slots=True)
class TradingChanged:
    ev: ClassVar[str] = "trading"
    sym: str
    state: str


@dataclass(frozen=True, slots=True)
class TradingRefused:
    """A SetTrading or Release that changes nothing."""

    ev: ClassVar[str] = "trading_refused"
    cl: str
    reason: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Released:
    """A deferred order waits no more: what it does follows, or it rests."""

    ev: ClassVar[str] = "released"
    cl: str


MarketEvent = TradingChanged | TradingRefused | Released
