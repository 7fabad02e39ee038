"""What is sent when: trades and trading states at once, the rest of a book at most once in a window. No socket, no clock.

A stream is what subscribers of one symbol and channel get: a chain of Updates, each going on where the one before ended. The
first change of a quiet symbol is sent at once and opens a window; what changes in it is sent at its end, as it is by then,
whether or not something comes by then. Only streams that somebody wants are kept.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from matchmark.reference.audit_log import Records
from matchmark.reference.market_data.book import ASK, BID, Book, Books, Quote, Status, Trade

QUOTES, DEPTH = 0, 1
CHANNELS = ("quotes", "depth")
Key = tuple[int, int]
"""Symbol number and channel."""


class Level(NamedTuple):
    """One price of one side as it is; lots 0: it is gone."""

    side: int
    price_ticks: int
    quantity_lots: int


@dataclass(slots=True)
class Update:
    """All of a symbol from the record behind `after` to record `sequence` (market_data.proto)."""

    symbol: int
    channel: int
    after: int
    sequence: int
    made_ns: int
    trades: Sequence[Trade] = ()
    statuses: Sequence[Status] = ()
    book: bool = False
    snapshot: bool = False
    quote: Quote | None = None
    levels: Sequence[Level] = ()


@dataclass(slots=True)
class _Stream:
    symbol: int
    channel: int
    last: int
    quote: Quote
    shown: dict[tuple[int, int], int] = field(default_factory=dict)
    touched: set[tuple[int, int]] = field(default_factory=set)
    open_until_ns: int = 0
    dirty: bool = False
    queued: bool = False


class _Past:
    """The newest trades and states of one symbol. `floor`: of the newest that is not here any more, 0 when all are."""

    __slots__ = ("floor", "last_status", "most", "statuses", "trades")

    def __init__(self, most: int) -> None:
        self.most = most
        self.trades: deque[Trade] = deque()
        self.statuses: deque[Status] = deque()
        self.floor = 0
        self.last_status: Status | None = None

    def keep(self, trades: Iterable[Trade], statuses: Sequence[Status]) -> None:
        self.trades.extend(trades)
        self.statuses.extend(statuses)
        if statuses:
            self.last_status = statuses[-1]
        for what in (self.trades, self.statuses):
            while len(what) > self.most:
                self.floor = max(self.floor, what.popleft().sequence)


class Conflator:
    """Times are nanoseconds of any clock that does not go back."""

    def __init__(self, symbols: int, window_ns: int, keep_trades: int = 2_000) -> None:
        """`keep_trades`: of a symbol, at hand for who comes back; older ones are in the log."""
        self.books = Books(symbols)
        self.window_ns, self._keep = window_ns, keep_trades
        self.taken = 0
        """Changes of a book that a stream might have sent."""
        self.shown = 0
        """Of them, those that were sent."""
        self._streams: dict[Key, _Stream] = {}
        self._of_symbol: dict[int, list[_Stream]] = {}
        self._past: dict[int, _Past] = {}
        self._due: list[tuple[int, Key]] = []

    @property
    def sequence(self) -> int:
        """Of the last record taken."""
        return self.books.sequence

    # --- streams ---

    def want(self, symbol: int, channel: int) -> None:
        """From now on there are Updates of it."""
        if (symbol, channel) in self._streams:
            return
        book = self.books.books[symbol]
        stream = _Stream(symbol, channel, book.sequence, book.quote())
        if channel == DEPTH:
            stream.shown = {(side, ticks): lots for side in (BID, ASK) for ticks, lots in book.levels[side].items()}
        self._streams[symbol, channel] = stream
        self._of_symbol.setdefault(symbol, []).append(stream)

    def unwant(self, symbol: int, channel: int) -> None:
        stream = self._streams.pop((symbol, channel), None)
        if stream is not None:
            self._of_symbol[symbol].remove(stream)

    # --- what came ---

    def take(self, records: Records, now_ns: int) -> list[Update]:
        """Event records of whole commands; the Updates that go out at once. ValueError: records are missing (book.py)."""
        out: list[Update] = []
        for symbol in self.books.take(records):
            book = self.books.books[symbol]
            trades, statuses, touched = book.trades, book.statuses, book.touched
            if trades or statuses:
                book.trades, book.statuses = [], []
                self._past_of(symbol).keep(trades, statuses)
            if touched:
                book.touched = set()
            for stream in self._of_symbol.get(symbol, ()):
                if touched:
                    self.taken += 1
                    stream.dirty = True
                    if stream.channel == DEPTH:
                        stream.touched |= touched
                if now_ns >= stream.open_until_ns and (stream.dirty or trades or statuses):
                    update = self._show(stream, book, now_ns, trades, statuses)
                elif trades or statuses:
                    update = self._tell(stream, book, trades, statuses)
                else:
                    update = None
                if update is not None:
                    out.append(update)
                if stream.dirty and not stream.queued:
                    stream.queued = True
                    heapq.heappush(self._due, (stream.open_until_ns, (symbol, stream.channel)))
        return out

    def due(self, now_ns: int) -> list[Update]:
        """What changed in windows that are over."""
        out: list[Update] = []
        while self._due and self._due[0][0] <= now_ns:
            _, key = heapq.heappop(self._due)
            stream = self._streams.get(key)
            if stream is None:
                continue
            stream.queued = False
            if not stream.dirty:
                continue
            if stream.open_until_ns > now_ns:  # of a stream that was given up and is wanted again
                stream.queued = True
                heapq.heappush(self._due, (stream.open_until_ns, key))
            elif (update := self._show(stream, self.books.books[stream.symbol], now_ns, (), ())) is not None:
                out.append(update)
        return out

    @property
    def next_due_ns(self) -> int | None:
        """When the next window ends in which something changed."""
        return self._due[0][0] if self._due else None

    def _tell(self, stream: _Stream, book: Book, trades: Sequence[Trade], statuses: Sequence[Status]) -> Update:
        """Without the book, whose window is open."""
        after, stream.last = stream.last, book.sequence
        return Update(stream.symbol, stream.channel, after, book.sequence, book.made_ns, trades, statuses)

    def _show(
        self, stream: _Stream, book: Book, now_ns: int, trades: Sequence[Trade], statuses: Sequence[Status]
    ) -> Update | None:
        """With the book. None: it is what was shown last, and there is nothing else to tell."""
        stream.dirty = False
        levels: list[Level] = []
        quote = None
        if stream.channel == DEPTH:
            levels = self._changed(stream, book)
            changed = bool(levels)
        else:
            quote = book.quote()
            changed = quote != stream.quote
            stream.quote = quote
        if not changed and not trades and not statuses:
            return None
        stream.open_until_ns = now_ns + self.window_ns
        update = self._tell(stream, book, trades, statuses)
        update.book, update.quote, update.levels = True, quote, levels
        self.shown += changed
        return update

    def _changed(self, stream: _Stream, book: Book) -> list[Level]:
        out: list[Level] = []
        shown = stream.shown
        for side, ticks in stream.touched:
            lots = book.levels[side].get(ticks, 0)
            if lots != shown.get((side, ticks), 0):
                out.append(Level(side, ticks, lots))
                if lots:
                    shown[side, ticks] = lots
                else:
                    del shown[side, ticks]
        stream.touched.clear()
        return out

    # --- who comes later ---

    def last(self, symbol: int, channel: int) -> int:
        """Sequence of the stream's last Update, which a snapshot goes with."""
        return self._streams[symbol, channel].last

    def settled(self, symbol: int, channel: int) -> bool:
        """Whether the book is what the stream has shown. Else it is so after an Update that comes when the window ends."""
        return not self._streams[symbol, channel].dirty

    def snapshot(
        self, symbol: int, channel: int, trades: Sequence[Trade] = (), statuses: Sequence[Status] = ()
    ) -> Update:
        """The book after the Update that the stream has sent last, with what else is to be told; of a stream that is settled."""
        stream = self._streams[symbol, channel]
        book = self.books.books[symbol]
        past = self._past.get(symbol)
        if not statuses and past is not None and past.last_status is not None:
            statuses = (past.last_status,)
        update = Update(symbol, channel, 0, stream.last, book.made_ns, trades, statuses, True, True)
        if channel == DEPTH:
            update.levels = [
                Level(side, ticks, book.levels[side][ticks])
                for side in (BID, ASK)
                for ticks in sorted(book.levels[side], reverse=side == BID)
            ]
        else:
            update.quote = book.quote()
        return update

    def _past_of(self, symbol: int) -> _Past:
        past = self._past.get(symbol)
        if past is None:
            past = self._past[symbol] = _Past(self._keep)
        return past

    def past(self, symbol: int, after: int) -> tuple[list[Trade], list[Status]] | None:
        """Trades and states behind record `after`; None: they are not all here, older ones are in the log."""
        past = self._past.get(symbol)
        if past is None:
            return [], []
        if past.floor > after:
            return None
        return [t for t in past.trades if t.sequence > after], [s for s in past.statuses if s.sequence > after]
