"""The circuit breaker as a state machine without sockets or clocks: trades and instants in, commands to the engine out.

The yardstick of a symbol is the average price of its trades of the last two minutes, each weighted by its quantity. Once a
second the last price is compared with it. Which command follows from what is one table, TABLE, which docs/breaker.md shows.
Whether a command was carried out the engine says, and the machine believes nobody else: a symbol's state here is what the
engine has sequenced.

All arithmetic is in whole numbers, cross-multiplied, so that a threshold is met exactly or not at all. Times are nanoseconds
of a clock that only goes forward; prices integer ticks, quantities integer lots, thresholds hundredths of a percent.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from matchmark.conformance.trading_messages import Act, Trading

SECOND_NS = 1_000_000_000
SHOWN_MAX = 200
"""Trades that an operator is shown of a halt, the last of them."""


class When(StrEnum):
    """What a check finds, or an operator says."""

    QUIET = "drop below level 1, or nothing to compare"
    LEVEL1 = "drop at level 1"
    LEVEL2 = "drop beyond level 2"
    OPERATOR_CALM = "operator: calm"
    OPERATOR_HALT = "operator: halt"
    OPERATOR_RESUME = "operator: resume"


@dataclass(frozen=True)
class Row:
    """One transition. `act` None: nothing is done. What is in no row is refused."""

    state: Trading
    when: When
    act: Act | None
    to: Trading


TABLE: tuple[Row, ...] = (
    Row(Trading.OPEN, When.QUIET, None, Trading.OPEN),
    Row(Trading.OPEN, When.LEVEL1, Act.WARN, Trading.WARNED),
    Row(Trading.OPEN, When.LEVEL2, Act.HALT, Trading.HALTED),
    Row(Trading.OPEN, When.OPERATOR_HALT, Act.HALT, Trading.HALTED),
    Row(Trading.WARNED, When.QUIET, Act.CALM, Trading.OPEN),
    Row(Trading.WARNED, When.LEVEL1, None, Trading.WARNED),
    Row(Trading.WARNED, When.LEVEL2, Act.HALT, Trading.HALTED),
    Row(Trading.WARNED, When.OPERATOR_CALM, Act.CALM, Trading.OPEN),
    Row(Trading.WARNED, When.OPERATOR_HALT, Act.HALT, Trading.HALTED),
    Row(Trading.HALTED, When.QUIET, None, Trading.HALTED),
    Row(Trading.HALTED, When.LEVEL1, None, Trading.HALTED),
    Row(Trading.HALTED, When.LEVEL2, None, Trading.HALTED),
    Row(Trading.HALTED, When.OPERATOR_RESUME, Act.RESUME, Trading.OPEN),
)

_BY = {(row.state, row.when): row for row in TABLE}


@dataclass(frozen=True)
class Rules:
    """Thresholds in hundredths of a percent: a drop of at least `warn_bps` warns, of more than `halt_bps` halts."""

    window_ns: int = 120 * SECOND_NS
    interval_ns: int = SECOND_NS
    warn_bps: int = 500
    halt_bps: int = 1000


class Deal(NamedTuple):
    """A trade: when it was made, at what price, how many lots, and its number in the audit log."""

    at_ns: int
    price_ticks: int
    lots: int
    sequence: int


@dataclass(frozen=True)
class Figures:
    """What was compared: the last price with notional / lots, the average of so many trades. All 0 without a trade."""

    last_ticks: int = 0
    notional: int = 0
    lots: int = 0
    trades: int = 0
    sequence: int = 0
    """Of the last trade."""

    def drops_by(self, bps: int) -> bool:
        return self.lots > 0 and (self.notional - self.last_ticks * self.lots) * 10_000 >= bps * self.notional

    def drops_by_more_than(self, bps: int) -> bool:
        return self.lots > 0 and (self.notional - self.last_ticks * self.lots) * 10_000 > bps * self.notional

    @property
    def drop_bps(self) -> float:
        """For people: nothing is decided by it."""
        return (self.notional - self.last_ticks * self.lots) * 10_000 / self.notional if self.notional else 0.0


@dataclass(frozen=True)
class Decision:
    """A command for the engine, and why."""

    symbol: int
    act: Act
    figures: Figures


@dataclass
class Watched:
    """One symbol."""

    state: Trading = Trading.OPEN
    asked: Act | None = None
    """A command is on its way: no other is given before the engine has answered."""
    window: deque[Deal] = field(default_factory=deque)
    notional: int = 0
    lots: int = 0
    last: Deal | None = None
    led: tuple[Figures, tuple[Deal, ...]] | None = None
    """What the last halt was decided on."""

    @property
    def is_looked_at(self) -> bool:
        """Of the many that are watched, most trade seldom."""
        return bool(self.window) or self.state is not Trading.OPEN

    def figures(self) -> Figures:
        if not self.window or self.last is None:
            return Figures()
        return Figures(self.last.price_ticks, self.notional, self.lots, len(self.window), self.last.sequence)


class Breaker:
    """All symbols that are watched, by number; the others are looked at by nobody."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.symbols: dict[int, Watched] = {}
        self._due_ns: int | None = None

    def watch(self, symbol: int) -> None:
        self.symbols.setdefault(symbol, Watched())

    def on_trade(self, symbol: int, deal: Deal) -> None:
        """A trade enters the average when it is made."""
        w = self.symbols.get(symbol)
        if w is None:
            return
        w.window.append(deal)
        w.notional += deal.price_ticks * deal.lots
        w.lots += deal.lots
        w.last = deal

    def on_state(self, symbol: int, state: Trading) -> None:
        """The engine has sequenced a change: also an operator's."""
        w = self.symbols.setdefault(symbol, Watched())
        if state is Trading.HALTED and w.state is not Trading.HALTED:
            w.led = w.figures(), tuple(w.window)[-SHOWN_MAX:]
        if w.state is Trading.HALTED and state is not Trading.HALTED:
            self._begin_anew(w)  # what led to the halt was reviewed: it is no cause for another
        w.state, w.asked = state, None

    def on_refused(self, symbol: int) -> None:
        """The engine has not carried out what was asked: somebody else was first."""
        if symbol in self.symbols:
            self.symbols[symbol].asked = None

    def check(self, now_ns: int) -> list[Decision]:
        """Compares every symbol if a check is due. Call it more often than checks are due."""
        if self._due_ns is not None and now_ns < self._due_ns:
            return []
        behind = self._due_ns is None or now_ns - self._due_ns > self.rules.interval_ns
        self._due_ns = (now_ns if behind else self._due_ns or 0) + self.rules.interval_ns
        decided = (self._compare(symbol, w, now_ns) for symbol, w in self.symbols.items() if w.is_looked_at)
        return [decision for decision in decided if decision]

    def asked(self, decision: Decision) -> None:
        """The command was given to the engine."""
        self.symbols[decision.symbol].asked = decision.act

    def _compare(self, symbol: int, w: Watched, now_ns: int) -> Decision | None:
        self._leave(w, now_ns)
        figures = w.figures()
        row = _BY[w.state, self.level(figures)]
        return Decision(symbol, row.act, figures) if row.act and w.asked is None else None

    def level(self, figures: Figures) -> When:
        if figures.drops_by_more_than(self.rules.halt_bps):
            return When.LEVEL2
        return When.LEVEL1 if figures.drops_by(self.rules.warn_bps) else When.QUIET

    def _leave(self, w: Watched, now_ns: int) -> None:
        """Trades leave the average when they are two minutes old."""
        while w.window and now_ns - w.window[0].at_ns >= self.rules.window_ns:
            gone = w.window.popleft()
            w.notional -= gone.price_ticks * gone.lots
            w.lots -= gone.lots

    def _begin_anew(self, w: Watched) -> None:
        w.window.clear()
        w.notional = w.lots = 0
