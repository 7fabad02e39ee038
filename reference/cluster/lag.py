"""How far the standby in step is behind: of each second what 99 of 100 records took from the match to its word that they are
executed, and an alert when that is more than the bound."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from matchmark.reference.control.monitor import Alert
from matchmark.reference.control.standbys import LagAlarm
from matchmark.reference.stage_counts import BUCKET_TOPS_NS, ROW, STAGES

BOUND_NS = 10_000_000
"""Diagrams 6 and 11: under 10 ms."""
EVERY_S = 1.0
_ROW = STAGES.index("replicated")


class Lag:
    """`stages`: memory of the roles' stage counts. `say` gets each alert."""

    def __init__(self, stages: Any, say: Callable[[Alert], None]) -> None:
        self._counts = np.frombuffer(stages, dtype=ROW)[_ROW]["counts"]
        self._before = self._counts.copy()
        self._alarm, self._say = LagAlarm(BOUND_NS), say
        self._due = time.monotonic() + EVERY_S
        self.p99_ns = 0
        """Of the last second in which anything was replicated."""

    def look(self, waiting_ns: int) -> None:
        """As often as one likes. `waiting_ns`: for so long the standby has not said anything though there is something to say."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + EVERY_S
        now = self._counts.copy()
        new = now - self._before
        self._before = now
        total = int(new.sum())
        if total:
            at = int(np.searchsorted(np.cumsum(new), max(1, -(-total * 99 // 100))))
            self.p99_ns = int(BUCKET_TOPS_NS[at])
        worst = max(self.p99_ns if total else 0, waiting_ns)
        if total or waiting_ns:
            for alert in self._alarm.lag(worst):
                self._say(alert)
