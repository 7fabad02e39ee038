"""Mutants of the answers: what is said, how often, in which order, about whom."""

from __future__ import annotations

from matchmark.conformance.messages import Accepted, Cancel, Cancelled, Command, Event, New, Trade
from matchmark.conformance.selftest.declare import mutant
from matchmark.reference.book import Level, Order
from matchmark.reference.model import ModelEngine


class Edits(ModelEngine):
    """For bugs of the report path alone: the book is right, the events of a command are changed on their way out."""

    def edited(self, events: list[Event]) -> list[Event]:
        raise NotImplementedError

    def submit(self, command: Command) -> list[Event]:
        return self.edited(super().submit(command))


@mutant(
    "d01_last_report_held_back",
    breaks=("D01.5",),
    story="Reports were sent in batches, and the last of a batch of five or more went out with the next command's.",
)
class LastReportHeldBack(Edits):
    def reset(self) -> None:
        super().reset()
        self.held: list[Event] = []

    def edited(self, events: list[Event]) -> list[Event]:
        events = [*self.held, *events]
        self.held = events[-1:] if len(events) >= 5 else []
        return events[: len(events) - len(self.held)]


@mutant(
    "d01_acknowledged_after_its_trades",
    breaks=("D01.8",),
    story="The acknowledgement was sent when matching was over, behind the executions.",
)
class AcknowledgedAfterTrades(Edits):
    def edited(self, events: list[Event]) -> list[Event]:
        if len(events) > 1 and isinstance(events[0], Accepted) and isinstance(events[1], Trade):
            return [events[1], events[0], *events[2:]]
        return events


@mutant(
    "d01_acknowledged_again_when_it_rests",
    breaks=("D01.8",),
    story="An order that had traded was acknowledged a second time when its remainder came to rest.",
)
class AcknowledgedAgain(ModelEngine):
    def rest(self, order: Order) -> None:
        if order.cum:
            self.emit(Accepted(order.cl, str(order.id)))
        super().rest(order)


@mutant(
    "d01_filled_at_once_never_acknowledged",
    breaks=("D01.8", "D01.X8"),
    story="An order that was filled by one resting order got its execution and no acknowledgement.",
)
class FilledAtOnceNotAcknowledged(Edits):
    def edited(self, events: list[Event]) -> list[Event]:
        if isinstance(events[0] if events else None, Accepted) and sum(isinstance(e, Trade) for e in events) > 1:
            return events[1:]
        return events


@mutant(
    "d01_cancel_of_a_finished_order_unanswered",
    breaks=("D01.X8",),
    story="A cancel that came too late fell through a switch and was not answered.",
)
class LateCancelUnanswered(ModelEngine):
    def cancel(self, command: Cancel) -> None:
        order = self.owned(command.orig, command.acct, command.sym)
        if order is None or order.leaves:
            super().cancel(command)


@mutant(
    "d01_refused_order_cancelled_as_well",
    breaks=("D01.X8",),
    story="A refused duplicate was also reported cancelled, by the clean-up of the order object made for it.",
)
class RefusedAndCancelled(ModelEngine):
    def new(self, command: New) -> None:
        super().new(command)
        if self.seen_before(command.cl) and not isinstance(self.events[0], Accepted):
            self.emit(Cancelled(command.cl, command.qty, 0, "rejected"))


@mutant(
    "d02_resting_and_incoming_swapped",
    breaks=("D02.8",),
    story="For sells the trade named the sell as resting: the two roles were taken from the sides.",
)
class RolesSwapped(Edits):
    def edited(self, events: list[Event]) -> list[Event]:
        return [self.by_side(e) if isinstance(e, Trade) else e for e in events]

    def by_side(self, t: Trade) -> Trade:
        sold = self.orders[t.incoming].side == "sell"
        return Trade(t.sym, t.px, t.qty, t.incoming, t.resting) if sold else t


@mutant(
    "d02_same_resting_order_named_throughout_a_level",
    breaks=("D02.8",),
    story="Every trade of a level named the order that stood first in it when the command began.",
)
class SameRestingOrderNamed(Edits):
    def edited(self, events: list[Event]) -> list[Event]:
        named: dict[int, str] = {}
        return [
            Trade(e.sym, e.px, e.qty, named.setdefault(e.px, e.resting), e.incoming) if isinstance(e, Trade) else e
            for e in events
        ]


@mutant(
    "d02_equal_fills_reported_once",
    breaks=("D02.X4",),
    story="A filter against double reports took two fills of the same price and quantity for one.",
)
class EqualFillsReportedOnce(Edits):
    def edited(self, events: list[Event]) -> list[Event]:
        seen: set[tuple[int, int]] = set()
        kept: list[Event] = []
        for event in events:
            if isinstance(event, Trade):
                if (event.px, event.qty) in seen:
                    continue
                seen.add((event.px, event.qty))
            kept.append(event)
        return kept


@mutant(
    "d02_fill_reported_twice",
    breaks=("D02.X4",),
    story="The last fill of a walk was reported by the loop and again behind it.",
)
class FillReportedTwice(Edits):
    def edited(self, events: list[Event]) -> list[Event]:
        trades = [n for n, e in enumerate(events) if isinstance(e, Trade)]
        if len(trades) < 3:
            return events
        return [*events[: trades[-1] + 1], *events[trades[-1] :]]


@mutant(
    "d07_one_report_a_level",
    breaks=("D07.7", "D02.X4"),
    story="The fills of a market order were merged into one for each price level, in the name of its first order.",
)
class OneReportALevel(Edits):
    def edited(self, events: list[Event]) -> list[Event]:
        merged: list[Event] = []
        for event in events:
            last = merged[-1] if merged else None
            market = isinstance(event, Trade) and self.orders[event.incoming].px is None
            if market and isinstance(event, Trade) and isinstance(last, Trade) and last.px == event.px:
                merged[-1] = Trade(last.sym, last.px, last.qty + event.qty, last.resting, last.incoming)
            else:
                merged.append(event)
        return merged


@mutant(
    "d03_executions_reported_last_first",
    breaks=("D03.8",),
    story="Executions were pushed on a stack while matching, and reported from its top.",
)
class ExecutionsLastFirst(Edits):
    def edited(self, events: list[Event]) -> list[Event]:
        trades = [e for e in events if isinstance(e, Trade)]
        return [trades.pop() if isinstance(e, Trade) else e for e in events]


@mutant(
    "d08_cancel_reported_before_the_executions",
    breaks=("D08.5",),
    story="The report of an IOC's cancelled remainder was sent ahead of its executions.",
)
class CancelBeforeExecutions(Edits):
    def edited(self, events: list[Event]) -> list[Event]:
        ends = [e for e in events if isinstance(e, Cancelled) and e.reason == "ioc" and e.cum]
        return [events[0], *ends, *(e for e in events[1:] if e not in ends)] if ends else events


@mutant(
    "d02_execution_missing_for_the_last_lot_of_a_level",
    breaks=("D02.X4", "D07.7"),
    story="The trade that emptied a level in the middle of a walk was booked and not reported.",
)
class TradeMissing(ModelEngine):
    def trade(self, incoming: Order, resting: Order, level: Level) -> None:
        super().trade(incoming, resting, level)
        if incoming.leaves and not level.orders and incoming.cum > incoming.leaves:
            self.events.pop()
