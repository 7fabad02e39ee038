"""Requests and their answers: each has one, in the order in which they were sent, under the right ids, and it tells the truth."""

from __future__ import annotations

from collections.abc import Iterator

from matchmark.conformance.checks.finding import Finding
from matchmark.conformance.checks.reports_order import Order
from matchmark.conformance.checks.reports_read import NAMES, UNKNOWN
from matchmark.conformance.checks.reports_seen import MassCancelSeen, RefusalSeen, ReportSeen, stream_rule

_OVER = {"2": "is filled", "4": "is cancelled", "8": "was rejected", "C": "has expired"}


@stream_rule("D01.8", on=ReportSeen)
def an_order_is_acknowledged_once_and_first(seen: ReportSeen) -> Iterator[Finding]:
    r, order = seen.report, seen.order
    if r.exec_type == "0" and order is not None and order.acknowledged and order.status != "A":
        yield seen.breaks("D01.8", f"{order.cl} is acknowledged a second time", "one acknowledgement")
    elif order is not None and not order.acknowledged and r.exec_type not in ("0", "A"):
        yield seen.breaks("D01.8", f"{order.cl} has not been acknowledged, and this is reported of it", "150=0")


@stream_rule("D02.6", "D02.X1", "D04.6", "D04.8", "D04.X21", "D08.7", "D08.X2", "D07.6", on=ReportSeen)
def an_order_that_is_over_has_no_more_reports(seen: ReportSeen) -> Iterator[Finding]:
    r, order = seen.report, seen.order
    if order is None or order.is_open or not order.acknowledged or r.exec_type in ("0", "8", "I") or r.faults:
        return
    how = _OVER.get(order.status, "is over")
    if r.is_trade:
        clause = "D08.7" if order.is_ioc else "D02.X1" if order.is_market else "D04.6"
        clause = "D02.6" if order.status == "2" else clause
        yield seen.breaks(clause, f"{order.cl} {how}, yet it is reported to trade", "no such report")
    elif r.exec_type == "4" and order.status == "2":
        remainder = seen.request is None
        clause = "D08.X2" if remainder and order.is_ioc else "D07.6" if remainder and order.is_market else "D04.X21"
        yield seen.breaks(clause, f"{order.cl} {how}: nothing of it is left to cancel", "no such report")
    else:
        yield seen.breaks("D04.8", f"{order.cl} {how}, and this is reported of it", "no such report")


@stream_rule("D04.1", "D08.X20", on=ReportSeen)
def the_end_of_an_order_has_the_right_ids(seen: ReportSeen) -> Iterator[Finding]:
    """A cancel that was asked for: the request's ClOrdID, and the order's as OrigClOrdID. One that was not: the order's own."""
    r, order, request = seen.report, seen.order, seen.request
    if r.exec_type != "4" or order is None or r.faults:
        return
    if request is not None and request.kind == "F":
        if r.orig != request.orig:
            yield seen.breaks(
                "D04.1", f"{r.cl} asked to cancel {request.orig}, and OrigClOrdID is {r.orig}", f"41={request.orig}"
            )
    elif (
        order.is_open
        and r.cl == order.cl
        and order.may_rest
        and (asked := seen.seen.asked(order))
        and not _mass(seen, order)
    ):
        cancel = next((x for x in asked if x.kind == "F"), None)
        if cancel is not None:
            yield seen.breaks(
                "D04.1",
                f"the cancel {cancel.cl} of {order.cl} is answered under the order's own ClOrdID",
                f"11={cancel.cl}|41={order.cl}",
            )
    elif not order.may_rest and r.cl == order.cl and r.orig not in (None, order.cl):
        yield seen.breaks("D08.X20", f"nobody asked to cancel {order.cl}, and OrigClOrdID is {r.orig}", "no 41")
    elif not order.may_rest and r.cl != order.cl and not _mass(seen, order):
        yield seen.breaks("D08.X20", f"the remainder of {order.cl} is ended under another ClOrdID", f"11={order.cl}")


@stream_rule("D01.6", "D03.6", on=ReportSeen)
def nobody_but_its_owner_ends_a_resting_order(seen: ReportSeen) -> Iterator[Finding]:
    r, order = seen.report, seen.order
    if r.exec_type not in ("4", "C") or order is None or not order.may_rest or not order.is_open or r.faults:
        return
    if seen.request is None and not seen.seen.asked(order) and not _mass(seen, order) and not seen.seen.left(order):
        clause = "D03.6" if order.cum else "D01.6"
        yield seen.breaks(
            clause, f"nobody asked to cancel {order.cl}, a day limit order with {order.leaves} left", "no such report"
        )


def _mass(seen: ReportSeen, order: Order) -> bool:
    """A mass cancel of the account may be behind it. That request's answer may come first."""
    requests = seen.seen.account(order.account).mass
    return any(r.said.at_ns >= order.request.said.at_ns for r in requests)


@stream_rule("D01.X33", on=ReportSeen)
def what_a_session_asked_is_decided_in_its_order(seen: ReportSeen) -> Iterator[Finding]:
    """Acceptances by the engine; a refusal may come from a check before it."""
    r, request = seen.report, seen.request
    if request is None or request.again or r.exec_type not in ("0", "4", "5") or request.said.session != r.said.session:
        return
    latest = seen.seen.decided.get(r.said.session, 0)
    if request.kind in "DFG" and request.n < latest:
        yield seen.breaks(
            "D01.X33",
            f"{request.name} was sent before another request of this session that is answered already",
            "answers in the order of the requests",
        )


@stream_rule("D01.X8", on=ReportSeen)
def a_request_is_answered_once(seen: ReportSeen) -> Iterator[Finding]:
    r, request = seen.report, seen.request
    if seen.order is None and request is None:
        return  # about nothing that is known: reports_parties.py
    again = (request is None and r.exec_type in ("5", "8")) or (request is not None and request.answered is not None)
    if again and not r.faults:
        name = request.name if request is not None else r.cl
        yield seen.breaks("D01.X8", f"{name} is answered a second time", "one answer")


@stream_rule("D03.X10", on=ReportSeen)
def a_status_request_is_answered_once(seen: ReportSeen) -> Iterator[Finding]:
    r = seen.report
    if r.exec_type == "I" and seen.request is None and not r.faults:
        asked = [x for x in seen.seen.account(r.account).requests.get(r.cl, ()) if x.kind == "H"]
        if asked:
            yield seen.breaks("D03.X10", f"{asked[-1].name} is answered a second time", "one answer")


@stream_rule("D01.X8", on=MassCancelSeen)
def a_mass_cancel_is_answered_once(seen: MassCancelSeen) -> Iterator[Finding]:
    if seen.request is None:
        cl = seen.said.message.get(11)
        yield seen.breaks(
            "D01.X8", f"{seen.account} has no mass cancel {cl!r} that waits for an answer", "no such message"
        )


# --- OrderCancelReject ---


@stream_rule("D04.1", "D01.X8", on=RefusalSeen)
def a_refusal_answers_a_cancel_or_replace_under_both_ids(seen: RefusalSeen) -> Iterator[Finding]:
    m, request = seen.said.message, seen.request
    if request is None:
        yield seen.breaks("D01.X8", f"{seen.account} sent no cancel or replace {m.get(11)!r}", "no such message")
    elif request.answered is not None:
        yield seen.breaks("D01.X8", f"{request.name} is answered a second time", "one answer")
    elif m.get(41) != request.orig:
        yield seen.breaks(
            "D04.1", f"{request.name} is about {request.orig}, and OrigClOrdID is {m.get(41)}", f"41={request.orig}"
        )


@stream_rule("D04.X20", on=RefusalSeen)
def a_refusal_says_to_what_and_why(seen: RefusalSeen) -> Iterator[Finding]:
    m, request = seen.said.message, seen.request
    if request is None:
        return
    wanted = "1" if request.kind == "F" else "2"
    if m.get(434) != wanted:
        yield seen.breaks(
            "D04.X20", f"the refusal of an {NAMES[request.kind]} has CxlRejResponseTo {m.get(434)}", f"434={wanted}"
        )
    if not m.get(102):
        yield seen.breaks("D04.X20", "the refusal has no CxlRejReason", "102")


@stream_rule("D04.X20", on=RefusalSeen)
def a_refusal_tells_the_owner_the_truth_and_a_stranger_nothing(seen: RefusalSeen) -> Iterator[Finding]:
    m, order = seen.said.message, seen.order
    order_id, status = m.get(37), m.get(39)
    if seen.request is None or (order is not None and order.broken):
        return
    if order is None:
        if (order_id, status) != (UNKNOWN, "8"):
            yield seen.breaks(
                "D04.X20",
                f"{seen.request.orig} is no order of {seen.account}, and the refusal says {order_id}, status {status}",
                f"37={UNKNOWN}|39=8",
            )
        return
    if order_id != order.order_id:
        yield seen.breaks(
            "D04.X20",
            f"{order.cl} is order {order.order_id}, and the refusal calls it {order_id}",
            f"37={order.order_id}",
        )
    allowed = {order.status}
    if seen.request.orig != order.cl:
        allowed |= {"4", "5"}  # the name is over, whatever the order is
    if order.is_open:
        others = [x for x in seen.seen.asked(order) if x is not seen.request]
        allowed |= {"6" if x.kind == "F" else "E" for x in others}
    if status not in allowed and order.session == seen.said.session:
        yield seen.breaks(
            "D04.X20",
            f"OrdStatus of {order.cl} is {' or '.join(sorted(allowed))} by its reports, and the refusal says {status}",
            f"39={sorted(allowed)[0]}",
        )
