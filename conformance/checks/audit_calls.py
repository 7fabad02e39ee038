"""What a log's writer asked of its disk, call by call, judged: pure functions over the journal and the log that came of it.

A write of one batch may reach the disk in several pieces, each going on where the one before it ended: they are taken as one. A
file's header page, and what is written to a file that does not have its name yet, are not batches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from matchmark.conformance.checks import audit_format as f
from matchmark.conformance.checks.audit_structure import AuditLog


class Call(Protocol):
    """A call as chaos.faults.disk_rules has it."""

    @property
    def kind(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def offset(self) -> int: ...
    @property
    def length(self) -> int: ...
    @property
    def error(self) -> int: ...
    @property
    def started_ns(self) -> int: ...
    @property
    def ended_ns(self) -> int: ...


@dataclass
class Piece:
    """Writes to one file that followed each other without a gap and without a flush between them."""

    path: str
    begin: int
    end: int
    started_ns: int
    flushed_ns: int = 0
    """When the flush behind it returned; 0 if none did."""
    calls: int = 1


def is_record_write(call: Call) -> bool:
    return call.kind == "write" and not call.error and call.offset >= f.HEADER_BYTES and _is_log(call.path)


def _is_log(path: str) -> bool:
    return f.NAME.fullmatch(path.rsplit("/", 1)[-1]) is not None


def pieces(calls: Iterable[Call]) -> list[Piece]:
    """The writes of records in order, with the flushes behind them."""
    out: list[Piece] = []
    open_pieces: dict[str, list[Piece]] = defaultdict(list)
    for call in calls:
        waiting = open_pieces[call.path]
        if is_record_write(call):
            if waiting and waiting[-1].end == call.offset:
                waiting[-1].end += call.length
                waiting[-1].calls += 1
            else:
                waiting.append(Piece(call.path, call.offset, call.offset + call.length, call.started_ns))
                out.append(waiting[-1])
        elif call.kind == "fsync" and not call.error:
            for piece in waiting:
                piece.flushed_ns = call.ended_ns
            waiting.clear()
    return out


def holes(calls: Sequence[Call]) -> list[str]:
    """Writes of records that do not begin where those before them in the file ended."""
    end: dict[str, int] = {}
    out = []
    for call in calls:
        if is_record_write(call):
            due = end.get(call.path, f.HEADER_BYTES)
            if call.offset != due:
                out.append(f"{call.path}: a write of {call.length} bytes at {call.offset}, the log's end was at {due}")
            end[call.path] = call.offset + call.length
    return out


def unflushed(calls: Sequence[Call]) -> list[str]:
    """Records that no flush followed, or only after others had been written behind them."""
    out = []
    found = pieces(calls)
    for piece, after in zip(found, [*found[1:], None], strict=True):
        what = f"{piece.path}: bytes {piece.begin} to {piece.end}"
        if not piece.flushed_ns:
            out.append(f"{what} were never flushed")
        elif after is not None and after.started_ns < piece.flushed_ns:
            out.append(f"{what} were not flushed when the next batch was written")
    return out


class Batches:
    """The log's batches, as its records number them, beside the calls that wrote them."""

    def __init__(self, log: AuditLog, calls: Sequence[Call]) -> None:
        self.log, self.calls = log, list(calls)
        self.first = np.flatnonzero(log.records["batch_index"] == 0)
        self.sizes = np.diff(np.append(self.first, len(log.records)))

    def too_large(self) -> list[str]:
        big = [f"a batch of {n} records" for n in self.sizes[self.sizes > f.BATCH_MAX].tolist()]
        for piece in pieces(self.calls):
            if piece.end - piece.begin > f.BATCH_MAX * f.RECORD_BYTES:
                big.append(f"{piece.path}: {piece.end - piece.begin} bytes in one batch, more than 1000 records")
        return big

    def more_calls_than_batches(self) -> list[str]:
        """A batch that goes over into the next file needs a write and a flush in each."""
        batches, files = len(self.sizes), len(self.log.files)
        writes = len(pieces(self.calls))
        flushes = sum(call.kind == "fsync" and not call.error and _is_log(call.path) for call in self.calls)
        out = []
        if writes > batches + files:
            out.append(f"{writes} writes for {batches} batches in {files} files")
        if flushes > batches + 2 * files:
            out.append(f"{flushes} flushes for {batches} batches in {files} files")
        return out
