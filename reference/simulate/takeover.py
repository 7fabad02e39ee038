"""Carries out the steps of a promotion in the simulated world, one event each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matchmark.reference.control.monitor import Promote
from matchmark.reference.control.promotion import (
    AcceptOrders,
    Compare,
    Flush,
    Found,
    Locate,
    MarkOpened,
    OpenSessions,
    Own,
    Replay,
    Step,
    TakeLease,
)
from matchmark.reference.simulate.log import Record, chain
from matchmark.reference.simulate.world import MS

if TYPE_CHECKING:
    from matchmark.reference.simulate.standby import StandbyRole

CHUNK = 4
"""Records replayed in one event, so that a crash can come in between."""


class Takeover:
    def __init__(self, standby: StandbyRole, order: Promote) -> None:
        self.standby, self.member, self.cluster = standby, standby.member, standby.cluster
        self.order = order
        own = Own(len(self.member.log), self.cluster.storage.standby == self.member.name and self.member.kept)
        self.promotion = self.cluster.parts.promotion(self.cluster.mode, own, self.cluster.forced)
        lease = self.cluster.storage.lease
        self.keeper = self.cluster.parts.keeper(
            order.epoch, self.member.name, self.cluster.settings.lease_ns, lease.counter if lease else 0
        )
        self._theirs: list[Record] = []

    def begin(self) -> None:
        if self.standby.read_log():
            self._next(self.promotion.begin())
        else:
            self.promotion.failed(self.standby.unfit or "")
            self._next(None)

    def _next(self, step: Step | None) -> None:
        self.cluster.took_step(self.member, type(step).__name__)
        if self.standby.takeover is not self:
            return
        match step:
            case None:
                self.member.say(f"refuses: {self.promotion.refusal}")
                self.standby.refused(self.promotion.refusal or "")
            case Locate():
                self.member.ask_storage(self._locate, self._located)
            case Compare():
                self._compare(step)
            case Replay():
                self.member.say(f"replays records {step.first} to {step.last} of {step.member}")
                self._replay(step.first, step.last)
            case Flush():
                self._flush()
            case TakeLease():
                self._renew()
            case MarkOpened():
                self._mark(step)
            case OpenSessions():
                self.member.later(5 * MS, lambda: self._next(self.promotion.opened()))
            case AcceptOrders():
                self._accept()

    # --- the old logs ---

    def _locate(self) -> Found:
        number = max(self.cluster.storage.opened)
        name = self.cluster.storage.claims[number]
        other = next(member for member in self.cluster.members if member.name == name)
        mine = other is self.member
        if other.wiped_at >= number:
            return Found(name, None, why="emptied by an operator")
        if other.log_away and not mine:
            return Found(name, None, why="storage away")
        memory = other.memory_whole and (mine or self.cluster.one_host)
        self._theirs = list(other.log.records if memory or mine else other.log.records[: other.log.synced])
        return Found(name, len(self._theirs), memory)

    def _located(self, found: Found | None) -> None:
        if found is None:
            self.promotion.failed("storage does not answer")
            self._next(None)
        else:
            self._next(self.promotion.located(found))

    def _compare(self, step: Compare) -> None:
        theirs, log = self._theirs, self.member.log
        same = not step.sequence or theirs[step.sequence - 1].hash == log.hash_at(step.sequence)
        self._next(self.promotion.compared(same, 0 if same else log.first_difference(theirs)))

    def _replay(self, at: int, last: int) -> None:
        if self.standby.takeover is not self:
            return
        log = self.member.log
        for record in self._theirs[at - 1 : min(last, at - 1 + CHUNK)]:
            if chain(log.hash_at(len(log)), record.epoch, record.key, record.value) != record.hash:
                self.promotion.failed(f"record {len(log) + 1} replays to something else")
                self._next(None)
                return
            log.append(record.epoch, record.key, record.value)
        self.cluster.took_step(self.member, "Chunk")
        if len(log) < last:
            self.member.later(self.member.world.rng.randint(1, 3 * MS), self._replay, at + CHUNK, last)
        else:
            self._next(self.promotion.replayed(len(log)))

    def _flush(self) -> None:
        if self.standby.takeover is not self:
            return
        if self.member.log.synced == len(self.member.log):
            self._next(self.promotion.flushed())
            return
        self.member.write_log(lambda: True, lambda: None)
        self.member.later(5 * MS, self._flush)

    # --- the new lease ---

    def _renew(self) -> None:
        record, storage = self.keeper.begin(self.member.clock()), self.cluster.storage
        self.member.ask_storage(lambda: storage.write_lease(record), self._lease_written)

    def _lease_written(self, written: bool | None) -> None:
        if written:
            self.member.ask_storage(self.cluster.storage.current, self._epoch_read)
        else:
            self._epoch_read(None)

    def _epoch_read(self, epoch: int | None) -> None:
        if self.standby.takeover is not self:
            return
        self.keeper.finish(epoch)
        if self.keeper.fenced_by is not None:
            self.standby.outrun(self.keeper.fenced_by)
        elif self.keeper.held(self.member.clock()):
            self.cluster.checks.lease(self.member, self.keeper)
            self._next(self.promotion.leased())
        else:
            self.member.later(100 * MS, self._renew)

    def _mark(self, step: MarkOpened) -> None:
        self.member.ask_storage(lambda: self._marks(step.may_be_missing), self._marked)

    def _marks(self, may_be_missing: str | None) -> bool:
        """The moment from which its log stands for the old ones, also when it gets no further; unless another was first."""
        if self.order.epoch >= self.cluster.checks.opened_epoch:
            self.cluster.checks.opens(self.member, self.order.epoch, may_be_missing, self.order.planned)
        self.cluster.storage.opened.append(self.order.epoch)
        return True

    def _marked(self, done: bool | None) -> None:
        if self.standby.takeover is not self:
            return
        if done and self.keeper.held(self.member.clock()):
            self._next(self.promotion.marked())
        else:
            self.promotion.failed("storage did not take the mark in time")
            self._next(None)

    def _accept(self) -> None:
        member, cluster = self.member, self.cluster
        self.standby.monitor.promoted()
        member.say(f"is primary under epoch {self.order.epoch}; may be missing: {self.promotion.may_be_missing}")
        member.standby = None
        member.kept = member.memory_whole = True
        member.primary = cluster.parts.primary(member, self.keeper)
