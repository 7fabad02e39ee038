"""Everything that `make bench` measures, and at the end one table: python native/bench/summary.py [--out FILE].

A table's row is one figure, what was wanted of it, and its floor in the same run. The load average is printed first: on a machine
where others work too the figures are upper bounds.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

from figure import Figure, table

PARTS = {
    "run": "order book and engine",
    "fix_bench": "FIX codec",
    "pipeline_run": "pipeline and audit log",
    "exchange_run": "the whole exchange",
    "wire_run": "orders without a kernel",
    "cluster_run": "a primary and its standby",
    "direct_feed_run": "direct feed",
    "cold_start_run": "cold starts",
    "kafka_run": "from the engine to Kafka",
    "market_data_run": "market data",
    "ledger_run": "the ledger",
    "load_run": "the load's generators",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, help="write the figures to this file as JSON")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part alone; may be repeated")
    options = parser.parse_args()
    load, began, figures = os.getloadavg()[0], time.monotonic(), list[Figure]()
    parts = options.only or list(PARTS)
    for n, name in enumerate(parts, 1):
        print(f"\n[{n}/{len(parts)}] {PARTS[name]} ({time.monotonic() - began:.0f} s)", flush=True)
        figures += importlib.import_module(name).figures()
    print(f"\nload average before it {load:.1f} on {os.cpu_count()} processors; {time.monotonic() - began:.0f} s")
    print(table(figures))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        rows = [{**asdict(f), "reached": f.reached} for f in figures]
        options.out.write_text(json.dumps({"load_before": load, "figures": rows}, indent=1), encoding="utf-8")
        print(f"figures: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
