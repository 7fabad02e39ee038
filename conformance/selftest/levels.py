"""Mutants of the price levels themselves: the book's memory of where its best is, and levels that are used again."""

from __future__ import annotations

from matchmark.conformance.messages import Side
from matchmark.conformance.selftest.declare import mutant
from matchmark.conformance.selftest.walk import Walker
from matchmark.reference.book import Book, Books, Level, Order
from matchmark.reference.model import ModelEngine


class BooksOf(Books):
    def __init__(self, book_class: type[Book]) -> None:
        super().__init__()
        self.book_class = book_class

    def __missing__(self, sym: str) -> Book:
        book = self[sym] = self.book_class(sym)
        return book


class BookOfMutant(ModelEngine):
    book_class: type[Book]

    def reset(self) -> None:
        super().reset()
        self.books = BooksOf(self.book_class)


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
