"""Latency as HdrHistograms: recorded in nanoseconds, three significant digits from 1 ns to an hour, merged without loss.

Counters of equal buckets are added, so the merge of any histograms is the histogram of all their values: of sessions, of
processes, of machines. Files are HdrHistogram interval logs (`.hlog`, version 1.2, a histogram a line, compressed V2), which
every HdrHistogram tool reads; a tag names what a line is of.

Percentiles are highest equivalent values: at most 0.1 % above what was measured, never below.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from hdrh.histogram import HdrHistogram

HIGHEST_NS = 3_600_000_000_000
"""An hour: no order is waited for so long. What is above counts as that."""
DIGITS = 3
_HALF_BITS = 10
"""2 x 10^3 distinct values need 2,048 sub-buckets; half of them are distinct in every bucket but the first."""
PERCENTILES = (50.0, 90.0, 99.0, 99.9, 99.99)
CURVE = (0.0, 10, 25, 50, 75, 90, 95, 97.5, 99, 99.5, 99.75, 99.9, 99.95, 99.975, 99.99, 99.995, 99.999, 100.0)

Ints = npt.NDArray[np.int64]


class HistogramFileError(Exception):
    """No histogram log, or one that cannot be merged with ours; names the file and the line."""


@dataclass(frozen=True)
class Summary:
    """Percentiles in ns; all 0 when `count` is."""

    count: int
    min_ns: int
    mean_ns: float
    p50_ns: int
    p90_ns: int
    p99_ns: int
    p999_ns: int
    p9999_ns: int
    max_ns: int


class Latencies:
    """One histogram. `add` takes values in ns, shape (n,); below 0 counts as 0 (clocks of one machine do not go back, an answer
    cannot come before its order: such values are the caller's mistake and are counted in `negative`)."""

    def __init__(self) -> None:
        self.histogram: Any = HdrHistogram(1, HIGHEST_NS, DIGITS)
        self.negative = 0

    @classmethod
    def of(cls, values_ns: npt.ArrayLike) -> Latencies:
        made = cls()
        made.add(values_ns)
        return made

    def add(self, values_ns: npt.ArrayLike) -> None:
        values = np.asarray(values_ns, dtype=np.int64)
        if not len(values):
            return
        self.negative += int((values < 0).sum())
        self.add_counts(*np.unique(lowest_equivalent(np.clip(values, 0, HIGHEST_NS)), return_counts=True))

    def add_counts(self, values_ns: Ints, counts: Ints) -> None:
        """Each value so many times; shapes (n,) both."""
        for value, count in zip(values_ns.tolist(), counts.tolist(), strict=True):
            self.histogram.record_value(min(value, HIGHEST_NS), count)

    def merge(self, other: Latencies) -> None:
        if other.count:  # an empty one would bring 0 as its least value
            self.histogram.add(other.histogram)
        self.negative += other.negative

    @property
    def count(self) -> int:
        return int(self.histogram.get_total_count())

    def _recorded(self) -> tuple[Ints, Ints]:
        """Buckets that are not empty, by their lowest values ascending, and their counts; shapes (n,) both. The package's own
        iterators take a quarter of a second for what this does in one of milliseconds."""
        counts = np.frombuffer(self.histogram.counts, dtype=np.int64)
        (index,) = np.nonzero(counts)
        shift = np.maximum((index >> _HALF_BITS) - 1, 0)
        return (index - (shift << _HALF_BITS)) << shift, counts[index]

    def percentile(self, percent: float) -> int:
        """ns; 0 when nothing was recorded."""
        return self.percentiles((percent,))[percent]

    def percentiles(self, percents: Iterable[float]) -> dict[float, int]:
        wanted = [float(p) for p in percents]
        if not self.count:
            return dict.fromkeys(wanted, 0)
        lowest, counts = self._recorded()
        ranks = [max(1, int(p * self.count / 100 + 0.5)) for p in wanted]
        place = np.minimum(np.searchsorted(np.cumsum(counts), ranks), len(lowest) - 1)
        values = np.where(np.array(wanted) > 0, _highest_equivalent(lowest[place]), lowest[place])
        return dict(zip(wanted, values.tolist(), strict=True))

    def buckets(self) -> dict[int, int]:
        """Counts by the lowest value of their bucket: equal for equal histograms."""
        lowest, counts = self._recorded()
        return dict(zip(lowest.tolist(), counts.tolist(), strict=True))

    def summary(self) -> Summary:
        if not self.count:
            return Summary(0, 0, 0.0, 0, 0, 0, 0, 0, 0)
        p = self.percentiles((*PERCENTILES, 100.0))
        lowest, counts = self._recorded()
        middle = (lowest + _highest_equivalent(lowest)) / 2
        return Summary(
            self.count, int(lowest[0]), float((middle * counts).sum() / self.count), p[50.0], p[90.0], p[99.0], p[99.9],
            p[99.99], p[100.0],
        )  # fmt: skip

    def encode(self) -> str:
        """Compressed V2, base64: what a line of a log has, and what goes between processes."""
        return str(self.histogram.encode().decode("ascii"))

    @classmethod
    def decode(cls, text: str) -> Latencies:
        """HistogramFileError when it is none."""
        made = cls()
        try:
            made.histogram.decode_and_add(text)
        except Exception as error:  # the package raises whatever its codec does: base64, zlib, ctypes
            raise HistogramFileError(f"no histogram: {error}") from None
        return made


def lowest_equivalent(values: Ints) -> Ints:
    """Of each value the lowest one in its bucket; shape (n,), ns. The layout of HdrHistogram with DIGITS: 2,048 values exact,
    then each doubling in 1,024 steps."""
    shift = _shift(values)
    return values >> shift << shift


def _shift(values: Ints) -> Ints:
    _, bits = np.frexp(values.astype(np.float64))
    # a float64 has 53 bits: every value up to an hour in ns is exact
    return np.maximum(bits.astype(np.int64) - (_HALF_BITS + 1), 0)


def _highest_equivalent(values: Ints) -> Ints:
    shift = _shift(values)
    return ((values >> shift) + 1 << shift) - 1


# --- files ---

_LINE = re.compile(r"^(?:Tag=([^,]*),)?([\d.]+),([\d.]+),([\d.]+),(\S+)\s*$")


def write_log(path: Path, histograms: Mapping[str, Latencies], start_s: float, seconds: float) -> None:
    """One line each, its name as the tag; `start_s` since 1970-01-01."""
    lines = [
        "#[Histogram log format version 1.2]",
        f"#[StartTime: {start_s:.3f} (seconds since epoch)]",
        '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"',
    ]
    for name, one in histograms.items():
        max_ms = one.histogram.get_max_value() / 1e6 if one.count else 0.0
        lines.append(f"Tag={name},0.000,{seconds:.3f},{max_ms:.6f},{one.encode()}")
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def read_log(path: Path) -> dict[str, Latencies]:
    """By tag ("" for lines without one), lines of one tag merged. HistogramFileError says which line is wrong."""
    out: dict[str, Latencies] = {}
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise HistogramFileError(f"{path}: cannot be read: {error}") from None
    for number, line in enumerate(lines, 1):
        if not line or line.startswith(("#", '"')):
            continue
        match = _LINE.match(line)
        if match is None:
            raise HistogramFileError(f"{path}:{number}: no line of a histogram log")
        try:
            one = Latencies.decode(match[5])
        except HistogramFileError as error:
            raise HistogramFileError(f"{path}:{number}: {error}") from None
        out.setdefault(match[1] or "", Latencies()).merge(one)
    return out


def merge_logs(paths: Iterable[Path]) -> dict[str, Latencies]:
    """All files together, by tag."""
    merged: dict[str, Latencies] = {}
    for path in paths:
        for name, one in read_log(path).items():
            merged.setdefault(name, Latencies()).merge(one)
    return merged


def show_ns(ns: float) -> str:
    """Three digits with the unit that fits: 870 ns, 12.3 us, 4.56 ms, 1.20 s."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            value = ns / size
            return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"
    return f"{ns:.0f} ns"
