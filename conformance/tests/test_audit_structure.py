"""The kit's reading of an audit log: a whole one is read whole, and every single alteration of it is found, with its place."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from matchmark.conformance.checks import audit_format as f
from matchmark.conformance.checks.audit_structure import AuditLog, FaultKind, read_log
from matchmark.native import _native
from matchmark.native.pipeline import PipelineError, recover

COUNT, CAPACITY, BATCH = 90, 40, 7
"""Records, records a file, records a batch."""
SEALED_AT = f.RECORD_BYTES - 4


def made_records(count: int = COUNT) -> f.Bytes:
    """Commands of one, two or three records, in batches."""
    return _made(count).copy()


@cache
def _made(count: int) -> f.Bytes:
    chance = random.Random(1)
    rows = np.frombuffer(chance.randbytes(count * f.RECORD_BYTES), dtype=np.uint8).reshape(count, f.RECORD_BYTES).copy()
    r = rows.view(f.RECORD)[:, 0]
    r["sequence"] = np.arange(1, count + 1)
    r["epoch"], r["zero"] = 1, 0
    r["batch_index"] = np.arange(count) % BATCH
    kinds, flags = [], []
    while len(kinds) < count:
        events = min(chance.randrange(3), count - len(kinds) - 1)
        kinds += [f.Kind.COMMAND] + [f.Kind.EVENT] * events
        flags += [1 << 4] * events + [1 << 4 | 1]
    r["kind"], r["flags"] = kinds, flags
    return f.seal(rows, 0)


def header(first: int, first_hash: int, capacity: int) -> bytes:
    page = np.zeros(f.HEADER_BYTES, dtype=np.uint8)
    h = page.view(f.HEADER)[0]
    h["magic"] = np.void(f.MAGIC)
    h["version"], h["record_bytes"], h["first_sequence"], h["first_hash"] = f.VERSION, f.RECORD_BYTES, first, first_hash
    h["capacity_records"], h["epoch"] = capacity, 1
    page[56:80].view("<u4")[:] = (1, 100, 100, 1000, 64, 0)  # the smallest engine
    page[-4:] = f.crc32c(page[np.newaxis, :-4]).view(np.uint8)
    return page.tobytes()


def made_files(rows: f.Bytes, capacity: int = CAPACITY) -> dict[str, bytearray]:
    files = {}
    hashes = rows.view(f.RECORD)["running_hash"][:, 0]
    for at in range(0, len(rows), capacity):
        part = rows[at : at + capacity].tobytes()
        page = header(at + 1, int(hashes[at - 1]) if at else 0, capacity)
        files[f"audit-{at + 1:020d}.log"] = bytearray(page + part.ljust(capacity * f.RECORD_BYTES, b"\0"))
    return files


def read(files: dict[str, bytearray]) -> AuditLog:
    return read_log([(name, bytes(content)) for name, content in files.items()])


def test_a_whole_log_is_read_whole() -> None:
    rows = made_records()
    log = read(made_files(rows))
    assert not log.faults and log.torn is None and log.last_sequence == COUNT
    assert log.records.view(np.uint8).tobytes() == rows.tobytes()
    assert log.place_of(41) == ("audit-00000000000000000041.log", f.HEADER_BYTES)


def test_check_sums_are_those_of_the_format() -> None:
    """Against published values and against the code of the writer, which shares nothing with the kit's."""
    assert int(f.crc32c(np.zeros((1, 32), dtype=np.uint8))[0]) == 0x8A9136AA  # RFC 3720, B.4
    assert int(f.crc32c(np.arange(32, dtype=np.uint8)[np.newaxis])[0]) == 0x46DD794E
    rows = made_records(20)
    records = _native.ffi.from_buffer("mm_audit_record[]", rows)
    before = 0
    for n in range(20):
        assert _native.lib.mm_audit_hash(before, records + n) == int(rows.view(f.RECORD)["running_hash"][n, 0])
        before = int(rows.view(f.RECORD)["running_hash"][n, 0])
    assert _native.lib.mm_audit_crc_good(records, 20) == 20


def test_a_flipped_bit_of_any_byte_of_a_record_is_found_where_it_is() -> None:
    files = made_files(made_records())
    name, offset = "audit-00000000000000000001.log", f.HEADER_BYTES + 19 * f.RECORD_BYTES
    for byte in range(f.RECORD_BYTES):
        files[name][offset + byte] ^= 1 << byte % 8
        (fault,) = read(files).faults
        assert (fault.file, fault.offset, fault.sequence) == (name, offset, 20), byte
        files[name][offset + byte] ^= 1 << byte % 8


@pytest.mark.parametrize("byte", [0, 8, 12, 16, 24, 32, 48, 56, 80, 88, 200, 4092])
def test_every_changed_byte_of_a_header_is_found(byte: int) -> None:
    files = made_files(made_records())
    files["audit-00000000000000000041.log"][byte] ^= 1
    (fault,) = read(files).faults
    assert fault.file == "audit-00000000000000000041.log" and fault.offset == 0


def with_crc(rows: f.Bytes) -> f.Bytes:
    """CRCs that fit, and a chain that does not."""
    rows[:, SEALED_AT:] = f.crc32c(rows[:, :SEALED_AT]).view(np.uint8).reshape(-1, 4)
    return rows


def left_out(rows: f.Bytes) -> f.Bytes:
    return np.delete(rows, 24, axis=0)


def renumbered(rows: f.Bytes) -> f.Bytes:
    """A record is left out, and those behind it are given its number and good CRCs."""
    rows = np.delete(rows, 24, axis=0)
    rows.view(f.RECORD)["sequence"][:, 0] = np.arange(1, len(rows) + 1)
    return with_crc(rows)


def repeated(rows: f.Bytes) -> f.Bytes:
    return np.insert(rows, 24, rows[24], axis=0)


def exchanged(rows: f.Bytes) -> f.Bytes:
    rows[[24, 25]] = rows[[25, 24]]
    return rows


def changed(rows: f.Bytes) -> f.Bytes:
    rows[24, 56] ^= 1
    return with_crc(rows)


@pytest.mark.parametrize(
    ("alter", "kind"),
    [
        (left_out, FaultKind.SEQUENCE),
        (renumbered, FaultKind.CHAIN),
        (repeated, FaultKind.SEQUENCE),
        (exchanged, FaultKind.SEQUENCE),
        (changed, FaultKind.CHAIN),
    ],
)
def test_records_left_out_repeated_exchanged_or_changed(alter: Callable[[f.Bytes], f.Bytes], kind: FaultKind) -> None:
    log = read(made_files(alter(made_records()), capacity=1000))
    assert [fault.kind for fault in log.faults] == [kind]
    assert log.faults[0].sequence in (25, 26)


def without_event(rows: f.Bytes) -> f.Bytes:
    """The last event of a command is not written, and the rest is sealed as if it had never been."""
    r = rows.view(f.RECORD)[:, 0]
    at = next(n for n in range(20, COUNT) if r["kind"][n] == f.Kind.EVENT and r["flags"][n] & 1)
    rows = np.delete(rows, at, axis=0)
    rows.view(f.RECORD)["sequence"][:, 0] = np.arange(1, len(rows) + 1)
    return rows


def orphan(rows: f.Bytes) -> f.Bytes:
    r = rows.view(f.RECORD)[:, 0]
    at = next(n for n in range(20, COUNT) if r["kind"][n] == f.Kind.EVENT and r["flags"][n] & 1)
    r["flags"][at - 1] |= 1
    return rows


def falling_epoch(rows: f.Bytes) -> f.Bytes:
    rows.view(f.RECORD)["epoch"][:50, 0] = 2
    return rows


def wide_batch(rows: f.Bytes) -> f.Bytes:
    rows.view(f.RECORD)["batch_index"][30, 0] += 2
    return rows


def strange_kind(rows: f.Bytes) -> f.Bytes:
    rows.view(f.RECORD)["kind"][30, 0] = 3
    return rows


@pytest.mark.parametrize("alter", [without_event, orphan, falling_epoch, wide_batch, strange_kind])
def test_commands_and_events_that_do_not_fit_together(alter: Callable[[f.Bytes], f.Bytes]) -> None:
    log = read(made_files(f.seal(alter(made_records()), 0), capacity=1000))
    assert [fault.kind for fault in log.faults] == [FaultKind.FRAMING]


def test_files_that_do_not_go_on() -> None:
    files = made_files(made_records())
    names = sorted(files)
    without = {name: content for name, content in files.items() if name != names[1]}
    assert [fault.kind for fault in read(without).faults] == [FaultKind.ROTATION]
    again = {**files, f"audit-{42:020d}.log": files[names[1]]}
    assert [fault.kind for fault in read(again).faults] == [FaultKind.ROTATION]
    files[names[0]][-f.RECORD_BYTES :] = bytes(f.RECORD_BYTES)
    assert [fault.kind for fault in read(files).faults] == [FaultKind.ROTATION]


def native_says(folder: Path, content: bytes) -> str:
    (folder / "audit-00000000000000000001.log").write_bytes(content)
    try:
        return f"ends at {recover(folder, cut=False).sequence}"
    except PipelineError:
        return "damage"


@pytest.mark.parametrize("seed", range(12))
def test_what_a_crash_may_leave_of_the_last_batch_is_a_torn_tail(seed: int, tmp_path: Path) -> None:
    """Any sectors of it; the exchange's own recovery, which shares no code, must come to the same end."""
    chance = random.Random(seed)
    before = 3 * BATCH * chance.randint(1, 4)
    content = made_files(made_records(before + BATCH), capacity=200)["audit-00000000000000000001.log"]
    begin, end = (f.HEADER_BYTES + n * f.RECORD_BYTES for n in (before, before + BATCH))
    for sector in range(begin // f.SECTOR_BYTES * f.SECTOR_BYTES, end, f.SECTOR_BYTES):
        if chance.random() < 0.5:
            at, to = max(begin, sector), min(sector + f.SECTOR_BYTES, end)
            content[at:to] = bytes(to - at)
    log = read({"audit-00000000000000000001.log": content})
    assert not log.faults and before <= log.last_sequence <= before + BATCH
    assert native_says(tmp_path, bytes(content)) == f"ends at {log.last_sequence}"


def test_a_later_batch_behind_a_bad_record_makes_it_damage() -> None:
    content = made_files(made_records(), capacity=200)["audit-00000000000000000001.log"]
    offset = f.HEADER_BYTES + 30 * f.RECORD_BYTES
    content[offset : offset + f.RECORD_BYTES] = bytes(f.RECORD_BYTES)
    (fault,) = read({"audit-00000000000000000001.log": content}).faults
    assert (fault.kind, fault.sequence) == (FaultKind.SEQUENCE, 31)
