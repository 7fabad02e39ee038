"""Starts children by forking a process that has read everything they need: a quarter of a second each, not one and a half.

A self-test runs hundreds of short children, and most of the time of each would go into importing pytest and hypothesis.
They are as separate from one another as children started afresh: what the parent of all holds is modules, no targets.
"""

from __future__ import annotations

import os
import sys
from importlib.resources import files
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import IO, Any, NoReturn

from matchmark.conformance.runner import SUITES, Child, environment

READ_AHEAD = ("numpy", "pytest", "hypothesis.stateful", "allure_pytest.plugin", "matchmark.conformance.selftest.mutant")


class ForkedChild:
    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process

    def wait(self) -> int:
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()


class Forks:
    """A Launch for conformance.runner.run."""

    def __init__(self) -> None:
        suites = [f"{SUITES}.{path.stem}" for path in sorted(Path(str(files(SUITES))).glob("test_*.py"))]
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload([*READ_AHEAD, *suites])

    def __call__(self, arguments: list[str], work: str, log: IO[str], events_fd: int) -> Child:
        process = self._context.Process(target=_ForkedPytest(arguments, work, log.fileno(), events_fd))
        process.start()
        return ForkedChild(process)


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
        import pytest

        sys.exit(int(pytest.main([*self.arguments, "--events-fd", str(self.events_fd)])))
