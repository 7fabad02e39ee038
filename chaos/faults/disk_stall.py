"""The disk takes its time: all of it at once (a stall), or a little with each call (a slow disk)."""

from __future__ import annotations

from dataclasses import dataclass

from matchmark.chaos.faults.disk import Disk
from matchmark.chaos.faults.mounting import cannot_mount


@dataclass
class DiskStall:
    """From now on, for so many seconds or until it is healed, what would change the disk waits."""

    disk: Disk
    for_s: float
    under: str = "/"

    def needs(self) -> str | None:
        return cannot_mount()

    def inject(self) -> None:
        self.disk.stall(self.for_s, self.under)

    def heal(self) -> None:
        self.disk.heal()


@dataclass
class DiskSlow:
    """Each write and each flush takes so many seconds more."""

    disk: Disk
    each_s: float
    under: str = "/"

    def needs(self) -> str | None:
        return cannot_mount()

    def inject(self) -> None:
        self.disk.slow(self.each_s, self.under)

    def heal(self) -> None:
        self.disk.heal()
