"""The checks of a log against the clients' ledger: each wrong log is found, by the check for it, and a right one passes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from matchmark.conformance.checks import audit_ledger as ledgers
from matchmark.conformance.checks.audit_calls import holes, unflushed
from matchmark.conformance.checks.audit_format import HEADER_BYTES, Happened, Op
from matchmark.conformance.checks.audit_replay import replay
from matchmark.conformance.checks.audit_steps import Event, Step
from matchmark.conformance.fix.business import Instrument
from matchmark.conformance.ledger import Conversation, Ledger

INSTRUMENTS = {"S": Instrument("S", Decimal("0.01"))}


class Line(NamedTuple):
    sent: bool
    message: Any


class Talk:
    """A session as it was on the wire."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.next_in = 1

    def said(self, sent: bool, *pairs: tuple[int, str]) -> Talk:
        self.lines.append(Line(sent, SimpleNamespace(pairs=pairs, at_ns=len(self.lines))))
        return self

    def new(self, cl: str, side: str, lots: int, price: str) -> Talk:
        fields = ((35, "D"), (11, cl), (55, "S"), (54, side), (38, str(lots)), (40, "2"), (44, price), (59, "0"))
        return self.said(True, *fields)

    def report(self, cl: str, kind: str, order_id: str, exec_id: str, *more: tuple[int, str]) -> Talk:
        self.next_in += 1
        head = ((35, "8"), (34, str(self.next_in)), (11, cl), (150, kind), (37, order_id), (17, exec_id))
        return self.said(False, *head, *more)

    def fill(self, cl: str, order_id: str, exec_id: str, lots: int, leaves: int, cum: int) -> Talk:
        more = ((32, str(lots)), (31, "1.00"), (151, str(leaves)), (14, str(cum)))
        return self.report(cl, "F", order_id, exec_id, *more)

    @property
    def ledger(self) -> Ledger:
        return Ledger([Conversation("A-1", "A", self.lines)])


def talk() -> Talk:
    """Two orders that trade with each other, and one that rests."""
    t = Talk().new("a", "2", 5, "1.00").report("a", "0", "1", "4")
    t.new("b", "1", 3, "1.00").report("b", "0", "2", "8").fill("b", "2", "10", 3, 0, 3).fill("a", "1", "11", 3, 2, 3)
    return t.new("c", "1", 1, "0.99").report("c", "0", "3", "14")


def event(sequence: int, what: Happened, cl: str, number: int, **values: Any) -> Event:
    blank = dict.fromkeys((field.name for field in dataclasses.fields(Event)), 0)
    return Event(**{**blank, "sequence": sequence, "what": what, "cl": cl, "other": "", "cl_number": number, **values})


def step(sequence: int, cl: str, number: int, side: int, lots: int, price: int, *events: Event) -> Step:
    new = Step(sequence, Op.NEW, cl, "", side, 0, 0, 0, price, lots, 0, 0, 0, number, 0, 1, 0)
    new.events, new.whole = list(events), True
    return new


def log() -> list[Step]:
    """What an exchange that is right logs of it."""
    trade = event(
        5, Happened.TRADE, "b", 12, other="a", other_number=11, order_id=2, other_order_id=1, price=100, quantity=3, leaves=0,
        cum=3, resting_leaves=2, resting_cum=3, money=300, resting_money=300,
    )  # fmt: skip
    return [
        step(1, "a", 11, 1, 5, 100, event(2, Happened.ACCEPTED, "a", 11, order_id=1)),
        step(3, "b", 12, 0, 3, 100, event(4, Happened.ACCEPTED, "b", 12, order_id=2), trade),
        step(6, "c", 13, 0, 1, 99, event(7, Happened.ACCEPTED, "c", 13, order_id=3)),
    ]


def all_checks(ledger: Ledger, steps: list[Step]) -> set[str]:
    """Names of the checks that find something."""
    found = {
        "lost": ledgers.nothing_lost(ledger, steps, "X", "a fault"),
        "invented": ledgers.nothing_invented(ledger, steps, "X"),
        "twice": ledgers.nothing_twice(ledger, steps, "X"),
        "sent": ledgers.as_sent(ledger, steps, INSTRUMENTS, "X"),
        "order": ledgers.in_order(ledger, steps, "X"),
        "hole": ledgers.no_hole(ledger, steps, "X"),
        "told": ledgers.told_as_logged(ledger, steps, INSTRUMENTS, "X", complete=True),
    }
    named = {name for name, breaches in found.items() if list(breaches)}
    return named | ({"replay"} if replay(steps) else set())


def test_a_log_that_is_right_passes_every_check() -> None:
    assert all_checks(talk().ledger, log()) == set()


def without_last(steps: list[Step]) -> list[Step]:
    return steps[:-1]


def without_first(steps: list[Step]) -> list[Step]:
    return steps[1:]


def with_a_stranger(steps: list[Step]) -> list[Step]:
    return [*steps, step(8, "z", 99, 0, 1, 50, event(9, Happened.ACCEPTED, "z", 99, order_id=4))]


def accepted_twice(steps: list[Step]) -> list[Step]:
    return [*steps, step(8, "c", 13, 0, 1, 99, event(9, Happened.ACCEPTED, "c", 13, order_id=4))]


def another_price(steps: list[Step]) -> list[Step]:
    steps[2].price = 98
    return steps


def another_side(steps: list[Step]) -> list[Step]:
    steps[2].side = 1
    return steps


def exchanged(steps: list[Step]) -> list[Step]:
    return [steps[0], steps[2], steps[1]]


def without_the_trade(steps: list[Step]) -> list[Step]:
    steps[1].events.pop()
    return steps


def change_trade(**values: Any) -> Callable[[list[Step]], list[Step]]:
    def change(steps: list[Step]) -> list[Step]:
        steps[1].events[1] = dataclasses.replace(steps[1].events[1], **values)
        return steps

    return change


@pytest.mark.parametrize(
    ("alter", "found"),
    [
        (without_last, {"lost", "told"}),
        (without_first, {"lost", "hole", "told", "replay"}),
        (with_a_stranger, {"invented"}),
        (accepted_twice, {"twice", "told", "replay"}),
        (another_price, {"sent"}),
        (another_side, {"sent"}),
        (exchanged, {"order"}),
        (without_the_trade, {"told", "replay"}),
        (change_trade(price=101), {"told", "replay"}),
        (change_trade(quantity=2), {"told", "replay"}),
        (change_trade(resting_leaves=1), {"told", "replay"}),
        (change_trade(cum=2), {"told", "replay"}),
        (change_trade(money=299), {"replay"}),
        (change_trade(other="c"), {"told"}),
    ],
)
def test_each_altered_log_is_found(alter: Callable[[list[Step]], list[Step]], found: set[str]) -> None:
    assert found <= all_checks(talk().ledger, alter(log()))


@pytest.mark.parametrize(
    ("again", "found"),
    [
        (lambda t: t.fill("a", "1", "11", 3, 2, 3), {"twice", "told"}),
        (lambda t: t.fill("a", "1", "17", 3, 0, 6), {"twice", "told"}),
        (lambda t: t.report("a", "0", "1", "4", (97, "Y")), set()),
        (lambda t: t.report("a", "0", "2", "4", (97, "Y")), {"twice", "told"}),
        (lambda t: t.report("d", "0", "9", "20"), set()),
        (lambda t: t.new("d", "1", 1, "1.00").report("d", "0", "4", "20"), {"lost", "told"}),
        (lambda t: t.new("d", "1", 1, "1.00").report("d", "8", "", "20"), set()),
        (lambda t: t.new("d", "1", 1, "1.00"), set()),
    ],
    ids=[
        "a fill again",
        "a fill that is none",
        "again and said so",
        "otherwise, as if again",
        "of nobody",
        "acknowledged, not logged",
        "refused",
        "unknown",
    ],
)
def test_each_report_that_does_not_fit_is_found(again: Callable[[Talk], Talk], found: set[str]) -> None:
    assert all_checks(again(talk()).ledger, log()) == found


class Call(NamedTuple):
    kind: str
    path: str
    offset: int
    length: int
    error: int = 0
    started_ns: int = 0
    ended_ns: int = 1


FILE = "/log/audit-00000000000000000001.log"


def calls(*made: tuple[str, int, int]) -> list[Call]:
    return [Call(kind, FILE, HEADER_BYTES + at, n, 0, 2 * k, 2 * k + 1) for k, (kind, at, n) in enumerate(made)]


def test_writes_that_go_on_and_are_flushed_pass() -> None:
    good = calls(("write", 0, 272), ("write", 272, 272), ("fsync", 0, 0), ("write", 544, 272), ("fsync", 0, 0))
    assert not holes(good) and not unflushed(good)


def test_a_hole_an_overwrite_and_a_missing_flush_are_found() -> None:
    assert holes(calls(("write", 0, 272), ("fsync", 0, 0), ("write", 544, 272)))
    assert holes(calls(("write", 0, 272), ("fsync", 0, 0), ("write", 0, 272)))
    assert unflushed(calls(("write", 0, 272)))
    assert unflushed([Call("write", FILE, HEADER_BYTES, 272, 0, 0, 1), Call("fsync", FILE, 0, 0, 5, 2, 3)])
