"""Runs the suites against a target in a process of their own and gathers what they found.

The child does the testing and reports over a pipe; the parent survives whatever an engine loaded into the child does to
it. When the child is killed by the engine, the test that was running is charged, and a new child goes on with the rest.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import IO, Any, Protocol

from matchmark.conformance import lab_guard
from matchmark.conformance.evidence import ANSWERED_CLAUSE
from matchmark.conformance.hooks import MEMORY, SHARED_MEMORY
from matchmark.conformance.verdict import Verdict

SUITES = "matchmark.conformance.suites"
RESTARTS_MAX = 5
CLOSING_TIME_S = 10
"""What a stopped child gets to end its target."""

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_BLOCKED = 0, 1, 2, 3
"""The exit codes of every command (README): 3 is blocked or inconclusive."""


class UsageError(Exception):
    """The run could not be set up because of what the user asked for."""


@dataclass(frozen=True)
class Request:
    target: str
    seed: int
    examples: int
    clauses: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    """Only these node ids; empty for all suites."""
    overrides: tuple[str, ...] = ()
    out: Path | None = None
    """The run folder, for history, JUnit and Allure files; None keeps nothing."""
    shrink: bool = True
    until: str = ""
    """End the run as soon as this clause is found broken."""
    generated_only: bool = False
    """Only the checks whose examples depend on the seed."""
    shard: tuple[int, int] = (0, 1)
    """Which part of the tests, of how many (shards.py)."""
    levels: tuple[str, ...] = ()
    """Only the tests of clauses that count for one of these; empty for all."""


@dataclass
class Violation:
    test: str
    clause: str
    message: str
    index: int
    expected: list[str]
    actual: list[str]
    transcript: list[dict[str, Any]]


@dataclass
class CheckRecord:
    test: str
    clauses: list[str]
    verdict: Verdict
    reason: str
    examples: int
    duration_s: float


@dataclass
class Run:
    """What one run of the suites said, before anyone judges it."""

    target: dict[str, Any] = field(default_factory=dict)
    collected: dict[str, list[str]] = field(default_factory=dict)
    control_ok: bool | None = None
    control_message: str = ""
    tests: list[CheckRecord] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    latency: list[dict[str, Any]] = field(default_factory=list)
    log: str = ""

    @property
    def blocked(self) -> bool:
        return self.control_ok is not True


Progress = Callable[[str, dict[str, Any]], None]
"""Called with each message of the child as it comes: kind and values."""


class Child(Protocol):
    """The process that runs pytest: its exit status, negative when a signal ended it."""

    def wait(self) -> int: ...

    def kill(self) -> None: ...


class Launch(Protocol):
    """Starts pytest with `arguments` in the folder `work`; output goes to `log`, messages to `events_fd`."""

    def __call__(self, arguments: list[str], work: str, log: IO[str], events_fd: int) -> Child: ...


class Spawned(subprocess.Popen[bytes]):
    """A kill that lets pytest end the target first, which would otherwise be left behind."""

    def kill(self) -> None:
        self.terminate()
        try:
            self.wait(timeout=CLOSING_TIME_S)
        except subprocess.TimeoutExpired:
            super().kill()


def spawn(arguments: list[str], work: str, log: IO[str], events_fd: int) -> Child:
    return Spawned(
        [sys.executable, "-m", "pytest", *arguments, "--events-fd", str(events_fd)],
        cwd=work,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        pass_fds=(events_fd,),
        env={**os.environ, **environment(work)},
    )


def environment(work: str) -> dict[str, str]:
    """What pytest is to find in its environment, so that no plugin and no folder of the user has a say, and so that what it or
    a target leaves behind when it is ended in mid-air is found: temporary files, shared memory, processes."""
    own = {"TMPDIR": work, MEMORY: str(_memory_of(work))}
    return {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "HYPOTHESIS_STORAGE_DIRECTORY": work, **own}


def _memory_of(work: str) -> Path:
    return (SHARED_MEMORY if SHARED_MEMORY.is_dir() else Path(work)) / f"{Path(work).name}-memory"


@contextmanager
def _work_folder() -> Iterator[str]:
    """The folder of one child. It goes in the end with all that was started or written on its account."""
    with tempfile.TemporaryDirectory(prefix="matchmark-", ignore_cleanup_errors=True) as work:
        memory = _memory_of(work)
        try:
            memory.mkdir()
            yield work
        finally:
            lab_guard.end(f"TMPDIR={work}".encode())
            shutil.rmtree(memory, ignore_errors=True)


def run(request: Request, progress: Progress = lambda kind, values: None, launch: Launch = spawn) -> Run:
    """The suites, run to their end. UsageError when pytest could not be set up as asked."""
    result = Run()
    crashed: list[str] = []
    for attempt in range(RESTARTS_MAX + 1):
        finished = {t.test for t in result.tests}
        code, running = _child(request, result, finished, attempt, progress, launch)
        if running is None or code >= 0:
            break
        crashed.append(running)
        _charge_crash(result, running, code, again=crashed.count(running) > 1)
    if result.control_ok is None and code > 0 and code != EXIT_BLOCKED:
        raise UsageError(result.log.strip()[-2000:] or f"pytest ended with exit status {code}")
    _account_for_unfinished(result)
    return result


def _child(
    request: Request, result: Run, finished: set[str], attempt: int, progress: Progress, launch: Launch
) -> tuple[int, str | None]:
    """One child from start to end: its exit status, and the test that it was in if it did not say goodbye."""
    read_fd, write_fd = os.pipe()
    with (
        _work_folder() as work,
        tempfile.TemporaryFile("w+", errors="replace") as log,
    ):
        process = launch(_arguments(request, finished, attempt), work, log, write_fd)
        os.close(write_fd)
        try:
            running = _listen(read_fd, result, progress)
            code = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        log.seek(0)
        result.log += log.read()
    return code, running


def _arguments(request: Request, finished: Iterable[str], attempt: int) -> list[str]:
    # No plugin but these and no configuration file, so that nothing of the folder the user stands in has a say.
    command = ["-c", os.devnull, "--rootdir", str(suites_folder())]
    for plugin in ("matchmark.conformance.plugin", "_hypothesis_pytestplugin", "allure_pytest.plugin"):
        command += ["-p", plugin]
    command += ["-q", "--tb=short", "-p", "no:cacheprovider", "--import-mode=importlib"]
    command += ["-o", "consider_namespace_packages=true", f"--hypothesis-seed={request.seed}"]
    command += ["--target", absolute(request.target), "--examples", str(request.examples)]
    command += [word for override in request.overrides for word in ("--target-set", override)]
    command += [word for clause in request.clauses for word in ("--clause", clause)]
    command += [word for level in request.levels for word in ("--level", level)]
    command += [] if request.shrink else ["--no-shrink"]
    command += ["--until", request.until] if request.until else []
    command += ["--generated-only"] if request.generated_only else []
    command += [] if request.shard[1] == 1 else ["--shard", "{}/{}".format(*request.shard)]
    if request.out is not None:
        out, suffix = request.out.absolute(), f"-{attempt}" if attempt else ""  # the child runs in a folder of its own
        command += ["--history", str(out / "history.jsonl"), f"--junitxml={out / f'junit{suffix}.xml'}"]
        command += [f"--alluredir={out / 'allure-results'}"]
    command += [word for test in finished for word in ("--deselect", test)]
    return [*command, *(request.tests or ("--pyargs", SUITES))]


def absolute(target: str) -> str:
    """The `--target` word with the path of a profile made absolute: the child runs in a folder of its own."""
    return str(Path(target).absolute()) if target.endswith(".toml") else target


def suites_folder() -> Path:
    return Path(str(files(SUITES)))


def _listen(read_fd: int, result: Run, progress: Progress) -> str | None:
    running: str | None = None
    with os.fdopen(read_fd, encoding="utf-8") as stream:
        for line in stream:
            try:
                message = json.loads(line)
            except ValueError:
                break  # half a line: the child was killed while it wrote
            kind = message.pop("kind")
            if kind == "start":
                running = message["test"]
            elif kind == "end":
                running = None
            else:
                _take(result, kind, message)
            progress(kind, message)
    return running


def _take(result: Run, kind: str, message: dict[str, Any]) -> None:
    if kind == "target":
        result.target = message
    elif kind == "collected":
        result.collected.update(message["tests"])
    elif kind == "control":
        result.control_ok = message["ok"]
        result.control_message = message.get("message", "")
    elif kind == "violation":
        result.violations.append(Violation(**message))
    elif kind == "test":
        message.pop("property")
        result.tests.append(CheckRecord(**{**message, "verdict": Verdict(message["verdict"])}))
    elif kind == "latency" and message["count"]:
        result.latency.append(message)


def _charge_crash(result: Run, test: str, code: int, again: bool) -> None:
    """The child died of a signal in this test: the first time is a doubt and is tried again, the second is the engine's."""
    how = f"the process that held the engine was killed by {signal.Signals(-code).name}"
    if not again:
        return
    result.tests.append(CheckRecord(test, result.collected.get(test, []), Verdict.INCONCLUSIVE, how, 0, 0.0))
    result.violations.append(
        Violation(test, ANSWERED_CLAUSE, f"{how}, twice in the same test", 0, ["an answer"], [how], [])
    )


def _account_for_unfinished(result: Run) -> None:
    """Every collected test is judged: one that never ran says so, rather than being missed by nobody."""
    finished = {t.test for t in result.tests}
    reason = "not run: " + (result.control_message or "the run ended before it")
    verdict = Verdict.BLOCKED if result.blocked else Verdict.INCONCLUSIVE
    for test, clauses in result.collected.items():
        if test not in finished:
            result.tests.append(CheckRecord(test, clauses, verdict, reason, 0, 0.0))


def default_seed() -> int:
    """A seed for a run that named none: printed, so that the run can be had again."""
    return time.time_ns() % 1_000_000_007
