"""bourse (Rust) as a subprocess target: its OrderBook, one instrument.

bourse works with an order's arrival time: the caller sets the book's clock, and two orders of one price must not share
an instant. The clock is moved on before every command. It answers a new order with an id alone; trades come from its
trade log (aggressive and passive order are named there) and everything else from its order records, both read back
after the command. Prices and quantities are unsigned 32-bit integers; the greatest price means "no ask".
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import bourse
from adapter_loop import (
    Event,
    Op,
    TopOfBook,
    accepted,
    cancel_rejected,
    cancelled,
    rejected,
    replaced,
    serve,
    trade,
)

NO_BID, NO_ASK = 0, bourse.MAX_PRICE
ACTIVE, CANCELLED, REJECTED = 1, 3, 4
REFUSALS = (OverflowError, TypeError)
"""What the binding raises for a number that is negative, too large or missing."""


class Bourse:
    def reset(self) -> None:
        self.engine = bourse.core.OrderBook(0, 1)
        self.time = 0
        self.trades_read = 0
        self.ids: dict[str, int] = {}
        self.cl: dict[int, str] = {}
        self.traders: dict[str, int] = {}
        self.watch = TopOfBook()

    def new(self, op: Op) -> list[Event]:
        self.tick()
        trader = self.traders.setdefault(op["acct"], len(self.traders))
        price = None if op["type"] == "market" else op.get("px")
        if op["type"] == "limit" and price is None:
            return [
                rejected(op["cl"], "a limit order needs a price")
            ]  # without one bourse would make it a market order
        try:
            order_id = self.engine.place_order(op["side"] == "buy", op["qty"], trader, price=price)
        except REFUSALS as refusal:
            return [rejected(op["cl"], refusal)]
        self.ids[op["cl"]], self.cl[order_id] = order_id, op["cl"]
        events = [accepted(op["cl"], order_id), *self.new_trades(op["sym"])]
        if self.engine.order_status(order_id) in (CANCELLED, REJECTED):
            events.append(self.ended(order_id, "no_liquidity"))
        return events + self.top(op["sym"])

    def cancel(self, op: Op) -> list[Event]:
        self.tick()
        order_id = self.ids.get(op["orig"])
        if order_id is None:
            return [cancel_rejected(op["cl"], "unknown_order")]  # bourse has no id to be asked about
        status = self.engine.order_status(order_id)
        self.engine.cancel_order(order_id)
        if status != ACTIVE:  # documented to change nothing; if it did, the next commands show it
            return [cancel_rejected(op["cl"], f"not active: status {status}")]
        return [self.ended(order_id, "requested"), *self.top(op["sym"])]

    def replace(self, op: Op) -> list[Event]:
        self.tick()
        order_id = self.ids.get(op["orig"])
        if order_id is None:
            return [cancel_rejected(op["cl"], "unknown_order")]
        if (status := self.engine.order_status(order_id)) != ACTIVE:
            return [cancel_rejected(op["cl"], f"not active: status {status}")]
        cum = self.cum(order_id)
        volume = op["new_qty"] - cum if op.get("new_qty") is not None else None
        price = (
            op.get("new_px") if op.get("new_px") != self.record(order_id)[6] else None
        )  # "unchanged" is said by absence
        try:
            self.engine.modify_order(order_id, new_price=price, new_vol=volume)
        except REFUSALS as refusal:
            return [cancel_rejected(op["cl"], refusal)]
        del self.ids[op["orig"]]
        self.ids[op["cl"]], self.cl[order_id] = order_id, op["cl"]
        trades = self.new_trades(op["sym"])
        *_, remaining, _, price, _, _ = self.record(order_id)
        leaves = remaining + sum(t["qty"] for t in trades)
        return [replaced(op["cl"], op["orig"], price, leaves, cum), *trades, *self.top(op["sym"])]

    def tick(self) -> None:
        self.time += 1
        self.engine.set_time(self.time)

    def record(self, order_id: int) -> tuple[int, ...]:
        """Side, status, arrival, end, remaining, starting volume, price, trader, id."""
        found: tuple[int, ...] = self.engine.get_orders()[order_id]
        return found

    def cum(self, order_id: int) -> int:
        """Executed so far by the engine's trade log; its order record forgets it when an order is modified."""
        return sum(qty for _, _, _, qty, active, passive in self.engine.get_trades() if order_id in (active, passive))

    def ended(self, order_id: int, reason: str) -> Event:
        return cancelled(self.cl[order_id], self.record(order_id)[4], self.cum(order_id), reason)

    def new_trades(self, sym: str) -> list[Event]:
        log = self.engine.get_trades()
        fresh, self.trades_read = log[self.trades_read :], len(log)
        return [
            trade(sym, price, qty, resting=self.cl[passive], incoming=self.cl[active])
            for _, _, price, qty, active, passive in fresh
        ]

    def top(self, sym: str) -> list[Event]:
        bid, ask = self.engine.bid_ask()
        best_bid = None if bid == NO_BID else (bid, self.engine.best_bid_vol())
        best_ask = None if ask == NO_ASK else (ask, self.engine.best_ask_vol())
        return self.watch.event(sym, best_bid, best_ask)


serve(Bourse())
