"""A primary and its standby as a target: whoever is killed, paused or loses its power is followed by the other, and comes back as
a standby.

Members are started by the hooks `cluster_start` and `standby_start`. Their shared folder is the kit's and outlives everything: it
is the storage that both machines reach. A member's disk does so too where its machine loses its power: it can be read again at
once, as another machine would mount it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from matchmark.chaos.evidence import Injected
from matchmark.chaos.faults.fault import injected
from matchmark.chaos.faults.kill import Kill
from matchmark.chaos.faults.machine import Machine
from matchmark.chaos.faults.partition import Partition, PartitionFailed
from matchmark.chaos.faults.pause import Pause
from matchmark.chaos.schedule import Step
from matchmark.chaos.target import ASYNC_WINDOW_NS, DRAIN_S
from matchmark.conformance.checks import audit_format as f
from matchmark.conformance.checks.audit_structure import AuditLog
from matchmark.conformance.fix.client import FixClient
from matchmark.conformance.fix.message import FixError
from matchmark.conformance.hooks import HookFailed, waited
from matchmark.conformance.lab import Lab
from matchmark.conformance.lab_load import Flow
from matchmark.conformance.targets.profile import Profile
from matchmark.load.fix_load import FixLoad

NAMES = ("a", "b")
TAKEN_OVER_S = 30.0
WAKES_S = 0.5
"""So long a zombie has to say something that it must not."""
TRADES_ON_S = 0.3
LESS = 20
ENDS_S = 5.0
"""So long it has to end by itself; then it is ended."""


class PairOfMembers:
    """`storage` is "plain", or "l1-xfs", "l1-ext4": each member on a machine of its own. `heartbeat_s` is the timeout too."""

    others = b""

    def __init__(self, profile: Profile, folder: Path, storage: str, heartbeat_s: float = 1.0) -> None:
        self.profile, self.shared = profile, folder / "shared"
        self.shared.mkdir(parents=True)
        self.machines: dict[str, Machine] = {}
        self.members: dict[str, Lab] = {}
        try:
            for name in NAMES:
                self.members[name] = self._member(name, folder / name, storage, heartbeat_s)
        except BaseException:
            self.close()
            raise
        self.primary = NAMES[0]
        self._witnesses = 0
        self._left_out = ""
        """A member that did what nobody may do, and cannot follow any more."""

    def _member(self, name: str, folder: Path, storage: str, heartbeat_s: float) -> Lab:
        more = {"member": name, "shared": str(self.shared), "heartbeat_s": f"{heartbeat_s:g}"}
        if not storage.startswith("l1-"):
            return Lab(self.profile, folder, hook="cluster_start", more=more)
        machine = self.machines[name] = Machine(storage.removeprefix("l1-"))
        data = machine.folder / "data"
        return Lab(self.profile, folder, hook="cluster_start", data=data, memory=machine.memory, more=more)

    @property
    def lab(self) -> Lab:
        """Of the primary: what is asked of one is asked of it."""
        return self.members[self.primary]

    @property
    def standby(self) -> str:
        return next(name for name in NAMES if name != self.primary)

    def start(self) -> None:
        self._start(self.primary, "cluster_start")
        self._start(self.standby, "standby_start")

    def _start(self, name: str, hook: str) -> None:
        lab = self.members[name]
        lab.instance.hook = hook
        lab.start(before=self.machines[name].words if name in self.machines else ())

    def addresses(self) -> list[tuple[str, int]]:
        """The primary's first; the standby does not listen."""
        endpoints = [self.members[name].endpoint() for name in (self.primary, self.standby)]
        return [(endpoint.host, endpoint.port) for endpoint in endpoints]

    # --- faults ---

    def strike(self, step: Step, load: FixLoad) -> Injected:
        faults: Mapping[str, Callable[[Step, FixLoad], Injected]] = {
            "failover": self._failover, "zombie": self._zombie, "cut": self._cut, "lonely": self._lonely,
            "partition": self._partition,
        }  # fmt: skip
        return faults[step.fault](step, load)

    def _failover(self, step: Step, load: FixLoad) -> Injected:
        """kill -9 of the whole primary."""
        pids = self.lab.instance.processes()
        Kill(lambda: pids).inject()
        at_ns = time.time_ns()
        self.lab.instance.kill_all()
        over_ns = time.time_ns()
        self._taken_over(load)
        return Injected("failover", self.standby, at_ns, over_ns, time.time_ns())

    def _cut(self, step: Step, load: FixLoad) -> Injected:
        """The primary's machine loses its power; its disk can be mounted again at once."""
        to_wall_ns = time.time_ns() - time.monotonic_ns()
        machine = self.machines[self.primary]
        at_ns = machine.cut() + to_wall_ns
        self.lab.instance.kill_all()
        machine.power_on()
        over_ns = time.time_ns()
        self._taken_over(load)
        window = ASYNC_WINDOW_NS + machine.stopping_ns if self.lab.audit.get("durability") == "async" else 0
        detail = f"everybody stood still within {machine.stopping_ns / 1e6:.1f} ms"
        return Injected("cut", self.standby, at_ns, over_ns, time.time_ns(), window, detail)

    def _zombie(self, step: Step, load: FixLoad) -> Injected:
        """The primary stands still for longer than its lease, another takes over, and it wakes up with an order in its ear."""
        witness = self._witness()
        pids = self.lab.instance.processes()
        pause = Pause(lambda: pids)
        pause.inject()
        at_ns = time.time_ns()
        try:
            with contextlib.suppress(FixError, OSError):
                witness.send(*Flow(self.lab, witness_account(self.lab), f"witness{self._witnesses}-", "witness").next())
            old = self._promoted()
            time.sleep(WAKES_S)
        finally:
            pause.heal()
        wrongs = self._heard(witness)
        waited(lambda: self.members[old].instance.ended, ENDS_S, 0.01)
        self.members[old].instance.kill_all()
        self._come_back(load)
        return Injected("zombie", old, at_ns, at_ns, time.time_ns(), wrongs=wrongs)

    def _lonely(self, step: Step, load: FixLoad) -> Injected:
        """The standby hears nothing for longer than it needs to call the primary dead, which goes on: nobody may take over."""
        standby, rate = self.members[self.standby], load.orders_per_s
        load.rate(rate // LESS)
        pids = standby.instance.processes()
        pause = Pause(lambda: pids)
        pause.inject()
        at_ns = time.time_ns()
        try:
            time.sleep(step.for_ms / 1000)
        finally:
            pause.heal()
        time.sleep(WAKES_S)
        load.rate(rate)
        wrongs = ("a standby that had stood still took over from a primary that was alive",) if self._is_primary(
            self.standby) else ()  # fmt: skip
        return Injected("lonely", self.standby, at_ns, at_ns, time.time_ns(), detail=f"{step.for_ms} ms", wrongs=wrongs)

    def _partition(self, step: Step, load: FixLoad) -> Injected:
        """One member's words to the other are lost, while both reach their shared storage. Whether the standby takes over is its
        own affair: if it does, the old primary must say nothing more, and if not, it must not do so later."""
        partition = Partition(self._line_port(), step.role)
        witness = self._witness()
        wrongs: tuple[str, ...] = ()
        at_ns = time.time_ns()
        with injected(partition):
            taken = waited(lambda: self._is_primary(self.standby), step.for_ms / 1000, 0.01)
            if taken:
                old, self.primary = self.primary, self.standby
                with contextlib.suppress(FixError, OSError):
                    flow = Flow(self.members[old], witness_account(self.lab), f"witness{self._witnesses}-", "witness")
                    witness.send(*flow.next())
                wrongs = self._heard(witness)
        if not partition.lost:
            raise PartitionFailed("the members said nothing to each other on their line: the partition parted nobody")
        detail = f"the {step.role} mute, {partition.lost} packets lost, "
        detail += "the standby took over" if taken else f"nobody took over in {step.for_ms} ms"
        if taken:
            waited(lambda: self.members[old].instance.ended, ENDS_S, 0.01)
            if self._is_primary(old):
                wrongs += (f"{old}, which had been replaced while it was not heard, still says that it is primary",)
            self.members[old].instance.kill_all()
            if wrongs:
                self._left_out = old  # its log is another than the new primary's
            else:
                self._come_back(load)
        else:
            witness.close()
            time.sleep(WAKES_S)
            if self._is_primary(self.standby):
                wrongs = ("a standby that hears its primary again took over from it",)
        return Injected("partition", self.standby, at_ns, at_ns, time.time_ns(), detail=detail, wrongs=wrongs)

    def _line_port(self) -> int:
        """Where the primary takes its standbys."""
        try:
            return int(self.lab.ready["replication"]["port"])
        except (KeyError, TypeError, ValueError):
            raise PartitionFailed(
                "the primary's readiness line does not say where it takes standbys: replication"
            ) from None

    def _witness(self) -> FixClient:
        """A session beside the load that stays with the old primary."""
        self._witnesses += 1
        return self.lab.client(witness_account(self.lab), 20 + self._witnesses)

    def _heard(self, witness: FixClient) -> tuple[str, ...]:
        """What a primary that has been replaced said to it."""
        before = len(witness.stream)
        until = time.monotonic() + WAKES_S
        with contextlib.suppress(FixError, OSError):
            while witness.connected and time.monotonic() < until:
                witness.poll(0.05)
        said = [
            line.message for line in witness.stream[before:] if not line.sent and line.message.get(35) in ("8", "9")
        ]
        witness.close()
        return tuple(
            f"a primary that had been replaced said 35={m.get(35)} 150={m.get(150)} of {m.get(11)}" for m in said
        )

    def _is_primary(self, name: str) -> bool:
        return bool(self.members[name].status().get("role") == "primary")

    def _promoted(self) -> str:
        """Waits for the standby to be primary; the name of the one that was."""
        old, new = self.primary, self.standby
        if not waited(lambda: self._is_primary(new), TAKEN_OVER_S, 0.01):
            raise HookFailed(f"nobody took over within {TAKEN_OVER_S:g} s{self.members[new].instance.last_words()}")
        self.primary = new
        return old

    def _taken_over(self, load: FixLoad) -> None:
        self._promoted()
        self._come_back(load)

    def _come_back(self, load: FixLoad) -> None:
        """Who was primary follows, once there is trading again; with less load, so that it need not catch up for long."""
        rate, since = load.orders_per_s, time.time_ns()
        waited(
            lambda: load.counts().up == len(load.sessions) and load.counts().last_told_ns > since, TAKEN_OVER_S, 0.01
        )
        time.sleep(TRADES_ON_S)
        load.rate(rate // LESS)
        self._start(self.standby, "standby_start")
        load.addresses(self.addresses())
        load.rate(rate)

    # --- the end ---

    def finish(self) -> list[str]:
        """The standby first: it must not take over at the end."""
        waited(self._all_on_disk, DRAIN_S, 0.02)
        wrongs = []
        for name in (self.standby, self.primary):
            if name == self._left_out:
                continue
            code = self.members[name].stop()
            if code != 0:
                words = self.members[name].instance.last_words()
                wrongs.append(f"member {name}, asked to stop, ended with exit status {code}{words}")
        return wrongs

    def _all_on_disk(self) -> bool:
        status = self.lab.status()
        return bool(status.get("durable_sequence") == status.get("sequence") and not status.get("orders_waiting"))

    def read_log(self) -> AuditLog:
        """The primary's; the other one's must be its beginning, or what is wrong with that is a fault."""
        return self.lab.read_log()

    def differs(self) -> list[str]:
        """At which record the members' logs part, if they do."""
        first, second = (_hashes(self.members[name].log_files()) for name in NAMES)
        n = min(len(first), len(second))
        apart = np.flatnonzero(first[:n] != second[:n])
        return [f"the members' logs differ from record {int(apart[0]) + 1} on"] if len(apart) else []

    def log_dir(self) -> Path:
        return self.lab.log_dir

    def close(self) -> None:
        try:
            for lab in self.members.values():
                lab.close()
        finally:
            for machine in self.machines.values():
                machine.close()


def _hashes(files: Sequence[tuple[str, bytes]]) -> npt.NDArray[np.uint64]:
    """The running hash of each record, by its place; the log as a whole is read elsewhere."""
    parts = []
    for _, content in sorted((name, content) for name, content in files if f.NAME.fullmatch(name)):
        count = (len(content) - f.HEADER_BYTES) // f.RECORD_BYTES
        words = np.frombuffer(content, "<u8", count * f.RECORD_BYTES // 8, f.HEADER_BYTES).reshape(count, -1)
        parts.append(words[words[:, 0] != 0, 1])
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint64)


def witness_account(lab: Lab) -> str:
    """One that the load does not use where there are so many."""
    return lab.accounts[-1]
