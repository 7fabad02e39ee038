"""How long nobody could trade: from the last acknowledgement before a fault to the first of an order that was sent after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from matchmark.chaos.evidence import Evidence, Injected


@dataclass(frozen=True)
class Recovery:
    """`gap_ns` is None when no order that was sent after the fault was ever answered."""

    fault: Injected
    gap_ns: int | None


def recoveries(e: Evidence) -> list[Recovery]:
    """Of each fault of the episode."""
    orders = e.sent.orders[e.sent.orders["acknowledged_ns"] > 0]
    sent, told = orders["sent_ns"].astype(np.int64), orders["acknowledged_ns"].astype(np.int64)
    out = []
    for fault in e.faults:
        before, after = told[told <= fault.over_ns], told[(sent > fault.at_ns) & (told > fault.over_ns)]
        whole = len(before) > 0 and len(after) > 0
        out.append(Recovery(fault, int(after.min() - before.max()) if whole else None))
    return out


@dataclass(frozen=True)
class Spread:
    """Milliseconds."""

    count: int
    p50: float
    p99: float
    longest: float


def spread(gaps_ns: Sequence[int]) -> Spread | None:
    """None of none."""
    if not gaps_ns:
        return None
    p50, p99, longest = np.percentile(np.array(gaps_ns) / 1e6, [50, 99, 100])
    return Spread(len(gaps_ns), float(p50), float(p99), float(longest))
