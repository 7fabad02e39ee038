"""A TCP proxy between FIX clients and a sound exchange, which a wire mutant alters on its way.

Unless the bug is about numbers, a session never shows that a message was taken out or put in: what follows is numbered
anew, resend requests are answered in the numbers that the client knows, and so a dropped report was "never sent" rather than
lost. What no mutant touched passes as the bytes that came, garbage included.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterable

from matchmark.conformance.selftest.wire_message import Message, Numbering, Splitter, utc

HOLD_S = 0.03
"""A held message, or the beginning of one, waits so long for what comes behind it, and then passes by itself."""
READ_BYTES = 1 << 16
BACKLOG = 4096


class Wire:
    """What happens to the messages of one exchange: nothing. A mutant overrides what it gets wrong.

    Each hook gives the messages that go on in place of the one that came. They are numbered as if the exchange had sent just
    them; `resent` messages keep the numbers that they have.
    """

    def to_exchange(self, link: Link, m: Message) -> list[Message]:
        return [m]

    def to_client(self, link: Link, m: Message) -> list[Message]:
        return [m]

    def resent(self, link: Link, m: Message) -> list[Message]:
        """Of what the exchange sends a second time: PossDup messages and gap fills. What was altered the first time stays so."""
        return [link.as_said(m)]

    def arrived(self, link: Link, parts: list[Message | bytes]) -> None:
        """May rearrange what came from the client in one read, before any of it is handled."""


class Session:
    """What outlives a connection: the numbers of one SenderCompID, and what it was told under numbers of ours."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.link: Link | None = None
        self.logon: Message | None = None
        """The exchange's last Logon: its header is that of all it sends."""
        self.outgoing, self.incoming = Numbering(), Numbering()
        self.last_source = self.last_passed = self.last_asked = 0
        self.sent: dict[int, Message] = {}

    def reset(self) -> None:
        self.outgoing.reset()
        self.incoming.reset()
        self.last_source = self.last_passed = 0
        self.sent.clear()


class _Ended(Exception):
    """The exchange has ended a connection."""


class Link:
    """One client's connection and the one to the exchange that it stands for."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.proxy = proxy
        self.session: Session | None = None
        self._client, self._to_client = reader, writer
        self._held: list[Message] = []
        self._reserved: list[int] = []

    async def run(self) -> None:
        try:
            self._exchange, self._to_exchange = await asyncio.open_connection(*self.proxy.upstream)
        except OSError:
            self._to_client.transport.abort()
            return
        ways = [asyncio.ensure_future(way) for way in (self._from_client(), self._from_exchange())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            self.close()
            for way in ways:
                way.cancel()
                with contextlib.suppress(OSError, _Ended, asyncio.CancelledError):
                    await way

    def close(self) -> None:
        """Ends both connections when what is on its way has gone out."""
        if self.session and self.session.link is self:
            self.session.link = None
        for writer in (self._to_client, self._to_exchange):
            writer.close()

    # --- client to exchange ---

    async def _from_client(self) -> None:
        splitter = Splitter()
        while (data := await self._read(self._client, splitter.waiting)) != b"":
            parts: list[Message | bytes] = [splitter.rest()] if data is None else splitter.feed(data)
            self.proxy.wire.arrived(self, parts)
            for part in parts:
                self._to_exchange.writelines([part] if isinstance(part, bytes) else self._taken(part))
            await self._to_exchange.drain()
        if rest := splitter.rest():
            self._to_exchange.write(rest)
        if self._to_exchange.can_write_eof():
            self._to_exchange.write_eof()

    def _taken(self, m: Message) -> list[bytes]:
        if self.session is None and m.kind == "A":
            self.session = self.proxy.session(m.get(49))
        session, number = self.session, m.seq
        if session is None:
            return [m.wire_bytes()]
        if m.kind == "2" and session.outgoing.changed:
            self._resend(int(m.get(7) or 1), int(m.get(16) or 0))
            out: list[Message] = []
        else:
            out = self.proxy.wire.to_exchange(self, m)
        first = session.incoming.passed(number)
        if not m.again and number > session.last_asked:
            session.last_asked = number
            session.incoming.shift(number, len(out) - 1)
        return [part.numbered(first + n).wire_bytes() for n, part in enumerate(out)]

    def _resend(self, begin: int, end: int) -> None:
        """Answers a resend request from what this session was told: the exchange knows it under other numbers."""
        session = self.session
        assert session
        last = session.last_passed if end == 0 else min(end, session.last_passed)
        gap = begin
        for number in sorted(n for n in session.sent if begin <= n <= last):
            self._fill(gap, number)
            first = session.sent[number]
            again = first.copy().set(43, "Y").set(122, first.get(52)).set(52, utc())
            self._to_client.write(again.encode())
            gap = number + 1
        self._fill(gap, last + 1)

    def _fill(self, begin: int, end: int) -> None:
        if begin < end and self.session and self.session.logon:
            fill = Message.make("4", self.session.logon, (123, "Y"), (36, str(end)))
            self._to_client.write(fill.set(43, "Y").set(122, utc()).numbered(begin).encode())

    # --- exchange to client ---

    async def _from_exchange(self) -> None:
        splitter = Splitter()
        while (data := await self._read(self._exchange, splitter.waiting or bool(self._held))) != b"":
            if data is None:
                self._to_client.writelines(self._numbered(self.released(), None))
            for part in [splitter.rest()] if data is None else splitter.feed(data):
                self._to_client.writelines([part] if isinstance(part, bytes) else self._told(part))
            await self._to_client.drain()
        self._to_client.writelines(self._numbered(self.released(), None))
        self._to_client.write(splitter.rest())
        await self._to_client.drain()
        raise _Ended  # and so do we, without waiting for the client

    def _told(self, m: Message) -> list[bytes]:
        session = self.session
        if session is None:
            return [m.wire_bytes()]
        if m.kind == "A":
            session.link, session.logon = self, m
            if m.get(141) == "Y":
                session.reset()
        if m.again:
            return [] if session.outgoing.changed else [x.wire_bytes() for x in self.proxy.wire.resent(self, m)]
        if session.incoming.changed:
            for tag in {"2": (7, 16), "3": (45,), "j": (45,)}.get(m.kind, ()):
                if number := int(m.get(tag) or 0):
                    m.set(tag, session.incoming.source(number))
        session.last_source = number = m.seq
        return self._numbered(self.proxy.wire.to_client(self, m), number)

    def _numbered(self, out: Iterable[Message], source: int | None) -> list[bytes]:
        """`out` under the numbers of what it stands for; what the exchange sends later moves up or down accordingly."""
        session, messages = self.session, list(out)
        if session is None:
            return [m.wire_bytes() for m in messages]
        pool = self._reserved + ([] if source is None else [session.outgoing.passed(source)])
        needed = len(messages) + len(self._held)
        session.outgoing.shift(session.last_source, needed - len(pool))
        first = pool[0] if pool else session.last_passed + 1
        numbers = range(first, first + needed)
        self._reserved = list(numbers[len(messages) :])
        wire = []
        for m, number in zip(messages, numbers, strict=False):
            session.last_passed = number
            m.numbered(number)
            if m.business:
                session.sent[number] = m
            if not m.lost:
                wire.append(m.wire_bytes())
        return wire

    # --- for mutants ---

    def hold(self, m: Message) -> None:
        """Keeps a message to the client back. It goes by itself when the exchange is silent for a while."""
        self._held.append(m)

    def released(self) -> list[Message]:
        """What was held, which is then no longer."""
        held, self._held = self._held, []
        return held

    def as_said(self, m: Message) -> Message:
        """A resent message with the content that the client was told under its number."""
        first = self.session.sent.get(m.seq) if self.session else None
        if first is None or not m.business or not first.changed:
            return m
        return first.copy().set(43, "Y").set(122, m.get(122)).set(52, m.get(52))

    def insert(self, m: Message) -> None:
        """Sends the client a message that the exchange did not."""
        session = self.session
        if session is None:
            return
        session.last_passed += 1
        session.outgoing.shift(session.last_source, 1)
        self._reserved = [number + 1 for number in self._reserved]
        session.sent[session.last_passed] = m.numbered(session.last_passed)
        self._to_client.write(m.wire_bytes())

    def say(self, m: Message) -> None:
        """Sends the client a message outside of any session's numbers."""
        self._to_client.write(m.wire_bytes())

    @property
    def backlog(self) -> int:
        """Bytes that the client has not taken yet, as far as they wait here."""
        return self._to_client.transport.get_write_buffer_size()

    def send_buffer(self, size: int) -> None:
        """So many bytes wait in the kernel for the client; without it some megabytes."""
        connection = self._to_client.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)

    def ask(self, m: Message) -> None:
        """Sends the exchange a message that the client did not."""
        session = self.session
        assert session
        number = session.incoming.passed(session.last_asked + 1)
        session.incoming.shift(session.last_asked, 1)
        self._to_exchange.write(m.numbered(number).wire_bytes())

    def cut(self) -> None:
        """Ends both connections at once."""
        self._to_client.transport.abort()
        self._to_exchange.transport.abort()

    @staticmethod
    async def _read(reader: asyncio.StreamReader, impatient: bool) -> bytes | None:
        """Bytes, b"" at the end, or None when something waits and nothing came."""
        if not impatient:
            return await reader.read(READ_BYTES)
        try:
            return await asyncio.wait_for(reader.read(READ_BYTES), HOLD_S)
        except TimeoutError:
            return None


class Proxy:
    """Listens for clients of the exchange at `upstream` and passes their messages through `wire`."""

    def __init__(self, wire: Wire, upstream: tuple[str, int]) -> None:
        self.wire, self.upstream = wire, upstream
        self.sessions: dict[str, Session] = {}
        self._links: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def listen(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """The port."""
        self._server = await asyncio.start_server(self._accept, host, port, backlog=BACKLOG, family=socket.AF_INET)
        return int(self._server.sockets[0].getsockname()[1])

    def session(self, name: str) -> Session:
        return self.sessions.setdefault(name, Session(name))

    def links(self) -> list[Link]:
        """Of the sessions that are on, by name."""
        return [s.link for _, s in sorted(self.sessions.items()) if s.link]

    async def close(self) -> None:
        if self._server:
            self._server.close()
        for task in list(self._links):
            task.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._links.add(task)
        try:
            await Link(self, reader, writer).run()
        finally:
            self._links.discard(task)
