"""A client: one order after the other, each sent again, to one member after the other, until it is acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matchmark.reference.simulate.world import MS, Handler

if TYPE_CHECKING:
    from matchmark.reference.simulate.cluster import Cluster

KEYS = 1_000_000
"""Order n of client c has the key c * KEYS + n, whoever it is sent to and however often."""


class Client:
    def __init__(self, cluster: Cluster, number: int) -> None:
        self._cluster, self._world = cluster, cluster.world
        self._key = number * KEYS
        self._attempt = 0
        self._waiting = False
        self._target = 0
        self.acknowledgements = 0
        self.sent = 0
        self._world.at(self._world.rng.randint(0, 50 * MS), self._next)

    def _next(self) -> None:
        self._key += 1
        self.sent += 1
        self._waiting = True
        self._send(self._key)

    def _send(self, key: int) -> None:
        if key != self._key or not self._waiting:
            return
        self._attempt += 1
        rng = self._world.rng
        member = self._cluster.members[self._target]
        delay = rng.randint(50_000, 2 * MS)
        if not member.up:
            self._world.at(delay, self.refused, key)
            return
        self._world.at(delay, member.fire, member.life, member.order, (self, key))
        self._world.at(rng.randint(250 * MS, 500 * MS), self._waited, key, self._attempt)

    def _waited(self, key: int, attempt: int) -> None:
        if attempt == self._attempt:
            self._elsewhere()
            self._send(key)

    def refused(self, key: int) -> None:
        if key == self._key and self._waiting:
            self._attempt += 1
            self._elsewhere()
            self._world.at(self._world.rng.randint(50 * MS, 150 * MS), self._send, key)

    def _elsewhere(self) -> None:
        self._target = (self._target + 1) % len(self._cluster.members)

    def acknowledged(self, key: int) -> None:
        if key == self._key and self._waiting:
            self._waiting = False
            self.acknowledgements += 1
            self._attempt += 1
            self._world.at(self._world.rng.randint(20 * MS, 160 * MS), self._next)

    def answer_later(self, what: Handler, *args: Any) -> None:
        """An answer under way to this client; now and then one is lost."""
        if self._world.rng.random() >= 0.01:
            self._world.at(self._world.rng.randint(50_000, 2 * MS), what, *args)
