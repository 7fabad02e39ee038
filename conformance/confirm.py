"""When a target died or hung: does it do so again for the same commands, and which of them are needed?

Only what happens again on a fresh start is held against the engine; what does not is a doubt, not a verdict.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from matchmark.conformance.history import Exchange, History
from matchmark.conformance.messages import Command
from matchmark.conformance.targets.base import StreamFault, Target, TargetError

REDUCE_BUDGET_S = 10.0


def replayed(target: Target, commands: Sequence[Command]) -> tuple[History, TargetError | None]:
    """The commands sent to a freshly started target, up to the first failure, and that failure."""
    history = History()
    target.close()
    try:
        target.start()
        target.reset()
    except TargetError as error:
        return history, error
    for command in commands:
        sent_ns = time.perf_counter_ns()
        try:
            events = target.submit(command)
        except TargetError as error:
            failure = f"{type(error).__name__}: {error}"
            history.add(Exchange(command, (), sent_ns, time.perf_counter_ns(), failure, target.take_wire()))
            return history, error
        except StreamFault:
            return history, None
        history.add(Exchange(command, tuple(events), sent_ns, time.perf_counter_ns(), wire=target.take_wire()))
    return history, None


def confirm(target: Target, history: History, error: TargetError, *, reduce: bool = True) -> History | None:
    """A history that fails in the same way at its last command, the shortest found in REDUCE_BUDGET_S or, without `reduce`,
    the first; None if it did not happen again."""
    again, second = replayed(target, history.commands)
    if type(second) is not type(error):
        return None
    if not reduce:
        return again
    best = again
    until_s = time.monotonic() + REDUCE_BUDGET_S
    size = len(best) // 2
    while size >= 1 and time.monotonic() < until_s:
        start = 0
        while start < len(best) - 1 and time.monotonic() < until_s:
            shorter = [c for i, c in enumerate(best.commands) if not start <= i < min(start + size, len(best) - 1)]
            tried, third = replayed(target, shorter)
            if type(third) is type(error) and len(tried) < len(best):
                best = tried
            else:
                start += size
        size //= 2
    return best
