"""Negative controls: what a game day must catch, or it has shown nothing.

Planted ones are evidence of this very run with one thing made wrong: does the check that is there for it see it? Live ones are
the target itself with one thing broken, or a disk that breaks its word, under load and faults (live_controls.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from matchmark.chaos.checks import findings
from matchmark.chaos.evidence import Array, Evidence, Ints
from matchmark.conformance.checks import audit_format as f
from matchmark.conformance.checks.audit_format import Happened, Op
from matchmark.load.fix_load import ACCEPTED, KNOWN


@dataclass(frozen=True)
class Planted:
    """`plant` makes one thing wrong; None when this evidence has nothing to plant it in. `kinds` of finding are expected."""

    name: str
    story: str
    kinds: tuple[str, ...]
    plant: Callable[[Evidence], Evidence | None]


@dataclass(frozen=True)
class Caught:
    """How a control went: `caught` None when it could not be had, and `words` say why."""

    name: str
    story: str
    caught: bool | None
    words: str


def _copy(e: Evidence, **changes: object) -> Evidence:
    """Without what was worked out of the old one."""
    plain = {name: getattr(e, name) for name in Evidence.__dataclass_fields__}
    return Evidence(**{**plain, **changes})


def _records(e: Evidence, rows: Ints) -> Array:
    """These records, whole: numpy would leave out what lies between the fields."""
    size = e.records.dtype.itemsize
    flat = np.ascontiguousarray(e.records).view(np.uint8).reshape(-1, size)[rows]
    return np.ascontiguousarray(flat).reshape(-1).view(e.records.dtype)


def _acknowledged_command(e: Evidence) -> int | None:
    """The place in `records` of the command of an acknowledged order in the midst of them."""
    new = e.records.view(f.COMMAND)["op"] == Op.NEW
    commands = np.flatnonzero((e.records["kind"] == f.Kind.COMMAND) & new)
    texts = e.row_of(e.indexes(e.records["text"][commands]))
    good = commands[(texts >= 0) & (e.sent.orders["state"][np.maximum(texts, 0)] & ACCEPTED != 0)]
    return int(good[len(good) // 2]) if len(good) else None


def lost_record(e: Evidence) -> Evidence | None:
    at = _acknowledged_command(e)
    return None if at is None else _copy(e, records=_records(e, np.delete(np.arange(len(e.records)), at)))


def accepted_twice(e: Evidence) -> Evidence | None:
    accepted = np.flatnonzero(
        (e.records["kind"] == f.Kind.EVENT) & (e.records.view(f.EVENT)["event"] == Happened.ACCEPTED)
    )
    if not len(accepted):
        return None
    at = accepted[len(accepted) // 2]
    return _copy(e, records=_records(e, np.insert(np.arange(len(e.records)), at, at)))


def _fresh_fill(e: Evidence) -> int | None:
    fills = np.flatnonzero((e.reports["kind"] == ord("F")) & (e.reports["flags"] & KNOWN == 0))
    settled = [at for at in fills[len(fills) // 4 :: 997] if not any(
        fault.window_ns and e.reports["at_ns"][at] <= fault.over_ns for fault in e.faults)]  # fmt: skip
    return int(settled[0]) if settled else None


def reported_twice(e: Evidence) -> Evidence | None:
    at = _fresh_fill(e)
    if at is None:
        return None
    reports = np.insert(e.reports, at, e.reports[at])
    reports["number"][at + 1] += 1
    return _copy(e, reports=reports)


def fill_not_logged(e: Evidence) -> Evidence | None:
    at = _fresh_fill(e)
    if at is None:
        return None
    reports = e.reports.copy()
    reports["cum_lots"][at] += 1000
    return _copy(e, reports=reports)


def other_price(e: Evidence) -> Evidence | None:
    at = _fresh_fill(e)
    if at is None:
        return None
    reports = e.reports.copy()
    reports["price_ticks"][at] += 1
    return _copy(e, reports=reports)


def done_anew(e: Evidence) -> Evidence | None:
    """An acknowledged order that was lost and executed when it was sent again: its record is a minute younger."""
    at = _acknowledged_command(e)
    if at is None:
        return None
    records = _records(e, np.arange(len(e.records)))
    records["time_ns"][at] += np.uint64(60_000_000_000)
    return _copy(e, records=records)


PLANTED = (
    Planted("lost record", "an acknowledged order is not in the log", ("lost", "hole"), lost_record),
    Planted("done anew", "an acknowledged order was lost and executed when it was sent again", ("lost",), done_anew),
    Planted("accepted twice", "an order is in the log twice", ("doubled",), accepted_twice),
    Planted("reported twice", "a fill was reported under two numbers", ("doubled",), reported_twice),
    Planted("fill not logged", "a client was told of a fill that the log does not have", ("lost",), fill_not_logged),
    Planted("other price", "a client was told another price than the log has", ("altered",), other_price),
)


def planted(e: Evidence) -> list[Caught]:
    """Each of PLANTED in this evidence, which must be clean."""
    out = []
    for control in PLANTED:
        wrong = control.plant(e)
        if wrong is None:
            out.append(Caught(control.name, control.story, None, "nothing in this run to plant it in"))
            continue
        found = findings(wrong)
        hits = [finding for finding in found if finding.kind in control.kinds]
        words = str(hits[0]) if hits else f"not found; the checks say {', '.join(map(str, found)) or 'clean'}"
        out.append(Caught(control.name, control.story, bool(hits), words))
    return out
