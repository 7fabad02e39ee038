"""lightmatchingengine (pure Python) as a subprocess target.

An incoming order's fills come as one trade for the incoming order at each price, followed by one trade for every
resting order hit there. The latter name the resting order and are translated; the former are checked to be their sum.
A price of zero means a market order. Prices may be any number: integers go in as they are. The engine checks its
arguments with assert, so an AssertionError of a cancel is its refusal.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from adapter_loop import Event, Op, accepted, cancel_rejected, cancelled, serve, trade
from lightmatchingengine.lightmatchingengine import LightMatchingEngine, Order, Side, Trade

UNUSED_ID = 0


class Light:
    def reset(self) -> None:
        self.engine = LightMatchingEngine()
        self.orders: dict[str, Order] = {}
        self.cl: dict[int, str] = {}

    def new(self, op: Op) -> list[Event]:
        side = Side.BUY if op["side"] == "buy" else Side.SELL
        order, trades = self.engine.add_order(op["sym"], op.get("px") or 0, op["qty"], side)
        self.orders[op["cl"]], self.cl[order.order_id] = order, op["cl"]
        return [accepted(op["cl"], order.order_id), *self.fills(op, order, trades)]

    def fills(self, op: Op, incoming: Order, trades: list[Trade]) -> list[Event]:
        hits = [t for t in trades if t.order_id != incoming.order_id]
        taken = sum(t.trade_qty for t in trades if t.order_id == incoming.order_id)
        if taken != sum(t.trade_qty for t in hits):
            raise ValueError(
                f"the engine reported {taken} lots for the incoming order and another sum for the resting ones"
            )
        return [
            trade(op["sym"], t.trade_price, t.trade_qty, resting=self.cl[t.order_id], incoming=op["cl"]) for t in hits
        ]

    def cancel(self, op: Op) -> list[Event]:
        order = self.orders.get(op["orig"])
        try:
            gone = self.engine.cancel_order(order.order_id if order else UNUSED_ID, op["sym"])
        except AssertionError as refusal:
            return [cancel_rejected(op["cl"], refusal)]
        if gone is None:
            return [cancel_rejected(op["cl"], "cancel_order returned None")]
        # leaves_qty is zeroed by the cancel itself
        return [cancelled(op["orig"], gone.qty - gone.cum_qty, gone.cum_qty, "requested")]


serve(Light())
