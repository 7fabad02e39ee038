"""Mutants of the price levels: which one is next in a walk, and the book's memory of where its best is."""

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


# --- where the best is ---


class BookOfMutant(ModelEngine):
    book_class: type[Book]

    def reset(self) -> None:
        super().reset()
        self.books = {sym: self.book_class(sym) for sym in self.symbols}


@mutant(
    "d01_257th_level_never_best",
    breaks=("D01.X10",),
    story="Levels were numbered in eight bits: one made while 256 others were there did not become the best.",
)
class Level257NeverBest(BookOfMutant):
    class book_class(Book):
        def level(self, side: str, px: int) -> Level:
            best, full = self.best[side], len(self.levels[side]) >= 256
            made = super().level(side, px)
            if full and best is not None:
                self.best[side] = best
            return made


@mutant(
    "d01_beyond_1024_levels_the_oldest_is_best",
    breaks=("D01.X10",),
    story="The index of levels was rebuilt at 1,024 of them with its order lost: the level made first came up as best.",
)
class Beyond1024Levels(BookOfMutant):
    class book_class(Book):
        def __init__(self, sym: str) -> None:
            super().__init__(sym)
            self.made: dict[str, dict[int, Level]] = {Side.BUY: {}, Side.SELL: {}}

        def level(self, side: str, px: int) -> Level:
            level = super().level(side, px)
            self.made[side].setdefault(px, level)
            if len(self.made[side]) > 1024:
                self.find_best(side)
            return level

        def drop_level(self, side: str, level: Level) -> None:
            del self.made[side][level.px]
            super().drop_level(side, level)

        def find_best(self, side: str) -> None:
            super().find_best(side)
            if len(self.made[side]) > 1024:
                self.best[side] = next(iter(self.made[side].values()))


@mutant(
    "d07_better_level_far_away_not_noticed",
    breaks=("D07.X1",),
    story="The cached best was compared in the low 16 bits: a better level 65,536 ticks away was not noticed.",
)
class BetterLevelFarAway(BookOfMutant):
    class book_class(Book):
        def level(self, side: str, px: int) -> Level:
            before = self.best[side]
            level = super().level(side, px)
            if before is not None and abs(px - before.px) >= 1 << 16:
                self.best[side] = before
            return level


@mutant(
    "d04_best_lost_when_cancelled",
    breaks=("D04.5",),
    story="The cancel of the last order at the best price cleared the cached best and left finding the next to nobody.",
)
class BestLostWhenCancelled(ModelEngine):
    def take_out(self, order: Order) -> None:
        book = self.books[order.sym]
        best = book.best[order.side]
        super().take_out(order)
        if best is not None and not best.orders:
            book.best[order.side] = None


@mutant(
    "d07_next_level_found_within_64_ticks_only",
    breaks=("D07.X3", "D01.X10"),
    story="The next level was looked for in one 64-bit word of the price bitmap, so one further off was not found.",
)
class BitmapWord(BookOfMutant):
    class book_class(Book):
        def drop_level(self, side: str, level: Level) -> None:
            was_best = self.best[side] is level
            super().drop_level(side, level)
            best = self.best[side]
            if was_best and best is not None and abs(best.px - level.px) >= 64:
                self.best[side] = None


# --- levels that are emptied and used again ---


class Remembers(ModelEngine):
    """For bugs of levels used again: which prices of a symbol's side were emptied before."""

    def reset(self) -> None:
        super().reset()
        self.emptied: set[tuple[str, str, int]] = set()

    def unlink(self, order: Order, level: Level) -> None:
        super().unlink(order, level)
        if not level.orders:
            self.emptied.add((order.sym, order.side, level.px))

    def used_before(self, order: Order, level: Level) -> bool:
        return (order.sym, order.side, level.px) in self.emptied


@mutant(
    "d04_refilled_level_inverted",
    breaks=("D04.X4",),
    story="A level that was emptied kept its tail pointer, and what came to it later was linked in front.",
)
class RefilledLevelInverted(Remembers):
    def enqueue(self, order: Order, level: Level) -> None:
        super().enqueue(order, level)
        if self.used_before(order, level):
            level.orders.move_to_end(order.id, last=False)


@mutant(
    "d07_level_used_again_never_empties",
    breaks=("D07.X3",),
    story="A level traded out and used again was not erased the second time: its last order stayed in it, once filled.",
)
class RefilledLevelKeepsItsLast(Remembers):
    def fill_resting(self, order: Order, qty: int, level: Level) -> None:
        if self.used_before(order, level) and qty == order.leaves and len(level.orders) == 1:
            order.cum += qty
            return
        super().fill_resting(order, qty, level)


@mutant(
    "d07_rest_of_the_last_level_lost",
    breaks=("D07.X2",),
    story="The level in which a walk ended was erased together with the consumed ones, and nobody was told.",
)
class RestOfTheLastLevelLost(Walker):
    def fill_resting(self, order: Order, qty: int, level: Level) -> None:
        super().fill_resting(order, qty, level)
        if not self.filling.leaves and len(self.met) > 1 and level.orders:
            for left in list(level.orders.values()):
                self.take_out(left)
                left.leaves = 0

    def next_level(self, book: Book, incoming: Order) -> Level | None:
        self.filling = incoming
        return self.meet(super().next_level(book, incoming))
