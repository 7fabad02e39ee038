"""Mutants of replaces and mass cancels (optional capabilities)."""

from __future__ import annotations

from matchmark.conformance.messages import CancelRejected, Event, MassCancel, MassCancelled, Replace, Replaced, Side
from matchmark.conformance.selftest.declare import mutant
from matchmark.reference.book import Order
from matchmark.reference.model import ModelEngine


@mutant(
    "d04_cut_loses_place",
    breaks=("D04.X10",),
    story="Every replace was a cancel and a new order, a mere cut in quantity too.",
)
class CutLosesPlace(ModelEngine):
    def keeps_place(self, order: Order, px: int | None, qty: int) -> bool:
        return False


@mutant(
    "d04_cut_of_partly_filled_order_loses_place",
    breaks=("D04.X10",),
    story="A cut was told from an increase by comparing the new total with the leaves instead of the old total.",
)
class CutComparedWithLeaves(ModelEngine):
    def keeps_place(self, order: Order, px: int | None, qty: int) -> bool:
        return px == order.px and qty <= order.leaves


@mutant(
    "d04_increase_keeps_place",
    breaks=("D04.X11",),
    story="A replace to a larger quantity at the same price kept the order's place in the queue.",
)
class IncreaseKeepsPlace(ModelEngine):
    def keeps_place(self, order: Order, px: int | None, qty: int) -> bool:
        return px == order.px


@mutant(
    "d04_repriced_order_goes_to_the_front",
    breaks=("D04.X11",),
    story="A replaced order kept its old time stamp, and with it overtook the orders already at its new price.",
)
class RepricedToFront(ModelEngine):
    def replace(self, command: Replace) -> None:
        super().replace(command)
        order = self.orders.get(command.cl)
        if order and order.leaves:
            orders = self.level_of(order).orders
            for order_id in sorted(orders):
                orders.move_to_end(order_id)


@mutant(
    "d04_replace_forgets_cum",
    breaks=("D04.X12",),
    story="A replace of a partly filled order took the new quantity as new leaves and forgot what was filled.",
)
class ReplaceForgetsCum(ModelEngine):
    def replace(self, command: Replace) -> None:
        order = self.owned(command.orig, command.acct, command.sym)
        if order and order.leaves and command.new_qty is not None and self.refusal_of_replace(command, order) is None:
            qty = command.new_qty + order.cum
            command = Replace(command.cl, command.orig, command.acct, command.sym, command.new_px, qty, command.smp)
        super().replace(command)


@mutant(
    "d04_replace_through_the_spread_rests",
    breaks=("D04.X12", "D01.X7"),
    story="A replaced order was inserted at its new price without being matched.",
)
class ReplaceDoesNotMatch(ModelEngine):
    replacing = False

    def replace(self, command: Replace) -> None:
        self.replacing = True
        super().replace(command)
        self.replacing = False

    def match(self, incoming: Order) -> None:
        if not self.replacing:
            super().match(incoming)


@mutant(
    "d04_replaced_id_still_cancels",
    breaks=("D04.X1", "D04.X5"),
    story="The old ClOrdID of a replaced order stayed in the map, and a cancel of it took the order.",
)
class ReplacedIdStillCancels(ModelEngine):
    def rename(self, order: Order, cl: str) -> None:
        old = order.cl
        super().rename(order, cl)
        self.orders[old] = order


@mutant(
    "d04_refused_replace_takes_the_order_out",
    breaks=("D04.X13",),
    story="A replace removed the order before it checked the new price, and a refused one did not put it back.",
)
class RefusedReplaceRemoves(ModelEngine):
    def refusal_of_replace(self, command: Replace, order: Order | None) -> str | None:
        reason = super().refusal_of_replace(command, order)
        if reason == "bad_price" and order:
            self.take_out(order)
            order.leaves = 0
        return reason


@mutant(
    "d04_refused_replace_loses_place",
    breaks=("D04.X13",),
    story="A refused replace put the order back, but at the end of its queue.",
)
class RefusedReplaceLosesPlace(ModelEngine):
    def refusal_of_replace(self, command: Replace, order: Order | None) -> str | None:
        reason = super().refusal_of_replace(command, order)
        if reason in ("bad_quantity", "bad_price", "duplicate_cl_ord_id") and order:
            self.level_of(order).orders.move_to_end(order.id)
        return reason


@mutant(
    "d04_replace_to_filled_quantity_taken",
    breaks=("D04.X15",),
    story="A replace to exactly the quantity already filled was taken, and left an order of nothing in the book.",
)
class ReplaceToFilledQuantity(ModelEngine):
    def replacement_quantity_ok(self, order: Order, qty: int) -> bool:
        return self.quantity_in_range(qty) and qty >= order.cum

    def replace(self, command: Replace) -> None:
        order = self.owned(command.orig, command.acct, command.sym)
        if order and order.leaves and order.cum and command.new_qty == order.cum:
            self.take_out(order)
            order.leaves = 0
            self.emit(Replaced(command.cl, command.orig, order.px or 0, 0, order.cum))
        else:
            super().replace(command)


@mutant(
    "d04_strangers_replace_taken",
    breaks=("D04.X13",),
    story="Cancels checked the owner; replaces, written later, did not.",
)
class StrangersReplaceTaken(ModelEngine):
    def replace(self, command: Replace) -> None:
        order = self.orders.get(command.orig)
        owner = order.acct if order and order.sym == command.sym else command.acct
        px, qty = command.new_px, command.new_qty
        super().replace(Replace(command.cl, command.orig, owner, command.sym, px, qty, command.smp))


@mutant(
    "d04_mass_cancel_misses_partly_filled",
    breaks=("D04.X14",),
    story="A mass cancel selected orders in state new, and left the partly filled ones.",
)
class MassCancelMissesPartlyFilled(ModelEngine):
    def orders_to_mass_cancel(self, command: MassCancel) -> list[Order]:
        return [order for order in super().orders_to_mass_cancel(command) if not order.cum]


@mutant(
    "d04_mass_cancel_misses_asks_behind_bids",
    breaks=("D04.X14",),
    story="A mass cancel returned after the first side on which it had found an order.",
)
class MassCancelOneSide(ModelEngine):
    def orders_to_mass_cancel(self, command: MassCancel) -> list[Order]:
        orders = super().orders_to_mass_cancel(command)
        bids = [order for order in orders if order.side == Side.BUY]
        return bids or orders


@mutant(
    "d04_mass_cancel_of_one_symbol_takes_all",
    breaks=("D04.X14",),
    story="The symbol in a mass cancel request was not looked at.",
)
class MassCancelTakesAllSymbols(ModelEngine):
    def orders_to_mass_cancel(self, command: MassCancel) -> list[Order]:
        return super().orders_to_mass_cancel(MassCancel(command.cl, command.acct))


@mutant(
    "d04_mass_cancel_takes_the_next_strangers_order",
    breaks=("D04.X14",),
    story="Removal while iterating slipped by one: an own order in front of a stranger's took the stranger's along.",
)
class MassCancelTakesStranger(ModelEngine):
    def orders_to_mass_cancel(self, command: MassCancel) -> list[Order]:
        orders = super().orders_to_mass_cancel(command)
        for own in orders:
            behind = [order for order in self.level_of(own).orders.values() if order.id > own.id]
            if behind and behind[0] not in orders:
                return [*orders, behind[0]]
        return orders


@mutant(
    "d04_mass_cancel_counts_levels",
    breaks=("D04.X14",),
    story="The answer to a mass cancel counted levels instead of orders.",
)
class MassCancelCountsLevels(ModelEngine):
    def orders_to_mass_cancel(self, command: MassCancel) -> list[Order]:
        orders = super().orders_to_mass_cancel(command)
        self.levels_hit = len({(order.sym, order.side, order.px) for order in orders})
        return orders

    def emit(self, event: Event) -> None:
        super().emit(MassCancelled(event.cl, self.levels_hit) if isinstance(event, MassCancelled) else event)


@mutant(
    "d04_replace_of_front_order_refused",
    breaks=("D04.X12", "D04.X5"),
    story="A partly filled order at the front of its queue was held for matching, and its replace refused.",
)
class ReplaceOfFrontRefused(ModelEngine):
    def replace(self, command: Replace) -> None:
        order = self.owned(command.orig, command.acct, command.sym)
        if order and order.leaves and order.cum and self.next_resting(self.level_of(order)) is order:
            self.emit(CancelRejected(command.cl, "too_late"))
        else:
            super().replace(command)
