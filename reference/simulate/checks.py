"""What must hold at every step of every history. Raises Violation where it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matchmark.reference.simulate.world import Violation

if TYPE_CHECKING:
    from matchmark.reference.control.lease import LeaseKeeper
    from matchmark.reference.simulate.cluster import Cluster
    from matchmark.reference.simulate.member import Member


class Checks:
    """The clients' ledger, and who opened under which epoch, as nobody inside the world can know it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.acked: dict[int, int] = {}
        """Acknowledged orders, and halts that were announced: their record. Those whose loss was stated are taken out."""
        self.opened_epoch = 0
        self._opened_by: Member | None = None
        self.flushed = 0
        """The last record that the writer of the last primary has on its disk."""
        self.lost_stated = 0
        self.opens_count = 0

    def lease(self, member: Member, keeper: LeaseKeeper) -> None:
        """It holds a lease from now on."""
        for other in self._cluster.members:
            held = self._keeper(other)
            if other is not member and other.up and held is not None and held.held(other.clock()):
                raise Violation(
                    f"{member.name} has a lease under epoch {keeper.epoch} while {other.name} has one under {held.epoch}"
                )

    @staticmethod
    def _keeper(member: Member) -> LeaseKeeper | None:
        if member.primary is not None:
            return member.primary.keeper
        if member.standby is not None and member.standby.takeover is not None:
            return member.standby.takeover.keeper
        return None

    def executes(self, member: Member, epoch: int) -> None:
        self._is_the_one(member, epoch, "executes an order")

    def writes(self, member: Member, epoch: int) -> None:
        self._is_the_one(member, epoch, "writes to its log")

    def wrote(self, member: Member) -> None:
        """Its writer has flushed; what it began before it was fenced may end after."""
        if member is self._opened_by:
            self.flushed = max(self.flushed, member.log.synced)

    def acknowledges(self, member: Member, epoch: int, at: int, key: int) -> None:
        self._is_the_one(member, epoch, "acknowledges an order")
        before = self.acked.setdefault(key, at)
        if before != at:
            raise Violation(f"order {key} is acknowledged as record {at}, and was as record {before}")

    def _is_the_one(self, member: Member, epoch: int, does: str) -> None:
        if epoch != self.opened_epoch or member is not self._opened_by:
            raise Violation(
                f"{member.name} {does} under epoch {epoch}, though {self._opened_by and self._opened_by.name} "
                f"is primary under epoch {self.opened_epoch}"
            )

    def opens(self, member: Member, epoch: int, may_be_missing: str | None, planned: bool = False) -> None:
        """Its log counts from now on: everything that was acknowledged must be in it, at its place."""
        if epoch < self.opened_epoch or (epoch == self.opened_epoch and member is not self._opened_by):
            raise Violation(f"{member.name} opens under epoch {epoch} after one opened under {self.opened_epoch}")
        if member.standby is not None and member.standby.unfit:
            raise Violation(f"{member.name} opens though {member.standby.unfit}")
        if at := member.log.broken_at():
            raise Violation(f"{member.name} opens with a log that is damaged at record {at}")
        self.opened_epoch, self._opened_by = epoch, member
        self.opens_count += 1
        flushed, self.flushed = self.flushed, member.log.synced
        lost = {key: at for key, at in self.acked.items() if member.log.keys.get(key) != at}
        if not lost:
            return
        key, at = min(lost.items(), key=lambda item: item[1])
        what = f"{len(lost)} acknowledged orders are lost at {member.name}, the first is {key}, record {at}"
        if may_be_missing is None:
            raise Violation(f"{what}; that anything may be missing was not said")
        if planned or (self._cluster.mode != "async" and not self._cluster.forced):
            raise Violation(f"{what}; no one forced it")
        if "memory is gone" in may_be_missing and at <= flushed:
            raise Violation(f"{what}; it was on disk")
        for key in lost:
            del self.acked[key]
        self.lost_stated += len(lost)

    def end(self) -> None:
        """The world is whole again and trades: the primary's log is the history, and who follows it has the same."""
        primary = self._opened_by
        assert primary is not None
        for key, at in self.acked.items():
            if primary.log.keys.get(key) != at:
                raise Violation(
                    f"order {key} was acknowledged as record {at} and is not in the primary's log at the end"
                )
        for other in self._cluster.members:
            if other.standby is None or other.standby.receiver is None or other.standby.following is not primary:
                continue
            if parts := other.log.first_difference(primary.log.records):
                raise Violation(f"{other.name} follows {primary.name} and differs from it from record {parts} on")
