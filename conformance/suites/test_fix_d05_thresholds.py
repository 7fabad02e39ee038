"""Diagram 5, the monitor: when it warns and halts, by which average, and what is no cause for either."""

from __future__ import annotations

import time

import pytest

from matchmark.conformance.lab import Lab
from matchmark.conformance.suites._breaker import BULK, PATIENCE_S, Market
from matchmark.conformance.targets.profile_breaker import TICKS
from matchmark.conformance.trading_messages import Trading

pytestmark = pytest.mark.needs("breaker", "fix", "restart")

CROWD = 30
"""Orders: several times the rate of level 1."""


@pytest.mark.clause("D05.1")
def test_near_the_average_no_order_is_slowed_refused_or_cancelled(lab: Lab) -> None:
    m = Market(lab, "D05.1")
    at = m.symbol()
    m.average(at)
    m.trade(at, TICKS - TICKS * m.rules.warn_bps // 10_000 + 5)  # less than the threshold by 5 ticks
    m.expect_nothing(at, "the price is less than the first threshold below the average, and a state was told")
    resting = [m.order(m.taker, at, "buy", 1, TICKS - 3000, wait=False) for _ in range(CROWD)]
    for cl in resting:
        if (report := m.answer(m.taker, cl)).get(150) != "0" or report.get(58):
            m.fail("an order near the average was not simply accepted", ("35=8 150=0",), (str(report),), (cl,))
    for cl in resting[:3]:
        if (report := m.status(m.taker, at, cl, "buy")).get(39) != "0":
            m.fail("an order near the average is not open any more", ("39=0",), (str(report),), (cl,))
    m.trade(at, TICKS)


@pytest.mark.clause("D05.X2")
def test_the_thresholds_are_met_exactly(lab: Lab) -> None:
    """One lot at so much above and one at so much below: the average is in the middle, and the drop is exact."""
    m = Market(lab, "D05.X2")
    warn, halt = (TICKS * bps // 10_000 for bps in (m.rules.warn_bps, m.rules.halt_bps))
    cases = [
        ("just under the first threshold", TICKS + warn - 1, TICKS - warn, []),
        ("exactly the first threshold", TICKS + warn, TICKS - warn, [Trading.WARNED]),
        ("exactly the second threshold", TICKS + halt, TICKS - halt, [Trading.WARNED]),
        ("just over the second threshold", TICKS + halt + 1, TICKS - halt, [Trading.HALTED]),
    ]
    symbols = [m.symbol() for _ in cases]
    for (_, high, low, _), at in zip(cases, symbols, strict=True):
        # Together in one message each way, so that no check falls between the two trades.
        m.order(m.maker, at, "buy", 1, high)
        m.order(m.maker, at, "buy", 1, low)
        m.order(m.taker, at, "sell", 2, low)
    m.checks_pass()
    for (what, high, low, due), at in zip(cases, symbols, strict=True):
        if (told := m.states(m.watcher, at)) != due:
            text = f"a drop of {what} (trades at {at.price(high)} and {at.price(low)}, one lot each)"
            m.fail(text, tuple(map(str, due)) or ("nothing",), tuple(map(str, told)) or ("nothing",))


@pytest.mark.clause("D05.X3")
def test_the_average_is_of_the_last_two_minutes_weighted_by_quantity(lab: Lab) -> None:
    m = Market(lab, "D05.X3")
    weighted, gone, still, fell = (m.symbol() for _ in range(4))
    low = TICKS - TICKS * m.rules.warn_bps // 10_000 + 20
    m.average(weighted)
    m.trade(weighted, 3 * TICKS)  # one lot far above: it weighs nothing
    m.trade(weighted, low)
    m.expect_nothing(weighted, "a single lot far above the others was given the weight of all of them")
    for at in (gone, still, fell):
        m.average(at)
    m.average(fell, 2 * TICKS)  # in two minutes this is all of the past
    m.advance(m.rules.window_s - 12)
    m.trade(still, m.at_warning)
    m.expect_state(
        still, Trading.WARNED, what="a trade of less than two minutes ago is in the average, and the price fell"
    )
    m.average(fell, TICKS // 10)
    m.expect_state(
        fell, Trading.HALTED, what="a trade of less than two minutes ago is in the average, and the price fell"
    )
    m.advance(12)
    m.trade(gone, m.at_warning)
    m.expect_nothing(gone, "a trade that is two minutes old was still in the average")


@pytest.mark.clause("D05.X4")
def test_no_trade_a_single_one_and_rises_trigger_nothing(lab: Lab) -> None:
    m = Market(lab, "D05.X4")
    none, single, rising, old = (m.symbol() for _ in range(4))
    m.order(m.maker, none, "buy", 1, TICKS)
    m.trade(single, TICKS)
    m.average(rising)
    m.average(old)
    m.trade(rising, 2 * TICKS)
    m.advance(m.rules.window_s + 1)
    m.trade(old, TICKS // 2)  # alone in the window
    for at, what in (
        (none, "a symbol without a trade"),
        (single, "a symbol with a single trade"),
        (rising, "a symbol whose price doubled"),
        (old, "a symbol with a single trade in the window"),
    ):
        m.expect_nothing(at, f"{what} was given another state")


@pytest.mark.clause("D05.2")
def test_orders_and_cancels_move_neither_price_nor_average(lab: Lab) -> None:
    m = Market(lab, "D05.2")
    quiet, fallen = m.symbol(), m.symbol()
    m.average(quiet)
    bids = [m.order(m.maker, quiet, "buy", BULK, ticks) for ticks in (TICKS // 2, TICKS // 4)]
    m.order(m.taker, quiet, "sell", BULK, TICKS // 2 + 1)
    m.order(m.taker, quiet, "buy", 1, TICKS // 4, tif="ioc")
    m.cancel(m.maker, quiet, bids[0], "buy")
    m.expect_nothing(quiet, "orders far below the average, without a trade, were taken for a fall")
    m.average(fallen)
    m.order(m.maker, fallen, "sell", BULK, 2 * TICKS)  # would hide the fall, if orders counted
    m.trade(fallen, m.at_warning)
    m.order(m.maker, fallen, "buy", BULK, m.at_warning - 1)
    m.expect_state(fallen, Trading.WARNED, what="trades fell, and orders that did not trade hid it")


@pytest.mark.clause("D05.3", "D05.P1")
def test_a_fall_is_detected_at_the_next_check_with_no_further_order(lab: Lab) -> None:
    m = Market(lab, "D05.3")
    at, by_time = m.symbol(), m.symbol()
    m.average(at)
    m.average(by_time, TICKS - 2000)
    m.advance(m.rules.window_s - 20)
    m.trade(by_time, TICKS, BULK // 10)
    m.trade(by_time, m.at_warning)  # above the average as long as the first is in it
    m.expect_nothing(by_time, "the last price is above the average")
    m.average(at)
    m.trade(at, m.at_warning)
    began = time.monotonic()
    m.expect_state(at, Trading.WARNED, what="a fall that no further order followed should be detected")
    late = time.monotonic() - began - m.rules.interval_s
    if late > PATIENCE_S / 2:
        m.fail(f"the fall was detected {late:.1f} s after the check that was due")
    m.advance(21)
    m.expect_state(
        by_time, Trading.WARNED, what="the average rose because old trades left it, and nobody traded any more"
    )


@pytest.mark.clause("D05.5", "D05.6", "D05.P2")
def test_a_warning_does_not_blind_the_monitor_and_a_crash_needs_no_warning(lab: Lab) -> None:
    m = Market(lab, "D05.5")
    slow, sudden = m.symbol(), m.symbol()
    m.average(slow, 10045)
    m.trade(slow, 9500)
    m.expect_state(slow, Trading.WARNED, what="100.45 on average, the last price 95.00")
    m.trade(slow, 9490)  # trading goes on
    m.trade(slow, 8800)
    m.expect_state(slow, Trading.HALTED, what="100.45 on average, the last price 88.00")
    m.clause = "D05.6"
    m.average(sudden, 10045)
    m.trade(sudden, 8800)
    told = m.expect_state(sudden, Trading.HALTED, what="a fall of more than the second threshold")
    if Trading.WARNED in m.states(m.watcher, sudden):
        m.fail("a fall beyond the second threshold only warned at first", ("halted",), (str(told),))
    cl = m.order(m.taker, sudden, "buy", 1, 8800, wait=False)
    if (report := m.answer(m.taker, cl)).get(150) != "8":
        m.fail("the halt was told, and the next order was not refused", ("35=8 150=8",), (str(report),), (cl,))


@pytest.mark.clause("D05.X5")
@pytest.mark.needs("multi_symbol")
def test_a_halt_of_one_symbol_is_none_of_its_neighbours(lab: Lab) -> None:
    m = Market(lab, "D05.X5")
    before, crashing, after = (m.symbol() for _ in range(3))
    for at in (before, crashing, after):
        m.average(at)
    m.trade(crashing, m.beyond_halt)
    m.expect_state(crashing, Trading.HALTED)
    for at in (before, after):
        m.expect_nothing(at, f"{crashing.symbol} was halted, and {at.symbol} was given another state")
        m.trade(at, TICKS)


@pytest.mark.clause("D05.X11")
def test_a_clock_that_jumps_triggers_and_ends_nothing(lab: Lab) -> None:
    m = Market(lab, "D05.X11")
    usual, warned, halted = (m.symbol() for _ in range(3))
    m.average(usual)
    m.trade(usual, TICKS - 100)
    m.average(warned)
    m.trade(warned, m.at_warning)
    m.expect_state(warned, Trading.WARNED)
    m.halt(halted)
    for jump in (3600.0, -7200.0, 3600.0):
        m.advance(0, jump)
        m.expect_nothing(
            usual, f"the wall clock was set by {jump:+g} s, and a symbol that traded as usual changed its state"
        )
        m.expect_nothing(
            warned, f"the wall clock was set by {jump:+g} s, and a warned symbol changed", [Trading.WARNED]
        )
        m.expect_nothing(
            halted, f"the wall clock was set by {jump:+g} s, and a halted symbol changed", [Trading.HALTED]
        )
