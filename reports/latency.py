"""Where the marks of the latency plot go: percentiles and budgets of all stages on one logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matchmark.reports.records import LatencyRow
from matchmark.reports.wirelog import nanoseconds


@dataclass(frozen=True, slots=True)
class Tick:
    """A line of the axis, `at` per mille of its width."""

    at: int
    label: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One stage: texts for the table and marks for the plot, in per mille of its width."""

    stage: str
    count: str
    p50: str
    p99: str
    p999: str
    max: str
    budget: str
    against: str
    """p99 as a multiple of the budget; empty without one."""
    marks: tuple[int, int, int, int]
    budget_at: int | None


@dataclass(frozen=True, slots=True)
class Plot:
    ticks: tuple[Tick, ...]
    bars: tuple[Bar, ...]


def plot(rows: Sequence[LatencyRow]) -> Plot | None:
    """None when there is nothing to draw: no rows, or none with samples."""
    rows = [row for row in rows if row.count]
    if not rows:
        return None
    values = [max(1, ns) for row in rows for ns in (row.p50_ns, row.max_ns, row.budget_ns) if ns is not None]
    low = math.floor(math.log10(min(values)))
    high = max(low + 1, math.ceil(math.log10(max(values))))

    def at(ns: int) -> int:
        return round(1000 * (math.log10(max(1, ns)) - low) / (high - low))

    ticks = tuple(Tick(round(1000 * (d - low) / (high - low)), _decade(d)) for d in range(low, high + 1))
    return Plot(ticks, tuple(_bar(row, at) for row in rows))


def _bar(row: LatencyRow, at: Callable[[int], int]) -> Bar:
    budget = row.budget_ns
    return Bar(
        stage=row.stage,
        count=f"{row.count:,}",
        p50=nanoseconds(row.p50_ns),
        p99=nanoseconds(row.p99_ns),
        p999=nanoseconds(row.p999_ns),
        max=nanoseconds(row.max_ns),
        budget=nanoseconds(budget) if budget is not None else "",
        against=f"{row.p99_ns / budget:.2g}×" if budget else "",
        marks=(at(row.p50_ns), at(row.p99_ns), at(row.p999_ns), at(row.max_ns)),
        budget_at=at(budget) if budget else None,
    )


def _decade(power: int) -> str:
    unit, rest = [("ns", power), ("µs", power - 3), ("ms", power - 6), ("s", power - 9)][min(3, power // 3)]
    return f"{10**rest} {unit}"
