"""Processes stand still, and go on later as if nothing had been: a machine that swaps, a hypervisor that moves its guest."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field


@dataclass
class Pause:
    """SIGSTOP of each of them, SIGCONT to heal: they notice nothing but the time."""

    processes: Callable[[], Iterable[int]]
    stopped: tuple[int, ...] = field(default=(), init=False)

    def needs(self) -> str | None:
        return None

    def inject(self) -> None:
        self.stopped = tuple(self.processes())
        self._signal(signal.SIGSTOP)

    def heal(self) -> None:
        self._signal(signal.SIGCONT)
        self.stopped = ()

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
