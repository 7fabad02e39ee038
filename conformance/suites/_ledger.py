"""What the ledger's suites have in common: a lab with a ledger, its traders, and readings of the balances as differences.

Amounts are in ticks and lots, as they are ordered. A reading is one query: of one moment, as the target keeps it.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, NoReturn

import psycopg

from matchmark.conformance.checks.audit_ledger import Breach
from matchmark.conformance.fix import business
from matchmark.conformance.fix.client import ConnectionEnded, FixClient, NoAnswer
from matchmark.conformance.lab import Lab
from matchmark.conformance.lab_fixtures import MakeLab, violate
from matchmark.conformance.lab_load import middle_ticks
from matchmark.conformance.targets.profile_ledger import ledger_of

Reading = dict[tuple[str, str], tuple[Fraction, Fraction]]
"""Free and reserved by account and asset: currency, or shares; exact, however much it is."""
Moved = tuple[int, int]
"""How free and reserved differ from the beginning: ticks x lots, or lots."""
PATIENCE_S = 5.0
"""Beyond the lag that the profile states: a busy machine."""
STILL_S = 0.3


class Hall:
    """A started lab. `CASH` stands for cash wherever an asset is named; other assets are the hall's instruments by number."""

    CASH = -1

    def __init__(self, make_lab: MakeLab, clause: str, symbols: int = 1) -> None:
        self.lab: Lab = make_lab(hook="ledger_start")
        self.clause, self.profile = clause, ledger_of(self.lab.profile.tables["ledger"])
        self._cl = itertools.count(1)
        self.lab.start()
        self.accounts = self.lab.accounts[:4]
        self.clients: dict[str, FixClient] = {account: self.lab.client(account) for account in self.accounts}
        self.middle = middle_ticks(self.lab)
        self.symbols = [self.lab.instrument(n) for n in range(symbols)]
        self.orders: dict[str, tuple[str, int]] = {}
        self.before = self._warm()

    # --- orders ---

    def order(self, who: int, side: str, lots: int, away: int | None, symbol: int = 0, wait: bool = True) -> str:
        """`away` ticks from the middle; None: a market order. Its ClOrdID."""
        account, cl = self.accounts[who], f"L{next(self._cl)}"
        ticks = None if away is None else self.middle + away
        self.orders[cl] = account, symbol
        fields = business.new_order(self.symbols[symbol], cl, side, lots, ticks, account=account)
        self.clients[account].send("D", fields)
        if wait:
            self.answer(account, cl)
        return cl

    def cancel(self, orig: str, side: str, wait: bool = True) -> None:
        account, symbol = self.orders[orig]
        cl = f"L{next(self._cl)}"
        self.clients[account].send("F", business.cancel(self.symbols[symbol], cl, orig, side, account=account))
        if wait:
            self.answer(account, cl)

    def replace(self, orig: str, side: str, lots: int, away: int) -> str:
        account, symbol = self.orders[orig]
        cl = f"L{next(self._cl)}"
        self.orders[cl] = account, symbol
        fields = business.replace(self.symbols[symbol], cl, orig, side, lots, self.middle + away, account=account)
        self.clients[account].send("G", fields)
        self.answer(account, cl)
        return cl

    def answer(self, account: str, cl: str) -> None:
        try:
            self.clients[account].expect(lambda m: m.type in "893j" and m.get(11) == cl, 10.0)
        except NoAnswer:
            self.fail(f"{cl} of {account} has no answer", (), (), (cl,))

    def flow(self, seed: int, orders: int) -> None:
        """Random orders of all accounts, small ones near the middle, some cancelled or replaced; answers are not waited for."""
        luck, live = random.Random(seed), list[tuple[str, str]]()
        for _ in range(orders):
            side, who, symbol = (
                luck.choice(("buy", "sell")),
                luck.randrange(len(self.accounts)),
                luck.randrange(len(self.symbols)),
            )
            away = None if luck.random() < 0.1 else luck.randint(-5, 5)
            try:
                live.append((self.order(who, side, luck.randint(1, 20), away, symbol, wait=False), side))
                if len(live) > 8 and luck.random() < 0.3:
                    self.cancel(*live.pop(luck.randrange(len(live))), wait=False)
            except ConnectionEnded:
                return
            if len(live) % 20 == 0:
                self.fence()

    def fence(self) -> None:
        """All that was sent is answered."""
        for account, client in self.clients.items():
            cl = f"L{next(self._cl)}"
            client.send("H", business.status(self.symbols[0], cl, "buy", account=account))
            client.expect(lambda m, cl=cl: (m.type in "89j" and m.get(11) == cl) or m.type == "j", 10.0)  # type: ignore[misc]
            client.clear()

    def again(self) -> None:
        """The same sessions after the exchange was started again."""
        self.clients = {account: self.lab.client(account) for account in self.accounts}

    # --- the ledger ---

    @property
    def dsn(self) -> str:
        dsn = self.profile.dsn or self.lab.ready.get("ledger")
        assert dsn, "neither [ledger] dsn nor the readiness line (ledger) says where the ledger is"
        return str(dsn)

    @contextmanager
    def connected(self) -> Iterator[psycopg.Connection[Any]]:
        """As soon as it answers."""
        until = time.monotonic() + 60
        while True:
            try:
                connection = psycopg.connect(self.dsn, autocommit=True, connect_timeout=5)
                break
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
        with connection:
            yield connection

    def read(self, connection: psycopg.Connection[Any] | None = None) -> Reading:
        if connection is None:
            with self.connected() as own:
                return self.read(own)
        try:
            rows = connection.execute(self.profile.balances).fetchall()
        except psycopg.errors.UndefinedTable:
            return {}
        unit, cash = Fraction(self.profile.cash_unit), self.profile.cash
        return {
            (str(account), str(asset)): (Fraction(free) * unit, Fraction(held) * unit)
            if asset == cash
            else (Fraction(free), Fraction(held))
            for account, asset, free, held in rows
        }

    def moved(self, now: Reading, who: int, asset: int) -> tuple[Fraction, Fraction]:
        """Since the beginning, in ticks x lots, or lots."""
        at = self.symbols[max(asset, 0)]
        name = self.profile.cash if asset == self.CASH else at.symbol
        unit = at.lot_size * (Fraction(at.tick_size) if asset == self.CASH else 1)
        key = self.accounts[who], name
        (free, held), (free_then, held_then) = (
            now.get(key, (Fraction(0),) * 2),
            self.before.get(key, (Fraction(0),) * 2),
        )
        return (free - free_then) / unit, (held - held_then) / unit

    def expect(self, what: str, wanted: Mapping[tuple[int, int], Moved], patience_s: float = PATIENCE_S) -> None:
        """In time, and it stays so: an entry that comes twice is seen too."""
        until = time.monotonic() + self.profile.lag_s + patience_s
        with self.connected() as connection:
            while (now := self.read(connection)) and self._differ(now, wanted) and time.monotonic() < until:
                time.sleep(0.02)
            if not self._differ(now, wanted):
                time.sleep(STILL_S)
                now = self.read(connection)
        if wrong := self._differ(now, wanted):
            name = {
                n: self.profile.cash if n < 0 else self.symbols[n].symbol
                for n in (self.CASH, *range(len(self.symbols)))
            }
            due = [
                f"{self.accounts[w]} {name[a]}: free {wanted[w, a][0]:+}, reserved {wanted[w, a][1]:+}"
                for w, a in wrong
            ]
            has = [
                f"{self.accounts[w]} {name[a]}: free {_said(f)}, reserved {_said(r)}"
                for (w, a), (f, r) in wrong.items()
            ]
            self.fail(f"{what}: the ledger shows other amounts (ticks x lots, and lots, since the beginning)", due, has)

    def _differ(
        self, now: Reading, wanted: Mapping[tuple[int, int], Moved]
    ) -> dict[tuple[int, int], tuple[Fraction, Fraction]]:
        moved = {key: self.moved(now, *key) for key in wanted}
        return {key: value for key, value in moved.items() if list(value) != list(wanted[key])}

    def totals(self, now: Reading) -> dict[str, Fraction]:
        out: dict[str, Fraction] = {}
        for (_, asset), (free, held) in now.items():
            out[asset] = out.get(asset, Fraction(0)) + free + held
        return out

    def fail(
        self, message: str, expected: Any = (), actual: Any = (), about: tuple[str, ...] = (), clause: str | None = None
    ) -> NoReturn:
        violate(self.lab, Breach(clause or self.clause, message, tuple(expected), tuple(actual), frozenset(about)))

    def _warm(self) -> Reading:
        """Every account has had an order in every symbol, so that its balances are there; then nothing moves."""
        for symbol in range(len(self.symbols)):
            for who in range(len(self.accounts)):
                self.cancel(self.order(who, "sell", 1, 500, symbol), "sell")
        names = {(account, at.symbol) for account in self.accounts for at in self.symbols}
        until, last, now = time.monotonic() + 60, Reading(), self.read()
        while (now != last or not names <= now.keys()) and time.monotonic() < until:
            time.sleep(STILL_S)
            last, now = now, self.read()
        if now != last or not names <= now.keys():
            missing = [f"{account} {asset}" for account, asset in sorted(names - now.keys())]
            self.fail("the ledger does not come to rest with all accounts and symbols that had an order", missing)
        return now


def _said(amount: Fraction) -> str:
    return f"{amount.numerator:+d}" if amount.denominator == 1 else f"{float(amount):+}"


class Watcher(threading.Thread):
    """Reads the whole ledger again and again, as anyone may, until it is stopped."""

    def __init__(self, hall: Hall) -> None:
        super().__init__(daemon=True)
        self.readings: list[Reading] = []
        self._hall, self._told = hall, threading.Event()

    def run(self) -> None:
        with self._hall.connected() as connection:
            while not self._told.is_set():
                self.readings.append(self._hall.read(connection))

    def __enter__(self) -> Watcher:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._told.set()
        self.join()
