"""The exchange behind the scripted acceptor: price-time matching, and reports as FIX fields. Wrong where it is told to be."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from matchmark.conformance.fix.message import Field, FixMessage


class Report(NamedTuple):
    session: str
    kind: str
    fields: list[Field]


@dataclass
class Order:
    cl: str
    session: str
    account: str
    symbol: str
    side: str
    price: Decimal
    quantity: int
    number: int
    cum: int = 0
    state: str = "0"

    @property
    def leaves(self) -> int:
        return self.quantity - self.cum if self.state in "01" else 0


class Book:
    def __init__(self, is_wrong: Callable[[str], bool]) -> None:
        self.is_wrong = is_wrong
        self.orders: dict[tuple[str, str], Order] = {}
        self._open: dict[str, list[Order]] = defaultdict(list)
        self._numbers = itertools.count(1)

    def take(self, m: FixMessage, session: str, account: str) -> list[Report]:
        return self._new(m, session, account) if m.type == "D" else self._cancel(m, session, account)

    def cancel_all(self, session: str) -> list[Report]:
        """All open orders of a session."""
        gone = [o for o in self.orders.values() if o.session == session and o.leaves]
        if self.is_wrong("a lost connection cancels the whole account") and gone:
            gone = [o for o in self.orders.values() if o.account == gone[0].account and o.leaves]
        for order in gone:
            order.state = "4"
        return [self._report(order, "4") for order in gone]

    def _new(self, m: FixMessage, session: str, account: str) -> list[Report]:
        cl = m.need(11)
        known = self.orders.get((account, cl))
        number = next(self._numbers)
        if self.is_wrong("an order is dropped now and then") and len(self.orders) % 50 == 49:
            return []
        if m.get(1) not in (None, account) and not self.is_wrong("any Account will do"):
            return [Report(session, "8", self._refusal(m, "15", "not your account"))]
        if known is not None and not self.is_wrong("an order sent again is decided again"):
            if self.is_wrong("an order sent again is not answered"):
                return []
            if m.get(97) == "Y":
                return [self._report(known, "I")]
            return [Report(session, "8", self._refusal(m, "6", "duplicate ClOrdID"))]
        order = Order(
            cl, session, account, m.need(55), m.need(54), Decimal(m.get(44, "1") or "1"), int(m.need(38)), number
        )
        self.orders[account, cl] = order
        reports = [self._report(order, "0")]
        sign = 1 if order.side == "1" else -1
        resting = self._open[order.symbol]
        others = [o for o in resting if o.side != order.side and o.leaves]
        for other in sorted(others, key=lambda o: (o.price * sign, o.number)):
            if order.leaves and (order.price - other.price) * sign >= 0:
                quantity = min(order.leaves, other.leaves)
                for one in (order, other):
                    one.cum += quantity
                    one.state = "2" if one.cum == one.quantity else "1"
                    reports.append(self._report(one, "F", quantity, other.price))
        if m.get(59) == "3" and order.leaves:
            order.state = "4"
            reports.append(self._report(order, "4"))
        if order.leaves:
            resting.append(order)
        if others:
            self._open[order.symbol] = [o for o in self._open[order.symbol] if o.leaves]
        return reports

    def _cancel(self, m: FixMessage, session: str, account: str) -> list[Report]:
        order = self.orders.get((account, m.need(41)))
        if order is None or not order.leaves:
            fields = [(37, "NONE"), (11, m.need(11)), (41, m.need(41)), (39, "8"), (434, "1"), (102, "1")]
            return [Report(session, "9", fields)]
        order.state = "4"
        report = self._report(order, "4")
        fields = [(11, m.need(11)) if tag == 11 else (tag, value) for tag, value in report.fields]
        return [Report(session, "8", [*fields, (41, order.cl)])]

    def _refusal(self, m: FixMessage, reason: str, text: str) -> list[Field]:
        return [(37, "NONE"), (11, m.need(11)), (17, self._id()), (150, "8"), (39, "8"), (103, reason), (58, text),
                (55, m.need(55)), (54, m.need(54)), (151, "0"), (14, "0"), (6, "0")]  # fmt: skip

    def _report(self, o: Order, exec_type: str, quantity: int = 0, price: Decimal = Decimal(0)) -> Report:
        trade: list[Field] = [(32, str(quantity)), (31, str(price))] if quantity else []
        fields = [(37, str(o.number)), (11, o.cl), (17, self._id()), (150, exec_type), (39, o.state), (55, o.symbol),
                  (54, o.side), (38, str(o.quantity)), *trade, (151, str(o.leaves)), (14, str(o.cum)), (6, "0")]  # fmt: skip
        return Report(o.session, "8", fields)

    def _id(self) -> str:
        return f"e{next(self._numbers)}"
