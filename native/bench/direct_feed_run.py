"""The direct feed's benchmark, its figures beside their floors: python native/bench/direct_feed_run.py [TRADES]."""

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


def figures(trades: int = 20_000) -> list[Figure]:
    """Prints what was measured; the rows of the summary."""
    sources = [path for path in sorted(NATIVE.glob("*.c")) if path.name != "_native.c"]
    with tempfile.TemporaryDirectory(dir="/dev/shm") as shared:
        program = Path(shared) / "direct_feed_bench"
        optimise = shlex.split(os.environ.get("MATCHMARK_CFLAGS", "-O3 -march=native"))
        build = ["cc", *FLAGS, *optimise, HERE / "direct_feed_bench.c", *sources, "-o", program, "-lpthread"]
        subprocess.run(build, check=True)
        words = [program, f"{shared}/memory", f"{shared}/log", str(trades)]
        run = subprocess.run(words, check=True, capture_output=True, text=True)
    f = json.loads(run.stdout)
    ratio = f["p50_ns"] / f["floor_p50_ns"]
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    print(
        f"engine to receiver p50 {f['p50_ns'] / 1e3:.2f} us, p99 {f['p99_ns'] / 1e3:.2f} us, {f['trades']:,} trades, "
        f"{f['lost']:,} not seen; a multicast packet one way p50 {f['floor_p50_ns'] / 1e3:.2f} us, "
        f"p99 {f['floor_p99_ns'] / 1e3:.2f} us; ratio {ratio:.2f} (budget 3)"
    )
    print(
        f"told from the ring {f['messages_per_s']:,.0f} messages/s into one receiver's buffer, {f['received']:,} there"
    )
    floor = f"a multicast packet one way {f['floor_p50_ns'] / 1e3:.2f} us"
    return [
        Figure("direct feed to its floor, p50", ratio, "x", 3, at_most=True, floor=floor),
        Figure("direct feed, engine to receiver, p50", f["p50_ns"] / 1e3, "us", 10, at_most=True, floor=floor),
        Figure(
            "direct feed, engine to receiver, p99", f["p99_ns"] / 1e3, "us", floor=f"{f['floor_p99_ns'] / 1e3:.2f} us"
        ),
        Figure("direct feed, told from the ring", f["messages_per_s"] / 1e6, "M msg/s"),
    ]


if __name__ == "__main__":
    figures(*map(int, sys.argv[1:2]))
