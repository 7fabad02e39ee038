"""Where market data and the ledger get the exchange's events from: the audit log itself, or what was published from it.

The audit log is durable, in order, and numbered: whoever reads it needs nothing but the number of the record to go on from. It is
read where the writer has made it durable, so nothing is passed on that a power cut could take back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Protocol

import numpy as np

from matchmark.native.pipeline_records import AUDIT_RECORD
from matchmark.reference.audit_log import AuditFile, Records, log_files, open_file

EVENT, LAST = 2, 1
"""Kind of a record that tells an event; flag of the last record of a command (docs/audit-log.md)."""
CHUNK = 1 << 14
POLL_S = 0.001


class Batch(NamedTuple):
    """Events of whole commands, in the engine's order for each symbol.

    `records`: AUDIT_RECORD, shape (n,), kind 2 alone. `next_offset`: where to go on in `partition` once they are dealt with.
    `offsets`: where the events came in the log's order from a topic of many partitions, by partition where to go on in it.
    """

    partition: int
    next_offset: int
    records: Records
    offsets: Mapping[int, int] = MappingProxyType({})


class Source(Protocol):
    """`poll` waits up to `timeout_s` for something; an empty answer: nothing came."""

    def poll(self, timeout_s: float) -> Sequence[Batch]: ...

    def close(self) -> None: ...


class AuditLog:
    """The log of an exchange that is running. One partition, 0; an offset is the sequence number of the next record to read.

    `durable` gives the number of the last record on the disk. AuditLogError: a file is not one of an audit log.
    """

    def __init__(self, log: Path, durable: Callable[[], int], next_offset: int = 1) -> None:
        self._log, self._durable, self._next = log, durable, next_offset
        self._file: AuditFile | None = None

    def poll(self, timeout_s: float) -> Sequence[Batch]:
        until = time.monotonic() + timeout_s
        while (batch := self._read()) is None:
            if time.monotonic() >= until:
                return ()
            time.sleep(POLL_S)
        return (batch,)

    def close(self) -> None:
        self._file = None

    def hash_of(self, sequence: int) -> int | None:
        """Running hash of a record; None: it is not on the disk."""
        slots = self._slots(sequence, self._durable(), 1)
        return int(slots[0]["running_hash"]) if len(slots) else None

    def _read(self) -> Batch | None:
        durable = self._durable()
        if self._next > durable:
            return None
        parts: list[Records] = []
        at, wanted = self._next, CHUNK
        while at <= durable and wanted > 0:
            slots = self._slots(at, durable, wanted)
            if not len(slots):
                break
            last = np.flatnonzero(slots["flags"] & LAST)
            parts.append(slots)
            at += len(slots)
            if len(last):
                wanted -= len(slots)
        if not parts:
            return None
        records = np.concatenate(parts) if len(parts) > 1 else parts[0]
        last = np.flatnonzero(records["flags"] & LAST)
        if not len(last):
            return None  # the rest of the command is not on the disk yet
        whole = records[: int(last[-1]) + 1]
        self._next += len(whole)
        return Batch(0, self._next, whole[whole["kind"] == EVENT])

    def _slots(self, sequence: int, durable: int, most: int) -> Records:
        file = self._file
        if file is None or not 0 <= sequence - file.header.first_sequence < len(file.slots):
            file = self._file = self._open(sequence)
        if file is None:
            return np.zeros(0, dtype=AUDIT_RECORD)
        at = sequence - file.header.first_sequence
        return file.slots[at : min(len(file.slots), durable + 1 - file.header.first_sequence, at + most)]

    def _open(self, sequence: int) -> AuditFile | None:
        """The file that holds the record."""
        found = [path for path in log_files(self._log) if int(path.stem.removeprefix("audit-")) <= sequence]
        return open_file(found[-1]) if found else None
