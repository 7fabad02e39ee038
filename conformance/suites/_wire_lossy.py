"""A cable that loses and doubles frames both ways, by chance from a seed: the kit's own end does it, so nothing else is in
between."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

from matchmark.conformance.packets.raw_port import Port
from matchmark.conformance.wire_venue import WireVenue

LOST, DOUBLED = 0.05, 0.03


class LossyPort:
    """Stands in for the station's port."""

    def __init__(self, port: Port, chance: random.Random) -> None:
        self._port, self._chance = port, chance
        self.lost = 0

    def fileno(self) -> int:
        return self._port.fileno()

    def send(self, frame: bytes) -> None:
        for _ in range(self._copies()):
            self._port.send(frame)

    def receive(self, timeout_s: float = 0.0, most: int = 256) -> list[tuple[bytes, int]]:
        return [one for one in self._port.receive(timeout_s, most) for _ in range(self._copies())]

    def _copies(self) -> int:
        fate = self._chance.random()
        self.lost += fate < LOST
        return 0 if fate < LOST else 2 if fate > 1 - DOUBLED else 1


@contextmanager
def lossy(venue: WireVenue, chance: random.Random) -> Iterator[LossyPort]:
    station = venue.station
    sound, between = station.port, LossyPort(station.port, chance)
    station.port = between
    try:
        yield between
    finally:
        station.port = sound
