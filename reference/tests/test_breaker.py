"""The breaker's state machine: thresholds to the last tick, the window to the nanosecond, and its table."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from matchmark.conformance.targets.base import Instruments
from matchmark.conformance.targets.native import NativeTarget
from matchmark.conformance.trading_messages import Act, SetTrading, Trading
from matchmark.reference.breaker import SECOND_NS, TABLE, Breaker, Deal, Rules, When

S = SECOND_NS


class Run:
    """A breaker with an engine that does as it is told at once."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.breaker = Breaker(rules or Rules())
        self.breaker.watch(0)
        self.breaker.watch(1)
        self.now = 10**15
        self.sequence = 0
        self.acts: list[tuple[int, Act]] = []

    def trade(self, price: int, lots: int, symbol: int = 0) -> None:
        self.sequence += 1
        self.breaker.on_trade(symbol, Deal(self.now, price, lots, self.sequence))

    def wait(self, ns: int) -> None:
        for decision in self.breaker.check(self.now + ns):
            self.breaker.asked(decision)
            self.acts.append((decision.symbol, decision.act))
            to = next(r.to for r in TABLE if r.act is decision.act and r.state is self.state(decision.symbol))
            self.breaker.on_state(decision.symbol, to)
        self.now += ns

    def state(self, symbol: int = 0) -> Trading:
        return self.breaker.symbols[symbol].state


def acts_at(*trades: tuple[int, int]) -> list[Act]:
    run = Run()
    for price, lots in trades:
        run.trade(price, lots)
    run.wait(S)
    return [act for _, act in run.acts]


@pytest.mark.parametrize(
    ("last", "acts"),
    # The average of 999,999 lots at 1,000,000 and one lot at P is 1,000,000 - (1,000,000 - P) / 1,000,000.
    [(950_001, []), (949_999, [Act.WARN]), (900_001, [Act.WARN]), (899_999, [Act.HALT])],
)
def test_just_beside_a_threshold(last: int, acts: list[Act]) -> None:
    assert acts_at((1_000_000, 999_999), (last, 1)) == acts


def test_exactly_five_and_exactly_ten_percent_warn() -> None:
    # lots 1 at 105 and 1 at 95: average 100, last 95. 11 x 101 and 1 x 89: average 100, last 89, and so on.
    assert acts_at((105, 1), (95, 1)) == [Act.WARN]
    assert acts_at((110, 1), (90, 1)) == [Act.WARN]
    assert acts_at((110_001, 1), (90_000, 1)) == [Act.HALT]
    assert acts_at((104_999, 1), (95_000, 1)) == []


def test_what_the_specification_shows() -> None:
    """100.45 on average, 95.00, then 88.00: 5.4 and 12.4 percent."""
    run = Run()
    run.trade(10045, 1_000_000)
    run.trade(9500, 1)
    run.wait(S)
    assert run.state() is Trading.WARNED
    run.trade(8800, 1)
    run.wait(S)
    assert run.acts == [(0, Act.WARN), (0, Act.HALT)]
    assert 1238 < run.breaker.symbols[0].led[0].drop_bps < 1240  # type: ignore[index]


@pytest.mark.parametrize("trades", [(), ((100, 5),), ((100, 5), (130, 5)), ((100, 5), (100, 1)), ((50, 1), (100, 1))])
def test_no_trade_one_trade_and_rises_trigger_nothing(trades: tuple[tuple[int, int], ...]) -> None:
    assert acts_at(*trades) == []


def test_a_trade_leaves_when_it_is_two_minutes_old_and_not_before() -> None:
    run = Run()
    run.trade(1000, 1000)
    run.now += 119 * S
    run.trade(940, 1)
    run.wait(S - 1)
    assert run.state() is Trading.WARNED, "119.999999999 s: still in"
    run = Run()
    run.trade(1000, 1000)
    run.now += 119 * S
    run.trade(940, 1)
    run.wait(S)
    assert run.acts == [], "120 s: out"


def test_a_warning_ends_by_the_rule_and_a_halt_does_not() -> None:
    run = Run()
    run.trade(1000, 1000)
    run.trade(940, 1)
    run.wait(S)
    run.wait(200 * S)
    assert [act for _, act in run.acts] == [Act.WARN, Act.CALM]
    run.trade(1000, 1000)
    run.trade(800, 1)
    for _ in range(1000):
        run.wait(S)
    assert run.state() is Trading.HALTED


def test_checks_keep_their_interval() -> None:
    run = Run()
    run.wait(0)
    run.trade(1000, 1000)
    run.trade(800, 1)
    run.wait(S - 1)
    assert run.acts == []
    run.wait(1)
    assert run.acts == [(0, Act.HALT)]


def test_a_symbol_is_none_of_another_and_who_is_not_watched_is_not_looked_at() -> None:
    run = Run()
    run.trade(1000, 1000, symbol=0)
    run.trade(100, 1000, symbol=1)
    run.trade(1000, 1000, symbol=7)
    run.trade(1, 1, symbol=7)
    run.trade(80, 1, symbol=1)
    run.wait(S)
    assert run.acts == [(1, Act.HALT)]


def test_what_led_to_a_halt_is_no_cause_for_another() -> None:
    run = Run()
    run.trade(1000, 1000)
    run.trade(800, 1)
    run.wait(S)
    run.breaker.on_state(0, Trading.OPEN)
    run.trade(800, 1)
    run.wait(S)
    assert run.acts == [(0, Act.HALT)]
    assert run.state() is Trading.OPEN


def test_a_command_is_not_given_again_before_it_was_answered() -> None:
    breaker = Breaker(Rules())
    breaker.watch(0)
    breaker.on_trade(0, Deal(0, 1000, 1000, 1))
    breaker.on_trade(0, Deal(0, 800, 1, 2))
    (first,) = breaker.check(S)
    breaker.asked(first)
    assert breaker.check(2 * S) == []
    breaker.on_refused(0)
    assert breaker.check(3 * S) == [first]


@given(
    st.lists(
        st.tuples(st.integers(0, 40 * S), st.integers(1, 2000), st.integers(1, 50), st.integers(0, 1)), max_size=60
    ),
    st.integers(0, 200 * S),
)
def test_the_average_is_that_of_the_definition(trades: list[tuple[int, int, int, int]], pause: int) -> None:
    run = Run()
    made: list[tuple[int, int, int, int]] = []
    for wait, price, lots, symbol in trades:
        run.wait(wait)
        if run.state(symbol) is Trading.HALTED:
            break
        run.trade(price, lots, symbol)
        made.append((run.now, price, lots, symbol))
    breaker = run.breaker
    now = run.now + pause
    if any(act is Act.HALT for _, act in run.acts):
        return
    for symbol in (0, 1):
        breaker._leave(breaker.symbols[symbol], now)
        inside = [(p, q) for at, p, q, s in made if s == symbol and now - at < 120 * S]
        figures = breaker.symbols[symbol].figures()
        assert figures.lots == sum(q for _, q in inside)
        assert figures.notional == sum(p * q for p, q in inside)
        if inside:
            drop = 1 - inside[-1][0] / Fraction(figures.notional, figures.lots)
            due = When.LEVEL2 if drop > Fraction(1, 10) else When.LEVEL1 if drop >= Fraction(1, 20) else When.QUIET
            assert breaker.level(figures) is due


def test_the_table_has_every_check_once_and_says_what_the_engine_does() -> None:
    assert len({(row.state, row.when) for row in TABLE}) == len(TABLE)
    checks = (When.QUIET, When.LEVEL1, When.LEVEL2)
    assert {(r.state, r.when) for r in TABLE if r.when in checks} == {(s, w) for s in Trading for w in checks}
    ways = {Trading.OPEN: (), Trading.WARNED: (Act.WARN,), Trading.HALTED: (Act.HALT,)}
    for state, way in ways.items():
        for act in Act:
            engine = NativeTarget(instruments=Instruments(("S0",)))
            engine.start()
            for n, before in enumerate(way):
                engine.control(SetTrading(f"w{n}", "S0", before))
            (event, *_) = engine.control(SetTrading("x", "S0", act))
            rows = [row for row in TABLE if row.state is state and row.act is act]
            assert (event.ev == "trading") == bool(rows), (state, act)
            if rows:
                assert getattr(event, "state", None) == rows[0].to
            engine.close()


def test_the_page_shows_the_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "breaker.md").read_text(encoding="utf-8")
    shown = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in page.splitlines() if "| " in line]
    rows = [(str(row.state), str(row.when), str(row.act or ""), str(row.to)) for row in TABLE]
    assert [cells for cells in shown if cells in rows] == rows
