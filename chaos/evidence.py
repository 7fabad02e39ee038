"""What a game day is judged by: what the clients sent and were told, what the log has after all faults, and when they came.

Everything is numpy, an order is a row. The client's side comes from the native load (matchmark.load.fix_load), the log's side
from the kit's own readers of the documented format. Times are ns of CLOCK_REALTIME on one machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from matchmark.conformance.checks import audit_format as f
from matchmark.conformance.checks.audit_format import Happened, Op, Records
from matchmark.load import fix_load
from matchmark.load.fix_load import FixLoad

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]

FILL = np.dtype(
    [("order", "<i8"), ("cum", "<i8"), ("price", "<i8"), ("lots", "<i8"), ("leaves", "<i8"), ("sequence", "<i8")]
)
"""A fill of one side; `sequence` is the record's, or the index of the report."""


@dataclass(frozen=True)
class Injected:
    """A fault as it happened: `role` was hit at `at_ns`, nothing of before came after `over_ns`, and at `ended_ns` it was healed
    or had been started again. What was told within `window_ns` before it may be lost: a power cut in mode async; else 0."""

    fault: str
    role: str
    at_ns: int
    over_ns: int
    ended_ns: int
    window_ns: int = 0
    detail: str = ""
    wrongs: tuple[str, ...] = ()
    """What was seen to be wrong at the time."""
    caught_up_ns: int = 0
    """Of a reader's: how long it took until all readers had what the log has; 0: they never had, or it was none of theirs."""


@dataclass(frozen=True)
class Sent:
    """Row i: an order or cancel that was sent. `index` (session * capacity + number) is what reports and ClOrdIDs name."""

    index: Ints
    session: Ints
    orders: Array
    plans: Array


@dataclass
class Evidence:
    """Of one episode: a fresh exchange, some faults, and the log at its end."""

    run: int
    capacity: int
    sessions: int
    orders: list[Array]
    """fix_load.ORDER of each session, those that were sent."""
    plans: list[Array]
    reports: Array
    records: Records
    faults: list[Injected] = field(default_factory=list)
    structure: list[str] = field(default_factory=list)
    """What is wrong with the log's structure, in words."""
    reset: bool = False
    """Sessions began anew on the way: reports may be missing."""
    settled: bool = True
    """At the end everything had been answered."""
    others: bytes = b""
    """ClOrdIDs that begin so are another client's, of whom this evidence knows nothing; empty: there is none."""

    @classmethod
    def of(cls, load: FixLoad, records: Records, faults: list[Injected], structure: list[str], **more: Any) -> Evidence:
        sent = [int(np.count_nonzero(orders["sent_ns"])) for orders in load.orders]
        orders = [all_of[:n].copy() for all_of, n in zip(load.orders, sent, strict=True)]
        plans = [load.plans(session, n) for session, n in enumerate(sent)]
        s = load.settings
        reports = load.reports.copy()
        return cls(s.run, s.capacity, len(sent), orders, plans, reports, records, faults, structure, **more)

    @cached_property
    def sent(self) -> Sent:
        counts = [len(orders) for orders in self.orders]
        index = [np.arange(n, dtype=np.int64) + s * self.capacity for s, n in enumerate(counts)]
        session = np.repeat(np.arange(self.sessions, dtype=np.int64), counts)
        return Sent(np.concatenate(index), session, np.concatenate(self.orders), np.concatenate(self.plans))

    def row_of(self, index: Ints) -> Ints:
        """The rows of these indexes in `sent`; -1 for one that was never sent."""
        counts = np.array([len(orders) for orders in self.orders], dtype=np.int64)
        first = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)[:-1]])
        session, number = index // self.capacity, index % self.capacity
        known = (index >= 0) & (session < self.sessions)
        session = np.where(known, session, 0)
        return np.where(known & (number < counts[session]), first[session] + number, -1)

    def name(self, row: int) -> str:
        """The ClOrdID of a row of `sent`."""
        index = int(self.sent.index[row])
        return f"K{self.run:06d}{index // self.capacity:03d}{index % self.capacity:010d}"

    # --- the log ---

    @cached_property
    def commands(self) -> Array:
        """Records of orders and cancels, as audit_format.COMMAND."""
        # The body lies in a gap of RECORD, which numpy does not copy: view first, pick then.
        commands: Array = self.records.view(f.COMMAND)[self.records["kind"] == f.Kind.COMMAND]
        ours: Array = commands[(commands["op"] == Op.NEW) | (commands["op"] == Op.CANCEL)]
        if not self.others:
            return ours
        mine: Array = ours[~np.char.startswith(ours["text"], self.others)]
        return mine

    @cached_property
    def command_rows(self) -> Ints:
        """Of each command its row in `sent`, -1: nobody sent it."""
        return self.row_of(self.indexes(self.commands["text"]))

    @cached_property
    def events(self) -> Array:
        events: Array = self.records.view(f.EVENT)[self.records["kind"] == f.Kind.EVENT]
        return events

    @cached_property
    def accepted_rows(self) -> Ints:
        accepted = self.events[self.events["event"] == Happened.ACCEPTED]
        return self.row_of(self.indexes(accepted["text"]))

    @cached_property
    def logged_fills(self) -> Array:
        """FILL of both sides of each trade; `order` is a row of `sent`."""
        trades = self.events[self.events["event"] == Happened.TRADE]
        fills = np.zeros(2 * len(trades), dtype=FILL)
        for part, text, cum, leaves in (
            (fills[: len(trades)], "text", "cum_lots", "leaves_lots"),
            (fills[len(trades) :], "other_text", "body_cum_lots", "other_leaves_lots"),
        ):
            part["order"] = self.row_of(self.indexes(trades[text]))
            part["cum"], part["leaves"] = trades[cum], trades[leaves]
            part["price"], part["lots"], part["sequence"] = (
                trades["price_ticks"], trades["quantity_lots"], trades["sequence"],
            )  # fmt: skip
        return fills

    def indexes(self, texts: Array) -> Ints:
        """What ClOrdIDs of this run mean: session * capacity + number; -1 for others."""
        if not len(texts):
            return np.zeros(0, dtype=np.int64)
        size = texts.dtype.itemsize
        letters = np.ascontiguousarray(texts).view(np.uint8).reshape(len(texts), size)
        digits = letters[:, 1 : fix_load.NAME_BYTES].astype(np.int64) - ord("0")
        ours = (letters[:, 0] == ord("K")) & ((digits >= 0) & (digits <= 9)).all(axis=1)
        if size > fix_load.NAME_BYTES:
            ours &= letters[:, fix_load.NAME_BYTES] == 0
        run, session, number = (
            digits[:, a:b] @ (10 ** np.arange(b - a - 1, -1, -1, dtype=np.int64)) for a, b in ((0, 6), (6, 9), (9, 19))
        )
        ours &= (run == self.run) & (number < self.capacity)
        return np.where(ours, session * self.capacity + number, -1)

    # --- the clients ---

    @cached_property
    def told(self) -> Array:
        """Reports that came for the first time under their number."""
        told: Array = self.reports[self.reports["flags"] & fix_load.KNOWN == 0]
        return told

    def save(self, path: Path) -> None:
        """All of it as one compressed file, for whoever must find out why."""
        parts = {f"orders{n}": orders for n, orders in enumerate(self.orders)}
        parts |= {f"plans{n}": plans for n, plans in enumerate(self.plans)}
        np.savez_compressed(path, reports=self.reports, records=self.records.view(np.uint8), **parts)  # type: ignore[arg-type]
