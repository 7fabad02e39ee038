"""Starts children by forking a process that has read everything they need: a quarter of a second each, not one and a half.

A self-test runs hundreds of short children, and most of the time of each would go into importing pytest and hypothesis.
They are as separate from one another as children started afresh: what the parent of all holds is modules, no targets.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from importlib.resources import files
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import IO, Any, NoReturn

from matchmark.conformance.runner import CLOSING_TIME_S, SUITES, Child, environment

READ_AHEAD = ("numpy", "pytest", "hypothesis.stateful", "allure_pytest.plugin", "matchmark.conformance.selftest.mutant")


class Stopped(Exception):
    """A child was asked for after the stop."""


class ForkedChild:
    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process
        self._ended = threading.Event()

    def wait(self) -> int:
        """To be called by one thread only: the exit status can be read once."""
        self._process.join()
        self._ended.set()
        assert self._process.exitcode is not None
        return self._process.exitcode

    def terminate(self) -> None:
        """Asks pytest to end, which ends the target first."""
        if not self._ended.is_set():
            self._process.terminate()

    def ended_within(self, timeout_s: float) -> bool:
        """Whether the thread that waits for this child has seen its end; for any other thread than that one."""
        return self._ended.wait(timeout_s)

    def kill(self) -> None:
        self._process.kill()


class Forks:
    """A Launch for conformance.runner.run; `stop` may come from another thread than those that run."""

    def __init__(self) -> None:
        suites = [f"{SUITES}.{path.stem}" for path in sorted(Path(str(files(SUITES))).glob("test_*.py"))]
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload([*READ_AHEAD, *suites])
        self._lock = threading.Lock()
        self._stopped = False
        self._children: list[ForkedChild] = []

    def __call__(self, arguments: list[str], work: str, log: IO[str], events_fd: int) -> Child:
        process = self._context.Process(target=_ForkedPytest(arguments, work, log.fileno(), events_fd))
        # Started under the lock: a child is either there for `stop` to end or never started.
        with self._lock:
            if self._stopped:
                raise Stopped
            process.start()
            child = ForkedChild(process)
            self._children = [c for c in self._children if not c.ended_within(0)] + [child]
        return child

    def stop(self, grace_s: float = CLOSING_TIME_S) -> None:
        """Ends every child that runs and starts no other. One that has not ended after `grace_s` is killed."""
        with self._lock:
            self._stopped = True
        for child in self._children:
            child.terminate()
        until_s = time.monotonic() + grace_s
        for child in self._children:
            if not child.ended_within(max(0.0, until_s - time.monotonic())):
                child.kill()


class _ForkedPytest:
    """Crosses to the child by pickle, its descriptors by DupFd."""

    def __init__(self, arguments: list[str], work: str, log_fd: int, events_fd: int) -> None:
        self.arguments, self.work, self.log_fd, self.events_fd = arguments, work, log_fd, events_fd

    def __getstate__(self) -> tuple[Any, ...]:
        return self.arguments, self.work, DupFd(self.log_fd), DupFd(self.events_fd)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.arguments, self.work, log, events = state
        self.log_fd, self.events_fd = log.detach(), events.detach()

    def __call__(self) -> NoReturn:
        os.dup2(self.log_fd, 1)
        os.dup2(self.log_fd, 2)
        os.chdir(self.work)
        os.environ.update(environment(self.work))
        tempfile.tempdir = None  # the parent of all may have asked for its own
        import pytest

        sys.exit(int(pytest.main([*self.arguments, "--events-fd", str(self.events_fd)])))
