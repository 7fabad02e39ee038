"""The pipeline from Python: one thin class a role. The loops run in C with the GIL released; orders go one call each, so
this is the control plane and the tests' way in, not the gateway's.

Semantics: native/include/matchmark/pipeline.h and docs/shared-memory.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from matchmark.native import _native
from matchmark.native.pipeline_records import ORDER, REPORT, Durability, ExchangeState, Put, Role, Wait

_ffi: Any = _native.ffi
_lib: Any = _native.lib

Records = npt.NDArray[np.void]

AUDIT_BATCH_MAX: int = _lib.MM_AUDIT_BATCH_MAX
NO_LEASE = 2**64 - 1


class PipelineError(RuntimeError):
    """What the native side said: a sentence with whose fault it is and what to do. `errno` is 0 where none applies."""

    def __init__(self, text: str, errno: int = 0) -> None:
        super().__init__(text)
        self.errno = errno


@dataclass(frozen=True)
class EngineConfig:
    """The engine's configuration, as in matchmark.native.Engine; an audit log is bound to it."""

    symbols: int
    max_orders: int = 1 << 20
    max_levels: int | None = None
    remembered_ids: int = 1 << 22
    window_ticks: int = 4096
    emit_top: bool = False
    hash_seed: int = 0

    def native(self) -> Any:
        levels = self.max_orders if self.max_levels is None else self.max_levels
        settings = (self.symbols, self.max_orders, levels, self.remembered_ids, self.window_ticks, int(self.emit_top))
        try:
            return _ffi.new("mm_config *", (*settings, self.hash_seed))
        except OverflowError as error:
            raise ValueError(f"engine setting out of range: {error}") from None

    @classmethod
    def of(cls, c: Any) -> EngineConfig:
        return cls(
            c.n_symbols, c.max_orders, c.max_levels, c.remembered_ids, c.window_ticks, bool(c.emit_top), c.hash_seed
        )


class Extent(NamedTuple):
    """What an audit log holds: mm_audit_extent. `config` is None for an empty log."""

    files: int
    sequence: int
    running_hash: int
    next_order_position: int
    bytes_cut: int
    records_cut: int
    epoch: int
    config: EngineConfig | None
    instruments_hash: int


class Status(NamedTuple):
    """A snapshot of a running pipeline: mm_pipeline_status."""

    state: ExchangeState
    failure: str
    failure_errno: int
    epoch: int
    order_position: int
    orders_waiting: int
    sequence: int
    durable_sequence: int
    orders_abandoned: int
    engine_beat_ns: int
    writer_beat_ns: int
    engine_pid: int
    writer_pid: int
    generation: int
    durability: Durability
    role: Role
    fenced_by: int
    alone: bool
    replicated_sequence: int
    lease_until_ns: int


def now_ns() -> int:
    """The clock of all stamps: CLOCK_MONOTONIC_RAW in nanoseconds."""
    return int(_lib.mm_now_ns())


def pick_wait(threads: int, asked: Wait = Wait.AUTO) -> tuple[Wait, str]:
    """How `threads` busy threads should wait on this machine, and a sentence that says why."""
    text = _ffi.new("char[256]")
    return Wait(_lib.mm_wait_pick(int(asked), threads, text)), _ffi.string(text).decode()


class Snapshot:
    """A snapshot's file, mapped. PipelineError when it is not there, damaged, or of another version; with `check` every byte is
    looked at. Semantics: native/include/matchmark/snapshot.h."""

    def __init__(self, path: Path | str, check: bool = True) -> None:
        fault = _ffi.new("mm_fault *")
        self.native: Any = _lib.mm_snapshot_open(_path(path), int(check), fault)
        if self.native == _ffi.NULL:
            raise _error(fault)
        head = _lib.mm_snapshot_head_of(self.native)
        self.sequence, self.state_hash = int(head.sequence), int(head.state_hash)
        self.settings_hash = int(head.settings_hash)

    def require_log(self, directory: Path | str) -> None:
        """PipelineError unless the log has the snapshot's last record."""
        fault = _ffi.new("mm_fault *")
        _raise_if(_lib.mm_snapshot_fits(self.native, _path(directory), fault), fault)

    def close(self) -> None:
        if self.native != _ffi.NULL:
            _lib.mm_snapshot_close(self.native)
            self.native = _ffi.NULL

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def recover(directory: Path | str, cut: bool = True, snapshot: Snapshot | None = None, last: int = -1) -> Extent:
    """Checks every record of a log, or every one behind the snapshot, and cuts a torn tail. PipelineError: damage to committed
    records, which is never cut. `last`: the last one that was committed (0: none), where shared memory says so; what lies behind
    it is not looked at, for the writer writes that again."""
    fault, extent = _ffi.new("mm_fault *"), _ffi.new("mm_audit_extent *")
    if snapshot:
        result = _lib.mm_audit_recover_from(_path(directory), snapshot.native, last, int(cut), extent, fault)
    else:
        result = _lib.mm_audit_recover(_path(directory), last, int(cut), extent, fault)
    _raise_if(result, fault)
    header = extent.header
    return Extent(
        extent.files, extent.sequence, extent.running_hash, extent.next_order_position, extent.bytes_cut,
        extent.records_cut, extent.epoch, EngineConfig.of(header.engine) if header.magic else None,
        header.instruments_hash,
    )  # fmt: skip


def create(
    directory: Path | str,
    extent: Extent | None = None,
    *,
    gateways: int = 1,
    order_slots: int = 1 << 14,
    audit_slots: int = 1 << 16,
    report_slots: int = 1 << 14,
    durability: Durability = Durability.ASYNC,
    epoch: int = 1,
) -> None:
    """Makes the shared memory of an exchange that goes on where the log (`extent`) ends."""
    fault = _ffi.new("mm_fault *")
    base = (extent.sequence, extent.running_hash, extent.next_order_position) if extent else (0, 0, 0)
    settings = (gateways, order_slots, audit_slots, report_slots, int(durability), epoch, *base)
    _raise_if(_lib.mm_pipeline_create(_path(directory), _ffi.new("mm_pipeline_config *", settings), fault), fault)


class Pipeline:
    """A mapped pipeline. PipelineError when the files are not there, damaged, or of another version."""

    def __init__(self, directory: Path | str) -> None:
        fault = _ffi.new("mm_fault *")
        self.native: Any = _lib.mm_pipeline_attach(_path(directory), fault)
        if self.native == _ffi.NULL:
            raise _error(fault)

    @property
    def state(self) -> ExchangeState:
        return ExchangeState(_lib.mm_pipeline_state(self.native))

    @state.setter
    def state(self, state: ExchangeState) -> None:
        _lib.mm_pipeline_set_state(self.native, int(state))

    @property
    def durable_sequence(self) -> int:
        return int(_lib.mm_pipeline_durable_sequence(self.native))

    def fail(self, text: str, errno: int = 0) -> None:
        _lib.mm_pipeline_fail(self.native, errno, text.encode("ascii", "replace"))

    def clear_failure(self) -> None:
        _lib.mm_pipeline_clear_failure(self.native)

    @property
    def role(self) -> Role:
        return Role(_lib.mm_pipeline_role(self.native))

    @role.setter
    def role(self, role: Role) -> None:
        _lib.mm_pipeline_set_role(self.native, int(role))

    def set_lease(self, until_ns: int) -> None:
        """Until when (`now_ns`) it may act as a primary; NO_LEASE: it needs none."""
        _lib.mm_pipeline_set_lease(self.native, until_ns)

    def may_act(self) -> bool:
        return bool(_lib.mm_pipeline_may_act(self.native))

    def fence(self, epoch: int) -> None:
        """Another member is primary under this epoch: it is over here."""
        _lib.mm_pipeline_fence(self.native, epoch)

    def retire(self) -> None:
        """With no role running: what was fenced or failed may be read and written out, not traded on."""
        _lib.mm_pipeline_retire(self.native)

    def set_epoch(self, epoch: int) -> None:
        _lib.mm_pipeline_set_epoch(self.native, epoch)

    def set_alone(self, alone: bool) -> None:
        _lib.mm_pipeline_set_alone(self.native, int(alone))

    def status(self) -> Status:
        s = _ffi.new("mm_pipeline_status *")
        _lib.mm_pipeline_status_of(self.native, s)
        return Status(
            ExchangeState(s.state), _ffi.string(s.failure).decode(), s.failure_errno, s.epoch, s.order_position,
            s.orders_waiting, s.sequence, s.durable_sequence, s.orders_abandoned, s.engine_beat_ns, s.writer_beat_ns,
            s.engine_pid, s.writer_pid, s.generation, Durability(s.config.durability), Role(s.role),
            s.fenced_by, bool(s.alone), s.replicated_sequence, s.lease_until_ns,
        )  # fmt: skip

    def close(self) -> None:
        if self.native != _ffi.NULL:
            _lib.mm_pipeline_detach(self.native)
            self.native = _ffi.NULL

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Gateway:
    """One gateway's side of a pipeline. PipelineError when the number is taken."""

    def __init__(self, pipeline: Pipeline, number: int) -> None:
        fault = _ffi.new("mm_fault *")
        _raise_if(_lib.mm_gateway_join(pipeline.native, number, fault), fault)
        self.pipeline, self.number = pipeline, number
        self._first = _ffi.new("mm_report **")
        self._position = _ffi.new("uint64_t *")

    def put(self, order: Records) -> tuple[Put, int]:
        """One ORDER record; returns whether it was taken, and its order position."""
        pointer = _ffi.from_buffer("mm_order_message *", order)
        code = _lib.mm_orders_put(self.pipeline.native, self.number, pointer, self._position)
        return Put(code), self._position[0]

    def put_all(self, orders: Records) -> int:
        """ORDER records, shape (n,), until the ring is full or the exchange stops; returns how many were taken."""
        base, size = _ffi.from_buffer("mm_order_message[]", orders), len(orders)
        put, native, number, none = _lib.mm_orders_put, self.pipeline.native, self.number, _ffi.NULL
        for i in range(size):
            if put(native, number, base + i, none) != 0:
                return i
        return size

    def take(self, most: int = 1 << 20) -> Records:
        """REPORT records that may be sent, a copy, shape (n,); they are released."""
        n = _lib.mm_reports_peek(self.pipeline.native, self.number, self._first, most)
        reports = (
            np.frombuffer(_ffi.buffer(self._first[0], n * REPORT.itemsize), dtype=REPORT).copy() if n else _NO_REPORTS
        )
        _lib.mm_reports_release(self.pipeline.native, self.number, n)
        return reports

    @property
    def lost_from(self) -> int:
        """First key of the reports that were dropped because the ring was full; 0 for none."""
        return int(_lib.mm_reports_lost_from(self.pipeline.native, self.number))

    def resume(self) -> int:
        """Asks for reports again; the key from which on they come, 0 while the engine has not answered."""
        return int(_lib.mm_reports_resume(self.pipeline.native, self.number))

    def leave(self) -> None:
        _lib.mm_gateway_leave(self.pipeline.native, self.number)


class EngineLoop:
    """The engine's process. PipelineError when it cannot be brought to where the log ends."""

    def __init__(
        self, pipeline: Pipeline, log_directory: Path | str, config: EngineConfig, snapshot: Snapshot | None = None
    ) -> None:
        fault = _ffi.new("mm_fault *")
        begin = snapshot.native if snapshot else _ffi.NULL
        self._loop = _lib.mm_engine_loop_open_from(pipeline.native, _path(log_directory), config.native(), begin, fault)
        if self._loop == _ffi.NULL:
            raise _error(fault)

    def populate(self) -> None:
        """All of its memory now, so that no order waits for a page; it stays lazy where the system cannot (Linux before 5.14)."""
        _lib.mm_engine_loop_populate(self._loop)

    def poll(self) -> int:
        return int(_lib.mm_engine_loop_poll(self._loop))

    def run(self, slice_ns: int = 50_000_000, wait: Wait = Wait.YIELD) -> int:
        """0: the slice is over; 1: stopped and drained; -1: the exchange failed (Pipeline.status says why)."""
        return int(_lib.mm_engine_loop_run(self._loop, slice_ns, int(wait)))

    @property
    def native(self) -> Any:
        return self._loop

    def state_hash(self) -> int:
        return int(_lib.mm_engine_state_hash(_lib.mm_engine_loop_engine(self._loop)))

    def close(self) -> None:
        _lib.mm_engine_loop_close(self._loop)
        self._loop = _ffi.NULL


class AuditWriter:
    """The audit writer's process. PipelineError when the log cannot be written or is not this exchange's."""

    def __init__(
        self,
        pipeline: Pipeline,
        log_directory: Path | str,
        config: EngineConfig,
        *,
        instruments_hash: int = 0,
        file_records: int = 1_000_000,
        linger_ns: int = 1_000_000,
    ) -> None:
        fault = _ffi.new("mm_fault *")
        settings = (config.native()[0], instruments_hash, file_records, linger_ns)
        native = _ffi.new("mm_writer_config *", settings)
        self._writer = _lib.mm_writer_open(pipeline.native, _path(log_directory), native, fault)
        if self._writer == _ffi.NULL:
            raise _error(fault)

    def measure(self, stages: Any) -> None:
        """Counts into memory of a mm_stages (stages.h), which must outlive the writer."""
        self._stages = _ffi.from_buffer("mm_stages *", stages)
        _lib.mm_writer_measure(self._writer, self._stages)

    def poll(self) -> int:
        return int(_lib.mm_writer_poll(self._writer))

    def run(self, slice_ns: int = 50_000_000, wait: Wait = Wait.YIELD) -> int:
        """0: the slice is over; 1: stopped, and all is on disk; -1: the log failed and the exchange has stopped."""
        return int(_lib.mm_writer_run(self._writer, slice_ns, int(wait)))

    def close(self) -> None:
        _lib.mm_writer_close(self._writer)
        self._writer = _ffi.NULL


def report_of_record(record: Records, command: Records | None = None, resting: bool = False) -> Records | None:
    """The REPORT that the engine made of an event's AUDIT_RECORD, None when it makes no such report."""
    report = np.zeros(1, dtype=REPORT)
    r = _ffi.from_buffer("mm_audit_record *", record)
    c = _ffi.NULL if command is None else _ffi.from_buffer("mm_audit_record *", command)
    made = _lib.mm_report_of_record(r, c, int(resting), _ffi.from_buffer("mm_report *", report))
    return report if made else None


def new_orders(n: int) -> Records:
    """`n` zeroed ORDER records."""
    return np.zeros(n, dtype=ORDER)


_NO_REPORTS: Records = np.zeros(0, dtype=REPORT)


def _path(directory: Path | str) -> bytes:
    return str(directory).encode()


def _error(fault: Any) -> PipelineError:
    return PipelineError(_ffi.string(fault.text).decode("utf-8", "replace"), fault.code)


def _raise_if(code: int, fault: Any) -> None:
    if code:
        raise _error(fault)
