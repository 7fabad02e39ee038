"""Reads an audit log from its bytes and says what is wrong with its structure: pure functions, no file is opened here.

A log is judged up to its first fault; what lies behind it cannot be told from noise. What a crash may leave behind the last
record, a torn tail, is told and is not a fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from matchmark.conformance.checks import audit_format as f
from matchmark.conformance.checks.audit_format import Bytes, Records


class FaultKind(StrEnum):
    """What kind of wrong; which clause that breaks depends on how the log came about (clause_of)."""

    FORMAT = "format"
    """Not in the documented format: header, check sum, reserved bytes."""
    SEQUENCE = "sequence"
    """A record is missing, or is there twice."""
    CHAIN = "chain"
    """A record's bytes are not those that the chain of hashes was made of."""
    FRAMING = "framing"
    """Commands and the events that they caused do not fit together."""
    ROTATION = "rotation"
    """A file does not go on where the one before it ended."""


@dataclass(frozen=True)
class Fault:
    kind: FaultKind
    file: str
    offset: int
    sequence: int
    """The record number that should be there."""
    text: str

    def __str__(self) -> str:
        return f"{self.file}, offset {self.offset}, record {self.sequence}: {self.text}"


@dataclass(frozen=True)
class Torn:
    """Bytes behind the last record, of a batch that was on its way when the writer ended."""

    file: str
    offset: int
    bytes: int


@dataclass(frozen=True)
class Place:
    """Where the records of a file are in the log."""

    file: str
    first_sequence: int
    records: int
    capacity: int


@dataclass
class AuditLog:
    """`records` (audit_format.RECORD) are those before the first fault; all of them when there is none."""

    records: Records
    files: list[Place] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    torn: Torn | None = None

    @property
    def last_sequence(self) -> int:
        return int(self.records["sequence"][-1]) if len(self.records) else 0

    @property
    def whole_commands(self) -> int:
        """How many records belong to commands whose last record is there: a crash may cut the last one short."""
        ends = np.flatnonzero(self.records["flags"] & 1)
        return int(ends[-1]) + 1 if len(ends) else 0

    def place_of(self, sequence: int) -> tuple[str, int]:
        """File and byte offset of a record."""
        for place in self.files:
            if place.first_sequence <= sequence < place.first_sequence + place.records:
                return place.file, f.HEADER_BYTES + (sequence - place.first_sequence) * f.RECORD_BYTES
        raise KeyError(f"record {sequence} is not in this log")


def read_log(files: Sequence[tuple[str, bytes]]) -> AuditLog:
    """The log that these files are, given as (name, content) in any order. Names that are no log file's are passed over."""
    reading = _Reading()
    known = sorted((name, content) for name, content in files if f.NAME.fullmatch(name))
    for number, (name, content) in enumerate(known):
        reading.take(name, np.frombuffer(content, dtype=np.uint8), last=number + 1 == len(known))
        if reading.log.faults:
            break
    return reading.end()


class _Reading:
    """What is known at the end of the files read so far."""

    def __init__(self) -> None:
        self.log = AuditLog(np.zeros(0, dtype=f.RECORD))
        self.parts: list[Bytes] = []
        self.sequence, self.hash = 0, 0
        self.same: tuple[bytes, int] | None = None
        self.file = ""

    def fault(self, kind: FaultKind, offset: int, text: str) -> None:
        self.log.faults.append(Fault(kind, self.file, offset, self.sequence + 1, text))

    def take(self, name: str, content: Bytes, last: bool) -> None:
        self.file = name
        capacity = self._header(name, content)
        if capacity is None:
            return
        count = min((len(content) - f.HEADER_BYTES) // f.RECORD_BYTES, capacity)
        slots = content[f.HEADER_BYTES : f.HEADER_BYTES + count * f.RECORD_BYTES].reshape(count, f.RECORD_BYTES)
        written = np.flatnonzero(slots.any(axis=1))
        used = slots[: int(written[-1]) + 1 if len(written) else 0]
        good, text, kind = self._links(used)
        first = self.sequence + 1
        self._keep(used[:good])
        self.log.files.append(Place(name, first, good, capacity))
        if good < len(used):
            self._stopped(slots, used, good, kind, text, last)
        elif len(used) < capacity and not last:
            self.fault(
                FaultKind.ROTATION, _offset(len(used)), "the file ends here, before its capacity, and has a successor"
            )

    def _header(self, name: str, content: Bytes) -> int | None:
        """The file's capacity; None when its header is wrong, or does not go on from the file before."""
        if len(content) < f.HEADER_BYTES:
            self.fault(FaultKind.FORMAT, 0, f"{len(content)} bytes, too short for a header")
            return None
        page = content[: f.HEADER_BYTES]
        h = page.view(f.HEADER)[0]
        crc = int(f.crc32c(page[np.newaxis, : f.HEADER_BYTES - 4])[0])
        numbered = f.NAME.fullmatch(name)
        first = int(h["first_sequence"])
        for wrong, kind, text in (
            (bytes(h["magic"]) != f.MAGIC, FaultKind.FORMAT, "the magic number of an audit log is not there"),
            (crc != int(h["crc"]), FaultKind.FORMAT, "the header's CRC does not fit its bytes"),
            (int(h["version"]) != f.VERSION, FaultKind.FORMAT, f"version {int(h['version'])}, documented is {f.VERSION}"),
            (int(h["record_bytes"]) != f.RECORD_BYTES, FaultKind.FORMAT, "the header gives another record size"),
            (int(h["capacity_records"]) < 1, FaultKind.FORMAT, "a capacity of 0 records"),
            (numbered is None or int(numbered[1]) != first, FaultKind.ROTATION, f"begins with record {first}, not as named"),
            (first != self.sequence + 1, FaultKind.ROTATION, f"begins with record {first}: a file is missing, or there twice"),
            (int(h["first_hash"]) != self.hash, FaultKind.ROTATION, "does not go on from the hash at the end of the file before"),
        ):  # fmt: skip
            if wrong:
                self.fault(kind, 0, text)
                return None
        same = (bytes(h["engine"]), int(h["instruments_hash"]))
        if self.same not in (None, same):
            self.fault(FaultKind.ROTATION, 56, "another engine configuration or instrument list than in the first file")
            return None
        self.same = same
        return int(h["capacity_records"])

    def _links(self, rows: Bytes) -> tuple[int, str, FaultKind]:
        """How many rows from the first are records that follow one another, and what is wrong with the next."""
        n = len(rows)
        if not n:
            return 0, "", FaultKind.FORMAT
        r = rows.view(f.RECORD)[:, 0]
        running = np.concatenate([np.array([self.hash], dtype=np.uint64), r["running_hash"][:-1]])
        due = np.arange(self.sequence + 1, self.sequence + 1 + n, dtype=np.uint64)
        checks = (
            (
                f.crc32c(rows[:, : f.RECORD_BYTES - 4]) != r["crc"],
                FaultKind.FORMAT,
                "the CRC does not fit the record's bytes",
            ),
            (r["sequence"] != due, FaultKind.SEQUENCE, "the sequence number is not the next"),
            (
                f.chained(running, f.content_hash(rows)) != r["running_hash"],
                FaultKind.CHAIN,
                "the running hash does not follow from this record and the one before it",
            ),
        )
        firsts = [(int(np.argmax(bad)) if bad.any() else n, kind, text) for bad, kind, text in checks]
        at, kind, text = min(firsts, key=lambda found: found[0])
        return at, text, kind

    def _keep(self, rows: Bytes) -> None:
        if len(rows):
            self.parts.append(rows)
            last = rows[-1:].view(f.RECORD)[0, 0]
            self.sequence, self.hash = int(last["sequence"]), int(last["running_hash"])

    def _stopped(self, slots: Bytes, used: Bytes, at: int, kind: FaultKind, text: str, last: bool) -> None:
        if last and self._is_torn(used, at):
            self.log.torn = Torn(self.file, _offset(at), (len(used) - at) * f.RECORD_BYTES)
            return
        words = text if used[at].any() else "zeros where a record was"
        self.fault(kind if used[at].any() else FaultKind.SEQUENCE, _offset(at), words)

    def _is_torn(self, used: Bytes, at: int) -> bool:
        """The documented rule: not when a later batch is there, nor when the bad record was written in whole sectors."""
        behind = used[at + 1 :]
        r = behind.view(f.RECORD)[:, 0] if len(behind) else np.zeros(0, dtype=f.RECORD)
        due = np.arange(self.sequence + 2, self.sequence + 2 + len(r), dtype=np.uint64)
        valid = (
            (r["sequence"] == due) & (f.crc32c(behind[:, : f.RECORD_BYTES - 4]) == r["crc"])
            if len(r)
            else np.zeros(0, bool)
        )
        if (valid & (r["sequence"] - r["batch_index"] > self.sequence + 1)).any():
            return False
        # The part of each sector that lies in this file's records; what is in front of record `at` was written before it.
        begin, end = _offset(at), _offset(at + 1)
        flat = np.concatenate([np.ones(f.HEADER_BYTES, dtype=np.uint8), used.reshape(-1)])
        sectors = range(begin // f.SECTOR_BYTES * f.SECTOR_BYTES, end, f.SECTOR_BYTES)
        return any(not flat[max(s, begin) : s + f.SECTOR_BYTES].any() for s in sectors)

    def end(self) -> AuditLog:
        log = self.log
        rows = np.concatenate(self.parts) if self.parts else np.zeros((0, f.RECORD_BYTES), dtype=np.uint8)
        log.records = rows.view(f.RECORD)[:, 0] if len(rows) else log.records
        for index, text in framing(log.records):
            file, offset = log.place_of(index + 1)
            log.faults.insert(0, Fault(FaultKind.FRAMING, file, offset, index + 1, text))
            log.records = log.records[:index]
            break
        return log


def framing(records: Records) -> Iterator[tuple[int, str]]:
    """(index, what is wrong) of the records that do not fit to the command they belong to, first of each sort."""
    if not len(records):
        return
    kind, ends = records["kind"], (records["flags"] & 1).astype(bool)
    before_ended = np.concatenate([np.array([True]), ends[:-1]])
    op = records["flags"] >> 4
    batch = records["batch_index"].astype(np.int64)
    before_batch = np.concatenate([np.array([-1]), batch[:-1]])
    epoch = records["epoch"].astype(np.int64)
    found = []
    for bad, text in (
        ((kind != f.Kind.COMMAND) & (kind != f.Kind.EVENT), "neither a command nor an event"),
        ((kind == f.Kind.COMMAND) & ~before_ended, "a command, but the last event of the one before it is missing"),
        ((kind == f.Kind.EVENT) & before_ended, "an event, but the command before it had ended"),
        ((kind == f.Kind.EVENT) & (np.concatenate([op[:1], op[:-1]]) != op), "an event of another kind of command"),
        (records["zero"] != 0, "reserved bytes are not zero"),
        (np.diff(epoch, prepend=1) < 0, "its epoch is lower than that of the record before it, or 0"),
        (
            (batch >= f.BATCH_MAX) | ((batch != 0) & (batch != before_batch + 1)),
            "its place in its batch does not go on",
        ),
    ):
        if bad.any():
            found.append((int(np.argmax(bad)), text))
    yield from sorted(found)


def _offset(slot: int) -> int:
    return f.HEADER_BYTES + slot * f.RECORD_BYTES
