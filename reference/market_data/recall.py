"""Trades and trading states of one symbol read from the audit log again, for a subscriber that comes back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matchmark.native.pipeline_records import EVENT_RECORD
from matchmark.native.records import EventKind, Side
from matchmark.reference.events.source import AuditLog
from matchmark.reference.market_data.book import Status, Trade

Recall = Callable[[int, int, int], tuple[list[Trade], list[Status]]]
"""(symbol, after, upto): what is behind record `after`, up to record `upto`. TooMany: it is more than a client gets at once."""


class TooMany(ValueError):
    """More than a client gets at once; the message says how many it may be."""


def from_log(log: Path, most: int) -> Recall:
    """Reads the log's files; they are memory-mapped, and nobody waits for it but who asks."""

    def recall(symbol: int, after: int, upto: int) -> tuple[list[Trade], list[Status]]:
        trades: list[Trade] = []
        statuses: list[Status] = []
        source = AuditLog(log, lambda: upto, after + 1)
        while batches := source.poll(0.0):
            for batch in batches:
                records = batch.records.view(EVENT_RECORD)
                event = records["body"]
                mine = (event["symbol"] == symbol) & (records["sequence"] > after)
                for r in records[mine & (event["kind"] == EventKind.TRADE)]:
                    e = r["body"]
                    sold = int(e["side"]) == Side.SELL
                    trades.append(Trade(int(r["sequence"]), int(e["price_ticks"]), int(e["quantity_lots"]), sold))
                for r in records[mine & (event["kind"] == EventKind.STATE)]:
                    statuses.append(Status(int(r["sequence"]), int(r["body"]["state"])))
                if len(trades) + len(statuses) > most:
                    raise TooMany(f"more than {most} trades since then: subscribe without `after`")
        source.close()
        return trades, statuses

    return recall
