"""Memory and descriptors of the target and of ourselves at the end of each run: over a soak they must be flat."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")


def of_processes(pids: Sequence[int]) -> tuple[float, int]:
    """Resident MB without what is shared with files or other processes, and open descriptors, of all together; of those that are
    gone or not ours to see, nothing."""
    pages, descriptors = 0, 0
    for pid in pids:
        with suppress(OSError, IndexError, ValueError):
            words = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
            pages += int(words[1]) - int(words[2])
            descriptors += len(os.listdir(f"/proc/{pid}/fd"))
    return round(pages * PAGE / (1 << 20), 1), descriptors


def document(target: Sequence[int]) -> dict[str, float]:
    """Of the target's processes, none where they are not ours, and of this one."""
    ours = of_processes([os.getpid()])
    said: dict[str, float] = {"generator_mb": ours[0], "generator_descriptors": ours[1]}
    if target:
        theirs = of_processes(target)
        said |= {"target_mb": theirs[0], "target_descriptors": theirs[1]}
    return said
