"""Diagram 5, level 1: each session's rate of orders is limited, by deferral or refusal; and what a halt makes of what waits."""

from __future__ import annotations

import time

import pytest

from matchmark.conformance.fix.business import Instrument
from matchmark.conformance.fix.message import FixMessage
from matchmark.conformance.lab import Lab
from matchmark.conformance.suites._breaker import PATIENCE_S, Market, Trader
from matchmark.conformance.trading_messages import Trading

pytestmark = pytest.mark.needs("breaker", "fix", "restart")

TIMES = 4
"""So many seconds' worth of orders are sent at once."""


def warned(m: Market) -> Instrument:
    at = m.symbol()
    m.average(at)
    m.trade(at, m.at_warning)
    m.expect_state(at, Trading.WARNED)
    time.sleep(1.0)  # the rate of a second is there again
    return at


def reports_of(m: Market, who: Trader, cls: list[str], until_s: float) -> dict[str, list[FixMessage]]:
    """All reports about these orders until nothing more came for a while, or the time is up."""
    found: dict[str, list[FixMessage]] = {cl: [] for cl in cls}
    until = quiet = time.monotonic()
    until += until_s
    while time.monotonic() < until and time.monotonic() - quiet < 1.5:
        for message in who.client.poll(0.1):
            if message.type == "f":
                who.told.append((message.get(55) or "", m.state_in(message), message))
            for cl in {message.get(11), message.get(41)} & set(found):
                found[str(cl)].append(message)
                quiet = time.monotonic()
    return found


@pytest.mark.clause("D05.4")
def test_at_level_1_the_rate_of_a_session_is_decided_and_the_rest_as_declared(lab: Lab) -> None:
    m = Market(lab, "D05.4")
    at = warned(m)
    bid = m.order(m.maker, at, "buy", 1000, m.at_warning)
    cls = [m.order(m.taker, at, "sell", 1, m.at_warning, wait=False) for _ in range(TIMES * m.rules.rate_per_s)]
    other = m.order(m.watcher, at, "buy", 1, m.at_warning - 100)
    if m.status(m.watcher, at, other, "buy").get(39) != "0":
        m.fail("another session, within its rate, was limited together with the busy one", about=(other,))
    told = reports_of(m, m.taker, cls, (TIMES + 3) + PATIENCE_S)
    at_once = [cl for cl in cls if [r.get(150) for r in told[cl]] == ["0", "F"] and not _deferred(m, told[cl])]
    answered = sorted(reports[0].at_ns for reports in told.values() if reports)
    span_s = (answered[-1] - answered[0]) / 1e9 if answered else 0.0  # meanwhile the rate allows for more
    most, least = m.rules.rate_per_s * (1 + span_s) + 2, 1 if m.rules.defers else m.rules.rate_per_s - 1
    if not least <= len(at_once) <= most:
        text = f"of {len(cls)} orders at once, {len(at_once)} were decided at once; the rate is {m.rules.rate_per_s} a second"
        m.fail(text, (f"{least} to {most:.0f}",), _shown(told), (bid,))
    for cl in cls:
        if cl not in at_once:
            _above_the_rate(m, cl, told[cl])


def _above_the_rate(m: Market, cl: str, told: list[FixMessage]) -> None:
    kinds = [r.get(150) for r in told]
    if m.rules.defers and kinds != ["0", "F"]:
        m.fail(
            f"{cl} was above the rate and should wait and be decided",
            ("150=0, then 150=F",),
            tuple(map(str, told)),
            (cl,),
        )
    if not m.rules.defers and (kinds != ["8"] or not (told[0].get(58) or "")):
        text = f"{cl} was above the rate and should be refused with a reason"
        m.fail(text, ("35=8 150=8 58=a reason",), tuple(map(str, told)), (cl,))


def _deferred(m: Market, told: list[FixMessage]) -> bool:
    """Its fill came clearly later than its acknowledgement."""
    return m.rules.defers and told[-1].at_ns - told[0].at_ns > 50_000_000


def _shown(told: dict[str, list[FixMessage]]) -> tuple[str, ...]:
    return tuple(
        f"{cl}: {', '.join(r.get(150) or r.type for r in reports) or 'nothing'}" for cl, reports in told.items()
    )


@pytest.mark.clause("D05.X13")
@pytest.mark.needs("rate_deferral")
def test_deferred_orders_are_decided_in_order_and_none_is_lost(lab: Lab) -> None:
    m = Market(lab, "D05.X13")
    at = warned(m)
    m.order(m.maker, at, "buy", 1000, m.at_warning)
    cls = [m.order(m.taker, at, "sell", 1, m.at_warning, wait=False) for _ in range(3 * m.rules.rate_per_s)]
    told = reports_of(m, m.taker, cls, 3 + 3 + PATIENCE_S)
    fills = sorted((r.seq, cl) for cl, reports in told.items() for r in reports if r.get(150) == "F")
    if [cl for _, cl in fills] != cls:
        text = "deferred orders should be decided in the order in which they were sent, all of them"
        m.fail(text, tuple(cls), tuple(cl for _, cl in fills), cls)


@pytest.mark.clause("D05.X13", "D05.8")
@pytest.mark.needs("rate_deferral", "operator")
def test_at_a_halt_what_waits_is_cancelled_if_it_would_trade_and_else_rests(lab: Lab) -> None:
    m = Market(lab, "D05.8")
    at = warned(m)
    bid = m.order(m.maker, at, "buy", 1000, m.at_warning - 50)
    for _ in range(6 * m.rules.rate_per_s):  # those behind them wait for seconds
        m.order(m.taker, at, "buy", 1, m.at_warning - 900, wait=False)
    crossing = [m.order(m.taker, at, "sell", 2, m.at_warning - 50, wait=False) for _ in range(2)]
    market = m.order(m.taker, at, "sell", 2, None, wait=False)
    passive = [m.order(m.taker, at, "sell", 2, m.at_warning + 700 + n, wait=False) for n in range(2)]
    for cl in (*crossing, market, *passive):
        if (report := m.answer(m.taker, cl)).get(150) != "0":
            m.fail(f"{cl} should be deferred, which is accepted", ("150=0",), (str(report),), (cl,))
    if m.operator("halt", at.symbol) is None:
        m.fail("an operator's halt was refused", about=(bid,))
    m.expect_state(at, Trading.HALTED)
    for cl in (*crossing, market):
        report = m.answer(m.taker, cl)
        if (report.get(150), report.get(39), report.get(14)) != ("4", "4", "0"):
            m.fail(f"{cl} waited and would trade: the halt should cancel it", ("150=4 14=0",), (str(report),), (cl,))
    m.clause = "D05.X13"
    for cl in passive:
        report = m.status(m.taker, at, cl, "sell")
        if (report.get(39), report.get(151)) != ("0", "2"):
            m.fail(f"{cl} waited and would not trade: after the halt it should rest", ("39=0",), (str(report),), (cl,))


@pytest.mark.clause("D05.8")
def test_after_a_halt_the_book_is_not_crossed(lab: Lab) -> None:
    m = Market(lab, "D05.8")
    at = m.symbol()
    m.average(at)
    bids = [m.order(m.maker, at, "buy", 3, m.beyond_halt - 100 - n) for n in range(3)]
    m.trade(at, m.at_warning)
    m.expect_state(at, Trading.WARNED)
    # Where they wait, it is they who bring the price down; where they are refused, it is the trade behind them.
    sells = [m.order(m.taker, at, "sell", 1, m.at_warning - 100 * n, wait=False) for n in range(3 * m.rules.rate_per_s)]
    if not m.rules.defers:
        m.trade_between(m.maker, m.watcher, at, m.beyond_halt)
    m.expect_state(at, Trading.HALTED)
    reports_of(m, m.taker, sells, 2.0)
    lowest = m.beyond_halt - 100
    for n, cl in enumerate(sells):
        report = m.status(m.taker, at, cl, "sell")
        if report.get(39) in ("0", "1") and m.at_warning - 100 * n <= lowest:
            m.fail(
                f"{cl} is open after the halt and crosses {bids[0]}",
                ("no crossing order",),
                (str(report),),
                (cl, bids[0]),
            )
