"""The native FIX load as Python sees it: a thread that sends orders on many sessions whatever happens, with its ledger in numpy.

What it sends is a function of the seed (`plans`); what was sent and told is in `orders` and `reports`, the client's side
of every check. The load outlives the exchange: cut off, it connects again to each address in turn and goes on with its numbers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from matchmark.native import _native

_ffi: Any = _native.ffi
_lib: Any = _native.lib

Array = npt.NDArray[Any]
SOH = "\x01"

ORDER = np.dtype(
    [
        ("sent_ns", "<u8"), ("told_ns", "<u8"), ("acknowledged_ns", "<u8"), ("order_id", "<u8"), ("connection", "<u4"),
        ("last_connection", "<u4"),
        ("filled_lots", "<u4"), ("reports", "<u2"), ("sendings", "<u2"), ("state", "<u4"), ("doubts", "<u4"),
    ]
)  # fmt: skip
REPORT = np.dtype(
    [
        ("at_ns", "<u8"), ("exec_id", "<u8"), ("order_id", "<u8"), ("order", "<u4"), ("orig", "<u4"), ("number", "<u4"),
        ("last_lots", "<u4"), ("cum_lots", "<u4"), ("leaves_lots", "<u4"), ("price_ticks", "<i4"), ("session", "<u2"),
        ("kind", "u1"), ("flags", "u1"), ("connection", "<u4"), ("pad", "<u4"),
    ]
)  # fmt: skip
PLAN = np.dtype(
    [
        ("price_ticks", "<i8"), ("lots", "<u4"), ("symbol", "<u4"), ("orig", "<u4"), ("cancels", "u1"), ("sells", "u1"),
        ("immediate", "u1"), ("zero", "u1"),
    ]
)  # fmt: skip
ACCEPTED, TRADED, CANCELLED, REJECTED, CANCEL_REFUSED, STATUS = 1, 2, 4, 8, 16, 32
"""Bits of an order's `state`: the kinds of report that there were about it."""
POSS_DUP, KNOWN, POSS_RESEND = 1, 2, 4
"""Bits of a report's `flags`."""
ABSENT = 0xFFFFFFFF
NAME_BYTES = 20
for _name, _dtype in (("mm_load_order", ORDER), ("mm_load_report", REPORT), ("mm_load_plan", PLAN)):
    if _ffi.sizeof(_name) != _dtype.itemsize:
        raise ImportError(f"{_name} has {_ffi.sizeof(_name)} bytes in C, {_dtype.itemsize} here: build again")


@dataclass(frozen=True)
class LoadSettings:
    """`capacity`: orders of a session; `window`: of those at most so many without an answer; `run` makes ClOrdIDs unique."""

    seed: int
    run: int
    symbols: tuple[str, ...]
    capacity: int = 400_000
    window: int = 512
    middle_ticks: int = 10_000
    tick_e8: int = 1_000_000
    price_decimals: int = 2
    lot_size: int = 1
    heartbeat_s: int = 30
    patience_ms: int = 0
    """A connection that leaves orders unanswered for so long is given up for another; 0: never."""
    reports_per_order: int = 4


@dataclass(frozen=True)
class LoadSession:
    """Fields by tag, as they go out."""

    sender: str
    target: str
    logon_fields: dict[int, str]
    order_fields: dict[int, str]
    reset_first: bool = False
    begin_string: str = "FIX.4.4"


@dataclass(frozen=True)
class LoadCounts:
    """`told`: orders and cancels with a report; `up`: sessions logged on; `full`: the ledger has no more room."""

    sent: int
    told: int
    reports: int
    resent: int
    logons: int
    too_low: int
    rejected_messages: int
    garbled: int
    last_told_ns: int
    up: int
    full: int
    running: int
    resending: int


class FixLoad:
    """A context manager: inside the load runs, at rate 0 until `rate` says otherwise."""

    def __init__(self, settings: LoadSettings, sessions: Sequence[LoadSession]) -> None:
        s = self.settings = settings
        self.sessions = tuple(sessions)
        self.orders_per_s = 0
        self._orders = np.zeros(len(sessions) * s.capacity, dtype=ORDER)
        self._reports = np.zeros(len(sessions) * s.capacity * s.reports_per_order, dtype=REPORT)
        self._config = _ffi.new("mm_load_config *", [
            s.seed & 0xFFFFFFFFFFFFFFFF, s.capacity, len(self._reports), s.middle_ticks, s.tick_e8, s.price_decimals, s.lot_size,
            len(sessions), len(s.symbols), s.window, s.heartbeat_s, s.patience_ms, s.run])  # fmt: skip
        self._load = _lib.mm_load_make(
            self._config,
            _ffi.cast("mm_load_order *", _ffi.from_buffer(self._orders)),
            _ffi.cast("mm_load_report *", _ffi.from_buffer(self._reports)),
        )
        if self._load == _ffi.NULL:
            raise ValueError("at most 256 sessions, 64 symbols and 2^24 orders a session; else there is no memory")
        self._load = _ffi.gc(self._load, _lib.mm_load_free)
        for n, one in enumerate(sessions):
            self._session(n, one)
        for n, name in enumerate(s.symbols):
            if not _lib.mm_load_symbol(self._load, n, name.encode()):
                raise ValueError(f"symbol {name!r} is too long")
        self._thread = threading.Thread(target=_lib.mm_load_run, args=(self._load,), name="fix-load", daemon=True)

    def _session(self, n: int, one: LoadSession) -> None:
        texts = (one.begin_string, one.sender, one.target, _joined(one.logon_fields), _joined(one.order_fields))
        if not _lib.mm_load_session(self._load, n, *(text.encode() for text in texts), int(one.reset_first)):
            raise ValueError(f"session {one.sender!r}: a text is too long, or not one that FIX allows")

    def __enter__(self) -> FixLoad:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends it and its connections; harmless when it has ended."""
        _lib.mm_load_stop(self._load)
        if self._thread.is_alive():
            self._thread.join()

    # --- knobs ---

    def addresses(self, places: Sequence[tuple[str, int]]) -> None:
        """Where to connect, tried in turn: IPv4 and port, at most 4."""
        for n, (host, port) in enumerate(places):
            if not _lib.mm_load_address(self._load, n, host.encode(), port):
                raise ValueError(f"{host}:{port} is no IPv4 address that the load can use")
        _lib.mm_load_addresses(self._load, len(places))

    def rate(self, orders_per_s: int) -> None:
        self.orders_per_s = orders_per_s
        _lib.mm_load_rate(self._load, orders_per_s)

    def hold(self, held: bool) -> None:
        """Held, it closes its connections and makes none."""
        _lib.mm_load_hold(self._load, int(held))

    def reset_numbers(self) -> None:
        """Sessions begin anew with their next logon (ResetSeqNumFlag)."""
        _lib.mm_load_reset(self._load)

    # --- looking ---

    def counts(self) -> LoadCounts:
        c = _ffi.new("mm_load_counts *")
        _lib.mm_load_look(self._load, c)
        return LoadCounts(**{name: int(getattr(c, name)) for name in LoadCounts.__dataclass_fields__})

    @property
    def orders(self) -> Array:
        """ORDER, shape (sessions, capacity): [session, number]. Grows while the load runs."""
        return self._orders.reshape(len(self.sessions), self.settings.capacity)

    @property
    def reports(self) -> Array:
        """REPORT, in the order in which they came."""
        return self._reports[: self.counts().reports]

    def plans(self, session: int, n: int) -> Array:
        """PLAN of the first `n` orders of a session."""
        plans = np.zeros(n, dtype=PLAN)
        _lib.mm_load_plans(self._config, session, 0, n, _ffi.cast("mm_load_plan *", _ffi.from_buffer(plans)))
        return plans

    def unanswered(self) -> int:
        """Orders and cancels that were sent and have no answer; a cancel that was told under its order's name has one."""
        return int((~answered(self)).sum())

    def settled(self, timeout_s: float, poll_s: float = 0.02) -> bool:
        """Whether all sessions are on and everything has an answer, in time. Set the rate to 0 first."""
        until = time.monotonic() + timeout_s
        while True:
            c = self.counts()
            if c.up == len(self.sessions) and not c.resending and (c.sent == c.told or not self.unanswered()):
                return True
            if time.monotonic() > until:
                return False
            time.sleep(poll_s)


def answered(load: FixLoad) -> npt.NDArray[np.bool_]:
    """Of everything that was sent, in order of sessions and numbers: whether there was an answer."""
    parts = []
    for session, orders in enumerate(load.orders):
        sent = int(np.count_nonzero(orders["sent_ns"]))
        orders = orders[:sent]
        plans = load.plans(session, sent)
        by_order = plans["cancels"].astype(bool) & (orders["state"][plans["orig"]] & CANCELLED != 0)
        parts.append((orders["told_ns"] != 0) | by_order)
    return np.concatenate(parts) if parts else np.zeros(0, dtype=bool)


def _joined(fields: dict[int, str]) -> str:
    return "".join(f"{tag}={value}{SOH}" for tag, value in fields.items())
