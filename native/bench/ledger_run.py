"""The ledger's benchmark (reference/ledger/bench.py) as rows of the summary: python native/bench/ledger_run.py [FILLS]."""

from __future__ import annotations

import os
import sys

from figure import Figure

from matchmark.reference.ledger.bench import FILLS, LAG_MEASURED_S, LAG_S, RATE, measure


def figures(fills: int = FILLS, lag_s: float = LAG_MEASURED_S) -> list[Figure]:
    """Prints what was measured; the rows of the summary."""
    f = measure(fills, lag_s)
    beside = f"COPY of the same rows into a bare table {f['floor_fills_per_s']:,.0f}/s"
    per_cpu = f"{f['fills_per_cpu_s']:,.0f} fills in a second of processor time, PostgreSQL's included"
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    print(f"ledger  {f['fills_per_s']:,.0f} fills/s, durable (wanted {RATE:,}), {fills:,} fills; {beside}; {per_cpu}")
    print(
        f"lag     {f['worst_lag_s'] * 1000:,.0f} ms at worst at {RATE:,} fills/s for {lag_s:g} s (wanted {LAG_S:g} s)"
    )
    return [
        Figure("ledger, durable", f["fills_per_s"], "fills/s", RATE, floor=beside),
        Figure("ledger, of a processor", f["fills_per_cpu_s"], "fills/s", floor="PostgreSQL's processor time included"),
        Figure(f"ledger, behind at {RATE:,} fills/s", f["worst_lag_s"], "s", LAG_S, at_most=True, floor=f"for {lag_s:g} s"),
    ]  # fmt: skip


if __name__ == "__main__":
    figures(*map(int, sys.argv[1:2]))
