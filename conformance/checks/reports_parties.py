"""Executions and orders across sessions: ids that name one thing, and reports that reach their party and nobody else."""

from __future__ import annotations

import re
from collections.abc import Iterator

from matchmark.conformance.checks.finding import Finding
from matchmark.conformance.checks.reports_read import UNKNOWN, Report
from matchmark.conformance.checks.reports_seen import RefusalSeen, ReportSeen, stream_rule

_SPEAKING = frozenset((1, 11, 37, 41, 58, 109, 198, 337, 375, 437, 439, 440, 448, 523, 526, 527, 583))
"""Fields whose text could name somebody."""


@stream_rule("D02.X20", on=ReportSeen)
def an_execution_id_names_one_execution(seen: ReportSeen) -> Iterator[Finding]:
    """The two sides of a trade may share it, agreeing in price and quantity; nothing else may."""
    r = seen.report
    if r.exec_type == "I" or r.faults:
        return  # the answer to a status request is no execution; FIX has it carry 0
    earlier = seen.seen.executions.get(r.exec_id, ())
    if not earlier or (len(earlier) == 1 and _two_sides(r, earlier[0])):
        return
    first = earlier[0]
    if len(earlier) == 1 and r.is_trade and first.is_trade and (r.symbol, r.side) != (first.symbol, first.side):
        message = f"{first.account} was told {_deal(first)} under ExecID {r.exec_id}, {r.account} {_deal(r)}"
        yield seen.breaks("D02.X20", message, f"31={first.last_px}|32={first.last_qty}")
        return
    yield seen.breaks(
        "D02.X20",
        f"ExecID {r.exec_id} was used before, for a report about {first.cl} to {first.account}",
        "a new ExecID",
    )


def _two_sides(a: Report, b: Report) -> bool:
    same = (a.symbol, a.last_px, a.last_qty) == (b.symbol, b.last_px, b.last_qty)
    return a.is_trade and b.is_trade and same and a.side != b.side


def _deal(r: Report) -> str:
    return f"{r.last_qty} of {r.symbol} at {r.last_px}"


@stream_rule("D01.8", "D03.N3", on=ReportSeen)
def an_order_id_names_one_order_for_its_whole_life(seen: ReportSeen) -> Iterator[Finding]:
    r, order = seen.report, seen.order
    if order is None or r.faults or r.exec_type in ("8", "I"):
        if order is not None and r.exec_type == "I" and order.order_id not in ("", r.order_id):
            yield seen.breaks(
                "D03.N3",
                f"{order.cl} is order {order.order_id}, the report calls it {r.order_id}",
                f"37={order.order_id}",
            )
        return
    if order.order_id and r.order_id != order.order_id:
        yield seen.breaks(
            "D03.N3", f"{order.cl} is order {order.order_id}, the report calls it {r.order_id}", f"37={order.order_id}"
        )
    elif not order.order_id and (r.order_id == UNKNOWN or r.order_id in seen.seen.by_id):
        other = seen.seen.by_id.get(r.order_id)
        whose = f"which is order {other.cl} of {other.account}" if other else "which is no id"
        yield seen.breaks("D01.8", f"{order.cl} has the order id {r.order_id}, {whose}", "an order id of its own")


@stream_rule("D03.N3", on=ReportSeen)
def a_report_uses_the_name_that_is_in_force(seen: ReportSeen) -> Iterator[Finding]:
    """After a replace the order is known by the new ClOrdID, which is chained to the old one."""
    r, order, request = seen.report, seen.order, seen.request
    if order is None or r.faults:
        return
    if r.exec_type == "5":
        if request is None or request.kind != "G":
            yield seen.breaks(
                "D03.N3", f"{order.cl} is reported as replaced, and no replace of it is open", "no such report"
            )
        elif r.orig != request.orig:
            yield seen.breaks(
                "D03.N3", f"{r.cl} replaces {request.orig}, and OrigClOrdID is {r.orig}", f"41={request.orig}"
            )
    elif r.is_trade and r.cl != order.cl:
        yield seen.breaks("D03.N3", f"the order is known as {order.cl}, and the fill calls it {r.cl}", f"11={order.cl}")


@stream_rule("D01.X32", "D01.X8", on=ReportSeen)
def a_report_is_about_an_order_of_its_account(seen: ReportSeen) -> Iterator[Finding]:
    r = seen.report
    told = r.said.message.get(1)
    if told is not None and told != r.account:
        yield seen.breaks("D01.X32", f"{r.account} was sent a report about account {told}", f"1={r.account}")
        return
    if seen.order is not None or seen.request is not None:
        return
    owner = seen.seen.by_id.get(r.order_id)
    if owner is not None and owner.account != r.account:
        yield seen.breaks(
            "D01.X32", f"{r.account} was sent a report about order {owner.cl} of {owner.account}", "no such report"
        )
    elif others := [name for name, a in seen.seen.accounts.items() if name != r.account and r.cl in a.requests]:
        yield seen.breaks(
            "D01.X32",
            f"{r.cl} is {' or '.join(others)}'s, and {r.account} was sent a report about it",
            "no such report",
        )
    else:
        yield seen.breaks(
            "D01.X8", f"{r.account} has no order or request {r.cl!r} that waits for such a report", "no such report"
        )


@stream_rule("D01.X32", on=ReportSeen)
def a_report_names_no_stranger(seen: ReportSeen) -> Iterator[Finding]:
    yield from _strangers(seen, seen.report.account)


@stream_rule("D01.X32", on=RefusalSeen)
def a_refusal_names_no_stranger(seen: RefusalSeen) -> Iterator[Finding]:
    yield from _strangers(seen, seen.account)


def _strangers(seen: ReportSeen | RefusalSeen, account: str) -> Iterator[Finding]:
    """No field tells one account of another: its name, its sessions, its ClOrdIDs."""
    said = seen.report.said if isinstance(seen, ReportSeen) else seen.said
    mine = seen.seen.account(account).requests.keys() | seen.seen.account(account).asked.keys()
    others = seen.seen.accounts.keys() - {account}
    sessions = {s: other for other in others for s in seen.seen.sessions_of(other)}
    for tag, value in said.message.pairs:
        if tag not in _SPEAKING or (tag == 1 and isinstance(seen, ReportSeen)):
            continue
        for other in others:
            if value == other or (tag == 58 and len(other) > 2 and re.search(rf"\b{re.escape(other)}\b", value)):
                yield seen.breaks(
                    "D01.X32", f"field {tag} tells {account} of the account {other}", "nothing about others"
                )
            elif value in sessions:
                yield seen.breaks(
                    "D01.X32", f"field {tag} tells {account} of a session of {sessions[value]}", "nothing about others"
                )
            elif (
                tag not in (11, 37, 58)
                and len(value) > 3
                and value not in mine
                and value in seen.seen.accounts[other].requests
            ):
                yield seen.breaks(
                    "D01.X32", f"field {tag} tells {account} the ClOrdID {value} of {other}", "nothing about others"
                )
