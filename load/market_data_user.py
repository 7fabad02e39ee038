"""A locust user that subscribes to market data over WebSocket and checks its sequence. Only for the process of locust.

Latency is from when the engine had made an update to when it was read here, where the feed says so (`made_ns`, the monotonic
clock of its machine): true on one machine only. A gap, a message that cannot be read, a subscription that is refused: failures.
"""

from __future__ import annotations

import time
from typing import Any

from locust import User, tag, task
from locust.exception import StopUser
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from matchmark.conformance.market_data.decoder import MatchmarkDecoder, Request
from matchmark.conformance.market_data.updates import Dropped, Refused, Subscribed, Unreadable, Update
from matchmark.load import swarm

METHOD = "WS"
OPEN_S, READ_S = 10.0, 1.0


class MarketDataUser(User):
    """One subscriber to `channel` of the symbols that are traded."""

    abstract = True
    channel = "depth"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.socket: ClientConnection | None = None
        self.last: dict[str, int] = {}
        """By symbol the sequence up to which everything was heard."""

    def on_start(self) -> None:
        feed = swarm.market_data()
        if not feed["url"]:
            self._fail(
                "connect", 'the target has no market data: [market_data] url, or "websocket" in its readiness line'
            )
            raise StopUser
        self.decoder = MatchmarkDecoder()
        began = time.perf_counter_ns()
        try:
            self.socket = connect(feed["url"], open_timeout=OPEN_S, compression=None, proxy=None)
            if feed["token"] and (login := self.decoder.login(feed["token"])):
                self.socket.send(login)
            self.socket.send(self.decoder.subscribe(Request(1, tuple(feed["symbols"]), self.channel)))
        except (OSError, WebSocketException) as error:
            self._fail("connect", str(error) or type(error).__name__)
            raise StopUser from None
        self.environment.stats.log_request(METHOD, "connect", (time.perf_counter_ns() - began) / 1e6, 0)

    def on_stop(self) -> None:
        if self.socket is not None:
            self.socket.close()

    @tag("market-data")
    @task
    def read(self) -> None:
        assert self.socket is not None
        try:
            message = self.socket.recv(timeout=READ_S)
        except TimeoutError:
            return
        except (OSError, WebSocketException) as error:
            self._fail("read", f"the connection ended: {error}")
            raise StopUser from None
        now = time.monotonic_ns()
        for heard in self.decoder.read(message, now):
            if isinstance(heard, Update):
                self._update(heard, now, len(message))
            elif isinstance(heard, Refused | Dropped | Unreadable):
                self._fail("read", str(heard))
            elif isinstance(heard, Subscribed):
                self.environment.stats.log_request(METHOD, "subscribe", 0.0, len(message))

    def _update(self, update: Update, now: int, size: int) -> None:
        last = self.last.get(update.symbol)
        if not update.snapshot and last is not None and update.after > last:
            self._fail("update", f"a gap: {update.symbol} from {last} to {update.after}")
        self.last[update.symbol] = update.sequence
        if update.snapshot or not update.made_ns:
            return
        ns = max(0, now - update.made_ns)
        swarm.recorder.record(f"market data, {self.channel}", ns)
        self.environment.stats.log_request(METHOD, f"update, {self.channel}", ns / 1e6, size)

    def _fail(self, name: str, why: str) -> None:
        self.environment.stats.log_request(METHOD, name, 0.0, 0)
        self.environment.stats.log_error(METHOD, name, Exception(why))
