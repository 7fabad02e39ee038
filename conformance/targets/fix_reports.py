"""What reports say, as events; and whether what they say of an order agrees with what was said of it before.

A report that contradicts the earlier ones, repeats one, leaves one out or reached the wrong session is a StreamFault of the
clause that forbids it. What an order may do in the book is not judged here: that is for the checks over the History.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matchmark.conformance.fix.message import FixFault, FixMessage, show_raw
from matchmark.conformance.messages import (
    Accepted,
    Cancelled,
    CancelRejected,
    Event,
    MassCancelled,
    Rejected,
    Replaced,
    State,
    StatusReport,
)
from matchmark.conformance.targets.base import StreamFault, TargetGarbled
from matchmark.conformance.targets.fix_orders import SIDES, Book, Order

ONCE, TO_BOTH, AGREE, NUMBERS, WRONG_PARTY, PHANTOM = "D02.X4", "D02.8", "D02.X20", "D02.X21", "D01.X32", "D01.X8"
AS_SENT, SAME_ID, WALK_ORDER, IOC_END = "D01.1", "D03.N3", "D03.8", "D08.X20"

PENDING = frozenset("A6E")
"""ExecTypes that say that something will be decided: no event."""
ENDED = frozenset("4C3")
STATES = {
    "0": State.NEW,
    "1": State.PARTIALLY_FILLED,
    "2": State.FILLED,
    "4": State.CANCELLED,
    "C": State.CANCELLED,
    "3": State.CANCELLED,
    "5": State.NEW,
    "8": State.UNKNOWN,
}


@dataclass(slots=True, eq=False)
class Half:
    """One side's report of an execution."""

    order: Order
    px: int
    qty: int
    message: FixMessage
    gap: int = 0
    """Lots that CumQty says were executed before it and no report told of."""


Said = Event | Half


class Reports:
    """Reads the reports of one example."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._exec_ids: dict[tuple[str, str], int] = {}

    def read(self, account: str, m: FixMessage, asked: str | None) -> Said | None:
        """What an ExecutionReport, OrderCancelReject or OrderMassCancelReport says; None for what says nothing new.

        `asked` is the suite's ClOrdID of the status request under way on that session.
        """
        f = m.first
        try:
            if m.type == "9":
                return CancelRejected(self._book.suite(f[11]), reason_of(f, 102))
            if m.type == "r":
                if f.get(531) == "0":
                    return CancelRejected(self._book.suite(f[11]), reason_of(f, 532))
                return MassCancelled(self._book.suite(f[11]), int(f[533]))
            return self._execution(account, m, f, asked)
        except KeyError as missing:
            raise StreamFault(
                NUMBERS, f"a report lacks field {missing}", [f"field {missing}"], [show_raw(m.raw)]
            ) from None
        except (FixFault, ValueError) as error:
            raise StreamFault(
                NUMBERS, f"a report cannot be understood: {error}", ["whole ticks and lots"], [show_raw(m.raw)]
            ) from None

    def _execution(self, account: str, m: FixMessage, f: Mapping[int, str], asked: str | None) -> Said | None:
        kind, wire = f[150], f[11]
        if kind in PENDING:
            return None
        named = f.get(41, wire) if kind in ENDED or kind == "5" else wire
        order = self._book.orders.get(named)
        if (
            order is not None and order.account != account and kind != "I"
        ):  # who asks for a stranger's order is answered
            raise StreamFault(
                WRONG_PARTY,
                f"a report about an order of {order.account} came to {account}",
                [f"reports about orders of {account} alone"],
                [show_raw(m.raw)],
            )
        if kind == "F":
            return self._fill(order, m, f)
        if kind == "8":
            return Rejected(self._book.suite(wire), reason_of(f, 103))
        if kind == "I":
            return self._status(wire, f, order, asked)
        if kind not in ENDED and kind not in "05":
            raise TargetGarbled(f"ExecType {kind!r} is none that this kit reads: {show_raw(m.raw)}")
        if order is None:
            return _of_nobody(self._book, kind, wire, named, f)
        if kind == "0":
            return self._accepted(order, m, f)
        return self._replaced(order, m, f) if kind == "5" else self._ended(order, m, f)

    # --- each kind ---

    def _accepted(self, order: Order, m: FixMessage, f: Mapping[int, str]) -> Event:
        if not order.order_id:
            self._same(order, m, f, {54: SIDES.get(order.side, order.side), 38: self._qty(order, order.qty)})
            order.order_id, order.live = f[37], True
            if order.tif == "ioc" or order.px is None:
                order.live = False
        return Accepted(order.cl, f[37])

    def _fill(self, order: Order | None, m: FixMessage, f: Mapping[int, str]) -> Said:
        instrument = self._book.instrument(order.sym) if order else None
        if order is None or instrument is None:
            raise StreamFault(
                PHANTOM,
                f"an execution names {f[11]}, which was never sent",
                ["executions of orders sent"],
                [show_raw(m.raw)],
            )
        qty, px = instrument.lots(f[32]), instrument.ticks(f[31])
        cum, leaves = instrument.lots(f[14]), instrument.lots(f[151])
        self._same(order, m, f, {54: SIDES.get(order.side, order.side), 38: self._qty(order, order.qty)})
        self._once(order, m, f, qty, cum, leaves)
        expected = (order.cum + qty, order.qty - order.cum - qty)
        gap = max(cum - expected[0], 0) if cum + leaves == order.qty else 0
        if (cum, leaves) != expected and not gap:
            said = f"OrderQty {order.qty}, CumQty {order.cum} before, LastQty {qty}"
            raise StreamFault(
                NUMBERS,
                f"the numbers of an execution of {order.cl} do not follow from those before ({said})",
                [f"CumQty {expected[0]}, LeavesQty {expected[1]}"],
                [f"CumQty {cum}, LeavesQty {leaves}", show_raw(m.raw)],
            )
        status = "2" if leaves == 0 else "1"
        if f[39] != status:
            raise StreamFault(
                NUMBERS, f"OrdStatus of {order.cl} after a fill", [f"39={status}"], [f"39={f[39]}", show_raw(m.raw)]
            )
        order.cum = cum
        order.live = order.live and leaves > 0
        return Half(order, px, qty, m, gap)

    def _once(self, order: Order, m: FixMessage, f: Mapping[int, str], qty: int, cum: int, leaves: int) -> None:
        """An execution that was reported before, or one that is missing before this one."""
        key = (order.order_id or order.wire, f[17])
        before = self._exec_ids.get(key)
        if before == cum or (cum == order.cum and cum > 0 and cum + leaves == order.qty):
            raise StreamFault(ONCE, f"an execution of {order.cl} was reported twice", ["each once"], [show_raw(m.raw)])
        if before is not None:
            raise StreamFault(
                AGREE, f"ExecID {f[17]} stands for two executions of {order.cl}", ["an id each"], [show_raw(m.raw)]
            )
        self._exec_ids[key] = cum

    def _ended(self, order: Order, m: FixMessage, f: Mapping[int, str]) -> Event:
        instrument = self._book.instrument(order.sym)
        cum, leaves = instrument.lots(f[14]), instrument.lots(f[151])
        total = instrument.lots(f[38]) if 38 in f else order.qty
        if leaves != 0 or cum != order.cum:
            unasked = 41 not in f and order.tif == "ioc"
            raise StreamFault(
                IOC_END if unasked else NUMBERS,
                f"the report that ends {order.cl} does not follow from those before",
                [f"LeavesQty 0, CumQty {order.cum}"],
                [f"LeavesQty {leaves}, CumQty {cum}", show_raw(m.raw)],
            )
        self._same(order, m, f, {54: SIDES.get(order.side, order.side)})
        order.live = False
        return Cancelled(order.cl, total - cum, cum, reason_of(f, 378) or "cancelled")

    def _replaced(self, order: Order, m: FixMessage, f: Mapping[int, str]) -> Event:
        instrument = self._book.instrument(order.sym)
        px, leaves, cum = instrument.ticks(f[44]), instrument.lots(f[151]), instrument.lots(f[14])
        cl = self._book.suite(f[11])
        if cum != order.cum:
            raise StreamFault(
                NUMBERS,
                f"CumQty of {order.cl} when it was replaced",
                [f"CumQty {order.cum}"],
                [f"CumQty {cum}", show_raw(m.raw)],
            )
        self._same(order, m, f, {54: SIDES.get(order.side, order.side)})
        stays = px == order.px and leaves + cum <= order.qty
        rank = order.rank if stays else self._book.next_rank()
        new = Order(cl, f[11], order.account, order.sym, order.side, "limit", "day", px, leaves + cum, rank, cum)
        new.order_id, new.live, order.live = order.order_id, leaves > 0, False
        self._book.orders[f[11]] = new
        return Replaced(cl, order.cl, px, leaves, cum)

    def _status(self, wire: str, f: Mapping[int, str], order: Order | None, asked: str | None) -> Event:
        instrument = self._book.instrument(order.sym) if order else None
        lots = instrument.lots if instrument else int
        state = STATES.get(f[39], State.UNKNOWN)
        cum = lots(f[14])
        if f[39] in "05" and cum:
            state = State.PARTIALLY_FILLED
        return StatusReport(asked or "?", self._book.suite(wire), state, lots(f[151]), cum)

    # --- what must be as it was ---

    def _qty(self, order: Order, lots: int) -> str:
        return self._book.instrument(order.sym).quantity(lots)

    def _same(self, order: Order, m: FixMessage, f: Mapping[int, str], wanted: Mapping[int, str]) -> None:
        symbol = self._book.instrument(order.sym).symbol
        for tag, value in {55: symbol, **wanted}.items():
            if tag in f and f[tag] != value and not _equal_numbers(f[tag], value):
                raise StreamFault(
                    AS_SENT,
                    f"a report says something else of {order.cl} than was sent",
                    [f"{tag}={value}"],
                    [f"{tag}={f[tag]}", show_raw(m.raw)],
                )
        if order.order_id and f[37] != order.order_id:
            raise StreamFault(
                SAME_ID,
                f"reports of {order.cl} carry two order ids",
                [f"37={order.order_id}"],
                [f"37={f[37]}", show_raw(m.raw)],
            )


def _equal_numbers(one: str, other: str) -> bool:
    """100 and 100.00 are the same quantity."""
    try:
        return float(one) == float(other)
    except ValueError:
        return False


def _of_nobody(book: Book, kind: str, wire: str, named: str, f: Mapping[int, str]) -> Event:
    """A report about an order that was never sent: an event of that name, for the checks to find."""
    if kind == "0":
        return Accepted(book.suite(wire), f[37])
    if kind == "5":
        return Replaced(book.suite(wire), book.suite(named), 0, 0, 0)
    return Cancelled(book.suite(named), 0, 0)


def reason_of(f: Mapping[int, str], code: int) -> str:
    """The text; else the code, which is a reason too."""
    return f.get(58) or (f"{code}={f[code]}" if code in f else "")


# --- two halves make a trade ---


def pair(trades: Sequence[Half], queues: Mapping[str, Sequence[Half]]) -> list[Order] | None:
    """For each trade of the incoming order, the resting order that it was with. None when the halves do not fit.

    A half fits a trade with its price and quantity, and each session's halves are used in their order. Where several fit,
    the order that came first at that price is taken, as the rules want it: the reports cannot tell.
    """
    lists = [list(queue) for queue in queues.values()]
    at = [0] * len(lists)
    if sum(map(len, lists)) != len(trades):
        return None
    chosen: list[int] = []
    options: list[deque[int]] = []
    dead: set[tuple[int, ...]] = set()
    while len(chosen) < len(trades):
        if len(options) == len(chosen):
            trade = trades[len(chosen)]
            fits = [n for n, halves in enumerate(lists) if at[n] < len(halves) and _fits(halves[at[n]], trade)]
            fits.sort(key=lambda n: lists[n][at[n]].order.rank)
            options.append(deque([] if tuple(at) in dead else fits))
        if options[-1]:
            n = options[-1].popleft()
            chosen.append(n)
            at[n] += 1
            continue
        dead.add(tuple(at))
        options.pop()
        if not chosen:
            return None
        at[chosen.pop()] -= 1
    at = [0] * len(lists)
    partners = []
    for n in chosen:
        partners.append(lists[n][at[n]].order)
        at[n] += 1
    return partners


def _fits(half: Half, trade: Half) -> bool:
    return (
        half.px == trade.px
        and half.qty == trade.qty
        and half.order.side != trade.order.side
        and half.order.sym == trade.order.sym
    )


def gap_fault(trades: Sequence[Half], queues: Mapping[str, Sequence[Half]]) -> StreamFault | None:
    """A CumQty that runs ahead: an execution was not told, or its LastQty is wrong. The other side's reports say which."""
    halves = [half for queue in queues.values() for half in queue]
    for half in (*trades, *halves):
        if half.gap:
            missing = len(trades) != len(halves)
            text = f"CumQty of {half.order.cl} says that {half.gap} lots were executed of which no report told"
            told = [f"LastQty {half.qty}", show_raw(half.message.raw)]
            return StreamFault(ONCE if missing else NUMBERS, text, ["CumQty is the sum of LastQty"], told)
    return None


def misfit(trades: Sequence[Half], queues: Mapping[str, Sequence[Half]]) -> StreamFault:
    """Why `pair` found nothing."""
    halves = [half for queue in queues.values() for half in queue]
    expected = [f"{t.order.cl}: {t.qty} at {t.px}" for t in trades]
    actual = [f"{h.order.cl}: {h.qty} at {h.px}" for h in halves]
    told, untold = len(trades), len(halves)
    if untold < told:
        return StreamFault(TO_BOTH, f"{told - untold} executions were not reported to the other side", expected, actual)
    if untold > told:
        text = f"{untold - told} executions were reported to the resting side and not to the incoming one"
        return StreamFault(TO_BOTH, text, expected, actual)
    if sorted((h.px, h.qty) for h in halves) == sorted((t.px, t.qty) for t in trades):
        return StreamFault(
            WALK_ORDER, "the two sides were told of their executions in different orders", expected, actual
        )
    return StreamFault(AGREE, "the two reports of an execution differ in price or quantity", expected, actual)
