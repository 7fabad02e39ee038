"""Which processes the readers are made of, and how one is found to be killed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PUBLISHER, MARKET_DATA, CHILD, LEDGER = "publisher", "market_data", "market_data child", "ledger"
BROKER, POSTGRESQL, BACKEND = "broker", "postgresql", "postgresql backend"
ROLES = (PUBLISHER, MARKET_DATA, LEDGER, BROKER, POSTGRESQL, CHILD, BACKEND)
STARTED_AGAIN = {PUBLISHER: PUBLISHER, MARKET_DATA: MARKET_DATA, CHILD: MARKET_DATA, LEDGER: LEDGER}
"""The exchange's role whose process is another one afterwards. A child's server takes all of its role down with it."""
FIND_S = 30.0


def children(pid: int) -> list[int]:
    """Of a process, those that are not on their way out."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with suppress(OSError):
                words = (path / "stat").read_text().rpartition(") ")[2].split()
                if int(words[1]) == pid and words[0] != "Z":
                    found.append(int(path.name))
    return found


def postmaster(cluster: Path) -> int:
    """Its process id; 0 while there is none."""
    with suppress(OSError, IndexError, ValueError):
        pid = int((cluster / "postmaster.pid").read_text().splitlines()[0])
        if str(cluster).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    return 0


def backends(cluster: Path, user: str) -> list[int]:
    """Processes of PostgreSQL that serve a client, by what they call themselves."""
    found = []
    for pid in children(postmaster(cluster)):
        with suppress(OSError):
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(f"postgres: {user} ".encode()):
                found.append(pid)
    return found


def one_of(ask: Callable[[], list[int]], chance: random.Random) -> int:
    """One of the processes, as soon as there is one; 0 when there is none in time."""
    until = time.monotonic() + FIND_S
    while time.monotonic() < until:
        if pids := sorted(ask()):
            return chance.choice(pids)
        time.sleep(0.02)
    return 0
