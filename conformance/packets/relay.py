"""A bad cable: holds two interfaces together and loses, doubles and swaps frames."""

from __future__ import annotations

import random
import selectors
import socket
import threading

from matchmark.conformance.packets.namespace import inside

_ETH_P_ALL = 3


class Relay:
    """Carries frames between two interfaces, badly: of a hundred it loses 3, doubles 2, and holds 10 back behind the next."""

    def __init__(self, chance: random.Random) -> None:
        self._chance, self._stop = chance, threading.Event()
        self.lost = self.doubled = self.swapped = 0
        self._ends: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self, namespace: str, *interfaces: str) -> None:
        with inside(namespace):
            self._ends = [self._end(name) for name in interfaces]
        self._thread.start()

    @staticmethod
    def _end(name: str) -> socket.socket:
        end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        end.bind((name, 0))
        end.setblocking(False)
        return end

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for one, far in zip(self._ends, reversed(self._ends), strict=True):
                selector.register(one, selectors.EVENT_READ, far)
            held: dict[socket.socket, bytes] = {}
            while not self._stop.is_set():
                ready = selector.select(0.02)
                for key, _ in ready:
                    end, other = key.fileobj, key.data
                    assert isinstance(end, socket.socket)
                    frame, where = end.recvfrom(65536)
                    if where[2] != socket.PACKET_OUTGOING:
                        self._carry(frame, other, held)
                if not ready:
                    for late, frame in held.items():
                        late.send(frame)
                    held.clear()

    def _carry(self, frame: bytes, other: socket.socket, held: dict[socket.socket, bytes]) -> None:
        fate = self._chance.random()
        if fate < 0.03:
            self.lost += 1
        elif fate < 0.13 and other not in held:
            self.swapped += 1
            held[other] = frame
            return
        else:
            other.send(frame)
            if fate > 0.98:
                self.doubled += 1
                other.send(frame)
        if other in held:
            other.send(held.pop(other))

    def close(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        for end in self._ends:
            end.close()
