"""What an episode must satisfy, as pure functions of its evidence: acknowledged within recovered within attempted, no hole, each
order and each fill once, what was told is what is logged.

An order that was acknowledged, lost and then executed when its client sent it again is lost all the same: its record is younger
than its acknowledgement. After a power cut in mode async what was told in the window before it may be missing, and what follows
from that is no finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from matchmark.chaos.evidence import FILL, Array, Evidence, Ints
from matchmark.conformance.checks.audit_format import Op
from matchmark.load.fix_load import (
    ACCEPTED,
    CANCEL_REFUSED,
    CANCELLED,
    POSS_DUP,
    POSS_RESEND,
    REJECTED,
    TRADED,
)

Flags = npt.NDArray[np.bool_]
SHOWN_MAX = 5
YOUNGER_NS = 1_000_000
"""By so much a record must be younger than the acknowledgement to be another execution: a restart takes longer, a clock does not
step so far."""
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Finding:
    """`kind` is lost, doubled, hole, invented, altered, order, untold, structure or session; `count` of them."""

    kind: str
    count: int
    text: str
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}" + (
            f" ({', '.join(self.names)}{' ...' if self.count > len(self.names) else ''})"
        )


@dataclass(frozen=True)
class Losses:
    """Of each row of `sent`: whether it was acknowledged, and how. `excused` of the lost are those of an announced window."""

    acknowledged: Flags
    lost: Flags
    excused: Flags
    age_ns: Ints
    """How long before the next fault it was told; NEVER where none came."""


def losses(e: Evidence) -> Losses:
    sent = e.sent
    cancels = sent.plans["cancels"].astype(bool)
    state, told_ns = sent.orders["state"], sent.orders["acknowledged_ns"].astype(np.int64)
    acknowledged = np.where(cancels, state & CANCELLED, state & (ACCEPTED | TRADED | CANCELLED)) != 0
    made_ns = _first_command(e, e.commands["time_ns"].astype(np.int64))
    lost = acknowledged & (made_ns > told_ns + YOUNGER_NS)
    age, excused = np.full(len(lost), NEVER), np.zeros(len(lost), dtype=bool)
    for fault in reversed(e.faults):
        before = told_ns <= fault.over_ns
        age = np.where(before, fault.at_ns - told_ns, age)
        excused = np.where(before, fault.window_ns > 0, excused) & (~before | (age <= fault.window_ns))
    return Losses(acknowledged, lost, lost & excused, age)


def _first_command(e: Evidence, values: Ints) -> Ints:
    """Of each row of `sent` the value of its first command in the log; NEVER when there is none."""
    first = np.full(len(e.sent.index), NEVER)
    known = e.command_rows >= 0
    np.minimum.at(first, e.command_rows[known], values[known])
    return first


def _in_a_window(e: Evidence, at_ns: Ints) -> Flags:
    """Whether what was told then may be missing from the log."""
    within = np.zeros(len(at_ns), dtype=bool)
    for fault in e.faults:
        if fault.window_ns:
            within |= (at_ns <= fault.over_ns) & (fault.at_ns - at_ns <= fault.window_ns)
    return within


# --- checks ---


def nothing_lost(e: Evidence) -> Iterator[Finding]:
    found = losses(e)
    lost = found.lost & ~found.excused
    if count := int(lost.sum()):
        age_ms = float(np.min(found.age_ns[lost])) / 1e6
        text = f"{count} acknowledged orders are not in the log, or were done anew; the youngest {age_ms:.1f} ms before a fault"
        yield Finding("lost", count, text, _names(e, lost))


def nothing_invented(e: Evidence) -> Iterator[Finding]:
    if count := int((e.command_rows < 0).sum()):
        yield Finding("invented", count, f"the log has {count} commands that no client sent")
    sent, commands, rows = e.sent, e.commands, e.command_rows
    known = (rows >= 0) & (commands["op"] == Op.NEW)
    if not known.any():
        return
    plans, logged = sent.plans[rows[known]], commands[known]
    other = (
        (plans["price_ticks"] != logged["price_ticks"])
        | (plans["lots"] != logged["quantity_lots"])
        | (plans["sells"] != logged["side"])
        | (plans["immediate"] != logged["tif"])
        | plans["cancels"].astype(bool)
        | _other_symbol(plans["symbol"], logged["symbol"])
    )
    if count := int(other.sum()):
        yield Finding("altered", count, f"{count} orders are logged otherwise than they were sent",
                      _names_of(e, rows[known][other]))  # fmt: skip


def _other_symbol(sent: Array, logged: Array) -> Flags:
    """Each symbol that was sent stands for one number of the log, the one that it has most often."""
    other = np.zeros(len(sent), dtype=bool)
    for symbol in np.unique(sent):
        numbers, counts = np.unique(logged[sent == symbol], return_counts=True)
        other |= (sent == symbol) & (logged != numbers[np.argmax(counts)])
    return other


def nothing_twice(e: Evidence) -> Iterator[Finding]:
    """No order accepted twice in the log or to its client, no fill beyond its order, no execution under two numbers."""
    rows, counts = np.unique(e.accepted_rows[e.accepted_rows >= 0], return_counts=True)
    if (counts > 1).any():
        again = rows[counts > 1]
        yield Finding("doubled", len(again), f"{len(again)} orders are in the log as accepted more than once",
                      _names_of(e, again))  # fmt: skip
    fills = e.logged_fills
    yield from _beyond(e, fills, "the log")
    told = _settled_reports(e)
    yield from _told_twice(e, told)
    once = _once(told[told["kind"] == ord("F")])
    yield from _beyond(e, told_fills(e, once), "its client's reports")


def _beyond(e: Evidence, fills: Array, where: str) -> Iterator[Finding]:
    lots = np.zeros(len(e.sent.index), dtype=np.int64)
    known = fills["order"] >= 0
    np.add.at(lots, fills["order"][known], fills["lots"][known])
    over = lots > e.sent.plans["lots"]
    if count := int(over.sum()):
        yield Finding("doubled", count, f"{count} orders are filled beyond their quantity by {where}", _names(e, over))


def _told_twice(e: Evidence, told: Array) -> Iterator[Finding]:
    """An ExecID under two numbers that is not said to come again; an acceptance under two ExecIDs."""
    again = told["flags"] & (POSS_DUP | POSS_RESEND) != 0
    fresh = told[~again & np.isin(told["kind"], [ord(kind) for kind in "0458F"])]
    key = np.rec.fromarrays([fresh["session"], fresh["exec_id"]])
    _, first, counts = np.unique(key, return_index=True, return_counts=True)
    if twice := int((counts > 1).sum()):
        rows = e.row_of(_index(fresh["order"][first[counts > 1]]))
        yield Finding("doubled", twice, f"{twice} executions were reported under two numbers", _names_of(e, rows))
    accepted = _once(told[told["kind"] == ord("0")])
    orders, counts = np.unique(accepted["order"], return_counts=True)
    if (counts > 1).any():
        rows = e.row_of(_index(orders[counts > 1]))
        yield Finding("doubled", len(rows), f"{len(rows)} orders were accepted twice, as their clients were told",
                      _names_of(e, rows))  # fmt: skip


def no_hole(e: Evidence) -> Iterator[Finding]:
    """Of what a connection carried the log has the first so many: what is missing is not followed by what is there."""
    sent = e.sent
    logged = np.zeros(len(sent.index), dtype=bool)
    logged[e.command_rows[e.command_rows >= 0]] = True
    refused = (sent.orders["state"] & (REJECTED | CANCEL_REFUSED) != 0) | (sent.orders["doubts"] > 0)
    connection = sent.session << 32 | sent.orders["last_connection"]
    _, group = np.unique(connection, return_inverse=True)
    rows = np.arange(len(logged))
    last = np.full(int(group.max()) + 1 if len(group) else 0, -1)
    np.maximum.at(last, group[logged], rows[logged])
    hole = ~logged & ~refused & (rows < last[group])
    hole &= ~losses(e).excused
    if count := int(hole.sum()):
        text = f"{count} orders are not in the log, which later ones of their connections are"
        yield Finding("hole", count, text, _names(e, hole))


def in_order(e: Evidence) -> Iterator[Finding]:
    """A session's orders are in the log in the order in which it sent them; but for those that it sent again out of doubt."""
    rows = e.command_rows[e.command_rows >= 0]
    rows = rows[e.sent.orders["doubts"][rows] == 0]
    _, first = np.unique(rows, return_index=True)
    in_log = rows[np.sort(first)]
    for session in range(e.sessions):
        mine = in_log[e.sent.session[in_log] == session]
        if (back := np.flatnonzero(np.diff(mine) < 0)).size:
            text = f"session {session}: {len(back)} orders are in the log before one that was sent earlier"
            yield Finding("order", len(back), text, _names_of(e, mine[back + 1]))


def told_as_logged(e: Evidence) -> Iterator[Finding]:
    """Every fill that a client was told is in the log, the same; every one of the log was told, where sessions went on."""
    told = _settled_reports(e)
    told = told_fills(e, told[told["kind"] == ord("F")])
    logged = e.logged_fills
    place, found = _matched(told, logged)
    missing = ~found & (told["order"] >= 0)
    if count := int(missing.sum()):
        yield Finding("lost", count, f"{count} fills that were reported are not in the log",
                      _names_of(e, told["order"][missing]))  # fmt: skip
    pairs = logged[place[found]]
    other = np.zeros(len(pairs), dtype=bool)
    for name in ("price", "lots", "leaves"):
        other |= told[found][name] != pairs[name]
    if count := int(other.sum()):
        yield Finding("altered", count, f"{count} fills were reported otherwise than they are in the log",
                      _names_of(e, told["order"][found][other]))  # fmt: skip
    if e.reset or not e.settled:
        return
    everything = told_fills(e, e.told[e.told["kind"] == ord("F")])
    untold = ~_matched(logged, everything)[1] & (logged["order"] >= 0)
    if count := int(untold.sum()):
        yield Finding("untold", count, f"{count} fills of the log were reported to nobody",
                      _names_of(e, logged["order"][untold]))  # fmt: skip


def _matched(wanted: Array, among: Array) -> tuple[Ints, Flags]:
    """Of each fill the place of the one with the same order and the same sum so far, and whether there is one."""
    if not len(among):
        return np.zeros(len(wanted), dtype=np.int64), np.zeros(len(wanted), dtype=bool)
    keys, order = _key(among), np.argsort(_key(among), kind="stable")
    place = np.searchsorted(keys[order], _key(wanted))
    place = order[np.minimum(place, len(order) - 1)]
    return place, keys[place] == _key(wanted)


def _key(fills: Array) -> Ints:
    key: Ints = fills["order"] << 32 | fills["cum"]
    return key


def structure(e: Evidence) -> Iterator[Finding]:
    for text in e.structure:
        yield Finding("structure", 1, text)


def answered(e: Evidence) -> Iterator[Finding]:
    if not e.settled:
        silent = int((e.sent.orders["told_ns"] == 0).sum())
        yield Finding(
            "untold", max(silent, 1), f"at the end {silent} orders had no answer, or a session was not on again"
        )


CHECKS: tuple[Callable[[Evidence], Iterator[Finding]], ...] = (
    structure, nothing_lost, nothing_twice, no_hole, nothing_invented, in_order, told_as_logged, answered,
)  # fmt: skip


def findings(e: Evidence) -> list[Finding]:
    return [finding for check in CHECKS for finding in check(e)]


# --- rows and reports ---


def told_fills(e: Evidence, reports: Array) -> Array:
    """FILL of reports of trades; `order` is a row of `sent`."""
    fills = np.zeros(len(reports), dtype=FILL)
    fills["order"] = e.row_of(_index(reports["order"]))
    for name, field in (
        ("cum", "cum_lots"),
        ("price", "price_ticks"),
        ("lots", "last_lots"),
        ("leaves", "leaves_lots"),
    ):
        fills[name] = reports[field]
    fills["sequence"] = np.arange(len(reports))
    return fills


def _settled_reports(e: Evidence) -> Array:
    """Reports by which the exchange can be held: not those that a power cut in mode async may have taken back."""
    return e.told[~_in_a_window(e, e.told["at_ns"].astype(np.int64))]


def _once(reports: Array) -> Array:
    """One report of each execution: the same ExecID again is the same one."""
    _, first = np.unique(np.rec.fromarrays([reports["session"], reports["exec_id"]]), return_index=True)
    return reports[np.sort(first)]


def _index(orders: Array) -> Ints:
    wide = orders.astype(np.int64)
    return np.where(wide == 0xFFFFFFFF, -1, wide)


def _names(e: Evidence, rows: Flags) -> tuple[str, ...]:
    return _names_of(e, np.flatnonzero(rows))


def _names_of(e: Evidence, rows: Ints) -> tuple[str, ...]:
    return tuple(e.name(int(row)) for row in rows[:SHOWN_MAX] if row >= 0)
