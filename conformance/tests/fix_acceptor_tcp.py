"""The sockets of the scripted acceptor, all in one thread, with what a connection and a session remember."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from dataclasses import dataclass, field

from matchmark.conformance.fix.message import Field, FixMessage
from matchmark.conformance.fix.wire import Reader

TICK_S = 0.02


@dataclass
class Session:
    """What outlives a connection."""

    name: str
    account: str
    next_in: int = 1
    next_out: int = 1
    kept: dict[int, tuple[str, list[Field], str]] = field(default_factory=dict)
    connection: Connection | None = None


class Connection:
    def __init__(self, s: socket.socket) -> None:
        self.socket = s
        self.reader = Reader("FIX.4.4")
        self.out = b""
        self.session: Session | None = None
        self.beat_s = 0.0
        self.heard = self.said = self.asked = 0.0
        self.expires_s = 0.0
        self.behind: dict[int, FixMessage] = {}
        self.gap_asked = 0
        self.ending = 0.0
        """When a logged-out connection is closed at the latest."""
        self.closed = False
        self.cancels = False
        """Cancel-on-disconnect was asked for."""


class Server:
    """The sockets; what is said on them is a subclass's affair."""

    def __init__(self, *faults: str) -> None:
        self.faults = frozenset(faults)
        self.asked_for: set[str] = set()
        self.sessions: dict[str, Session] = {}
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.listener.setblocking(False)
        self.port = int(self.listener.getsockname()[1])
        self._events = selectors.DefaultSelector()
        self._events.register(self.listener, selectors.EVENT_READ)
        self.connections: set[Connection] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        for connection in list(self.connections):
            self.cut(connection)
        self.listener.close()
        self._events.close()

    def is_wrong(self, fault: str) -> bool:
        self.asked_for.add(fault)
        return fault in self.faults

    # --- bytes ---

    def _run(self) -> None:
        while not self._stop.is_set():
            for key, mask in self._events.select(TICK_S):
                if key.data is None:
                    self._accept()
                elif mask & selectors.EVENT_READ:
                    self._read(key.data)
            for c in list(self.connections):
                self.tick(c, time.monotonic())
                self._flush(c)

    def _accept(self) -> None:
        for _ in range(100):
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            if self.is_wrong("strangers hold everybody up"):
                time.sleep(0.1)
            s.setblocking(False)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
            c = Connection(s)
            c.heard = time.monotonic()
            self.connections.add(c)
            self._events.register(s, selectors.EVENT_READ, c)

    def _read(self, c: Connection) -> None:
        if c.closed:
            return
        try:
            data = c.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.cut(c)
            return
        c.heard = time.monotonic()
        self.received(c, data)

    def cut(self, c: Connection) -> None:
        if c.closed:
            return
        self._flush(c)
        c.closed = True
        self.connections.discard(c)
        self._events.unregister(c.socket)
        c.socket.close()
        self.lost(c)

    def received(self, c: Connection, data: bytes) -> None:
        raise NotImplementedError

    def lost(self, c: Connection) -> None:
        raise NotImplementedError

    def tick(self, c: Connection, now: float) -> None:
        raise NotImplementedError

    def _flush(self, c: Connection) -> None:
        if not c.out or c.closed:
            return
        try:
            c.socket.settimeout(3 if self.is_wrong("who does not read holds everybody up") else 0)
            c.out = c.out[c.socket.send(c.out) :]
        except (BlockingIOError, TimeoutError):
            return
        except OSError:
            c.out = b""
