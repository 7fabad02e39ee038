"""Diagram 9 and 5: subscribers are told of warnings, halts and resumes, in their place between the trades."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from matchmark.conformance.checks.market_data import Item, check_statuses, items
from matchmark.conformance.lab import Lab
from matchmark.conformance.market_data.subscriber import Subscriber
from matchmark.conformance.market_data.updates import Trading
from matchmark.conformance.suites._breaker import BULK, Market
from matchmark.conformance.suites._market_data_lab import WAIT_S, LabWatch
from matchmark.conformance.targets.profile_breaker import TICKS
from matchmark.conformance.trading_messages import Trading as State

pytestmark = pytest.mark.needs("market_data", "breaker", "fix", "restart")


@pytest.mark.clause("D09.X10")
def test_a_warning_a_halt_and_a_resume_stand_where_they_happened(lab: Lab) -> None:
    """Trades, a fall to level 1, one to level 2, a resume, trades again; the second client joins while it is halted."""
    m = Market(lab, "D09.X10")
    at = m.symbol()
    with LabWatch(lab, "D09.X10", at.symbol) as watch:
        client = watch.join()
        expected: list[Item] = []

        def trade(ticks: int, lots: int = 1) -> None:
            m.trade(at, ticks, lots)
            expected.append((ticks, lots, True))

        trade(TICKS, BULK)
        trade(m.at_warning)
        m.expect_state(at, State.WARNED)
        expected.append(Trading.WARNED)
        heard(watch, client, expected)
        trade(m.beyond_halt)
        m.expect_state(at, State.HALTED)
        expected.append(Trading.HALTED)
        heard(watch, client, expected)
        late = watch.join()
        if not late.wait(lambda: Trading.HALTED in list(items(late.updates(at.symbol))), WAIT_S):
            said = [str(u) for u in late.updates(at.symbol)]
            watch.fail("who joins during a halt is told of it", ["halted"], said)
        if "operator" in lab.profile.info.capabilities:
            m.resume(at)
            m.expect_state(at, State.OPEN)
            expected.append(Trading.NORMAL)
            trade(m.beyond_halt)
            heard(watch, client, expected)


def heard(watch: LabWatch, client: Subscriber, expected: Sequence[Item]) -> None:
    """The client has heard just this, in this order."""
    client.wait(lambda: len(list(items(client.updates(watch.symbol)))) >= len(expected), WAIT_S)
    watch.blame(check_statuses(expected, client.updates(watch.symbol)))
