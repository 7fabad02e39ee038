"""Many frames side by side in one array: made, changed and sent thousands at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Batch:
    """`frames`: (n, stride) bytes, a frame in the first `lengths[n]` of its row; the rest of a row is never sent."""

    frames: Bytes
    lengths: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        assert self.frames.dtype == np.uint8 and self.frames.ndim == 2 and self.frames.flags.c_contiguous
        assert self.lengths.shape == (len(self.frames),)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, n: int) -> bytes:
        return self.frames[n, : self.lengths[n]].tobytes()

    def __iter__(self) -> Iterator[bytes]:
        return (self[n] for n in range(len(self)))

    @staticmethod
    def of(frames: Iterable[bytes]) -> Batch:
        rows = list(frames)
        stride = max(map(len, rows), default=1)
        flat = np.frombuffer(b"".join(row.ljust(stride, b"\0") for row in rows), np.uint8)
        return Batch(flat.reshape(len(rows), stride).copy(), np.array([len(row) for row in rows], np.int64))
