"""Memory that supervisor and roles share: process ids, counters and stage times, for whoever asks how the exchange is.

Words of 64 bits, each written by one process and read whole; nothing depends on two of them being of the same moment.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from typing import Any

from matchmark.reference.alerts import Alerts
from matchmark.reference.stage_counts import StageCounts

ROLES = (
    "writer",
    "engine",
    "gateway",
    "admin",
    "cluster",
    "breaker",
    "direct_feed",
    "market_data",
    "ledger",
    "publisher",
)
SIDE_ROLES = ROLES[6:]
"""On nobody's path: they run where they are configured, and the exchange goes on without them."""
SIDE_COUNTERS: dict[str, tuple[str, ...]] = {
    "direct_feed": (
        "sequence",
        "packets",
        "messages",
        "requests",
        "resent",
        "ignored",
        "from_log",
        "send_errors",
    ),
    "market_data": ("sequence", "clients", "messages", "conflated", "dropped_clients", "stale"),
    "ledger": ("sequence", "transactions", "connected", "postings", "stopped_at"),
    "publisher": ("sequence", "messages", "connected", "errors"),
}
"""What each tells in /status, at most _SIDE_WORDS words; `sequence`: the last record that it has dealt with."""
_SIDE_WORDS = 16
_RESTARTS_AT, _COUNTERS_AT, _REPLICATION_AT, _SWITCHOVER_AT, _SIDE_AT, _PORT_AT, _WORDS = (
    16, 32, 256, 264, 272, 400, 512
)  # fmt: skip
REPLICATION = ("connected", "standby_sequence", "lag_p99_ns", "round_trip_ns")
"""Of the standby in step, as the primary knows it: sequence that it has executed; lag of the last second."""


class Board:
    """Anonymous memory: made before the roles are forked, it is theirs too. `port_names`: counters of a poll-mode port."""

    def __init__(self, counter_names: tuple[str, ...], alerts: Alerts, port_names: tuple[str, ...] = ()) -> None:
        self.alerts = alerts
        self.stages = StageCounts()
        self._memory = mmap.mmap(-1, _WORDS * 8)
        self._words: Any = memoryview(self._memory).cast("Q")
        self._names, self._port_names = counter_names, port_names

    def set_pid(self, role: str, pid: int) -> None:
        """0: it is not running."""
        self._words[ROLES.index(role)] = pid

    def pids(self) -> dict[str, int]:
        """0: a role that does not run at the moment; `cluster` and side roles only where they run."""
        pids = {role: int(self._words[n]) for n, role in enumerate(ROLES)}
        return {role: pid for role, pid in pids.items() if pid or role not in ("cluster", *SIDE_ROLES)}

    def count_restart(self, role: str) -> None:
        self._words[_RESTARTS_AT + ROLES.index(role)] += 1

    def restarts(self) -> dict[str, int]:
        counts = {role: int(self._words[_RESTARTS_AT + n]) for n, role in enumerate(ROLES)}
        return {role: n for role, n in counts.items() if n or role not in SIDE_ROLES}

    def ask_switchover(self) -> int:
        """The number of the request."""
        self._words[_SWITCHOVER_AT] += 1
        return int(self._words[_SWITCHOVER_AT])

    def switchovers_asked(self) -> int:
        return int(self._words[_SWITCHOVER_AT])

    def set_replication(self, *words: int) -> None:
        """In the order of REPLICATION."""
        for n, word in enumerate(words):
            self._words[_REPLICATION_AT + n] = word

    def replication(self) -> dict[str, int]:
        return {name: int(self._words[_REPLICATION_AT + n]) for n, name in enumerate(REPLICATION)}

    def set_side(self, role: str, **words: int) -> None:
        """Of a side role, by the role itself: names in SIDE_COUNTERS."""
        at = _SIDE_AT + SIDE_ROLES.index(role) * _SIDE_WORDS
        for name, word in words.items():
            self._words[at + SIDE_COUNTERS[role].index(name)] = word

    def side(self, role: str) -> dict[str, int]:
        at = _SIDE_AT + SIDE_ROLES.index(role) * _SIDE_WORDS
        return {name: int(self._words[at + n]) for n, name in enumerate(SIDE_COUNTERS[role])}

    def set_counters(self, counters: Mapping[str, int]) -> None:
        for n, name in enumerate(self._names):
            self._words[_COUNTERS_AT + n] = counters[name]

    def counters(self) -> dict[str, int]:
        """The running gateway's, counted from its start."""
        return {name: int(self._words[_COUNTERS_AT + n]) for n, name in enumerate(self._names)}

    def set_port(self, counters: Mapping[str, int]) -> None:
        for n, name in enumerate(self._port_names):
            self._words[_PORT_AT + n] = counters[name]

    def port(self) -> dict[str, int]:
        """The running gateway's port, counted from its start; empty without one."""
        return {name: int(self._words[_PORT_AT + n]) for n, name in enumerate(self._port_names)}
