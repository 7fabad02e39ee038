"""What a person sees while a game day goes on: a bar with a live line on a terminal, a line an episode elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class DayProgress:
    """Takes the words of chaos.game_day.run. Writes to stderr: stdout is for the result."""

    def __init__(self, faults: int, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        self._fancy = sys.stderr.isatty() and not quiet
        self._done: dict[str, int] = {}
        self._planned = self._orders = self._acknowledged = self._lost = self._doubled = 0
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._fancy,
        )
        self._task = self._bar.add_task("game day", total=faults, note="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, kind: str, values: dict[str, Any]) -> None:
        if kind == "episode":
            plan = values["plan"]
            self._bar.update(self._task, description=f"{plan.scenario}, {plan.target}")
        elif kind == "fault":
            fault = values["step"].fault
            self._done[fault] = self._done.get(fault, 0) + 1
            self._bar.update(self._task, advance=1)
        elif kind == "load":
            self._bar.update(self._task, note=self._line(values["counts"].sent, values["counts"].told))
        elif kind == "outcome":
            self._outcome(values["outcome"])
        elif kind == "control":
            self._bar.update(self._task, description=f"control: {values['name']}")
        elif kind == "caught" and values["caught"].caught is False:
            self._console.print(f"control not caught: {values['caught'].name}", markup=False, highlight=False)

    def _outcome(self, outcome: Any) -> None:
        self._orders += outcome.counts.sent if outcome.counts else 0
        self._acknowledged += outcome.acknowledged
        self._lost += outcome.lost
        self._doubled += outcome.doubled
        self._planned += len(outcome.plan.steps)
        self._bar.update(self._task, completed=self._planned, note=self._line(0, 0))
        for finding in outcome.found:
            self._console.print(
                f"{outcome.plan.scenario}, {outcome.plan.target}: {finding}", markup=False, highlight=False
            )
        if not self._fancy:
            plan, how = outcome.plan, outcome.blocked or self._line(0, 0)
            words = f"{plan.scenario}, {plan.storage}, {plan.target}: {how}"
            self._console.print(words, markup=False, highlight=False, soft_wrap=True)

    def _line(self, sent: int, told: int) -> str:
        done = ", ".join(f"{n} {fault}s" for fault, n in self._done.items() if n)
        return (
            f"{done}, {self._orders + sent:,} orders, {self._acknowledged + told:,} answered, {self._lost} lost, "
            f"{self._doubled} doubled"
        )
