"""Clients of a market data feed over WebSocket: one, or hundreds, all read by one thread.

A Subscriber records everything that it says and hears (`stream`, as the kit's FIX clients do) and judges nothing. Use a Feed as
a context manager; its end closes every connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from matchmark.conformance.market_data.decoder import DEPTH, PROTOBUF, Decoder, Message, Request
from matchmark.conformance.market_data.updates import (
    Dropped,
    Heard,
    LoggedOn,
    Refused,
    Subscribed,
    Unsubscribed,
    Update,
)

OPEN_TIMEOUT_S = 30.0
POLL_S = 0.002
MESSAGE_MAX = 1 << 24
T = TypeVar("T")


class FeedError(Exception):
    """The feed cannot be reached, or ended a connection that should be there."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a Line of evidence needs of a message."""

    raw: bytes
    at_ns: int


@dataclass(frozen=True, slots=True)
class FeedLine:
    sent: bool
    message: Said


class Feed:
    """Where subscribers connect to: `url`, with a new decoder for each of them."""

    def __init__(self, url: str, decoder: Callable[[], Decoder], token: str | None = None) -> None:
        self.url, self.token = url, token
        self.subscribers: list[Subscriber] = []
        self._decoder = decoder
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="market-data", daemon=True)
        self._thread.start()

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if not self._loop.is_running():
            return
        self.call(self._close_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close_all(self) -> None:
        await asyncio.gather(*(s.end() for s in self.subscribers), return_exceptions=True)

    def call(self, work: Awaitable[T]) -> T:
        """Done by the thread that reads."""

        async def done() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result()

    def connect(self, name: str = "", *, login: bool = True, receive_buffer: int | None = None) -> Subscriber:
        """`login`: with this feed's token, if it has one. FeedError when the connection is refused."""
        return self.connect_many(1, name, login=login, receive_buffer=receive_buffer)[0]

    def connect_many(
        self, count: int, name: str = "", *, login: bool = True, receive_buffer: int | None = None
    ) -> list[Subscriber]:
        new = []
        for _ in range(count):
            label = name if name and count == 1 else f"{name or 'feed'}-{len(self.subscribers) + 1}"
            new.append(Subscriber(self, label, self._decoder()))
            self.subscribers.append(new[-1])

        async def all_of_them() -> None:
            at_once = asyncio.Semaphore(64)

            async def one(subscriber: Subscriber) -> None:
                async with at_once:
                    await subscriber.open(receive_buffer)
                    if login and self.token is not None:
                        await subscriber.log_in(self.token)

            await asyncio.gather(*(one(subscriber) for subscriber in new))

        self.call(all_of_them())
        return new


class Subscriber:
    """One connection. `heard` grows while its thread reads; what is in it never changes."""

    def __init__(self, feed: Feed, name: str, decoder: Decoder) -> None:
        self.feed, self.name, self.decoder = feed, name, decoder
        self.heard: list[Heard] = []
        self.stream: list[FeedLine] = []
        self.ended: str | None = None
        """How the connection ended; None while it is there."""
        self._numbers = 0
        self._connection: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._reading = asyncio.Event()

    # --- in the thread that reads ---

    async def open(self, receive_buffer: int | None) -> None:
        at = urlsplit(self.feed.url)
        more: dict[str, Any] = {}
        try:
            if receive_buffer is not None:
                raw = socket.socket()
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
                raw.setblocking(False)
                await asyncio.get_running_loop().sock_connect(raw, (at.hostname or "127.0.0.1", at.port or 80))
                more = {"sock": raw}
            self._connection = await connect(
                self.feed.url, compression=None, max_size=MESSAGE_MAX, max_queue=8 if receive_buffer else 4096,
                open_timeout=OPEN_TIMEOUT_S, close_timeout=2, ping_interval=None, proxy=None, **more,
            )  # fmt: skip
        except (OSError, WebSocketException, TimeoutError) as error:
            raise FeedError(f"the market data feed at {self.feed.url} takes no connection: {error}") from None
        self._reading.set()
        self._reader = asyncio.create_task(self._read())

    async def log_in(self, token: str) -> None:
        if (message := self.decoder.login(token)) is not None:
            await self.send_message(message)

    async def send_message(self, message: Message) -> None:
        assert self._connection is not None
        raw = message if isinstance(message, bytes) else message.encode()
        self.stream.append(FeedLine(True, Said(raw, time.perf_counter_ns())))
        try:
            await self._connection.send(message)
        except ConnectionClosed as error:
            self.ended = self.ended or str(error)

    async def _read(self) -> None:
        assert self._connection is not None
        try:
            while True:
                await self._reading.wait()
                message = await self._connection.recv()
                at_ns = time.perf_counter_ns()
                heard = self.decoder.read(message, at_ns)
                raw = message.encode() if isinstance(message, str) else str_of(heard).encode()
                self.stream.append(FeedLine(False, Said(raw, at_ns)))
                self.heard.extend(heard)
        except ConnectionClosed as error:
            self.ended = self.ended or str(error)

    async def end(self) -> None:
        self._reading.set()
        if self._connection is not None:
            with contextlib.suppress(OSError, WebSocketException):
                await self._connection.close()
        if self._reader is not None:
            await asyncio.gather(self._reader, return_exceptions=True)

    # --- asking ---

    def close(self) -> None:
        self.feed.call(self.end())

    def send(self, message: Message) -> None:
        """Whatever it is."""
        self.feed.call(self.send_message(message))

    def subscribe(
        self,
        symbols: Sequence[str],
        channel: str = DEPTH,
        encoding: str = PROTOBUF,
        after: dict[str, int] | None = None,
        timeout_s: float = OPEN_TIMEOUT_S,
    ) -> Subscribed | Refused | None:
        """The answer; None when none came."""
        number = self.ask_subscription(symbols, channel, encoding, after)
        return self.answer(number, timeout_s)

    def ask_subscription(
        self,
        symbols: Sequence[str],
        channel: str = DEPTH,
        encoding: str = PROTOBUF,
        after: dict[str, int] | None = None,
    ) -> int:
        self._numbers += 1
        self.send(self.decoder.subscribe(Request(self._numbers, tuple(symbols), channel, encoding, after or {})))
        return self._numbers

    def answer(self, number: int, timeout_s: float = OPEN_TIMEOUT_S) -> Subscribed | Refused | None:
        def answered() -> Subscribed | Refused | None:
            for h in self.heard:
                if isinstance(h, Subscribed) and h.request == number:
                    return h
                if isinstance(h, Refused) and h.request in (number, None):
                    return h
            return None

        self.wait(lambda: answered() is not None or self.ended is not None, timeout_s)
        return answered()

    def unsubscribe(self, symbols: Sequence[str], timeout_s: float = OPEN_TIMEOUT_S) -> Unsubscribed | None:
        self._numbers += 1
        number = self._numbers
        self.send(self.decoder.unsubscribe(number, symbols))
        self.wait(lambda: any(isinstance(h, Unsubscribed) and h.request == number for h in self.heard), timeout_s)
        return next((h for h in self.heard if isinstance(h, Unsubscribed) and h.request == number), None)

    def pause(self) -> None:
        """Reads no more until `resume`: what comes stays with the kernel."""
        self.feed.call(self._set(False))

    def resume(self) -> None:
        self.feed.call(self._set(True))

    async def _set(self, reading: bool) -> None:
        (self._reading.set if reading else self._reading.clear)()

    # --- hearing ---

    def updates(self, symbol: str | None = None) -> list[Update]:
        return [h for h in list(self.heard) if isinstance(h, Update) and symbol in (None, h.symbol)]

    def all_of(self, kind: type[T]) -> list[T]:
        return [h for h in list(self.heard) if isinstance(h, kind)]

    @property
    def dropped(self) -> Dropped | None:
        return next((h for h in list(self.heard) if isinstance(h, Dropped)), None)

    @property
    def logged_on(self) -> bool:
        return any(isinstance(h, LoggedOn) for h in list(self.heard))

    def wait(self, true: Callable[[], bool], timeout_s: float) -> bool:
        """Whether it came true in time."""
        until = time.monotonic() + timeout_s
        while not true():
            if time.monotonic() > until:
                return False
            time.sleep(POLL_S)
        return True


def str_of(heard: Sequence[Heard]) -> str:
    return "; ".join(map(str, heard))
