"""The way from "the old lease is over" to the first order, as control/promotion.py orders it, on files and memory."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from matchmark.native.pipeline import NO_LEASE, Pipeline, PipelineError, now_ns
from matchmark.native.pipeline_records import Durability, ExchangeState, Role
from matchmark.native.replication import Replica, hash_at
from matchmark.reference.cluster import succession
from matchmark.reference.cluster.directory import Member, is_cut
from matchmark.reference.cluster.succession import Succession
from matchmark.reference.control import promotion as steps
from matchmark.reference.control.promotion import Found, Own, Promotion, Step
from matchmark.reference.gateway import life

if TYPE_CHECKING:
    from matchmark.reference.cluster.member import ClusterRole, Keeper

REACHABLE_NS = 1_000_000_000
"""So long the old primary's log is looked for before it is taken for unreachable: its volume may be mounted anew just now."""
FLUSH_S = 10.0


class Outrun(PipelineError):
    """Another member has taken a higher epoch meanwhile."""

    def __init__(self, epoch: int) -> None:
        super().__init__(f"another member is to be primary under epoch {epoch}")
        self.epoch = epoch


class TakeOver:
    """One try. `run` gives the keeper of the new lease; PipelineError or OSError: it came to nothing, and may be tried again."""

    def __init__(self, role: ClusterRole, replica: Replica, epoch: int) -> None:
        self._role, self._replica, self._epoch = role, replica, epoch
        self._old: Member | None = None
        self._memory: Pipeline | None = None
        self._generation = 0
        self._taken = 0
        self._keeper: Keeper | None = None
        self._began_ns = now_ns()
        self._has_all = False
        """All that was acknowledged, whatever is in the old log."""

    def run(self) -> Keeper:
        _, standby = self._role.cluster.in_step()
        mode: Literal["async", "fsync", "replicated"] = "fsync"
        if self._role.config.durability == Durability.ASYNC:
            mode = "async"
        elif self._role.config.durability == Durability.REPLICATED and standby is not None:
            mode = "replicated"  # without a standby in step what was acknowledged is on the old primary's disk
        own = Own(self._role.pipeline.status().sequence, standby == self._role.config.member)
        self._has_all = mode == "replicated" and own.noted
        self._promotion = Promotion(mode, own)
        try:
            step: Step | None = self._promotion.begin()
            while step is not None and not isinstance(step, steps.AcceptOrders):
                step = self._do(step)
        finally:
            if self._memory is not None:
                self._memory.close()
        if self._promotion.refusal is not None or self._keeper is None:
            raise PipelineError(self._promotion.refusal or "the takeover came to no end")
        self._say()
        return self._keeper

    def _do(self, step: Step) -> Step | None:
        promotion, role = self._promotion, self._role
        if isinstance(step, steps.Locate):
            return promotion.located(self._locate())
        if isinstance(step, steps.Compare):
            ours = hash_at(role.pipeline, role.plan.log, step.sequence) if step.sequence else 0
            return promotion.compared(ours == self._theirs(step.sequence))
        if isinstance(step, steps.Replay):
            self._taken = self._replica.gap(self._memory, self._log())
            return promotion.replayed(role.pipeline.status().sequence)
        if isinstance(step, steps.Flush):
            self._flush()
            return promotion.flushed()
        if isinstance(step, steps.TakeLease):
            self._take_lease()
            return promotion.leased()
        if isinstance(step, steps.MarkOpened):
            role.cluster.epochs.mark_opened(self._epoch, step.may_be_missing)
            return promotion.marked()
        assert isinstance(step, steps.OpenSessions)
        self._open()
        return promotion.opened()

    def _log(self) -> Path:
        assert self._old
        return Path(self._old.data_dir) / "log"

    # --- the old log ---

    def _locate(self) -> Found:
        """The log of who opened last. That is our own when nobody did since we were primary."""
        role = self._role
        opened = role.cluster.epochs.opened()
        if opened is None or opened[1] == role.config.member:
            whole = opened is None or not is_cut(role.plan.data, opened[0])
            return Found(role.config.member, role.pipeline.status().sequence, memory=whole)
        name = opened[1]
        self._old = role.cluster.member(name)
        if self._old is None:
            return Found(name, None, why="where it is, is not known")
        self._memory = self._memory_of(self._old)
        # Who needs that log waits for it; to who has all, its volume had the time since the last heartbeat.
        until_ns = REACHABLE_NS + (self._replica.status().heard_ns if self._has_all else now_ns())
        while not self._log().is_dir() and now_ns() < until_ns:
            time.sleep(0.02)
        if not self._log().is_dir():
            return Found(name, None, why=f"{self._log()} cannot be reached")
        if self._memory is not None:
            self._generation = self._memory.status().generation
        try:
            return Found(name, self._replica.end_of(self._memory, self._log()), memory=self._memory is not None)
        except PipelineError as error:
            return Found(name, None, why=str(error))

    def _memory_of(self, old: Member) -> Pipeline | None:
        """The old primary's shared memory, fenced; None when it is gone, or on a machine that cannot be reached."""
        if not (Path(old.shm_dir) / "control").exists():
            return None
        try:
            memory = Pipeline(old.shm_dir)
        except PipelineError:
            return None
        if memory.status().generation != old.generation:
            memory.close()
            return None
        memory.fence(self._epoch)
        return memory

    def _theirs(self, sequence: int) -> int:
        if not sequence:
            return 0
        if self._old is None:
            return hash_at(self._role.pipeline, self._role.plan.log, sequence)
        return hash_at(self._memory, self._log(), sequence)

    # --- ours ---

    def _flush(self) -> None:
        pipeline, until = self._role.pipeline, time.monotonic() + FLUSH_S
        last = pipeline.status().sequence
        while pipeline.durable_sequence < last:
            if pipeline.state == ExchangeState.FAILED or time.monotonic() > until:
                raise PipelineError(
                    f"this member's own log is not on its disk: {pipeline.status().failure or 'too slow'}"
                )
            time.sleep(0.0005)

    def _take_lease(self) -> None:
        role = self._role
        self._keeper = role.keeper(self._epoch)
        role.pipeline.set_lease(0)
        if not self._keeper.renew():
            role.pipeline.set_lease(NO_LEASE)
            if self._keeper.fenced:
                raise Outrun(self._keeper.outrun_by)
            raise PipelineError("no lease for the new epoch: the shared storage is unreadable")
        role.pipeline.set_epoch(self._epoch)
        if self._memory is not None and self._replica.orders_of(self._memory):
            until = time.monotonic() + FLUSH_S
            while role.pipeline.status().orders_waiting and time.monotonic() < until:
                time.sleep(0.0005)

    def _open(self) -> None:
        """The gateway finds the role changed, reads the succession, takes the sessions over and listens."""
        role, old = self._role, self._old
        inherited = life(self._generation) if self._generation else 0
        missing = self._promotion.may_be_missing
        name, data = (old.name, old.data_dir) if old else (None, None)
        succession.note(role.plan.data, Succession(self._epoch, name, data, inherited, missing))
        if role.config.durability == Durability.REPLICATED:
            role.cluster.note_in_step(self._epoch, None)
            role.pipeline.set_alone(True)
        role.pipeline.state = ExchangeState.RUNNING
        role.pipeline.role = Role.PRIMARY
        self._replica.close()

    def _say(self) -> None:
        alerts, ms = self._role.alerts, (now_ns() - self._began_ns) / 1e6
        if self._promotion.may_be_missing:
            alerts.raise_("may-be-missing", self._promotion.may_be_missing)
        text = f"took over under epoch {self._epoch}: {self._taken} records of the gap, {ms:.0f} ms"
        alerts.raise_("took-over", text, epoch=self._epoch, gap=self._taken, ms=ms)
