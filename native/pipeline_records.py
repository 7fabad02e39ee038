"""Audit records, orders and reports as numpy records, checked against the C structs at import.

What each field means in which record is the table in native/include/matchmark/audit.h and pipeline.h, and in
docs/audit-log.md and docs/shared-memory.md. Prices are ticks, quantities lots, money ticks x lots in 128 bits (low word
first), times nanoseconds.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np

from matchmark.native import _native
from matchmark.native.records import COMMAND, EVENT

_ffi: Any = _native.ffi

TEXT_BYTES = 40
RECORD_LAST = 1
OP_SHIFT = 4


class RecordKind(IntEnum):
    COMMAND = 1
    EVENT = 2


class Durability(IntEnum):
    ASYNC = 0
    FSYNC = 1
    REPLICATED = 2


class Wait(IntEnum):
    AUTO = 0
    SPIN = 1
    YIELD = 2
    SLEEP = 3


class ExchangeState(IntEnum):
    STARTING = 0
    RUNNING = 1
    STOPPING = 2
    FAILED = 3


class Role(IntEnum):
    PRIMARY = 0
    STANDBY = 1


class Put(IntEnum):
    OK = 0
    FULL = 1
    STOPPED = 2


AUDIT_RECORD = np.dtype(
    [
        ("sequence", "<u8"),
        ("running_hash", "<u8"),
        ("body", "V64"),
        ("text", "S40"),
        ("other_text", "S40"),
        ("time_ns", "<u8"),
        ("limit_ticks", "<i8"),
        ("session", "<u4"),
        ("other_session", "<u4"),
        ("gateway", "<u2"),
        ("other_gateway", "<u2"),
        ("kind", "<u1"),
        ("type", "<u1"),
        ("tif", "<u1"),
        ("flags", "<u1"),
        ("leaves_lots", "<u4"),
        ("cum_lots", "<u4"),
        ("other_leaves_lots", "<u4"),
        ("epoch", "<u4"),
        ("notional", "<u8", (2,)),
        ("other_notional", "<u8", (2,)),
        ("received_ns", "<u8"),
        ("stage_a_ns", "<u8"),
        ("stage_b_ns", "<u8"),
        ("batch_index", "<u2"),
        ("zero", "<u2"),
        ("crc", "<u4"),
    ]
)

ORDER = np.dtype(
    [
        ("command", COMMAND),
        ("text", "S40"),
        ("orig_text", "S40"),
        ("session", "<u4"),
        ("gateway", "<u2"),
        ("zero", "<u2"),
        ("received_ns", "<u8"),
        ("validated_ns", "<u8"),
        ("enqueued_ns", "<u8"),
        ("notional", "<u8", (2,)),
        ("spare", "<u8", (7,)),
    ]
)

REPORT = np.dtype(
    [
        ("key", "<u8"),
        ("kind", "<u1"),
        ("reason", "<u1"),
        ("side", "<u1"),
        ("state", "<u1"),
        ("type", "<u1"),
        ("tif", "<u1"),
        ("op", "<u1"),
        ("resting", "<u1"),
        ("session", "<u4"),
        ("gateway", "<u2"),
        ("cause_type", "<u1"),
        ("cause_tif", "<u1"),
        ("account", "<u4"),
        ("symbol", "<u4"),
        ("cl_ord_id", "<u8"),
        ("orig_cl_ord_id", "<u8"),
        ("order_id", "<u8"),
        ("limit_ticks", "<i8"),
        ("last_ticks", "<i8"),
        ("last_lots", "<u4"),
        ("leaves_lots", "<u4"),
        ("cum_lots", "<u4"),
        ("order_lots", "<u4"),
        ("notional", "<u8", (2,)),
        ("text", "S40"),
        ("orig_text", "S40"),
        ("time_ns", "<u8"),
        ("received_ns", "<u8"),
        ("validated_ns", "<u8"),
        ("enqueued_ns", "<u8"),
        ("dequeued_ns", "<u8"),
        ("matched_ns", "<u8"),
        ("reported_ns", "<u8"),
        ("contra_order_id", "<u8"),
        ("order_position", "<u8"),
    ]
)

AUDIT_HEADER_BYTES = 4096


def with_body(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """AUDIT_RECORD with `body` read as that dtype (COMMAND or EVENT) instead of as bytes."""
    names = AUDIT_RECORD.names or ()
    formats = [dtype if name == "body" else AUDIT_RECORD[name] for name in names]
    offsets = [AUDIT_RECORD.fields[name][1] for name in names]  # type: ignore[index]
    return np.dtype({"names": list(names), "formats": formats, "offsets": offsets, "itemsize": AUDIT_RECORD.itemsize})


COMMAND_RECORD = with_body(COMMAND)
EVENT_RECORD = with_body(EVENT)


def _check(dtype: np.dtype[Any], struct: str) -> None:
    for name in dtype.names or ():
        if name == "body":
            continue
        ours, theirs = dtype.fields[name][1], _ffi.offsetof(struct, name)  # type: ignore[index]
        if ours != theirs:
            raise ImportError(f"{struct}.{name}: offset {theirs} in C, {ours} here; rebuild matchmark")
    if dtype.itemsize != _ffi.sizeof(struct):
        raise ImportError(f"{struct}: {_ffi.sizeof(struct)} bytes in C, {dtype.itemsize} here; rebuild matchmark")


_check(AUDIT_RECORD, "mm_audit_record")
_check(ORDER, "mm_order_message")
_check(REPORT, "mm_report")
