"""Books rebuilt from the direct feed alone: every order in its place in the queue."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from matchmark.conformance.packets.receiver import Message


class FeedBroken(ValueError):
    """A message that does not fit what was told before; its text says how."""


@dataclass(slots=True)
class Resting:
    """An order that is open. `price` in ticks, `leaves` in lots; `waits`: it is deferred and in no queue."""

    symbol: int
    side: int
    price: int
    leaves: int
    waits: bool = False


class FeedBook:
    """All books. Between the messages of a command they may be crossed: look where a message was `whole`."""

    def __init__(self) -> None:
        self.orders: dict[int, Resting] = {}
        self.trading: dict[int, int] = {}
        """By symbol: 1 warned, 2 halted; open ones are left out."""
        self._queues: dict[tuple[int, int], dict[int, dict[int, Resting]]] = {}

    def take(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self.apply(message)

    def apply(self, m: Message) -> None:
        """FeedBroken: it tells of an order that is not there, or not as it says."""
        if m.type in "ADR":
            if m.type == "R":
                self._drop(m)
            elif m.order_id in self.orders:
                raise FeedBroken(f"record {m.sequence}: order {m.order_id} is added twice")
            self._enter(m.order_id, Resting(m.symbol, m.side, m.price, m.quantity, m.type == "D"))
        elif m.type == "U":
            self._replace(m)
        elif m.type == "E":
            self._fill(m, m.order_id, m.leaves)
            self._fill(m, m.resting_order_id, m.resting_leaves)
        elif m.type == "X":
            gone = self._drop(m)
            if gone.leaves != m.quantity:
                raise FeedBroken(f"record {m.sequence}: order {m.order_id} had {gone.leaves} open, not {m.quantity}")
        elif m.type == "S":
            self.trading[m.symbol] = m.state
            if not m.state:
                del self.trading[m.symbol]
        else:
            self.__init__()  # type: ignore[misc]

    def queue(self, symbol: int, side: int) -> list[tuple[int, list[tuple[int, int]]]]:
        """(price, [(order id, leaves), first one first]), the best price first."""
        levels = self._queues.get((symbol, side), {})
        prices = sorted(levels, reverse=side == 0)
        return [(price, [(number, order.leaves) for number, order in levels[price].items()]) for price in prices]

    def levels(self, symbol: int, side: int) -> list[tuple[int, int]]:
        """(price, lots), the best price first."""
        return [(price, sum(leaves for _, leaves in orders)) for price, orders in self.queue(symbol, side)]

    def _enter(self, number: int, order: Resting) -> None:
        self.orders[number] = order
        if not order.waits:
            self._queues.setdefault((order.symbol, order.side), {}).setdefault(order.price, {})[number] = order

    def _drop(self, m: Message, number: int = 0) -> Resting:
        number = number or m.order_id
        order = self.orders.pop(number, None)
        if order is None:
            raise FeedBroken(f"record {m.sequence}: order {number} is not open")
        if not order.waits:
            levels = self._queues[order.symbol, order.side]
            del levels[order.price][number]
            if not levels[order.price]:
                del levels[order.price]
        return order

    def _replace(self, m: Message) -> None:
        order = self.orders.get(m.order_id)
        if order and order.price == m.price and m.quantity <= order.leaves:
            order.leaves = m.quantity
            return
        self._drop(m)
        self._enter(m.order_id, Resting(m.symbol, m.side, m.price, m.quantity))

    def _fill(self, m: Message, number: int, leaves: int) -> None:
        order = self.orders.get(number)
        if order is None or order.leaves - m.quantity != leaves:
            had = order.leaves if order else "nothing"
            raise FeedBroken(
                f"record {m.sequence}: order {number} had {had} open and trades {m.quantity}, {leaves} is left"
            )
        order.leaves = leaves
        if not leaves:
            self._drop(m, number)
