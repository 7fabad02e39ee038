"""Mutants of identity and validation: ClOrdIDs, order ids, symbols, and values that must be refused."""

from __future__ import annotations

from dataclasses import replace

from matchmark.conformance.messages import Accepted, Command, Event, New, OrdType, Rejected, Side
from matchmark.conformance.selftest.declare import mutant
from matchmark.reference.book import Level, Order
from matchmark.reference.model import ModelEngine


@mutant(
    "d01_order_id_in_eight_bits",
    breaks=("D01.8",),
    story="The order id that was sent out had eight bits, and came round after 256 orders.",
)
class OrderIdInEightBits(ModelEngine):
    def emit(self, event: Event) -> None:
        super().emit(Accepted(event.cl, str(int(event.id) % 256)) if isinstance(event, Accepted) else event)


@mutant(
    "d01_order_id_used_again_after_cancel",
    breaks=("D01.8",),
    story="Order ids were slots of a pool: the slot of a cancelled order was given to the next one.",
)
class OrderIdUsedAgain(ModelEngine):
    def reset(self) -> None:
        super().reset()
        self.free: list[str] = []
        self.shown: dict[int, str] = {}

    def end(self, order: Order, reason: str) -> None:
        super().end(order, reason)
        self.free.append(self.shown[order.id])

    def emit(self, event: Event) -> None:
        if isinstance(event, Accepted):
            self.shown[int(event.id)] = self.free.pop() if self.free else event.id
            event = Accepted(event.cl, self.shown[int(event.id)])
        super().emit(event)


@mutant(
    "d01_cl_ord_id_free_once_finished",
    breaks=("D01.X4",),
    story="ClOrdIDs were looked up among live orders, so that a resent order executed again once the first was done.",
)
class ClOrdIdFreeOnceFinished(ModelEngine):
    def seen_before(self, cl: str) -> bool:
        return cl in self.orders and self.orders[cl].leaves > 0


@mutant(
    "d01_cl_ord_id_free_when_filled_at_once",
    breaks=("D01.X4",),
    story="A ClOrdID was remembered when its order came to rest; one that was filled at once was not.",
)
class ClOrdIdFreeWhenNeverRested(ModelEngine):
    def reset(self) -> None:
        super().reset()
        self.rested: set[str] = set()

    def rest(self, order: Order) -> None:
        self.rested.add(order.cl)
        super().rest(order)

    def seen_before(self, cl: str) -> bool:
        return cl in self.rested


@mutant(
    "d01_last_50_cl_ord_ids_remembered",
    breaks=("D01.X4",),
    story="Duplicates were looked for in a window of the last 50 orders.",
)
class WindowOfClOrdIds(ModelEngine):
    def seen_before(self, cl: str) -> bool:
        return cl in self.orders and self.orders[cl].id > self.last_id - 50


@mutant(
    "d01_duplicate_of_another_symbol_taken",
    breaks=("D01.X4",),
    story="Each symbol's book kept its own list of ClOrdIDs.",
)
class DuplicateInAnotherSymbol(ModelEngine):
    def new(self, command: New) -> None:
        self.command = command
        super().new(command)

    def seen_before(self, cl: str) -> bool:
        return cl in self.orders and self.orders[cl].sym == self.command.sym


@mutant(
    "d01_refused_order_uses_up_its_cl_ord_id",
    breaks=("D01.X12",),
    story="A ClOrdID was noted before the order was checked: the corrected order under it was called a duplicate.",
)
class RefusedUsesUpClOrdId(ModelEngine):
    def reset(self) -> None:
        super().reset()
        self.refused: set[str] = set()

    def seen_before(self, cl: str) -> bool:
        return cl in self.refused or super().seen_before(cl)

    def emit(self, event: Event) -> None:
        super().emit(event)
        if isinstance(event, Rejected):
            self.refused.add(event.cl)


@mutant(
    "d01_price_zero_is_a_market_order",
    breaks=("D01.X3",),
    story="Price zero stood for none, and a limit order sent with it became a market order.",
)
class PriceZeroIsMarket(ModelEngine):
    def submit(self, command: Command) -> list[Event]:
        if isinstance(command, New) and command.type == OrdType.LIMIT and command.px == 0:
            command = replace(command, type=OrdType.MARKET, px=None)
        return super().submit(command)


@mutant(
    "d01_negative_price_taken",
    breaks=("D01.X3",),
    story="Only price zero was refused, since spreads may trade below it.",
)
class NegativePriceTaken(ModelEngine):
    def price_in_range(self, px: int | None) -> bool:
        return px is not None and px != 0 and px <= self.price_max


@mutant(
    "d01_zero_quantity_taken",
    breaks=("D01.X3",),
    story="An order of no quantity was acknowledged.",
)
class ZeroQuantityTaken(ModelEngine):
    def quantity_in_range(self, qty: int) -> bool:
        return 0 <= qty <= self.quantity_max


@mutant(
    "d01_too_large_quantity_cut_down",
    breaks=("D01.X3",),
    story="A quantity beyond the largest was silently cut down to it.",
)
class TooLargeQuantityCut(ModelEngine):
    def submit(self, command: Command) -> list[Event]:
        if isinstance(command, New) and command.qty > self.quantity_max:
            command = replace(command, qty=self.quantity_max)
        return super().submit(command)


@mutant(
    "d01_refused_order_counts_against_the_best_level",
    breaks=("D01.X3",),
    story="An order refused for its price had by then taken the head of the opposite best level out of line.",
)
class RefusedOrderMovesHead(ModelEngine):
    def refusal_of_new(self, command: New) -> str | None:
        reason = super().refusal_of_new(command)
        if reason in ("bad_price", "bad_quantity"):
            for best in self.books[command.sym].best.values():
                if best:
                    best.orders.move_to_end(next(iter(best.orders)))
        return reason


@mutant(
    "d01_refused_without_a_reason",
    breaks=("D01.X3",),
    story="The reject of a bad quantity carried no reason.",
)
class RefusedWithoutReason(ModelEngine):
    def emit(self, event: Event) -> None:
        if isinstance(event, Rejected) and event.reason == "bad_quantity":
            event = Rejected(event.cl, "")
        super().emit(event)


@mutant(
    "d01_unknown_symbol_gets_a_book",
    breaks=("D01.X5",),
    story="A book was made for any symbol that was named, with a lookup that inserts.",
)
class UnknownSymbolGetsABook(ModelEngine):
    def known_symbol(self, sym: str) -> bool:
        return True


@mutant(
    "d01_unknown_symbol_is_the_first",
    breaks=("D01.X5",),
    story="The lookup of an unknown symbol gave index 0, and its orders went to the first symbol's book.",
)
class UnknownSymbolIsTheFirst(ModelEngine):
    def submit(self, command: Command) -> list[Event]:
        if isinstance(command, New) and not self.known_symbol(command.sym):
            command = replace(command, sym=self.symbols[0])
        return super().submit(command)


@mutant(
    "d01_last_symbol_shares_the_first_book",
    breaks=("D01.X6",),
    story="The table of books was one short, and the last symbol's index wrapped round to the first.",
)
class LastSymbolSharesFirstBook(ModelEngine):
    def match(self, incoming: Order) -> None:
        super().match(incoming)
        if incoming.leaves and incoming.sym == self.symbols[-1]:
            sym, incoming.sym = incoming.sym, self.symbols[0]
            super().match(incoming)
            incoming.sym = sym


@mutant(
    "d01_trade_in_one_symbol_reorders_the_next",
    breaks=("D01.X6",),
    story="A buffer overrun: a trade in one symbol wrote over the head of the next symbol's best bid.",
)
class TradeReordersNextSymbol(ModelEngine):
    def fill_resting(self, order: Order, qty: int, level: Level) -> None:
        super().fill_resting(order, qty, level)
        following = self.symbols[(self.symbol_index[order.sym] + 1) % len(self.symbols)]
        best = self.books[following].best[Side.BUY]
        if best and len(best.orders) > 1:
            best.orders.move_to_end(next(iter(best.orders)))


@mutant(
    "d01_valid_order_refused_by_a_wash_rule",
    breaks=("D01.X12",),
    story="A limit order that would have met an own order was refused, though no self-match prevention was asked for.",
)
class WashRule(ModelEngine):
    def refusal_of_new(self, command: New) -> str | None:
        reason = super().refusal_of_new(command)
        best = None if reason else self.books[command.sym].best[Side(command.side).opposite]
        if best is None or command.type != OrdType.LIMIT or command.tif == "ioc" or command.smp:
            return reason
        assert command.px is not None
        reached = best.px <= command.px if command.side == Side.BUY else best.px >= command.px
        return "wash trade" if reached and self.next_resting(best).acct == command.acct else None
