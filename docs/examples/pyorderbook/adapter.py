"""pyorderbook (pure Python) as a subprocess target: one Book, one instrument, limit orders only.

Orders are objects with ids of the package's own; `match` returns a blotter whose trades name both orders. Prices become
`decimal.Decimal`, exact for whole ticks. `cancel` takes the order object: of a ClOrdID that was never sent, one that the
book has not seen.
"""

from __future__ import annotations

import sys
from pathlib import Path
from uuid import UUID

sys.path.insert(0, str(Path(__file__).parent.parent))

from adapter_loop import Event, Op, accepted, cancel_rejected, cancelled, rejected, serve, trade, whole
from pyorderbook import Book, Order, Side


class PyOrderBook:
    def reset(self) -> None:
        self.engine = Book()
        self.orders: dict[str, Order] = {}
        self.cl: dict[UUID, str] = {}

    def new(self, op: Op) -> list[Event]:
        side = Side.BID if op["side"] == "buy" else Side.ASK
        try:
            order = Order(side, op["sym"], op["px"], op["qty"])
        except ValueError as refusal:
            return [rejected(op["cl"], refusal)]
        self.orders[op["cl"]], self.cl[order.id] = order, op["cl"]
        fills = self.engine.match(order).trades
        return [
            accepted(op["cl"], order.id),
            *(
                trade(
                    op["sym"],
                    whole(t.fill_price),
                    t.fill_quantity,
                    resting=self.cl[t.standing_order_id],
                    incoming=self.cl[t.incoming_order_id],
                )
                for t in fills
            ),
        ]

    def cancel(self, op: Op) -> list[Event]:
        order = self.orders.get(op["orig"]) or Order(Side.BID, op["sym"], 1, 1)
        try:
            self.engine.cancel(order)
        except KeyError:  # what it raises for an order that is not in its book
            return [cancel_rejected(op["cl"], "KeyError: the order is not in the book")]
        return [cancelled(op["orig"], order.quantity, order.original_quantity - order.quantity, "requested")]


serve(PyOrderBook())
