"""What the breaker learns from the audit log: trades and trading states, from the first record on and then as they come.

It reads what the writer has put on the disk, a millisecond behind the engine, and shares nothing with the engine that an order
waits for. Ages of trades that a former run has made are counted by the monotonic clock, and by the wall clock where the machine
was started again in between, for then the monotonic one has begun anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from matchmark.conformance.trading_messages import Trading
from matchmark.native.pipeline import now_ns
from matchmark.native.records import EventKind
from matchmark.reference.audit_log import AuditFile, log_files, open_file
from matchmark.reference.breaker import Deal
from matchmark.reference.clock import Clock

FIELDS = np.dtype(
    {
        "names": [
            "sequence", "event", "state", "symbol", "price", "lots", "time_ns", "kind", "dequeued_ns",
        ],
        "formats": ["<u8", "<u1", "<u1", "<u4", "<i8", "<u4", "<u8", "<u1", "<u8"],
        "offsets": [0, 16, 19, 20, 48, 56, 160, 188, 248],
        "itemsize": 272,
    }
)  # fmt: skip
CHUNK = 1 << 12
"""Records at once: few enough that they are in the cache when the next of their fields is looked at."""
STATES = tuple(Trading)


class Changed(NamedTuple):
    symbol: int
    state: Trading
    sequence: int


class Traded(NamedTuple):
    symbol: int
    deal: Deal


Heard = Changed | Traded


class Feed:
    """`read` gives what has come since the last time, in the order of the log."""

    def __init__(
        self, log: Path, clock: Clock, same_boot: bool, wall_ns: Callable[[], int], watched: npt.NDArray[np.bool_]
    ) -> None:
        """`watched`: by symbol number, whether its trades are wanted; states are in any case."""
        self._log, self._clock, self._watched = log, clock, watched
        self._file: AuditFile | None = None
        self.sequence = 0
        """Of the last record read."""
        self._by_wall = not same_boot
        self._shift = wall_ns() - now_ns()

    def read(self, durable: int) -> Iterator[Heard]:
        """Up to record `durable`, which and whose predecessors are on the disk."""
        while self.sequence < durable:
            records = self._next(durable)
            if not len(records):
                return
            yield from self._heard(records)

    def from_now_on(self) -> None:
        """What comes next was made by engines of this run, whose stamps are of this machine's clock."""
        self._by_wall = False

    def _next(self, durable: int) -> npt.NDArray[Any]:
        file = self._file
        if file is None or self.sequence + 1 >= file.header.first_sequence + len(file.slots):
            file = self._file = self._open(self.sequence + 1)
        if file is None:
            return np.zeros(0, dtype=FIELDS)
        at = self.sequence + 1 - file.header.first_sequence
        until = min(len(file.slots), durable + 1 - file.header.first_sequence, at + CHUNK)
        self.sequence += until - at
        return file.slots[at:until].view(FIELDS)

    def _open(self, sequence: int) -> AuditFile | None:
        """The file that holds the record; of a log that begins later, its first."""
        best = None
        for path in log_files(self._log):
            first = int(path.stem.removeprefix("audit-"))
            if first <= sequence:
                best = path
            elif best is None:
                best, self.sequence = path, first - 1
        return open_file(best) if best else None

    def _heard(self, records: npt.NDArray[Any]) -> Iterator[Heard]:
        event = records["event"]
        found = np.flatnonzero((records["kind"] == 2) & ((event == EventKind.TRADE) | (event == EventKind.STATE)))
        symbols = records["symbol"][found]
        wanted = found[self._watched[np.minimum(symbols, len(self._watched) - 1)] | (event[found] == EventKind.STATE)]
        for sequence, kind, state, symbol, price, lots, wall, made in self._columns(records[wanted]):
            if kind == EventKind.STATE:
                yield Changed(symbol, STATES[state], sequence)
            else:
                yield Traded(symbol, Deal(self._made_at(wall, made), price, lots, sequence))

    def _columns(self, records: npt.NDArray[Any]) -> Iterator[tuple[int, ...]]:
        names = ("sequence", "event", "state", "symbol", "price", "lots", "time_ns", "dequeued_ns")
        return zip(*(records[name].tolist() for name in names), strict=True)

    def _made_at(self, wall: int, dequeued: int) -> int:
        """On the monotonic clock of now."""
        real = min(wall - self._shift, now_ns()) if self._by_wall else dequeued
        return real + self._clock.ahead(wall)[0]
