"""Simulated shared storage: epoch, lease, who the standby is. Operations happen one after the other, each at one moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from matchmark.reference.control.epoch import EpochError, EpochRecord, StoredEpoch, decode, next_epoch
from matchmark.reference.control.lease import LeaseRecord
from matchmark.reference.simulate.world import MS, Violation, World

if TYPE_CHECKING:
    from matchmark.reference.simulate.member import Member


class SharedStorage:
    """What was flushed survives its power cut. A lease record counts as flushed: a network file system does so at close,
    and a local disk loses its power together with the primary."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.claims: dict[int, str] = {}
        self.record: EpochRecord | None = None
        self.damaged = False
        self.lease: LeaseRecord | None = None
        self.standby: str | None = None
        self.opened = [1]
        """Epochs that opened."""
        self.down = 0
        """How many faults keep it down, for everybody; `cut` likewise for one member."""
        self.cut: dict[int, int] = {}
        self.slow = 0
        self._flushed: tuple[dict[int, str], EpochRecord | None] = ({}, None)
        self._highest_seen = 0

    # --- operations of members ---

    def reachable(self, member: Member) -> bool:
        return not self.down and not self.cut.get(member.number)

    def ask(self, member: Member, act: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """`then(act())`, a little later; `then(None)` when it failed, and whether it was done is not known then."""
        rng = self._world.rng
        delay = rng.randint(100_000, 3 * MS)
        if self.slow:
            delay += rng.randint(0, 900 * MS)
        self._world.at(delay, self._do, member, member.life, act, then)

    def _do(self, member: Member, life: int, act: Callable[[], Any], then: Callable[[Any], None]) -> None:
        if not self.reachable(member):
            self._world.at(20 * MS, member.fire, life, then, (None,))
            return
        result = act()
        lost_answer = self._world.rng.random() < 0.005
        member.fire(life, then, (None if lost_answer else result,))

    def stored(self) -> StoredEpoch:
        """EpochError as the real one."""
        record = self.record
        if record is None or self.damaged:
            record = decode(b"" if self.damaged else None, "epoch")
        return StoredEpoch(record, max(self.claims, default=0))

    def current(self) -> int | None:
        try:
            return self.stored().epoch
        except EpochError:
            return None

    def claim_first(self, member: str) -> bool:
        """The cluster is founded."""
        return self._claim(1, member) and self.publish(1, member)

    def claim(self, number: int, member: str, used: int) -> tuple[str, Any]:
        """("won", 0), ("lost", the epoch that is there) or ("refused", why)."""
        try:
            stored = self.stored()
            if next_epoch(stored, used, "epoch") != number or not self._claim(number, member):
                return "lost", max(stored.epoch, number)
        except EpochError as error:
            return "refused", str(error)
        self.flush()
        return "won", 0

    def _claim(self, number: int, member: str) -> bool:
        if number in self.claims:
            return False
        self.claims[number] = member
        return True

    def publish(self, number: int, member: str) -> bool:
        """False: somebody went past."""
        if max(self.claims) > number:
            return False
        self.record = EpochRecord(number, member, 0)
        self.flush()
        if number < self._highest_seen:
            raise Violation(f"the stored epoch fell from {self._highest_seen} to {number}")
        self._highest_seen = number
        return True

    def flush(self) -> None:
        self._flushed = (dict(self.claims), self.record)

    def write_lease(self, record: LeaseRecord) -> bool:
        self.lease = record
        return True

    def note_standby(self, member: str) -> bool:
        self.standby = member
        return True

    # --- what happens to it ---

    def lose_power(self) -> None:
        claims, self.record = self._flushed
        self.claims = dict(claims)

    def repair(self) -> None:
        """What an operator does: the record is there again, with no lower number than any that was used."""
        if self.record is None or self.damaged or self.record.epoch < self._highest_seen:
            self.record = EpochRecord(max(self._highest_seen, max(self.claims)), "operator", 0)
        self.damaged = False
        self.flush()
