"""The scenarios of a game day: which faults, on what storage, and what they need of the target and of the machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from matchmark.chaos.faults.machine import cannot_have
from matchmark.chaos.faults.mounting import cannot_mount
from matchmark.chaos.faults.partition import cannot_part
from matchmark.chaos.readers.kills import ROLES as READERS
from matchmark.chaos.readers.services import cannot_read
from matchmark.chaos.schedule import ALL, KEEPS, STEPS_MAX, Kind

Need = Callable[[], str | None]


@dataclass(frozen=True)
class Scenario:
    """`counts` says what its faults are counted as; `capability`: one that the target must declare. Each of `storages` has a
    function that says why this machine cannot have it."""

    name: str
    does: str
    counts: str
    kinds: tuple[Kind, ...]
    storages: tuple[tuple[str, Need], ...]
    capability: str | None = "restart"
    others: int = 0
    """Faults of it in a run, where they are neither kills nor cuts."""
    pair: bool = False
    """It needs a primary and a standby."""
    readers: bool = False
    """It is played with all who read the exchange, the built-in one alone, and only where it is asked for by name."""
    load_s_max: int = 12
    """Of an episode, of the readers for each kill: so long the load's ledger has room at the full rate."""
    rate_max: int = 1 << 30
    """Orders a second that it can use."""
    steps_max: int = STEPS_MAX

    def possible(self) -> list[str]:
        """Storages that this machine has."""
        return [storage for storage, needs in self.storages if needs() is None]

    def lacks(self) -> str | None:
        """Why this machine can do none of it."""
        return None if self.possible() else "; ".join(filter(None, (needs() for _, needs in self.storages)))


def nothing() -> str | None:
    return None


L1: tuple[tuple[str, Need], ...] = (
    ("l1-xfs", partial(cannot_have, "xfs")),
    ("l1-ext4", partial(cannot_have, "ext4")),
)
ROLES = ("engine", ALL, "writer", "gateway")
DISK = ("full", "write", "stall", "flush", "slow", "short")
READERS_RATE, READERS_STEPS = 500, 25
SCENARIOS = (
    Scenario(
        "kill",
        "kill -9 of engine, writer, gateway, everything; the supervisor or the kit starts it again",
        "kills",
        (Kind("kill", ROLES),),
        (("plain", nothing),),
    ),
    Scenario(
        "power-cut",
        "the power goes on a disk that drops what was not flushed (FUSE; no privileges)",
        "cuts",
        (Kind("cut", (ALL,), keeps=KEEPS),),
        (("l0", cannot_mount),),
        "power_cut",
    ),
    Scenario(
        "machine-cut",
        "a whole machine loses its power: XFS and ext4 shut down without their log, memory and page cache gone (root)",
        "cuts",
        (Kind("cut"),),
        L1,
        "power_cut",
    ),
    Scenario(
        "disk",
        "the disk is full, fails a write or a flush, writes in part, stands still or is slow; it is repaired (FUSE)",
        "disk faults",
        (Kind("disk", DISK, (200, 600)),),
        (("l0", cannot_mount),),
        others=6,
        load_s_max=40,
        steps_max=2,
    ),
    Scenario(
        "pause",
        "engine, writer, gateway or everything stands still for a moment and goes on",
        "pauses",
        (Kind("pause", ROLES, (50, 400)),),
        (("plain", nothing),),
        others=4,
    ),
    Scenario(
        "failover",
        "kill -9 of a whole primary; its standby takes over, and it comes back as a standby",
        "kills",
        (Kind("failover"),),
        (("plain", nothing),),
        pair=True,
        load_s_max=40,
    ),
    Scenario(
        "failover-cut",
        "the primary's machine loses its power; its standby takes over from its log",
        "cuts",
        (Kind("cut"),),
        L1,
        "power_cut",
        pair=True,
        load_s_max=40,
    ),
    Scenario(
        "zombie",
        "a primary stands still until another has taken over, and wakes up; a standby that has stood still wakes up",
        "zombies",
        (Kind("zombie"), Kind("lonely", for_ms=(2500, 4000))),
        (("plain", nothing),),
        others=4,
        pair=True,
        load_s_max=40,
    ),
    Scenario(
        "partition",
        "what the primary says to its standby is lost, or what the standby says to it; never two who acknowledge (root, nft)",
        "partitions",
        (Kind("partition", ("primary", "standby"), for_ms=(4500, 7000)),),
        (("plain", cannot_part),),
        others=2,
        pair=True,
        load_s_max=60,
    ),
    Scenario(
        "readers",
        "kill -9 of publisher, market data, ledger, a broker of Kafka and PostgreSQL; all of them must say what the log says",
        "kills",
        (Kind("kill", READERS, shuffled=True),),
        (("plain", cannot_read),),
        readers=True,
        load_s_max=60,
        rate_max=READERS_RATE,
        steps_max=READERS_STEPS,
    ),
)
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
