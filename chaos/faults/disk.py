"""A folder on a disk that can fail, for a target to keep its files in.

It is a FUSE file system in a process of its own (disk_server.py): no privileges beyond those of mounting one. What is on it is in
that process's memory and goes when the disk is closed. See docs/durability.md for what it does and does not imitate.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from matchmark.chaos.faults.disk_rules import Call
from matchmark.chaos.faults.disk_state import Keep
from matchmark.chaos.faults.mounting import cannot_mount, unmount

CAPACITY_BYTES = 8 << 30
"""More than any suite writes; a full disk is made by `fill`."""
CLOSE_PATIENCE_S = 20.0


class DiskFailed(RuntimeError):
    """The disk did not do what the kit told it: the kit's or the machine's fault, never the target's."""


class Disk:
    """Mounted when it is made; a context manager. `folder` is where the target's files go.

    `under` everywhere is a folder of the disk, "/" for all of it: so a fault can hit a target's log alone.
    """

    def __init__(self, capacity_bytes: int = CAPACITY_BYTES) -> None:
        if reason := cannot_mount():
            raise DiskFailed(reason)
        self.folder = Path(tempfile.mkdtemp(prefix="matchmark-disk-"))
        self._lock = threading.Lock()
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the disk
        self._process = subprocess.Popen(
            [sys.executable, "-m", "matchmark.chaos.faults.disk_server", str(self.folder), str(capacity_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            start_new_session=True,
        )
        atexit.register(self.close)
        try:
            self.mount()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Disk:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Takes it down, with all that is on it; harmless when it is closed."""
        atexit.unregister(self.close)
        process = self._process
        if process.stdin is not None and not process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        try:
            process.wait(CLOSE_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
        self._said.close()
        unmount(self.folder)
        with contextlib.suppress(FileNotFoundError):
            self.folder.rmdir()

    def _tell(self, do: str, **words: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._lock:
            try:
                self._process.stdin.write(json.dumps({"do": do, **words}) + "\n")
                self._process.stdin.flush()
                line = self._process.stdout.readline()
            except (BrokenPipeError, ValueError):
                line = ""
        if not line:
            raise DiskFailed(f"{do}: the disk's process has ended; it said: {self._last_words()}")
        answer = json.loads(line)
        if "error" in answer:
            raise DiskFailed(f"{do}: {answer['error']}")
        return answer["ok"]

    def _last_words(self) -> str:
        if self._said.closed:
            return "nothing: the disk was closed"
        self._said.seek(0)
        return self._said.read()[-1000:] or "nothing"

    # --- power ---

    def mount(self) -> None:
        self._tell("power", on=True)
        self._tell("mount")

    def freeze(self) -> int:
        """The moment of the cut, ns of CLOCK_MONOTONIC: nothing gets onto the disk after it; whoever tries waits."""
        return int(self._tell("freeze"))

    def power_off(self) -> None:
        """Whoever waits gets EIO. Then the target's processes can end."""
        self._tell("power", on=False)

    def crash(self, keep: Keep, seed: str) -> bool:
        """Unmounts and drops what was not synced, but for what `keep` leaves by `seed`. False when somebody still held it."""
        gently = bool(self._tell("unmount"))
        self._tell("crash", keep=keep.value, seed=seed)
        return gently

    # --- faults ---

    def fail(self, kind: str, error: int, *, under: str = "/", after: int = 0, times: int = -1) -> None:
        """Calls of this kind fail with that errno: `times` of them, all for -1, once `after` more have gone well."""
        self._tell("fail", kind=kind, error=error, under=under, after=after, times=times)

    def stall(self, for_s: float, under: str = "/") -> None:
        """Calls that change anything wait until this time has gone by."""
        self._tell("delay", kinds=list(STALLED), under=under, each_ns=0, for_ns=round(for_s * 1e9))

    def slow(self, each_s: float, under: str = "/") -> None:
        """Writes and flushes take so much longer, each."""
        self._tell("delay", kinds=list(SLOWED), under=under, each_ns=round(each_s * 1e9), for_ns=0)

    def shorten(self, under: str = "/", times: int = 1) -> None:
        """The next writes are short: the caller is told how much was written."""
        self._tell("shorten", under=under, times=times)

    def read_only(self) -> None:
        self._tell("read_only")

    def lie(self) -> None:
        """Flushes are confirmed and not done, as by a drive whose cache is not what it says."""
        self._tell("lie")

    def fill(self, free_bytes: int = 0) -> None:
        self._tell("fill", free_bytes=free_bytes)

    def heal(self) -> None:
        """Everything but the power."""
        self._tell("heal")

    # --- what was asked of it ---

    def counts(self) -> dict[str, int]:
        """Calls so far, by kind."""
        return dict(self._tell("counts"))

    def journal(self) -> list[Call]:
        """The calls, oldest first, in order of their ends."""
        return [Call(*words) for words in self._tell("journal")]

    def place(self, path: Path) -> str:
        """A path below `folder` as the disk names it."""
        return "/" + str(path.relative_to(self.folder)) if path != self.folder else "/"


SLOWED = ("write", "fsync", "fsyncdir")
STALLED = (*SLOWED, "fallocate", "truncate", "create", "mkdir", "rename", "unlink")
