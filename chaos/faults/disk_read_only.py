"""The disk is read-only, as a kernel makes it when it no longer trusts it."""

from __future__ import annotations

from dataclasses import dataclass

from matchmark.chaos.faults.disk import Disk
from matchmark.chaos.faults.mounting import cannot_mount


@dataclass
class DiskReadOnly:
    disk: Disk

    def needs(self) -> str | None:
        return cannot_mount()

    def inject(self) -> None:
        self.disk.read_only()

    def heal(self) -> None:
        self.disk.heal()
