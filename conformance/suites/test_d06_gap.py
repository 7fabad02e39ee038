"""Diagrams 6 and 11: the standby is cut off from its primary, which trades on and dies. What the standby never received is read
from where the old primary left it, before the first order is taken."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from matchmark.conformance.checks.audit_ledger import Breach
from matchmark.conformance.fix import business
from matchmark.conformance.fix.message import FixMessage
from matchmark.conformance.lab_fixtures import judge, violate
from matchmark.conformance.pair_lab import PairLab
from matchmark.conformance.suites._availability import (
    judged_log,
    met_by,
    order_as_logged,
    same_log,
    settled,
    taken_over,
)
from matchmark.conformance.suites._durability import Desk, read_steps

pytestmark = pytest.mark.needs("standby", "audit_log", "fix")

GAP_ORDERS = 300
BOOK = 7
"""The symbol of the worked scene; the gap's other orders are elsewhere."""
UNKNOWN = ("8",)


@pytest.mark.clause(
    "D06.6", "D06.7", "D06.X2", "D06.X3", "D06.X5", "D06.9", "D11.8", "D11.9", "D11.11", "D11.12", "D06.X8",
)  # fmt: skip
@pytest.mark.needs("fix_resend", "duplicate_check", "order_status")
def test_the_new_primary_begins_where_the_old_one_stopped(pair: PairLab) -> None:
    """A worked book: orders from before and from within the gap keep price, leaves and place."""
    first, second, away = (Desk(pair, account) for account in pair.accounts[3:6])
    queue = [first.order("sell", 3, 0, BOOK), second.order("sell", 4, 0, BOOK)]
    owed = away.order("buy", 2, -5, BOOK)  # its owner goes away before it is filled
    away.client.drop()
    if not pair.quiet():
        violate(pair, Breach("D06.1", "at rest the standby does not come to have all records of its primary"))
    if pair.durability == "replicated":
        gap, filler = _gap_without_answers(pair, first, second), None
    else:
        with pair.paused("b"):
            gap = _gap(first, second)
            filler = second.order("sell", 2, -5, BOOK)
            for n in range(GAP_ORDERS):
                first.order("buy", 1, -3, n % 3, wait=n % 50 == 49)
            unanswered = [first.order("buy", 1, -3, 1, wait=False), second.order("buy", 1, -3, 2, wait=False)]
            pair.kill("a")
        gap["unanswered"] = unanswered
    taken_over(pair, "b", "D11.5")
    _sweep(pair, queue, gap)
    for desk in (first, second, away):
        desk.connect_again()
    _again(pair, first, second, gap)
    if filler:
        _owed(pair, away, owed)
    settled(pair, (first, second, away))
    told = _asked(pair, first, [*gap["unanswered"][:1], "never-sent"])
    pair.quiet()
    pair.end()
    _, logged, breaches = judged_log(pair, "the primary was killed with its standby behind")
    judge(pair, breaches)
    for cl, answer in told.items():
        _agrees(pair, cl, answer, order_as_logged(logged, cl))
    same_log(pair, "D11.9", "a", "b", whole=False)


def _gap(first: Desk, second: Desk) -> dict[str, list[str]]:
    """Orders, a cancel and a fill that the standby does not see."""
    better = second.order("sell", 2, -1, BOOK)
    gone = first.order("sell", 9, -1, BOOK)
    first.cancel(gone, "sell", BOOK)
    last = first.order("sell", 5, 0, BOOK)
    half = first.order("buy", 1, -1, BOOK)
    return {"better": [better], "last": [last], "used": [half, last, gone]}


def _gap_without_answers(pair: PairLab, first: Desk, second: Desk) -> dict[str, list[str]]:
    """Mode replicated acknowledges nothing that the standby lacks: the scene without a gap."""
    gap = _gap(first, second)
    gap["unanswered"] = [first.order("buy", 1, -3, 1, wait=False), second.order("buy", 1, -3, 2, wait=False)]
    pair.kill("a")
    return gap


def _sweep(pair: PairLab, queue: list[str], gap: dict[str, list[str]]) -> None:
    """The first order of all after the failover: what it meets is the book."""
    desk = Desk(pair, pair.accounts[6], "after.")
    cl = desk.order("buy", 13, 0, BOOK)
    due = [(gap["better"][0], 1), (queue[0], 3), (queue[1], 4), (gap["last"][0], 5)]
    lots = sum(n for _, n in due)

    def filled() -> int:
        return sum(int(float(r.last_quantity)) for r in pair.ledger.entries[cl].fills)

    until = time.monotonic() + 5
    while filled() < lots and time.monotonic() < until:
        desk.client.poll(0.1)
    pair.members["b"].wait_logged({cl})
    met = met_by(read_steps(pair)[1], cl)
    if met != due:
        expected, actual = tuple(f"{n} of {o}" for o, n in due), tuple(f"{n} of {o}" for o, n in met)
        about = frozenset((cl, *queue, *gap["better"], *gap["last"]))
        lost = {o for o, _ in due} - {o for o, _ in met}
        clause = "D06.X3" if lost & {*gap["better"], *gap["last"]} else "D06.X5"
        text = "the first order after the failover met another book than the old primary left"
        violate(pair, Breach(clause, text, expected, actual, about))


def _again(pair: PairLab, first: Desk, second: Desk, gap: dict[str, list[str]]) -> None:
    """ClOrdIDs of the gap are used: also those of orders without an answer, which are sent again as a client would."""
    for desk, cl in ((first, gap["used"][0]), (first, gap["used"][1])):
        since = len(desk.client.stream)
        desk.order("sell", 1, 5, BOOK, cl=cl, wait=False)
        settle_until(desk, cl, since)
        taken = [m for m in _said(desk, since) if m.get(11) == cl and m.get(150) == "0" and m.get(43) != "Y"]
        if taken:
            text = f"ClOrdID {cl} was used in the gap, and the new primary took an order under it"
            violate(pair, Breach("D06.X3", text, ("35=8 150=8",), (str(taken[0]),), frozenset((cl,))))
    for desk, cl in zip((first, second), gap["unanswered"], strict=True):
        desk.order("buy", 1, -3, 1 if desk is first else 2, cl=cl, wait=False)


def settle_until(desk: Desk, cl: str, since: int, seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while not any(m.get(11) == cl and m.get(43) != "Y" for m in _said(desk, since)) and time.monotonic() < until:
        desk.client.poll(0.05)


def _said(desk: Desk, since: int) -> list[FixMessage]:
    return [line.message for line in desk.client.stream[since:] if not line.sent and line.message.type in "893"]


def _owed(pair: PairLab, away: Desk, owed: str) -> None:
    """The fill of who was not there comes on its session, marked as what may have been sent before."""
    until = time.monotonic() + 5
    fills: list[FixMessage] = []
    while not fills and time.monotonic() < until:
        away.client.poll(0.1)
        fills = [m for m in _said(away, 0) if m.get(150) == "F" and m.get(11) == owed]
    if not fills:
        text = f"{owed} was filled while its owner was away and the standby behind, and it was never told"
        violate(pair, Breach("D06.9", text, (f"150=F of {owed}",), (), frozenset((owed,))))
    if not any(m.get(43) == "Y" or m.get(97) == "Y" for m in fills):
        text = f"the missed fill of {owed} was sent without a mark that it may be a duplicate"
        violate(pair, Breach("D06.9", text, ("43=Y",), (str(fills[0]),), frozenset((owed,))))


def _status_of(cl: str) -> Callable[[FixMessage], bool]:
    return lambda m: m.type == "8" and m.get(11) == cl and m.get(150) == "I"


def _asked(pair: PairLab, desk: Desk, cls: list[str]) -> dict[str, FixMessage]:
    out = {}
    for cl in cls:
        instrument = pair.instrument(1)
        desk.client.send("H", business.status(instrument, cl, "buy", account=desk.account))
        out[cl] = desk.client.expect(_status_of(cl))
    return out


def _agrees(pair: PairLab, cl: str, answer: FixMessage, state: tuple[int, int] | None) -> None:
    if state is None and answer.get(39) not in UNKNOWN:
        text = f"{cl} is not in the log, and its status is told as 39={answer.get(39)}"
        violate(pair, Breach("D06.X8", text, ("39=8",), (str(answer),), frozenset((cl,))))
    if state is not None and (answer.get(39) in UNKNOWN or int(float(answer.get(14) or 0)) > state[1]):
        text = f"the log has {cl} with {state[0]} left and {state[1]} executed, and its status says something else"
        violate(pair, Breach("D06.X8", text, (), (str(answer),), frozenset((cl,))))
