"""What a person sees while a run goes on: a bar on a terminal, a line now and then elsewhere, nothing when quiet."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

PLAIN_EVERY_S = 10.0


class RunProgress:
    """Takes the messages of conformance.runner.run. Writes to stderr: stdout is for what the command is asked for."""

    def __init__(self, title: str, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        self._title = title
        self._fancy = sys.stderr.isatty() and not quiet
        self._tests: set[str] = set()
        self._total = self._done = self._failed = 0
        self._said_s = time.monotonic()
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._fancy,
        )
        self._task = self._bar.add_task(title, total=None, note="starting")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, kind: str, values: dict[str, Any]) -> None:
        if kind == "collected":
            self._tests |= set(values["tests"])  # of several children, or of one that was started again
            self._total = len(self._tests)
            self._bar.update(self._task, total=self._total)
            self._plain(f"{self._title}: {self._total} checks", now=True)
        elif kind == "start":
            self._bar.update(self._task, note=_short(values["test"]))
        elif kind == "examples":
            self._bar.update(self._task, note=f"{_short(values['test'])}, {values['count']:,} examples")
            self._plain(f"{self._title}: {_short(values['test'])}, {values['count']:,} examples")
        elif kind == "violation":
            self._failed += 1
            self._console.print(f"[red]{values['clause']}[/red] ", end="", highlight=False)
            self._console.print(values["message"], markup=False, highlight=False)
        elif kind == "test":
            self._done += 1
            self._bar.update(self._task, completed=self._done)
            self._plain(f"{self._title}: {self._done} of {self._total} checks done")
        elif kind == "control" and not values["ok"]:
            self._plain(f"{self._title}: blocked", now=True)

    def _plain(self, text: str, now: bool = False) -> None:
        if self._fancy or not (now or time.monotonic() - self._said_s > PLAIN_EVERY_S):
            return
        self._said_s = time.monotonic()
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _short(test: str) -> str:
    return test.rpartition("::")[2].removeprefix("test_").replace("_", " ")
