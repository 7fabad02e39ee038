"""Mutants of the limit check: what an incoming order may trade with, and when its matching ends."""

from __future__ import annotations

from matchmark.conformance.messages import New, OrdType, Side, Tif
from matchmark.conformance.selftest.declare import mutant
from matchmark.reference.book import Book, Level, Order
from matchmark.reference.model import ModelEngine


@mutant(
    "d01_buy_one_tick_too_far",
    breaks=("D01.X1",),
    story="The limit of a buy was compared with a price rounded down to a tick of two.",
)
class BuyOneTickTooFar(ModelEngine):
    def crosses(self, incoming: Order, px: int) -> bool:
        return super().crosses(incoming, px - px % 2 if incoming.side == Side.BUY else px)


@mutant(
    "d01_limit_checked_before_the_first_match_only",
    breaks=("D01.X1",),
    story="The limit was checked when the order came in and not again as it walked on.",
)
class LimitCheckedOnce(ModelEngine):
    def match(self, incoming: Order) -> None:
        self.cum_at_start = incoming.cum
        super().match(incoming)

    def crosses(self, incoming: Order, px: int) -> bool:
        return incoming.cum > self.cum_at_start or super().crosses(incoming, px)


@mutant(
    "d01_equal_price_does_not_cross_for_sells",
    breaks=("D01.X7", "D03.1"),
    story="A sell traded with bids above its limit and not with those at it, and locked the book.",
)
class EqualPriceDoesNotCross(ModelEngine):
    def crosses(self, incoming: Order, px: int) -> bool:
        return super().crosses(incoming, px) and not (self.day_sell(incoming) and px == incoming.px)

    def day_sell(self, order: Order) -> bool:
        return order.side == Side.SELL and order.tif == Tif.DAY


@mutant(
    "d01_rests_crossed_after_eight_fills",
    breaks=("D01.X7",),
    story="A command made eight fills at most, and what was left rested through the spread.",
)
class RestsCrossedAfterEightFills(ModelEngine):
    def match(self, incoming: Order) -> None:
        self.fills = 0
        super().match(incoming)

    def fill_resting(self, order: Order, qty: int, level: Level) -> None:
        self.fills += 1
        super().fill_resting(order, qty, level)

    def crosses(self, incoming: Order, px: int) -> bool:
        return (self.fills < 8 or incoming.type == OrdType.MARKET) and super().crosses(incoming, px)


@mutant(
    "d03_larger_than_best_level_rests",
    breaks=("D03.1", "D01.X7"),
    story="A limit order was let through the spread only if the best level could fill it; a larger one rested first.",
)
class LargerThanBestRests(ModelEngine):
    def next_level(self, book: Book, incoming: Order) -> Level | None:
        level = super().next_level(book, incoming)
        day_limit = incoming.type == OrdType.LIMIT and incoming.tif == Tif.DAY
        return None if level and day_limit and incoming.leaves > level.qty else level


@mutant(
    "d08_ioc_one_tick_beyond_its_limit",
    breaks=("D08.2",),
    story="The IOC path had its own comparison, and that was off by one.",
)
class IocOneTickBeyond(ModelEngine):
    def crosses(self, incoming: Order, px: int) -> bool:
        if incoming.tif == Tif.IOC and incoming.px is not None:
            return px <= incoming.px + 1 if incoming.side == Side.BUY else px >= incoming.px - 1
        return super().crosses(incoming, px)


@mutant(
    "d08_ioc_not_at_its_own_limit",
    breaks=("D08.4",),
    story="An IOC sell traded above its limit and not at it.",
)
class IocNotAtItsLimit(ModelEngine):
    def crosses(self, incoming: Order, px: int) -> bool:
        strict = incoming.tif == Tif.IOC and incoming.side == Side.SELL
        return super().crosses(incoming, px) and not (strict and px == incoming.px)


@mutant(
    "d02_market_sell_given_a_limit",
    breaks=("D02.3",),
    story="A market sell took the limit path with the largest price as its limit, as is right for a buy.",
)
class MarketSellWithALimit(ModelEngine):
    def crosses(self, incoming: Order, px: int) -> bool:
        return not (incoming.type == OrdType.MARKET and incoming.side == Side.SELL) and super().crosses(incoming, px)


@mutant(
    "d02_market_decided_on_the_book_before",
    breaks=("D02.3",),
    story="Market orders were routed on a copy of the best prices that was refreshed after each command but cancels.",
)
class MarketOnStaleBook(ModelEngine):
    """Shown as what it leads to: the first market order after a cancel at the best price finds nothing."""

    def reset(self) -> None:
        super().reset()
        self.stale: set[tuple[str, str]] = set()

    def take_out(self, order: Order) -> None:
        book = self.books[order.sym]
        if (best := book.best[order.side]) and best.px == order.px and len(best.orders) == 1:
            self.stale.add((order.sym, order.side))
        super().take_out(order)

    def match(self, incoming: Order) -> None:
        opposite = Side(incoming.side).opposite
        stale = (incoming.sym, opposite) in self.stale
        self.stale.discard((incoming.sym, opposite))
        if not (stale and incoming.type == OrdType.MARKET):
            super().match(incoming)


@mutant(
    "d07_market_stops_at_a_collar",
    breaks=("D07.X5",),
    story="A price collar meant for another instrument class stopped market orders 50 ticks from where they began.",
)
class MarketCollar(ModelEngine):
    def match(self, incoming: Order) -> None:
        self.first_px: int | None = None
        super().match(incoming)

    def crosses(self, incoming: Order, px: int) -> bool:
        if incoming.type == OrdType.MARKET:
            self.first_px = px if self.first_px is None else self.first_px
            return abs(px - self.first_px) <= 50
        return super().crosses(incoming, px)


@mutant(
    "d07_market_larger_than_the_book_cancelled",
    breaks=("D07.1",),
    story="Market orders were treated as fill-or-kill: one larger than the opposite side was cancelled whole.",
)
class MarketFillOrKill(ModelEngine):
    def match(self, incoming: Order) -> None:
        opposite = self.books[incoming.sym].levels[Side(incoming.side).opposite].values()
        available = sum(level.qty for level in opposite)
        if incoming.type != OrdType.MARKET or available >= incoming.leaves:
            super().match(incoming)


@mutant(
    "d08_ioc_refused_when_nothing_to_trade_with",
    breaks=("D08.1", "D08.X1"),
    story="An IOC that found nothing at its limit was refused at the door, under a rule for fill-or-kill orders.",
)
class IocRefused(ModelEngine):
    def refusal_of_new(self, command: New) -> str | None:
        reason = super().refusal_of_new(command)
        if reason or command.tif != Tif.IOC or command.type != OrdType.LIMIT or command.px is None:
            return reason
        best = self.books[command.sym].best[Side(command.side).opposite]
        reached = best and (best.px <= command.px if command.side == Side.BUY else best.px >= command.px)
        return None if reached else "nothing to trade with"
