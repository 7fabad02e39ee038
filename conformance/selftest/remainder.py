"""Mutants of the remainder: what becomes of the quantity that found nobody to trade with."""

from __future__ import annotations

from matchmark.conformance.messages import Cancelled, OrdType, Side, Tif
from matchmark.conformance.selftest.declare import mutant
from matchmark.reference.book import Level, Order
from matchmark.reference.model import ModelEngine


class KnowsLastPrice(ModelEngine):
    """For bugs that use the last price an order traded at; None when it has not traded in this command."""

    def match(self, incoming: Order) -> None:
        self.last_px: int | None = None
        super().match(incoming)

    def fill_resting(self, order: Order, qty: int, level: Level) -> None:
        self.last_px = level.px
        super().fill_resting(order, qty, level)


@mutant(
    "d02_market_remainder_rests",
    breaks=("D02.X1",),
    story="The remainder of a market order rested at its last trade's price: market-to-limit, which nobody asked for.",
)
class MarketRemainderRests(KnowsLastPrice):
    def settle_remainder(self, order: Order) -> None:
        if order.leaves and order.type == OrdType.MARKET and self.last_px is not None:
            order.px = self.last_px
            self.rest(order)
        else:
            super().settle_remainder(order)


@mutant(
    "d07_filled_market_order_cancelled_too",
    breaks=("D07.6",),
    story="A market order that was filled by the book's very last lot was reported cancelled with nothing left.",
)
class CancelledWhenBookEmpties(ModelEngine):
    def settle_remainder(self, order: Order) -> None:
        emptied = self.books[order.sym].best[Side(order.side).opposite] is None
        if order.type == OrdType.MARKET and not order.leaves and emptied and order.qty > 10:
            self.emit(Cancelled(order.cl, 0, order.cum, "no_liquidity"))
        super().settle_remainder(order)


@mutant(
    "d02_market_remainder_lost",
    breaks=("D02.X2",),
    story="What a market order could not fill ended without a report.",
)
class MarketRemainderLost(ModelEngine):
    def settle_remainder(self, order: Order) -> None:
        if order.type == OrdType.MARKET and order.cum:
            order.leaves = 0
        super().settle_remainder(order)


@mutant(
    "d02_market_remainder_reported_whole",
    breaks=("D02.X2",),
    story="The report of a market order's cancelled remainder carried the whole quantity of the order.",
)
class MarketRemainderReportedWhole(ModelEngine):
    def cancel_report(self, order: Order, reason: str) -> Cancelled:
        leaves = order.qty if reason == "no_liquidity" else order.leaves
        return Cancelled(order.cl, leaves, order.cum, reason)


@mutant(
    "d02_market_into_empty_book_unreported",
    breaks=("D02.X2",),
    story="A market order into an empty book was accepted and never heard of again.",
)
class MarketIntoEmptyBookUnreported(ModelEngine):
    def settle_remainder(self, order: Order) -> None:
        if order.type == OrdType.MARKET and not order.cum:
            order.leaves = 0
        super().settle_remainder(order)


@mutant(
    "d03_remainder_rests_at_last_trade_price",
    breaks=("D03.6",),
    story="The remainder of a limit order rested at the price of its last trade, not at its own limit.",
)
class RemainderAtLastPrice(KnowsLastPrice):
    def settle_remainder(self, order: Order) -> None:
        if self.last_px is not None and order.type == OrdType.LIMIT and order.leaves:
            order.px = self.last_px
        super().settle_remainder(order)


@mutant(
    "d03_remainder_on_the_wrong_side",
    breaks=("D03.6",),
    story="The remainder of a sell that had traded was inserted on the bid side, the side it had been matched with.",
)
class RemainderOnWrongSide(ModelEngine):
    def settle_remainder(self, order: Order) -> None:
        if order.cum and order.side == Side.SELL and self.may_rest(order):
            order.side = Side.BUY
        super().settle_remainder(order)


@mutant(
    "d03_remainder_loses_what_it_filled",
    breaks=("D03.7",),
    story="The remainder was booked as a new order: cum began at zero again.",
)
class RemainderForgetsCum(ModelEngine):
    def rest(self, order: Order) -> None:
        order.cum = 0
        super().rest(order)


@mutant(
    "d08_ioc_remainder_rests_after_a_fill",
    breaks=("D08.7",),
    story="The IOC check came before matching; an order that had traded in part went the way of all limit orders.",
)
class IocRemainderRests(ModelEngine):
    def may_rest(self, order: Order) -> bool:
        return order.type == OrdType.LIMIT and (order.tif == Tif.DAY or order.cum > 0)


@mutant(
    "d08_remainder_unreported",
    breaks=("D08.5",),
    story="An IOC filled in part ended with its last execution, and no report said that the rest was cancelled.",
)
class IocRemainderUnreported(ModelEngine):
    def settle_remainder(self, order: Order) -> None:
        if order.tif == Tif.IOC and order.type == OrdType.LIMIT and order.cum:
            order.leaves = 0
        super().settle_remainder(order)


@mutant(
    "d08_remainder_reported_twice",
    breaks=("D08.5",),
    story="Both the matching loop and the order's own clean-up reported the cancel of an IOC's remainder.",
)
class IocRemainderTwice(ModelEngine):
    def end(self, order: Order, reason: str) -> None:
        if reason == "ioc" and order.cum:
            self.emit(self.cancel_report(order, reason))
        super().end(order, reason)


@mutant(
    "d08_report_says_nothing_was_filled",
    breaks=("D08.6",),
    story="The cancel report of an IOC's remainder carried the remainder and a cum of zero.",
)
class IocReportWithoutCum(ModelEngine):
    def cancel_report(self, order: Order, reason: str) -> Cancelled:
        return Cancelled(order.cl, order.leaves, 0 if reason == "ioc" else order.cum, reason)


@mutant(
    "d08_report_says_the_whole_order",
    breaks=("D08.6",),
    story="The cancel report of an IOC's remainder carried the order's whole quantity.",
)
class IocReportWhole(ModelEngine):
    def cancel_report(self, order: Order, reason: str) -> Cancelled:
        return Cancelled(order.cl, order.qty if reason == "ioc" else order.leaves, order.cum, reason)


@mutant(
    "d08_nothing_found_nothing_said",
    breaks=("D08.X1",),
    story="An IOC that found nothing was accepted and forgotten.",
)
class IocNothingFoundNothingSaid(ModelEngine):
    def settle_remainder(self, order: Order) -> None:
        if order.tif == Tif.IOC and order.type == OrdType.LIMIT and not order.cum:
            order.leaves = 0
        super().settle_remainder(order)


@mutant(
    "d08_filled_ioc_cancelled_too",
    breaks=("D08.X2",),
    story="Every IOC was cancelled at its end, the filled ones with nothing left.",
)
class FilledIocCancelled(ModelEngine):
    def settle_remainder(self, order: Order) -> None:
        if order.tif == Tif.IOC and order.type == OrdType.LIMIT and not order.leaves:
            self.emit(Cancelled(order.cl, 0, order.cum, "ioc"))
        super().settle_remainder(order)


@mutant(
    "d08_day_remainder_cancelled_like_an_ioc",
    breaks=("D08.N1", "D03.6"),
    story="A day order that had traded at once had its remainder cancelled, as if it were an IOC.",
)
class DayRemainderCancelled(ModelEngine):
    def may_rest(self, order: Order) -> bool:
        return super().may_rest(order) and order.cum == 0


@mutant(
    "d01_passive_order_rests_on_a_coarser_tick",
    breaks=("D01.6",),
    story="Prices above 100,000 ticks rested on a grid of five, from a tick-size table of another market.",
)
class CoarserTick(ModelEngine):
    def rest(self, order: Order) -> None:
        if order.px is not None and order.px > 100_000:
            order.px -= order.px % 5
        super().rest(order)


@mutant(
    "d01_passive_order_rests_with_half_its_quantity_hidden",
    breaks=("D01.6",),
    story="Orders of 100 lots and more rested with a hidden half that nobody could trade with.",
)
class HalfHidden(ModelEngine):
    def rest(self, order: Order) -> None:
        if order.leaves >= 100 and order.cum == 0:
            order.leaves -= order.leaves // 2
        super().rest(order)


@mutant(
    "d08_ioc_ends_at_own_order",
    breaks=("D08.X5",),
    story="An IOC that met an order of its own account ended there, though no self-match prevention was asked for.",
)
class IocStopsAtOwnAccount(ModelEngine):
    def match(self, incoming: Order) -> None:
        if incoming.tif == Tif.IOC and incoming.smp is None and incoming.type == OrdType.LIMIT:
            incoming.smp = "cancel_newest"
        super().match(incoming)


@mutant(
    "d02_market_ends_at_own_order",
    breaks=("D02.X5",),
    story="A market order that met an own order ended there, though no self-match prevention was asked for.",
)
class MarketStopsAtOwnAccount(ModelEngine):
    def match(self, incoming: Order) -> None:
        if incoming.type == OrdType.MARKET and incoming.smp is None:
            incoming.smp = "cancel_newest"
        super().match(incoming)


@mutant(
    "d03_remainder_credited_whole_to_its_level",
    breaks=("D03.9",),
    story="The level of a remainder was credited with the order's original quantity.",
)
class RemainderCreditedWhole(ModelEngine):
    def enqueue(self, order: Order, level: Level) -> None:
        super().enqueue(order, level)
        level.qty += order.cum
