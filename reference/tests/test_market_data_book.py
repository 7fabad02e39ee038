"""The book that market data makes from events is the model's after every command; Updates rebuild it; windows hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from matchmark.conformance.messages import Command, New
from matchmark.conformance.trading_messages import Control
from matchmark.native.pipeline_records import EVENT_RECORD
from matchmark.native.records import EventKind
from matchmark.reference.audit_log import Records
from matchmark.reference.market_data import market_data_pb2 as pb
from matchmark.reference.market_data.book import ASK, BID, Books, Quote, Status, Trade
from matchmark.reference.market_data.conflate import DEPTH, QUOTES, Conflator, Level, Update
from matchmark.reference.market_data.encode import as_json, frame, protobuf

from .market_events import SYMBOLS, Exchange, flows

WINDOW_NS = 10_000_000
FEW = settings(max_examples=120, deadline=None)


@pytest.fixture
def made() -> Iterator[Callable[[], Exchange]]:
    open_now: list[Exchange] = []

    def make() -> Exchange:
        open_now.append(Exchange())
        return open_now[-1]

    yield make
    for exchange in open_now:
        exchange.close()


def own(exchange: Exchange) -> Any:
    class Closing:
        def __enter__(self) -> Exchange:
            return exchange

        def __exit__(self, *_: object) -> None:
            exchange.close()

    return Closing()


@FEW
@given(flows())
def test_the_book_of_the_events_is_the_models_after_every_command(commands: list[Command | Control]) -> None:
    with own(Exchange()) as x:
        books = Books(len(SYMBOLS))
        for command in commands:
            books.take(x.do(command))
            for n, book in enumerate(books.books):
                assert book.levels == x.levels(n), command
                assert book.quote() == x.quote(n), command


@FEW
@given(flows(), st.data())
def test_records_that_come_again_or_by_symbol_give_the_same_book(
    commands: list[Command | Control], data: st.DataObject
) -> None:
    """Redelivery is passed over; a partition that has one symbol's records alone is enough for that symbol."""
    with own(Exchange()) as x:
        whole = Books(len(SYMBOLS))
        alone = [Books(len(SYMBOLS)) for _ in SYMBOLS]
        past: list[Records] = []
        for command in commands:
            past.append(x.do(command))
            whole.take(np.concatenate(past[-data.draw(st.integers(1, 3)) :]))
            symbol_of = past[-1].view(EVENT_RECORD)["body"]["symbol"]
            for n, books in enumerate(alone):
                books.take(past[-1][symbol_of == n])
        for n in range(len(SYMBOLS)):
            assert whole.books[n].levels == alone[n].books[n].levels == x.levels(n)


def test_missing_records_are_noticed(made: Callable[[], Exchange]) -> None:
    x = made()
    first = x.do(New("a", "A", "S0", "buy", "limit", 5, 100))
    assert len(first)
    with pytest.raises(ValueError, match="records are missing"):
        Books(3).take(x.do(New("b", "B", "S0", "sell", "limit", 5, 100)))


# --- conflation ---


class Seen:
    """A subscriber of one stream: what it has made of its Updates, checked as they come."""

    def __init__(self, snapshot: Update, now_ns: int) -> None:
        self.last, self.levels, self.quote = -1, {}, None  # type: ignore[var-annotated]
        self.trades: list[Trade] = []
        self.statuses: list[Status] = []
        self.book_at = -1
        self.books: list[int] = []
        self.take(snapshot, now_ns)

    def take(self, u: Update, now_ns: int) -> None:
        if u.snapshot:
            self.levels.clear()
        else:
            assert u.after == self.last and u.sequence >= u.after
            assert u.sequence > u.after or (u.book and not u.trades and not u.statuses)
            if u.book:
                self.books.append(now_ns)
        assert all(u.snapshot or u.after < t.sequence <= u.sequence for t in (*u.trades, *u.statuses))
        self.last = u.sequence
        self.trades += u.trades
        self.statuses += u.statuses
        if u.book:
            self.book_at, self.quote = u.sequence, u.quote
        for side, ticks, lots in u.levels:
            assert u.book
            if lots:
                self.levels[side, ticks] = lots
            else:
                del self.levels[side, ticks]

    def sides(self) -> tuple[dict[int, int], dict[int, int]]:
        bids, asks = ({t: lots for (s, t), lots in self.levels.items() if s == side} for side in (BID, ASK))
        return bids, asks


@FEW
@given(flows(60), st.lists(st.integers(0, 15_000_000), min_size=60, max_size=60), st.integers(0, 59))
def test_conflated_streams(commands: list[Command | Control], steps: list[int], joins_at: int) -> None:
    """Trades and states all, at once and in order; at most one book a window; right whenever it is shown; the last one comes by
    itself; and who joins late ends up with the same."""
    with own(Exchange()) as x:
        c = Conflator(len(SYMBOLS), WINDOW_NS)
        keys = [(n, channel) for n in range(len(SYMBOLS)) for channel in (QUOTES, DEPTH)]
        for key in keys:
            c.want(*key)
        seen = {key: [Seen(c.snapshot(*key), 0)] for key in keys}
        trades: dict[int, list[int]] = {n: [] for n in range(len(SYMBOLS))}
        states: dict[int, list[int]] = {n: [] for n in range(len(SYMBOLS))}
        at_sequence: dict[tuple[int, int], tuple[Any, Any]] = {}
        now = 0

        def out(updates: list[Update], now_ns: int) -> None:
            for u in updates:
                for subscriber in seen[u.symbol, u.channel]:
                    subscriber.take(u, now_ns)
                    if u.book:
                        levels, quote = at_sequence[u.symbol, u.sequence]
                        if u.channel == DEPTH:
                            assert subscriber.sides() == levels
                        else:
                            assert u.quote == quote

        for n, command in enumerate(commands):
            until = now + steps[n]
            while (due := c.next_due_ns) is not None and due <= until:
                now = max(now, due)
                out(c.due(now), now)  # nothing came: a window just ends
            now = until
            records = x.do(command)
            r = records.view(EVENT_RECORD)
            for row in r:
                symbol, sequence = int(row["body"]["symbol"]), int(row["sequence"])
                if symbol < len(SYMBOLS):
                    kind = int(row["body"]["kind"])
                    (
                        trades[symbol] if kind == EventKind.TRADE else states[symbol] if kind == EventKind.STATE else []
                    ).append(sequence)
                    at_sequence[symbol, sequence] = (x.levels(symbol), x.quote(symbol))
            out(c.take(records, now), now)
            for symbol, channel in keys:
                first = seen[symbol, channel][0]
                assert [t.sequence for t in first.trades] == trades[symbol], "a trade goes out at once"
                assert [s.sequence for s in first.statuses] == states[symbol]
            if n == joins_at % len(commands):
                for key in keys:
                    if c.settled(*key):
                        late = Seen(c.snapshot(*key), now)
                        assert late.last == c.last(*key)
                        seen[key].append(late)
        now += WINDOW_NS
        out(c.due(now), now)
        assert c.next_due_ns is None
        for (symbol, channel), subscribers in seen.items():
            for s in subscribers:
                assert all(b - a >= WINDOW_NS for a, b in zip(s.books, s.books[1:], strict=False)), "one a window"
                if channel == DEPTH:
                    assert s.sides() == x.levels(symbol)
                elif s.quote is not None:
                    assert s.quote == x.quote(symbol)


def test_first_of_a_quiet_symbol_at_once_and_last_of_a_burst_at_the_end(made: Callable[[], Exchange]) -> None:
    x, c = made(), Conflator(3, WINDOW_NS)
    c.want(0, QUOTES)
    (u,) = c.take(x.do(New("a", "A", "S0", "buy", "limit", 5, 100)), 50)
    assert u.book and u.quote == Quote(100, 5, 0, 0) and c.next_due_ns is None
    assert c.take(x.do(New("b", "A", "S0", "buy", "limit", 5, 101)), 60) == []
    assert c.take(x.do(New("c", "A", "S0", "buy", "limit", 7, 101)), 70) == []
    assert c.next_due_ns == 50 + WINDOW_NS and c.due(49 + WINDOW_NS) == []
    (u,) = c.due(50 + WINDOW_NS)
    assert u.quote == Quote(101, 12, 0, 0) and u.sequence == x.sequence and not c.due(10**9)
    (u,) = c.take(x.do(New("d", "B", "S0", "sell", "limit", 20, 101)), 51 + WINDOW_NS)
    assert not u.book and [(t.price_ticks, t.quantity_lots, t.sold) for t in u.trades] == [
        (101, 5, True),
        (101, 7, True),
    ]
    (u,) = c.due(50 + 2 * WINDOW_NS)
    assert u.after == u.sequence == x.sequence and u.quote == Quote(100, 5, 101, 8)


def test_nobody_wants_it_nothing_is_made(made: Callable[[], Exchange]) -> None:
    x, c = made(), Conflator(3, WINDOW_NS)
    assert c.take(x.do(New("a", "A", "S0", "buy", "limit", 5, 100)), 0) == [] and c.next_due_ns is None
    c.want(1, DEPTH)
    assert c.take(x.do(New("b", "A", "S0", "buy", "limit", 5, 100)), 0) == []
    c.want(0, DEPTH)
    assert c.snapshot(0, DEPTH).levels == [Level(BID, 100, 10)]
    c.unwant(0, DEPTH)
    assert c.take(x.do(New("c", "A", "S0", "buy", "limit", 5, 100)), 0) == []


# --- bytes ---

NUMBERS = st.integers(0, 2**53 - 1)
UPDATES = st.builds(
    Update,
    symbol=st.integers(0, 2),
    channel=st.just(DEPTH),
    after=NUMBERS,
    sequence=NUMBERS,
    made_ns=NUMBERS,
    trades=st.lists(st.builds(Trade, NUMBERS, NUMBERS, st.integers(0, 2**31 - 1), st.booleans())),
    statuses=st.lists(st.builds(Status, NUMBERS, st.integers(0, 2))),
    book=st.booleans(),
    snapshot=st.booleans(),
    quote=st.none() | st.builds(Quote, NUMBERS, NUMBERS, NUMBERS, NUMBERS),
    levels=st.lists(st.builds(Level, st.integers(0, 1), NUMBERS, NUMBERS)),
)


@given(UPDATES)
def test_both_encodings_say_the_same(u: Update) -> None:
    message = pb.Update.FromString(protobuf(u))
    words = as_json(u, "S0")
    assert words.pop("op") == "update" and words.pop("name") == "S0"
    assert json_format.ParseDict(words, pb.Update()) == message
    assert [tuple(getattr(t, f) for f in Trade._fields) for t in message.trades] == [tuple(t) for t in u.trades]
    assert message.HasField("quote") == (u.quote is not None)


@given(st.integers(1, 2**35 - 1), st.integers(1, 2**21 - 1), st.integers(1, 2**21 - 1), st.booleans())
def test_a_trade_takes_at_most_16_bytes(sequence: int, ticks: int, lots: int, sold: bool) -> None:
    trade = pb.Trade(sequence=sequence, price_ticks=ticks, quantity_lots=lots, sold=sold)
    assert trade.ByteSize() <= 16
    (back,) = pb.Update.FromString(protobuf(Update(0, 0, 0, 1, 0, [Trade(sequence, ticks, lots, sold)]))).trades
    assert back == trade


@pytest.mark.parametrize("n", [0, 125, 126, 65_535, 65_536, 200_000])
def test_frames_have_the_lengths_of_rfc_6455(n: int) -> None:
    made = frame(0x82, b"x" * n)
    head = 2 if n < 126 else 4 if n < 65_536 else 10
    assert len(made) == head + n and made[0] == 0x82
    told = made[1] if n < 126 else int.from_bytes(made[2:head], "big")
    assert told == n and made[head:] == b"x" * n
