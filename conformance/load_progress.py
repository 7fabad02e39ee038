"""What a person sees while a load goes on: a bar with the counts on a terminal, a line a second elsewhere. Writes to stderr."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

LINE_S = 2.0


class LoadProgress:
    """Takes the words of load.run: floor, run, load, judge; and `step` of a search with its text."""

    def __init__(self, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet, highlight=False)
        self._fancy = sys.stderr.isatty() and not quiet
        self._next_line_s = LINE_S
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._fancy,
        )
        self._task = self._bar.add_task("load", total=1.0, note="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def __call__(self, word: str, values: dict[str, Any]) -> None:
        if word == "floor":
            self._begin("floor: an echo", 1.0)
        elif word == "run":
            self._next_line_s = LINE_S
            self._begin(f"{values['orders']:,} orders", max(values["seconds"], 0.1))
        elif word == "judge":
            self._begin(f"judging {values['what']}", 1.0)
        elif word == "say":
            self._console.print(values["text"], markup=False, soft_wrap=True)
        elif word == "load":
            self._load(values)

    def _begin(self, what: str, total: float) -> None:
        self._bar.update(self._task, description=what, total=total, completed=0, note="")
        if not self._fancy:
            self._console.print(what, markup=False)

    def _load(self, values: dict[str, Any]) -> None:
        c, seconds = values["counts"], values["seconds"]
        wrong = f", {c.wrongs:,} wrong" if c.wrongs else ""
        note = f"{c.sent:,} sent, {c.told:,} answered, {c.rejected + c.refused_messages:,} rejected{wrong}"
        self._bar.update(self._task, completed=min(seconds, values["of"]), note=note)
        if not self._fancy and seconds >= self._next_line_s:
            self._next_line_s += LINE_S
            self._console.print(f"{seconds:5.1f} s  {note}", markup=False)
