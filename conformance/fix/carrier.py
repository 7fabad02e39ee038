"""Bytes of one TCP connection: sends all or says why not, and reads while it waits to send, lest both sides wait."""

from __future__ import annotations

import select
import socket
import struct
import time
from contextlib import suppress
from typing import Protocol

READ_BYTES = 1 << 18
CONNECT_TIMEOUT_S = 10.0
SEND_TIMEOUT_S = 10.0

Chunk = tuple[bytes, int]
"""Bytes, and perf_counter_ns when they were read."""


class CutOff(Exception):
    """The connection was ended by the other side while there was something to send."""


class Unread(Exception):
    """The other side does not read."""


class Connection(Protocol):
    """What a FIX client needs of whoever carries its bytes. CutOff and Unread come from `write`."""

    @property
    def ended(self) -> bool:
        """The other side closed; what it said before has been read."""

    @property
    def unread(self) -> bool:
        """Something has come, and `read` did not give it yet."""

    def fileno(self) -> int: ...
    def close(self, reset: bool = False) -> None: ...
    def write(self, data: bytes) -> None: ...
    def read(self, wait_s: float) -> list[Chunk]: ...


class Carrier:
    """Over a socket of the kernel's."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._readable = select.poll()
        self._readable.register(self._socket, select.POLLIN)
        self._early: list[Chunk] = []  # read while something was to be sent
        self.ended = False
        """The other side closed; what it said before has been read."""

    @property
    def unread(self) -> bool:
        """Something was read while sending, and `read` did not give it yet."""
        return bool(self._early)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self, reset: bool = False) -> None:
        """Closes; with `reset` by a TCP reset, which throws away what is under way."""
        with suppress(OSError):
            if reset:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._socket.close()

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                self._wait_writable()
            except OSError as error:
                self._read_to_end()
                raise CutOff(error.strerror) from None

    def read(self, wait_s: float) -> list[Chunk]:
        """What is there; after at most `wait_s` nothing. Look at `ended` too."""
        if self._early:
            chunks, self._early = self._early, []
            return chunks
        if self.ended:
            return []
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            if wait_s <= 0 or not self._readable.poll(wait_s * 1000):
                return []
            try:
                data = self._socket.recv(READ_BYTES)
            except BlockingIOError:
                return []
            except OSError:
                data = b""
        except OSError:
            data = b""
        if data:
            return [(data, time.perf_counter_ns())]
        self.ended = True
        return []

    def _wait_writable(self) -> None:
        ready = select.poll()
        ready.register(self._socket, select.POLLIN | select.POLLOUT)
        if not ready.poll(SEND_TIMEOUT_S * 1000):
            raise Unread(f"nothing could be sent for {SEND_TIMEOUT_S:g} s")
        with suppress(OSError):
            data = self._socket.recv(READ_BYTES)
            if data:
                self._early.append((data, time.perf_counter_ns()))

    def _read_to_end(self) -> None:
        """What a connection that was cut said last is the reason."""
        with suppress(OSError):
            while data := self._socket.recv(READ_BYTES):
                self._early.append((data, time.perf_counter_ns()))
        self.ended = True
