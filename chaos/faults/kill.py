"""kill -9 of a role, or of all of them at once. Shared memory and page cache outlive it: it is no power cut."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass
class Kill:
    """`processes` are asked for before the moment, so that the moment is a single one. Nothing is to heal: who is dead is started
    again by its supervisor, or by whoever runs the game day."""

    processes: Callable[[], Iterable[int]]

    def needs(self) -> str | None:
        return None

    def inject(self) -> None:
        for pid in tuple(self.processes()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def heal(self) -> None:
        """What was killed stays killed."""
