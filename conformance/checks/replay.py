"""Replays a history into an observed book: the target's own events, never a matching of its own.

Who traded, and for how much, is what the target says. What the rules leave no doubt about is taken from the rules: an
IOC order is over when its exchange ends, a confirmed replace has the price and quantity that were asked for. So a wrong
answer is found once, and what follows from it is put down to its cause.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from matchmark.conformance.checks.demand import Demand, Kind, demand_of
from matchmark.conformance.checks.finding import show
from matchmark.conformance.checks.moments import Before, EndSeen, Publication, Step, TradeSeen
from matchmark.conformance.checks.observed import ObservedBook, Seen
from matchmark.conformance.history import Exchange
from matchmark.conformance.messages import (
    Accepted,
    Cancel,
    Cancelled,
    CancelRejected,
    MassCancel,
    MassCancelled,
    New,
    OrdType,
    Replace,
    Replaced,
    Reset,
    Smp,
    Status,
    Trade,
)
from matchmark.conformance.targets.base import TargetInfo

Moment = TradeSeen | EndSeen | Step | Publication


class Books(dict[str, ObservedBook]):
    """Made as they are asked for: a target may list many symbols that a history never touches."""

    def __missing__(self, sym: str) -> ObservedBook:
        book = self[sym] = ObservedBook()
        return book


class Observed:
    """Everything an outsider knows after the exchanges replayed so far."""

    def __init__(self, info: TargetInfo) -> None:
        self.has = info.capabilities
        self.symbols = dict.fromkeys(info.instruments.symbols)
        self.price_max = info.instruments.price_max_ticks
        self.quantity_max = info.instruments.quantity_max_lots
        self.forget()

    def forget(self) -> None:
        self.books = Books()
        self.orders: dict[str, Seen] = {}
        self.refused: dict[str, str] = {}
        """ClOrdIDs of rejected orders, with the clause that is broken if one of them trades."""
        self.requests: set[str] = set()
        self.ids: dict[str, str] = {}
        """Order ids given so far, with the ClOrdID."""
        self.refusals: dict[str, list[tuple[int, str, str]]] = {"unknown": [], "stranger": []}
        """Refused cancels of unknown and of strangers' orders: index, event, reason without ids and numbers."""
        self.suspect: set[str] = set()
        """Symbols in which something went wrong: their book is no longer known for certain."""
        self._counter = itertools.count()

    # --- questions ---

    def owns(self, acct: str, order: Seen) -> bool:
        return order.acct == acct or "accounts" not in self.has

    def demand_if(self, capability: str, clause: str, why: str) -> Demand:
        """A refusal that only a target with that capability owes."""
        return Demand(Kind.REFUSE if capability in self.has else Kind.EITHER, clause, why)

    def keeps_place(self, c: Replace, order: Seen) -> bool:
        """Rule 6 of the engine rules; a target without replace_priority always puts the order at the back."""
        same_price = c.new_px is None or c.new_px == order.px
        return same_price and (c.new_qty is None or c.new_qty <= order.qty) and "replace_priority" in self.has

    def _order_of(self, c: New) -> Seen:
        px = c.px if c.type == OrdType.LIMIT else None
        return Seen(next(self._counter), c.cl, c.acct, c.sym, c.side, c.type, c.tif, c.smp, px, c.qty)

    # --- one exchange ---

    def replay(self, index: int, exchange: Exchange) -> Iterator[Moment]:
        """The moments of one exchange, each before it is taken into account; the Step last, after everything was."""
        command = exchange.command
        if isinstance(command, Reset):
            self.forget()
            return
        step = self._open(index, exchange)
        for event in exchange.events:
            if isinstance(event, Trade):
                trade = self._trade_seen(step, event)
                yield trade
                self._apply_trade(trade)
            elif isinstance(event, Cancelled):
                end = self._end_seen(step, event)
                yield end
                self._apply_end(end)
            elif isinstance(event, Replaced):
                self._apply_replaced(step, event)
        self._close(step)
        yield step
        yield Publication(step)
        self._remember(step)

    def _remember(self, step: Step) -> None:
        self.requests.add(step.command.cl)  # type: ignore[union-attr]
        for event in step.events:
            if isinstance(event, Accepted):
                self.ids.setdefault(event.id, event.cl)
            elif isinstance(event, CancelRejected) and isinstance(step.command, Cancel):
                self._remember_refusal(step, step.command, event)

    def _remember_refusal(self, step: Step, command: Cancel, event: CancelRejected) -> None:
        if command.sym not in self.symbols:
            return
        if step.subject is None:
            self.refusals["unknown"].append((step.index, show(event), _anonymous(event, command)))
        elif not self.owns(command.acct, step.subject):
            self.refusals["stranger"].append((step.index, show(event), _anonymous(event, command)))

    def _open(self, index: int, exchange: Exchange) -> Step:
        command = exchange.command
        order = self._order_of(command) if isinstance(command, New) else None
        crosses = order is not None and order.sym in self.symbols and self.books[order.sym].front_for(order) is not None
        step = Step(index, command, exchange.events, self, demand_of(command, self, crosses), order)
        step.crossed_on_arrival = crosses
        if isinstance(command, Cancel | Replace | Status):
            step.subject = subject = self.orders.get(command.orig)
            if subject is not None:
                step.before = Before(subject.px, subject.leaves, subject.cum, subject.over)
        symbols = [s for s in (self.symbols if command.sym is None else (command.sym,)) if s in self.symbols]  # type: ignore[union-attr]
        step.top_before = {s: self.books[s].top() for s in symbols} if "top" in self.has else {}
        step.book_was_crossed = len(symbols) == 1 and self.books[symbols[0]].is_crossed()
        return step

    # --- trades ---

    def _trade_seen(self, step: Step, event: Trade) -> TradeSeen:
        incoming = self._named(step, event.incoming)
        resting = self.orders.get(event.resting) or self._named(step, event.resting)
        fault = self._fault(step, event, resting, incoming)
        front = self._front(step)
        earlier = step.latest_of_pair.get(_pair(event))
        seen = TradeSeen(step, event, resting, incoming, fault, front, earlier)
        if resting is not None and incoming is not None:
            seen.full_lots = min(resting.leaves, incoming.leaves)
        return seen

    def _named(self, step: Step, cl: str) -> Seen | None:
        return step.order if step.order is not None and step.order.cl == cl else self.orders.get(cl)

    def _front(self, step: Step) -> Seen | None:
        order = step.order
        return self.books[order.sym].front_for(order) if order is not None and order.sym in self.symbols else None

    def _fault(self, step: Step, event: Trade, resting: Seen | None, incoming: Seen | None) -> str | None:
        if resting is None or incoming is None:
            return "unknown"
        if resting is incoming:
            return "self"
        if resting is step.order:
            return "swapped"
        if incoming is not step.order:
            return "foreign"
        if resting.sym != incoming.sym or event.sym != incoming.sym:
            return "symbol"
        if resting.over:
            return "over"
        if incoming.over:
            return "done"
        return "side" if resting.side == incoming.side else None

    def _apply_trade(self, t: TradeSeen) -> None:
        t.step.trades.append(t)
        t.step.latest_of_pair[_pair(t.event)] = t
        if t.repeats is not None and t.repeats.event.qty >= t.repeats.full_lots:
            return  # a second report of a fill that was complete
        qty = max(t.event.qty, 0)
        for order, is_resting in ((t.resting, True), (t.incoming, False)):
            if order is None or order.over:
                continue
            self._fill(order, min(qty, order.leaves))
            if is_resting:
                order.fills_resting += 1
            else:
                order.fills_incoming += 1

    def _fill(self, order: Seen, qty: int) -> None:
        if order.resting:
            self.books[order.sym].shrink(order, qty)
        else:
            order.leaves -= qty
        order.cum += qty
        if order.leaves == 0:
            self._finish(order, "was filled", "D02.6")

    def _finish(self, order: Seen, how: str, clause: str) -> None:
        if order.resting:
            self.books[order.sym].remove(order)
        order.end(how, clause)

    # --- cancelled ---

    def _end_seen(self, step: Step, event: Cancelled) -> EndSeen:
        order = self._named(step, event.cl)
        end = EndSeen(step, event, order, self._role(step, order), self._front(step))
        if order is not None:
            end.leaves, end.cum = order.leaves, order.cum
        return end

    def _role(self, step: Step, order: Seen | None) -> str:
        command = step.command
        if order is None:
            return "unknown"
        if order.over:
            return "over"
        if order is step.order:
            return "incoming"
        if isinstance(command, Cancel) and order is step.subject:
            return "subject"
        if isinstance(command, MassCancel):
            return "mass"
        if step.order is not None and step.order.smp == Smp.CANCEL_OLDEST:
            return "smp"
        return "bystander"

    def _apply_end(self, end: EndSeen) -> None:
        end.step.ends.append(end)
        order = end.order
        if order is None or order.over:
            return
        if end.role == "incoming":
            end.step.done_for = True
        how, clause = {
            "incoming": _end_of_incoming(order),
            "subject": ("was cancelled", "D04.6"),
            "mass": ("was cancelled by a mass cancel", "D04.6"),
            "smp": ("was cancelled to prevent a self-match", "D02.X11"),
        }.get(end.role, ("was reported as cancelled", "D04.6"))
        self._finish(order, how, clause)

    # --- replace ---

    def _apply_replaced(self, step: Step, event: Replaced) -> None:
        c, order = step.command, step.subject
        if not isinstance(c, Replace) or order is None or order.over or event.cl != c.cl or step.order is order:
            return
        keeps = self.keeps_place(c, order)
        leaves = max(order.leaves if c.new_qty is None else c.new_qty - order.cum, 0)
        if keeps and order.resting:
            self.books[order.sym].shrink(order, order.leaves - leaves)
            order.kept_place = True
        else:
            if order.resting:
                self.books[order.sym].remove(order)
            order.n = next(self._counter)
            order.leaves = leaves
            order.px = order.px if c.new_px is None else c.new_px
            order.fills_resting = order.fills_incoming = 0
            order.kept_place, order.lost_place = False, True
        self._rename(order, c.cl)
        order.smp = c.smp
        step.order = order
        step.crossed_on_arrival = not keeps and self.books[order.sym].front_for(order) is not None

    def _rename(self, order: Seen, cl: str) -> None:
        old = Seen(-1, order.cl, order.acct, order.sym, order.side, order.type, order.tif, None, order.px, 0, order.cum)
        old.end(f"was replaced by {cl}", "D04.X11")
        self.orders[order.cl] = old
        order.cl = cl
        self.orders[cl] = order

    # --- the end of the exchange ---

    def _close(self, step: Step) -> None:
        command = step.command
        if isinstance(command, New):
            self._close_new(step)
        elif isinstance(command, Replace) and step.order is not None:
            self._settle(step, step.order)
        elif isinstance(command, Cancel) and step.demand.kind is Kind.ACCEPT and not step.done_for:
            self._close_cancel(step)
        elif isinstance(command, MassCancel) and any(isinstance(e, MassCancelled) for e in step.events):
            step.overlooked = self.orders_of(command) if step.demand.kind is Kind.ACCEPT else []
            for order in step.overlooked:
                self._finish(order, "was due to a mass cancel", "D04.X14")

    def _close_new(self, step: Step) -> None:
        order = step.order
        assert order is not None
        for event in step.events:
            if isinstance(event, Accepted) and event.cl == order.cl:
                break
        else:
            if not order.fills_incoming:
                self.refused[order.cl] = step.demand.clause if step.demand.kind is Kind.REFUSE else "D01.X8"
                step.order = None
                return
        self.orders[order.cl] = order
        self.refused.pop(order.cl, None)
        self._settle(step, order)

    def _settle(self, step: Step, order: Seen) -> None:
        if order.over or order.resting:
            return
        if order.may_rest and order.sym in self.symbols and order.px is not None and order.leaves > 0:
            self.books[order.sym].add(order)
        else:
            step.unreported_lots = order.leaves
            order.end(*_end_of_incoming(order))

    def _close_cancel(self, step: Step) -> None:
        """A cancel that had to succeed: unless the target refused it, the order is gone, reported or not."""
        order = step.subject
        refused = any(isinstance(e, CancelRejected) for e in step.events)
        if order is not None and not order.over and not refused:
            self._finish(order, "was cancelled", "D04.6")

    def orders_of(self, command: MassCancel) -> list[Seen]:
        """The resting orders that a mass cancel is about."""
        books = self.books.values() if command.sym is None else (self.books[command.sym],)
        return [order for book in books for order in book.orders() if self.owns(command.acct, order)]


def _pair(event: Trade) -> tuple[str, str]:
    """The two orders of a trade, whichever way round it names them."""
    return min(event.resting, event.incoming), max(event.resting, event.incoming)


def _anonymous(event: CancelRejected, command: Cancel) -> str:
    """The reason without what naturally differs between two requests: their ids, and any numbers."""
    reason = event.reason
    for name in (command.orig, command.cl, command.acct, command.sym):
        reason = reason.replace(name, "?")
    return re.sub(r"\d+", "#", reason)


def _end_of_incoming(order: Seen) -> tuple[str, str]:
    if order.is_market:
        return "was a market order and is over", "D02.X1"
    if order.is_ioc:
        return "was an IOC order and is over", "D08.7"
    if order.smp == Smp.CANCEL_NEWEST:
        return "was cancelled to prevent a self-match", "D02.X10"
    return "was reported as cancelled", "D04.6"
