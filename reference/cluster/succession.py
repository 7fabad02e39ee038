"""What a member that takes over leaves for its gateway: whose sessions go on, and whether that was begun.

`succession.json`  written before the role changes; `succession.done`: the sessions are copied, this member's own are the true
ones. A gateway that is killed in between does it again.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from matchmark.reference.durable_files import sync_directory


@dataclass(frozen=True)
class Succession:
    """`old_data`: the old primary's data directory, None when that was this member. `life`: of its memory, if nothing in it was
    lost, else 0."""

    epoch: int
    old: str | None
    old_data: str | None
    life: int
    may_be_missing: str | None


def note(data: Path, succession: Succession) -> None:
    """OSError when the disk does not take it."""
    _replace(data / "succession.json", asdict(succession))


def pending(data: Path) -> Succession | None:
    """The one that the gateway has not carried out yet."""
    try:
        row = json.loads((data / "succession.json").read_text(encoding="utf-8"))
        succession = Succession(**row)
    except FileNotFoundError:
        return None
    try:
        done = json.loads((data / "succession.done").read_text(encoding="utf-8"))["epoch"]
    except (OSError, ValueError, KeyError):
        done = 0
    return succession if done != succession.epoch else None


def note_done(data: Path, epoch: int) -> None:
    _replace(data / "succession.done", {"epoch": epoch})


def _replace(path: Path, row: dict[str, Any]) -> None:
    draft = path.with_name(f".{path.name}.new")
    with draft.open("w", encoding="utf-8") as out:
        json.dump(row, out)
        out.flush()
        os.fsync(out.fileno())
    os.replace(draft, path)
    sync_directory(path.parent)
