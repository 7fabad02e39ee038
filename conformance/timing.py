"""What the target itself stamped of an order's way, and what the kit measured of the feeds: rows for the certificate, and a grade
where the profile asks for one.

Row: stage, count, p50_ns, p99_ns, p999_ns, max_ns, budget_ns. A stage's name begins with the step whose budget it has.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from matchmark.conformance import evidence
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
    "D02.P3": "D02.9",
    "D04.P1": "D04.8",
    "D07.P1": "D07.6",
    "D08.P1": "D08.6",
    "D09.P1": "D09.9",
    "D09.P2": "D09.10",
    "D10.P1": "D10.2",
    "D10.P2": "D10.P2",
    "D10.P3": "D10.7",
    "D12.8": "D12.8",
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


def _matchmark_way(log: Path) -> list[dict[str, Any]]:
    from matchmark.reference.stage_counts import FILE
    from matchmark.reference.stages import way_rows as rows

    _until_written_again(log / FILE)
    return rows(log)


WAY_READERS: Mapping[str, Callable[[Path], list[dict[str, Any]]]] = {"matchmark": _matchmark_way}
"""The same of the way from the frame to the order queue."""
READERS: Mapping[str, Callable[[Path], list[dict[str, Any]]]] = {"matchmark": _matchmark}
"""Readers of stage times, by the profile's [audit_log] format."""


LEFT_FOR_SUBSCRIBERS = "D02.9 market order's trade on the direct feed", 60_000
AT_A_STANDARD_CLIENT = "D09.9 trade at a standard client", 1_000_000
AT_A_DIRECT_CLIENT = "D09.10 trade at a direct client", 10_000
"""Stages that suites measure, and their budgets in ns. All stamps, the target's and the kit's, are of CLOCK_MONOTONIC_RAW: they
say something only where both run on one machine."""
OTHER_CLOCK_NS = 60_000_000_000
"""A difference beyond it, or below zero, is one of two clocks."""


class Measured:
    """What the suites of a run measured, by stage."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, int], list[int]] = {}
        self._rows: dict[str, dict[str, Any]] = {}

    def add(self, stage: tuple[str, int], times_ns: Iterable[int]) -> None:
        """Times of another clock are left out."""
        kept = [t for t in times_ns if 0 <= t < OTHER_CLOCK_NS]
        self._times.setdefault(stage, []).extend(kept)

    def add_rows(self, rows: Iterable[dict[str, Any]]) -> None:
        """Stages that the target counted itself. Of one that was measured several times the last holds."""
        self._rows.update({row["stage"]: row for row in rows})

    def rows(self) -> list[dict[str, Any]]:
        ours = [
            {"stage": name, **evidence.latency(times), "budget_ns": budget_ns}
            for (name, budget_ns), times in self._times.items()
            if times
        ]
        return [*ours, *self._rows.values()]


def now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)


def raw_ns(at_ns: int) -> int:
    """Of a moment of time.perf_counter_ns a short while ago, by CLOCK_MONOTONIC_RAW."""
    return at_ns + now_ns() - time.perf_counter_ns()


def stage_rows(target: Target) -> list[dict[str, Any]]:
    """The stages of the run so far, read from the audit log of the running target. Empty when it declares none."""
    venue = getattr(target, "venue", None)
    if not isinstance(venue, Venue) or "stage_times" not in target.info.capabilities or venue.log_dir is None:
        return []
    reader = READERS[venue.profile.tables.get("audit_log", {}).get("format", "matchmark")]
    return reader(venue.log_dir)


def way_rows(venue: Venue) -> list[dict[str, Any]]:
    """Stages of new orders from the frame in memory to the order queue, of a running venue at the end of a cable."""
    reader = WAY_READERS.get(venue.profile.tables.get("audit_log", {}).get("format", "matchmark"))
    return reader(venue.log_dir) if reader and venue.log_dir else []


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
