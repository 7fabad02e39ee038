"""Reading an audit log: its files memory-mapped as numpy records, nothing copied, nothing believed.

The format is docs/audit-log.md. A file is a 4,096-byte header and records of 272 bytes; files follow each other by sequence
number. What is behind the last record is zeros (preallocated), or the torn tail of a batch that was never confirmed.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from matchmark.native import _native
from matchmark.native.pipeline import EngineConfig
from matchmark.native.pipeline_records import AUDIT_HEADER_BYTES, AUDIT_RECORD

Records = npt.NDArray[np.void]

MAGIC = b"\0MMALOG1"
VERSION = 1
RECORD_BYTES = AUDIT_RECORD.itemsize

HEADER = np.dtype(
    [
        ("magic", "V8"),
        ("version", "<u4"),
        ("record_bytes", "<u4"),
        ("first_sequence", "<u8"),
        ("first_hash", "<u8"),
        ("capacity_records", "<u8"),
        ("created_ns", "<u8"),
        ("epoch", "<u4"),
        ("zero", "<u4"),
        ("symbols", "<u4"),
        ("max_orders", "<u4"),
        ("max_levels", "<u4"),
        ("remembered_ids", "<u4"),
        ("window_ticks", "<u4"),
        ("emit_top", "<u4"),
        ("hash_seed", "<u8"),
        ("instruments_hash", "<u8"),
    ]
)

_NAME = re.compile(r"audit-(\d{20})\.log")


class AuditLogError(ValueError):
    """The log cannot be read as one: the message names the file and what is wrong with it."""

    def __init__(self, path: Path, text: str) -> None:
        super().__init__(f"{path}: {text}")
        self.path = path


@dataclass(frozen=True)
class Header:
    """First page of a file. `first_hash` is the running hash before the first record; `created_ns` wall clock."""

    first_sequence: int
    first_hash: int
    capacity_records: int
    created_ns: int
    epoch: int
    config: EngineConfig
    instruments_hash: int


@dataclass(frozen=True)
class AuditFile:
    """One file. `slots`: AUDIT_RECORD, shape (n,): all it has room for, written or not."""

    path: Path
    header: Header
    slots: Records
    bytes: int

    def offset(self, index: int) -> int:
        """Byte offset in the file of slot `index`."""
        return AUDIT_HEADER_BYTES + index * RECORD_BYTES


def log_files(directory: Path) -> list[Path]:
    """The log's files by sequence number. FileNotFoundError, NotADirectoryError or PermissionError as the system says."""
    return sorted(path for path in directory.iterdir() if _NAME.fullmatch(path.name))


def open_file(path: Path) -> AuditFile:
    """Maps one file and checks its header. AuditLogError when it is not a file of an audit log."""
    size = path.stat().st_size
    if size < AUDIT_HEADER_BYTES:
        raise AuditLogError(path, f"{size} bytes, too short to have a header: it was truncated")
    with path.open("rb") as file:
        # Populated at once: a page fault for each 15 records costs more than checking them.
        memory = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE, prot=mmap.PROT_READ)
    header = _header(path, memory[:AUDIT_HEADER_BYTES])
    count = min((size - AUDIT_HEADER_BYTES) // RECORD_BYTES, header.capacity_records)
    slots = np.frombuffer(memory, dtype=AUDIT_RECORD, count=count, offset=AUDIT_HEADER_BYTES)
    return AuditFile(path, header, slots, size)


def open_log(directory: Path) -> Iterator[AuditFile]:
    """The files of a log in order, each mapped when it is asked for."""
    return (open_file(path) for path in log_files(directory))


def _header(path: Path, page: bytes) -> Header:
    h = np.frombuffer(page, dtype=HEADER, count=1)[0]
    if bytes(h["magic"]) != MAGIC:
        raise AuditLogError(path, "is not an audit log file (magic number)")
    if _native.lib.mm_crc32c(0, page, AUDIT_HEADER_BYTES - 4) != int.from_bytes(page[-4:], "little"):
        raise AuditLogError(path, "header damaged: its CRC does not fit its bytes")
    if h["version"] != VERSION or h["record_bytes"] != RECORD_BYTES:
        raise AuditLogError(
            path, f"version {h['version']} with records of {h['record_bytes']} bytes; this reads version 1, 272"
        )
    name = _NAME.fullmatch(path.name)
    if name is None or int(name[1]) != h["first_sequence"]:
        raise AuditLogError(path, f"was renamed: its header says that it begins with record {h['first_sequence']}")
    if h["capacity_records"] < 1:
        raise AuditLogError(path, "header makes no sense: a capacity of 0 records")
    sizes = ("symbols", "max_orders", "max_levels", "remembered_ids", "window_ticks")
    symbols, orders, levels, ids, window = (int(h[name]) for name in sizes)
    config = EngineConfig(symbols, orders, levels, ids, window, bool(h["emit_top"]), int(h["hash_seed"]))
    whole = ("first_sequence", "first_hash", "capacity_records", "created_ns", "epoch")
    first, before, capacity, created, epoch = (int(h[name]) for name in whole)
    return Header(first, before, capacity, created, epoch, config, int(h["instruments_hash"]))
