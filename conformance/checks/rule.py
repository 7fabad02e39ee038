"""The register of rules: what each looks at and which clauses it can report.

A rule is a pure function of one moment of a history (moments.py): it reads, and yields findings. `on` is the kind of
moment it is shown: TradeSeen or EndSeen just before that event is taken into account, a command class for the finished
exchange of such a command, Publication for the last word on every exchange, HistoryEnd for the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from matchmark.conformance.checks.finding import Finding

Rule = Callable[[Any], Iterable[Finding]]

RULES: dict[str, tuple[str, ...]] = {}
"""Name of each rule, `module.function`, to the clauses that it can report."""

BY_MOMENT: dict[type, list[tuple[str, Rule]]] = {}
"""The rules that look at a kind of moment, with their names."""


def rule(*clauses: str, on: type | tuple[type, ...]) -> Callable[[Rule], Rule]:
    """Declares a rule. `clauses` is every clause id that it can ever report."""

    def declare(function: Rule) -> Rule:
        name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        RULES[name] = clauses
        for moment in on if isinstance(on, tuple) else (on,):
            BY_MOMENT.setdefault(moment, []).append((name, function))
        return function

    return declare
