"""Mutants of arithmetic: numbers kept in too few bits, or as floating point, so that only large ones go wrong."""

from __future__ import annotations

import struct

from matchmark.conformance.messages import Cancelled, Side
from matchmark.conformance.selftest.declare import mutant
from matchmark.reference.book import Level, Order
from matchmark.reference.model import ModelEngine


def int32(value: int) -> int:
    return (value + 2**31) % 2**32 - 2**31


def int64(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63


def float32(value: int) -> int:
    rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    return int(rounded)


@mutant(
    "d01_price_difference_in_32_bits",
    breaks=("D01.X9",),
    story="Prices were compared by the sign of a 32-bit difference, which turns when they are 2^31 ticks apart.",
)
class PriceDifferenceIn32Bits(ModelEngine):
    def crosses(self, incoming: Order, px: int) -> bool:
        if incoming.px is None:
            return True
        difference = int32(px - incoming.px)
        return difference <= 0 if incoming.side == Side.BUY else difference >= 0


@mutant(
    "d01_trade_price_in_32_bits",
    breaks=("D01.X9",),
    story="The execution report had a signed 32-bit price field: from 2^31 ticks on it was negative.",
)
class TradePriceIn32Bits(ModelEngine):
    def trade_price(self, incoming: Order, level: Level) -> int:
        return int32(level.px)


@mutant(
    "d01_prices_compared_as_float32",
    breaks=("D01.X9",),
    story="The limit check was done in single precision: above 2^24 ticks neighbouring prices were equal.",
)
class PricesComparedAsFloat32(ModelEngine):
    def crosses(self, incoming: Order, px: int) -> bool:
        if incoming.px is None:
            return True
        mine, theirs = float32(incoming.px), float32(px)
        return theirs <= mine if incoming.side == Side.BUY else theirs >= mine


@mutant(
    "d01_price_scaled_in_64_bits",
    breaks=("D01.X9",),
    story="Prices were kept in ten-thousandths of a tick in 64 bits, which wrap above 9.2e14 ticks.",
)
class PriceScaledIn64Bits(ModelEngine):
    def crosses(self, incoming: Order, px: int) -> bool:
        if incoming.px is None:
            return True
        mine, theirs = int64(incoming.px * 10_000), int64(px * 10_000)
        return theirs <= mine if incoming.side == Side.BUY else theirs >= mine


@mutant(
    "d01_largest_price_refused",
    breaks=("D01.X9",),
    story="The range check was written with less-than, and refused the largest price of the specification.",
)
class LargestPriceRefused(ModelEngine):
    def price_in_range(self, px: int | None) -> bool:
        return super().price_in_range(px) and px != self.price_max


@mutant(
    "d01_largest_quantity_refused",
    breaks=("D01.X9",),
    story="The range check was written with less-than, and refused the largest quantity of the specification.",
)
class LargestQuantityRefused(ModelEngine):
    def quantity_in_range(self, qty: int) -> bool:
        return super().quantity_in_range(qty) and qty != self.quantity_max


@mutant(
    "d01_resting_quantity_in_16_bits",
    breaks=("D01.X9",),
    story="The book kept remaining quantities in 16 bits, so that 65,537 lots rested as one.",
)
class RestingQuantityIn16Bits(ModelEngine):
    def rest(self, order: Order) -> None:
        if order.leaves > 0xFFFF:
            order.leaves = order.leaves & 0xFFFF or 1
        super().rest(order)


@mutant(
    "d01_quantity_in_float32",
    breaks=("D01.X9",),
    story="Quantities were subtracted in single precision: above 2^24 lots an odd lot was lost or won.",
)
class QuantityInFloat32(ModelEngine):
    def fill(self, order: Order, qty: int) -> None:
        super().fill(order, qty)
        order.leaves = float32(order.leaves)


@mutant(
    "d01_level_total_in_32_bits",
    breaks=("D01.X9", "D01.9"),
    story="A level's aggregate quantity was a signed 32-bit sum: two of the largest orders made it negative.",
)
class LevelTotalIn32Bits(ModelEngine):
    def enqueue(self, order: Order, level: Level) -> None:
        super().enqueue(order, level)
        level.qty = int32(level.qty)


@mutant(
    "d01_cum_in_16_bits",
    breaks=("D01.X9", "D04.E1"),
    story="The cancel report's field for the executed quantity had 16 bits.",
)
class CumIn16Bits(ModelEngine):
    def cancel_report(self, order: Order, reason: str) -> Cancelled:
        return Cancelled(order.cl, order.leaves, order.cum & 0xFFFF, reason)
