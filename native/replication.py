"""Replication from Python: one thin class for each side. The loops run in C with the GIL released.

Semantics and the bytes on the wire: native/include/matchmark/replica.h and docs/cluster.md.
"""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

from matchmark.native import _native
from matchmark.native.pipeline import Pipeline, PipelineError
from matchmark.native.pipeline_records import Wait

_ffi: Any = _native.ffi
_lib: Any = _native.lib

PEERS_MAX: int = _lib.MM_PEERS_MAX
_SLICE_NS = 20_000_000


class Peer(NamedTuple):
    """What the primary knows of a standby: mm_peer_status. Sequence numbers; times are readings of `now_ns`."""

    connected: bool
    epoch: int
    drain: bool
    next: int
    received: int
    applied: int
    heard_ns: int
    round_trip_ns: int


class ReplicaStatus(NamedTuple):
    """mm_replica_status."""

    received: int
    applied: int
    primary_tail: int
    heard_ns: int
    engine_age_ns: int
    epoch: int
    drained: int | None
    """The last record of a primary that takes no more orders."""
    diverged: bool


class Result(IntEnum):
    """How a slice of `Replica.run` ended."""

    OK = 0
    STOPPED = 1
    LOST = 2


class Sender:
    """The primary's side. PipelineError when there is no memory, or the log lacks what a standby needs."""

    def __init__(self, pipeline: Pipeline, log_directory: Path | str, heartbeat_ns: int, stages: Any = None) -> None:
        fault = _ffi.new("mm_fault *")
        self._fault, self._pipeline = fault, pipeline
        self._stages = _ffi.NULL if stages is None else _ffi.from_buffer("mm_stages *", stages)
        path = str(log_directory).encode()
        self._native = _lib.mm_sender_make(pipeline.native, path, heartbeat_ns, self._stages, fault)
        if self._native == _ffi.NULL:
            raise _error(fault)

    def add(self, descriptor: int, next_sequence: int) -> int:
        """A connected, non-blocking socket, the sender's from then on; the peer's number, -1 when there is no room."""
        return int(_lib.mm_sender_add(self._native, descriptor, next_sequence))

    def drop(self, peer: int) -> None:
        _lib.mm_sender_drop(self._native, peer)

    def peer(self, number: int) -> Peer:
        s = _ffi.new("mm_peer_status *")
        _lib.mm_sender_peer(self._native, number, s)
        return Peer(
            bool(s.connected), s.epoch, bool(s.drain), s.next, s.received, s.applied, s.heard_ns, s.round_trip_ns
        )

    def in_step(self, peer: int) -> None:
        """Whose word counts in mode replicated; -1: nobody's."""
        _lib.mm_sender_in_step(self._native, peer)

    def drained(self, last: int | None) -> None:
        """Standbys are told that the primary has drained after record `last`; None: it has not."""
        _lib.mm_sender_drained(self._native, 2**64 - 1 if last is None else last)

    def run(self, slice_ns: int = _SLICE_NS, wait: Wait = Wait.YIELD) -> None:
        if _lib.mm_sender_run(self._native, slice_ns, int(wait), self._fault):
            raise _error(self._fault)

    def close(self) -> None:
        _lib.mm_sender_close(self._native)
        self._native = _ffi.NULL


class Replica:
    """A standby's side. PipelineError: its own records and its log do not fit together."""

    def __init__(self, pipeline: Pipeline, log_directory: Path | str) -> None:
        self._fault, self._pipeline = _ffi.new("mm_fault *"), pipeline
        self._native = _lib.mm_replica_make(pipeline.native, str(log_directory).encode(), self._fault)
        if self._native == _ffi.NULL:
            raise _error(self._fault)

    def next(self) -> tuple[int, int]:
        """The next record wanted, and the running hash of the one before it."""
        running_hash = _ffi.new("uint64_t *")
        return int(_lib.mm_replica_next(self._native, running_hash)), int(running_hash[0])

    def connect(self, descriptor: int) -> None:
        """A connected, non-blocking socket; it stays the caller's."""
        _lib.mm_replica_connect(self._native, descriptor)

    def ask_to_drain(self, drain: bool) -> None:
        _lib.mm_replica_ask_to_drain(self._native, int(drain))

    def run(self, slice_ns: int = _SLICE_NS, wait: Wait = Wait.YIELD) -> Result:
        """PipelineError: it has diverged, or the primary speaks something else; the text says where."""
        result = _lib.mm_replica_run(self._native, slice_ns, int(wait), self._fault)
        if result < 0:
            raise _error(self._fault)
        return Result(result)

    def status(self) -> ReplicaStatus:
        s = _ffi.new("mm_replica_status *")
        _lib.mm_replica_status_of(self._native, s)
        return ReplicaStatus(
            s.received,
            s.applied,
            s.primary_tail,
            s.heard_ns,
            s.engine_age_ns,
            s.epoch,
            s.drained - 1 if s.drained else None,
            bool(s.diverged),
        )

    def end_of(self, old: Pipeline | None, old_log: Path | str) -> int:
        """The last record to be had of an old primary's log. PipelineError when it is damaged."""
        native = _ffi.NULL if old is None else old.native
        last = int(_lib.mm_replica_end_of(self._native, native, str(old_log).encode(), self._fault))
        if last == 2**64 - 1:
            raise _error(self._fault)
        return last

    def gap(self, old: Pipeline | None, old_log: Path | str) -> int:
        """Takes the rest of an old primary's log and waits until it is executed; how many records that were."""
        native = _ffi.NULL if old is None else old.native
        taken = int(_lib.mm_replica_gap(self._native, native, str(old_log).encode(), self._fault))
        if taken < 0:
            raise _error(self._fault)
        return taken

    def orders_of(self, old: Pipeline) -> int:
        """Takes the orders that an old primary had taken and not executed into this member's ring; how many."""
        return int(_lib.mm_replica_orders_of(self._native, old.native))

    def close(self) -> None:
        _lib.mm_replica_close(self._native)
        self._native = _ffi.NULL


def hash_at(pipeline: Pipeline | None, log_directory: Path | str, sequence: int) -> int:
    """The running hash of a record of this exchange; 0: it is not there."""
    native = _ffi.NULL if pipeline is None else pipeline.native
    return int(_lib.mm_hash_at(native, str(log_directory).encode(), sequence))


def copy_store(source: Path, target: Path) -> None:
    """A session's store as it is at this moment. PipelineError when it cannot be copied."""
    why = _ffi.new("char[256]")
    if _lib.mm_fix_store_copy(str(source).encode(), str(target).encode(), why):
        raise PipelineError(_ffi.string(why).decode("utf-8", "replace"))


def _error(fault: Any) -> PipelineError:
    return PipelineError(_ffi.string(fault.text).decode("utf-8", "replace"), int(fault.code))
