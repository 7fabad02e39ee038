"""The role `cluster` of a member: a standby follows the primary and watches it, a primary keeps the lease and feeds standbys.

One process for both, so that a standby that takes over has the lease from its first moment on. docs/cluster.md.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from matchmark.native.pipeline import Pipeline, PipelineError, now_ns
from matchmark.native.pipeline_records import Role
from matchmark.reference.cluster.directory import Cluster
from matchmark.reference.cluster.primary import Feeding
from matchmark.reference.cluster.standby import Following
from matchmark.reference.control.lease import LeaseKeeper
from matchmark.reference.control.monitor import Settings
from matchmark.reference.control.storage import StorageUnreadable
from matchmark.reference.gateway import instruments_hash

if TYPE_CHECKING:
    from matchmark.reference.roles import Plan

SECOND_NS = 1_000_000_000


class ClusterRole:
    """Runs until it is told to end."""

    def __init__(self, plan: Plan) -> None:
        config = plan.config
        assert config.cluster
        self.plan, self.config = plan, config
        self.pipeline = Pipeline(plan.shm)
        self.cluster = Cluster(config.cluster, config.member)
        self.alerts = plan.board.alerts
        heartbeat_ns, timeout_ns = int(config.heartbeat_s * SECOND_NS), int(config.timeout_s * SECOND_NS)
        self.settings = Settings(
            heartbeat_ns=heartbeat_ns, timeout_ns=timeout_ns, lease_ns=timeout_ns, margin_ns=max(timeout_ns // 20, 5_000_000),
            stall_ns=max(250_000_000, heartbeat_ns // 2),
        )  # fmt: skip
        self.over = threading.Event()
        self.instruments = instruments_hash(config.symbols)
        self.listener = plan.replication_socket

    def stop(self, *_: object) -> None:
        self.over.set()

    def run(self, ready: Callable[[], None]) -> None:
        """PipelineError: this member cannot go on; the text says why."""
        if self.pipeline.role == Role.STANDBY:
            following = Following(self, ready)
            promoted = following.run()
            if not promoted:
                return
            self.primary(promoted, _nothing if following.said_ready else ready)
        else:
            status = self.pipeline.status()
            keeper = self.keeper(status.epoch)
            self._first_lease(keeper)
            self.primary(keeper, ready)

    def _first_lease(self, keeper: Keeper) -> None:
        """Of a member that starts as primary: its own log is the one that counts, and storage says so before it opens."""
        while not keeper.renew():
            if keeper.fenced or self.over.wait(0.05):
                raise PipelineError("no lease: the shared storage is unreadable, or another member is primary")
        try:
            self.cluster.epochs.mark_opened(self.pipeline.status().epoch, self.plan.may_be_missing)
        except StorageUnreadable as error:
            raise PipelineError(str(error)) from None

    def keeper(self, epoch: int) -> Keeper:
        return Keeper(self, epoch)

    def primary(self, keeper: Keeper, ready: Callable[[], None]) -> None:
        keeper.start()
        Feeding(self, ready).run(keeper)


def _nothing() -> None:
    """For who has said already that it is ready."""


class Keeper:
    """Renews the lease in a thread of its own. `renew` once from outside before `start`."""

    def __init__(self, role: ClusterRole, epoch: int) -> None:
        self._role = role
        record = role.cluster.lease.read()
        counter = record.counter if record else 0
        self._machine = LeaseKeeper(epoch, role.config.member, role.settings.lease_ns, counter)
        self._every_s = role.settings.lease_ns / 5 / SECOND_NS
        self._lock = threading.Lock()
        self._given_up = False
        self.fenced, self.outrun_by = False, 0
        """Another member is primary under the epoch `outrun_by`."""

    def renew(self) -> bool:
        """Whether the lease is held now."""
        with self._lock:
            role, machine = self._role, self._machine
            if self._given_up:
                self._notice(role.cluster.epochs.current())
                return False
            written = role.cluster.lease.write(machine.begin(now_ns()))
            machine.finish(role.cluster.epochs.current() if written else None)
            self._notice(machine.fenced_by)
            if not self.fenced and machine.until_ns:
                role.pipeline.set_lease(machine.until_ns)
            return machine.held(now_ns())

    def _notice(self, epoch: int | None) -> None:
        """The epoch on storage, as far as it is known."""
        if epoch is None or epoch <= self._machine.epoch or self.fenced:
            return
        self.fenced, self.outrun_by = True, epoch
        if self._role.pipeline.role == Role.STANDBY:
            return  # it has not begun: it follows the other one
        self._role.pipeline.fence(epoch)
        text = f"another member is primary under epoch {epoch}: this one acknowledges nothing more"
        self._role.alerts.raise_("fenced", text, epoch=epoch)

    def give_up(self) -> None:
        """For a switchover: from now on nothing is acknowledged, and storage says so."""
        with self._lock:
            self._given_up = True
            self._role.pipeline.set_lease(0)
            self._role.cluster.lease.write(self._machine.release())

    def take_back(self) -> None:
        with self._lock:
            self._machine.take_back()
            self._given_up = False

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while not self.fenced:
            began = time.monotonic()
            self.renew()
            time.sleep(max(0.001, self._every_s - (time.monotonic() - began)))


def run_cluster(plan: Plan, ready: Callable[[], None]) -> int:
    """The role's body. 0: told to end; 4: fenced, or it cannot go on."""
    role = ClusterRole(plan)
    signal.signal(signal.SIGTERM, role.stop)
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)  # what keeps the lease must not wait for those who trade
    role.run(ready)
    return 0 if role.over.is_set() else 4
