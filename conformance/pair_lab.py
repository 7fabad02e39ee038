"""A laboratory of several members: a primary and its standbys, each an expendable instance on a folder of its own, to be killed,
paused and started again, and clients that know all their addresses and nothing else.

Members are started by the hooks `cluster_start` (who founds the cluster, or was its primary) and `standby_start`. Their shared
folder stands for storage that both machines reach. The lab judges nothing.
"""

from __future__ import annotations

import contextlib
import fnmatch
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from matchmark.chaos.faults.pause import Pause
from matchmark.conformance.checks.audit_structure import AuditLog
from matchmark.conformance.fix.client import Endpoint
from matchmark.conformance.hooks import HookFailed, readiness, waited
from matchmark.conformance.lab import TOKEN_TTL_S, Lab, LabBlocked
from matchmark.conformance.lab_clients import DRAIN_S, LabClients
from matchmark.conformance.targets.profile import Profile

HEARTBEAT_S = 0.5
"""Interval and timeout: short enough for many failovers, and long enough for a machine that does other things as well."""
TAKEN_OVER_S = 30.0
QUIET_S = 20.0


class PairLab(LabClients):
    """Nothing runs until it is started. A context manager; `close` leaves no process, no memory and no file behind."""

    logon_s = 3.0

    def __init__(self, profile: Profile, folder: Path, names: Sequence[str], heartbeat_s: float = HEARTBEAT_S) -> None:
        super().__init__(profile)
        for hook in ("cluster_start", "standby_start"):
            if hook not in profile.tables.get("hooks", {}):
                raise LabBlocked(f"the profile has no [hooks] {hook}: no member of a cluster can be started")
        self.shared, self.heartbeat_s = folder / "shared", heartbeat_s
        self.shared.mkdir(parents=True)
        self.audit = profile.tables.get("audit_log", {})
        self.primary = names[0]
        """Who is primary, as far as the kit has looked."""
        self.members: dict[str, Lab] = {}
        self._known: dict[str, Endpoint] = {}
        self._turn = 0
        try:
            for name in names:
                more = {"member": name, "shared": str(self.shared), "heartbeat_s": f"{heartbeat_s:g}"}
                self.members[name] = Lab(profile, folder / name, hook="cluster_start", more=more)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> PairLab:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self.close_clients()
        for member in self.members.values():
            member.close()

    # --- members ---

    @property
    def durability(self) -> str:
        return str(self.audit.get("durability", "async"))

    @property
    def standby(self) -> str:
        return next(name for name in self.members if name != self.primary)

    def start(self) -> None:
        """The first member founds the cluster, the others follow it."""
        first, *others = self.members
        self.start_member(first)
        for name in others:
            self.start_member(name, standby=True)

    def start_member(self, name: str, standby: bool = False) -> dict[str, Any]:
        """Its readiness line: it is primary, or follows one. StartRefused when it would not."""
        lab = self.members[name]
        lab.instance.hook = "standby_start" if standby else "cluster_start"
        ready = lab.start()
        self._known[name] = lab.endpoint()
        return ready

    def launch_member(self, name: str, standby: bool = False) -> None:
        """Starts it and waits for nothing."""
        lab = self.members[name]
        lab.instance.hook = "standby_start" if standby else "cluster_start"
        lab.folder.mkdir(parents=True, exist_ok=True)
        lab.instance.launch()

    def said_ready(self, name: str) -> bool:
        """Whether a member that was launched has printed its readiness line by now."""
        lab = self.members[name]
        line = readiness(lab.instance.out.read_bytes())
        if line:
            lab.instance.ready = line
            self._known[name] = lab.endpoint()
        return bool(line)

    def runs(self, name: str) -> bool:
        return not self.members[name].instance.ended

    def status(self, name: str = "") -> dict[str, Any]:
        """What the member's status page says, of the primary if none is named; {} when it does not answer."""
        name = name or self.primary
        return self.members[name].status() if self.runs(name) else {}

    def role(self, name: str) -> str:
        return str(self.status(name).get("role", ""))

    def epoch(self) -> int:
        return int(self.status().get("epoch", 0))

    def took_over(self, name: str, timeout_s: float = TAKEN_OVER_S) -> bool:
        """Whether the member is primary in time; from then on it is `primary`."""
        if not waited(lambda: self.role(name) == "primary", timeout_s, 0.01):
            return False
        self.primary = name
        return True

    def alerts(self, name: str) -> list[dict[str, Any]]:
        """The operator's, as the status page has them."""
        return list(self.status(name).get("alerts", []))

    # --- faults ---

    def kill(self, name: str, wipe: bool = False) -> None:
        """kill -9 of all that it is. `wipe`: its memory is gone as well, as with its machine's power."""
        lab = self.members[name]
        port = self._port(name)
        lab.instance.kill_all()
        if wipe:
            lab.wipe_memory()
        self._drain(port)

    def lose_member(self, name: str) -> None:
        """Killed, and everything that it ever had is gone."""
        self.kill(name, wipe=True)
        shutil.rmtree(self.members[name].folder)

    def stop(self, name: str) -> int | None:
        return self.members[name].instance.stop()

    @contextlib.contextmanager
    def paused(self, name: str, role: str = "") -> Iterator[None]:
        """Its whole machine stands still, or one role of it."""
        instance = self.members[name].instance
        pids = [instance.pid_of(role)] if role else instance.processes()
        pause = Pause(lambda: pids)
        try:
            pause.inject()
            yield
        finally:
            pause.heal()

    def epoch_files(self) -> list[Path]:
        """Those that say who is primary; none when the profile does not name them."""
        patterns = self.profile.tables.get("cluster", {}).get("epoch_files", ())
        found = (path for path in sorted(self.shared.rglob("*")) if path.is_file())
        return [p for p in found if any(fnmatch.fnmatch(str(p.relative_to(self.shared)), one) for one in patterns)]

    def _port(self, name: str) -> int:
        return self._known[name].port if name in self._known else 0

    def _drain(self, port: int) -> None:
        """Reads what a dead member had still sent."""
        until = time.monotonic() + DRAIN_S
        with self.talking:
            for _, client in self.clients:
                while client.connected and client.endpoint.port == port and time.monotonic() < until:
                    client.poll(0.05)

    # --- what clients and readers see ---

    def endpoint(self) -> Endpoint:
        """The members' in turn, as a client tries them that knows nothing but FIX and these addresses."""
        known = list(self._known.values())
        self._turn += 1
        return known[self._turn % len(known)]

    def endpoint_of(self, name: str) -> Endpoint:
        return self.members[name].endpoint()

    def new_token(self, account: str) -> str | None:
        if "token" not in self.profile.tables["hooks"]:
            return None
        return self.members[self.primary].instance.token(account, TOKEN_TTL_S)

    def read_log(self, name: str = "") -> AuditLog:
        return self.members[name or self.primary].read_log()

    def log_size(self, name: str) -> int:
        return len(self.read_log(name).records)

    def quiet(self) -> bool:
        """Whether, with no more orders, everything decided gets to every running member's log."""

        def same() -> bool:
            ends = {
                status.get("sequence") for name in self.members if self.runs(name) and (status := self.status(name))
            }
            at = self.status()
            return len(ends) == 1 and at.get("durable_sequence") == at.get("sequence") and not at.get("orders_waiting")

        return waited(same, QUIET_S, 0.02)

    def nearly_caught_up(self, name: str, records: int = 500) -> bool:
        """Whether this member comes within so many records of the primary, under load."""

        def near() -> bool:
            mine, its = self.status(name).get("sequence"), self.status().get("sequence")
            return mine is not None and its is not None and int(its) - int(mine) <= records

        return waited(near, QUIET_S, 0.02)

    def end(self) -> dict[str, int | None]:
        """Stops everybody as a user would, standbys first so that none takes over; the exit statuses."""
        self.close_clients()
        running = [name for name in self.members if self.runs(name)]
        return {name: self.stop(name) for name in sorted(running, key=lambda name: name == self.primary)}

    def must_take_over(self, name: str) -> None:
        """For scenes that are about something else. HookFailed when it does not."""
        if not self.took_over(name):
            raise HookFailed(
                f"{name} did not take over within {TAKEN_OVER_S:g} s{self.members[name].instance.last_words()}"
            )
