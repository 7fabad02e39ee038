"""Diagram 5, the halt: what is refused, what goes on, what stays, who is told, and that nothing trades."""

from __future__ import annotations

import pytest

from matchmark.conformance.fix import business
from matchmark.conformance.fix.message import FixError
from matchmark.conformance.lab import Lab
from matchmark.conformance.suites._breaker import PATIENCE_S, Market, Trader
from matchmark.conformance.targets.profile_breaker import TICKS
from matchmark.conformance.trading_messages import Trading

pytestmark = pytest.mark.needs("breaker", "fix", "restart")

HALTED_TEXT = "trading halted"


@pytest.mark.clause("D05.7", "D05.6")
def test_every_new_order_is_refused_with_the_reason(lab: Lab) -> None:
    m = Market(lab, "D05.7")
    at = m.symbol()
    bid = m.order(m.maker, at, "buy", 5, m.beyond_halt - 500)
    m.halt(at)
    for side, ticks, tif in (
        ("buy", m.beyond_halt - 1000, "day"), ("sell", m.beyond_halt - 500, "day"), ("sell", None, "day"),
        ("sell", m.beyond_halt - 500, "ioc"), ("buy", TICKS, "day"),
    ):  # fmt: skip
        cl = m.order(m.taker, at, side, 5, ticks, tif, wait=False)
        report = m.answer(m.taker, cl)
        if report.get(150) != "8" or HALTED_TEXT not in (report.get(58) or "").lower():
            text = f"a new order ({side}, {'market' if ticks is None else at.price(ticks)}, {tif}) in a halted symbol"
            m.fail(text, ("35=8 150=8 58=Trading Halted",), (str(report),), (cl,))
    report = m.status(m.maker, at, bid, "buy")
    if (report.get(39), report.get(14)) != ("0", "0"):
        m.fail("orders that were refused in the halt touched one that rests", ("39=0 14=0",), (str(report),), (bid,))


@pytest.mark.clause("D05.9")
def test_what_rested_before_rests_after_in_its_place(lab: Lab) -> None:
    m = Market(lab, "D05.9")
    at = m.symbol()
    price = m.beyond_halt - 500
    first, second = (m.order(who, at, "buy", 4, price) for who in (m.maker, m.watcher))
    better = m.order(m.maker, at, "buy", 3, price + 1)
    offer = m.order(m.watcher, at, "sell", 6, TICKS + 500)
    m.halt(at)
    for who, cl, side, lots in (
        (m.maker, first, "buy", "4"), (m.watcher, second, "buy", "4"), (m.maker, better, "buy", "3"),
        (m.watcher, offer, "sell", "6"),
    ):  # fmt: skip
        report = m.status(who, at, cl, side)
        if (report.get(39), report.get(151)) != ("0", lots):
            m.fail(f"{cl} rested before the halt", (f"39=0 151={lots}",), (str(report),), (cl,))
    if m.lab.profile.tables["hooks"].get("operator"):
        m.resume(at)
        m.expect_state(at, Trading.OPEN)
        taken = m.order(m.taker, at, "sell", 8, price)
        met = [m.filled(who, cl).get(32) for who, cl in ((m.maker, better), (m.maker, first), (m.watcher, second))]
        if met != ["3", "4", "1"]:
            m.fail("the queue is another after the resumption", ("3, 4, 1 lots in turn",), (str(met),), (taken,))


@pytest.mark.clause("D05.X6")
@pytest.mark.needs("cancel")
def test_cancels_are_decided_during_a_halt(lab: Lab) -> None:
    m = Market(lab, "D05.X6")
    at = m.symbol()
    price = m.beyond_halt - 500
    mine, other, kept = (m.order(m.maker, at, "buy", n, price) for n in (4, 5, 6))
    m.halt(at)
    report = m.cancel(m.maker, at, mine, "buy")
    if report.get(150) != "4" or report.get(41) != mine:
        m.fail("a cancel in a halted symbol", (f"35=8 150=4 41={mine}",), (str(report),), (mine,))
    report = m.cancel(m.maker, at, mine, "buy")
    if report.type != "9":
        m.fail("a second cancel of the same order", ("35=9",), (str(report),), (mine,))
    if "mass_cancel" in m.lab.profile.info.capabilities:
        m.maker.client.send("q", business.mass_cancel("all", at))
        try:
            m.maker.client.expect(lambda r: r.type == "r" and r.get(11) == "all" and r.get(531) == "1", PATIENCE_S)
        except FixError as error:
            m.fail(f"a mass cancel in a halted symbol: {error}", ("35=r 531=1",), about=("all",))
        for cl in (other, kept):
            if (report := m.status(m.maker, at, cl, "buy")).get(39) != "4":
                m.fail("an order was mass cancelled in a halted symbol", ("39=4",), (str(report),), (cl,))


@pytest.mark.clause("D05.N1")
def test_nothing_but_a_resume_leads_to_a_trade(lab: Lab) -> None:
    m = Market(lab, "D05.N1")
    at = m.symbol()
    low, high = m.beyond_halt - 500, TICKS + 500
    bid, offer = m.order(m.maker, at, "buy", 4, low), m.order(m.watcher, at, "sell", 4, high)
    m.halt(at)
    m.order(m.taker, at, "sell", 4, low)
    m.order(m.taker, at, "buy", 4, None)
    if "replace" in m.lab.profile.info.capabilities:
        fields = business.replace(at, "cross", bid, "buy", 4, high, account=m.maker.account)
        m.maker.client.send("G", fields)
        report = m.answer(m.maker, "cross")
        if report.type != "9":
            m.fail("a replace to a price that crosses the book, in a halt", ("35=9",), (str(report),), ("cross", bid))
    m.taker.client.close()
    m.taker.client = m.lab.client(m.taker.account)
    m.order(m.taker, at, "sell", 4, low)
    for seconds in (1, m.rules.window_s, 24 * 3600):
        m.advance(seconds)
        m.checks_pass()
    for who, cl, side in ((m.maker, bid, "buy"), (m.watcher, offer, "sell")):
        report = m.status(who, at, cl, side)
        if report.get(14) != "0":
            m.fail("an order traded during the halt", ("14=0",), (str(report),), (cl,))
    if m.states(m.watcher, at)[-1:] != [Trading.HALTED]:
        m.fail("a halt ended though no operator ended it", ("halted",), tuple(map(str, m.states(m.watcher, at))))


def each_once(m: Market, who: Trader, symbol: str, due: list[Trading]) -> None:
    told = [(state, message) for s, state, message in m.hear(who) if s == symbol]
    if [state for state, _ in told] != due:
        text = f"{who.account} should be told of {symbol}, once each"
        m.fail(text, tuple(map(str, due)), tuple(str(message) for _, message in told) or ("nothing",))
    for state, message in told:
        if not (message.get(58) or "").strip():
            m.fail(f"{state} of {symbol} was told without a reason", ("58=a reason",), (str(message),))


@pytest.mark.clause("D05.10", "D05.N2")
def test_warning_and_halt_reach_every_session_once_with_symbol_and_reason(lab: Lab) -> None:
    m = Market(lab, "D05.N2")
    crowd = [m.maker, m.taker, m.watcher, *(m.trader(n) for n in range(3, 8))]
    at = m.symbol()
    m.average(at)
    m.trade(at, m.at_warning)
    m.expect_state(at, Trading.WARNED)
    m.checks_pass()
    for who in crowd:
        each_once(m, who, at.symbol, [Trading.WARNED])
    m.clause = "D05.10"
    m.trade(at, m.beyond_halt)
    m.expect_state(at, Trading.HALTED)
    m.checks_pass()
    for who in crowd:
        each_once(m, who, at.symbol, [Trading.WARNED, Trading.HALTED])


@pytest.mark.clause("D05.N3")
@pytest.mark.needs("operator")
def test_who_comes_during_a_halt_is_told_of_it_and_all_of_the_resumption(lab: Lab) -> None:
    m = Market(lab, "D05.N3")
    at = m.symbol()
    leaver = m.trader(3)
    m.halt(at)
    m.expect_state(at, Trading.HALTED, leaver)
    leaver.client.close()
    newcomer = m.trader(4)
    m.expect_state(at, Trading.HALTED, newcomer, "who logs on during a halt should be told of it")
    m.resume(at)
    for who in (m.maker, m.taker, m.watcher, newcomer):
        m.expect_state(at, Trading.OPEN, who, "all should be told of the resumption")
    leaver.client = m.lab.client(leaver.account)
    m.expect_state(
        at, Trading.OPEN, leaver, "who was told of the halt and was away at the resumption should be told of it"
    )
    m.checks_pass()
    for who in (m.maker, m.taker, m.watcher, newcomer):
        each_once(m, who, at.symbol, [Trading.HALTED, Trading.OPEN])
