"""The profile's [hooks]: an instance of the target as processes, started by them, killed by role or whole, found again wherever
it went; and one on folders of its own, stopped with nothing left behind.

Every process of it carries a mark in its environment, so that none is missed that went into the background or was started by
another. The exchange's own words about itself (readiness line, status page) are only used to find roles.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matchmark.conformance.services import KAFKA
from matchmark.conformance.targets.base import TargetUnavailable

MARK = "MATCHMARK_LAB"
READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
KILL_TIMEOUT_S = 15.0
POLL_S = 0.005
MEMORY = "MATCHMARK_MEMORY"
"""Environment variable: where a run of the kit keeps what is its own in shared memory, and removes it in the end."""
SHARED_MEMORY = Path("/dev/shm")
_PR_SET_PDEATHSIG = 1


class HookFailed(TargetUnavailable):
    """A hook did not do its work; the text says which, how it ended and what it said."""


class StartRefused(HookFailed):
    """The target ended instead of becoming ready: its exit status and what it said (stderr)."""

    def __init__(self, exit_status: int, said: str) -> None:
        super().__init__(
            f"[hooks] start: it ended with exit status {exit_status}; it said: {said.strip()[-1000:] or 'nothing'}"
        )
        self.exit_status, self.said = exit_status, said


class Instance:
    """`places` are the values of the placeholders but {port}; stdout and stderr of the target go to files in `said`, so that it
    never waits for a reader. `hook` starts it. With an `address` it is ready when somebody listens there, too; `with_kit`: it is
    told to end when the kit ends, also when that is killed.
    """

    def __init__(
        self,
        hooks: Mapping[str, Any],
        places: Mapping[str, str],
        said: Path,
        hook: str = "start",
        address: tuple[str, int] | None = None,
        with_kit: bool = False,
    ) -> None:
        self.hook, self._address, self._with_kit = hook, address, with_kit
        self.hooks, self.places = hooks, {"python": sys.executable, **places}
        self.out, self.err = said / "stdout", said / "stderr"
        self.mark = secrets.token_hex(8)
        self.process: subprocess.Popen[bytes] | None = None
        self.ready: dict[str, Any] = {}

    # --- life ---

    def start(
        self, more: Sequence[str] = (), env: Mapping[str, str] | None = None, before: Sequence[str] = ()
    ) -> dict[str, Any]:
        """The readiness line. `before` and `more` are words put round the command, `env` goes over the environment.

        StartRefused when it ended instead, HookFailed when it did neither in time; then nothing of it runs.
        """
        try:
            began = self.launch(more, env, before)
            self.ready = self._wait_ready(began)
        except BaseException:
            self.kill_all()
            raise
        return self.ready

    def launch(self, more: Sequence[str] = (), env: Mapping[str, str] | None = None, before: Sequence[str] = ()) -> int:
        """Starts it and waits for nothing; where in its stderr file it begins."""
        port = self._address[1] if self._address else free_port()
        places = {**self.places, "port": str(port), "kafka": os.environ.get(KAFKA, ""), "instance": self._name()}
        words = [*before, *fill(self.hooks[self.hook], places), *more]
        environment = {**os.environ, **_strings(self.hooks.get("env", {})), **(env or {}), MARK: self.mark}
        with self.out.open("wb") as out, self.err.open("ab") as err:
            began = err.tell()
            try:
                self.process = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    env=environment,
                    start_new_session=True,
                    preexec_fn=ends_with(os.getpid()) if self._with_kit else None,
                )
            except OSError as error:
                raise HookFailed(f"[hooks] start: cannot start {words[0]!r}: {error.strerror or error}") from None
        return began

    def _name(self) -> str:
        """A word for the instance on this folder, the same whenever it is started; a cluster's members have it in common."""
        folder = self.places.get("shared") or self.places.get("folder", "")
        return hashlib.sha256(folder.encode()).hexdigest()[:16]

    def _wait_ready(self, began: int) -> dict[str, Any]:
        timeout_s = float(self.hooks.get("ready_timeout_s", READY_TIMEOUT_S))
        until = time.monotonic() + timeout_s
        assert self.process is not None
        while time.monotonic() < until:
            if line := readiness(self.out.read_bytes()):
                return line
            if self.process.poll() is not None:
                raise StartRefused(self.process.returncode, self.err.read_bytes()[began:].decode(errors="replace"))
            if self._address is not None and _listens(self._address):
                return {}
            time.sleep(POLL_S)
        raise HookFailed(f"[hooks] start: not ready within {timeout_s:g} s (ready_timeout_s){self.last_words()}")

    def last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = self.err.read_text(errors="replace").strip().splitlines()
            if lines:
                return "; it said: " + " | ".join(lines[-5:])
        return ""

    def stop(self) -> int | None:
        """Ends it as its user would: its exit status, None when it did not run. What does not end in time is killed."""
        process = self.process
        if process is None:
            self.kill_all()  # a signal to the kit can come between the start and the note of it
            return None
        if process.poll() is None:
            if "stop" in self.hooks:
                run_hook("stop", self.hooks, {**self.places, "pid": str(process.pid)})
            else:
                process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_S)
        self.kill_all()
        return process.returncode

    # --- killing ---

    def processes(self) -> list[int]:
        """Every process of this instance, the one that was started first."""
        found = [pid for pid, environment in _environments() if f"{MARK}={self.mark}".encode() in environment]
        first = self.process.pid if self.process else 0
        return sorted(found, key=lambda pid: (pid != first, pid))

    def kill_all(self) -> None:
        """kill -9 of everything, until nothing is left. HookFailed when something does not go."""
        if self.process is not None and "kill" in self.hooks and self.process.poll() is None:
            run_hook("kill", self.hooks, {**self.places, "role": "all", "pid": str(self.process.pid)})
        until = time.monotonic() + KILL_TIMEOUT_S
        while pids := self.processes():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            if self.process is not None:
                self.process.poll()
            if time.monotonic() > until:
                raise HookFailed(f"processes {pids} of the target did not end on kill -9 within {KILL_TIMEOUT_S:g} s")
            time.sleep(POLL_S)
        if self.process is not None:
            self.process.wait()
        self.process = None

    def kill(self, role: str) -> int:
        """kill -9 of a role; the process id that it had."""
        pid = self.pid_of(role)
        if "kill" in self.hooks:
            run_hook("kill", self.hooks, {**self.places, "role": role, "pid": str(pid)})
        else:
            os.kill(pid, signal.SIGKILL)
        return pid

    def pid_of(self, role: str, timeout_s: float = KILL_TIMEOUT_S) -> int:
        """The process of a role that runs now, or as soon as its supervisor has started it again."""
        pids: Mapping[str, Any] = {}

        def found() -> bool:
            nonlocal pids
            pids = self.status().get("pids", self.ready.get("pids", {}))
            return int(pids.get(role, 0)) > 0

        if not waited(found, timeout_s):
            raise HookFailed(
                f"neither the readiness line nor the status page says which process is the {role}: {dict(pids)}"
            )
        return int(pids[role])

    # --- looking ---

    def status(self) -> dict[str, Any]:
        """What its status page says now; {} when it has none or does not answer."""
        url = self.ready.get("admin")
        if not url:
            return {}
        try:
            with urllib.request.urlopen(f"{url}/status", timeout=10) as answer:
                return dict(json.load(answer))
        except (OSError, urllib.error.URLError, ValueError):
            return {}

    @property
    def ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def token(self, account: str, ttl_s: int, role: str = "trader") -> str:
        """What the hook prints; the keys of a cluster are in its shared folder."""
        folder = self.places.get("shared", self.places["folder"])
        places = {**self.places, "folder": folder, "account": account, "ttl": str(ttl_s), "role": role}
        return run_hook("token", self.hooks, places)


class StartedEngine:
    """One engine by the `start` hook, with folders of its own, for a run without faults. `ready` is its readiness line, empty
    when the profile names host and port instead."""

    def __init__(self, hooks: Mapping[str, Any], profile_folder: Path, address: tuple[str, int] | None = None) -> None:
        self._base = Path(tempfile.mkdtemp(prefix="matchmark-engine-"))
        self.memory = memory_folder("matchmark-engine-", self._base)
        self.folder = self._base / "data"
        places = {
            "profile": str(profile_folder),
            "folder": str(self.folder),
            "memory": str(self.memory),
            "disk": str(self._base),
        }
        self.instance = Instance(hooks, places, self._base, address=address, with_kit=True)

    @property
    def ready(self) -> dict[str, Any]:
        return self.instance.ready

    def start(self) -> dict[str, Any]:
        """The readiness line. HookFailed when it did not come in time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.instance.start()

    def last_words(self) -> str:
        return self.instance.last_words()

    @property
    def died(self) -> bool:
        return self.instance.process is not None and self.instance.ended

    def output(self) -> str:
        """All that the engine has printed so far."""
        return "".join(path.read_text(errors="replace") for path in (self.instance.out, self.instance.err))

    def token(self, account: str, ttl_s: int, role: str) -> str:
        """What the `token` hook prints for the account."""
        return self.instance.token(account, ttl_s, role)

    def close(self) -> None:
        """Stops it as its user would, and removes its folder and its shared memory."""
        try:
            with contextlib.suppress(HookFailed):
                self.instance.stop()
        finally:
            shutil.rmtree(self._base, ignore_errors=True)
            shutil.rmtree(self.memory, ignore_errors=True)


def memory_folder(prefix: str, otherwise: Path) -> Path:
    """A new folder in shared memory, in the run's own part of it if there is one; below `otherwise` where there is none."""
    parent = Path(os.environ.get(MEMORY) or SHARED_MEMORY)
    return Path(tempfile.mkdtemp(prefix=prefix, dir=parent if parent.is_dir() else otherwise))


def fill(words: Sequence[str], places: Mapping[str, str]) -> list[str]:
    """The words with each {name} of `places` replaced."""
    filled = []
    for word in words:
        for name, value in places.items():
            word = word.replace("{" + name + "}", value)
        filled.append(word)
    return filled


def run_hook(name: str, hooks: Mapping[str, Any], places: Mapping[str, str], timeout_s: float = 60.0) -> str:
    """Runs a hook to its end; what it printed, stripped. HookFailed without its output, which may be secret."""
    words = fill(hooks[name], {"python": sys.executable, **places})
    env = {**os.environ, **{key: str(value) for key, value in hooks.get("env", {}).items()}}
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=timeout_s, env=env, stdin=subprocess.DEVNULL
        )
    except OSError as error:
        raise HookFailed(f"[hooks] {name}: cannot start {words[0]!r}: {error.strerror or error}") from None
    except subprocess.TimeoutExpired:
        raise HookFailed(f"[hooks] {name}: not finished within {timeout_s:g} s") from None
    if done.returncode != 0:
        said = " | ".join(done.stderr.strip().splitlines()[-5:])
        raise HookFailed(f"[hooks] {name}: exit status {done.returncode}" + (f"; it said: {said}" if said else ""))
    return done.stdout.strip()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def readiness(printed: bytes) -> dict[str, Any]:
    """The readiness line in what was printed so far; {} when it is not there yet."""
    for line in printed.splitlines(keepends=True):
        if line.startswith(b"{") and line.endswith(b"\n"):
            with contextlib.suppress(ValueError):
                said = json.loads(line)
                if said.get("ready") is True:
                    return dict(said)
    return {}


def waited(true: Callable[[], bool], timeout_s: float, poll_s: float = POLL_S) -> bool:
    """Whether it came true in time."""
    until = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(poll_s)
    return True


def _environments() -> Iterator[tuple[int, bytes]]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as environ:
                yield int(name), environ.read()


def _strings(table: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in table.items()}


def _listens(address: tuple[str, int]) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=1):
        return True
    return False


def ends_with(parent: int) -> Callable[[], None]:
    """Runs in the child: SIGTERM when the process `parent` ends, however it does."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def arrange() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    return arrange
