"""The disk is full: somebody else's files have taken the rest."""

from __future__ import annotations

from dataclasses import dataclass

from matchmark.chaos.faults.disk import Disk
from matchmark.chaos.faults.mounting import cannot_mount


@dataclass
class DiskFull:
    """What was reserved can be written; of what was not, `free_bytes` more, a write over that edge in part."""

    disk: Disk
    free_bytes: int = 0

    def needs(self) -> str | None:
        return cannot_mount()

    def inject(self) -> None:
        self.disk.fill(self.free_bytes)

    def heal(self) -> None:
        self.disk.heal()
