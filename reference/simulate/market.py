"""A primary's circuit breaker, the real machine, on the one symbol of a simulated world."""

from __future__ import annotations

from matchmark.conformance.trading_messages import Act, Trading
from matchmark.reference.breaker import SECOND_NS, Breaker, Deal, Rules
from matchmark.reference.simulate.log import ACTS, LEADS_TO, Log, Record

SYMBOL = 0
RULES = Rules(window_ns=4 * SECOND_NS, interval_ns=SECOND_NS // 2)
"""Shorter than an exchange's, as a world is."""


class Market:
    """What it knows it has from the log: a halt of an earlier primary as well."""

    def __init__(self, log: Log, now_ns: int) -> None:
        self._breaker, self._now_ns = Breaker(RULES), now_ns
        self._breaker.watch(SYMBOL)
        self._read(log)

    def _read(self, log: Log) -> None:
        for at, record in enumerate(log.records, 1):
            self.follow(at, record, self._now_ns)

    def follow(self, at: int, record: Record, now_ns: int) -> None:
        """The engine has made this record."""
        if record.key > 0:
            self._breaker.on_trade(SYMBOL, Deal(now_ns, record.value, 1, at))
        else:
            self._breaker.on_state(SYMBOL, LEADS_TO[ACTS[record.value]])

    def check(self, now_ns: int) -> list[Act]:
        return [decision.act for decision in self._breaker.check(now_ns)]

    @property
    def halted(self) -> bool:
        return self._breaker.symbols[SYMBOL].state is Trading.HALTED
