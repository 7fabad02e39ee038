"""A market data server in a thread of the test, fed with records by hand: no exchange, and a feed that can be held up."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matchmark.conformance.messages import Command
from matchmark.conformance.trading_messages import Control
from matchmark.native.pipeline_records import EVENT_RECORD
from matchmark.native.records import EventKind
from matchmark.reference.audit_log import Records
from matchmark.reference.config_market_data import MarketDataSettings
from matchmark.reference.events.source import Batch
from matchmark.reference.market_data.book import Status, Trade
from matchmark.reference.market_data.server import Feed, Server
from matchmark.reference.market_data.sockets import listen
from matchmark.reference.tokens import Keys

from .market_events import SYMBOLS, Exchange


class Held:
    """A source that gives what it has unless `held`."""

    def __init__(self) -> None:
        self.waiting: list[Records] = []
        self.held = False

    def poll(self, timeout_s: float) -> Sequence[Batch]:
        if self.held or not self.waiting:
            return ()
        waiting, self.waiting = self.waiting, []
        return [Batch(0, int(records["sequence"][-1]) + 1, records) for records in waiting]

    def close(self) -> None: ...


class Running:
    """`do` has commands executed and their events on their way to the clients."""

    def __init__(self, folder: Path, symbols: tuple[str, ...] = SYMBOLS, **settings: Any) -> None:
        self.exchange, self.source, self.keys = Exchange(symbols), Held(), Keys(folder / "keys")
        self.records: list[Records] = []
        self.counters: dict[str, int] = {}
        self.settings = MarketDataSettings(**settings)
        feed = Feed(self.source, lambda: self.exchange.sequence, self.recall)
        self._end = threading.Event()
        self.server = Server(feed, list(symbols), self.keys, self.settings, self._end.is_set, self.counters.update)
        self._listener = listen("127.0.0.1", 0, self.settings.socket_bytes)
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        self.url = f"ws://127.0.0.1:{self.port}/"
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self.server.run(self._listener, ready.set)))
        self._thread.start()
        assert ready.wait(10)

    def recall(self, symbol: int, after: int, upto: int) -> tuple[list[Trade], list[Status]]:
        trades = []
        for records in self.records:
            for r in records.view(EVENT_RECORD):
                e = r["body"]
                if after < r["sequence"] <= upto and e["symbol"] == symbol and e["kind"] == EventKind.TRADE:
                    trade = int(r["sequence"]), int(e["price_ticks"]), int(e["quantity_lots"]), bool(e["side"])
                    trades.append(Trade(*trade))
        return trades, []

    def do(self, *commands: Command | Control) -> None:
        for command in commands:
            records = self.exchange.do(command)
            self.records.append(records)
            self.source.waiting.append(records)

    def trades(self, symbol: int = 0) -> list[tuple[int, int, int, bool]]:
        return [tuple(t) for t in self.recall(symbol, 0, self.exchange.sequence)[0]]  # type: ignore[misc]

    def token(self, account: str = "A") -> str:
        return self.keys.issue(account, 600)

    def socket(self, receive_bytes: int = 0, path: str = "/") -> socket.socket:
        """A connection that has been upgraded, and nothing more."""
        sock = socket.socket()
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.settimeout(10)
        sock.connect(("127.0.0.1", self.port))
        sock.sendall(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        assert b" 101 " in head.split(b"\r\n")[0] and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
        return sock

    def close(self) -> None:
        self._end.set()
        self._thread.join(10)
        self._listener.close()
        self.exchange.close()
