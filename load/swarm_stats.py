"""Exact percentiles of a swarm: each process keeps what it measured, workers send it with their reports, the master adds.

Locust's own buckets are whole milliseconds below 100 and two digits above; both are shown, and neither is taken for the other.
What travels is HdrHistogram buckets and their counts: the master's histogram is the union of the workers', value for value.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np

from matchmark.load.latency import Latencies, lowest_equivalent, show_ns

KEY = "matchmark_latency"
"""In the reports of workers."""
LATENESS = "lateness"
LATE_NS = 1_000_000


class Recorder:
    """One process's. `record` is called for every order; `take` empties it."""

    def __init__(self) -> None:
        self._values: dict[str, array[int]] = {}

    def record(self, name: str, ns: int) -> None:
        try:
            self._values[name].append(ns)
        except KeyError:
            self._values[name] = array("q", (ns,))

    def take(self) -> dict[str, tuple[bytes, bytes]]:
        """By name the lowest values of buckets and their counts, int64 little-endian: a few milliseconds for 50,000 values, so
        that the orders beside it are not late."""
        taken, self._values = self._values, {}
        out = {}
        for name, values in taken.items():
            ns = np.frombuffer(values, dtype=np.int64)
            buckets, counts = np.unique(lowest_equivalent(np.maximum(ns, 0)), return_counts=True)
            out[name] = buckets.astype("<i8").tobytes(), counts.astype("<i8").tobytes()
        return out


class Union:
    """Histograms by name, of all processes."""

    def __init__(self) -> None:
        self.histograms: dict[str, Latencies] = {}
        self.reports: dict[str, int] = {}
        """How many reports came from each worker."""

    def add(self, client_id: str, said: Mapping[str, Any]) -> None:
        self.reports[client_id] = self.reports.get(client_id, 0) + 1
        for name, (buckets, counts) in said.items():
            one = self.histograms.setdefault(name, Latencies())
            one.add_counts(np.frombuffer(buckets, dtype="<i8"), np.frombuffer(counts, dtype="<i8"))

    def table(self) -> str:
        """What is printed at the end."""
        rows = [f"{'exact latency':26} {'orders':>10} {'p50':>10} {'p99':>10} {'p99.9':>10} {'max':>10}"]
        for name, one in sorted(self.histograms.items(), key=lambda item: (item[0] == LATENESS, item[0])):
            s = one.summary()
            values = (show_ns(v) for v in (s.p50_ns, s.p99_ns, s.p999_ns, s.max_ns))
            rows.append(f"{name:26} {s.count:>10,} " + " ".join(f"{v:>10}" for v in values))
        late = self.histograms.get(LATENESS)
        if late is not None and late.percentile(99) > LATE_NS:
            rows.append(
                f"warning: the generator itself was late: p99 {show_ns(late.percentile(99))} behind the schedule. More workers "
                "(--processes), fewer orders a second, or the native cannon (matchmark load run)"
            )
        return "\n".join(rows)
