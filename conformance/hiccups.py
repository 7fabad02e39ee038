"""Whether this machine ran without a break: a process of its own that wakes up each millisecond and notes when it was late.

For the clauses that bound a time: what a machine that stood still took is nobody's fault. Run as a program it is that process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

NOTED_NS = 2_000_000
SLEEP_S = 0.001


class Hiccups:
    """A context manager; `longest_ns` after its end."""

    def __enter__(self) -> Hiccups:
        self._process = subprocess.Popen(
            [sys.executable, "-S", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self._gaps: list[tuple[int, int]] = []
        assert self._process.stdout
        self._process.stdout.readline()  # it is awake
        return self

    def __exit__(self, *why: object) -> None:
        out, _ = self._process.communicate()
        self._gaps = [(begin, end) for begin, end in json.loads(out)]

    def longest_ns(self, begin_ns: int, end_ns: int) -> int:
        """The longest break that touches the time between, CLOCK_MONOTONIC; 0 for none worth noting."""
        return max((end - begin for begin, end in self._gaps if begin < end_ns and end > begin_ns), default=0)

    def total_ns(self, begin_ns: int, end_ns: int) -> int:
        """How much of the time between was breaks."""
        return sum(max(0, min(end, end_ns) - max(begin, begin_ns)) for begin, end in self._gaps)


def main() -> None:
    gaps: list[tuple[int, int]] = []
    over = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    print(flush=True)
    before = time.monotonic_ns()
    while not over.is_set():
        time.sleep(SLEEP_S)
        now = time.monotonic_ns()
        if now - before > NOTED_NS:
            gaps.append((before, now))
        before = now
    print(json.dumps(gaps))


if __name__ == "__main__":
    main()
