"""Is the ledger what the audit log says?

The log is replayed by order, with none of the code that writes the ledger: what an account has is its opening balance and its
trades, and what it has reserved is what its open orders hold in the end.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psycopg

from matchmark.native import _native
from matchmark.native.pipeline_records import EVENT_RECORD
from matchmark.native.records import ABSENT, EventKind, Side
from matchmark.reference.audit_log import log_files, open_file
from matchmark.reference.gateway import Account, Symbol

CASH = "cash"
EQUITY = "*equity*"
Key = tuple[str, str]
"""Account and asset."""


class Amount(NamedTuple):
    free: int
    reserved: int


class Difference(NamedTuple):
    account: str
    asset: str
    ledger: Amount | None
    log: Amount
    what: str = "the log"


@dataclass(frozen=True)
class Told:
    """What the ledger says: balances after record `sequence`, and the sums of the lines that made them."""

    sequence: int
    balances: dict[Key, Amount]
    sums: dict[Key, Amount]


def log_end(log: Path) -> int:
    """The last record that is whole; 0 for none. FileNotFoundError or AuditLogError when there is no log."""
    files = log_files(log)
    if not files:
        return 0
    last = open_file(files[-1])
    first = last.header.first_sequence
    expected = np.arange(first, first + len(last.slots), dtype=np.uint64)
    odd = np.flatnonzero(last.slots["sequence"] != expected)
    slots = last.slots[: int(odd[0]) if len(odd) else len(last.slots)]
    return (
        first - 1 + int(_native.lib.mm_audit_crc_good(_native.ffi.from_buffer("mm_audit_record[]", slots), len(slots)))
    )


def last_event(log: Path, end: int) -> int:
    """The last record up to `end` that tells an event."""
    for path in reversed(log_files(log)):
        file = open_file(path)
        kinds = file.slots["kind"][: max(0, end + 1 - file.header.first_sequence)]
        if len(found := np.flatnonzero(kinds == 2)):
            return file.header.first_sequence + int(found[-1])
    return 0


def read_ledger(connection: psycopg.Connection[Any], wanted: int, patience_s: float) -> Told:
    """As of one moment, when record `wanted` is entered, or patience ends."""
    until = time.monotonic() + patience_s
    while True:
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            row = connection.execute("SELECT coalesce(max(last_sequence), 0) FROM ledger_offset").fetchone()
            sequence = int(row[0]) if row else 0
            if sequence >= wanted or time.monotonic() >= until:
                balances = connection.execute(
                    "SELECT account, asset, balance, reserved FROM ledger_balances"
                ).fetchall()
                sums = connection.execute(
                    "SELECT account, asset, coalesce(sum(amount) FILTER (WHERE part = 'free'), 0), "
                    "coalesce(sum(amount) FILTER (WHERE part = 'reserved'), 0) FROM ledger_postings GROUP BY 1, 2"
                ).fetchall()
                return Told(sequence, _amounts(balances), _amounts(sums))
        time.sleep(0.02)


def _amounts(rows: Sequence[tuple[Any, ...]]) -> dict[Key, Amount]:
    return {(str(a), str(s)): Amount(int(free), int(held)) for a, s, free, held in rows}


class Replay:
    """Accounts as the log has them."""

    def __init__(self, accounts: Sequence[Account], symbols: Sequence[Symbol]) -> None:
        self._accounts, self._symbols = accounts, symbols
        self._ticks = [symbol.units(symbol.tick) for symbol in symbols]
        self._cash: dict[int, int] = defaultdict(int)
        self._shares: dict[tuple[int, int], int] = defaultdict(int)
        self._open: dict[int, list[int]] = {}
        self.last_event = 0

    def take(self, log: Path, until: int) -> None:
        """Records 1 to `until`."""
        names = (
            "kind",
            "side",
            "symbol",
            "account",
            "other_account",
            "order_id",
            "other_order_id",
            "price_ticks",
            "quantity_lots",
        )
        for records in _events(log, until):
            self.last_event = int(records["sequence"][-1])
            limits = records["limit_ticks"].tolist()
            for row in zip(limits, *(records["body"][name].tolist() for name in names), strict=True):
                self._one(*row)

    def _one(
        self, limit: int, kind: int, side: int, symbol: int, account: int, other_account: int, order: int, other: int,
        price: int, lots: int,
    ) -> None:  # fmt: skip
        if kind == EventKind.ACCEPTED:
            self._open[order] = [account, side, symbol, 0 if limit == ABSENT else limit, lots]
        elif kind == EventKind.REPLACED:
            self._open[order][3:] = [price, lots]
        elif kind == EventKind.CANCELLED:
            self._open.pop(order, None)
        elif kind == EventKind.TRADE:
            buyer, seller = (account, other_account) if side == Side.BUY else (other_account, account)
            shares = lots * self._symbols[symbol].lot_size
            self._cash[buyer] -= price * self._ticks[symbol] * shares
            self._cash[seller] += price * self._ticks[symbol] * shares
            self._shares[buyer, symbol] += shares
            self._shares[seller, symbol] -= shares
            for n in (order, other):
                self._open[n][4] -= lots
                if not self._open[n][4]:
                    del self._open[n]

    def opening(self, account: int, symbol: int | None) -> int:
        given = self._accounts[account]
        if symbol is None:
            return int(Fraction(given.cash) * 10 ** (self._symbols[0].digits if self._symbols else 2))
        of = self._symbols[symbol]
        return of.lot_size * given.positions.get(of.name, given.position_each)

    def amounts(self) -> dict[Key, Amount]:
        """Of every account's cash, and of every position that something touched."""
        held_cash: dict[int, int] = defaultdict(int)
        held: dict[tuple[int, int], int] = defaultdict(int)
        for account, side, symbol, ticks, lots in self._open.values():
            shares = lots * self._symbols[symbol].lot_size
            if side == Side.BUY:
                held_cash[account] += ticks * self._ticks[symbol] * shares
            else:
                held[account, symbol] += shares
        out: dict[Key, Amount] = {}
        for n, given in enumerate(self._accounts):
            out[given.name, CASH] = Amount(self.opening(n, None) + self._cash[n] - held_cash[n], held_cash[n])
        for account, symbol in self._shares.keys() | held.keys():
            reserved = held[account, symbol]
            total = self.opening(account, symbol) + self._shares[account, symbol]
            out[self._accounts[account].name, self._symbols[symbol].name] = Amount(total - reserved, reserved)
        return out

    def untouched(self, key: Key) -> Amount:
        """Of a position that no record touched."""
        accounts = {account.name: n for n, account in enumerate(self._accounts)}
        symbols = {symbol.name: n for n, symbol in enumerate(self._symbols)}
        if key[0] not in accounts or key[1] not in symbols:
            return Amount(0, 0)
        return Amount(self.opening(accounts[key[0]], symbols[key[1]]), 0)


def _events(log: Path, until: int) -> Iterator[Any]:
    for path in log_files(log):
        file = open_file(path)
        slots = file.slots[: max(0, until + 1 - file.header.first_sequence)]
        for at in range(0, len(slots), 1 << 14):
            part = slots[at : at + (1 << 14)]
            events = part[part["kind"] == 2].view(EVENT_RECORD)
            if len(events):
                yield events


def differences(told: Told, replay: Replay) -> Iterator[Difference]:
    wanted = replay.amounts()
    for key in sorted(wanted.keys() | told.balances.keys()):
        if key[0] == EQUITY:
            continue
        log, ledger = wanted.get(key) or replay.untouched(key), told.balances.get(key)
        if ledger != log and not (ledger is None and log == Amount(0, 0)):
            yield Difference(*key, ledger, log)
    for key in sorted(told.sums.keys() | told.balances.keys()):
        balance, made = told.balances.get(key, Amount(0, 0)), told.sums.get(key, Amount(0, 0))
        if balance != made:
            yield Difference(*key, balance, made, "its own lines")
    for asset in sorted({asset for _, asset in told.balances}):
        total = sum(sum(amount) for key, amount in told.balances.items() if key[1] == asset)
        if total:
            yield Difference(
                "all accounts", asset, Amount(total, 0), Amount(0, 0), "the sum that opening balances leave"
            )
