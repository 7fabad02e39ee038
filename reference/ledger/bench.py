"""How many fills a second the ledger takes: `python -m matchmark.reference.ledger.bench [fills]`.

Each fill is of two orders of its own: a sell that rests, a buy above its price, their trade; so three entries. A batch is
what the ledger's process enters at once. Every transaction is on the disk before the next one (fsync, synchronous_commit). The
floor beside it is COPY of the same rows, in the same transactions, into a table without a key, a constraint or a trigger.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np
import psycopg

from matchmark.native.pipeline_records import AUDIT_RECORD, EVENT_RECORD, RECORD_LAST, RecordKind
from matchmark.native.records import EventKind, Side
from matchmark.reference.events.source import Batch
from matchmark.reference.gateway import Account, Symbol
from matchmark.reference.ledger.opening import Opening
from matchmark.reference.ledger.postings import Holds, lines_of, moving, touches_of
from matchmark.reference.ledger.rows import COLUMNS, binary_rows
from matchmark.reference.ledger.server import Server
from matchmark.reference.ledger.writer import Writer, connect

FILLS = 200_000
RATE = 20_000
"""Fills a second that the ledger must keep up with, less than LAG_S behind."""
LAG_S = 1.0
LAG_MEASURED_S = 3.0
ACCOUNTS, SYMBOLS, EVENTS_A_FILL = 100, 100, 3
BATCH_FILLS = 4096


def fills(first: int, count: int) -> Batch:
    """Of fills `first` to `first + count - 1`, counted from 0."""
    n = np.arange(first, first + count)
    out = np.zeros((count, EVENTS_A_FILL), EVENT_RECORD)
    out["sequence"] = first * EVENTS_A_FILL + 1 + np.arange(count * EVENTS_A_FILL).reshape(count, EVENTS_A_FILL)
    out["kind"], out["flags"] = RecordKind.EVENT, RECORD_LAST
    lots, ticks = 1 + n % 7, 10_000 + n % 11
    seller, buyer = n % ACCOUNTS, (n * 7 + 1) % ACCOUNTS
    sell, buy = 2 * n + 1, 2 * n + 2
    body = out["body"]
    body["symbol"] = (n % SYMBOLS)[:, None]
    body["quantity_lots"] = lots[:, None]
    body["kind"] = (EventKind.ACCEPTED, EventKind.ACCEPTED, EventKind.TRADE)
    body["side"] = (Side.SELL, Side.BUY, Side.BUY)
    for at, (order, account, limit) in enumerate(
        ((sell, seller, ticks), (buy, buyer, ticks + 5), (buy, buyer, ticks + 5))
    ):
        body["order_id"][:, at], body["account"][:, at] = order, account
        out["limit_ticks"][:, at] = body["price_ticks"][:, at] = limit
    body["price_ticks"][:, 2], body["other_order_id"][:, 2], body["other_account"][:, 2] = ticks, sell, seller
    records = out.reshape(-1).view(AUDIT_RECORD)
    return Batch(0, int(out["sequence"][-1, -1]) + 1, records)


def batches(count: int, size: int = BATCH_FILLS) -> Iterator[Batch]:
    for first in range(0, count, size):
        yield fills(first, min(size, count - first))


def opening() -> Opening:
    accounts = tuple(Account(f"A{n}", Decimal(10**15), position_each=10**9) for n in range(ACCOUNTS))
    return Opening(accounts, tuple(Symbol(f"S{n}") for n in range(SYMBOLS)))


def throughput(dsn: str, count: int) -> tuple[float, float]:
    """Seconds, and those of a processor: of this process and of the server's for this connection, which take turns."""
    made = list(batches(count))
    with connect(dsn) as connection:
        writer = Writer(connection, opening(), Holds())
        server = connection.info.backend_pid
        began, busy = time.perf_counter(), time.process_time() + _busy_s(server)
        for batch in made:
            writer.enter(batch)
        return time.perf_counter() - began, time.process_time() + _busy_s(server) - busy


def _busy_s(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def floor(dsn: str, count: int) -> float:
    of, holds, rows = opening(), Holds(), []
    for batch in batches(count):
        events = moving(batch.records)
        touches = touches_of(events)
        rows.append(binary_rows(lines_of(events, of.units, holds, touches)))
    with connect(dsn) as connection:
        connection.execute("CREATE TABLE plain AS SELECT * FROM ledger_entry WITH NO DATA")
        began = time.perf_counter()
        for data in rows:
            with (
                connection.transaction(),
                connection.cursor().copy(f"COPY plain ({COLUMNS}) FROM STDIN (FORMAT binary)") as copy,
            ):
                copy.write(data)
        return time.perf_counter() - began


def lag(dsn: str, seconds: float, rate: int) -> float:
    """The longest that a fill has waited until it was durable, while `rate` came a second."""
    worst = 0.0
    with connect(dsn) as connection:
        writer = Writer(connection, opening(), Holds())
        began, done, count = time.perf_counter(), 0, int(seconds * rate)
        while done < count:
            here = min(count, int((time.perf_counter() - began) * rate))
            if here == done:
                time.sleep(0.001)
                continue
            batch = fills(done, min(here - done, BATCH_FILLS))
            oldest = began + done / rate
            writer.enter(batch)
            done += len(batch.records) // EVENTS_A_FILL
            worst = max(worst, time.perf_counter() - oldest)
    return worst


def measure(count: int, lag_s: float) -> dict[str, float]:
    """`count` fills as fast as they go, and RATE a second for `lag_s` seconds, on a server made for it."""
    with tempfile.TemporaryDirectory(prefix="matchmark-ledger-") as folder:
        server = Server(Path(folder) / "ledger")
        server.start()
        try:
            dsns = []
            for name in ("rate", "lag"):
                with psycopg.connect(server.dsn, autocommit=True) as connection:
                    connection.execute(f"CREATE DATABASE {name}")
                dsns.append(server.dsn.replace("/postgres?", f"/{name}?"))
            (took, busy), plain = throughput(dsns[0], count), floor(dsns[0], count)
            worst = lag(dsns[1], lag_s, RATE)
        finally:
            server.stop()
    return {
        "fills_per_s": count / took,
        "fills_per_cpu_s": count / busy,
        "floor_fills_per_s": count / plain,
        "worst_lag_s": worst,
    }


def main(argv: list[str]) -> int:
    found = measure(int(argv[0]) if argv else FILLS, LAG_MEASURED_S)
    rate, plain, worst = found["fills_per_s"], found["floor_fills_per_s"], found["worst_lag_s"]
    print(
        f"ledger: {rate:,.0f} fills/s, durable, three entries a fill ({plain / rate:.1f} x the floor; at least {RATE:,})"
    )
    print(f"ledger: {found['fills_per_cpu_s']:,.0f} fills in a second of processor time, PostgreSQL's included")
    print(f"floor (COPY of the same rows into a bare table): {plain:,.0f} fills/s")
    print(f"lag at {RATE:,} fills/s: {worst * 1000:,.0f} ms at worst (less than {LAG_S * 1000:,.0f})")
    print(json.dumps(found))
    return 0 if rate >= RATE and worst < LAG_S else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
