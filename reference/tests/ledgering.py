"""A PostgreSQL for the tests of the ledger, and databases in it, a fresh one for each test."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from matchmark.native.pipeline_records import AUDIT_RECORD, EVENT_RECORD, RECORD_LAST, RecordKind
from matchmark.native.records import ABSENT, EventKind
from matchmark.reference.audit_log import Records
from matchmark.reference.events.source import Batch
from matchmark.reference.ledger.server import Server

BUY, SELL = 0, 1


class Databases:
    """Fresh databases of one server. `dsn_of` the last one made."""

    def __init__(self, folder: Path) -> None:
        self.server = Server(folder)
        self.server.start()
        self._numbers = itertools.count(1)

    def fresh(self) -> str:
        name = f"t{next(self._numbers)}"
        with psycopg.connect(self.server.dsn, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.server.dsn.replace("/postgres?", f"/{name}?")


class Events:
    """Event records as the engine would publish them, for orders that the test follows itself."""

    def __init__(self) -> None:
        self.made: list[Any] = []
        self._orders: dict[int, dict[str, int]] = {}

    def accept(self, account: int, side: int, lots: int, ticks: int = ABSENT, symbol: int = 0) -> int:
        order = len(self._orders) + 1
        self._orders[order] = {"account": account, "side": side, "ticks": ticks, "leaves": lots, "symbol": symbol}
        self._put(EventKind.ACCEPTED, order, lots)
        return order

    def trade(self, incoming: int, resting: int, lots: int) -> None:
        a, b = self._orders[incoming], self._orders[resting]
        a["leaves"] -= lots
        b["leaves"] -= lots
        record = self._put(EventKind.TRADE, incoming, lots)
        record["body"]["price_ticks"] = b["ticks"]
        record["body"]["other_account"], record["body"]["other_order_id"] = b["account"], resting
        record["other_leaves_lots"] = b["leaves"]

    def cancel(self, order: int) -> None:
        leaves, self._orders[order]["leaves"] = self._orders[order]["leaves"], 0
        self._put(EventKind.CANCELLED, order, leaves)

    def replace(self, order: int, leaves: int, ticks: int) -> None:
        self._orders[order].update(leaves=leaves, ticks=ticks)
        self._put(EventKind.REPLACED, order, leaves)

    def leaves(self, order: int) -> int:
        return self._orders[order]["leaves"]

    def batch(self, first: int = 0, until: int | None = None) -> Batch:
        made = self.made[first:until]
        records: Records = np.array(made, dtype=EVENT_RECORD) if made else np.zeros(0, EVENT_RECORD)
        last = int(records["sequence"][-1]) + 1 if made else 1
        return Batch(0, last, records.view(AUDIT_RECORD))

    def _put(self, kind: EventKind, order: int, lots: int) -> Any:
        o, record = self._orders[order], np.zeros((), EVENT_RECORD)
        record["sequence"] = record["running_hash"] = len(self.made) + 1
        record["kind"], record["flags"] = RecordKind.EVENT, RECORD_LAST
        record["limit_ticks"], record["leaves_lots"] = o["ticks"], o["leaves"]
        body = record["body"]
        body["kind"], body["side"], body["symbol"], body["account"] = kind, o["side"], o["symbol"], o["account"]
        body["order_id"], body["price_ticks"], body["quantity_lots"] = order, o["ticks"], lots
        self.made.append(record)
        return record


def balances(dsn: str) -> dict[tuple[str, str], tuple[int, int]]:
    """By account and asset: free and reserved."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        rows = connection.execute("SELECT account, asset, balance, reserved FROM ledger_balances").fetchall()
    return {(account, asset): (int(free), int(held)) for account, asset, free, held in rows}


Fresh = Callable[[], str]
