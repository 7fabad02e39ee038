"""A write or a flush fails with EIO."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Literal

from matchmark.chaos.faults.disk import Disk
from matchmark.chaos.faults.mounting import cannot_mount


@dataclass
class DiskError:
    """The calls of that kind below `under`, after `after` more that go well, fail `times` times (-1: from then on).

    A flush that fails once loses what it had to write, and the next one succeeds without it, as the kernel has it.
    """

    disk: Disk
    kind: Literal["write", "fsync"]
    under: str = "/"
    after: int = 0
    times: int = 1

    def needs(self) -> str | None:
        return cannot_mount()

    def inject(self) -> None:
        self.disk.fail(self.kind, errno.EIO, under=self.under, after=self.after, times=self.times)

    def heal(self) -> None:
        self.disk.heal()
