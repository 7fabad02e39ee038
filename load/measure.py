"""What a run measured: from the marks of its shots to histograms and figures. Pure functions; times in ns.

    response    from the intended time to the first answer: what a client whose order was due then has waited
    service     from the sending to the first answer: what a closed loop would have seen, and taken for latency
    lateness    from the intended time to the sending: the generator's own, without what the target held up

An order that was due and never answered has waited until the end of the run at least: it is in `response` with that time.
In a closed loop nothing is intended, and `response` is `service`; the result says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from matchmark.load.cannon import Cannon
from matchmark.load.latency import Latencies, show_ns
from matchmark.load.shots import CANCEL, NEW, REPLACE, Array

SLACK_NS_MAX = 50_000_000
LATE_P99_NS = 1_000_000
LATE_SHARE = 0.2
"""A generator is late when its p99 is above a millisecond, or this share of the response's p99 and above LATE_LEAST_NS."""
LATE_LEAST_NS = 50_000
BINS = 120
"""Points over time, at most; none shorter than BIN_S_MIN."""
BIN_S_MIN = 0.1
OPERATIONS = {"new": NEW, "cancel": CANCEL, "replace": REPLACE}


@dataclass
class Measured:
    """`histograms` by name: response, service, lateness, and response of each operation as response/new ... `timeline`: columns
    of equal length. Rates are orders a second over the measured part, which begins `warm_s` after the start."""

    histograms: dict[str, Latencies]
    seconds: float
    offered: int
    """Orders that were due in the measured part."""
    sent: int
    answered: int
    unanswered: int
    rejected: int
    held: int
    open_loop: bool
    timeline: dict[str, list[float]] = field(default_factory=dict)

    @property
    def offered_rate(self) -> float:
        return self.offered / self.seconds

    @property
    def answered_rate(self) -> float:
        return self.answered / self.seconds

    @property
    def late(self) -> str:
        """Why the generator counts as late, in a sentence; empty when it does not."""
        if not self.open_loop:
            return ""
        late, response = self.histograms["lateness"].percentile(99), self.histograms["response"].percentile(99)
        if late > LATE_P99_NS or (late > LATE_LEAST_NS and late > LATE_SHARE * response):
            return (
                f"the generator itself was late: p99 {show_ns(late)} behind the schedule, beside a response of p99 "
                f"{show_ns(response)}. Fewer orders a second, more processors, or a quieter machine"
            )
        return ""


def measured(cannon: Cannon, warm_s: float, end_ns: int) -> Measured:
    """`end_ns`: when the run was over, CLOCK_MONOTONIC; what was due later is not part of it."""
    shots, marks, start = cannon.shots, cannon.marks, cannon.start_ns
    open_loop = not cannon.settings.window
    due = (shots["at_ns"].astype(np.int64) if open_loop else marks["sent_ns"].astype(np.int64) - start) + start
    first = start + int(warm_s * 1e9)
    part = (due >= first) & (due < end_ns)
    part &= True if open_loop else marks["sent_ns"] != 0
    due, ops, marks = due[part], shots["op"][part], marks[part]
    sent_ns, told_ns = (marks[name].astype(np.int64) for name in ("sent_ns", "told_ns"))
    sent, told = sent_ns != 0, told_ns != 0
    response = np.where(told, told_ns, end_ns) - due
    own = sent & (marks["held"] == 0)
    histograms = {
        "response": Latencies.of(response),
        "service": Latencies.of((told_ns - sent_ns)[told & sent]),
        "lateness": Latencies.of((sent_ns - due)[own]),
    }
    for name, op in OPERATIONS.items():
        if (ops == op).any():
            histograms[f"response/{name}"] = Latencies.of(response[ops == op])
    # What was answered in the measured part, whenever it was due: throughput is what came out of the target in that time.
    stopped = int(due.max()) if len(due) else end_ns
    seconds = max((stopped - first) / 1e9, 1e-9)
    in_time = told & (told_ns <= stopped + _slack(response[told]))
    return Measured(
        histograms, seconds, len(due), int(sent.sum()), int(in_time.sum()), int((~told).sum()),
        int((marks["state"] & 8 != 0).sum()), int(marks["held"].sum()), open_loop,
        _timeline(due - first, response, told, told_ns - first, seconds),
    )  # fmt: skip


def _slack(response: Array) -> int:
    """The last orders are answered after the last one was due, by as much as an ordinary answer takes."""
    return min(int(np.median(response)), SLACK_NS_MAX) if len(response) else 0


def _timeline(due: Array, response: Array, told: Array, told_at: Array, seconds: float) -> dict[str, list[float]]:
    """By the time when orders were due: seconds, offered and answered a second, p50, p99 and max of the response in us."""
    width = max(BIN_S_MIN, seconds / BINS)
    bins = max(1, int(np.ceil(seconds / width)))
    place = np.minimum((due / 1e9 / width).astype(np.int64), bins - 1)
    edges = np.searchsorted(place, np.arange(bins + 1)) if (np.diff(place) >= 0).all() else None
    if edges is None:
        order = np.argsort(place, kind="stable")
        place, response = place[order], response[order]
        edges = np.searchsorted(place, np.arange(bins + 1))
    offered = np.diff(edges) / width
    came = (
        np.bincount(np.clip((told_at[told] / 1e9 / width).astype(np.int64), 0, bins), minlength=bins + 1)[:bins] / width
    )
    rows = [response[a:b] for a, b in pairwise(edges.tolist())]
    p50, p99, most = ([float(np.percentile(row, p)) / 1000 if len(row) else 0.0 for row in rows] for p in (50, 99, 100))
    return {
        "second": [round(n * width, 3) for n in range(bins)],
        "offered_per_s": np.round(offered, 1).tolist(),
        "answered_per_s": np.round(came, 1).tolist(),
        "p50_us": np.round(p50, 3).tolist(),
        "p99_us": np.round(p99, 3).tolist(),
        "max_us": np.round(most, 3).tolist(),
    }


def document(m: Measured) -> dict[str, Any]:
    """As JSON has it; histograms as summaries and curves, their buckets lie in latency.hlog."""
    from matchmark.load.latency import CURVE

    return {
        "seconds": round(m.seconds, 3),
        "open_loop": m.open_loop,
        "offered": m.offered,
        "sent": m.sent,
        "answered": m.answered,
        "unanswered": m.unanswered,
        "rejected": m.rejected,
        "held_by_target": m.held,
        "offered_per_s": round(m.offered_rate, 1),
        "answered_per_s": round(m.answered_rate, 1),
        "latency": {name: vars(one.summary()) for name, one in m.histograms.items()},
        "curves": {
            name: {f"{p:g}": ns for p, ns in m.histograms[name].percentiles(CURVE).items()}
            for name in ("response", "service", "lateness")
        },
        "timeline": m.timeline,
    }
