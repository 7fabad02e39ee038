"""litebook (Rust) as a subprocess target: one OrderBook, one instrument, limit orders only.

Prices and quantities are floats there; with a tick size of 1.0 a whole number up to 2^53 is exact. A fill names the buy
and the sell order by litebook's own id, so the resting one is the one that is not incoming. An order's state is read
back with `get_order`, as its documentation asks.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import litebook
from adapter_loop import Event, Op, accepted, cancel_rejected, cancelled, rejected, serve, trade, whole


class Litebook:
    def reset(self) -> None:
        self.engine = litebook.OrderBook(tick_size=1.0)
        self.ids: dict[str, str] = {}
        self.cl: dict[str, str] = {}
        self.cum: dict[str, int] = {}

    def new(self, op: Op) -> list[Event]:
        side = litebook.OrderType.Buy if op["side"] == "buy" else litebook.OrderType.Sell
        try:
            order = self.engine.create_order(side, float(op.get("px")), float(op["qty"]))
            fills = self.engine.add(order)
        except (ValueError, TypeError) as refusal:
            return [rejected(op["cl"], refusal)]
        self.ids[op["cl"]], self.cl[order.id] = order.id, op["cl"]
        return [accepted(op["cl"], order.id), *(self.fill(op["sym"], order.id, f) for f in fills)]

    def fill(self, sym: str, incoming: str, fill: litebook.Fill) -> Event:
        resting = fill.sell_id if fill.buy_id == incoming else fill.buy_id
        qty = whole(fill.quantity)
        for order_id in (resting, incoming):
            self.cum[order_id] = self.cum.get(order_id, 0) + qty
        return trade(sym, whole(fill.price), qty, resting=self.cl[resting], incoming=self.cl[incoming])

    def cancel(self, op: Op) -> list[Event]:
        order_id = self.ids.get(op["orig"], op["orig"])
        order = self.engine.get_order(order_id)  # before the cancel: afterwards litebook no longer has it
        if not self.engine.cancel(order_id):
            return [cancel_rejected(op["cl"], "cancel returned False")]
        leaves = whole(order.quantity)
        return [cancelled(op["orig"], leaves, self.cum.get(order_id, 0), "requested")]


serve(Litebook())
