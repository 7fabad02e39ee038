"""Diagram 5 in the audit log, and over a crash: where warning, halt and resume stand, what they say, and that they hold."""

from __future__ import annotations

import pytest

from matchmark.conformance.checks.audit_format import Happened, Op
from matchmark.conformance.checks.audit_replay import replay
from matchmark.conformance.checks.audit_steps import Step
from matchmark.conformance.lab import Lab
from matchmark.conformance.suites._breaker import BULK, Market
from matchmark.conformance.suites._durability import read_steps
from matchmark.conformance.trading_messages import Trading

pytestmark = pytest.mark.needs("breaker", "fix", "restart")

OPERATOR = "operator"
"""The account of the operator's token."""


def played(lab: Lab, clause: str) -> tuple[Market, list[Step]]:
    """Warned, halted and resumed by an operator; the log of it."""
    m = Market(lab, clause)
    at = m.symbol()
    m.average(at, 10045)
    m.trade(at, 9500)
    m.expect_state(at, Trading.WARNED)
    m.trade(at, 8800)
    m.expect_state(at, Trading.HALTED)
    for _ in range(3):
        m.order(m.taker, at, "buy", 1, 8800)
    m.resume(at)
    m.expect_state(at, Trading.OPEN)
    m.trade(at, 8800)
    lab.stop()
    return m, read_steps(lab)[1]


@pytest.mark.clause("D05.X1", "D05.6")
@pytest.mark.needs("audit_log", "operator")
def test_warning_halt_and_resume_each_have_one_place_and_a_replay_puts_them_there(lab: Lab) -> None:
    m, logged = played(lab, "D05.X1")
    changes = [s for s in logged if s.of(Happened.STATE)]
    if [s.op for s in changes] != [Op.WARN, Op.HALT, Op.RESUME]:
        text = "the log should have one warning, one halt and one resume, in this order"
        m.fail(text, ("warn, halt, resume",), tuple(f"record {s.sequence}: {s.op.name.lower()}" for s in changes))
    _, halt, resume = changes
    symbol = halt.symbol
    between = [s for s in logged if halt.sequence < s.sequence < resume.sequence and s.symbol == symbol]
    traded = [s for s in between if s.of(Happened.TRADE)]
    if traded or any(s.accepted for s in between):
        text = f"orders were accepted or traded between halt and resume, records {halt.sequence} and {resume.sequence}"
        m.fail(text, (), tuple(f"record {s.sequence}: {s.op.name.lower()} {s.cl}" for s in between))
    if (difference := replay(logged)) is not None:
        m.fail(f"record {difference.sequence}: {difference.text}", difference.expected, difference.logged)


@pytest.mark.clause("D05.X10")
@pytest.mark.needs("audit_log", "operator")
def test_the_log_has_the_figures_of_each_change_or_who_gave_it(lab: Lab) -> None:
    m, logged = played(lab, "D05.X10")
    by_op = {s.op: s for s in logged if s.of(Happened.STATE)}
    for op, last, money, lots in (
        (Op.WARN, 9500, 10045 * BULK + 9500, BULK + 1),
        (Op.HALT, 8800, 10045 * BULK + 9500 + 8800, BULK + 2),
    ):
        step = by_op.get(op)
        said = (step.price, step.money, step.quantity) if step else None
        if said != (last, money, lots):
            text = f"the {op.name.lower()} should have the last price, and price x quantity and quantity of the average"
            m.fail(text, (str((last, money, lots)),), (str(said),))
    resume = by_op.get(Op.RESUME)
    if resume is None or resume.cl != OPERATOR or resume.orig != "reviewed":
        said_by = (resume.cl, resume.orig) if resume else None
        m.fail(
            "the record of the resume should name the operator and the reason", (OPERATOR, "reviewed"), (str(said_by),)
        )


@pytest.mark.clause("D05.X7")
def test_halts_and_warnings_hold_over_a_crash_and_a_restart(lab: Lab) -> None:
    m = Market(lab, "D05.X7")
    halted, warned, usual = (m.symbol() for _ in range(3))
    m.average(usual)
    m.average(warned)
    m.trade(warned, m.at_warning)
    m.expect_state(warned, Trading.WARNED)
    m.halt(halted)
    kept = {warned: [Trading.WARNED], halted: [Trading.HALTED], usual: []}
    for how in ("killed", "stopped"):
        if how == "killed":
            lab.kill("all")
        else:
            lab.stop()
        lab.restart()
        m.again()
        m.checks_pass()
        cl = m.order(m.taker, halted, "buy", 1, m.beyond_halt, wait=False)
        if (report := m.answer(m.taker, cl)).get(150) != "8":
            m.fail(f"{how} and started again, a halted symbol takes orders", ("150=8",), (str(report),), (cl,))
        m.trade(usual, 10_000)
        burst = [
            m.order(m.taker, warned, "buy", 1, m.at_warning - 900, wait=False) for _ in range(4 * m.rules.rate_per_s)
        ]
        answers = [m.answer(m.taker, cl) for cl in burst]
        if all(a.get(150) == "0" and not a.get(58) for a in answers):
            m.fail(f"{how} and started again, a warned symbol does not limit the rate of orders", about=burst[-1:])
        for at, due in kept.items():
            ended = [s for s in m.states(m.watcher, at)[len(due) :] if due and s is not due[-1]]
            if ended:
                m.fail(
                    f"{how} and started again, {at.symbol} changed its state",
                    tuple(map(str, due)),
                    tuple(map(str, ended)),
                )
