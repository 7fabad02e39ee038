"""Mutants of the published top of book (optional capability)."""

from __future__ import annotations

from matchmark.conformance.messages import Cancel, Cancelled, Command, Event, New, OrdType, Side, Tif, Top, Trade
from matchmark.conformance.messages import Level as Quote
from matchmark.conformance.selftest.declare import mutant
from matchmark.reference.book import Level, Order
from matchmark.reference.model import ModelEngine

Tops = tuple[Quote | None, Quote | None]


class EditsTop(ModelEngine):
    """For bugs of publication alone: what is sent, given what should be."""

    def edited(self, event: Top) -> list[Top]:
        raise NotImplementedError

    def publish_top(self, sym: str | None) -> None:
        sent = len(self.events)
        super().publish_top(sym)
        tops = [e for e in self.events[sent:] if isinstance(e, Top)]
        self.events[sent:] = [edited for top in tops for edited in self.edited(top)]


def prices(top: Tops) -> tuple[int | None, int | None]:
    return tuple(side and side[0] for side in top)  # type: ignore[return-value]


@mutant(
    "d01_top_only_when_a_price_changed",
    breaks=("D01.9",),
    story="The top was compared by its prices: a change of quantity alone was not published.",
)
class TopOnlyWhenPriceChanged(ModelEngine):
    def publish_top(self, sym: str | None) -> None:
        for name in self.symbols if sym is None else (sym,):
            book = self.books.get(name)
            if book is not None and prices(book.top()) == prices(book.published):
                book.published = book.top()
        super().publish_top(sym)


@mutant(
    "d01_top_after_every_order",
    breaks=("D01.9",),
    story="The top was published after every accepted order, also when it had not changed.",
)
class TopAfterEveryOrder(ModelEngine):
    def publish_top(self, sym: str | None) -> None:
        if self.events and self.events[0].ev == "accepted" and sym in self.books:
            self.emit(Top(sym, *self.books[sym].top()))
            self.books[sym].published = self.books[sym].top()
        super().publish_top(sym)


@mutant(
    "d01_top_quantity_of_the_front_order",
    breaks=("D01.9",),
    story="The quantity at the best price was that of the front order, not of all orders there.",
)
class TopOfFrontOrder(EditsTop):
    def edited(self, event: Top) -> list[Top]:
        book = self.books[event.sym]
        front = [
            level and (level.px, self.next_resting(level).leaves) for level in (book.best["buy"], book.best["sell"])
        ]
        return [Top(event.sym, front[0] or None, front[1] or None)]


@mutant(
    "d02_top_before_the_trade",
    breaks=("D02.9",),
    story="A trade that left the best price where it was published the quantity from before it.",
)
class TopBeforeTrade(ModelEngine):
    def submit(self, command: Command) -> list[Event]:
        self.before: dict[str, Tops] = {sym: book.top() for sym, book in self.books.items()}
        return super().submit(command)

    def publish_top(self, sym: str | None) -> None:
        super().publish_top(sym)
        traded = any(isinstance(e, Trade) for e in self.events)
        for n, event in enumerate(self.events):
            before = self.before.get(getattr(event, "sym", ""), (None, None))
            if isinstance(event, Top) and traded and prices((event.bid, event.ask)) == prices(before):
                self.events[n] = Top(event.sym, *before)


@mutant(
    "d02_empty_side_not_published",
    breaks=("D02.9",),
    story="When a trade took the last order of a side there was no new best, and so no publication.",
)
class EmptySideNotPublished(EditsTop):
    def edited(self, event: Top) -> list[Top]:
        traded = any(isinstance(e, Trade) for e in self.events)
        return [] if traded and None in (event.bid, event.ask) else [event]


@mutant(
    "d03_top_without_the_remainder",
    breaks=("D03.9",),
    story="The top was taken after the matching and before the remainder of a limit order came to rest.",
)
class TopWithoutRemainder(EditsTop):
    def match(self, incoming: Order) -> None:
        super().match(incoming)
        self.after_matching = self.books[incoming.sym].top()

    def edited(self, event: Top) -> list[Top]:
        traded = any(isinstance(e, Trade) for e in self.events)
        return [Top(event.sym, *self.after_matching)] if traded else [event]


@mutant(
    "d04_top_not_published_after_cancel",
    breaks=("D04.9",),
    story="The publisher listened to orders and trades, and a cancel at the best price was not heard of.",
)
class TopNotPublishedAfterCancel(EditsTop):
    def edited(self, event: Top) -> list[Top]:
        cancelled = any(isinstance(e, Cancelled) and e.reason == "requested" for e in self.events)
        return [] if cancelled else [event]


@mutant(
    "d04_top_published_after_a_cancel_deeper_down",
    breaks=("D04.9",),
    story="Every cancel published the top, those behind the best price too.",
)
class TopAfterEveryCancel(ModelEngine):
    def cancel(self, command: Cancel) -> None:
        super().cancel(command)
        book = self.books.get(command.sym)
        if book is not None and isinstance(self.events[0], Cancelled) and book.top() == book.published:
            self.emit(Top(command.sym, *book.top()))


@mutant(
    "d07_top_published_for_each_level_of_a_walk",
    breaks=("D07.9",),
    story="Each level that a market order consumed was published as it went, the ones already gone too.",
)
class TopForEachLevel(EditsTop):
    def reset(self) -> None:
        super().reset()
        self.passed: list[Top] = []

    def unlink(self, order: Order, level: Level) -> None:
        super().unlink(order, level)
        if not level.orders:
            self.passed.append(Top(order.sym, *self.books[order.sym].top()))

    def submit(self, command: Command) -> list[Event]:
        self.passed = []
        return super().submit(command)

    def edited(self, event: Top) -> list[Top]:
        return [*self.passed[:-1], event]


@mutant(
    "d08_ioc_shown_as_top",
    breaks=("D08.8",),
    story="An IOC was put in the book before it was matched, and the top it made for that instant was published.",
)
class IocShownAsTop(ModelEngine):
    def new(self, command: New) -> None:
        super().new(command)
        ioc = command.tif == Tif.IOC and command.type == OrdType.LIMIT and self.events[0].ev == "accepted"
        if not ioc or any(isinstance(e, Trade) for e in self.events):
            return
        bid, ask = self.books[command.sym].top()
        assert command.px is not None
        if command.side == Side.BUY and (bid is None or command.px > bid[0]):
            self.books[command.sym].published = ((command.px, command.qty), ask)
            self.emit(Top(command.sym, (command.px, command.qty), ask))
