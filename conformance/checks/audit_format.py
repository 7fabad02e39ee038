"""The audit log's format "matchmark" as the kit reads it: file header, record, check sums (docs/audit-log.md).

Written from the documented tables and not from the exchange's code, so that a writer and a reader that are wrong in the same way
do not agree here. Everything is numpy over whole files: no record is handled by itself.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]
Records = npt.NDArray[np.void]

HEADER_BYTES = 4096
RECORD_BYTES = 272
SECTOR_BYTES = 512
BATCH_MAX = 1000
MAGIC = b"\x00MMALOG1"
VERSION = 1
ABSENT = -(1 << 63)
NAME = re.compile(r"audit-(\d{20})\.log")


class Kind(IntEnum):
    COMMAND = 1
    EVENT = 2


class Op(IntEnum):
    NEW = 1
    CANCEL = 2
    REPLACE = 3
    MASS_CANCEL = 4
    STATUS = 5
    RESET = 6
    WARN = 7
    CALM = 8
    HALT = 9
    RESUME = 10
    RELEASE = 11
    ATTEMPT = 12


class Happened(IntEnum):
    """The kind of an event."""

    ACCEPTED = 1
    REJECTED = 2
    REPLACED = 3
    TRADE = 4
    CANCELLED = 5
    CANCEL_REJECTED = 6
    MASS_CANCELLED = 7
    STATUS = 8
    TOP = 9
    STATE = 10
    STATE_REFUSED = 11
    RELEASED = 12


def _at(size: int, *fields: tuple[str, str, int]) -> np.dtype[Any]:
    names, formats, offsets = zip(*fields, strict=True)
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": size})


_FRAME = (
    ("sequence", "<u8", 0), ("running_hash", "<u8", 8), ("text", "S40", 80), ("other_text", "S40", 120),
    ("time_ns", "<u8", 160), ("limit_ticks", "<i8", 168), ("session", "<u4", 176), ("other_session", "<u4", 180),
    ("kind", "u1", 188), ("type", "u1", 189), ("tif", "u1", 190), ("flags", "u1", 191),
    ("leaves_lots", "<u4", 192), ("cum_lots", "<u4", 196), ("other_leaves_lots", "<u4", 200), ("epoch", "<u4", 204),
    ("received_ns", "<u8", 240), ("stage_a_ns", "<u8", 248), ("stage_b_ns", "<u8", 256),
    ("batch_index", "<u2", 264), ("zero", "<u2", 266), ("crc", "<u4", 268),
)  # fmt: skip
RECORD = _at(RECORD_BYTES, *_FRAME)

WHOLE = _at(RECORD_BYTES, *_FRAME, ("body", "V64", 16))
"""A record with its body in one piece."""

COMMAND = _at(
    RECORD_BYTES, *_FRAME,
    ("op", "u1", 16), ("side", "u1", 17), ("smp", "u1", 20), ("defer", "u1", 21), ("account", "<u4", 24), ("symbol", "<u4", 28),
    ("cl_ord_id", "<u8", 32), ("orig_cl_ord_id", "<u8", 40), ("price_ticks", "<i8", 48), ("quantity_lots", "<i8", 56),
    ("body_time_ns", "<u8", 64), ("tag", "<u8", 72), ("notional_low", "<u8", 208), ("notional_high", "<u8", 216),
)  # fmt: skip
"""A record whose kind is COMMAND, with its body."""

EVENT = _at(
    RECORD_BYTES, *_FRAME,
    ("event", "u1", 16), ("reason", "u1", 17), ("side", "u1", 18), ("state", "u1", 19), ("symbol", "<u4", 20),
    ("cl_ord_id", "<u8", 24), ("other_cl_ord_id", "<u8", 32), ("order_id", "<u8", 40), ("price_ticks", "<i8", 48),
    ("quantity_lots", "<u4", 56), ("body_cum_lots", "<u4", 60), ("account", "<u4", 64), ("other_account", "<u4", 68),
    ("other_order_id", "<u8", 72), ("notional_low", "<u8", 208), ("notional_high", "<u8", 216),
    ("other_notional_low", "<u8", 224), ("other_notional_high", "<u8", 232),
)  # fmt: skip
"""A record whose kind is EVENT, with its body."""

TOP = _at(
    RECORD_BYTES, *_FRAME,
    ("symbol", "<u4", 20), ("bid_ticks", "<i8", 24), ("bid_lots", "<u8", 32), ("ask_ticks", "<i8", 40),
    ("ask_lots", "<u8", 48),
)  # fmt: skip
"""A record of an EVENT of kind TOP."""

HEADER = _at(
    HEADER_BYTES,
    ("magic", "V8", 0), ("version", "<u4", 8), ("record_bytes", "<u4", 12), ("first_sequence", "<u8", 16),
    ("first_hash", "<u8", 24), ("capacity_records", "<u8", 32), ("epoch", "<u4", 48), ("engine", "V32", 56),
    ("instruments_hash", "<u8", 88), ("crc", "<u4", 4092),
)  # fmt: skip


# --- check sums ---


def _crc_table(bits: int) -> npt.NDArray[np.uint32]:
    """CRC32C (Castagnoli, reflected 0x1EDC6F41) of every value of so many bits."""
    table = np.arange(1 << bits, dtype=np.uint32)
    for _ in range(bits):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1).astype(np.uint32)
    return table


_CRC_OF_PAIR = _crc_table(16)


def crc32c(rows: Bytes) -> npt.NDArray[np.uint32]:
    """CRC32C of each row of an array of shape (n, an even number of bytes)."""
    pairs = np.ascontiguousarray(rows).view("<u2")
    crc = np.full(len(rows), 0xFFFFFFFF, dtype=np.uint32)
    for column in range(pairs.shape[1]):
        crc = _CRC_OF_PAIR[(crc ^ pairs[:, column]) & 0xFFFF] ^ (crc >> 16)
    return crc ^ np.uint32(0xFFFFFFFF)


def _mix(x: Words) -> Words:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def content_hash(rows: Bytes) -> Words:
    """What each record of shape (n, 272) brings to the chain by itself: its sequence number and bytes 16 to 239."""
    words = np.ascontiguousarray(rows).view("<u8")
    step, half = np.uint64(0x9FB21C651E98DF25), np.uint64(32)
    lanes: list[Words] = [words[:, 0].copy(), *(np.full(len(words), n, dtype=np.uint64) for n in (1, 2, 3))]
    for i in range(28):
        lane: Words = (lanes[i % 4] ^ words[:, 2 + i]) * step
        lanes[i % 4] = lane ^ (lane >> half)
    a, b, c, d = lanes
    total: Words = a + b * np.uint64(3) + c * np.uint64(5) + d * np.uint64(7)
    return _mix(total)


def chained(before: Words, content: Words) -> Words:
    """Running hashes of records by the running hash before each and what each brings."""
    return _mix(before ^ content)


def seal(rows: Bytes, first_hash: int) -> Bytes:
    """Records whose chain and CRCs fit their other bytes: what a writer would have made of them. For tests and forgeries."""
    out = np.ascontiguousarray(rows).copy()
    words, running = out.view("<u8"), np.array([first_hash], dtype=np.uint64)
    for n, content in enumerate(content_hash(out)):
        running = chained(running, np.array([content], dtype=np.uint64))
        words[n, 1] = running[0]
    out[:, 268:272] = crc32c(out[:, :268]).view(np.uint8).reshape(-1, 4)
    return out
