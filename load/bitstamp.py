"""Real order flow: the Bitstamp BTC/USD order events that the ob-analytics package carries, as commands.

What the venue's own engine did with them is not in the data, so nothing is compared with it: the flow is realistic input.
An order that the venue filled is deleted there; here that deletion is a cancel, which finds the order filled, resting or
part-filled, whichever our matching made of it.

    created   new, day limit          deleted   cancel          changed   replace to the remaining volume

Prices become ticks of 0.01 USD, volumes lots of 0.0001 BTC. What rounds to 0 stays in: it is what an engine must refuse.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pandas
from matchmark.conformance.messages import Cancel, Command, New, Replace

TICKS_PER_USD = 100
LOTS_PER_BTC = 10_000
SYMBOL = "BTCUSD"
ACCOUNTS = 97
"""The data names no traders; orders are dealt out to so many accounts by their id, so that ownership is exercised."""


class FlowMissing(Exception):
    """The package with the data is not installed; the text says how to get it."""


def orders_file() -> Path:
    """The data file inside the installed package, which is not imported: it wants plotting libraries that we do not."""
    spec = importlib.util.find_spec("ob_analytics")
    if spec is None or spec.origin is None:
        raise FlowMissing("the Bitstamp order flow is not installed: pip install 'matchmark[flow]'")
    path = Path(spec.origin).parent / "_sample_data" / "orders.csv.gz"
    if not path.is_file():
        raise FlowMissing(f"{path} is not there: this matchmark reads the data of ob-analytics 0.1.0")
    return path


def events() -> pandas.DataFrame:
    """One row an event, in the order of arrival: id, timestamp_ms, ticks, lots, action, direction."""
    raw = pandas.read_csv(orders_file())
    return pandas.DataFrame(
        {
            "id": raw["id"],
            "timestamp_ms": raw["timestamp"],
            "ticks": (raw["price"] * TICKS_PER_USD).round().astype("int64"),
            "lots": (raw["volume"] * LOTS_PER_BTC).round().astype("int64"),
            "action": raw["action"],
            "direction": raw["direction"],
        }
    )


def commands(symbol: str = SYMBOL) -> Iterator[Command]:
    """The whole flow as commands on one symbol. A replaced order goes by its newest ClOrdID."""
    current: dict[int, str] = {}
    flow = events()
    columns = [flow[name].tolist() for name in ("id", "ticks", "lots", "action", "direction")]
    for number, (venue_id, ticks, lots, action, direction) in enumerate(zip(*columns, strict=True)):
        acct = f"A{venue_id % ACCOUNTS}"
        if action == "created":
            current[venue_id] = f"b{venue_id}"
            side = "buy" if direction == "bid" else "sell"
            yield New(f"b{venue_id}", acct, symbol, side, "limit", lots, ticks)
        elif action == "changed":
            orig, current[venue_id] = current.get(venue_id, f"b{venue_id}"), f"r{number}"
            yield Replace(f"r{number}", orig, acct, symbol, ticks, lots)
        else:
            yield Cancel(f"x{number}", current.get(venue_id, f"b{venue_id}"), acct, symbol)
