"""The costs that this machine has: `python -m matchmark.reference.capacity --measure`.

Processor time of one thread. Of many small rounds the one counts that only one in ten beats: other processes make rounds slower
and none faster.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from matchmark.native.pipeline_records import AUDIT_RECORD, EVENT_RECORD, RECORD_LAST, RecordKind
from matchmark.native.records import EventKind
from matchmark.reference.audit_log import Records
from matchmark.reference.capacity.inputs import Inputs
from matchmark.reference.market_data.book import Trade
from matchmark.reference.market_data.conflate import DEPTH, Conflator, Update
from matchmark.reference.market_data.encode import Encoder

RESTING = 5_000
ROUND_S = 0.001
"""Of the market's time."""


def late_trade() -> Update:
    """Of a long day, so that its numbers are long."""
    trade = Trade(10_000_000, 10_000, 100, sold=True)
    return Update(99, DEPTH, 9_999_900, 10_000_000, 86_400 * 10**9, trades=(trade,))


def flow(first: int, count: int, symbols: int) -> Records:
    """Orders that come and, RESTING later, are cancelled: one event each. `first`: sequence number."""
    rng = np.random.default_rng(first)
    out = np.zeros(count, dtype=AUDIT_RECORD)
    r = out.view(EVENT_RECORD)
    n = np.arange(first, first + count)
    r["sequence"], r["kind"], r["flags"] = n, RecordKind.EVENT, RECORD_LAST
    cancels = (n > 2 * RESTING) & (n % 2 == 0)
    e = r["body"]
    e["kind"] = np.where(cancels, EventKind.CANCELLED, EventKind.ACCEPTED)
    e["order_id"] = np.where(cancels, n - 2 * RESTING + 1, n)
    e["symbol"] = (n // 2) % symbols
    e["side"] = rng.integers(0, 2, count)
    away = rng.integers(1, 50, count)
    e["price_ticks"] = np.where(e["side"] == 0, 10_000 - away, 10_000 + away)
    e["quantity_lots"] = rng.integers(1, 100, count)
    found: Records = out[~((n <= 2 * RESTING) & (n % 2 == 0))]
    return found


def measured(of: Inputs, rounds: int = 400) -> dict[str, float]:
    """By name of the input: `book_s`, `encode_s`, `trade_encode_s`, `frame_bytes`, `trade_bytes`."""
    per_round = round(of.updates_per_s * ROUND_S)
    records = flow(1, 2 * RESTING + rounds * per_round, of.symbols)
    conflator = Conflator(of.symbols, round(of.window_s * 1e9))
    encoder = Encoder([f"S{n}" for n in range(of.symbols)])
    conflator.take(records[:RESTING], 0)
    for symbol in range(of.symbols):
        conflator.want(symbol, DEPTH)
    books, frames, size, sent = list[float](), list[float](), 0, 0
    for n in range(rounds):
        now_ns = round(n * ROUND_S * 1e9)
        part = records[RESTING + n * per_round : RESTING + (n + 1) * per_round]
        took_s, updates = _timed(lambda now_ns=now_ns: [(u, encoder.frame(u, 0)) for u in conflator.due(now_ns)])  # type: ignore[misc]
        if updates:
            frames.append(took_s / len(updates))
            size, sent = size + sum(len(frame) for _, frame in updates), sent + len(updates)
        took_s, at_once = _timed(lambda part=part, now_ns=now_ns: conflator.take(part, now_ns))  # type: ignore[misc]
        if not at_once:  # of symbols that were quiet
            books.append(took_s / per_round)
    trades = [_timed(lambda: [encoder.frame(late_trade(), 0) for _ in range(10)])[0] / 10 for _ in range(rounds)]
    return {
        "book_s": float(np.percentile(books, 10)),
        "encode_s": float(np.percentile(frames, 10)),
        "trade_encode_s": float(np.percentile(trades, 10)),
        "frame_bytes": size / sent,
        "trade_bytes": float(len(encoder.frame(late_trade(), 0))),
    }


def _timed(do: Callable[[], Any]) -> tuple[float, Any]:
    began = time.thread_time()
    found = do()
    return time.thread_time() - began, found
