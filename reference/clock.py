"""The breaker's clock, which a test can move: real time, ahead by what a file says.

An exchange that is marked as expendable is started with `--clock FILE`. Each line of the file is `AT MONOTONIC WALL`, in
nanoseconds: from the instant AT on (time since 1970 of the real clock) time has gone MONOTONIC further than it really has, and
the wall clock was set WALL ahead of that (negative: set back). Lines are added, in order, and never changed, so that also a
trade of earlier is given the time at which it was made. Without the file, or without `--clock`, both are 0.

    python -m matchmark.reference.clock FILE --advance 120     # two minutes pass
    python -m matchmark.reference.clock FILE --jump -3600      # somebody sets the wall clock back an hour
"""

from __future__ import annotations

import argparse
import bisect
import sys
import time
from pathlib import Path

from matchmark.native.pipeline import now_ns

SECOND_NS = 1_000_000_000


class Clock:
    """Monotonic time and wall time, ns. `path` None: the real ones."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._size = -1
        self._at: list[int] = []
        self._ahead: list[tuple[int, int]] = []

    def refresh(self) -> None:
        """Reads what was added to the file."""
        if self._path is None:
            return
        try:
            size = self._path.stat().st_size
            if size == self._size:
                return
            lines = self._path.read_text(encoding="ascii").splitlines()
        except OSError:
            return  # not there yet: nothing was moved
        rows = [tuple(map(int, line.split())) for line in lines]
        self._at = [row[0] for row in rows]
        self._ahead = [(row[1], row[2]) for row in rows]
        self._size = size

    def ahead(self, real_wall_ns: int) -> tuple[int, int]:
        """How far (monotonic, wall clock beyond that) the clocks were ahead at an instant of real time."""
        n = bisect.bisect_right(self._at, real_wall_ns)
        return self._ahead[n - 1] if n else (0, 0)

    def monotonic_ns(self) -> int:
        return now_ns() + self.ahead(time.time_ns())[0]

    def wall_ns(self) -> int:
        real = time.time_ns()
        return real + sum(self.ahead(real))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m matchmark.reference.clock", description="moves a test's clock")
    parser.add_argument("file", type=Path)
    parser.add_argument("--advance", type=float, default=0.0, metavar="S", help="seconds that pass")
    parser.add_argument("--jump", type=float, default=0.0, metavar="S", help="seconds that the wall clock is set ahead")
    args = parser.parse_args()
    clock = Clock(args.file)
    clock.refresh()
    at = time.time_ns()
    monotonic, wall = clock.ahead(at)
    with args.file.open("a", encoding="ascii") as out:
        out.write(f"{at} {monotonic + round(args.advance * SECOND_NS)} {wall + round(args.jump * SECOND_NS)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
