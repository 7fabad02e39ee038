"""What the audit log makes of books, trades and balances, as the kit replays it: the truth that readers are held against.

It grows with the log. Books are kept as of each command that changed them, so that a reader may be asked about an older moment.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from matchmark.conformance.checks import audit_format as f
from matchmark.conformance.checks.audit_format import Happened, Records
from matchmark.conformance.market_data.updates import Depth, depth_of
from matchmark.conformance.packets.feed_book import FeedBook
from matchmark.conformance.packets.from_log import told_by
from matchmark.conformance.packets.receiver import Message

EMPTY: Depth = ((), ())
CASH = "cash"
Traded = tuple[int, int, int, bool]
"""Sequence, price in ticks, lots, whether the incoming order was a sell."""
Key = tuple[str, str]
"""Account and asset."""
Amount = tuple[int, int]
"""Free and reserved: minor units, or shares."""


@dataclass(slots=True)
class SymbolTruth:
    """`depths[n]` is the book from the command that began with record `moments[n]` on."""

    trades: list[Traded] = field(default_factory=list)
    trade_sequences: list[int] = field(default_factory=list)
    made_ns: list[int] = field(default_factory=list)
    """When the engine made each trade, CLOCK_MONOTONIC_RAW."""
    moments: list[int] = field(default_factory=lambda: [0])
    depths: list[Depth] = field(default_factory=lambda: [EMPTY])

    def depth(self, sequence: int) -> Depth:
        """The book once the command of that record is over; no record of it stands between two states."""
        return self.depths[bisect_right(self.moments, sequence) - 1]

    def traded(self, after: int, upto: int) -> list[Traded]:
        """Trades of the records behind `after` up to `upto`."""
        at, end = (bisect_right(self.trade_sequences, sequence) for sequence in (after, upto))
        return self.trades[at:end]

    def made(self, sequence: int) -> int | None:
        """When the trade of that record was made; None: it tells of none."""
        at = bisect_right(self.trade_sequences, sequence) - 1
        return self.made_ns[at] if at >= 0 and self.trade_sequences[at] == sequence else None

    def forget(self, before: int) -> None:
        """Books that were over before that record."""
        at = bisect_right(self.moments, before) - 1
        if at > 0:
            del self.moments[:at], self.depths[:at]


class Truth:
    """`names`: symbols by their number in the log. feed_book.FeedBroken: the log contradicts itself."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.symbols = {name: SymbolTruth() for name in names}
        self.position = 0
        self._book = FeedBook()
        self._levels: dict[tuple[int, int], dict[int, int]] = defaultdict(dict)

    def take(self, records: Records) -> None:
        """Whole commands, next in sequence."""
        if not len(records):
            return
        sequences = records["sequence"]
        begins = np.maximum.accumulate(np.where(records["kind"] == f.Kind.COMMAND, sequences, 0))
        first, command, touched = int(sequences[0]), 0, set[int]()
        for message in told_by(records.view(f.WHOLE)):
            begin = int(begins[message.sequence - first])
            if begin != command:
                self._over(command, touched)
                command = begin
            self._apply(message, touched)
        self._over(command, touched)
        self.position = int(sequences[-1])

    def _over(self, command: int, touched: set[int]) -> None:
        for number in touched:
            bids, asks = (self._levels[number, side] for side in (0, 1))
            of = self.symbols[self.names[number]]
            of.moments.append(command)
            of.depths.append(depth_of(bids, asks))
        touched.clear()

    def _apply(self, m: Message, touched: set[int]) -> None:
        numbers = (m.order_id, m.resting_order_id) if m.type == "E" else (m.order_id,)
        self._count(numbers, -1, touched)
        self._book.apply(m)
        self._count(numbers, 1, touched)
        if m.type == "E":
            of = self.symbols[self.names[m.symbol]]
            of.trades.append((m.sequence, m.price, m.quantity, m.side == 1))
            of.trade_sequences.append(m.sequence)
            of.made_ns.append(m.matched_ns)

    def _count(self, numbers: Sequence[int], sign: int, touched: set[int]) -> None:
        for number in numbers:
            order = self._book.orders.get(number)
            if order is None or order.waits:
                continue
            levels = self._levels[order.symbol, order.side]
            lots = levels.get(order.price, 0) + sign * order.leaves
            touched.add(order.symbol)
            if lots:
                levels[order.price] = lots
            else:
                levels.pop(order.price, None)


@dataclass(slots=True)
class _Open:
    account: int
    symbol: int
    buys: bool
    ticks: int
    leaves: int


class Balances:
    """Of every account, as it is after record `position`. `cash` (minor units) and `shares` are what each account began with;
    `units`: minor units of a tick and a lot."""

    def __init__(
        self, accounts: Sequence[str], names: Sequence[str], cash: int, shares: int, units: int = 1, lot_size: int = 1
    ) -> None:
        self._accounts, self._names = tuple(accounts), tuple(names)
        self._opening, self._units, self._lot = (cash, shares), units, lot_size
        self._cash: dict[int, int] = defaultdict(int)
        self._held_cash: dict[int, int] = defaultdict(int)
        self._lots: dict[tuple[int, int], int] = defaultdict(int)
        self._held_lots: dict[tuple[int, int], int] = defaultdict(int)
        self._open: dict[int, _Open] = {}
        self._waiting: list[Records] = []
        self.position = 0

    def take(self, records: Records) -> None:
        """What `advance` may go through."""
        if len(records):
            self._waiting.append(records)

    def advance(self, upto: int) -> None:
        """Up to record `upto`, of those that were taken."""
        while self._waiting and self.position < upto:
            records = self._waiting[0]
            count = int(np.searchsorted(records["sequence"], upto, side="right"))
            self._apply(records[:count])
            if count:
                self.position = int(records["sequence"][count - 1])
            if count < len(records):
                self._waiting[0] = records[count:]
                return
            del self._waiting[0]

    def amounts(self) -> Mapping[Key, Amount]:
        """Of every account's cash, and of every position that an order or trade touched."""
        cash, shares = self._opening
        out: dict[Key, Amount] = {}
        for n, name in enumerate(self._accounts):
            held = self._held_cash[n] * self._units
            out[name, CASH] = cash + self._cash[n] * self._units - held, held
        for n, symbol in self._lots.keys() | self._held_lots.keys():
            held = self._held_lots[n, symbol] * self._lot
            total = shares + self._lots[n, symbol] * self._lot
            out[self._accounts[n], self._names[symbol]] = total - held, held
        return out

    def _apply(self, records: Records) -> None:
        events = records.view(f.EVENT)[records["kind"] == f.Kind.EVENT]
        fields = (
            "event",
            "side",
            "symbol",
            "account",
            "other_account",
            "order_id",
            "other_order_id",
            "price_ticks",
            "quantity_lots",
        )
        for row in zip(*(events[name].tolist() for name in fields), strict=True):
            self._one(*row)

    def _one(
        self, event: int, side: int, symbol: int, account: int, other_account: int, order: int, other: int, price: int,
        lots: int,
    ) -> None:  # fmt: skip
        if event == Happened.ACCEPTED:
            self._open[order] = _Open(account, symbol, side == 0, 0 if price == f.ABSENT else price, 0)
            self._change(order, price, lots)
        elif event == Happened.REPLACED:
            self._change(order, price, lots)
        elif event == Happened.CANCELLED:
            self._change(order, 0, 0)
        elif event == Happened.TRADE:
            buyer, seller = (account, other_account) if side == 0 else (other_account, account)
            self._cash[buyer] -= price * lots
            self._cash[seller] += price * lots
            self._lots[buyer, symbol] += lots
            self._lots[seller, symbol] -= lots
            for number in (order, other):
                one = self._open[number]
                self._change(number, one.ticks, one.leaves - lots)

    def _change(self, number: int, price: int, leaves: int) -> None:
        """An order to buy holds its limit for what is left of it, one to sell its shares; a market order to buy holds nothing."""
        one = self._open.get(number)
        if one is None:
            return
        ticks = 0 if price == f.ABSENT else price
        if one.buys:
            self._held_cash[one.account] += ticks * leaves - one.ticks * one.leaves
        else:
            self._held_lots[one.account, one.symbol] += leaves - one.leaves
        one.ticks, one.leaves = ticks, leaves
        if not leaves:
            del self._open[number]
