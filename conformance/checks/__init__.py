"""Pure functions over a History: what is wrong with what an engine answered, clause by clause.

`audit` needs nothing but the history; `differential` (differential.py) compares it with the model. The suites use both,
load and chaos use them again. A history may end in a failed exchange (the target died, hung or sent garbage): the
checks stop there, since what that means is for the runner to say.
"""

from __future__ import annotations

from collections.abc import Iterator

from matchmark.conformance.checks import (  # noqa: F401  (importing a module of rules registers them)
    book_state,
    cancel,
    conservation,
    priority,
    remainder,
    replace,
    self_match,
    sequencing,
)
from matchmark.conformance.checks.finding import Finding
from matchmark.conformance.checks.moments import HistoryEnd, Step
from matchmark.conformance.checks.replay import Observed
from matchmark.conformance.checks.rule import BY_MOMENT, RULES
from matchmark.conformance.history import Exchange, History
from matchmark.conformance.messages import Trade
from matchmark.conformance.targets.base import TargetInfo

__all__ = ["RULES", "Finding", "audit", "findings_by_rule"]


def audit(history: History, info: TargetInfo) -> list[Finding]:
    """All that the rules find in one pass over the history, in its order. O(n log n) in the number of exchanges."""
    return [finding for _, finding in findings_by_rule(history, info)]


def findings_by_rule(history: History, info: TargetInfo) -> Iterator[tuple[str, Finding]]:
    """Each finding with the name of the rule that made it."""
    seen = Observed(info)
    index = -1
    for index, exchange in enumerate(history):
        if exchange.failure is not None:
            break
        for moment in seen.replay(index, exchange):
            kind = type(moment.command) if isinstance(moment, Step) else type(moment)
            for name, check in BY_MOMENT.get(kind, ()):
                for finding in check(moment):
                    seen.suspect |= symbols_of(exchange, seen)
                    yield name, finding
    end = HistoryEnd(index, seen)
    for name, check in BY_MOMENT.get(HistoryEnd, ()):
        for finding in check(end):
            yield name, finding


def symbols_of(exchange: Exchange, seen: Observed) -> set[str]:
    """Those whose books the exchange may have touched."""
    named = {event.sym for event in exchange.events if isinstance(event, Trade)}
    sym = getattr(exchange.command, "sym", None)
    return named | (set(seen.symbols) if sym is None else {sym})
