"""A standby's work: follows whoever is primary, watches it, and takes over when the monitor says so."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from matchmark.native.pipeline import NO_LEASE, PipelineError, now_ns
from matchmark.native.replication import Replica, Result
from matchmark.reference.cluster import link
from matchmark.reference.cluster.takeover import Outrun, TakeOver
from matchmark.reference.control.epoch import EpochError
from matchmark.reference.control.monitor import (
    Action,
    Alert,
    Drain,
    Heartbeat,
    Monitor,
    Promote,
    StandbyStatus,
    TakeEpoch,
    Undrain,
)  # fmt: skip
from matchmark.reference.control.replication import ProtocolError
from matchmark.reference.control.storage import StorageUnreadable

if TYPE_CHECKING:
    from matchmark.reference.cluster.member import ClusterRole, Keeper

LOOK_NS = 40_000_000
"""Between two looks at the lease: the monitor wants one each 50 ms."""
SLICE_NS = 5_000_000
CONNECT_AGAIN_S = 0.05


class Following:
    """A standby's work: follows whoever is primary, watches it, and takes over when the monitor says so."""

    def __init__(self, role: ClusterRole, ready: Callable[[], None]) -> None:
        self._role, self._ready = role, ready
        self.said_ready = False
        self._monitor = Monitor(role.settings, now_ns(), role.pipeline.status().epoch)
        role.pipeline.set_lease(NO_LEASE)  # a takeover that was cut short may have left another
        self._replica = Replica(role.pipeline, role.plan.log)
        self._line: socket.socket | None = None
        self._unfit: str | None = None
        self._refusal = ""
        self._heard_ns = 0
        self._looked_ns = 0
        self._tried_s = 0.0
        self._keeper: Keeper | None = None
        self._asked = role.plan.board.switchovers_asked()

    def run(self) -> Keeper | None:
        """The keeper of the lease when this member has become primary; None when it was told to end."""
        role = self._role
        while not role.over.is_set() and self._keeper is None:
            if self._line is None:
                self._connect()
            if self._line is not None:
                self._take()
            elif self._keeper is None:
                time.sleep(0.005)
            self._watch()
        if self._line is not None:
            self._line.close()
        return self._keeper

    # --- following ---

    def _connect(self) -> None:
        if time.monotonic() - self._tried_s < CONNECT_AGAIN_S:
            return
        self._tried_s = time.monotonic()
        role = self._role
        for name in self._candidates():
            other = role.cluster.member(name)
            if other is None:
                continue
            try:
                line = socket.create_connection(other.replication, timeout=0.2)
            except OSError:
                continue
            try:
                self._introduce(line)
                return
            except (OSError, ProtocolError):
                line.close()
            except link.NotTaken as error:
                line.close()
                if str(error) != self._refusal:
                    role.alerts.raise_("not-followed", f"{name} does not take this member as its standby: {error}")
                self._refusal = str(error)
                self._unfit = str(error) if error.unfit else self._unfit
                return

    def _candidates(self) -> Sequence[str]:
        """Who holds the epoch comes first; a member that is no primary does not listen."""
        holder = None
        with contextlib.suppress(EpochError, StorageUnreadable):
            stored = self._role.cluster.epochs.read()
            holder = self._role.cluster.epochs.holder(stored.epoch) or stored.record.member
        others = [name for name in self._role.cluster.members() if name not in (holder, self._role.config.member)]
        return [holder, *others] if holder and holder != self._role.config.member else others

    def _introduce(self, line: socket.socket) -> None:
        role = self._role
        following, running_hash = self._replica.next()
        epoch = role.pipeline.status().epoch
        cluster = role.cluster.epochs.cluster_id()
        link.introduce(
            line,
            link.hello(cluster, role.config.member, role.instruments, role.plan.engine, epoch, following, running_hash),
            role.pipeline,
            role.plan.log,
        )
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.setblocking(False)
        self._unfit = None
        self._line = line
        self._replica.connect(line.fileno())

    def _take(self) -> None:
        assert self._line
        try:
            result = self._replica.run(SLICE_NS, self._role.plan.wait)
        except PipelineError as error:
            self._unfit = str(error)
            self._role.alerts.raise_("standby-unfit", str(error))
            result = Result.LOST
        if result == Result.LOST:
            self._line.close()
            self._line = None
        elif result == Result.STOPPED:
            self._role.over.set()

    # --- watching ---

    def _watch(self) -> None:
        role, monitor = self._role, self._monitor
        status = self._replica.status()
        monitor.status(StandbyStatus(status.received, status.applied, self._line is not None, self._unfit))
        if status.heard_ns > self._heard_ns:
            self._heard_ns = status.heard_ns
            self._do(
                monitor.heartbeat(status.heard_ns, Heartbeat(status.epoch, status.primary_tail, status.engine_age_ns))
            )
        if now_ns() - self._looked_ns > LOOK_NS:
            record = role.cluster.lease.read()
            self._looked_ns = now_ns()
            self._do(monitor.lease_seen(self._looked_ns, record))
        self._switchover()
        if status.drained is not None and self._line is not None:
            self._do(monitor.drained(now_ns(), status.drained))
        self._do(monitor.tick(now_ns()))
        if not self.said_ready and self._line is not None and status.heard_ns and status.applied >= status.primary_tail:
            self.said_ready = True
            self._ready()

    def _switchover(self) -> None:
        """An operator may have asked for it."""
        asked = self._role.plan.board.switchovers_asked()
        if asked == self._asked:
            return
        self._asked = asked
        said = self._monitor.switchover(now_ns())
        if isinstance(said, str):
            self._role.alerts.raise_("switchover-refused", f"no switchover: {said}", request=asked)
        else:
            self._do(said)

    def _do(self, actions: Sequence[Action]) -> None:
        for action in actions:
            if isinstance(action, Alert):
                self._role.alerts.raise_(action.code, action.text, epoch=self._monitor.epoch)
            elif isinstance(action, Drain | Undrain):
                self._replica.ask_to_drain(isinstance(action, Drain))
            elif isinstance(action, TakeEpoch):
                self._do(self._take_epoch(action))
            elif isinstance(action, Promote):
                self._do(self._promote(action.epoch))

    def _take_epoch(self, action: TakeEpoch) -> Sequence[Action]:
        store = self._role.cluster.epochs
        try:
            if store.take(action.number, self._role.config.member, action.used):
                return self._monitor.epoch_taken(now_ns())
            return self._monitor.epoch_lost(store.read().epoch)
        except EpochError as error:
            return self._monitor.epoch_refused(str(error))
        except StorageUnreadable as error:
            return self._monitor.epoch_unreadable(str(error))

    def _promote(self, epoch: int) -> Sequence[Action]:
        if self._line is not None:
            self._line.close()
            self._line = None
        takeover = TakeOver(self._role, self._replica, epoch)
        try:
            self._keeper = takeover.run()
        except Outrun as error:
            return self._monitor.promotion_outrun(error.epoch)
        except (PipelineError, OSError) as error:
            self._role.pipeline.set_lease(NO_LEASE)  # it goes on following
            return self._monitor.promotion_refused(now_ns(), str(error))
        return self._monitor.promoted()
