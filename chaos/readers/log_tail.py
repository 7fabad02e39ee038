"""The audit log of an exchange that is running, read on as it grows, by the documented tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from matchmark.conformance.checks import audit_format as f
from matchmark.conformance.checks.audit_format import Bytes, Records

LAST = 1
"""Flag of a command's last record."""
AT_ONCE = 1 << 15
"""Records: none is left behind for long, and nobody waits long for an answer."""


class LogTail:
    """`position`: sequence of the last record that was given."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._first, self._path = folder, 0, Path()
        self.position = 0

    def read(self) -> Records:
        """Records of whole commands behind `position`, at most about AT_ONCE; audit_format.RECORD, shape (n,)."""
        rows = self._rows()
        sequence = rows.view(f.RECORD).reshape(-1)["sequence"] if len(rows) else np.zeros(0, dtype="<u8")
        expected = np.arange(self.position + 1, self.position + 1 + len(rows), dtype="<u8")
        odd = np.flatnonzero(sequence != expected)
        rows = rows[: int(odd[0]) if len(odd) else len(rows)]
        if len(rows):  # what is being written just now comes with the next reading
            torn = np.flatnonzero(f.crc32c(rows[:, :268]) != rows[:, 268:272].copy().view("<u4").reshape(-1))
            rows = rows[: int(torn[0]) if len(torn) else len(rows)]
        records: Records = rows.reshape(-1).view(f.RECORD)
        ends = np.flatnonzero(records["flags"] & LAST)
        records = records[: int(ends[-1]) + 1 if len(ends) else 0]
        self.position += len(records)
        return records

    def _rows(self) -> Bytes:
        parts, wanted, at = [], AT_ONCE, self.position + 1
        while wanted > 0:
            part = self._of_file(at, wanted)
            if not len(part):
                break
            parts.append(part)
            wanted, at = wanted - len(part), at + len(part)
        return np.concatenate(parts) if parts else np.zeros((0, f.RECORD_BYTES), dtype=np.uint8)

    def _of_file(self, sequence: int, most: int) -> Bytes:
        """A command may go on in the next file, so reading does."""
        names = sorted(path for path in self._folder.iterdir() if f.NAME.fullmatch(path.name))
        firsts = [int(f.NAME.fullmatch(path.name)[1]) for path in names]  # type: ignore[index]
        at = int(np.searchsorted(firsts, sequence, side="right")) - 1
        if at < 0:
            return np.zeros((0, f.RECORD_BYTES), dtype=np.uint8)
        end = firsts[at + 1] if at + 1 < len(firsts) else sequence + most
        count = min(most, end - sequence)
        with names[at].open("rb") as file:
            file.seek(f.HEADER_BYTES + (sequence - firsts[at]) * f.RECORD_BYTES)
            raw = file.read(count * f.RECORD_BYTES)
        whole = len(raw) // f.RECORD_BYTES
        rows = np.frombuffer(raw, dtype=np.uint8, count=whole * f.RECORD_BYTES).reshape(whole, f.RECORD_BYTES)
        used = np.flatnonzero(rows.view("<u8")[:, 0] == 0)  # the rest of a file is zeros
        return rows[: int(used[0]) if len(used) else whole]
