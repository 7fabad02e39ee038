"""orderly-chaos (C++ through its C API) as a subprocess target: one LimitOrderBook, one instrument.

The caller numbers the orders, and every execution arrives at the trade handler with both order ids. Prices are
unsigned 64-bit ticks, quantities unsigned 32-bit lots. A market order's remainder is discarded silently: the executed
quantity that the call returns says how much, and that is reported as cancelled. `reduce` exists but no price change,
so `replace` is not declared.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from adapter_loop import Event, Level, Op, TopOfBook, accepted, cancel_rejected, cancelled, rejected, serve, trade
from orderly_chaos import LimitOrderBook, OrderBookError, Side, Trade

UNUSED_ID = 2**64 - 1


class OrderlyChaos:
    def reset(self) -> None:
        self.fills: list[Trade] = []
        self.engine = LimitOrderBook(on_trade=self.fills.append)
        self.ids: dict[str, int] = {}
        self.cl: dict[int, str] = {}
        self.cum: dict[int, int] = {}
        self.watch = TopOfBook()

    def new(self, op: Op) -> list[Event]:
        cl, order_id = op["cl"], len(self.cl) + 1
        self.fills.clear()
        self.cl[order_id] = cl
        side = Side.parse(op["side"])
        try:
            if op["type"] == "market":
                filled = self.engine.market(side, order_id, op["qty"])
            else:
                filled = self.engine.limit(side, order_id, op["qty"], op.get("px"))
        except (OrderBookError, TypeError) as refusal:
            return [rejected(cl, refusal)]
        self.ids[cl] = order_id
        events = [accepted(cl, order_id), *self.trades(op["sym"])]
        if op["type"] == "market" and filled < op["qty"]:
            events.append(cancelled(cl, op["qty"] - filled, filled, "no_liquidity"))
        return events + self.top(op["sym"])

    def cancel(self, op: Op) -> list[Event]:
        order_id = self.ids.get(op["orig"], UNUSED_ID)
        try:
            leaves = self.engine.get(order_id).quantity
            self.engine.cancel(order_id)
        except OrderBookError as refusal:
            return [cancel_rejected(op["cl"], refusal)]
        return [cancelled(op["orig"], leaves, self.cum.get(order_id, 0), "requested"), *self.top(op["sym"])]

    def trades(self, sym: str) -> list[Event]:
        for fill in self.fills:
            for order_id in (fill.maker_id, fill.taker_id):
                self.cum[order_id] = self.cum.get(order_id, 0) + fill.quantity
        return [
            trade(sym, f.price, f.quantity, resting=self.cl[f.maker_id], incoming=self.cl[f.taker_id])
            for f in self.fills
        ]

    def top(self, sym: str) -> list[Event]:
        return self.watch.event(sym, self.level(Side.BUY), self.level(Side.SELL))

    def level(self, side: Side) -> Level:
        price = self.engine.best(side)
        return None if price is None else (price, self.engine.best_volume(side))


serve(OrderlyChaos())
