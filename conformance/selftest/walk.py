"""Mutants of the walk: which price level is next for an incoming order, and where the walk ends."""

from __future__ import annotations

from matchmark.conformance.messages import OrdType, Side
from matchmark.conformance.selftest.declare import mutant
from matchmark.reference.book import Book, Level, Order
from matchmark.reference.model import ModelEngine


def levels_to_meet(book: Book, incoming: Order) -> list[Level]:
    """The opposite side's levels, best first."""
    asks, bids = book.levels[Side.SELL].values(), book.levels[Side.BUY].values()
    return list(asks) if incoming.side == Side.BUY else list(reversed(bids))


class Walker(ModelEngine):
    """For bugs of the walk: counts the different prices met by the order in hand."""

    def match(self, incoming: Order) -> None:
        self.met: list[int] = []
        super().match(incoming)

    def meet(self, level: Level | None) -> Level | None:
        if level is not None and level.px not in self.met:
            self.met.append(level.px)
        return level


@mutant(
    "d07_level_behind_a_consumed_one_skipped",
    breaks=("D07.X1",),
    story="Erasing a consumed level moved the iterator on, and the loop moved it on again.",
)
class LevelSkipped(Walker):
    def next_level(self, book: Book, incoming: Order) -> Level | None:
        levels = levels_to_meet(book, incoming)
        if self.met and levels and levels[0].px not in self.met and len(levels) > 1:
            return self.meet(levels[1])
        return self.meet(super().next_level(book, incoming))


@mutant(
    "d07_third_level_skipped",
    breaks=("D07.4",),
    story="A market order's walk unrolled two levels at a time and left out the first level of the second round.",
)
class ThirdLevelSkipped(Walker):
    def next_level(self, book: Book, incoming: Order) -> Level | None:
        levels = levels_to_meet(book, incoming)
        if incoming.type == OrdType.MARKET and len(self.met) == 2 and len(levels) > 1 and levels[0].px not in self.met:
            return self.meet(levels[1])
        return self.meet(super().next_level(book, incoming))


@mutant(
    "d07_second_level_first_when_larger",
    breaks=("D07.2",),
    story="A market order was routed to the second level when the best one held less than half as much.",
)
class SecondLevelFirstWhenLarger(ModelEngine):
    def next_level(self, book: Book, incoming: Order) -> Level | None:
        levels = levels_to_meet(book, incoming)
        if incoming.type == OrdType.MARKET and len(levels) > 1 and levels[1].qty > 2 * levels[0].qty:
            return levels[1]
        return super().next_level(book, incoming)


@mutant(
    "d07_stops_after_three_levels",
    breaks=("D07.5",),
    story="A market order only saw the three levels a side that the depth feed publishes.",
)
class StopsAfterThreeLevels(Walker):
    def next_level(self, book: Book, incoming: Order) -> Level | None:
        level = super().next_level(book, incoming)
        if incoming.type == OrdType.MARKET and level and len(self.met) == 3 and level.px not in self.met:
            return None
        return self.meet(level)


@mutant(
    "d07_stops_after_32_levels",
    breaks=("D07.X5",),
    story="A walk was cut off after 32 levels by a guard against endless loops.",
)
class StopsAfter32Levels(Walker):
    def next_level(self, book: Book, incoming: Order) -> Level | None:
        level = super().next_level(book, incoming)
        if incoming.type == OrdType.MARKET and level and len(self.met) == 32 and level.px not in self.met:
            return None
        return self.meet(level)


@mutant(
    "d02_market_sell_from_the_lowest_bid",
    breaks=("D02.4",),
    story="A market sell began at the first key of the bid map, which is the lowest price.",
)
class MarketSellFromTheLowestBid(ModelEngine):
    def next_level(self, book: Book, incoming: Order) -> Level | None:
        levels = levels_to_meet(book, incoming)
        if incoming.type == OrdType.MARKET and incoming.side == Side.SELL and levels:
            return levels[-1]
        return super().next_level(book, incoming)


@mutant(
    "d02_market_prefers_a_level_that_fills_it",
    breaks=("D02.4",),
    story="A market order went to the nearest level that could fill it alone, to save reports.",
)
class MarketPrefersOneLevel(ModelEngine):
    def next_level(self, book: Book, incoming: Order) -> Level | None:
        enough = (level for level in levels_to_meet(book, incoming) if level.qty >= incoming.leaves)
        if incoming.type == OrdType.MARKET and (level := next(enough, None)):
            return level
        return super().next_level(book, incoming)


@mutant(
    "d03_largest_level_first",
    breaks=("D03.2",),
    story="A limit order that crossed several levels began with the one that held most.",
)
class LargestLevelFirst(ModelEngine):
    def next_level(self, book: Book, incoming: Order) -> Level | None:
        within = [level for level in levels_to_meet(book, incoming) if self.crosses(incoming, level.px)]
        if incoming.type == OrdType.LIMIT and len(within) > 1:
            return max(within, key=lambda level: level.qty)
        return super().next_level(book, incoming)


@mutant(
    "d08_ioc_takes_one_level",
    breaks=("D08.3",),
    story="An IOC was matched with the best level alone and the rest of it cancelled.",
)
class IocTakesOneLevel(Walker):
    def next_level(self, book: Book, incoming: Order) -> Level | None:
        level = super().next_level(book, incoming)
        if incoming.tif == "ioc" and level and self.met and level.px not in self.met:
            return None
        return self.meet(level)
