"""Ends what a lab has started when the kit itself is killed: `python -m matchmark.conformance.lab_guard MARK FOLDER...`.

Waits for the end of stdin, which is when the kit has let go of it however it ended, kills every process that carries the mark and
removes the folders. A kit that cleans up by itself leaves nothing to do.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time

PATIENCE_S = 10.0


def marked(mark: bytes) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdigit() and int(name) != os.getpid():
                with open(f"/proc/{name}/environ", "rb") as environ:
                    if mark in environ.read():
                        found.append(int(name))
    return found


def end(mark: bytes) -> None:
    """kill -9 of every process that carries the mark, until there is none or patience ends."""
    until = time.monotonic() + PATIENCE_S
    while (pids := marked(mark)) and time.monotonic() < until:
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.read()
    end(sys.argv[1].encode())
    for folder in sys.argv[2:]:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
