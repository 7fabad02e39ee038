"""What happens on a game day and when: pure functions of the seed, so that a day can be had again.

A schedule says after how many orders and how much longer a fault strikes. Where in the exchange's work that is, nobody can say
before; the same schedule strikes at the same kind of place again and again.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from matchmark.chaos.faults.disk_state import Keep

STEPS_MAX = 5
"""Faults of one episode: then a fresh exchange, so that its log does not grow without end."""
JITTER_US = 20_000
KEEPS = (Keep.NOTHING, Keep.TORN, Keep.REORDERED, Keep.PREFIX)
ALL = "all"


@dataclass(frozen=True)
class Step:
    """A fault: `after_orders` since the last one, and `delay_us` more. `for_ms`: how long it holds, of one that is healed."""

    fault: str
    role: str
    after_orders: int
    delay_us: int
    keep: str = str(Keep.NOTHING)
    for_ms: int = 0

    @property
    def words(self) -> str:
        return f"{self.fault} {self.role}".strip()


@dataclass(frozen=True)
class EpisodePlan:
    """A fresh exchange under load, its faults one after the other, then the checks. `storage`: plain, l0, l1-xfs or l1-ext4."""

    scenario: str
    target: str
    storage: str
    seed: int
    steps: tuple[Step, ...]
    pair: bool = False
    """Of a primary and a standby."""
    readers: bool = False
    """With all who read the exchange, of whom the faults are."""

    def document(self) -> dict[str, Any]:
        return asdict(self)


def plan_of(document: dict[str, Any]) -> EpisodePlan:
    """From what `document` gave. TypeError or KeyError when it is none."""
    return EpisodePlan(**{**document, "steps": tuple(Step(**step) for step in document["steps"])})


@dataclass(frozen=True)
class Kind:
    """What a scenario draws its steps from."""

    fault: str
    roles: tuple[str, ...] = (ALL,)
    for_ms: tuple[int, int] = (0, 0)
    keeps: tuple[Keep, ...] = (Keep.NOTHING,)
    shuffled: bool = False
    """Each round of the roles comes in another order."""

    def role(self, n: int, seed: str) -> str:
        """The n-th one's."""
        order = list(self.roles)
        if self.shuffled:
            random.Random(f"{seed} {n // len(order)}").shuffle(order)
        return order[n % len(order)]


def episodes(
    scenario: str,
    targets: Sequence[str],
    storages: Sequence[str],
    kinds: Sequence[Kind],
    steps: int,
    rate: int,
    seed: int,
    steps_max: int = STEPS_MAX,
) -> list[EpisodePlan]:
    """`steps` faults in episodes. Targets, storages, kinds and roles come in turn, so that none is left out."""
    out: list[EpisodePlan] = []
    done = 0
    while done < steps:
        n = len(out)
        chance = random.Random(f"{seed} {scenario} {n}")
        count = min(steps_max, steps - done)
        own = tuple(
            _step(kinds[(done + i) % len(kinds)], (done + i) // len(kinds), rate, chance, f"{seed} {scenario}")
            for i in range(count)
        )
        target, storage = targets[n % len(targets)], storages[(n + n // len(targets)) % len(storages)]
        out.append(EpisodePlan(scenario, target, storage, chance.randrange(1 << 32), own))
        done += count
    return out


def _step(kind: Kind, n: int, rate: int, chance: random.Random, seed: str) -> Step:
    """Between a fifth and three quarters of a second of load before it."""
    orders = chance.randint(rate // 5, rate * 3 // 4)
    for_ms = chance.randint(*kind.for_ms)
    keep = kind.keeps[n % len(kind.keeps)]
    return Step(kind.fault, kind.role(n, seed), orders, chance.randrange(JITTER_US), str(keep), for_ms)
