"""The right to acknowledge, for a limited time: the primary renews it on shared storage, a candidate waits until it is over.

The keeper takes the time, writes its next record, reads the epoch, and only when that is still its own may it acknowledge
until that time + lease. A candidate that has written a higher epoch and then finds the record it knew already can count from
when it first saw that record: a renewal that comes later finds the higher epoch. docs/control-plane.md has the argument.

All times are nanoseconds of a clock that never goes back (monotonic, of the machine that calls); wall clocks play no part.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from matchmark.reference.control.blocks import NAME_BYTES, pack_name, seal, unpack_name, unseal

LEASE_BYTES = 128
MAGIC = b"MMLEASE1"
_BODY = struct.Struct(f"<8sQQQB7x{NAME_BYTES}s")


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """One renewal. No two that are ever written are equal: the counter only rises. `released`: the holder gave it up."""

    epoch: int
    counter: int
    member: str
    lease_ns: int
    released: bool = False


def encode(record: LeaseRecord) -> bytes:
    """LEASE_BYTES bytes with a checksum."""
    body = _BODY.pack(
        MAGIC, record.epoch, record.counter, record.lease_ns, record.released, pack_name(record.member)
    )  # fmt: skip
    return seal(body, LEASE_BYTES)


def decode(block: bytes) -> LeaseRecord | None:
    """None when it is short, torn or damaged."""
    body = unseal(block, LEASE_BYTES)
    if body is None:
        return None
    magic, epoch, counter, lease_ns, released, raw = _BODY.unpack_from(body)
    member = unpack_name(raw)
    return LeaseRecord(epoch, counter, member, lease_ns, bool(released)) if magic == MAGIC and member else None


class LeaseKeeper:
    """Of one primary under one epoch. Acknowledge only while `now < until_ns`.

    A renewal: `begin(now)`, write the record, read the epoch, `finish`. When the write fails: `finish(None)`. In this order,
    one at a time. `counter` is that of the record on storage, so that a member that starts again repeats none.
    """

    def __init__(self, epoch: int, member: str, lease_ns: int, counter: int = 0) -> None:
        self.epoch, self.member, self.lease_ns = epoch, member, lease_ns
        self.until_ns = 0
        self.fenced_by: int | None = None
        self._counter = counter
        self._begun_ns: int | None = None
        self._given_up = False

    def begin(self, now_ns: int) -> LeaseRecord:
        """Also while the lease is given up: that the epoch is still ours must be known then, too."""
        self._counter += 1
        self._begun_ns = now_ns
        return LeaseRecord(self.epoch, self._counter, self.member, self.lease_ns, self._given_up)

    def finish(self, epoch_on_storage: int | None) -> None:
        """`epoch_on_storage`: read after the record was written; None when it could not be read, or the record not written.

        A higher one fences for good. One that is lower than ours is a storage that lost something: the lease is not extended.
        """
        begun, self._begun_ns = self._begun_ns, None
        if epoch_on_storage is None or begun is None:
            return
        if epoch_on_storage > self.epoch:
            self.fenced_by = max(self.fenced_by or 0, epoch_on_storage)
            self.until_ns = 0
        elif epoch_on_storage == self.epoch and self.fenced_by is None and not self._given_up:
            self.until_ns = begun + self.lease_ns

    def release(self) -> LeaseRecord:
        """Gives the lease up at once, for a planned switchover; the record says so to who waits for it.

        Nobody may acknowledge by what `until_ns` was before when the record is written.
        """
        self.until_ns = 0
        self._given_up = True
        self._begun_ns = None
        self._counter += 1
        return LeaseRecord(self.epoch, self._counter, self.member, self.lease_ns, released=True)

    def take_back(self) -> None:
        """The switchover was called off: the next renewal counts again, if no higher epoch is there by then."""
        self._given_up = False

    def held(self, now_ns: int) -> bool:
        return now_ns < self.until_ns


class LeaseWatch:
    """Of one candidate: when is the lease of every earlier primary certainly over?

    `margin_ns` covers what two clocks may differ in rate over one lease, no more: all else follows from the order of events.
    """

    def __init__(self, lease_ns: int, margin_ns: int) -> None:
        self._lease_ns, self._margin_ns = lease_ns, margin_ns
        self.record: LeaseRecord | None = None
        """The last one that was read whole."""
        self.moved_ns: int | None = None
        """When it was first seen."""
        self._taken_ns: int | None = None
        self._former: int | None = None
        self._over_ns: int | None = None

    def seen(self, now_ns: int, record: LeaseRecord | None) -> None:
        """What a look at storage gave; `now_ns` is taken when the look has ended, and looks do not overlap `epoch_taken`.

        None (unreadable, torn, never written) proves nothing either way.
        """
        if record is None:
            return
        if record != self.record:
            self.record, self.moved_ns = record, now_ns
        if self._taken_ns is not None:
            self._settle(self._taken_ns)

    def _settle(self, taken_ns: int) -> None:
        assert self.record is not None and self.moved_ns is not None
        if self.record.released and self.record.epoch == self._former:
            self._over_ns = taken_ns
            return
        # A renewal seen only now may still have read the old epoch, but began before ours was there.
        last_begun = min(self.moved_ns, taken_ns)
        over = last_begun + max(self._lease_ns, self.record.lease_ns) + self._margin_ns
        self._over_ns = over if self._over_ns is None else min(self._over_ns, over)

    def epoch_taken(self, now_ns: int, former: int | None = None) -> None:
        """The higher epoch is on storage; `now_ns` is taken after that was certain. `former`: the one that was there before.

        Only of that one's holder is a release believed: an older one cannot give up what a newer has.
        """
        self._taken_ns, self._former = now_ns, former
        length = max(self._lease_ns, self.record.lease_ns if self.record else 0)
        self._over_ns = now_ns + length + self._margin_ns  # holds without any look: every good renewal began before now

    def expired(self, now_ns: int) -> bool:
        """Never before `epoch_taken`."""
        return self._over_ns is not None and now_ns >= self._over_ns
