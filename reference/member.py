"""The role `cluster` of a member: a standby follows the primary and watches it, a primary keeps the lease and feeds standbys.

One process for both, so that a standby that takes over has the lease from its first moment on. What is decided here is decided
by the state machines of `control`; this carries it out. docs/cluster.md.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matchmark.native.pipeline import NO_LEASE, Pipeline, PipelineError, now_ns
from matchmark.native.pipeline_records import Durability, ExchangeState, Role
from matchmark.native.replication import PEERS_MAX, Replica, Result, Sender, hash_at
from matchmark.reference import member_link as link
from matchmark.reference.cluster import Cluster, Member
from matchmark.reference.control.epoch import EpochError
from matchmark.reference.control.lease import LeaseKeeper
from matchmark.reference.control.monitor import (
    Action,
    Alert,
    Heartbeat,
    Monitor,
    Promote,
    Settings,
    StandbyStatus,
    TakeEpoch,
)  # fmt: skip
from matchmark.reference.control.replication import Go, Primary, ProtocolError, Refused
from matchmark.reference.control.storage import StorageUnreadable
from matchmark.reference.durable_files import sync_directory
from matchmark.reference.gateway import instruments_hash, life

if TYPE_CHECKING:
    from matchmark.reference.roles import Plan

SECOND_NS = 1_000_000_000
LOOK_NS = 40_000_000
"""Between two looks at the lease: control.monitor wants one each 50 ms."""
SLICE_NS = 5_000_000
CONNECT_AGAIN_S = 0.05
IN_STEP_RECORDS = 4096
"""A standby this near to the end is in step: from then on acknowledgements in mode replicated wait for it."""
REACHABLE_S = 1.0
"""So long a new primary looks for the old one's log before it takes it for unreachable."""


class ClusterRole:
    """Runs until it is told to end. `say` is for people: one sentence."""

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        config = plan.config
        assert config.cluster
        self.plan, self.config = plan, config
        self.pipeline = Pipeline(plan.shm)
        self.cluster = Cluster(config.cluster, config.member)
        self.alerts = Alerts(plan.data / "alerts.jsonl", say)
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
            promoted = Following(self, ready).run()
            if not promoted:
                return
            self.primary(promoted, lambda: None)
        else:
            status = self.pipeline.status()
            keeper = self.keeper(status.epoch)
            while not keeper.renew():
                if keeper.fenced or self.over.wait(0.05):
                    raise PipelineError("no lease: the shared storage is unreadable, or another member is primary")
            self.primary(keeper, ready)

    def keeper(self, epoch: int) -> Keeper:
        return Keeper(self, epoch)

    def primary(self, keeper: Keeper, ready: Callable[[], None]) -> None:
        keeper.start()
        Feeding(self, ready).run(keeper)


class Alerts:
    """What an operator should know: a line of JSON each, and a sentence on stderr."""

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self._path, self._say = path, say

    def raise_(self, code: str, text: str, **more: Any) -> None:
        row = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + "Z",
            "time_ns": time.time_ns(),
            "code": code,
            "text": text,
            **more,
        }
        with contextlib.suppress(OSError), self._path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")
        self._say(text)


class Keeper:
    """Renews the lease in a thread of its own. `renew` once from outside before `start`."""

    def __init__(self, role: ClusterRole, epoch: int) -> None:
        self._role = role
        record = role.cluster.lease.read()
        counter = record.counter if record else 0
        self._machine = LeaseKeeper(epoch, role.config.member, role.settings.lease_ns, counter)
        self._every_s = role.settings.lease_ns / 5 / SECOND_NS
        self.fenced = False

    def renew(self) -> bool:
        role, machine = self._role, self._machine
        written = role.cluster.lease.write(machine.begin(now_ns()))
        machine.finish(role.cluster.epochs.current() if written else None)
        if machine.fenced_by is not None and not self.fenced:
            self.fenced = True
            role.pipeline.fence(machine.fenced_by)
            role.alerts.raise_(
                "fenced",
                f"another member is primary under epoch {machine.fenced_by}: this one acknowledges nothing more",
            )
        if not self.fenced and machine.until_ns:
            role.pipeline.set_lease(machine.until_ns)
        return machine.held(now_ns())

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while not self.fenced:
            began = time.monotonic()
            self.renew()
            time.sleep(max(0.001, self._every_s - (time.monotonic() - began)))


class Feeding:
    """A primary's work for standbys: takes them in, sends, and says whose word counts."""

    def __init__(self, role: ClusterRole, ready: Callable[[], None]) -> None:
        self._role, self._ready = role, ready
        self._names: dict[int, str] = {}
        self._in_step: int | None = None
        self._owed: int | None = None
        """The standby in step is noted on storage when it has the records up to here; None: it is, or there is none."""
        self._replicated = role.config.durability == Durability.REPLICATED
        stages = role.plan.board.stages.memory
        self._sender = Sender(role.pipeline, role.plan.log, role.settings.heartbeat_ns // 2, stages)
        self._failed: PipelineError | None = None

    def run(self, keeper: Keeper) -> None:
        role = self._role
        if self._replicated:
            self._nobody()
        assert role.listener
        role.listener.listen(8)
        role.listener.settimeout(0.02)
        threading.Thread(target=self._send, daemon=True).start()
        self._ready()
        while not role.over.is_set() and not keeper.fenced and self._failed is None:
            with contextlib.suppress(TimeoutError, OSError):
                line, _ = role.listener.accept()
                self._greet(line)
            self._look()
        if self._failed:
            raise self._failed

    def _send(self) -> None:
        try:
            while True:
                self._sender.run(wait=self._role.plan.wait)
        except PipelineError as error:
            self._failed = error

    def _greet(self, line: socket.socket) -> None:
        role, now = self._role, self._role.pipeline.status()
        mine = Primary(
            role.cluster.epochs.cluster_id(), role.config.member, role.instruments, link.engine_words(role.plan.engine),
            now.epoch, 1, now.sequence,
        )  # fmt: skip
        try:
            said, answer = link.receive(line, mine, lambda n: hash_at(role.pipeline, role.plan.log, n) if n else 0)
        except (OSError, ProtocolError):
            line.close()
            return
        number = -1
        if isinstance(answer, Go):
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line.setblocking(False)
            number = self._sender.add(line.fileno(), answer.sequence)
        if number < 0:
            line.close()
            why = answer.text if isinstance(answer, Refused) else f"there are {PEERS_MAX} already"
            role.alerts.raise_("standby-refused", f"standby {said.member} is refused: {why}")
            return
        line.detach()
        self._names[number] = said.member
        role.alerts.raise_("standby-joined", f"standby {said.member} follows from record {said.next_sequence}")

    def _look(self) -> None:
        """Who is still there, and whose word counts."""
        tail = self._role.pipeline.status().sequence
        for number, name in list(self._names.items()):
            peer = self._sender.peer(number)
            if peer.connected and now_ns() - peer.heard_ns < self._role.settings.silence_ns:
                if self._in_step is None and tail - peer.received <= IN_STEP_RECORDS:
                    self._take_in(number)
                continue
            del self._names[number]
            if peer.connected:
                self._sender.drop(number)
            if self._in_step == number:
                self._in_step, self._owed = None, None
                self._sender.in_step(-1)  # from here on nothing is acknowledged, until the disk counts
                self._nobody()
            self._role.alerts.raise_(
                "standby-lost", f"standby {name} is gone, it had the records up to {peer.received}"
            )
        self._note()

    def _take_in(self, number: int) -> None:
        """From now on acknowledgements wait for it. What was acknowledged before, it may still be owed."""
        self._in_step = number
        self._sender.in_step(number)
        self._role.pipeline.set_alone(False)
        now = self._role.pipeline.status()
        self._owed = max(now.durable_sequence, now.replicated_sequence)

    def _note(self) -> None:
        """Once it has all that was ever acknowledged, shared storage says so: it may take over without this member's log."""
        if not self._replicated or self._in_step is None or self._owed is None:
            return
        if self._sender.peer(self._in_step).received >= self._owed:
            with contextlib.suppress(OSError):  # the next look tries again
                self._role.cluster.note_in_step(self._role.pipeline.status().epoch, self._names[self._in_step])
                self._owed = None

    def _nobody(self) -> None:
        """Nobody may take over without this member's log; when that is on storage, what is on this member's disk counts."""
        if not self._replicated:
            return
        while not self._role.over.is_set():
            with contextlib.suppress(OSError):
                self._role.cluster.note_in_step(self._role.pipeline.status().epoch, None)
                break
            time.sleep(0.05)
        self._role.pipeline.set_alone(True)


class Following:
    """A standby's work: follows whoever is primary, watches it, and takes over when the monitor says so."""

    def __init__(self, role: ClusterRole, ready: Callable[[], None]) -> None:
        self._role, self._ready = role, ready
        self._said_ready = False
        self._monitor = Monitor(role.settings, now_ns(), role.pipeline.status().epoch)
        self._replica = Replica(role.pipeline, role.plan.log)
        self._line: socket.socket | None = None
        self._unfit: str | None = None
        self._refusal = ""
        self._heard_ns = 0
        self._looked_ns = 0
        self._tried_s = 0.0
        self._keeper: Keeper | None = None

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
        self._do(monitor.tick(now_ns()))
        if (
            not self._said_ready
            and self._line is not None
            and status.heard_ns
            and status.applied >= status.primary_tail
        ):
            self._said_ready = True
            self._ready()

    def _do(self, actions: Sequence[Action]) -> None:
        for action in actions:
            if isinstance(action, Alert):
                self._role.alerts.raise_(action.code, action.text, epoch=self._monitor.epoch)
            elif isinstance(action, TakeEpoch):
                self._do(self._take_epoch(action))
            elif isinstance(action, Promote):
                self._do(self._promote(action))

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

    # --- taking over ---

    def _promote(self, action: Promote) -> Sequence[Action]:
        try:
            self._take_over(action)
        except (PipelineError, OSError) as error:
            return self._monitor.promotion_refused(now_ns(), str(error))
        return self._monitor.promoted()

    def _take_over(self, action: Promote) -> None:
        role, began = self._role, now_ns()
        if self._line is not None:
            self._line.close()
            self._line = None
        old = self._old_primary(action)
        memory = self._memory_of(old, action.epoch) if old else None
        try:
            taken, missing = self._take_gap(old, memory)
            generation = memory.status().generation if memory else 0
        finally:
            if memory:
                memory.close()
        if old and not (Path(old.data_dir) / "sessions").is_dir() and not missing:
            raise PipelineError(
                f"the session numbers of {old.name} are not to be had: {old.data_dir} cannot be reached"
            )
        keeper = role.keeper(action.epoch)
        role.pipeline.set_lease(0)
        role.pipeline.set_epoch(action.epoch)
        if not keeper.renew():
            role.pipeline.set_lease(NO_LEASE)
            raise PipelineError(
                "no lease for the new epoch: the shared storage is unreadable, or another member is primary"
            )
        succession = {
            "epoch": action.epoch, "old": old.name if old else None, "old_data": old.data_dir if old else None,
            "life": life(generation) if generation else 0, "gap_records": taken, "may_be_missing": missing,
        }  # fmt: skip
        _write(role.plan.data / "succession.json", succession)
        if role.config.durability == Durability.REPLICATED:
            role.pipeline.set_alone(True)
        role.pipeline.state = ExchangeState.RUNNING
        role.pipeline.role = Role.PRIMARY
        self._replica.close()
        self._keeper = keeper
        if missing:
            role.alerts.raise_("may-be-missing", missing)
        took_ms = (now_ns() - began) / 1e6
        role.alerts.raise_(
            "took-over",
            f"took over under epoch {action.epoch}: {taken} records of the gap, {took_ms:.0f} ms",
            gap=taken,
            ms=took_ms,
        )

    def _old_primary(self, action: Promote) -> Member | None:
        """Who held the last epoch that was at work."""
        name = self._role.cluster.epochs.holder(action.used)
        if name is None or name == self._role.config.member:
            return None  # then our own log has all that there is
        if (old := self._role.cluster.member(name)) is None:
            raise PipelineError(f"where {name}, the primary of epoch {action.used}, had its log is not known")
        return old

    def _memory_of(self, old: Member, epoch: int) -> Pipeline | None:
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
        memory.fence(epoch)
        return memory

    def _take_gap(self, old: Member | None, memory: Pipeline | None) -> tuple[int, str | None]:
        """(records taken, what may be missing). PipelineError: it cannot be taken, and must not be left out."""
        if old is None:
            return 0, None
        log = Path(old.data_dir) / "log"
        until = time.monotonic() + REACHABLE_S
        while not log.is_dir() and time.monotonic() < until:
            time.sleep(0.02)
        if log.is_dir():
            taken = self._replica.gap(memory, log)
            lost = memory is None and self._role.config.durability == Durability.ASYNC
            return (
                taken,
                "the old primary's memory is gone: what it acknowledged in its last 10 ms may be missing"
                if lost
                else None,
            )
        _, standby = self._role.cluster.in_step()
        mode = self._role.config.durability
        if mode == Durability.REPLICATED and standby == self._role.config.member:
            return 0, None
        if mode == Durability.ASYNC:
            return 0, f"the log of {old.name} cannot be reached: what this member had not received yet may be missing"
        raise PipelineError(
            f"the log of {old.name} in {log} cannot be reached, and this member may not have all that was acknowledged"
        )


def _write(path: Path, row: dict[str, Any]) -> None:
    draft = path.with_suffix(".new")
    with draft.open("w", encoding="utf-8") as out:
        json.dump(row, out)
        out.flush()
        os.fsync(out.fileno())
    os.replace(draft, path)
    sync_directory(path.parent)


def run_cluster(plan: Plan, ready: Callable[[], None]) -> int:
    """The role's body. 0: told to end; 4: fenced, or it cannot go on."""

    def say(text: str) -> None:
        sys.stderr.write(f"matchmark serve: {text}\n")
        sys.stderr.flush()

    role = ClusterRole(plan, say)
    signal.signal(signal.SIGTERM, role.stop)
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)  # what keeps the lease must not wait for those who trade
    role.run(ready)
    return 0 if role.over.is_set() else 4
