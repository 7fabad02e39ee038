"""Means with confidence intervals of a few repetitions, and service level objectives.

Repetitions of a run are few and their percentiles skewed: Student's t on three values is wide, and honestly so. One value has no
interval.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from matchmark.load.latency import Latencies, show_ns

T95 = (0.0, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
"""Two-sided 95 % quantiles of Student's t by degrees of freedom, from 1; beyond the table the last is used, which is wider."""


@dataclass(frozen=True)
class Mean:
    """`half`: half the width of the 95 % interval; None of a single value."""

    value: float
    half: float | None
    n: int

    def words(self, show: str = "{:,.0f}") -> str:
        return show.format(self.value) + ("" if self.half is None else f" ± {show.format(self.half)}")


def mean_of(values: Sequence[float]) -> Mean:
    if len(values) < 2:
        return Mean(values[0] if values else 0.0, None, len(values))
    t = T95[min(len(values) - 1, len(T95) - 1)]
    return Mean(statistics.fmean(values), t * statistics.stdev(values) / len(values) ** 0.5, len(values))


# --- objectives ---

_SLO = re.compile(r"\s*(p[\d.]+|max)\s*(?:<=|<)\s*([\d.]+)\s*(ns|us|ms|s)\s*")
_UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}


class SloError(ValueError):
    """No objective; the text shows how one is written."""


@dataclass(frozen=True)
class Slo:
    """Bounds of the response's percentiles, ns by percentile."""

    bounds: tuple[tuple[float, int], ...]

    def __str__(self) -> str:
        return ", ".join(f"{'max' if p == 100 else f'p{p:g}'} < {show_ns(ns)}" for p, ns in self.bounds)

    def broken(self, response: Latencies) -> str:
        """The first bound that is not held, in words; empty: all are."""
        for percent, ns in self.bounds:
            if (was := response.percentile(percent)) > ns:
                return f"{'max' if percent == 100 else f'p{percent:g}'} {show_ns(was)}, objective {show_ns(ns)}"
        return ""


def slo_of(text: str) -> Slo:
    """From "p99<5ms" or "p50<200us,p99.9<20ms". SloError."""
    bounds = []
    for part in text.split(","):
        match = _SLO.fullmatch(part)
        percent = 100.0 if match and match[1] == "max" else float(match[1][1:]) if match else 0.0
        if match is None or not 0 < percent <= 100:
            raise SloError(f'objective {part!r}: write it as "p99<5ms" or "p50<200us,p99.9<20ms"')
        bounds.append((percent, int(float(match[2]) * _UNITS[match[3]])))
    return Slo(tuple(bounds))
