"""What the target itself stamped of an order's way: rows for the certificate, and a grade where the profile asks for one.

Row: stage, count, p50_ns, p99_ns, p999_ns, max_ns, budget_ns. A stage's name begins with the step whose budget it has.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from matchmark.conformance.targets.base import Target
from matchmark.conformance.venue import Venue
from matchmark.conformance.verdict import Verdict
from matchmark.reports.records import ClauseResult, LatencyRow

GRADED = {
    "D01.P1": "D01.8",
    "D01.P2": "D01.6",
    "D01.P3": "D01.P3",
    "D02.P1": "D02.5",
    "D02.P2": "D02.8",
    "D04.P1": "D04.8",
    "D07.P1": "D07.6",
    "D08.P1": "D08.6",
    "D10.P1": "D10.2",
    "D10.P2": "D10.P2",
    "D10.P3": "D10.7",
}
"""Performance clauses and the step whose stage they are about; met when the p99 is within the clause's budget, or where it has
none within the row's: what a disk can do is known only when it was tried."""
GRADED_BY = "stage times of the whole run"


KEPT_EVERY_S = 1.0
"""How often an exchange that runs writes its counts down when there are new ones; reference/stage_counts.py."""


def _matchmark(log: Path) -> list[dict[str, Any]]:
    from matchmark.reference.stage_counts import FILE
    from matchmark.reference.stages import rows

    _until_written_again(log / FILE)
    return rows(log)


def _until_written_again(path: Path) -> None:
    """What the last orders took is in the next copy; when none comes there was nothing new."""
    asked, until = time.time(), time.monotonic() + 1.5 * KEPT_EVERY_S
    while time.monotonic() < until and not (path.exists() and path.stat().st_mtime > asked):
        time.sleep(0.05)


READERS: Mapping[str, Callable[[Path], list[dict[str, Any]]]] = {"matchmark": _matchmark}
"""Readers of stage times, by the profile's [audit_log] format."""


def stage_rows(target: Target) -> list[dict[str, Any]]:
    """The stages of the run so far, read from the audit log of the running target. Empty when it declares none."""
    venue = getattr(target, "venue", None)
    if not isinstance(venue, Venue) or "stage_times" not in target.info.capabilities or venue.log_dir is None:
        return []
    reader = READERS[venue.profile.tables.get("audit_log", {}).get("format", "matchmark")]
    return reader(venue.log_dir)


def grade(clauses: Iterable[ClauseResult], rows: Iterable[LatencyRow], budgets: Mapping[str, int | None]) -> None:
    """Gives the performance clauses that have a stage their verdict. The others stay what they are."""
    by_step = {row.stage.partition(" ")[0]: row for row in rows}
    for clause in clauses:
        row, budget = by_step.get(GRADED.get(clause.id, "")), budgets.get(clause.id)
        budget = budget or (row.budget_ns if row else None)
        if row is None or not budget or clause.verdict is not Verdict.UNTESTED:
            continue
        met = row.p99_ns <= budget
        clause.verdict = Verdict.PASS if met else Verdict.FAIL
        clause.tests, clause.examples = [GRADED_BY], row.count
        clause.reason = f"p99 of {row.count:,} is {row.p99_ns / 1000:,.1f} us, the budget {budget / 1000:,.0f} us"
