"""An engine that is started by the profile's [hooks] on a data folder of its own, and stopped with nothing left behind.

The engine runs in the foreground of its `start` command; what it prints goes to files, so that it never waits for a reader.
It ends with the kit: on close, on Ctrl-C, and also when the kit itself is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matchmark.conformance.targets.base import TargetUnavailable

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
POLL_S = 0.01
SHARED_MEMORY = Path("/dev/shm")
_PR_SET_PDEATHSIG = 1


class HookFailed(TargetUnavailable):
    """A hook did not do its work; the text says which, how it ended and what it said."""


class StartedEngine:
    """One engine and its folder. `ready` is its readiness line, empty when the profile names host and port instead."""

    def __init__(self, hooks: Mapping[str, Any], profile_folder: Path, address: tuple[str, int] | None = None) -> None:
        self._hooks = hooks
        self._address = address
        self._base = Path(tempfile.mkdtemp(prefix="matchmark-engine-"))
        memory_parent = SHARED_MEMORY if SHARED_MEMORY.is_dir() else self._base
        self.memory = Path(tempfile.mkdtemp(prefix="matchmark-engine-", dir=memory_parent))
        self.folder = self._base / "data"
        self._places = {
            "python": sys.executable,
            "profile": str(profile_folder),
            "folder": str(self.folder),
            "memory": str(self.memory),
            "disk": str(self._base),
        }
        self._env = {**os.environ, **{name: str(value) for name, value in hooks.get("env", {}).items()}}
        self.process: subprocess.Popen[bytes] | None = None
        self.ready: dict[str, Any] = {}

    def start(self) -> dict[str, Any]:
        """The readiness line. HookFailed when it did not come in time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        port = self._address[1] if self._address else free_port()
        words = fill(self._hooks["start"], {**self._places, "port": str(port)})
        with self._said("stdout").open("wb") as out, self._said("stderr").open("ab") as err:
            try:
                self.process = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    env=self._env,
                    start_new_session=True,
                    preexec_fn=_ends_with(os.getpid()),
                )
            except OSError as error:
                raise HookFailed(f"[hooks] start: cannot start {words[0]!r}: {error.strerror or error}") from None
        self._wait_ready()
        return self.ready

    def _wait_ready(self) -> None:
        timeout_s = float(self._hooks.get("ready_timeout_s", READY_TIMEOUT_S))
        until = time.monotonic() + timeout_s
        assert self.process is not None
        while time.monotonic() < until:
            if (line := self._readiness()) is not None:
                self.ready = line
                return
            if self.process.poll() is not None:
                raise HookFailed(
                    f"[hooks] start: it ended with exit status {self.process.returncode}{self.last_words()}"
                )
            if self._address is not None and _listens(self._address):
                return
            time.sleep(POLL_S)
        raise HookFailed(f"[hooks] start: not ready within {timeout_s:g} s (ready_timeout_s){self.last_words()}")

    def _readiness(self) -> dict[str, Any] | None:
        for line in self._said("stdout").read_bytes().splitlines(keepends=True):
            if line.startswith(b"{") and line.endswith(b"\n"):
                with contextlib.suppress(ValueError):
                    said = json.loads(line)
                    if said.get("ready") is True:
                        return dict(said)
        return None

    def _said(self, stream: str) -> Path:
        return self._base / stream

    def last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = self._said("stderr").read_text(errors="replace").strip().splitlines()
            if lines:
                return "; it said: " + " | ".join(lines[-5:])
        return ""

    @property
    def died(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def output(self) -> str:
        """All that the engine has printed so far."""
        return "".join(self._said(name).read_text(errors="replace") for name in ("stdout", "stderr"))

    def token(self, account: str, ttl_s: int, role: str) -> str:
        """What the `token` hook prints for the account."""
        return run_hook("token", self._hooks, {**self._places, "account": account, "ttl": str(ttl_s), "role": role})

    def stop(self) -> int | None:
        """Ends the engine as its user would; its exit status, None when there was none to end. The folder stays."""
        process, self.process = self.process, None
        if process is None:
            return None
        if process.poll() is None:
            if "stop" in self._hooks:
                with contextlib.suppress(HookFailed):
                    run_hook("stop", self._hooks, {**self._places, "pid": str(process.pid)})
            else:
                process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_S)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # its session: what it started and left behind goes too
        return process.wait()

    def close(self) -> None:
        """Stops it and removes its folder and its shared memory."""
        try:
            self.stop()
        finally:
            shutil.rmtree(self._base, ignore_errors=True)
            shutil.rmtree(self.memory, ignore_errors=True)


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


def _listens(address: tuple[str, int]) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=1):
        return True
    return False


def _ends_with(parent: int) -> Callable[[], None]:
    """Runs in the child: SIGTERM when the process `parent` ends, however it does."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def arrange() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    return arrange
