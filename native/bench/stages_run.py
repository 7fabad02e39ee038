"""What it costs to count stages: python native/bench/stages_run.py."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

NATIVE = Path(__file__).resolve().parent.parent


def main() -> int:
    sources = [path for path in sorted(NATIVE.glob("*.c")) if path.name != "_native.c"]
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        program = Path(memory) / "stages_bench"
        optimise = shlex.split(os.environ.get("MATCHMARK_CFLAGS", "-O3 -march=native"))
        flags = ("-std=c11", "-Wall", "-Wextra", f"-I{NATIVE / 'include'}", f"-I{NATIVE}", *optimise)
        bench = NATIVE / "bench" / "stages_bench.c"
        subprocess.run(["cc", *flags, bench, *sources, "-o", program, "-lpthread"], check=True)
        subprocess.run([program, f"{memory}/shared", f"{memory}/log"], check=True)
    print(
        f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors; processor time of the thread, medians of turns"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
