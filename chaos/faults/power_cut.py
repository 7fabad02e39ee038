"""The power goes: every process of the target at once, its memory, and what its disk had not flushed.

In this order, so that nothing gets onto the disk after the moment of the cut: the disk is frozen, the processes are killed,
the disk lets go of who waits for it, the memory is wiped, and the disk is unmounted and keeps what was synced. The operating
system's own caches go with the mount. kill -9 alone is no power cut: shared memory and page cache survive it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from matchmark.chaos.faults.disk import Disk, DiskFailed
from matchmark.chaos.faults.disk_state import Keep
from matchmark.chaos.faults.mounting import cannot_mount


@dataclass
class PowerCut:
    """`processes` are the target's, asked for at the moment of the cut; `end` waits until all of them have gone.

    `memory` are folders that a loss of power empties; what is battery-backed is not among them. `keep` and `seed` say what of the
    unsynced the disk happens to have written already. `cut_ns` is the moment, CLOCK_MONOTONIC.
    """

    disk: Disk
    processes: Callable[[], Iterable[int]]
    end: Callable[[], None]
    memory: tuple[Path, ...] = ()
    keep: Keep = Keep.NOTHING
    seed: str = "0"
    cut_ns: int = 0

    def needs(self) -> str | None:
        return cannot_mount()

    def inject(self) -> None:
        """DiskFailed when a process of the target outlives it: then nothing was shown."""
        self.cut_ns = self.disk.freeze()
        try:
            for pid in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        finally:
            self.disk.power_off()
        self.end()
        for folder in self.memory:
            _empty(folder)
        if not self.disk.crash(self.keep, self.seed):
            raise DiskFailed("a process still held the disk after the target was killed: it was not of those to kill")

    def heal(self) -> None:
        """The power is back: the disk is mounted, the memory empty, nothing runs."""
        if self.cut_ns:
            self.disk.mount()
            self.cut_ns = 0


def _empty(folder: Path) -> None:
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
