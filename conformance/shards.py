"""One run of the suites by several children at once, each with its part of the tests and a target of its own.

Only for targets that live in the child (adapters without a server to share). What comes out is as of one child: the same
verdicts with the same seed, since each test draws its examples from the seed alone.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import IO, Any
from xml.etree import ElementTree

from matchmark.conformance import runner
from matchmark.conformance.runner import Child, Launch, Progress, Request, Run


def run(
    request: Request, shards: int, progress: Progress = lambda kind, values: None, launch: Launch = runner.spawn
) -> Run:
    """Like runner.run. UsageError is the first one's; a signal or an error ends all children."""
    if shards < 2:
        return runner.run(request, progress, launch)
    children = _Children(launch)
    say = _one_at_a_time(progress)
    with ExitStack() as stack:
        folders: list[Path | None] = [None] * shards
        if request.out is not None:
            folders = [Path(stack.enter_context(_work_folder(request.out))) for _ in range(shards)]
        parts = [replace(request, out=folder, shard=(n, shards)) for n, folder in enumerate(folders)]
        with ThreadPoolExecutor(shards) as pool:
            tasks = [pool.submit(runner.run, part, say, children) for part in parts]
            try:
                runs = [task.result() for task in tasks]
            except BaseException:
                children.stop()
                raise
        if request.out is not None:
            _join_files([folder for folder in folders if folder is not None], request.out)
    return _joined(runs)


def _work_folder(out: Path) -> tempfile.TemporaryDirectory[str]:
    """Beside the run's files, so that moving a history there costs nothing."""
    out.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix=".shard-", dir=out)


class _Children:
    """A Launch that remembers what it started."""

    def __init__(self, launch: Launch) -> None:
        self._launch, self._children, self._lock, self._stopped = launch, list[Child](), threading.Lock(), False

    def __call__(self, arguments: list[str], work: str, log: IO[str], events_fd: int) -> Child:
        with self._lock:
            if self._stopped:
                raise RuntimeError("the run is being stopped")
            child = self._launch(arguments, work, log, events_fd)
            self._children.append(child)
            return child

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
        for child in self._children:
            child.kill()


def _one_at_a_time(progress: Progress) -> Progress:
    lock = threading.Lock()

    def say(kind: str, values: dict[str, Any]) -> None:
        with lock:
            progress(kind, values)

    return say


def _joined(runs: Sequence[Run]) -> Run:
    """A shard that was blocked blocks the whole: its tests were not run."""
    whole = Run()
    for part in runs:
        whole.target = whole.target or part.target
        whole.collected |= part.collected
        whole.tests += part.tests
        whole.violations += part.violations
        whole.log += part.log
    worst = next((part for part in runs if part.blocked), runs[0])
    whole.control_ok, whole.control_message = worst.control_ok, worst.control_message
    whole.latency = _latency([row for part in runs for row in part.latency])
    return whole


def _latency(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of several children's percentiles the worst: more cannot be said without all times, and less would flatter."""
    stages: dict[str | None, list[dict[str, Any]]] = {}
    for row in rows:
        stages.setdefault(row.get("stage"), []).append(row)
    return [_worst(same) for same in stages.values()]


def _worst(rows: list[dict[str, Any]]) -> dict[str, Any]:
    worst = {key: max(row[key] for row in rows) for key in rows[0] if key.endswith("_ns")}
    return {**rows[0], **worst, "count": sum(row["count"] for row in rows)}


def _join_files(folders: Sequence[Path], out: Path) -> None:
    with (out / "history.jsonl").open("wb") as history:
        for folder in folders:
            for part in sorted(folder.glob("history*.jsonl")):
                with part.open("rb") as lines:
                    shutil.copyfileobj(lines, history, 1 << 20)
    suites = ElementTree.Element("testsuites", name="matchmark")
    for folder in folders:
        for part in sorted(folder.glob("junit*.xml")):
            suites.extend(ElementTree.parse(part).getroot().iter("testsuite"))
    ElementTree.ElementTree(suites).write(out / "junit.xml", encoding="utf-8", xml_declaration=True)
    (out / "allure-results").mkdir(exist_ok=True)
    for folder in folders:
        for result in (folder / "allure-results").glob("*"):
            os.replace(result, out / "allure-results" / result.name)
