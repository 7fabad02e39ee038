"""A laboratory: an expendable instance of the target on a data folder of its own, to be killed, cut off from power and restarted.

The folder may lie on a disk that can fail (chaos/faults/disk.py); then a power cut drops what was not synced and wipes the
target's memory folder, unless the profile declares it battery-backed. The lab judges nothing: it knows what its clients have
sent and been told (`ledger`), and what is in the log (`read_log`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from matchmark.chaos.faults.disk import Disk
from matchmark.chaos.faults.disk_state import Keep
from matchmark.chaos.faults.power_cut import PowerCut
from matchmark.conformance.checks.audit_structure import AuditLog, read_log
from matchmark.conformance.fix.client import Endpoint
from matchmark.conformance.hooks import MARK, Instance, memory_folder, waited
from matchmark.conformance.lab_clients import BACK_IN_S, LabClients
from matchmark.conformance.targets.base import TargetUnavailable
from matchmark.conformance.targets.profile import Profile

TOKEN_TTL_S = 6 * 3600
LOG_FORMATS: Mapping[str, Callable[[Sequence[tuple[str, bytes]]], AuditLog]] = {"matchmark": read_log}
"""Readers of audit logs by the profile's [audit_log] format: from (file name, content) to the records and their faults."""


class LabBlocked(TargetUnavailable):
    """What was asked cannot be done on this machine or with this profile; the text says why and how to get it."""


class Lab(LabClients):
    """Nothing runs until `start`. A context manager; `close` leaves no process, no memory and no file behind."""

    def __init__(
        self,
        profile: Profile,
        folder: Path,
        disk: Disk | None = None,
        hook: str = "lab_start",
        data: Path | None = None,
        memory: Path | None = None,
        more: Mapping[str, str] | None = None,
    ) -> None:
        """`hook` starts it where the profile has that one, else `start`. `data`: its folder, where that is neither below
        `folder` nor on the disk; `memory`: its shared memory, where that is somebody else's to make and remove. `more`: further
        placeholders of the hooks."""
        if "start" not in profile.tables.get("hooks", {}):
            raise LabBlocked("the profile has no [hooks] start: nothing can be started and killed")
        super().__init__(profile)
        self.disk = disk
        self.audit = profile.tables.get("audit_log", {})
        self.folder = data or (disk.folder if disk else folder) / "data"
        self.memory = memory or memory_folder("matchmark-lab-", folder)
        self._said = folder
        folder.mkdir(parents=True, exist_ok=True)
        places = {
            "profile": str(profile.folder),
            "folder": str(self.folder),
            "disk": str(self.folder.parent),
            "memory": str(self.memory),
            **(more or {}),
        }
        hooks = profile.tables["hooks"]
        self.instance = Instance(hooks, places, folder, hook if hook in hooks else "start")
        self._guard = subprocess.Popen(
            [sys.executable, "-m", "matchmark.conformance.lab_guard", f"{MARK}={self.instance.mark}", str(self.memory)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Kills what runs, and removes data and memory; harmless when closed."""
        for _, client in self.clients:
            client.close()
        try:
            if self.disk is not None:
                with contextlib.suppress(RuntimeError):
                    self.disk.heal()  # else a process that waits for the disk could not end
            self.instance.kill_all()
        finally:
            shutil.rmtree(self.memory, ignore_errors=True)
            shutil.rmtree(self.folder, ignore_errors=True)
            if self._guard.stdin is not None:
                self._guard.stdin.close()
            self._guard.wait()

    # --- the exchange ---

    def start(self, *more: str, env: Mapping[str, str] | None = None, before: Sequence[str] = ()) -> dict[str, Any]:
        """Starts it on its folder; the readiness line. StartRefused when it would not (hooks.py)."""
        if not self.folder.is_dir():
            self.folder.mkdir(parents=True)
            _sync(self.folder.parent)  # the folder is the kit's: that it outlives a power cut is the kit's to see to
        return self.instance.start(more, env, before)

    restart = start

    @property
    def ready(self) -> dict[str, Any]:
        return self.instance.ready

    def status(self) -> dict[str, Any]:
        return self.instance.status()

    def stop(self) -> int | None:
        """Its exit status after a stop as its user would do it."""
        self.close_clients()
        return self.instance.stop()

    def kill(self, role: str) -> int:
        """kill -9 of a role, or of "all". The process id that the role had, 0 for all."""
        if role != "all":
            return self.instance.kill(role)
        self.instance.kill_all()
        self.drain()
        return 0

    def wait_role(self, role: str, not_pid: int, timeout_s: float = BACK_IN_S) -> bool:
        """Whether the role has another process in time: its supervisor has started it again."""
        return waited(lambda: self.status().get("pids", {}).get(role, 0) not in (0, not_pid), timeout_s, 0.02)

    @property
    def battery_backed(self) -> bool:
        return bool(self.audit.get("battery_backed", False))

    def power_cut(self, keep: Keep = Keep.NOTHING, seed: str = "0") -> int:
        """Everything stops at once; the moment, ns of CLOCK_MONOTONIC. What the clients had been told by then has been read."""
        if self.disk is None:
            raise LabBlocked(
                "a power cut needs the folder on a disk that can lose what was not synced: start the lab on one"
            )
        wiped = () if self.battery_backed else (self.memory,)
        cut = PowerCut(self.disk, self.instance.processes, self.instance.kill_all, wiped, keep, seed)
        try:
            cut.inject()
            cut_ns = cut.cut_ns
        finally:
            self.disk.heal()  # what ailed the disk is over with it
            cut.heal()
        self.drain()
        self.forget_numbers()
        return cut_ns

    def wipe_memory(self) -> None:
        """What a loss of power does to memory, for a lab without a disk; nothing must run."""
        shutil.rmtree(self.memory, ignore_errors=True)
        self.memory.mkdir()

    # --- the log ---

    @property
    def log_dir(self) -> Path:
        named = self.audit.get("dir") or self.ready.get("audit_dir")
        if not named:
            raise LabBlocked("neither [audit_log] dir nor the readiness line (audit_dir) says where the log is")
        return Path(str(named).replace("{folder}", str(self.folder)))

    def log_files(self) -> list[tuple[str, bytes]]:
        return [(path.name, path.read_bytes()) for path in sorted(self.log_dir.iterdir()) if path.is_file()]

    def read_log(self) -> AuditLog:
        return LOG_FORMATS[self.audit.get("format", "matchmark")](self.log_files())

    def wait_logged(self, texts: set[str], timeout_s: float = BACK_IN_S) -> bool:
        """Whether these ClOrdIDs are in the log in time, with no further order."""
        wanted = {text.encode() for text in texts}
        return waited(lambda: wanted <= set(self.read_log().records["text"].tolist()), timeout_s, 0.05)

    # --- how it is reached ---

    def endpoint(self) -> Endpoint:
        said = {
            **self.ready.get("fix", {}),
            **{k: self.entry[k] for k in ("host", "port", "target_comp_id") if k in self.entry},
        }
        return Endpoint(
            said["host"], int(said["port"]), self.entry.get("begin_string", "FIX.4.4"), said["target_comp_id"],
            self.entry.get("heartbeat_s", 30),
            {int(tag): value.replace("{token}", "${TOKEN}") for tag, value in self.entry.get("logon_fields", {}).items()},
            self.entry.get("order_fields", {}), self.entry.get("reset_on_logon", False),
        )  # fmt: skip

    def new_token(self, account: str) -> str | None:
        has = "token" in self.profile.tables["hooks"]
        return self.instance.token(account, TOKEN_TTL_S) if has else None


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
