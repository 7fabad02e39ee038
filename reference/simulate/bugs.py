"""Planted bugs: each replaces one part of the world by one that is wrong in one way. The checks must find every one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from matchmark.reference.control.lease import LeaseKeeper, LeaseRecord, LeaseWatch
from matchmark.reference.control.monitor import Action, Monitor, State
from matchmark.reference.control.promotion import Found, Own, Promotion, Step
from matchmark.reference.control.standbys import Ack, NoteStandby, Sender
from matchmark.reference.simulate.cluster import Parts
from matchmark.reference.simulate.log import Log
from matchmark.reference.simulate.market import Market
from matchmark.reference.simulate.primary import PrimaryRole
from matchmark.reference.simulate.standby import StandbyRole
from matchmark.reference.simulate.storage import SharedStorage
from matchmark.reference.simulate.takeover import Takeover
from matchmark.reference.simulate.world import MS


@dataclass(frozen=True)
class Bug:
    """`says`: what is wrong. `parts`: the world with it."""

    says: str
    parts: Parts


# --- lease and fencing ---


class _NotFenced(LeaseKeeper):
    def finish(self, epoch_on_storage: int | None) -> None:
        super().finish(None if epoch_on_storage is None else self.epoch)


class _LateCount(LeaseKeeper):
    def finish(self, epoch_on_storage: int | None) -> None:
        before = self.until_ns
        super().finish(epoch_on_storage)
        if self.until_ns > before:
            self.until_ns += 200 * MS


class _KeepsReleased(LeaseKeeper):
    def release(self) -> LeaseRecord:
        until = self.until_ns
        record = super().release()
        self.until_ns = until
        return record


class _NoWait(LeaseWatch):
    def expired(self, now_ns: int) -> bool:
        return self._taken_ns is not None


class _OldLook(LeaseWatch):
    def expired(self, now_ns: int) -> bool:
        looked = self.moved_ns is not None and now_ns >= self.moved_ns + self._lease_ns + self._margin_ns
        return self._taken_ns is not None and (looked or super().expired(now_ns))

    def seen(self, now_ns: int, record: LeaseRecord | None) -> None:
        if self._taken_ns is None:
            super().seen(now_ns, record)


class _AcksWithoutLease(PrimaryRole):
    def may_acknowledge(self) -> bool:
        return True


# --- epoch ---


class _NotFlushed(SharedStorage):
    def flush(self) -> None:
        if len(self.claims) == 1:
            super().flush()


class _NotExclusive(SharedStorage):
    def claim(self, number: int, member: str, used: int) -> tuple[str, Any]:
        if self.record is not None and self.record.epoch == number - 1:
            self.claims[number] = member
            return "won", 0
        return super().claim(number, member, used)


# --- the gap ---


class _ForgetsGap(Promotion):
    def compared(self, same: bool, differs_from: int = 0) -> Step | None:
        self._own = Own(max(self._own.sequence, self._source.sequence or 0), self._own.noted)
        return super().compared(same, differs_from)


class _OpensFirst(Takeover):
    def _replay(self, at: int, last: int) -> None:
        self.member.later(300 * MS, self._late, at, last)
        self._next(self.promotion.replayed(last))

    def _late(self, at: int, last: int) -> None:
        for record in self._theirs[at - 1 : last]:
            self.member.log.append(self.order.epoch, record.key, record.value)


class _GapTwice(Takeover):
    def _replay(self, at: int, last: int) -> None:
        begun = self.cluster.__dict__.setdefault("gaps", {}).setdefault((self.member.number, last), at)
        if self.promotion._own.sequence + 1 == at > begun:  # a new try, and not a later chunk of this one
            for record in self._theirs[begun - 1 : at - 1]:
                self.member.log.append(record.epoch, record.key, record.value)
        super()._replay(at, last)


class _NotOnDisk(Takeover):
    def _flush(self) -> None:
        self._next(self.promotion.flushed())


class _LastTaker(Takeover):
    def _locate(self) -> Found:
        storage, before = self.cluster.storage, self.order.epoch - 1
        true = storage.opened
        storage.opened = [before] if before in storage.claims else true
        try:
            return super()._locate()
        finally:
            storage.opened = true


class _GoesOnBlindly(Promotion):
    def _unread(self, found: Found) -> tuple[str, bool] | None:
        return super()._unread(found) if self._mode == "async" else None


class _SaysNothing(Promotion):
    def located(self, found: Found) -> Step | None:
        step = super().located(found)
        self.may_be_missing = None
        return step


class _TakesDiverged(StandbyRole):
    @property
    def unfit(self) -> str | None:
        return None

    def read_log(self) -> bool:
        return True


class _NotCompared(Promotion):
    def compared(self, same: bool, differs_from: int = 0) -> Step | None:
        return super().compared(True)


class _ForgetsIds(PrimaryRole):
    def remembered(self, key: int) -> int | None:
        at = self.member.log.keys.get(key)
        return at if at is not None and self.member.log.records[at - 1].epoch == self.epoch else None


class _ForgetsHalt(Market):
    def _read(self, log: Log) -> None:
        pass


# --- replication ---


class _EarlyReplicated(Sender):
    @property
    def replicated(self) -> int:
        return self.tail

    @replicated.setter
    def replicated(self, value: int) -> None:
        pass


class _AnyStandby(Sender):
    def ack(self, member: str, ack: Ack) -> list[NoteStandby]:
        notes = super().ack(member, ack)
        self.replicated = max(self.replicated, ack.received)
        return notes


class _ForgetsPower(Takeover):
    def begin(self) -> None:
        noted = self.cluster.storage.standby == self.member.name
        self.promotion._own = Own(len(self.member.log), noted)
        super().begin()


class _NotCountedAgain(Sender):
    def attach(self, member: str, last: int) -> list[NoteStandby]:
        before = self.replicated
        notes = super().attach(member, last)
        self.replicated = before
        return notes


# --- liveness ---


class _GivesUp(Monitor):
    def tick(self, now_ns: int) -> list[Action]:
        return [] if self.state in (State.REFUSED, State.BLOCKED) else super().tick(now_ns)


BUGS: dict[str, Bug] = {
    "no-fencing": Bug("a primary renews its lease whatever the epoch on storage says", Parts(keeper=_NotFenced)),
    "lease-counted-late": Bug("the lease counts from the end of a renewal", Parts(keeper=_LateCount)),
    "lease-kept": Bug("a lease that was given up is still used", Parts(keeper=_KeepsReleased)),
    "lease-not-waited-for": Bug("a takeover goes on as soon as it has the epoch", Parts(watch=_NoWait)),
    "looks-before-the-epoch": Bug("a look from before the epoch was taken is trusted", Parts(watch=_OldLook)),
    "acks-without-lease": Bug("acknowledgements and log are written without a lease", Parts(primary=_AcksWithoutLease)),
    "epoch-not-flushed": Bug("a power cut of the storage takes an epoch back", Parts(storage=_NotFlushed)),
    "epoch-for-two": Bug("two who want the same epoch get it", Parts(storage=_NotExclusive)),
    "forgets-the-gap": Bug("what the standby had not is not replayed", Parts(promotion=_ForgetsGap)),
    "opens-before-replay": Bug("orders are accepted, then the gap is replayed", Parts(takeover=_OpensFirst)),
    "gap-twice": Bug("a takeover that was cut off replays the gap from its start again", Parts(takeover=_GapTwice)),
    "gap-not-on-disk": Bug("the lease is taken with the gap in memory only", Parts(takeover=_NotOnDisk)),
    "reads-the-last-takers-log": Bug(
        "the log of one who never opened is taken for the whole", Parts(takeover=_LastTaker)
    ),
    "goes-on-without-log": Bug("modes fsync and replicated go on without the old log", Parts(promotion=_GoesOnBlindly)),
    "hides-a-loss": Bug("mode async does not say what may be missing", Parts(promotion=_SaysNothing)),
    "promotes-diverged": Bug("a damaged standby is promoted", Parts(standby=_TakesDiverged, promotion=_NotCompared)),
    "forgets-ids": Bug("ClOrdIDs from before the takeover are not known any more", Parts(primary=_ForgetsIds)),
    "forgets-the-halt": Bug("a new primary begins with every symbol open", Parts(market=_ForgetsHalt)),
    "replicated-too-early": Bug("reports go out before the standby has the record", Parts(sender=_EarlyReplicated)),
    "counts-any-standby": Bug("acknowledgements count whoever storage names", Parts(sender=_AnyStandby)),
    "forgets-its-power-cut": Bug(
        "a standby that lost its memory takes itself for whole", Parts(takeover=_ForgetsPower)
    ),
    "standby-not-counted-again": Bug(
        "one that comes back with everything is never counted", Parts(sender=_NotCountedAgain)
    ),
    "gives-up": Bug("a takeover that was refused once is never tried again", Parts(monitor=_GivesUp)),
}
