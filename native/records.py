"""Commands and events of the native engine as numpy records and enums, checked against the C structs at import.

Prices are integer ticks, quantities integer lots, times integer nanoseconds. A command or event is 64 bytes; which
field means what in which record is the table in native/include/matchmark/types.h. Names of enum members, lower-cased,
are the words of docs/engine-rules.md.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np

from matchmark.native import _native

_ffi: Any = _native.ffi

ABSENT = -(1 << 63)
ALL_SYMBOLS = 0xFFFFFFFF
MAX_PRICE_TICKS = (1 << 53) - 1
MAX_QUANTITY_LOTS = (1 << 31) - 1


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


class Trading(IntEnum):
    """What a symbol does."""

    OPEN = 0
    WARNED = 1
    HALTED = 2


class Side(IntEnum):
    BUY = 0
    SELL = 1


class OrdType(IntEnum):
    LIMIT = 0
    MARKET = 1


class Tif(IntEnum):
    DAY = 0
    IOC = 1


class Smp(IntEnum):
    NONE = 0
    CANCEL_NEWEST = 1
    CANCEL_OLDEST = 2


class EventKind(IntEnum):
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


class Reason(IntEnum):
    NONE = 0
    UNKNOWN_SYMBOL = 1
    MALFORMED = 2
    BAD_QUANTITY = 3
    BAD_PRICE = 4
    DUPLICATE_CL_ORD_ID = 5
    CAPACITY = 6
    UNKNOWN_ORDER = 7
    TOO_LATE = 8
    REQUESTED = 9
    IOC = 10
    NO_LIQUIDITY = 11
    SMP = 12
    MASS_CANCEL = 13
    TRADING_HALTED = 14
    DEFERRED = 15
    NOT_HALTED = 16
    NOT_WARNED = 17
    ALREADY = 18
    NOT_ALLOWED = 19


class State(IntEnum):
    UNKNOWN = 0
    NEW = 1
    PARTIALLY_FILLED = 2
    FILLED = 3
    CANCELLED = 4


COMMAND = np.dtype(
    [
        ("op", "<u1"),
        ("side", "<u1"),
        ("type", "<u1"),
        ("tif", "<u1"),
        ("smp", "<u1"),
        ("defer", "<u1"),
        ("pad", "<u1", (2,)),
        ("account", "<u4"),
        ("symbol", "<u4"),
        ("cl_ord_id", "<u8"),
        ("orig_cl_ord_id", "<u8"),
        ("price_ticks", "<i8"),
        ("quantity_lots", "<i8"),
        ("time_ns", "<u8"),
        ("tag", "<u8"),
    ]
)
EVENT = np.dtype(
    [
        ("kind", "<u1"),
        ("reason", "<u1"),
        ("side", "<u1"),
        ("state", "<u1"),
        ("symbol", "<u4"),
        ("cl_ord_id", "<u8"),
        ("other_cl_ord_id", "<u8"),
        ("order_id", "<u8"),
        ("price_ticks", "<i8"),
        ("quantity_lots", "<u4"),
        ("cum_lots", "<u4"),
        ("account", "<u4"),
        ("other_account", "<u4"),
        ("other_order_id", "<u8"),
    ]
)
# A top event is an event record read in another way: events[events["kind"] == EventKind.TOP].view(TOP).
TOP = np.dtype(
    [
        ("kind", "<u1"),
        ("pad", "<u1", (3,)),
        ("symbol", "<u4"),
        ("bid_ticks", "<i8"),
        ("bid_lots", "<u8"),
        ("ask_ticks", "<i8"),
        ("ask_lots", "<u8"),
        ("zero", "<u8", (3,)),
    ]
)


def _check_layout(dtype: np.dtype[Any], c_name: str) -> None:
    if dtype.itemsize != _ffi.sizeof(c_name):
        raise ImportError(f"matchmark.native was built from other headers: {c_name} is {_ffi.sizeof(c_name)} bytes")
    for name, field in (dtype.fields or {}).items():
        if field[1] != _ffi.offsetof(c_name, name):
            raise ImportError(f"matchmark.native was built from other headers: {c_name}.{name} has moved; rebuild it")


def _check_enum(members: type[IntEnum], c_enum: str) -> None:
    in_c: dict[int, str] = _ffi.typeof(f"enum {c_enum}").elements
    if set(in_c) != {int(m) for m in members} or not all(in_c[m].endswith(m.name) for m in members):
        raise ImportError(f"matchmark.native was built from other headers: enum {c_enum} is {in_c}; rebuild it")


for _dtype, _name in ((COMMAND, "mm_command"), (EVENT, "mm_event"), (TOP, "mm_top")):
    _check_layout(_dtype, _name)
for _members, _name in (
    (Op, "mm_op"),
    (Trading, "mm_trading"),
    (Side, "mm_side"),
    (OrdType, "mm_ord_type"),
    (Tif, "mm_tif"),
    (Smp, "mm_smp"),
    (EventKind, "mm_event_kind"),
    (Reason, "mm_reason"),
    (State, "mm_state"),
):
    _check_enum(_members, _name)
