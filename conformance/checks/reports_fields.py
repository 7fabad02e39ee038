"""One ExecutionReport: its fields agree with each other, with the request, and with the reports before it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

from matchmark.conformance.checks.finding import Finding
from matchmark.conformance.checks.reports_order import Order
from matchmark.conformance.checks.reports_read import OPEN
from matchmark.conformance.checks.reports_seen import ReportSeen, stream_rule

PENDING_CANCEL, PENDING_REPLACE = "6", "E"


@stream_rule("D02.X21", on=ReportSeen)
def a_report_has_the_fields_that_it_needs(seen: ReportSeen) -> Iterator[Finding]:
    if seen.report.faults:
        yield seen.breaks("D02.X21", f"the ExecutionReport cannot be relied on: {'; '.join(seen.report.faults)}")


@stream_rule("D02.X21", "D03.X10", "D08.X20", on=ReportSeen)
def quantities_of_one_report_agree(seen: ReportSeen) -> Iterator[Finding]:
    """OrderQty = CumQty + LeavesQty while the order is open; a finished one has nothing left."""
    r, order = seen.report, seen.order
    if not seen.counts:
        return
    clause = _clause(seen)
    qty = _order_qty(seen)
    if qty is not None and r.qty is not None and r.qty != qty:
        yield seen.breaks(clause, f"the order is for {qty} and OrderQty says {r.qty}", f"38={qty}")
    if min(r.cum, r.leaves) < 0:
        yield seen.breaks(clause, "a quantity is negative", "14 and 151 of 0 or more")
        return
    expected: Decimal | None = Decimal(0)
    if r.status in OPEN and order is not None:
        expected = None if qty is None else qty - r.cum
    if expected is not None and r.leaves != expected:
        yield seen.breaks(
            clause, f"CumQty is {r.cum} of {qty}, so LeavesQty is {expected} and not {r.leaves}", f"151={expected}"
        )
    elif order is not None and r.status == "2" and qty is not None and r.cum != qty:
        yield seen.breaks(clause, f"OrdStatus is filled and CumQty {r.cum} of {qty}", f"14={qty}")


@stream_rule("D02.X21", "D02.X4", "D03.X10", "D08.X20", on=ReportSeen)
def the_cumulative_quantity_follows_from_the_reports_before(seen: ReportSeen) -> Iterator[Finding]:
    r, order = seen.report, seen.order
    if not seen.counts or (order.broken if order is not None else r.exec_type not in ("8", "I")):
        return
    before = order.cum if order is not None else Decimal(0)
    expected = before + (r.last_qty if r.is_trade else 0)
    if r.cum == expected:
        return
    message = f"{r.cl} had {before} executed"
    if r.is_trade and r.cum == before:
        yield seen.breaks(
            "D02.X4",
            f"{message}, and this fill of {r.last_qty} leaves it at {r.cum}: it is not counted, or was told before",
            f"14={expected}",
        )
    elif r.is_trade:
        yield seen.breaks(
            "D02.X4",
            f"{message}, this fill is of {r.last_qty}, and CumQty is {r.cum}: a fill was left out, repeated or is out of order",
            f"14={expected}",
        )
    else:
        yield seen.breaks(_clause(seen), f"{message}, this report is no fill, and CumQty is {r.cum}", f"14={expected}")


@stream_rule("D02.X21", "D03.X10", "D08.X20", on=ReportSeen)
def the_status_is_the_one_that_the_quantities_give(seen: ReportSeen) -> Iterator[Finding]:
    r, order = seen.report, seen.order
    if not seen.counts:
        return
    allowed = _statuses(seen, order)
    if r.status not in allowed:
        because = f"ExecType is {r.exec_type}, CumQty {r.cum} and LeavesQty {r.leaves}"
        yield seen.breaks(
            _clause(seen), f"{because}, so OrdStatus is not {r.status}", f"39={' or '.join(sorted(allowed))}"
        )


def _statuses(seen: ReportSeen, order: Order | None) -> set[str]:
    r = seen.report
    fixed = {"0": {"0"}, "A": {"A"}, "4": {"4"}, "8": {"8"}, "6": {"6"}, "E": {"E"}}
    if r.exec_type in fixed:
        return fixed[r.exec_type]
    if r.exec_type == "I" and (order is None or not order.is_open):
        return {order.status if order is not None and order.acknowledged else "8"}
    found = {"2" if r.leaves == 0 else "1" if r.cum > 0 else "0"}
    for request in (
        seen.seen.asked(order) if order is not None else ()
    ):  # what waits for its answer outranks what was filled
        found.add(PENDING_CANCEL if request.kind == "F" else PENDING_REPLACE)
    return found


@stream_rule("D02.X21", on=ReportSeen)
def last_quantity_and_price_are_those_of_a_fill(seen: ReportSeen) -> Iterator[Finding]:
    r = seen.report
    if not seen.counts:
        return
    if r.is_trade and (r.last_qty <= 0 or r.last_px <= 0):
        yield seen.breaks("D02.X21", "a fill of nothing, or at no price", "32 and 31 above 0")
    elif not r.is_trade and r.last_qty != 0:
        yield seen.breaks("D02.X21", f"ExecType {r.exec_type} is no fill and LastQty is {r.last_qty}", "no 32")
    instrument = seen.seen.market.instruments.get(r.symbol or "")
    if r.is_trade and instrument is not None and (r.last_px % instrument.tick_size or r.last_qty % instrument.lot_size):
        yield seen.breaks("D02.X21", f"{r.last_qty} at {r.last_px} is not in whole lots and ticks of {r.symbol}")


@stream_rule("D07.X20", on=ReportSeen)
def the_average_price_is_that_of_the_fills(seen: ReportSeen) -> Iterator[Finding]:
    r, order = seen.report, seen.order
    if not seen.counts or (order is not None and order.broken):
        return
    qty, value = Fraction(order.cum) if order else Fraction(0), order.value if order else Fraction(0)
    if r.is_trade:
        qty, value = qty + Fraction(r.last_qty), value + Fraction(r.last_px) * Fraction(r.last_qty)
    exact = value / qty if qty > 0 else Fraction(0)
    decimals = seen.seen.market.average_decimals
    if abs(Fraction(r.average) - exact) * 2 * 10**decimals > 1:
        shown = f"{float(exact):.{decimals}f}"
        yield seen.breaks("D07.X20", f"the fills so far average {shown} and AvgPx is {r.average}", f"6={shown}")


@stream_rule("D01.X1", on=ReportSeen)
def no_fill_is_worse_than_the_limit(seen: ReportSeen) -> Iterator[Finding]:
    r, order = seen.report, seen.order
    if r.is_trade and order is not None and not r.faults and not order.within(r.last_px):
        yield seen.breaks(
            "D01.X1", f"{order.cl} has the limit {order.price} and traded at {r.last_px}", "a price within the limit"
        )


@stream_rule("D01.1", on=ReportSeen)
def a_report_says_what_was_sent(seen: ReportSeen) -> Iterator[Finding]:
    """Side, symbol, price and quantity; those that a report may leave out are compared when they are there."""
    r, order, request = seen.report, seen.order, seen.request
    sent = (
        request
        if request is not None and request.kind in "DG" and order is not None
        else order.request
        if order
        else request
    )
    if sent is None or sent.kind not in "DG":
        return
    m = r.said.message
    price = sent.price if sent is request or order is None else order.price
    named = order.request if order is not None else sent
    wanted = [(55, named.symbol), (54, named.side)]
    for tag, value in wanted:
        told = m.get(tag)
        if told != value and not (told is None and r.exec_type in ("8", "I")):
            yield seen.breaks(
                "D01.1", f"{sent.name} was sent with {tag}={value}, the report says {tag}={told}", f"{tag}={value}"
            )
    told = m.get(44)
    if sent.type == "2" and told is not None and price is not None and r.exec_type != "8" and _differs(told, price):
        yield seen.breaks("D01.1", f"{sent.name} was sent with 44={price}, the report says 44={told}", f"44={price}")
    qty = _order_qty(seen) if seen.counts and r.exec_type not in ("8", "I") else None
    if None not in (qty, r.qty) and r.qty != qty:
        yield seen.breaks("D01.1", f"{sent.name} is for 38={qty}, the report says 38={r.qty}", f"38={qty}")
    for tag, value in ((40, sent.type), (59, sent.tif)):
        told = m.get(tag)
        if told is not None and r.exec_type not in ("8", "I") and sent.kind == "D" and told != value:
            yield seen.breaks(
                "D01.1", f"{sent.name} was sent with {tag}={value}, the report says {tag}={told}", f"{tag}={value}"
            )


def _differs(told: str, price: Decimal) -> bool:
    try:
        return Decimal(told) != price
    except ArithmeticError:
        return True


def _order_qty(seen: ReportSeen) -> Decimal | None:
    """OrderQty as it must stand in this report."""
    r, order, request = seen.report, seen.order, seen.request
    if r.exec_type == "5" and request is not None and request.kind == "G" and request.qty is not None:
        return request.qty
    if order is not None:
        return order.qty
    return request.qty if request is not None and request.kind == "D" else None


def _clause(seen: ReportSeen) -> str:
    """The end of a remainder and the answer to a status request have clauses of their own."""
    if seen.report.exec_type == "I":
        return "D03.X10"
    order, request = seen.order, seen.request
    ends = seen.report.exec_type == "4" and request is None and order is not None
    return "D08.X20" if ends and order is not None and (order.is_ioc or order.is_market) else "D02.X21"
