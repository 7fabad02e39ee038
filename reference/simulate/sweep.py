"""Many seeds on a few processes, and what they came to; the hunt for one planted bug."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from matchmark.reference.simulate.bugs import BUGS
from matchmark.reference.simulate.cluster import SOUND
from matchmark.reference.simulate.run import Outcome, run_seed

CHUNK = 50
FAILURES_MAX = 20
"""More seeds that fail say no more than these."""


@dataclass
class Summary:
    """Of all seeds that were run. `failed`: the first that failed, by seed, with what was violated."""

    seeds: int = 0
    failed: dict[int, str] = field(default_factory=dict)
    failures: int = 0
    simulated_ns: int = 0
    events: int = 0
    acknowledged: int = 0
    takeovers: int = 0
    halts: int = 0
    lost_stated: int = 0
    forced: int = 0
    modes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    alerts: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.simulated_ns += outcome.simulated_ns
        self.events += outcome.events
        self.acknowledged += outcome.acknowledged
        self.takeovers += outcome.takeovers
        self.halts += outcome.halts
        self.lost_stated += outcome.lost_stated
        self.forced += outcome.forced
        self.modes[outcome.mode] += 1
        self.faults.update(outcome.faults)
        self.alerts.update(outcome.alerts)
        if outcome.violation is not None:
            self.failures += 1
            if len(self.failed) < FAILURES_MAX:
                self.failed[outcome.seed] = outcome.violation


def processes_default() -> int:
    return max(1, min(2, len(os.sched_getaffinity(0))))


def sweep(first: int, count: int, processes: int, each: Callable[[int], None], bug: str | None = None) -> Summary:
    """All seeds from `first` on; `each` is told how many more are done. `bug`: a name of BUGS."""
    summary = Summary()
    starts = range(first, first + count, CHUNK)
    work = partial(_chunk, end=first + count, bug=bug)
    with _pool(processes) as run:
        for outcomes in run(work, starts):
            for outcome in outcomes:
                summary.add(outcome)
            each(len(outcomes))
    return summary


def hunt(bug: str, count: int, processes: int) -> Outcome | None:
    """The lowest of the first `count` seeds that shows the bug; None: none does."""
    with _pool(processes) as run:
        for outcomes in run(partial(_chunk, end=count, bug=bug), range(0, count, CHUNK)):
            for outcome in outcomes:
                if outcome.violation is not None:
                    return outcome
    return None


def _chunk(start: int, end: int, bug: str | None) -> list[Outcome]:
    parts = SOUND if bug is None else BUGS[bug].parts
    return [run_seed(seed, parts) for seed in range(start, min(start + CHUNK, end))]


Run = Callable[[Callable[[int], list[Outcome]], range], Iterator[list[Outcome]]]


@contextmanager
def _pool(processes: int) -> Iterator[Run]:
    if processes == 1:
        yield lambda work, starts: map(work, starts)
        return
    with ProcessPoolExecutor(processes) as pool:

        def run(work: Callable[[int], list[Outcome]], starts: range) -> Iterator[list[Outcome]]:
            # A few at a time: who has found what it looked for must not wait for all the others.
            waiting = [pool.submit(work, start) for start in starts[: 2 * processes]]
            for start in starts[2 * processes :]:
                yield waiting.pop(0).result()
                waiting.append(pool.submit(work, start))
            for future in waiting:
                yield future.result()

        try:
            yield run
        finally:
            pool.shutdown(cancel_futures=True)
