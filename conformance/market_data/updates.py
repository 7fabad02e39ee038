"""The kit's vocabulary of market data, whatever a feed's encoding: what a subscriber hears.

Prices are ticks, quantities lots, times ns of CLOCK_MONOTONIC. `sequence` is the feed's own number of a symbol's event: all that
is asked of it is that it grows. Nothing here judges.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Trading(StrEnum):
    NORMAL = "normal"
    WARNED = "warned"
    HALTED = "halted"


@dataclass(frozen=True, slots=True)
class Trade:
    """`sold`: the incoming order was a sell. `size`: bytes of its encoding, where that is binary."""

    sequence: int
    price_ticks: int
    quantity_lots: int
    sold: bool
    size: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Status:
    sequence: int
    trading: Trading


@dataclass(frozen=True, slots=True)
class Level:
    """One price of one side as it is now; no lots: it is gone."""

    ask: bool
    price_ticks: int
    quantity_lots: int


Price = tuple[int, int]
"""(ticks, lots)."""


@dataclass(frozen=True, slots=True)
class Quote:
    """Best bid and best ask; None: that side is empty."""

    bid: Price | None
    ask: Price | None


@dataclass(frozen=True, slots=True)
class Update:
    """What happened to a symbol behind event `after` up to event `sequence`; where the two are the same, the book alone.

    Trades and statuses are all that there were. Where `book` is set, `quote` or `levels` are of the moment after `sequence`:
    `levels` those that changed since the last such moment, or the whole book where it is a `snapshot`.
    """

    symbol: str
    after: int
    sequence: int
    trades: tuple[Trade, ...] = ()
    statuses: tuple[Status, ...] = ()
    book: bool = False
    snapshot: bool = False
    quote: Quote | None = None
    levels: tuple[Level, ...] = ()
    made_ns: int = 0
    at_ns: int = field(default=0, compare=False)
    """When it was read."""
    raw: bytes = field(default=b"", repr=False, compare=False)

    def __str__(self) -> str:
        words = [self.symbol, f"{self.after}..{self.sequence}"]
        words += [f"trade #{t.sequence} {t.quantity_lots}@{t.price_ticks}{' sold' * t.sold}" for t in self.trades]
        words += [f"{s.trading} #{s.sequence}" for s in self.statuses]
        words += ["snapshot"] * self.snapshot
        if self.quote:
            words.append(f"quote {_price(self.quote.bid)} / {_price(self.quote.ask)}")
        words += [f"{'ask' if x.ask else 'bid'} {x.quantity_lots}@{x.price_ticks}" for x in self.levels]
        return " ".join(words)


def _price(price: Price | None) -> str:
    return f"{price[1]}@{price[0]}" if price else "-"


# --- answers ---


@dataclass(frozen=True, slots=True)
class LoggedOn:
    at_ns: int = 0


@dataclass(frozen=True, slots=True)
class Subscribed:
    """`symbols` as they are accepted."""

    request: int
    symbols: tuple[str, ...]
    at_ns: int = 0


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    request: int
    symbols: tuple[str, ...]
    at_ns: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """Of a request; `request` is None where the feed cannot say of which."""

    request: int | None
    reason: str
    at_ns: int = 0


@dataclass(frozen=True, slots=True)
class Stale:
    """From here on what is known is old; until Live."""

    at_ns: int = 0


@dataclass(frozen=True, slots=True)
class Live:
    at_ns: int = 0


@dataclass(frozen=True, slots=True)
class Dropped:
    """The feed ends the connection and says why."""

    reason: str
    at_ns: int = 0


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message that the decoder makes nothing of."""

    why: str
    raw: bytes
    at_ns: int = 0


Heard = Update | LoggedOn | Subscribed | Unsubscribed | Refused | Stale | Live | Dropped | Unreadable


# --- what is rebuilt from it ---


class Gap(Exception):
    """An update does not follow on the last one of its symbol; the text says which."""


class RebuiltBook:
    """One symbol's book as a subscriber to depth knows it."""

    def __init__(self) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.sequence: int | None = None
        """The last one heard; None before the snapshot."""

    def take(self, update: Update) -> bool:
        """Whether it said something new. Gap when something is missing before it."""
        if update.snapshot:
            self.bids.clear()
            self.asks.clear()
        elif self.sequence is None:
            raise Gap(f"increment {update.after}..{update.sequence} before any snapshot")
        elif update.after != self.sequence:
            if update.sequence <= self.sequence:
                return False
            raise Gap(f"{update.after}..{update.sequence} after {self.sequence}")
        self.sequence = update.sequence
        for level in update.levels:
            side = self.asks if level.ask else self.bids
            if level.quantity_lots:
                side[level.price_ticks] = level.quantity_lots
            else:
                side.pop(level.price_ticks, None)
        return True

    @property
    def depth(self) -> Depth:
        return depth_of(self.bids, self.asks)


Depth = tuple[tuple[Price, ...], tuple[Price, ...]]
"""Bids and asks, best first."""


def depth_of(bids: dict[int, int], asks: dict[int, int]) -> Depth:
    return tuple(sorted(bids.items(), reverse=True)), tuple(sorted(asks.items()))


def quote_of(depth: Depth) -> Quote:
    bids, asks = depth
    return Quote(bids[0] if bids else None, asks[0] if asks else None)
