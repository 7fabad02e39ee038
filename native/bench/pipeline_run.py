"""The pipeline's benchmark, its figures beside their floors: python native/bench/pipeline_run.py [ORDERS]."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from figure import Figure

HERE = Path(__file__).resolve().parent
NATIVE = HERE.parent
FLAGS = ("-std=c11", "-Wall", "-Wextra", f"-I{NATIVE / 'include'}", f"-I{NATIVE}")


def figures(orders: int = 400_000) -> list[Figure]:
    """Prints what was measured; the rows of the summary."""
    sources = [path for path in sorted(NATIVE.glob("*.c")) if path.name != "_native.c"]
    with tempfile.TemporaryDirectory(dir="/dev/shm") as shared, tempfile.TemporaryDirectory(dir=NATIVE.parent) as disk:
        program = Path(disk) / "pipeline_bench"
        optimise = shlex.split(os.environ.get("MATCHMARK_CFLAGS", "-O3 -march=native"))
        build = ["cc", *FLAGS, *optimise, HERE / "pipeline_bench.c", *sources, "-o", program, "-lpthread"]
        subprocess.run(build, check=True)
        run = subprocess.run([program, shared, disk, str(orders)], check=True, capture_output=True, text=True)
    f = json.loads(run.stdout)
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    print(f"audit copy        {f['audit_copy_ns_per_record']:8.1f} ns a record over the bare engine (budget 60); "
          f"memcpy of a record into the same ring {f['memcpy_floor_ns_per_record']:.1f}")  # fmt: skip
    print(
        f"with reports      {f['with_reports_ns_per_record']:8.1f} ns a record; "
        f"the loop takes {f['loop_orders_per_s']:,.0f} orders/s"
    )
    print(f"writer            {f['writer_records_per_s']:12,.0f} records/s; the raw disk {f['raw_disk_records_per_s']:,.0f}; "
          f"ratio {f['writer_to_raw']:.2f} (budget: 2,000,000/s or 0.80)")  # fmt: skip
    print(f"event to durable  p50 {f['lag_ns_p50'] / 1e6:.2f} ms, p99 {f['lag_ns_p99'] / 1e6:.2f} ms (budget 10), "
          f"p99.9 {f['lag_ns_p999'] / 1e6:.2f}, max {f['lag_ns_max'] / 1e6:.2f}; {f['lag_samples']:,} samples at "
          f"{f['lag_orders_per_s']:,.0f} orders/s")  # fmt: skip
    floor = f"memcpy into the same ring {f['memcpy_floor_ns_per_record']:.0f}"
    raw = f"the raw disk {f['raw_disk_records_per_s'] / 1e6:.2f} M/s"
    return [
        Figure("audit copy, a record", f["audit_copy_ns_per_record"], "ns", 60, at_most=True, floor=floor),
        Figure("audit writer to raw disk", f["writer_to_raw"], "x", 0.8, floor=raw),
        Figure("audit writer", f["writer_records_per_s"] / 1e6, "M rec/s", floor="2 wanted where the disk can"),
        Figure("event to durable, p99", f["lag_ns_p99"] / 1e6, "ms", 10, at_most=True),
    ]


if __name__ == "__main__":
    figures(*map(int, sys.argv[1:2]))
