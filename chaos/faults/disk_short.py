"""A write is done in part, as a system call may do it at any time."""

from __future__ import annotations

from dataclasses import dataclass

from matchmark.chaos.faults.disk import Disk
from matchmark.chaos.faults.mounting import cannot_mount


@dataclass
class DiskShort:
    """Of the next `times` writes below `under` half is written, and the caller is told how much."""

    disk: Disk
    under: str = "/"
    times: int = 1

    def needs(self) -> str | None:
        return cannot_mount()

    def inject(self) -> None:
        self.disk.shorten(self.under, self.times)

    def heal(self) -> None:
        self.disk.heal()
