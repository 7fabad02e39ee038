"""The stages of an order's way, of a whole log, beside the budgets of the sequence diagrams.

What a record's own stamps say (validated, enqueued, dequeued, matched) is read from the log; what comes after a record (visible
to the writer, on disk, report sent) from the counts kept beside it. One clock stamps all. Times run from the receipt of the
order's bytes, those of diagram 10 from the match. Quantiles are tops of buckets, at most 1.6% too long. docs/latency.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from matchmark.native import _native
from matchmark.native.pipeline_records import OP_SHIFT, RecordKind
from matchmark.reference.audit_log import log_files, open_file
from matchmark.reference.stage_counts import ROW, STAGES, quantiles, read

_ffi: Any = _native.ffi
_lib: Any = _native.lib

Records = npt.NDArray[np.void]
Times = npt.NDArray[np.uint64]

_US, _MS = 1_000, 1_000_000
_CHUNK_RECORDS = 1 << 16

VALIDATED, ENQUEUED, DEQUEUED, MATCHED = range(4)


class Budget(NamedTuple):
    """A step of a diagram. `of`: the kind of order and the stamp, or the row of counts."""

    stage: str
    of: tuple[str, int] | str
    budget_ns: int


BUDGETS = (
    Budget("D01.3 limit order validated", ("rests", VALIDATED), 10 * _US),
    Budget("D01.4 limit order enqueued", ("rests", ENQUEUED), 15 * _US),
    Budget("D01.5 limit order dequeued", ("rests", DEQUEUED), 20 * _US),
    Budget("D01.6 limit order in the book", ("rests", MATCHED), 50 * _US),
    Budget("D01.7 limit order in the audit ring", "audit_accepted", 55 * _US),
    Budget("D01.8 limit order acknowledged", "sent_accepted", 60 * _US),
    Budget("D11.N2 record executed by the standby", "replicated", 10 * _MS),
    Budget("D01.P3 order on disk", "on_disk", 10 * _MS),
    Budget("D02.2 market order enqueued", ("market", ENQUEUED), 10 * _US),
    Budget("D02.3 market order dequeued", ("market", DEQUEUED), 15 * _US),
    Budget("D02.5 market order matched", ("market", MATCHED), 30 * _US),
    Budget("D02.7 market order in the audit ring", "audit_market", 40 * _US),
    Budget("D02.8 market order reported", "sent_market", 50 * _US),
    Budget("D03.6 crossing limit order matched", ("crosses", MATCHED), 55 * _US),
    Budget("D03.8 crossing limit order reported", "sent_limit", 70 * _US),
    Budget("D04.2 cancel validated", ("cancel", VALIDATED), 5 * _US),
    Budget("D04.3 cancel dequeued", ("cancel", DEQUEUED), 10 * _US),
    Budget("D04.6 cancel done", ("cancel", MATCHED), 30 * _US),
    Budget("D04.7 cancel in the audit ring", "audit_cancel", 35 * _US),
    Budget("D04.8 cancel acknowledged", "sent_cancel", 40 * _US),
    Budget("D07.6 market order over several levels matched", ("sweeps", MATCHED), 45 * _US),
    Budget("D08.5 immediate-or-cancel order matched", ("ioc", MATCHED), 30 * _US),
    Budget("D08.6 immediate-or-cancel order reported", "sent_ioc", 40 * _US),
    Budget("D10.2 records copied to the audit ring", "copy", 5 * _US),
    Budget("D10.6 records written", "written", 2 * _MS),
    Budget("D10.7 records on disk", "durable", 3 * _MS),
)

WAY = (
    Budget("D12.3 frame through the poll-mode port's TCP", "port_ready", 1 * _US),
    Budget("D12.4 its bytes read in place", "port_read", 1_500),
    Budget("D12.5 its order parsed", "port_parsed", 3 * _US),
    Budget("D12.6 its order checked", "port_checked", 5 * _US),
    Budget("D12.8 from frame in memory to order queue", "port_enqueued", 5_500),
    Budget("D12.A3 kernel: segment until its bytes can be read", "kernel_ready", 10 * _US),
    Budget("D12.A4 kernel: its bytes in the gateway's buffer", "kernel_read", 15 * _US),
    Budget("D12.A5 kernel: its order parsed", "kernel_parsed", 20 * _US),
    Budget("D12.A6 kernel: from segment to order queue", "kernel_enqueued", 20 * _US),
)

_ORDERS = ("rests", "crosses", "market", "sweeps", "ioc", "cancel")
_NEW, _CANCEL = int(_lib.MM_NEW), int(_lib.MM_CANCEL)
_LIMIT, _MARKET = int(_lib.MM_LIMIT), int(_lib.MM_MARKET)
_DAY, _IOC = int(_lib.MM_DAY), int(_lib.MM_IOC)
_TRADE = int(_lib.MM_EV_TRADE)
_REFUSALS = (int(_lib.MM_EV_REJECTED), int(_lib.MM_EV_CANCEL_REJECTED))


def way_rows(log: Path) -> list[dict[str, Any]]:
    """As `rows`, of new orders on their way from the frame to the order queue, over whatever carried them (WAY)."""
    counted = read(log)
    found = ((budget, counted[STAGES.index(str(budget.of))]) for budget in WAY)
    return [_row(budget, row) for budget, row in found if row["counts"].any()]


def _row(budget: Budget, row: np.void) -> dict[str, Any]:
    return {
        "stage": budget.stage,
        "count": int(row["counts"].sum()),
        **quantiles(row),
        "budget_ns": budget.budget_ns,
    }


def rows(log: Path) -> list[dict[str, Any]]:
    """{stage, count, p50_ns, p99_ns, p999_ns, max_ns, budget_ns} of every step that happened. AuditLogError, OSError."""
    stamped = {(kind, stamp): np.zeros(1, dtype=ROW) for kind in _ORDERS for stamp in range(4)}
    for kind, spans in _orders(log):
        for stamp in range(4):
            _count(stamped[kind, stamp], spans[stamp])
    counted = read(log)
    out = []
    for budget in BUDGETS:
        row = counted[STAGES.index(budget.of)] if isinstance(budget.of, str) else stamped[budget.of][0]
        if row["counts"].any():
            out.append(_row(budget, row))
    return out


def _count(row: Records, times: Times) -> None:
    times = np.ascontiguousarray(times, dtype=np.uint64)
    where = _ffi.from_buffer("mm_stage_row *", row, require_writable=True)
    _lib.mm_stage_count_all(where, _ffi.from_buffer("uint64_t[]", times), len(times))


# --- the log ---


_COLUMNS = np.dtype(
    [
        ("command", "?"),
        ("op", "<u1"),
        ("type", "<u1"),
        ("tif", "<u1"),
        ("event", "<u1"),  # its kind
        ("received_ns", "<u8"),
        ("stage_a_ns", "<u8"),
        ("stage_b_ns", "<u8"),
    ]
)


def _columns(records: Records) -> Records:
    """What is needed of records, copied."""
    out = np.empty(len(records), dtype=_COLUMNS)
    for name in ("type", "tif", "received_ns", "stage_a_ns", "stage_b_ns"):
        out[name] = records[name]
    out["command"] = records["kind"] == RecordKind.COMMAND
    out["op"] = records["flags"] >> OP_SHIFT
    out["event"] = np.ascontiguousarray(records["body"]).view(np.uint8).reshape(len(records), -1)[:, 0]
    return out


def _orders(log: Path) -> Iterator[tuple[str, list[Times]]]:
    """(kind of order, its four stamps from receipt, each shape (n,)) of all whole commands, some at a time."""
    left = np.zeros(0, dtype=_COLUMNS)
    for path in log_files(log):
        slots = open_file(path).slots
        for at in range(0, len(slots), _CHUNK_RECORDS):
            chunk = slots[at : at + _CHUNK_RECORDS]
            chunk = chunk[: _written(chunk)]
            if not len(chunk):
                break
            columns = np.concatenate([left, _columns(chunk)])
            begun = np.flatnonzero(columns["command"])
            whole = int(begun[-1]) if len(begun) else 0  # the last command may go on in the next chunk
            yield from _kinds(columns[:whole])
            left = columns[whole:]
    yield from _kinds(left)


def _written(chunk: Records) -> int:
    """How many slots are used: what is behind the last record is zeros."""
    empty = np.flatnonzero(chunk["sequence"] == 0)
    return int(empty[0]) if len(empty) else len(chunk)


def _kinds(c: Records) -> Iterator[tuple[str, list[Times]]]:
    command = c["command"]
    first = np.flatnonzero(command)
    if not len(first) or first[0]:
        return  # the log begins in the midst of a command: it is not one
    owner = np.cumsum(command) - 1
    n = len(first)
    last = np.append(first[1:], len(c)) - 1
    trades = np.bincount(owner[~command & (c["event"] == _TRADE)], minlength=n)
    refused = np.bincount(owner[~command & np.isin(c["event"], _REFUSALS)], minlength=n) > 0
    op, kind, tif = c["op"][first], c["type"][first], c["tif"][first]
    done = ~refused & (last > first)
    new = done & (op == _NEW)
    day = new & (kind == _LIMIT) & (tif == _DAY)
    chosen = {
        "rests": day & (trades == 0),
        "crosses": day & (trades > 0),
        "ioc": new & (kind == _LIMIT) & (tif == _IOC),
        "market": new & (kind == _MARKET) & (trades == 1),
        "sweeps": new & (kind == _MARKET) & (trades > 1),
        "cancel": done & (op == _CANCEL),
    }
    received = c["received_ns"][first]
    stamps = [c[name][at] for at in (first, last) for name in ("stage_a_ns", "stage_b_ns")]
    for name, which in chosen.items():
        yield name, [_spans(received[which], stamp[which]) for stamp in stamps]


def _spans(received: Times, stamp: Times) -> Times:
    """Times that are not there, or run backwards (a log carried to another machine), are left out."""
    sound = (received > 0) & (stamp >= received)
    return stamp[sound] - received[sound]
