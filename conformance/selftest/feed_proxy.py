"""A WebSocket proxy between subscribers and a sound exchange, for wire mutants of market data: it takes each update apart, lets
the mutant get one thing wrong, and passes it on. Updates in JSON pass as they are."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, WebSocketException

from matchmark.conformance.market_data import schema

Update = Any
"""A message of the published schema."""


class Tap:
    """What happens to one exchange's market data: nothing. A mutant overrides what it gets wrong."""

    def asked(self, client: FeedClient, request: dict[str, Any]) -> list[dict[str, Any]]:
        """What the exchange is asked in place of a client's request."""
        return [request]

    def answered(self, client: FeedClient, answer: dict[str, Any]) -> list[dict[str, Any]]:
        """What the client is told in place of an answer, or of news about the feed."""
        return [answer]

    def updates(self, client: FeedClient, update: Update) -> list[Update]:
        """What the client is sent in place of an update."""
        return [update]

    def encoded(self, client: FeedClient, update: Update) -> bytes:
        return bytes(update.SerializeToString())

    async def send(self, client: FeedClient, message: str | bytes) -> None:
        await client.connection.send(message)


class FeedClient:
    """One subscriber's connection and the one to the exchange that it stands for. `number` counts from 0."""

    def __init__(self, tap: Tap, connection: ServerConnection, number: int) -> None:
        self.tap, self.connection, self.number = tap, connection, number
        self.symbols: list[str] = []
        self.held: dict[int, Update] = {}
        """For the mutant: by symbol, what is not sent yet."""
        self.later: asyncio.Future[None] | None = None
        self._update = schema.message_classes(schema.published())["Update"]

    async def run(self, upstream: str) -> None:
        try:
            exchange = await connect(upstream, compression=None, max_size=None, ping_interval=None, proxy=None)
        except (OSError, WebSocketException, TimeoutError):
            await self.connection.close(1013, "the exchange's feed is not there")
            return
        ways = [asyncio.ensure_future(way) for way in (self._from_client(exchange), self._from_exchange(exchange))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            with contextlib.suppress(OSError, WebSocketException):
                code = exchange.close_code or 1000
                await self.connection.close(code if code != 1006 else 1011, exchange.close_reason or "")
                await exchange.close()

    async def _from_client(self, exchange: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in self.connection:
                for part in self._requests(message):
                    await exchange.send(part)

    def _requests(self, message: str | bytes) -> list[str | bytes]:
        try:
            request = json.loads(message)
        except ValueError:
            return [message]
        if not isinstance(request, dict):
            return [message]
        if request.get("op") == "subscribe" and isinstance(request.get("symbols"), list):
            self.symbols += [s for s in request["symbols"] if isinstance(s, str)]
        return [json.dumps(part) for part in self.tap.asked(self, request)]

    async def _from_exchange(self, exchange: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in exchange:
                for part in self._told(message):
                    await self.tap.send(self, part)

    def _told(self, message: str | bytes) -> list[str | bytes]:
        if isinstance(message, bytes):
            update = self._update.FromString(message)
            return [self.tap.encoded(self, part) for part in self.tap.updates(self, update)]
        said = json.loads(message)
        if said.get("op") == "update":
            return [message]
        return [json.dumps(part) for part in self.tap.answered(self, said)]

    async def say(self, said: dict[str, Any]) -> None:
        with contextlib.suppress(ConnectionClosed):
            await self.connection.send(json.dumps(said))


class FeedProxy:
    def __init__(self, tap: Tap, upstream: str) -> None:
        self.tap, self.upstream = tap, upstream
        self._clients = 0
        self._server: Server | None = None

    async def listen(self) -> str:
        """The URL."""
        self._server = await serve(self._serve, "127.0.0.1", 0, compression=None, ping_interval=None, max_size=None)
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, connection: ServerConnection) -> None:
        self._clients += 1
        await FeedClient(self.tap, connection, self._clients - 1).run(self.upstream)
