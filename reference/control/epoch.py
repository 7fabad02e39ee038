"""The epoch: under which number who has the right to acknowledge. It only rises, and it is never guessed.

On storage it is said twice. A claim, `epoch.<n>`, decides: of all who want n one makes it, and nobody alters it. The record,
`epoch`, is what operators see and back up: two copies with checksums, replaced after the claim. The epoch is the highest of
both. A claim that no record followed is a takeover that was not finished, and its number stays used.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

from matchmark.reference.control.blocks import NAME_BYTES, pack_name, seal, unpack_name, unseal

COPY_BYTES = 4096
"""So that no damage of one page or sector takes both copies."""
EPOCH_BYTES = 2 * COPY_BYTES
MAGIC = b"MMEPOCH1"
_BODY = struct.Struct(f"<8sQQ{NAME_BYTES}s")

Fault = Literal["missing", "damaged", "too low"]


class EpochError(ValueError):
    """The stored epoch is no ground to become primary on; the message is for an operator and says what to do."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(text)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """`taken_ns`: wall clock, for people."""

    epoch: int
    member: str
    taken_ns: int


@dataclass(frozen=True, slots=True)
class StoredEpoch:
    """What storage says: the record, and the highest claim that was made (0: none)."""

    record: EpochRecord
    claimed: int

    @property
    def epoch(self) -> int:
        return max(self.record.epoch, self.claimed)


def encode(record: EpochRecord) -> bytes:
    """EPOCH_BYTES bytes: the same copy twice."""
    body = _BODY.pack(MAGIC, record.epoch, record.taken_ns, pack_name(record.member))
    return seal(body, COPY_BYTES) * 2


def decode_copy(block: bytes) -> EpochRecord | None:
    """None when it is short, torn or damaged."""
    body = unseal(block, COPY_BYTES)
    if body is None:
        return None
    magic, epoch, taken_ns, raw = _BODY.unpack_from(body)
    member = unpack_name(raw)
    return EpochRecord(epoch, member, taken_ns) if magic == MAGIC and member and epoch > 0 else None


def decode(blob: bytes | None, where: str) -> EpochRecord:
    """The higher of the copies that are whole. EpochError when the file (named `where`) is not there or holds none."""
    if blob is None:
        raise EpochError(
            "missing",
            f"{where} is missing: who was primary last is not known, so nobody becomes primary. "
            "Make sure that no primary is left, then restore the file, or make it with a number above all that were used",
        )
    copies = [decode_copy(blob[:COPY_BYTES]), decode_copy(blob[COPY_BYTES:EPOCH_BYTES])]
    whole = [copy for copy in copies if copy is not None]
    if not whole:
        raise EpochError(
            "damaged",
            f"{where} is damaged, both copies of it: who was primary last is not known, so nobody becomes primary. "
            "Make sure that no primary is left, then restore the file, or make it with a number above all that were used",
        )
    return max(whole, key=lambda copy: copy.epoch)


def next_epoch(stored: StoredEpoch, used: int, where: str) -> int:
    """The one to take. EpochError when the record is lower than `used`, the highest that is known to have been at work.

    Known from logs, heartbeats and the lease, which nobody writes before the record of that epoch was on storage.
    """
    if stored.record.epoch < used:
        raise EpochError(
            "too low",
            f"{where} says epoch {stored.record.epoch}, and epoch {used} was at work already: the file is an old one, so "
            "nobody becomes primary. Make sure that no primary is left, then make it with a number above all that were used",
        )
    return stored.epoch + 1
