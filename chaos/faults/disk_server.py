"""The process that is the fault-injecting disk: `python -m matchmark.chaos.faults.disk_server MOUNT_POINT CAPACITY_BYTES`.

One line of JSON on stdin is a command, {"do": NAME, ...}; one line on stdout answers it, {"ok": ...} or {"error": ".."}.
At the end of stdin, which is also when the kit has died, it takes its mount down and ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mfusepy

from matchmark.chaos.faults.disk_fuse import MOUNT_OPTIONS, DiskOperations
from matchmark.chaos.faults.disk_rules import Delay, Failure, Rules, Shortening
from matchmark.chaos.faults.disk_state import DiskState, Keep
from matchmark.chaos.faults.mounting import unmount

MOUNT_PATIENCE_S = 10.0


class DiskServer:
    """libfuse has the main thread while the disk is mounted; commands come in on another."""

    def __init__(self, mount_point: Path, capacity_bytes: int) -> None:
        self.mount_point = mount_point
        self.nominal_bytes = capacity_bytes
        self.state, self.rules = DiskState(capacity_bytes), Rules()
        self._mounts: queue.SimpleQueue[DiskOperations | None] = queue.SimpleQueue()
        self._mounted = False
        self._ended = threading.Event()
        self._ended.set()
        self._why = ""

    def main(self) -> None:
        """Mounts when told to, until there is nobody left who could tell."""
        threading.Thread(target=self._listen, daemon=True).start()
        while (operations := self._mounts.get()) is not None:
            try:
                mfusepy.FUSE(operations, str(self.mount_point), **MOUNT_OPTIONS)
            except (RuntimeError, OSError) as error:
                self._why = f"libfuse could not mount: {error}"
            finally:
                self._ended.set()

    def _listen(self) -> None:
        for line in sys.stdin:
            words = json.loads(line)
            try:
                command: Callable[..., Any] = getattr(self, "do_" + words.pop("do"))
                answer = {"ok": command(**words)}
            except (RuntimeError, OSError, AttributeError, TypeError, ValueError) as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
        self.rules.change(dead=True, frozen=False)
        self.rules.heal()
        self.do_unmount()
        self._mounts.put(None)

    # --- commands ---

    def do_mount(self) -> None:
        self._ended.clear()
        self._why = ""
        operations = DiskOperations(self.state, self.rules)
        self._mounts.put(operations)
        until_s = time.monotonic() + MOUNT_PATIENCE_S
        while not operations.mounted.wait(0.005):
            if self._ended.is_set() or time.monotonic() > until_s:
                raise RuntimeError(self._why or f"not mounted within {MOUNT_PATIENCE_S:g} s")
        self._mounted = True

    def do_unmount(self) -> bool:
        """Whether it went without force."""
        if not self._mounted:
            return True
        gently = unmount(self.mount_point)
        self._mounted = False
        if not self._ended.wait(MOUNT_PATIENCE_S):
            raise RuntimeError("libfuse did not end after the unmount")
        return gently

    def do_power(self, on: bool) -> None:
        """Off: whoever waits and all who come get EIO, and what they ask is not done."""
        self.rules.change(dead=not on, frozen=False)

    def do_freeze(self) -> int:
        """From this moment (CLOCK_MONOTONIC ns, returned) nothing more gets onto the disk; who tries waits."""
        self.rules.change(frozen=True)
        return time.monotonic_ns()

    def do_crash(self, keep: str, seed: str) -> None:
        if self._mounted:
            raise RuntimeError("crash of a mounted disk: the kernel's cache would remember what is gone")
        self.state.crash(Keep(keep), random.Random(seed))

    def do_fail(self, kind: str, error: int, under: str, after: int, times: int) -> None:
        self.rules.fail(Failure(kind, error, under, after, times))

    def do_delay(self, kinds: list[str], under: str, each_ns: int, for_ns: int) -> None:
        until = time.monotonic_ns() + for_ns if for_ns else 0
        self.rules.delay(Delay(frozenset(kinds), under, each_ns, until))

    def do_shorten(self, under: str, times: int) -> None:
        self.rules.shorten(Shortening(under, times))

    def do_read_only(self) -> None:
        self.rules.change(read_only=True)

    def do_lie(self) -> None:
        self.rules.change(lying=True)

    def do_fill(self, free_bytes: int) -> None:
        """Somebody else's files take all but so many bytes."""
        self.state.capacity_bytes = self.state.used_bytes + free_bytes

    def do_heal(self) -> None:
        self.state.capacity_bytes = self.nominal_bytes
        self.rules.heal()

    def do_counts(self) -> dict[str, int]:
        return dict(self.rules.counts)

    def do_journal(self) -> list[Any]:
        return list(self.rules.journal)


def main() -> None:
    # The kit decides when this ends: a Ctrl-C for the whole group must not take the disk from under the target first.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.setswitchinterval(0.0005)
    server = DiskServer(Path(sys.argv[1]), int(sys.argv[2]))
    with contextlib.suppress(BrokenPipeError):
        server.main()
    os._exit(0)  # threads of libfuse may be left


if __name__ == "__main__":
    main()
