"""A primary's work for its standbys: takes them in, sends them its records, and says whose word counts in mode replicated."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from matchmark.native.pipeline import PipelineError, now_ns
from matchmark.native.pipeline_records import Durability, ExchangeState
from matchmark.native.replication import PEERS_MAX, Sender, hash_at
from matchmark.reference.cluster import link
from matchmark.reference.cluster.lag import Lag
from matchmark.reference.control.replication import Go, Primary, ProtocolError, Refused
from matchmark.reference.control.switchover import PrimarySwitch, State, Step

if TYPE_CHECKING:
    from matchmark.reference.cluster.member import ClusterRole, Keeper

IN_STEP_RECORDS = 4096
"""A standby this near to the end is in step: from then on acknowledgements in mode replicated wait for it."""
QUIET_LOOKS = 4
"""At least 20 ms apart: by then the gateway has sent what it had to send."""


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
        self._switch = PrimarySwitch(2 * role.settings.drain_ns)
        self._quiet_looks = 0
        self._lag = Lag(stages, lambda alert: role.alerts.raise_(alert.code, alert.text))

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
            self._switchover(keeper)
        if self._failed:
            raise self._failed

    def _switchover(self, keeper: Keeper) -> None:
        """A standby's monitor may ask for the primary's place."""
        switch, pipeline = self._switch, self._role.pipeline
        peer = self._sender.peer(self._in_step) if self._in_step is not None else None
        steps: list[Step] = []
        if peer is not None and peer.drain:
            steps += switch.drain(now_ns()) if switch.state is State.TRADING else []
        elif switch.state is not State.TRADING:
            steps += switch.undrain()
        if switch.state is State.DRAINING and peer is not None:
            now = pipeline.status()
            quiet = not now.orders_waiting and now.sequence == now.durable_sequence == peer.applied
            self._quiet_looks = self._quiet_looks + 1 if quiet else 0
            if self._quiet_looks >= QUIET_LOOKS:
                steps += switch.idle(now.sequence)
        for step in [*steps, *(switch.tick(now_ns()) if switch.state is not State.TRADING else [])]:
            self._carry_out(step, keeper)

    def _carry_out(self, step: Step, keeper: Keeper) -> None:
        if step is Step.STOP_ORDERS:
            self._quiet_looks = 0
            self._role.pipeline.state = ExchangeState.STARTING
            self._role.alerts.raise_("draining", "a switchover was asked for: no more orders are taken")
        elif step is Step.RELEASE_LEASE:
            keeper.give_up()
        elif step is Step.SAY_DRAINED:
            self._sender.drained(self._switch.sequence)
        elif step is Step.TAKE_LEASE_BACK:
            self._sender.drained(None)
            keeper.take_back()
        elif step is Step.TAKE_ORDERS:
            self._role.pipeline.state = ExchangeState.RUNNING
            self._role.alerts.raise_("trading-on", "the switchover was called off: orders are taken again")

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
        self._show(tail)

    def _show(self, tail: int) -> None:
        board = self._role.plan.board
        if self._in_step is None:
            board.set_replication(0, 0, 0, 0)
            return
        peer = self._sender.peer(self._in_step)
        self._lag.look(now_ns() - peer.heard_ns if peer.applied < tail else 0)
        board.set_replication(1, peer.applied, self._lag.p99_ns, peer.round_trip_ns)

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
        pipeline = self._role.pipeline
        while pipeline.durable_sequence < pipeline.status().replicated_sequence and not self._role.over.is_set():
            time.sleep(0.001)  # what the lost standby had is on this disk, too, before the disk alone counts
        pipeline.set_alone(True)
