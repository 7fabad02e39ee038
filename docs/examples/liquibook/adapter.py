"""liquibook (C++ through its SWIG wrapper) as a subprocess target.

The book takes orders and answers through listeners, so events are recorded in the order of the callbacks. Prices and
quantities are unsigned 64-bit integers there: ticks and lots go in as they are. The listener keeps each order's own
counters up to date by `accept`, `fill`, `replace` and `cancel`, as liquibook's own SimpleOrderBook does in C++.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import liquibook
from adapter_loop import Event, Op, accepted, cancel_rejected, cancelled, rejected, replaced, serve, trade

REASONS = {"new": "ioc", "cancel": "requested", "replace": "nothing left open"}


class Recorder(liquibook.OrderListener):  # type: ignore[misc]
    """Turns callbacks into events; an order is known by liquibook's own order id."""

    def __init__(self) -> None:
        super().__init__()
        self.cl: dict[int, str] = {}
        self.events: list[Event] = []
        self.request: Op = {}

    def on_accept(self, order: liquibook.Order) -> None:
        order.accept()
        self.events.append(accepted(self.cl[order.order_id_], order.order_id_))

    def on_reject(self, order: liquibook.Order, reason: str) -> None:
        self.events.append(rejected(self.cl[order.order_id_], reason))

    def on_fill(self, order: liquibook.Order, matched: liquibook.Order, qty: int, price: int) -> None:
        order.fill(qty, price, 0)
        matched.fill(qty, price, 0)
        resting, incoming = self.cl[matched.order_id_], self.cl[order.order_id_]
        self.events.append(trade(self.request["sym"], price, qty, resting=resting, incoming=incoming))

    def on_cancel(self, order: liquibook.Order) -> None:
        cl = self.cl[order.order_id_]
        self.events.append(cancelled(cl, order.open_qty(), order.filled_qty(), REASONS[self.request["op"]]))
        order.cancel()

    def on_cancel_reject(self, _order: liquibook.Order, reason: str) -> None:
        self.events.append(cancel_rejected(self.request["cl"], reason))

    def on_replace(self, order: liquibook.Order, size_delta: int, new_price: int) -> None:
        order.replace(size_delta, new_price)
        cl, orig = self.request["cl"], self.request["orig"]
        self.cl[order.order_id_] = cl
        self.events.append(replaced(cl, orig, order.price(), order.open_qty(), order.filled_qty()))

    def on_replace_reject(self, _order: liquibook.Order, reason: str) -> None:
        self.events.append(cancel_rejected(self.request["cl"], reason))


class BestPrices(liquibook.DepthOrderBookBboListener):  # type: ignore[misc]
    """Liquibook's own best-bid-and-offer notification; a level without a price is an empty side."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []

    def on_bbo_change(self, book: liquibook.DepthOrderBook, depth: liquibook.liquibook_book_Depth) -> None:
        bid, ask = (
            [level.price(), level.aggregate_qty()] if level.order_count() else None
            for level in (depth.bids(), depth.asks())
        )
        self.events.append({"ev": "top", "sym": book.symbol(), "bid": bid, "ask": ask})


class Liquibook:
    def reset(self) -> None:
        self.orders: dict[str, liquibook.SimpleOrder] = {}
        self.books: dict[str, liquibook.DepthOrderBook] = {}
        self.recorder = Recorder()
        self.best = BestPrices()

    def book(self, sym: str) -> liquibook.DepthOrderBook:
        if sym not in self.books:
            book = self.books[sym] = liquibook.DepthOrderBook()
            book.set_symbol(sym)
            book.set_order_listener(self.recorder)
            book.set_bbo_listener(self.best)
        return self.books[sym]

    def new(self, op: Op) -> list[Event]:
        ioc = op["tif"] == "ioc" or op["type"] == "market"
        price = 0 if op["type"] == "market" else op["px"]
        conditions = liquibook.oc_immediate_or_cancel if ioc else liquibook.oc_no_conditions
        order = liquibook.SimpleOrder(op["side"] == "buy", price, op["qty"], 0, conditions)
        self.orders[op["cl"]] = order
        self.recorder.cl[order.order_id_] = op["cl"]
        self.listen(op)
        self.book(op["sym"]).add(order, conditions)
        return self.recorder.events + self.best.events

    def cancel(self, op: Op) -> list[Event]:
        self.listen(op)
        self.book(op["sym"]).cancel(self.known(op["orig"]))
        return self.recorder.events + self.best.events

    def replace(self, op: Op) -> list[Event]:
        order = self.known(op["orig"])
        delta = op["new_qty"] - order.order_qty() if op.get("new_qty") is not None else 0
        self.listen(op)
        self.book(op["sym"]).replace(order, delta, op.get("new_px") or 0)
        if self.recorder.cl.get(order.order_id_) == op["cl"]:  # on_replace has renamed it
            del self.orders[op["orig"]]
            self.orders[op["cl"]] = order
        return self.recorder.events + self.best.events

    def listen(self, op: Op) -> None:
        self.recorder.request, self.recorder.events, self.best.events = op, [], []

    def known(self, cl: str) -> liquibook.SimpleOrder:
        """The order of that ClOrdID; for one never sent, an order that the book has never seen."""
        return self.orders.get(cl) or liquibook.SimpleOrder(True, 1, 1)


serve(Liquibook())
