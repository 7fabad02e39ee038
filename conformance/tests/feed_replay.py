"""A feed that says what it was made to say, for tests of the kit's own end of market data: updates made from the model's answers
to commands, and a server on loopback that replays them to whoever subscribes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from matchmark.conformance.checks.market_data import Tape
from matchmark.conformance.market_data import schema
from matchmark.conformance.market_data.updates import Depth, Level, Quote, Trade, Update

CLASSES: dict[str, Any] = dict(schema.message_classes(schema.published()))
WINDOW_NS = 10_000_000
NUMBERS = 50
"""Sequence numbers a command: more than it can have events."""


def changed(before: Depth, after: Depth) -> tuple[Level, ...]:
    levels = []
    for ask, old, new in ((False, dict(before[0]), dict(after[0])), (True, dict(before[1]), dict(after[1]))):
        levels += [Level(ask, px, new.get(px, 0)) for px in {**old, **new} if old.get(px, 0) != new.get(px, 0)]
    return tuple(levels)


def updates_of(tape: Tape, every: int = 1, depth: bool = True, numbers: int = NUMBERS) -> list[Update]:
    """What a sound feed says of it from the empty book on: trades with the command that made them, the book behind each
    `every`-th command and behind the last. Sequences grow by `numbers` a command."""
    out = [shown(tape, 0, 0, ((), ()), tape.books[0], depth, snapshot=True)]
    book, last = tape.books[0], 0
    for n in range(1, len(tape.books)):
        sequence = n * numbers
        made = tape.trades[tape.counts[n - 1] : tape.counts[n]]
        trades = tuple(
            Trade(sequence - len(made) + k + 1, px, lots, sold, 16) for k, (px, lots, sold) in enumerate(made)
        )
        if trades:
            out.append(Update(tape.symbol, last, sequence, trades, at_ns=n * WINDOW_NS))
            last = sequence
        if n % every == 0 or n == len(tape.books) - 1:
            u = shown(tape, last, sequence, book, tape.books[n], depth, at_ns=n * WINDOW_NS)
            out.append(u)
            book, last = tape.books[n], sequence
    return out


def shown(
    tape: Tape, after: int, sequence: int, was: Depth, now: Depth, depth: bool, snapshot: bool = False, at_ns: int = 0
) -> Update:
    quote = None if depth else Quote(now[0][0] if now[0] else None, now[1][0] if now[1] else None)
    levels = changed(was, now) if depth else ()
    return Update(tape.symbol, after, sequence, book=True, snapshot=snapshot, quote=quote, levels=levels, at_ns=at_ns)


def encoded(update: Update, number: int = 0) -> bytes:
    message = CLASSES["Update"](
        symbol=number, after=update.after, sequence=update.sequence, book=update.book, snapshot=update.snapshot
    )
    for t in update.trades:
        message.trades.add(sequence=t.sequence, price_ticks=t.price_ticks, quantity_lots=t.quantity_lots, sold=t.sold)
    for s in update.statuses:
        message.statuses.add(sequence=s.sequence, trading=("normal", "warned", "halted").index(s.trading.value))
    for x in update.levels:
        message.levels.add(ask=x.ask, price_ticks=x.price_ticks, quantity_lots=x.quantity_lots)
    if update.quote is not None:
        bid, ask = update.quote.bid or (0, 0), update.quote.ask or (0, 0)
        message.quote.SetInParent()
        message.quote.bid_ticks, message.quote.bid_lots = bid
        message.quote.ask_ticks, message.quote.ask_lots = ask
    return bytes(message.SerializeToString())


class Replay:
    """On loopback: answers a good token, subscriptions to `symbols` and nothing else; `say` sends to all that are subscribed."""

    def __init__(self, symbols: Sequence[str], token: str = "good") -> None:
        self.symbols, self.token = list(symbols), token
        self.subscribed: list[ServerConnection] = []
        self._server: Server = serve(self._serve, "127.0.0.1", 0, compression=None)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}/"

    def __enter__(self) -> Replay:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()

    def _serve(self, connection: ServerConnection) -> None:
        known = False
        try:
            for message in connection:
                asked = json.loads(message)
                if asked["op"] == "login":
                    known = asked["token"] == self.token
                    said: dict[str, Any] = {"op": "logged_in"} if known else {"op": "refused", "reason": "bad token"}
                elif not known or not set(asked["symbols"]) <= set(self.symbols):
                    said = {"op": "refused", "id": asked["id"], "reason": "unknown symbol or no token"}
                elif asked["op"] == "unsubscribe":
                    said = {"op": "unsubscribed", "id": asked["id"], "symbols": asked["symbols"]}
                else:
                    numbers = {symbol: self.symbols.index(symbol) for symbol in asked["symbols"]}
                    said = {"op": "subscribed", "id": asked["id"], "symbols": numbers}
                    self.subscribed.append(connection)
                connection.send(json.dumps(said))
        except ConnectionClosed:
            pass

    def say(self, updates: Iterable[Update]) -> None:
        for update in updates:
            for connection in self.subscribed:
                connection.send(encoded(update, self.symbols.index(update.symbol)))

    def drop(self, reason: str) -> None:
        for connection in self.subscribed:
            connection.send(json.dumps({"op": "dropped", "reason": reason}))
            connection.close()
