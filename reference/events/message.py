"""One message of the events topic: whole 272-byte event records of one symbol. docs/kafka.md has the same as tables.

The key is the symbol's name; events of no known symbol have an empty key. The prefix says which of the symbol's events are in the
value and which was the one before, so whoever reads a symbol's messages sees a gap or a repetition at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from matchmark.native import _native
from matchmark.native.pipeline_records import AUDIT_RECORD
from matchmark.reference.audit_log import Records

MAGIC, VERSION = b"MMEV", 1
PREFIX = np.dtype(
    [
        ("magic", "S4"),
        ("version", "<u2"),
        ("record_bytes", "<u2"),
        ("records", "<u4"),
        ("zero", "<u4"),
        ("first", "<u8"),
        ("last", "<u8"),
        ("previous", "<u8"),
        ("complete", "<u8"),
    ]
)
"""`previous`: the symbol's event before `first`, 0 for none. `complete`: all of the partition's events up to that record of the
log are in messages before this one."""

_SYMBOL = np.dtype({"names": ["symbol"], "formats": ["<u4"], "offsets": [20], "itemsize": 272})

NO_SYMBOL = 0xFFFFFFFF


class MessageError(ValueError):
    """The value is not one of this format: what is wrong with it."""


class Message(NamedTuple):
    """`records`: AUDIT_RECORD, shape (n,), n >= 1, read-only, in sequence order."""

    first: int
    last: int
    previous: int
    complete: int
    records: Records


def pack(records: Records, previous: int, complete: int) -> bytes:
    """`records` of one symbol, whole commands, at least one."""
    prefix = np.zeros(1, dtype=PREFIX)
    first, last = int(records[0]["sequence"]), int(records[-1]["sequence"])
    prefix[0] = (MAGIC, VERSION, AUDIT_RECORD.itemsize, len(records), 0, first, last, previous, complete)
    return prefix.tobytes() + records.tobytes()


def unpack(value: bytes) -> Message:
    """MessageError: it is damaged, of another version, or nobody of ours wrote it."""
    if len(value) < PREFIX.itemsize:
        raise MessageError(f"{len(value)} bytes are too few for a message of events")
    p = np.frombuffer(value, dtype=PREFIX, count=1)[0]
    if bytes(p["magic"]) != MAGIC or int(p["version"]) != VERSION or int(p["record_bytes"]) != AUDIT_RECORD.itemsize:
        raise MessageError("it does not begin as a message of events, version 1, does")
    count = int(p["records"])
    if count < 1 or len(value) != PREFIX.itemsize + count * AUDIT_RECORD.itemsize:
        raise MessageError(f"{len(value)} bytes are not what {count} records take")
    records = np.frombuffer(value, dtype=AUDIT_RECORD, offset=PREFIX.itemsize)
    ffi = _native.ffi
    at = ffi.cast("const mm_audit_record *", ffi.from_buffer("const char[]", value) + PREFIX.itemsize)
    good = int(_native.lib.mm_audit_crc_good(at, count))
    if good != count:
        raise MessageError(f"record {good + 1} of {count} is damaged: its CRC does not fit its bytes")
    sequences = records["sequence"]
    first, last = int(p["first"]), int(p["last"])
    if (
        first != sequences[0]
        or last != sequences[-1]
        or int(p["previous"]) >= first
        or not (sequences[1:] > sequences[:-1]).all()
    ):
        raise MessageError("its prefix does not fit its records")
    return Message(first, last, int(p["previous"]), int(p["complete"]), records)


def symbols_of(records: Records, known: int) -> npt.NDArray[np.uint32]:
    """The symbol number of each event, shape (n,); NO_SYMBOL where there are not so many symbols `known`."""
    numbers: npt.NDArray[np.uint32] = records.view(_SYMBOL)["symbol"]
    return np.where(numbers < known, numbers, np.uint32(NO_SYMBOL))


def partition_of(key: bytes, partitions: int) -> int:
    """Where Kafka's own clients, with their default partitioner, put the key: murmur2. A symbol stays where it is, for ever."""
    return (_murmur2(key) & 0x7FFFFFFF) % partitions


def _murmur2(data: bytes) -> int:
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    if rest := data[whole:]:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def pieces(commands: npt.NDArray[np.int64], most: int) -> Iterator[tuple[int, int]]:
    """Begin and end of parts of at most `most` events, each of whole commands; one command that has more is a part by itself.

    `commands`: shape (n,), which command each event is of.
    """
    if len(commands) <= most:
        yield 0, len(commands)
        return
    ends = np.append(np.flatnonzero(np.diff(commands)) + 1, len(commands))
    begin = 0
    while begin < len(commands):
        at = max(np.searchsorted(ends, begin + most, side="right") - 1, np.searchsorted(ends, begin, side="right"))
        yield begin, int(ends[at])
        begin = int(ends[at])
