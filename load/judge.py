"""Right under load: whether what was answered fast was also right. Pure functions of what a run has left.

    counted     the cannon's own checks of each answer, as it came
    answered    every order that was sent has an answer
    told        no execution under two numbers, both sides of every trade: lots bought are lots sold, price by price
    replayed    of sessions with a symbol of their own, command by command: the suites' rules (conformance/checks) and the model
    logged      with an audit log: the checks of a game day (chaos/checks.py) and verify-log

What could not be judged is in `left_out`, in words: no verdict hides how much it is of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from matchmark.chaos import checks as game_day
from matchmark.chaos.checks import Finding
from matchmark.chaos.evidence import Evidence
from matchmark.conformance.checks import audit
from matchmark.conformance.checks.audit_structure import AuditLog
from matchmark.conformance.checks.differential import differential
from matchmark.conformance.targets.base import Instruments, TargetInfo
from matchmark.load.answers import history_of, sessions_told
from matchmark.load.cannon import WRONGS, Cannon
from matchmark.load.fix_load import ABSENT, ORDER, PLAN
from matchmark.load.shots import CANCEL, IMMEDIATE, REPLACE, SELLS
from matchmark.reference.verify import verify

SHOWN_MAX = 5
JUDGED_MAX = 60_000
"""Commands that are held against the model, in Python: some seconds."""
LOG_CHECKS_WITH_REPLACES = (
    game_day.structure, game_day.nothing_lost, game_day.nothing_twice, game_day.in_order, game_day.told_as_logged,
)  # fmt: skip
"""Those that are right where orders are replaced: the others take an order for what it was sent as."""


@dataclass
class Judgement:
    """`judged`: commands held against the model; `records`: of the log."""

    findings: list[Finding] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    judged: int = 0
    records: int = 0


def judged(
    cannon: Cannon, info: TargetInfo, own: bool, fresh: bool, alone: bool, whole: bool, most: int = JUDGED_MAX
) -> Judgement:
    """`own`: symbols of their own; `fresh`: empty books; `alone`: nobody else trades them; `whole`: the run came to its end."""
    out = Judgement([*counted(cannon)])
    if whole:
        out.findings += answered(cannon)
    else:
        out.left_out.append("the run was cut short: whether everything would have been answered is open")
    out.findings += told_twice(cannon)
    if whole and alone:
        out.findings += both_sides(cannon)
    else:
        out.left_out.append("lots bought against lots sold: only of a whole run where nobody else trades")
    if own and fresh:
        _replayed(cannon, info, most, out)
    else:
        why = "sessions share symbols" if not own else "the books were not empty"
        out.left_out.append(f"priority, command by command: {why}" + ("; the log's replay shows it" if fresh else ""))
    return out


def counted(cannon: Cannon) -> Iterator[Finding]:
    counts, reports = cannon.look(), cannon.reports
    for kind, (name, text) in WRONGS.items():
        if not (count := counts.wrong[kind]):
            continue
        at = counts.first_wrong[kind]
        names = _names(cannon, reports["order"][at - 1 : at].tolist()) if at else ()
        yield Finding(name, count, f"{count:,} {text}", names)
    if counts.asked_again:
        yield Finding(
            "session", counts.asked_again, f"{counts.asked_again:,} ResendRequests: messages of ours were lost there"
        )
    if counts.refused_messages:
        words = next((s.words for n in range(len(cannon.sessions)) if (s := cannon.session(n)).words), "")
        yield Finding(
            "refused",
            counts.refused_messages,
            f"{counts.refused_messages:,} messages were rejected as messages: {words}",
        )


def answered(cannon: Cannon) -> Iterator[Finding]:
    marks = cannon.marks
    silent = (marks["sent_ns"] != 0) & (marks["told_ns"] == 0)
    if count := int(silent.sum()):
        text = f"{count:,} of {int((marks['sent_ns'] != 0).sum()):,} orders were never answered"
        yield Finding("untold", count, text, _names(cannon, np.flatnonzero(silent)[:SHOWN_MAX].tolist()))


def told_twice(cannon: Cannon) -> Iterator[Finding]:
    """The same execution under two numbers of a session."""
    reports = cannon.reports
    fresh = reports[(reports["flags"] == 0) & np.isin(reports["kind"], [ord(k) for k in "045F"])]
    if not len(fresh):
        return
    keys = np.rec.fromarrays([fresh["session"], fresh["exec_id"], fresh["order"]])
    _, first, counts = np.unique(keys, return_index=True, return_counts=True)
    if twice := int((counts > 1).sum()):
        rows = fresh["order"][first[counts > 1]][:SHOWN_MAX]
        yield Finding(
            "twice", twice, f"{twice:,} executions were reported under two numbers", _names(cannon, rows.tolist())
        )


def both_sides(cannon: Cannon) -> Iterator[Finding]:
    """Of each symbol and price as many lots were bought as sold, by the reports of fills."""
    fills = cannon.reports[cannon.reports["kind"] == ord("F")]
    fills = fills[(fills["order"] != ABSENT) & (fills["flags"] == 0)]
    if not len(fills):
        return
    shots = cannon.shots[fills["order"]]
    signed = np.where(shots["flags"] & SELLS, -1, 1) * fills["last_lots"].astype(np.int64)
    keys = shots["symbol"].astype(np.int64) << 32 | fills["price_ticks"].astype(np.int64)
    _, place = np.unique(keys, return_inverse=True)
    sums = np.bincount(place, weights=signed)
    if count := int((sums != 0).sum()):
        at = int(np.argmax(sums != 0))
        rows = fills["order"][place == at][:SHOWN_MAX]
        text = f"at {count:,} prices the lots bought are not the lots sold; {abs(sums).sum():,.0f} lots in all"
        yield Finding("one-sided", count, text, _names(cannon, rows.tolist()))


def _replayed(cannon: Cannon, info: TargetInfo, most: int, out: Judgement) -> None:
    parts = list(sessions_told(cannon.shots, cannon.marks, cannon.reports, cannon.settings.symbols))
    each = max(1, most // max(1, len(parts)))
    for part in parts:
        history, unpaired = history_of(part, each)
        out.judged += len(history)
        for one in unpaired:
            out.findings.append(Finding("one-sided", 1, one.text, _names(cannon, [one.index])))
        limits = Instruments((part.symbol,), info.instruments.price_max_ticks, info.instruments.quantity_max_lots)
        seen = replace(info, capabilities=info.capabilities - {"top"}, instruments=limits)
        for finding in [*audit(history, seen)[:SHOWN_MAX], *differential(history, seen)]:
            expected = f"; expected {' / '.join(finding.expected)}" if finding.expected else ""
            actual = f"; was {' / '.join(finding.actual)}" if finding.actual else ""
            names = _names(cannon, [int(part.rows[finding.index])]) if finding.index < len(part.rows) else ()
            out.findings.append(Finding(finding.clause, 1, f"{finding.message}{expected}{actual}", names))
    total = int((cannon.marks["sent_ns"] != 0).sum())
    if out.judged < total:
        out.left_out.append(f"priority, command by command: the first {out.judged:,} of {total:,} commands (--judge)")


def _names(cannon: Cannon, rows: Sequence[int]) -> tuple[str, ...]:
    return tuple(cannon.name(row) for row in rows if row != ABSENT)


# --- the log ---


def logged(cannon: Cannon, log: AuditLog, log_dir: Path, only_run: bool, out: Judgement) -> None:
    """`only_run`: the log is of this run alone; else it is verified as a whole and not held against this run's clients."""
    out.records = len(log.records)
    structure = [str(fault) for fault in log.faults]
    out.findings += [Finding("structure", 1, text) for text in structure if not only_run]
    if only_run:
        e = evidence_of(cannon, log, structure)
        has_replaces = bool((cannon.shots["op"] == REPLACE).any())
        for check in LOG_CHECKS_WITH_REPLACES if has_replaces else game_day.CHECKS:
            out.findings += check(e)
    if not structure:
        out.findings += [Finding("book", 1, str(finding)) for finding in verify(log_dir).findings]


def evidence_of(cannon: Cannon, log: AuditLog, structure: list[str]) -> Evidence:
    """The run as a game day's evidence: rows are a session's orders by number, times CLOCK_REALTIME."""
    sessions = len(cannon.sessions)
    rows = [np.flatnonzero((cannon.shots["session"] == n) & (cannon.marks["sent_ns"] != 0)) for n in range(sessions)]
    capacity = max([1, *(len(part) for part in rows)])
    index = np.full(len(cannon.shots) + 1, ABSENT, dtype=np.uint32)
    for n, part in enumerate(rows):
        index[part] = n * capacity + np.arange(len(part))
    reports = cannon.reports.copy()
    for name in ("order", "orig"):
        known = reports[name] != ABSENT
        reports[name][known] = index[reports[name][known]]
    reports["at_ns"] += cannon.to_real_ns
    orders = [_orders(cannon, part) for part in rows]
    plans = [_plans(cannon, part) for part in rows]
    return Evidence(
        cannon.settings.run, capacity, sessions, orders, plans, reports, log.records, [], structure,
        settled=not bool(((cannon.marks["sent_ns"] != 0) & (cannon.marks["told_ns"] == 0)).any()),
    )  # fmt: skip


def _orders(cannon: Cannon, rows: np.ndarray) -> np.ndarray:
    marks, shots = cannon.marks[rows], cannon.shots[rows]
    out = np.zeros(len(rows), dtype=ORDER)
    real = np.uint64(cannon.to_real_ns)
    out["sent_ns"] = marks["sent_ns"] + real
    out["told_ns"] = out["acknowledged_ns"] = np.where(marks["told_ns"] != 0, marks["told_ns"] + real, 0)
    out["order_id"], out["filled_lots"], out["reports"] = marks["order_id"], marks["cum_lots"], marks["reports"]
    out["connection"] = out["last_connection"] = out["sendings"] = 1
    # A replace is an order in the log under another operation, which a game day has none of: it is acknowledged there as nothing.
    out["state"] = np.where(shots["op"] == REPLACE, 0, marks["state"] & 63)
    return out


def _plans(cannon: Cannon, rows: np.ndarray) -> np.ndarray:
    shots = cannon.shots[rows]
    out = np.zeros(len(rows), dtype=PLAN)
    for name in ("price_ticks", "lots", "symbol", "orig"):
        out[name] = shots[name]
    out["cancels"], out["sells"] = shots["op"] == CANCEL, shots["flags"] & SELLS
    out["immediate"] = (shots["flags"] & IMMEDIATE) != 0
    return out
