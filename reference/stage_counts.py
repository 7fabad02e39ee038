"""How long what comes after a record took: the counts of native/include/matchmark/stages.h, live and in the log's folder.

Writer and gateway count into memory that the supervisor made before it forked them, so a killed role loses nothing. A copy is
kept beside the log (`stages.json`), replaced whole now and then and at a stop; it is for people and reports, never for recovery,
and a disk that does not take it costs figures only.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from matchmark.native import _native

_ffi: Any = _native.ffi
_lib: Any = _native.lib

Counts = npt.NDArray[np.uint64]

FILE = "stages.json"
VERSION = 1
STAGES: tuple[str, ...] = tuple(
    name.removeprefix("MM_STAGE_").lower()
    for _, name in sorted(_ffi.typeof("enum mm_stage").elements.items())
    if name != "MM_STAGES"
)
ROW = np.dtype([("max_ns", "<u8"), ("counts", "<u8", (_lib.MM_STAGE_BUCKETS - 1,))])
_EVERY_S = 1.0

assert ROW.itemsize == _ffi.sizeof("mm_stage_row") and len(STAGES) * ROW.itemsize == _ffi.sizeof("mm_stages")

BUCKET_TOPS_NS: Counts = np.array(
    [_lib.mm_stage_bucket_top(n) for n in range(_lib.MM_STAGE_BUCKETS - 1)], dtype=np.uint64
)


def no_counts() -> npt.NDArray[np.void]:
    """A ROW for each of STAGES, zeros."""
    return np.zeros(len(STAGES), dtype=ROW)


def quantiles(row: np.void) -> dict[str, int]:
    """{p50_ns, p99_ns, p999_ns, max_ns} of a ROW that has counts."""
    so_far, longest = np.cumsum(row["counts"]), int(row["max_ns"])
    out = {}
    for name, share in (("p50_ns", 0.5), ("p99_ns", 0.99), ("p999_ns", 0.999)):
        rank = max(1, int(np.ceil(share * float(so_far[-1]))))
        out[name] = min(longest, int(BUCKET_TOPS_NS[np.searchsorted(so_far, rank)]))
    return {**out, "max_ns": longest}


def read(log: Path) -> npt.NDArray[np.void]:
    """The counts beside a log; zeros when there is no copy, or one torn by a power cut."""
    rows = no_counts()
    try:
        said = json.loads((log / FILE).read_text(encoding="utf-8"))
        if said["version"] != VERSION:
            return rows
        for name, row in said["rows"].items():
            into = rows[STAGES.index(name)]
            for bucket, count in row["counts"].items():
                into["counts"][int(bucket)] = count
            into["max_ns"] = row["max_ns"]
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError):
        return no_counts()
    return rows


class StageCounts:
    """Anonymous memory: made before the roles are forked, it is theirs too."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, _ffi.sizeof("mm_stages"))
        self._live = np.frombuffer(self.memory, dtype=ROW)
        self._before = no_counts()

    def go_on_from(self, log: Path) -> None:
        """Counts of former runs on this log are added to those of this one."""
        self._before = read(log)

    def rows(self) -> npt.NDArray[np.void]:
        total = self._live.copy()
        total["counts"] += self._before["counts"]
        total["max_ns"] = np.maximum(total["max_ns"], self._before["max_ns"])
        return total

    def summary(self) -> dict[str, dict[str, int]]:
        """{count, p50_ns, p99_ns, p999_ns, max_ns} by name, of the stages that happened."""
        rows = zip(STAGES, self.rows(), strict=True)
        return {name: {"count": n, **quantiles(row)} for name, row in rows if (n := int(row["counts"].sum()))}

    def save(self, log: Path) -> None:
        """Replaces the copy. Not flushed: nothing depends on it."""
        rows = {}
        for name, row in zip(STAGES, self.rows(), strict=True):
            used = np.flatnonzero(row["counts"])
            if len(used):
                counts = {str(bucket): int(row["counts"][bucket]) for bucket in used}
                rows[name] = {"max_ns": int(row["max_ns"]), "counts": counts}
        draft = log / f"{FILE}.new"
        with contextlib.suppress(OSError):
            draft.write_text(json.dumps({"version": VERSION, "unit": "ns", "rows": rows}) + "\n", encoding="utf-8")
            os.replace(draft, log / FILE)

    def keep(self, log: Path) -> None:
        """Saves what changed, for ever: for a thread that may be held up by the disk."""
        saved = 0
        while True:
            time.sleep(_EVERY_S)
            counted = int(self._live["counts"].sum())
            if counted != saved:
                self.save(log)
            saved = counted
