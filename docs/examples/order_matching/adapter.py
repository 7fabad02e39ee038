"""order-matching (pure Python) as a subprocess target: one MatchingEngine, one instrument.

Orders are placed and then matched at a timestamp, which is also their time priority: every command gets the next
microsecond, and each order is matched as soon as it is placed. Trades name both orders by the caller's ids. Prices and
sizes are floats there; whole numbers up to 2^53 are exact. A market order has the price 0 or infinity there, and may rest
and trade at it: the protocol has no infinity, so a trade at infinity is written as one at 2^63-1.
"""

from __future__ import annotations

import math
import sys
from datetime import datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from adapter_loop import Event, Op, accepted, cancel_rejected, cancelled, rejected, serve, trade, whole
from loguru import logger
from order_matching.enums import Side
from order_matching.matching_engine import MatchingEngine
from order_matching.order import LimitOrder, MarketOrder, Order
from order_matching.orders import Orders

EPOCH = datetime(2000, 1, 1)
INFINITE_TICKS = 2**63 - 1


class OrderMatching:
    def reset(self) -> None:
        self.engine = MatchingEngine(seed=1)
        self.orders: dict[str, Order] = {}
        self.cum: dict[str, int] = {}
        self.clock = 0

    def new(self, op: Op) -> list[Event]:
        self.clock += 1
        now = EPOCH + timedelta(microseconds=self.clock)
        side = Side.BUY if op["side"] == "buy" else Side.SELL
        common = {"side": side, "size": op["qty"], "timestamp": now, "order_id": op["cl"], "trader_id": op["acct"]}
        order = MarketOrder(**common) if op["type"] == "market" else LimitOrder(price=op["px"], **common)
        try:
            self.engine.place(Orders([order]))
        except ValueError as refusal:  # a duplicate of a live order
            return [rejected(op["cl"], refusal)]
        self.orders[op["cl"]] = order
        events = [accepted(op["cl"], op["cl"])]
        for fill in self.engine.match(timestamp=now).trades:
            qty, resting, incoming = whole(fill.size), fill.book_order_id, fill.incoming_order_id
            for cl in (resting, incoming):
                self.cum[cl] = self.cum.get(cl, 0) + qty
            price = INFINITE_TICKS if math.isinf(fill.price) else whole(fill.price)
            events.append(trade(op["sym"], price, qty, resting=resting, incoming=incoming))
        return events

    def cancel(self, op: Op) -> list[Event]:
        try:
            self.engine.cancel_order(op["orig"])
        except ValueError as refusal:
            return [cancel_rejected(op["cl"], refusal)]
        leaves = whole(self.orders[op["orig"]].size)
        return [cancelled(op["orig"], leaves, self.cum.get(op["orig"], 0), "requested")]


logger.remove()  # it logs every order at debug level
serve(OrderMatching())
