"""Diagram 5, the operator: sees what led to a halt, resumes, is the only one who may, and is told when it makes no sense."""

from __future__ import annotations

import re
import time
from decimal import Decimal

import pytest

from matchmark.conformance.checks.audit_format import Happened, Op
from matchmark.conformance.lab import Lab
from matchmark.conformance.suites._breaker import Market
from matchmark.conformance.suites._durability import read_steps
from matchmark.conformance.targets.profile_breaker import TICKS
from matchmark.conformance.trading_messages import Trading

pytestmark = pytest.mark.needs("breaker", "operator", "fix", "restart")


@pytest.mark.clause("D05.11")
def test_an_operator_sees_what_led_to_a_halt_and_nothing_resumes_by_itself(lab: Lab) -> None:
    m = Market(lab, "D05.11")
    at = m.symbol()
    m.average(at, 10045)
    m.trade(at, 8800)
    m.expect_state(at, Trading.HALTED)
    for seconds in (0, 300, 3600):
        m.advance(seconds)
        m.expect_nothing(at, "a halted symbol changed its state though no operator said so", [Trading.HALTED])
        printed = m.operator("status", at.symbol)
        if printed is None:
            m.fail("an operator's question for the state of a halted symbol was refused")
        numbers = {Decimal(text) for text in re.findall(r"\d+(?:\.\d+)?", printed or "")}
        missing = [p for p in (at.price(10045), at.price(8800)) if Decimal(p) not in numbers]
        average = Decimal(at.price(10045))
        if missing or not any(abs(n - average) < Decimal("0.001") for n in numbers):
            due = f"trades at {at.price(10045)} and {at.price(8800)}, average {average}"
            text = f"an operator is not shown the trades and the average that led to the halt ({seconds} s ago)"
            m.fail(text, (due,), (printed or "nothing",))


@pytest.mark.clause("D05.12")
def test_after_a_resume_orders_are_decided_against_the_book_that_was_kept(lab: Lab) -> None:
    m = Market(lab, "D05.12")
    at = m.symbol()
    bid = m.order(m.maker, at, "buy", 10, m.beyond_halt - 300)
    m.halt(at)
    refused = m.order(m.taker, at, "sell", 2, m.beyond_halt - 300)
    m.resume(at)
    m.expect_state(at, Trading.OPEN)
    if m.status(m.taker, at, refused, "sell").get(39) == "2":
        m.fail("an order that the halt had refused was executed by the resumption", about=(refused,))
    sell = m.order(m.taker, at, "sell", 4, m.beyond_halt - 300)
    report = m.filled(m.taker, sell)
    other = m.filled(m.maker, bid)
    if (report.get(32), other.get(151)) != ("4", "6"):
        m.fail("the first order after the resumption", ("4 lots", "6 left"), (str(report), str(other)), (sell, bid))
    m.trade(at, m.beyond_halt - 299)
    m.expect_nothing(at, "what had led to the halt led to another", m.states(m.watcher, at))


@pytest.mark.clause("D05.X8")
@pytest.mark.needs("audit_log")
def test_only_an_operator_may_and_the_attempt_of_another_is_recorded(lab: Lab) -> None:
    m = Market(lab, "D05.X8")
    usual, halted = m.symbol(), m.symbol()
    m.average(usual)
    m.halt(halted)
    mine = m.operator_token()
    if m.operator("status", halted.symbol, mine) is None:
        m.fail("an operator's own token was refused: nothing can be said of others")
    head, _, signature = mine.rpartition(".")
    forged = f"{head}.{'B' if signature.startswith('A') else 'A'}{signature[1:]}"  # still well formed
    short = lab.instance.token("operator", 1, "operator")
    time.sleep(2.1)
    others = (
        ("a trader's token", lab.token(m.taker.account)),
        ("an expired token", short),
        ("a forged token", forged),
        ("no token", ""),
    )
    for what, token in others:
        for command, at in (("resume", halted), ("halt", usual)):
            if m.operator(command, at.symbol, token) is not None:
                m.fail(f"{what} was taken for an operator's: {command} of {at.symbol} was not refused")
    m.expect_nothing(halted, "a command that was refused had an effect", [Trading.HALTED])
    m.expect_nothing(usual, "a command that was refused had an effect")
    m.trade(usual, TICKS)
    lab.stop()
    _, logged, _ = read_steps(lab)
    attempts = [s for s in logged if s.op is Op.ATTEMPT and s.events and s.events[0].what is Happened.STATE_REFUSED]
    if len(attempts) < 2 * len(others):
        text = (
            f"{2 * len(others)} commands of people who may not were refused; the audit log has {len(attempts)} of them"
        )
        m.fail(text, (), tuple(f"record {s.sequence}: {s.cl} {s.orig}" for s in attempts))


@pytest.mark.clause("D05.X9")
def test_a_resume_of_what_is_not_halted_or_not_known_is_refused_and_changes_nothing(lab: Lab) -> None:
    m = Market(lab, "D05.X9")
    usual, warned = m.symbol(), m.symbol()
    m.average(usual)
    m.average(warned)
    m.trade(warned, m.at_warning)
    m.expect_state(warned, Trading.WARNED)
    for symbol, what in ((usual.symbol, "not halted"), (warned.symbol, "warned, not halted"), ("NOSUCH", "not known")):
        if (printed := m.operator("resume", symbol)) is not None:
            m.fail(f"resume of {symbol}, which is {what}, was not refused", ("refused",), (printed or "exit status 0",))
    m.expect_nothing(usual, "a resume that was refused changed a state")
    m.expect_nothing(warned, "a resume that was refused changed a state", [Trading.WARNED])
