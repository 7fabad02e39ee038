"""Processes stand still, and go on later as if nothing had been: a machine that swaps, a hypervisor that moves its guest."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

STANDS_WITHIN_S = 10.0


@dataclass
class Pause:
    """SIGSTOP of each of them, SIGCONT to heal: they notice nothing but the time.

    `inject` returns when all of their threads stand still. The signal alone does not see to that: one thread must run to take it
    and stop the others, and where processors are wanted those go on working until it does.
    """

    processes: Callable[[], Iterable[int]]
    stopped: tuple[int, ...] = field(default=(), init=False)

    def needs(self) -> str | None:
        return None

    def inject(self) -> None:
        self.stopped = tuple(self.processes())
        self._signal(signal.SIGSTOP)
        until = time.monotonic() + STANDS_WITHIN_S
        while still_going := [pid for pid in self.stopped if not stands_still(pid)]:
            if time.monotonic() > until:
                raise TimeoutError(f"processes {still_going} do not stand still {STANDS_WITHIN_S:g} s after SIGSTOP")
            time.sleep(0.0005)

    def heal(self) -> None:
        self._signal(signal.SIGCONT)
        self.stopped = ()

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def stands_still(pid: int) -> bool:
    """Whether none of its threads can run: each is stopped, or has ended."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return True
    return all(_state(task) in "TtZX" for task in tasks)


def _state(task: Path) -> str:
    try:
        return (task / "stat").read_text(encoding="ascii", errors="replace").rsplit(")", 1)[1].split()[0]
    except (OSError, IndexError):
        return "X"  # it has just ended
