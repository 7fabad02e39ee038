"""Mutants of the execution price."""

from __future__ import annotations

from matchmark.conformance.messages import OrdType, Side, Tif
from matchmark.conformance.selftest.declare import mutant
from matchmark.conformance.selftest.walk import Walker
from matchmark.reference.book import Book, Level, Order
from matchmark.reference.model import ModelEngine


@mutant(
    "d02_trade_at_the_incoming_price",
    breaks=("D02.N1",),
    story="A trade was reported at the incoming order's limit, so that the price improvement was lost.",
)
class TradeAtIncomingPrice(ModelEngine):
    def trade_price(self, incoming: Order, level: Level) -> int:
        return level.px if incoming.px is None else incoming.px


@mutant(
    "d02_trade_at_the_midpoint",
    breaks=("D02.N1",),
    story="Orders that crossed traded half-way between their limits, as in a midpoint book.",
)
class TradeAtMidpoint(ModelEngine):
    def trade_price(self, incoming: Order, level: Level) -> int:
        return level.px if incoming.px is None else (level.px + incoming.px) // 2


@mutant(
    "d02_whole_walk_at_the_first_price",
    breaks=("D02.N1",),
    story="The price was read from the best level once, and every execution of the walk was booked at it.",
)
class WholeWalkAtFirstPrice(ModelEngine):
    def match(self, incoming: Order) -> None:
        self.price: int | None = None
        super().match(incoming)

    def trade_price(self, incoming: Order, level: Level) -> int:
        if self.price is None:
            self.price = level.px
        return self.price


@mutant(
    "d07_fourth_level_at_the_third_price",
    breaks=("D07.8",),
    story="The table of executions had room for three prices; from the fourth level on the last one was used again.",
)
class FourthLevelAtThirdPrice(Walker):
    def next_level(self, book: Book, incoming: Order) -> Level | None:
        return self.meet(super().next_level(book, incoming))

    def trade_price(self, incoming: Order, level: Level) -> int:
        return level.px if len(self.met) < 4 or incoming.type == OrdType.LIMIT else self.met[2]


@mutant(
    "d08_ioc_executed_at_its_limit",
    breaks=("D08.4", "D02.N1"),
    story="Executions of an IOC sell were reported at its limit, as if it had been the resting side.",
)
class IocAtItsLimit(ModelEngine):
    def trade_price(self, incoming: Order, level: Level) -> int:
        if incoming.tif == Tif.IOC and incoming.side == Side.SELL and incoming.px is not None:
            return incoming.px
        return super().trade_price(incoming, level)
