"""The hand that a test puts to the target: makes commands with fresh ClOrdIDs and records every message both ways.

Used as the pytest fixture `engine`. It judges nothing.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

from matchmark.conformance.history import Exchange, History
from matchmark.conformance.messages import (
    Cancel,
    Command,
    Event,
    MassCancel,
    New,
    OrdType,
    Replace,
    Side,
    Status,
    Tif,
    Trade,
)
from matchmark.conformance.targets.base import StreamFault, Target, TargetError, TargetInfo
from matchmark.conformance.verdict import stream_violation


@dataclass(frozen=True)
class Reply:
    """The ClOrdID that the driver gave the command, and everything that it caused."""

    cl: str
    events: list[Event]

    @property
    def trades(self) -> list[Trade]:
        return [e for e in self.events if isinstance(e, Trade)]


class Driver:
    """A test's conversation with the target, one example after the other.

    `on_failure` decides what a silent or broken target means; `on_example` is given each example's history at its end.
    """

    def __init__(
        self,
        target: Target,
        on_failure: Callable[[Driver, TargetError], None] | None = None,
        on_example: Callable[[History], None] | None = None,
    ) -> None:
        self.target = target
        self.info: TargetInfo = target.info
        self.history = History()
        self._numbers = itertools.count(1)
        self._on_failure = on_failure
        self._on_example = on_example

    def reset(self) -> None:
        """Empty books, no known ClOrdIDs, an empty history: the next example."""
        self.end_example()
        self._numbers = itertools.count(1)
        self._empty()

    def end_example(self) -> None:
        if self._on_example is not None and len(self.history):
            self._on_example(self.history)
        self.history = History()

    def empty(self) -> None:
        """Reset the target alone; the history goes on (for checks about the reset itself, such as determinism)."""
        self.settle()
        self._empty()

    def _empty(self) -> None:
        try:
            self.target.reset()
        except TargetError as error:
            self._fail(error)

    def settle(self) -> None:
        """Raises the violation that is in messages which nobody asked for, before anything else is judged."""
        if self.history.exchanges and self.history.exchanges[-1].failure is not None:
            return
        try:
            self.target.settle()
        except StreamFault as fault:
            self.history.wire += self.target.take_wire()
            raise stream_violation(fault, self.history) from None
        except TargetError as error:
            self._fail(error)

    def fresh_cl(self) -> str:
        return f"c{next(self._numbers)}"

    def symbol(self, n: int = 0) -> str:
        """The n-th symbol, counted round if there are fewer."""
        return self.info.instruments.symbols[n % len(self.info.instruments.symbols)]

    def submit(self, command: Command) -> list[Event]:
        sent_ns = time.perf_counter_ns()
        try:
            events = self.target.submit(command)
        except TargetError as error:
            failure = f"{type(error).__name__}: {error}"
            done_ns = time.perf_counter_ns()
            self.history.add(Exchange(command, (), sent_ns, done_ns, failure, self.target.take_wire()))
            self._fail(error)
            raise
        except StreamFault as fault:
            done_ns = time.perf_counter_ns()
            self.history.add(Exchange(command, (), sent_ns, done_ns, fault.message, self.target.take_wire()))
            raise stream_violation(fault, self.history) from None
        done_ns = time.perf_counter_ns()
        self.history.add(Exchange(command, tuple(events), sent_ns, done_ns, wire=self.target.take_wire()))
        return events

    def new(
        self,
        side: str,
        qty: int,
        px: int | None = None,
        *,
        acct: str = "A1",
        sym: str | None = None,
        type: str | None = None,
        tif: str = Tif.DAY,
        smp: str | None = None,
        cl: str | None = None,
    ) -> Reply:
        """A NewOrderSingle; without `type` it is a limit order if it has a price, else a market order."""
        kind = type or (OrdType.MARKET if px is None else OrdType.LIMIT)
        cl = cl or self.fresh_cl()
        return Reply(cl, self.submit(New(cl, acct, sym or self.symbol(), side, kind, qty, px, tif, smp)))

    def buy(self, qty: int, px: int | None = None, **more: str) -> Reply:
        return self.new(Side.BUY, qty, px, **more)

    def sell(self, qty: int, px: int | None = None, **more: str) -> Reply:
        return self.new(Side.SELL, qty, px, **more)

    def cancel(self, orig: str, *, acct: str = "A1", sym: str | None = None) -> Reply:
        cl = self.fresh_cl()
        return Reply(cl, self.submit(Cancel(cl, orig, acct, sym or self.symbol())))

    def replace(
        self,
        orig: str,
        *,
        px: int | None = None,
        qty: int | None = None,
        acct: str = "A1",
        sym: str | None = None,
        smp: str | None = None,
        cl: str | None = None,
    ) -> Reply:
        cl = cl or self.fresh_cl()
        return Reply(cl, self.submit(Replace(cl, orig, acct, sym or self.symbol(), px, qty, smp)))

    def mass_cancel(self, *, acct: str = "A1", sym: str | None = None) -> Reply:
        cl = self.fresh_cl()
        return Reply(cl, self.submit(MassCancel(cl, acct, sym)))

    def status(self, orig: str, *, acct: str = "A1", sym: str | None = None) -> Reply:
        cl = self.fresh_cl()
        return Reply(cl, self.submit(Status(cl, orig, acct, sym or self.symbol())))

    def _fail(self, error: TargetError) -> None:
        if self._on_failure is not None:
            self._on_failure(self, error)
        else:
            raise error
