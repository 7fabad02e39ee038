"""Engine: one native matching engine, driven by numpy batches or one command at a time."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from matchmark.native import _native
from matchmark.native.records import ABSENT, COMMAND, EVENT, EventKind, Side, State

_ffi: Any = _native.ffi
_lib: Any = _native.lib

Records = npt.NDArray[np.void]

_COMMAND = struct.Struct("<6B2xIIQQqqQQ")
_COMMAND_RANGES = ((0, 255),) * 6 + ((0, 2**32 - 1),) * 2 + ((0, 2**64 - 1),) * 2 + ((-(2**63), 2**63 - 1),) * 2
_EVENT = struct.Struct("<4BI3Qq4IQ")
_TOP = struct.Struct("<B3xIqQqQ24x")
_TOP_KIND = int(EventKind.TOP)
_submit = _lib.mm_engine_submit
_FULL = int(_lib.MM_FULL)
_ONE_BUFFER = 256  # events; a command that causes more is gone on with


class EngineClosed(RuntimeError):
    """The engine was closed; make a new one."""


class Event(NamedTuple):
    """One event, with the fields of EVENT; a field that its kind does not use is 0."""

    kind: int
    reason: int
    side: int
    state: int
    symbol: int
    cl_ord_id: int
    other_cl_ord_id: int
    order_id: int
    price_ticks: int
    quantity_lots: int
    cum_lots: int
    account: int
    other_account: int
    other_order_id: int


_as_event: Callable[[tuple[Any, ...]], Event] = partial(tuple.__new__, Event)  # _make without counting the fields again


class Top(NamedTuple):
    """Best price and aggregate quantity of both sides; an empty side has price ABSENT and quantity 0."""

    kind: int
    symbol: int
    bid_ticks: int
    bid_lots: int
    ask_ticks: int
    ask_lots: int


class Quote(NamedTuple):
    """One price level: its price, the sum of its orders' leaves, and their number."""

    price_ticks: int
    quantity_lots: int
    orders: int


class OrderView(NamedTuple):
    """What the engine knows of one ClOrdID. `price_ticks` is None and `leaves_lots` 0 once it is finished."""

    order_id: int
    price_ticks: int | None
    symbol: int
    account: int
    leaves_lots: int
    cum_lots: int
    side: Side
    state: State


class Counters(NamedTuple):
    """Counts since create or reset (accepted, trades, window_slides) and of now (the others)."""

    accepted: int
    trades: int
    resting_orders: int
    levels_in_use: int
    ids_in_use: int
    far_levels: int
    window_slides: int


class Engine:
    """A matching engine for `symbols` instruments, numbered from 0. Semantics: docs/engine-rules.md.

    max_orders      orders resting at once; max_levels: price levels in use at once (default: as many as orders)
    remembered_ids  ClOrdIDs, live and finished, until reset; 0 forgets an order as soon as it has ended, so that its
                    ClOrdID may be used again and a late cancel is answered with unknown_order
    emit_top        emit a top event when the best price or its quantity changed
    window_ticks    prices a side indexes directly; hash_seed: of the ClOrdID map. Neither has an effect on events.

    resident        touch all memory now, on huge pages where there are any, so that no command meets a page fault

    Otherwise the memory is reserved at once and touched as it is used. A full pool is answered with a `capacity`
    rejection. Calls release the GIL and take turns on one engine. ValueError: a setting is out of range; MemoryError:
    there is not that much memory.
    """

    def __init__(
        self,
        symbols: int,
        max_orders: int = 1 << 20,
        max_levels: int | None = None,
        remembered_ids: int = 1 << 22,
        emit_top: bool = False,
        *,
        window_ticks: int = 4096,
        hash_seed: int = 0,
        resident: bool = False,
    ) -> None:
        levels = max_orders if max_levels is None else max_levels
        try:
            settings = (symbols, max_orders, levels, remembered_ids, window_ticks, int(emit_top), hash_seed)
            config = _ffi.new("mm_config *", settings)
        except OverflowError as error:
            raise ValueError(f"engine setting out of range: {error}") from None
        fault = _lib.mm_config_error(config)
        if fault != _ffi.NULL:
            raise ValueError(f"engine setting out of range: {_ffi.string(fault).decode()}")
        engine = _lib.mm_engine_map(config, int(resident))
        if engine == _ffi.NULL:
            size = _lib.mm_engine_size(config)
            raise MemoryError(f"no {size:,} bytes for an engine: lower symbols, max_orders or remembered_ids")
        self._engine: Any = _ffi.gc(engine, _lib.mm_engine_destroy)
        self._lock = threading.Lock()
        self._progress = _ffi.new("mm_progress *")
        self._command = _ffi.new("mm_command *")
        self._command_bytes = _ffi.buffer(self._command)
        self._events = _ffi.new("mm_event[]", _ONE_BUFFER)
        self._event_bytes = _ffi.buffer(self._events)

    def submit(self, commands: Records) -> Records:
        """Takes a batch of COMMAND records, shape (n,); returns all their events in order, EVENT, shape (m,)."""
        _check_records(commands, COMMAND, "commands")
        events: Records = np.empty(2 * len(commands) + 64, dtype=EVENT)
        with self._lock:
            taken, written = self._submit(commands, events)
            while taken < len(commands) or _lib.mm_engine_unfinished(self._engine):
                grown: Records = np.empty(2 * len(events), dtype=EVENT)
                grown[:written] = events[:written]
                events = grown
                more_taken, more_written = self._submit(commands[taken:], events[written:])
                taken += more_taken
                written += more_written
        return events[:written]

    def submit_into(self, commands: Records, events: Records) -> tuple[int, int]:
        """The same into a buffer of the caller's: (commands taken, events written).

        A full buffer stops it: read the events, then submit the commands that were not taken. While `unfinished` is
        true the last one taken has more events to come; the next call writes them first, also when no command is left.
        """
        _check_records(commands, COMMAND, "commands")
        _check_records(events, EVENT, "events")
        if not events.flags.writeable:
            raise ValueError("events: the array is read-only")
        with self._lock:
            return self._submit(commands, events)

    def _submit(self, commands: Records, events: Records) -> tuple[int, int]:
        c = _ffi.from_buffer("mm_command[]", commands) if len(commands) else _ffi.NULL
        e = _ffi.from_buffer("mm_event[]", events) if len(events) else _ffi.NULL
        code = _submit(self._open(), c, len(commands), e, len(events), self._progress)
        if code == _lib.MM_SMALL_BUFFER:
            raise ValueError(f"events: room for {len(events)}, at least {_lib.MM_MIN_EVENTS} are needed")
        return self._progress.commands, self._progress.events

    def execute(
        self,
        op: int,
        cl_ord_id: int = 0,
        orig_cl_ord_id: int = 0,
        account: int = 0,
        symbol: int = 0,
        side: int = 0,
        type: int = 0,
        tif: int = 0,
        smp: int = 0,
        price_ticks: int | None = None,
        quantity_lots: int | None = None,
        time_ns: int = 0,
        tag: int = 0,
        defer: int = 0,
    ) -> list[Event | Top]:
        """Takes one command; returns its events.

        An integer that does not fit its field becomes the nearest that does, which the engine then refuses as it would
        have refused the number itself: no field's largest value is a valid one, ClOrdIDs and times excepted.
        """
        price = ABSENT if price_ticks is None else price_ticks
        quantity = ABSENT if quantity_lots is None else quantity_lots
        with self._lock:
            engine = self._engine or self._open()
            try:
                _COMMAND.pack_into(
                    self._command_bytes, 0, op, side, type, tif, smp, defer, account, symbol, cl_ord_id, orig_cl_ord_id,
                    price, quantity, time_ns, tag,
                )  # fmt: skip
            except struct.error:
                fields = (op, side, type, tif, smp, defer, account, symbol, cl_ord_id, orig_cl_ord_id, price, quantity)
                _COMMAND.pack_into(self._command_bytes, 0, *_nearest(fields), time_ns, tag)
            done, view = self._progress, self._event_bytes
            code = _submit(engine, self._command, 1, self._events, _ONE_BUFFER, done)
            out = _events(view[: 64 * done.events])
            while code == _FULL:
                code = _submit(engine, _ffi.NULL, 0, self._events, _ONE_BUFFER, done)
                out += _events(view[: 64 * done.events])
            return out

    def reset(self) -> None:
        """Empties every book and forgets every ClOrdID."""
        with self._lock:
            _lib.mm_engine_reset(self._open())

    @property
    def unfinished(self) -> bool:
        """Whether the last command taken still has events to come, for want of room."""
        with self._lock:
            return bool(_lib.mm_engine_unfinished(self._open()))

    def state_hash(self) -> int:
        """The 64-bit state hash of docs/engine-rules.md; walks all resting orders."""
        with self._lock:
            return int(_lib.mm_engine_state_hash(self._open()))

    def best(self, symbol: int, side: int) -> Quote | None:
        """The best level of a side, None when the side is empty or there is no such symbol."""
        with self._lock:
            return _quote(_lib.mm_engine_best(self._open(), symbol, side))

    def depth(self, symbol: int, side: int, price_ticks: int) -> Quote | None:
        """The level at a price, None when nothing rests there."""
        with self._lock:
            return _quote(_lib.mm_engine_depth(self._open(), symbol, side, price_ticks))

    def order(self, cl_ord_id: int) -> OrderView | None:
        """What is known of a ClOrdID, None when it is unknown (or forgotten)."""
        with self._lock:
            v = _lib.mm_engine_order(self._open(), cl_ord_id)
        if v.state == State.UNKNOWN:
            return None
        price = None if v.price_ticks == ABSENT else v.price_ticks
        return OrderView(
            v.order_id, price, v.symbol, v.account, v.leaves_lots, v.cum_lots, Side(v.side), State(v.state)
        )

    def counters(self) -> Counters:
        """How much was done and how much is in use."""
        with self._lock:
            c = _lib.mm_engine_counters(self._open())
        return Counters(*(getattr(c, name) for name in Counters._fields))

    def check(self) -> None:
        """Walks everything and raises AssertionError if an invariant of the engine does not hold. For tests."""
        with self._lock:
            fault = _lib.mm_engine_check(self._open())
        if fault != _ffi.NULL:
            raise AssertionError(f"native engine is inconsistent: {_ffi.string(fault).decode()}")

    def close(self) -> None:
        """Gives the memory back; any later call raises EngineClosed. Closing twice does nothing."""
        with self._lock:
            if self._engine is not None:
                _ffi.release(self._engine)
                self._engine = None

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> Any:
        if self._engine is None:
            raise EngineClosed("the engine is closed; make a new one")
        return self._engine


def _check_records(array: Records, dtype: np.dtype[Any], name: str) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        found = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise TypeError(f"{name}: expected a numpy array of the {name[:-1].upper()} dtype, got {found}")
    if array.ndim != 1 or not array.flags.c_contiguous:
        raise ValueError(f"{name}: expected one contiguous dimension, got shape {array.shape}, strides {array.strides}")


def _events(records: bytes) -> list[Event | Top]:
    if len(records) == _EVENT.size and records[0] != _TOP_KIND:  # most commands cause one event
        return [_as_event(_EVENT.unpack(records))]
    out: list[Event | Top] = list(map(_as_event, _EVENT.iter_unpack(records)))
    if _TOP_KIND in records[::64]:
        for at, event in enumerate(out):
            if event.kind == _TOP_KIND:
                out[at] = Top._make(_TOP.unpack_from(records, 64 * at))
    return out


def _nearest(fields: tuple[int, ...]) -> tuple[int, ...]:
    """The command's fields, each forced into its range; an overflowing price or quantity never becomes ABSENT."""
    if not all(isinstance(field, int) for field in fields):
        raise TypeError(f"a command's fields are integers, got {fields}")
    forced = tuple(min(max(field, low), high) for field, (low, high) in zip(fields, _COMMAND_RANGES, strict=True))
    return tuple(
        ABSENT + 1 if value == ABSENT and field != ABSENT else value
        for field, value in zip(fields, forced, strict=True)
    )


def _quote(q: Any) -> Quote | None:
    return None if q.price_ticks == ABSENT else Quote(q.price_ticks, q.quantity_lots, q.orders)
