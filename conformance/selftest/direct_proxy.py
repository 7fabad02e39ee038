"""A proxy between a sound exchange's direct feed and its receivers, for wire mutants: its group is another one's port, and each
packet, request and answer passes a mutant that gets one thing wrong."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from matchmark.conformance.packets.receiver import BUFFER_BYTES

PACKET_MAX = 2048
CLIENTS_MAX = 64
Address = tuple[str, int]


class DirectTap:
    """What happens to one exchange's direct feed: nothing. A mutant overrides what it gets wrong."""

    def ready(self, line: dict[str, Any]) -> None:
        """The exchange's readiness line."""

    def told(self, data: bytes) -> list[bytes]:
        """What goes to the group in place of a packet."""
        return [data]

    def asked(self, data: bytes) -> list[bytes]:
        """What the exchange is asked in place of a receiver's request."""
        return [data]

    def answered(self, data: bytes) -> list[bytes]:
        """What the receiver gets in place of an answer."""
        return [data]


class DirectProxy:
    def __init__(self, tap: DirectTap, url: str) -> None:
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        host, port = query["retransmit"][0].rsplit(":", 1)
        assert parts.hostname and parts.port
        self.tap, self._group, self._interface = tap, (parts.hostname, parts.port), query["interface"][0]
        self._exchange: Address = (host, int(port))
        self._in, self._out = _socket(), _socket()
        self._for: dict[Address, socket.socket] = {}
        """Of each receiver that has asked for something the socket that asks the exchange for it."""

    def listen(self) -> str:
        """The URL."""
        self._in.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._in.bind(self._group)
        member = socket.inet_aton(self._group[0]) + socket.inet_aton(self._interface)
        self._in.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        self._out.bind((self._interface, 0))
        self._out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(self._interface))
        host, port = self._out.getsockname()
        self._to = (self._group[0], port)
        self._read(self._in, lambda data, source: self._send(self.tap.told(data), self._to))
        self._read(self._out, self._ask)
        return f"udp://{self._group[0]}:{port}?interface={self._interface}&retransmit={host}:{port}"

    def close(self) -> None:
        loop = asyncio.get_running_loop()
        for one in (self._in, self._out, *self._for.values()):
            loop.remove_reader(one)
            one.close()

    def _read(self, one: socket.socket, take: Callable[[bytes, Address], None]) -> None:
        def read() -> None:
            try:
                while True:
                    take(*one.recvfrom(PACKET_MAX))
            except BlockingIOError:
                return

        asyncio.get_running_loop().add_reader(one, read)

    def _send(self, packets: list[bytes], to: Address) -> None:
        for data in packets:
            self._out.sendto(data, to)

    def _ask(self, data: bytes, source: Address) -> None:
        if source not in self._for:
            if len(self._for) >= CLIENTS_MAX:
                return
            self._for[source] = _socket()
            self._for[source].bind((self._interface, 0))
            self._read(self._for[source], lambda answer, _: self._send(self.tap.answered(answer), source))
        for request in self.tap.asked(data):
            self._for[source].sendto(request, self._exchange)


def _socket() -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    one.setblocking(False)
    return one
