"""Builds and runs fix_bench.c: what the FIX codec costs a message, beside a copy of the same bytes measured in the same run."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from figure import Figure

NATIVE = Path(__file__).resolve().parent.parent
SOURCES = (
    "fix_tables_44.c",
    "fix_dictionary.c",
    "fix_codec.c",
    "fix_shape.c",
    "fix_values.c",
    "fix_check.c",
    "fix_write.c",
    "fix_report.c",
)
BUDGETS_NS = {"parse_and_check_ns": 150.0, "report_encode_ns": 100.0}
NAMES = {"parse_and_check_ns": "FIX order parsed and checked", "report_encode_ns": "ExecutionReport encoded"}
FLOORS = {"parse_and_check_ns": "order_copy_floor_ns", "report_encode_ns": "report_copy_floor_ns"}


def measure(flags: str = "-O3 -march=native") -> dict[str, float]:
    """The figures of one run, ns a message (what one round in twenty beats, kinds interleaved)."""
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "fix_bench"
        compiler = shlex.split(os.environ.get("CC", "cc"))
        sources = [str(NATIVE / name) for name in ("bench/fix_bench.c", *SOURCES)]
        includes = [f"-I{NATIVE / 'include'}", f"-I{NATIVE}"]
        subprocess.run([*compiler, "-std=c11", *shlex.split(flags), *includes, *sources, "-o", str(binary)], check=True)
        result: dict[str, float] = json.loads(subprocess.run([str(binary)], check=True, capture_output=True).stdout)
        return result


def figures() -> list[Figure]:
    """Prints what was measured; the rows of the summary."""
    ns = measure(os.environ.get("MATCHMARK_CFLAGS", "-O3 -march=native"))
    rows = []
    for name, budget in BUDGETS_NS.items():
        floor = ns[FLOORS[name]]
        verdict = "within" if ns[name] <= budget else "OVER"
        beside = f"{ns[name] / floor:.1f} x a copy ({floor:.1f})"
        print(f"{name}: {ns[name]:.1f}, {beside}; {verdict} its {budget:.0f} ns")
        rows.append(Figure(NAMES[name], ns[name], "ns", budget, at_most=True, floor=beside))
    print(
        f"parsing when clients differ: {ns['parse_eight_layouts_ns']:.1f} with eight layouts in turn, "
        f"{ns['parse_many_layouts_ns']:.1f} with more than are remembered; without AVX2 {ns['parse_portable_ns']:.1f}"
    )
    return rows


def main() -> int:
    figures()
    return 0


if __name__ == "__main__":
    sys.exit(main())
