"""obook (the Go engine intrepidkarthi/orderbook through its C ABI) as a subprocess target: one Book, one instrument.

The engine numbers the orders and publishes accepted, trade, cancelled and replaced events, which are translated one by
one. Its cancelled events carry no quantities: what is left comes from the resting book for a cancel, and from the
order's quantity less the engine's trades for an order that never rested. A `-1` of its library, which the binding
raises as RuntimeError, is taken for a refusal. `replace` there is a cancel and a new order under a new id, so it loses
its place; `reduce`, which keeps it, is a command of its own and not used.

The engine always keeps a user's orders from trading with one another and the specification leaves self-matches open, so
every order is entered under a user of its own; ownership of orders is therefore not declared.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import obook
from adapter_loop import Event, Op, accepted, cancel_rejected, cancelled, rejected, replaced, serve, trade

UNUSED_ID = 2**62


class Obook:
    def reset(self) -> None:
        self.engine = obook.Book()
        self.orders: dict[str, obook.Order] = {}
        self.cl: dict[int, str] = {}
        self.cum: dict[str, int] = {}

    def new(self, op: Op) -> list[Event]:
        user = len(self.cum) + 1
        side = obook.BUY if op["side"] == "buy" else obook.SELL
        kind = obook.MARKET if op["type"] == "market" else obook.LIMIT
        tif = obook.IOC if op["tif"] == "ioc" else obook.GTC
        price = 0 if kind == obook.MARKET else op.get("px") or 0
        try:
            result = self.engine.submit(user, side, price, op["qty"], type=kind, tif=tif)
        except RuntimeError as refusal:
            return [rejected(op["cl"], refusal)]
        self.know(op["cl"], obook.Order(result.order_id, user, side, price, op["qty"], 0))
        return self.published(op)

    def cancel(self, op: Op) -> list[Event]:
        order = self.orders.get(op["orig"], obook.Order(UNUSED_ID, 0, 0, 0, 0, 0))
        resting = self.resting(order.order_id)
        result = self.engine.cancel(order.order_id, order.user)
        if result.status != obook.Status.CANCELLED:
            return [cancel_rejected(op["cl"], result.reason.name)]
        leaves = resting.qty - resting.filled if resting else 0
        return [
            cancelled(self.cl[e.order_id], leaves, self.cum[op["orig"]], "requested")
            for e in self.engine.events()
            if e.kind == obook.EventKind.CANCELED
        ]

    def replace(self, op: Op) -> list[Event]:
        old = self.orders.get(op["orig"], obook.Order(UNUSED_ID, 0, 0, 1, 1, 0))
        cum = self.cum.get(op["orig"], 0)
        price = old.price if op.get("new_px") is None else op["new_px"]
        qty = old.qty if op.get("new_qty") is None else op["new_qty"]
        try:
            result = self.engine.replace(old.order_id, old.user, old.side, price, qty - cum)
        except RuntimeError as refusal:
            return [cancel_rejected(op["cl"], refusal)]
        if result.status == obook.Status.REJECTED:
            return [cancel_rejected(op["cl"], result.reason.name)]
        del self.orders[op["orig"]]
        self.know(op["cl"], obook.Order(result.order_id, old.user, old.side, price, qty, 0), cum)
        fills = [self.fill(op, e) for e in self.engine.events() if e.kind == obook.EventKind.TRADE]
        return [replaced(op["cl"], op["orig"], price, qty - cum, cum), *fills]

    def know(self, cl: str, order: obook.Order, cum: int = 0) -> None:
        self.orders[cl], self.cl[order.order_id], self.cum[cl] = order, cl, cum

    def resting(self, order_id: int) -> obook.Order | None:
        return next((o for o in self.engine.book() if o.order_id == order_id), None)

    def published(self, op: Op) -> list[Event]:
        events = []
        for e in self.engine.events():
            if e.kind == obook.EventKind.ACCEPTED:
                events.append(accepted(self.cl[e.order_id], e.order_id))
            elif e.kind == obook.EventKind.REJECTED:
                events.append(rejected(self.cl[e.order_id], e.reason.name))
            elif e.kind == obook.EventKind.TRADE:
                events.append(self.fill(op, e))
            elif e.kind == obook.EventKind.CANCELED:
                cl = self.cl[e.order_id]
                events.append(cancelled(cl, self.orders[cl].qty - self.cum[cl], self.cum[cl], e.reason.name))
        return events

    def fill(self, op: Op, event: obook.Event) -> Event:
        resting, incoming = self.cl[event.maker_id], self.cl[event.taker_id]
        self.cum[resting] += event.qty
        self.cum[incoming] += event.qty
        return trade(op["sym"], event.price, event.qty, resting=resting, incoming=incoming)


serve(Obook())
