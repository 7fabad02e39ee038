"""A subscriber on the library `websockets`, which shares nothing with the server."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from google.protobuf import json_format
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from matchmark.reference.market_data import market_data_pb2 as pb


class Symbol:
    """What a client has made of one symbol's Updates."""

    def __init__(self) -> None:
        self.last = -1
        self.levels: dict[tuple[bool, int], int] = {}
        self.quote: tuple[int, int, int, int] | None = None
        self.trades: list[tuple[int, int, int, bool]] = []
        self.statuses: list[tuple[int, str]] = []
        self.snapshots = self.increments = self.books = 0
        self.gaps: list[tuple[int, int]] = []

    def take(self, u: pb.Update) -> None:
        if u.snapshot:
            self.snapshots += 1
            self.levels.clear()
        else:
            self.increments += 1
            if u.after != self.last:
                if u.sequence <= self.last:
                    return  # a duplicate
                self.gaps.append((self.last, u.after))
        self.last = u.sequence
        self.trades += [(t.sequence, t.price_ticks, t.quantity_lots, t.sold) for t in u.trades]
        known = {sequence for sequence, _ in self.statuses}
        self.statuses += [(s.sequence, pb.Trading.Name(s.trading)) for s in u.statuses if s.sequence not in known]
        self.books += u.book
        if u.HasField("quote"):
            q = u.quote
            self.quote = (q.bid_ticks, q.bid_lots, q.ask_ticks, q.ask_lots)
        for level in u.levels:
            key = (level.ask, level.price_ticks)
            if level.quantity_lots:
                self.levels[key] = level.quantity_lots
            else:
                del self.levels[key]

    def sides(self) -> tuple[dict[int, int], dict[int, int]]:
        """Bids and asks, ticks to lots."""
        bids, asks = ({px: n for (ask, px), n in self.levels.items() if ask == side} for side in (False, True))
        return bids, asks


class Client:
    """`said`: what came in JSON that is no Update; `closed`: code and reason of the end."""

    def __init__(
        self, url: str, token: str | None = None, header: bool = False, receive_bytes: int | None = None
    ) -> None:
        sock = _connected(url, receive_bytes)
        headers = {"Authorization": f"Bearer {token}"} if header and token else None
        self.ws: ClientConnection = connect(
            url, sock=sock, additional_headers=headers, max_size=None, compression=None, ping_interval=None
        ).__enter__()
        self.symbols: dict[str, Symbol] = {}
        self.names: dict[int, str] = {}
        self.said: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        self._looked = 0
        if token and not header:
            self.send(op="login", token=token)
        if token:
            assert self.next()["op"] == "logged_in", self.said

    def send(self, **words: Any) -> None:
        self.ws.send(json.dumps(words))

    def subscribe(self, *symbols: str, **more: Any) -> dict[str, Any]:
        """The answer."""
        before = len(self.said)
        self.send(op="subscribe", id=before + 1000, symbols=list(symbols), **more)
        assert self.read_until(lambda: any(w.get("id") == before + 1000 for w in self.said))
        answer = next(w for w in self.said if w.get("id") == before + 1000)
        self._looked = len(self.said)
        return answer

    def next(self, seconds: float = 10) -> dict[str, Any]:
        """The next answer that was not looked at."""
        assert self.read_until(lambda: len(self.said) > self._looked, seconds), f"no answer; closed: {self.closed}"
        self._looked += 1
        return self.said[self._looked - 1]

    def read_until(self, done: Callable[[], bool], seconds: float = 10) -> bool:
        until = time.monotonic() + seconds
        while not done():
            try:
                message = self.ws.recv(timeout=max(0.0, until - time.monotonic()))
            except TimeoutError:
                return False
            except ConnectionClosed as end:
                self.closed = (end.rcvd.code, end.rcvd.reason) if end.rcvd else (1006, "")
                return done()
            self._take(message)
        return True

    def _take(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            self._update(pb.Update.FromString(message))
            return
        words = json.loads(message)
        if words["op"] == "update":
            assert self.names[words["symbol"]] == words.pop("name")
            words.pop("op")
            self._update(json_format.ParseDict(words, pb.Update()))
            return
        if words["op"] == "subscribed":
            self.names.update({number: name for name, number in words["symbols"].items()})
        self.said.append(words)

    def _update(self, update: pb.Update) -> None:
        self.symbols.setdefault(self.names[update.symbol], Symbol()).take(update)

    def __getitem__(self, name: str) -> Symbol:
        return self.symbols.setdefault(name, Symbol())

    def close(self) -> None:
        self.ws.__exit__(None, None, None)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _connected(url: str, receive_bytes: int | None, patience_s: float = 20) -> socket.socket:
    """Tries again while nobody listens, for a server that was killed is started again."""
    at, until = urlsplit(url), time.monotonic() + patience_s
    while True:
        sock = socket.socket()
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        try:
            sock.connect((at.hostname, at.port))
        except ConnectionRefusedError:
            sock.close()
            assert time.monotonic() < until, f"nobody listens at {url}"
            time.sleep(0.02)
        else:
            return sock


def tape(log: Any, symbol: int) -> list[tuple[int, int, int, bool]]:
    """Every trade of a symbol, from the audit log's records and nothing else."""
    from matchmark.native.pipeline_records import EVENT_RECORD
    from matchmark.reference.audit_log import open_log

    out = []
    for file in open_log(log):
        r = file.slots.view(EVENT_RECORD)
        for row in r[(r["kind"] == 2) & (r["body"]["kind"] == 4) & (r["body"]["symbol"] == symbol)]:
            e = row["body"]
            out.append((int(row["sequence"]), int(e["price_ticks"]), int(e["quantity_lots"]), bool(e["side"])))
    return out
