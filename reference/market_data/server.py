"""A WebSocket server: one process, one thread, its own clients. It reads the events itself, so it waits for no other server.

The page at / is for people: it shows book, trades and status of a symbol (page.html).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlsplit

from picows import (
    WSListener,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from matchmark.native.pipeline import now_ns
from matchmark.reference.audit_log import AuditLogError
from matchmark.reference.config_market_data import MarketDataSettings
from matchmark.reference.events.source import Source
from matchmark.reference.market_data.client import MESSAGE_MAX, Desk, Subscriber
from matchmark.reference.market_data.conflate import Conflator
from matchmark.reference.market_data.encode import Encoder
from matchmark.reference.market_data.hub import Hub, Subscription
from matchmark.reference.market_data.messages import Echo
from matchmark.reference.market_data.recall import Recall, TooMany
from matchmark.reference.tokens import Keys

TICK_S = 0.001
SWEEP_S = 0.25
TELL_S = 0.05
LOGIN_S = 10.0
DROPPED_S = 2.0
"""A client that was dropped and does not take its reason is cut off after so long."""
BACKLOG = 4096
logging.getLogger("picows.matchmark").setLevel(logging.CRITICAL)  # a client's mistakes are answered to the client
_ok = WSUpgradeResponse.create_ok_response


@dataclass(frozen=True)
class Feed:
    """Where the events come from. `durable`: number of the last record that there is. `recall`: what is not at hand any more.
    `made`: number of the last record that the engine has made, where the disk may be behind it."""

    source: Source
    durable: Callable[[], int]
    recall: Recall
    made: Callable[[], int] | None = None


class Server:
    """`over` is asked now and then whether to end; `tell` gets the counters."""

    def __init__(
        self,
        feed: Feed,
        names: list[str],
        keys: Keys,
        settings: MarketDataSettings,
        over: Callable[[], bool],
        tell: Callable[[dict[str, int]], None],
    ) -> None:
        self._feed, self._settings, self._over, self._tell = feed, settings, over, tell
        conflator = Conflator(len(names), round(settings.conflation_ms * 1e6), settings.keep_trades)
        self.hub = Hub(conflator, Encoder(names), self._recall, settings.max_clients)
        numbers = {name: number for number, name in enumerate(names)}
        self._desk = Desk(self.hub, keys, numbers, feed.durable, settings.recover_records)
        self._connections: set[Subscriber] = set()
        self._dropped: dict[Subscriber, float] = {}
        self._done: asyncio.Event
        self._loop: asyncio.AbstractEventLoop
        self._recalls: set[asyncio.Task[None]] = set()
        self._failed: BaseException | None = None
        self._mark, self._mark_since = feed.durable(), time.monotonic()
        self._read_to = 0
        """The last record that is dealt with; it need not tell an event."""
        self._begin_ns = self._ticked_ns = now_ns()

    async def run(self, listener: socket.socket, ready: Callable[[], None]) -> None:
        """Until `over`. AuditLogError, ValueError: the events cannot be read."""
        self._loop, self._done = asyncio.get_running_loop(), asyncio.Event()
        self.hub.stale = {"op": "stale", "since_ns": self._begin_ns, "why": "market data has just been started"}
        server = await ws_create_server(
            self._accept, sock=listener, backlog=BACKLOG, use_aiofastnet=False, max_frame_size=MESSAGE_MAX + 16,
            websocket_handshake_timeout=LOGIN_S, logger_name="matchmark",
        )  # fmt: skip
        ready()
        self._loop.call_soon(self._tick)
        self._loop.call_soon(self._sweep)
        self._loop.call_soon(self._count)
        await self._done.wait()
        server.close()
        for client in list(self._connections):
            client.drop("market data is being stopped")
        await asyncio.sleep(0.05)  # so long for the reasons to go out
        for client in list(self._connections):
            client.abort()
        for task in list(self._recalls):
            task.cancel()
        await asyncio.sleep(0)
        if self._failed is not None:
            raise self._failed

    # --- connections ---

    def _accept(self, request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener | None:
        address = urlsplit(request.path.decode("latin-1"))
        upgrade = "websocket" in str(request.headers.get("Upgrade", "")).lower()
        if not upgrade:
            return _page(address.path)
        if self._settings.echo and address.path == "/echo":
            return Echo(MESSAGE_MAX)
        if address.path != "/":
            return None
        if len(self._connections) >= self._settings.max_clients:
            return _answer(503, "text/plain", b"this server has as many clients as it takes; try again later\n")
        return _Connection(self, self._desk, _token(request, address.query))

    def came(self, client: Subscriber) -> None:
        self._connections.add(client)

    def gone(self, client: Subscriber) -> None:
        self._connections.discard(client)
        self._dropped.pop(client, None)

    # --- the loop ---

    def _tick(self) -> None:
        if self._done.is_set():
            return
        try:
            now = now_ns()
            if now - self._ticked_ns > self._settings.stale_s * 1e9:
                why = f"this server was held up for {(now - self._ticked_ns) / 1e9:.1f} s"
                self.hub.set_stale({"op": "stale", "since_ns": self._ticked_ns, "why": why})
            self._ticked_ns = now
            batches = self._feed.source.poll(0.0)
            for batch in batches:
                self.hub.take(batch.records, now)
                self._read_to = batch.next_offset - 1
            self.hub.due(now_ns())
            self._judge_age()
            self.hub.settle()
        except (AuditLogError, ValueError, OSError) as error:
            self._failed = error
            self._done.set()
            return
        except BaseException as error:
            self._failed = error
            self._done.set()
            raise
        if batches and self._read_to < self._mark:
            self._loop.call_soon(self._tick)
            return
        due = self.hub.conflator.next_due_ns
        wait = TICK_S if due is None else min(TICK_S, max(0.0, (due - now_ns()) / 1e9))
        self._loop.call_later(wait, self._tick)

    def _judge_age(self) -> None:
        """Stale: what there was `stale_s` ago has not come yet."""
        now, hub = time.monotonic(), self.hub
        if self._read_to >= self._mark:
            self._mark, self._mark_since = (self._feed.made or self._feed.durable)(), now
            if hub.stale is not None:
                hub.live = True
                hub.set_stale(None)
        elif hub.stale is None and now - self._mark_since > self._settings.stale_s:
            behind = self._mark - self._read_to
            since = now_ns() - round((now - self._mark_since) * 1e9)
            hub.set_stale({"op": "stale", "since_ns": since, "why": f"the feed is {behind} records behind"})

    def _sweep(self) -> None:
        """Drops those who are too slow, have not logged in, or may not stay."""
        if self._done.is_set():
            return
        now, wall = time.monotonic(), time.time_ns()
        for client in list(self._connections):
            if client.over:
                self._cut_off(client, now)
            elif client.slow and now - client.slow_since > self._settings.slow_s:
                client.drop(f"too slow: nothing was read for {self._settings.slow_s:g} s")
            elif client.unsent_bytes > self._settings.slow_bytes:
                client.drop(f"too slow: {client.unsent_bytes} bytes wait for you")
            elif not client.account and now - client.since > LOGIN_S:
                client.drop(f"no login within {LOGIN_S:g} s")
            elif client.account and wall > client.expires_ns:
                client.drop("the token has expired: log in with a new one in time")
        self._loop.call_later(SWEEP_S, self._sweep)

    def _cut_off(self, client: Subscriber, now: float) -> None:
        if now - self._dropped.setdefault(client, now) > DROPPED_S:
            client.abort()

    def _count(self) -> None:
        hub = self.hub
        self._tell(
            {
                "sequence": hub.conflator.sequence,
                "clients": len(self._connections),
                "messages": hub.messages,
                "conflated": max(0, hub.conflator.taken - hub.conflator.shown),
                "dropped_clients": hub.dropped,
                "stale": int(hub.stale is not None),
            }
        )
        if self._over():
            self._done.set()
        if not self._done.is_set():
            self._loop.call_later(TELL_S, self._count)

    # --- what is not at hand ---

    def _recall(self, subscription: Subscription) -> None:
        task = self._loop.create_task(self._read_back(subscription))
        self._recalls.add(task)
        task.add_done_callback(self._recalls.discard)

    async def _read_back(self, subscription: Subscription) -> None:
        upto = self.hub.conflator.sequence
        after = subscription.recalled[0] if subscription.recalled else subscription.last
        found: Any
        try:
            found = await self._loop.run_in_executor(None, self._feed.recall, subscription.key[0], after, upto)
        except TooMany as error:
            found = str(error)
        except (AuditLogError, OSError) as error:
            found = f"the log cannot be read: {error}"
        self.hub.recalled(subscription, upto, found)


class _Connection(Subscriber):
    def __init__(self, server: Server, desk: Desk, token: str) -> None:
        super().__init__(desk, token)
        self._server = server

    def on_ws_connected(self, transport: Any) -> None:
        self._server.came(self)
        super().on_ws_connected(transport)

    def on_ws_disconnected(self, transport: Any) -> None:
        super().on_ws_disconnected(transport)
        self._server.gone(self)


def _token(request: WSUpgradeRequest, query: str) -> str:
    kind, _, token = str(request.headers.get("Authorization", "")).partition(" ")
    if kind.lower() == "bearer":
        return token.strip()
    return (parse_qs(query).get("token") or [""])[0]


def _answer(status: int, kind: str, body: bytes) -> WSUpgradeResponseWithListener:
    make = WSUpgradeResponse.create_error_response
    response = make(status, body, {"Content-Type": kind}) if status >= 400 else _ok(body, {"Content-Type": kind})
    return WSUpgradeResponseWithListener(response, None)


def _page(path: str) -> WSUpgradeResponseWithListener:
    if path != "/":
        return _answer(404, "text/plain", b"no such page; there is /\n")
    page = files("matchmark.reference.market_data").joinpath("page.html").read_bytes()
    return _answer(200, "text/html; charset=utf-8", page)
