"""Mutants of quantities: how much a match trades, and what both orders have left after it."""

from __future__ import annotations

from matchmark.conformance.messages import OrdType, Trade
from matchmark.conformance.selftest.declare import mutant
from matchmark.reference.book import Level, Order
from matchmark.reference.model import ModelEngine


class CountsFills(ModelEngine):
    """For bugs that depend on how often an order was filled."""

    def reset(self) -> None:
        super().reset()
        self.fills: dict[int, int] = {}

    def fill(self, order: Order, qty: int) -> None:
        super().fill(order, qty)
        self.fills[order.id] = self.fills.get(order.id, 0) + 1


@mutant(
    "d03_leaves_off_by_one_after_third_fill",
    breaks=("D03.X2",),
    story="The third fill of an order took a lot too many off its leaves, by rounding an average.",
)
class LeavesOffByOneAfterThirdFill(CountsFills):
    def fill_resting(self, order: Order, qty: int, level: Level) -> None:
        super().fill_resting(order, qty, level)
        if self.fills[order.id] == 3 and order.leaves > 1:
            order.leaves -= 1
            level.qty -= 1


@mutant(
    "d03_incoming_leaves_short_after_fourth_match",
    breaks=("D03.X2",),
    story="After four matches in one command the incoming order's leaves came from a stale copy, a lot short.",
)
class IncomingLeavesShort(CountsFills):
    def trade(self, incoming: Order, resting: Order, level: Level) -> None:
        super().trade(incoming, resting, level)
        if self.fills[incoming.id] == 4 and incoming.leaves > 1:
            incoming.leaves -= 1


@mutant(
    "d03_remaining_minus_whole_resting_order",
    breaks=("D03.5",),
    story="What the incoming order had left went down by the resting order's original quantity, not by the trade.",
)
class RemainingMinusWholeOrder(ModelEngine):
    def trade(self, incoming: Order, resting: Order, level: Level) -> None:
        filled_before = resting.cum
        super().trade(incoming, resting, level)
        incoming.leaves = max(0, incoming.leaves - filled_before)


@mutant(
    "d02_match_split_at_round_lots",
    breaks=("D02.5",),
    story="Round lots of ten and the odd rest of a match were traded separately.",
)
class SplitAtRoundLots(ModelEngine):
    def trade_quantity(self, incoming: Order, resting: Order) -> int:
        whole = super().trade_quantity(incoming, resting)
        return whole - whole % 10 if whole > 10 else whole


@mutant(
    "d03_third_match_as_small_as_the_first",
    breaks=("D03.4",),
    story="From the third match on no trade was larger than the first: a misprinted example taken at its word.",
)
class ThirdMatchAsSmallAsFirst(ModelEngine):
    def match(self, incoming: Order) -> None:
        self.traded: list[int] = []
        super().match(incoming)

    def trade_quantity(self, incoming: Order, resting: Order) -> int:
        qty = super().trade_quantity(incoming, resting)
        self.traded.append(min(qty, self.traded[0]) if len(self.traded) >= 2 else qty)
        return self.traded[-1]


@mutant(
    "d07_second_level_a_lot_short",
    breaks=("D07.3",),
    story="A market order left one lot of a level's last order behind when it had come there from another level.",
)
class SecondLevelShort(ModelEngine):
    def match(self, incoming: Order) -> None:
        self.first_px: int | None = None
        super().match(incoming)

    def fill_resting(self, order: Order, qty: int, level: Level) -> None:
        self.first_px = level.px if self.first_px is None else self.first_px
        super().fill_resting(order, qty, level)

    def trade_quantity(self, incoming: Order, resting: Order) -> int:
        qty = super().trade_quantity(incoming, resting)
        from_afar = incoming.type == OrdType.MARKET and self.first_px not in (None, resting.px)
        return qty - 1 if from_afar and 1 < resting.leaves < incoming.leaves else qty


@mutant(
    "d02_half_filled_order_keeps_its_quantity",
    breaks=("D02.X3",),
    story="A fill of exactly half of a resting order was reported and not booked, so that the half could be had twice.",
)
class HalfFilledKeepsQuantity(ModelEngine):
    def fill_resting(self, order: Order, qty: int, level: Level) -> None:
        if order.leaves != 2 * qty:
            super().fill_resting(order, qty, level)


@mutant(
    "d02_filled_order_stays_when_sizes_are_equal",
    breaks=("D02.6", "D02.X3"),
    story="When two orders of equal size met, the resting one stayed in the queue and traded again.",
)
class FilledOrderStays(ModelEngine):
    def fill_resting(self, order: Order, qty: int, level: Level) -> None:
        if order.cum == 0 and qty == order.leaves and len(level.orders) > 1:
            return
        super().fill_resting(order, qty, level)


@mutant(
    "d02_trade_for_zero",
    breaks=("D02.6",),
    story="A filled order stayed in the queue until the next order found it empty and traded nothing with it.",
)
class TradeForZero(ModelEngine):
    def fill_resting(self, order: Order, qty: int, level: Level) -> None:
        level.qty -= qty
        self.fill(order, qty)
        if not order.leaves and (qty == 0 or len(level.orders) == 1):
            self.unlink(order, level)


@mutant(
    "d03_one_lot_remainder_dropped",
    breaks=("D03.X5",),
    story="A resting order left with a single lot after a fill was dropped as dust, without a word.",
)
class OneLotDropped(ModelEngine):
    def fill_resting(self, order: Order, qty: int, level: Level) -> None:
        super().fill_resting(order, qty, level)
        if order.leaves == 1:
            self.take_out(order)
            order.leaves = 0


@mutant(
    "d02_incoming_overfilled_by_equal_orders",
    breaks=("D02.X3",),
    story="Two resting orders of equal size at a price were filled as one: the incoming order paid once and got both.",
)
class OverfilledByEqualOrders(ModelEngine):
    def trade(self, incoming: Order, resting: Order, level: Level) -> None:
        behind = list(level.orders.values())[1:2]
        super().trade(incoming, resting, level)
        twin = behind[0] if behind and not resting.leaves else None
        if twin and twin.leaves == resting.cum and not incoming.leaves:
            self.emit(Trade(incoming.sym, level.px, twin.leaves, twin.cl, incoming.cl))
            self.fill_resting(twin, twin.leaves, level)
