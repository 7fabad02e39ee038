"""Simulated time and network. One random generator and one queue decide everything, so a seed is one history."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matchmark.reference.simulate.member import Member

MS = 1_000_000
SECOND = 1_000 * MS
Handler = Callable[..., None]


class Violation(AssertionError):
    """Something happened that must not; or did not happen that must."""


class World:
    """`now` is true time, ns. `trace`: keep the timeline; it costs half of the speed."""

    def __init__(self, seed: int, trace: bool = False) -> None:
        self.rng = random.Random(seed)
        self.now = 0
        self.timeline: list[tuple[int, str, str]] = []
        self.trace = trace
        self.events = 0
        self._queue: list[tuple[int, int, Handler, tuple[Any, ...]]] = []

    def at(self, delay: int, what: Handler, *args: Any) -> None:
        self.events += 1
        heapq.heappush(self._queue, (self.now + delay, self.events, what, args))

    def run(self, until: int, done: Callable[[], bool]) -> bool:
        """True as soon as `done`, which is asked after each event; False when `until` came first."""
        queue = self._queue
        while queue and queue[0][0] <= until:
            self.now, _, what, args = heapq.heappop(queue)
            what(*args)
            if done():
                return True
        self.now = max(self.now, until)
        return False

    def say(self, who: str, text: str) -> None:
        if self.trace:
            self.timeline.append((self.now, who, text))


class Network:
    """Messages between members: late, lost, cut one way or both; in order, as on a connection.

    A message that is lost breaks the connection it belonged to: both ends hear of it a little later.
    """

    def __init__(self, world: World, members: int) -> None:
        self._world = world
        self.delay_ns = world.rng.choice(((50_000, MS), (300_000, 5 * MS), (2 * MS, 40 * MS)))
        self.loss = world.rng.choice((0.0, 0.0, 0.002, 0.02))
        self.cuts: dict[tuple[int, int], int] = {}
        """From, to: how many faults cut it."""
        self.slow: dict[tuple[int, int], int] = {}
        """From, to: how much later than else, ns."""
        self._last: dict[tuple[int, int], int] = {}
        self._members = members

    def send(self, source: Member, target: Member, what: Handler, *args: Any, broken: Handler | None = None) -> None:
        """`broken` runs at both ends' expense when the message does not arrive."""
        world = self._world
        link = (source.number, target.number)
        if self.cuts.get(link) or (self.loss and world.rng.random() < self.loss):
            if broken is not None:
                world.at(100 * MS, broken)
            return
        delay = world.rng.randint(*self.delay_ns) + self.slow.get(link, 0)
        at = max(world.now + delay, self._last.get(link, 0) + 1)
        self._last[link] = at
        world.at(at - world.now, target.fire, target.life, what, args)
