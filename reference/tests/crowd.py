"""Many FIX sessions at once from one thread: logged on together, each with its own answers."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import simplefix

from .serving import decoded, utc


class Member:
    """One session. `said` holds what came, logon and heartbeats aside, in order."""

    def __init__(self, sender: str, token: str) -> None:
        self.sender, self.token, self.next_out = sender, token, 1
        self.socket: socket.socket | None = None
        self.rest = b""
        self.logged_on = self.cut = False
        self.said: list[dict[int, str]] = []
        self.unsent = b""

    def message(self, kind: str, *fields: tuple[int, object]) -> bytes:
        m = simplefix.FixMessage()
        head = ((8, "FIX.4.4"), (35, kind), (49, self.sender), (56, "MATCHMARK"), (34, self.next_out), (52, utc()))
        for tag, value in (*head, *fields):
            m.append_pair(tag, value)
        self.next_out += 1
        return bytes(m.encode())

    def logon(self) -> bytes:
        return self.message("A", (98, 0), (108, 60), (554, self.token))

    def order(self, cl: str, symbol: str, side: int, lots: int, price: str) -> bytes:
        return self.message(
            "D", (11, cl), (55, symbol), (54, side), (60, utc()), (38, lots), (40, 2), (44, price), (59, 0)
        )


class Crowd:
    """Its members connect to one port; `drive` moves all their bytes until something is so."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.members: list[Member] = []
        self._selector = selectors.DefaultSelector()

    def join(self, member: Member, first: bytes = b"") -> Member:
        """Connects, and sends `first` when it can."""
        member.socket = socket.socket()
        member.socket.setblocking(False)
        with suppress(BlockingIOError):
            member.socket.connect(("127.0.0.1", self.port))
        member.unsent = first
        self.members.append(member)
        self._selector.register(member.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, member)
        return member

    def send(self, member: Member, data: bytes) -> None:
        assert member.socket and not member.cut
        member.unsent += data
        self._selector.modify(member.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, member)

    def drive(self, done: Callable[[], bool], seconds: float = 60) -> bool:
        until = time.monotonic() + seconds
        while not done():
            if time.monotonic() > until:
                return False
            for key, ready in self._selector.select(0.05):
                self._move(key.data, ready)
        return True

    def _move(self, member: Member, ready: int) -> None:
        assert member.socket
        try:
            if ready & selectors.EVENT_WRITE:
                member.unsent = member.unsent[member.socket.send(member.unsent) :] if member.unsent else b""
                if not member.unsent:
                    self._selector.modify(member.socket, selectors.EVENT_READ, member)
            if ready & selectors.EVENT_READ:
                self._read(member, member.socket.recv(1 << 16))
        except BlockingIOError:
            pass
        except OSError:
            self.leave(member)

    def _read(self, member: Member, data: bytes) -> None:
        if not data:
            self.leave(member)
            return
        messages, member.rest = decoded(member.rest + data)
        for fields in messages:
            member.logged_on |= fields[35] == "A"
            if fields[35] not in "A01":
                member.said.append(fields)

    def leave(self, member: Member) -> None:
        """Closes its connection; what it said stays."""
        if member.socket:
            self._selector.unregister(member.socket)
            member.socket.close()
        member.socket, member.cut = None, True

    def close(self) -> None:
        for member in self.members:
            self.leave(member)
        self._selector.close()


def all_of(members: Iterable[Member], so: Callable[[Member], bool]) -> Callable[[], bool]:
    """Whether all are so; those once found so are not asked again."""
    waiting = list(members)

    def done() -> bool:
        waiting[:] = [member for member in waiting if not so(member)]
        return not waiting

    return done
