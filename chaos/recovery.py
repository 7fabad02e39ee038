"""How long nobody could trade: from the last acknowledgement before a fault to the first of an order that was sent after it; of a
partition, during which trading goes on somewhere, the longest time between two acknowledgements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from matchmark.chaos.evidence import Evidence, Injected, Ints
from matchmark.load.fix_load import ACCEPTED, CANCELLED, TRADED


@dataclass(frozen=True)
class Recovery:
    """`gap_ns` is None when no order that was sent after the fault was ever answered."""

    fault: Injected
    gap_ns: int | None


def recoveries(e: Evidence) -> list[Recovery]:
    """Of each fault of the episode."""
    sent, told = _acknowledged(e)
    out = []
    for fault in e.faults:
        if fault.fault == "partition":
            out.append(Recovery(fault, _longest(told, fault)))
            continue
        before, after = told[told <= fault.over_ns], told[(sent > fault.at_ns) & (told > fault.over_ns)]
        whole = len(before) > 0 and len(after) > 0
        out.append(Recovery(fault, int(after.min() - before.max()) if whole else None))
    return out


def _longest(told: Ints, fault: Injected) -> int | None:
    """Between two acknowledgements, while the fault held and what it caused was put right."""
    within = np.sort(told[(told >= fault.at_ns) & (told <= fault.ended_ns)])
    return int(np.diff(within).max()) if len(within) > 1 else None


def _acknowledged(e: Evidence) -> tuple[Ints, Ints]:
    """When each order was sent that was taken, and when that was told; a refusal is no trading."""
    taken = (e.sent.orders["state"] & (ACCEPTED | TRADED | CANCELLED)) != 0
    orders = e.sent.orders[taken & (e.sent.orders["acknowledged_ns"] > 0)]
    return orders["sent_ns"].astype(np.int64), orders["acknowledged_ns"].astype(np.int64)


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


@dataclass(frozen=True)
class Silence:
    """The longest time between two acknowledgements in ms: of the whole episode, and before its first fault.

    Order to acknowledgement, median and 99th percentile: `wait_ms` in the second behind each fault, `calm_ms` before the first.
    """

    longest_ms: float
    calm_longest_ms: float
    wait_ms: tuple[float, float]
    calm_ms: tuple[float, float]


STANDSTILL_MS = 1_000.0
"""Nobody waits for a reader; a busy machine may take a part of a second."""
CALM_NS = 100_000_000
BEHIND_NS = 1_000_000_000


def silence(e: Evidence) -> Silence | None:
    """None: nothing was acknowledged before or after the first fault."""
    sent, told = _acknowledged(e)
    if not len(told) or not e.faults:
        return None
    first = e.faults[0].at_ns
    begin = int(sent.min()) + CALM_NS  # logons, and an engine that has seen no order yet
    struck = np.zeros(len(sent), dtype=bool)
    for fault in e.faults:
        struck |= (sent > fault.at_ns) & (sent <= fault.at_ns + BEHIND_NS)
    moments = np.sort(told[told > begin])
    calm = (sent > begin) & (sent < first)
    if not calm.any() or not struck.any():
        return None
    longest, calm_longest = (float(np.diff(part).max(initial=0)) / 1e6 for part in (moments, moments[moments < first]))
    waits = [np.percentile((told - sent)[which] / 1e6, [50, 99]) for which in (struck, calm)]
    of_struck, of_calm = ((float(p50), float(p99)) for p50, p99 in waits)
    return Silence(longest, calm_longest, of_struck, of_calm)


def stood_still(found: Silence | None) -> list[str]:
    """Whether trading stopped."""
    if found is None or found.longest_ms <= max(STANDSTILL_MS, 3 * found.calm_longest_ms):
        return []
    return [
        f"trading stood still for {found.longest_ms:.0f} ms while readers were killed ({found.calm_longest_ms:.0f} ms before)"
    ]
