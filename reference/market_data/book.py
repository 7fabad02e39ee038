"""The price levels of every symbol, made from the exchange's event records alone: no command, no engine, no model.

An order that came in rests once its command is over, with what its trades have left (a market or IOC order has ended by then);
what was in the book before is told by its order id. So a book is right between two commands, and only then is it to be looked
at (docs/engine-rules.md has the events).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from matchmark.native.pipeline_records import EVENT_RECORD, RECORD_LAST
from matchmark.native.records import EventKind, Reason
from matchmark.reference.audit_log import Records

BID, ASK = 0, 1
_ACCEPTED, _REPLACED, _TRADE, _CANCELLED = (
    int(EventKind.ACCEPTED),
    int(EventKind.REPLACED),
    int(EventKind.TRADE),
    int(EventKind.CANCELLED),
)
_STATE, _RELEASED, _DEFERRED = int(EventKind.STATE), int(EventKind.RELEASED), int(Reason.DEFERRED)


class Trade(NamedTuple):
    sequence: int
    price_ticks: int
    quantity_lots: int
    sold: bool
    """The incoming order was a sell."""


class Status(NamedTuple):
    sequence: int
    trading: int
    """0 open, 1 warned, 2 halted."""


class Quote(NamedTuple):
    """Best prices in ticks with all lots there; lots 0: nothing on that side."""

    bid_ticks: int
    bid_lots: int
    ask_ticks: int
    ask_lots: int


class Book:
    """Levels of one symbol, ticks to lots, and what was traded since somebody last took it.

    `sequence` and `made_ns`: of the last record about the symbol. `touched`: (side, ticks) of levels that may have changed.
    """

    __slots__ = ("best", "levels", "made_ns", "sequence", "statuses", "touched", "trades")

    def __init__(self) -> None:
        self.levels: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.best: list[int] = [0, 0]
        """0: not known, it is looked for when it is asked for."""
        self.touched: set[tuple[int, int]] = set()
        self.trades: list[Trade] = []
        self.statuses: list[Status] = []
        self.sequence = self.made_ns = 0

    def change(self, side: int, ticks: int, lots: int) -> None:
        """Adds so many lots, which may be negative, to a level."""
        levels = self.levels[side]
        now = levels.get(ticks, 0) + lots
        best = self.best[side]
        if now:
            levels[ticks] = now
            if best and (ticks > best if side == BID else ticks < best):
                self.best[side] = ticks
        else:
            del levels[ticks]
            if ticks == best:
                self.best[side] = 0
        self.touched.add((side, ticks))

    def best_of(self, side: int) -> int:
        if not self.best[side] and self.levels[side]:
            self.best[side] = max(self.levels[side]) if side == BID else min(self.levels[side])
        return self.best[side]

    def quote(self) -> Quote:
        bid, ask = self.best_of(BID), self.best_of(ASK)
        return Quote(bid, self.levels[BID].get(bid, 0), ask, self.levels[ASK].get(ask, 0))


class _Order:
    __slots__ = ("book", "leaves", "price", "side")

    def __init__(self, book: Book, side: int, price: int, leaves: int) -> None:
        self.book, self.side, self.price, self.leaves = book, side, price, leaves


class Books:
    """By symbol number. `take` gets event records of whole commands; between two calls every book is right.

    ValueError: a record names an order that no record before it has brought: the records are not all there.
    """

    def __init__(self, symbols: int) -> None:
        self.books = [Book() for _ in range(symbols)]
        self.sequence = 0
        self._resting: dict[int, _Order] = {}
        self._waiting: dict[int, _Order] = {}  # deferred
        self._id = 0  # of the order that the command in hand has brought
        self._incoming: _Order | None = None

    def take(self, records: Records) -> set[int]:
        """Numbers of the symbols that the records are about. Records up to `sequence` have been taken, and are passed over."""
        heard: set[int] = set()
        books, resting = self.books, self._resting
        for sequence, kind, reason, side, state, symbol, order_id, other_id, price, lots, flags, made in _rows(
            records, self.sequence
        ):
            if symbol >= len(books):
                continue  # a refusal of what is no symbol
            book = books[symbol]
            heard.add(symbol)
            book.sequence, book.made_ns = sequence, made
            if kind == _TRADE:
                incoming, other = self._incoming, resting.get(other_id)
                if incoming is None or self._id != order_id or other is None:
                    raise self._missing(sequence)
                incoming.leaves -= lots
                other.leaves -= lots
                book.change(other.side, price, -lots)
                if not other.leaves:
                    del resting[other_id]
                book.trades.append(Trade(sequence, price, lots, side == ASK))
            elif kind == _ACCEPTED:
                self._settle()
                order = _Order(book, side, price, lots)
                if reason == _DEFERRED:
                    self._waiting[order_id] = order
                else:
                    self._id, self._incoming = order_id, order
            elif kind == _CANCELLED:
                self._cancelled(order_id, sequence)
            elif kind == _REPLACED:
                self._settle()
                was = resting.pop(order_id, None)
                if was is None:
                    raise self._missing(sequence)
                book.change(was.side, was.price, -was.leaves)
                self._id, self._incoming = order_id, _Order(book, was.side, price, lots)
            elif kind == _RELEASED:
                self._settle()
                waiting = self._waiting.pop(order_id, None)
                if waiting is None:
                    raise self._missing(sequence)
                self._id, self._incoming = order_id, waiting
            elif kind == _STATE:
                book.statuses.append(Status(sequence, state))
            if flags & RECORD_LAST:
                self._settle()
        if len(records):
            self._settle()  # a batch ends with a command, even where the command's last record is another symbol's
            self.sequence = max(self.sequence, int(records["sequence"][-1]))
        return heard

    def _settle(self) -> None:
        """The command is over: what it brought, and has not ended, rests."""
        order, self._incoming = self._incoming, None
        if order is not None and order.leaves:
            order.book.change(order.side, order.price, order.leaves)
            self._resting[self._id] = order

    def _cancelled(self, order_id: int, sequence: int) -> None:
        if self._incoming is not None and self._id == order_id:
            self._incoming = None
        elif (order := self._resting.pop(order_id, None)) is not None:
            order.book.change(order.side, order.price, -order.leaves)
        elif self._waiting.pop(order_id, None) is None:
            raise self._missing(sequence)

    def _missing(self, sequence: int) -> ValueError:
        return ValueError(
            f"record {sequence} is about an order that no record before it has brought: records are missing, "
            "read the log from its first one"
        )


def _rows(records: Records, after: int) -> Iterator[tuple[Any, ...]]:
    """Columns of the events behind record `after`."""
    r = records.view(EVENT_RECORD)
    if len(r) and r["sequence"][0] <= after:
        r = r[r["sequence"] > after]
    e = r["body"]
    names = ("kind", "reason", "side", "state", "symbol", "order_id", "other_order_id", "price_ticks", "quantity_lots")
    columns = [r["sequence"], *(e[name] for name in names), r["flags"], r["stage_b_ns"]]
    return zip(*(column.tolist() for column in columns), strict=True)
