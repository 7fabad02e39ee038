"""Diagram 8 in its corners: each example is the least that shows a bug which a mutant of the self-test has."""

from __future__ import annotations

import pytest

from matchmark.conformance.driver import Driver
from matchmark.conformance.messages import Accepted, Cancelled
from matchmark.conformance.suites._support import VIEWS, View, expect, without_top

pytestmark = pytest.mark.needs("limit", "ioc")


@VIEWS
@pytest.mark.clause("D08.3")
def test_what_rests_exactly_at_the_limit_is_used_and_nothing_behind_it(engine: Driver, view: View) -> None:
    """The limit itself is within the limit."""
    better, at, behind = (view.rest(engine, 10, px) for px in (10_050, 10_049, 10_048))
    incoming = view.ioc(engine, 25, 10_049)
    answer = [
        Accepted(incoming.cl),
        view.trade(engine, 10, 10_050, better, incoming),
        view.trade(engine, 10, 10_049, at, incoming),
        Cancelled(incoming.cl, 5, 20),
    ]
    expect(engine, "D08.3", answer, without_top(incoming), f"20 lots are within the limit, {behind.cl} is not")


@VIEWS
@pytest.mark.needs("accounts")
@pytest.mark.clause("D08.X5")
def test_an_ioc_trades_through_own_orders(engine: Driver, view: View) -> None:
    """It asked for no self-match prevention: the order of its own account is met in its turn, and matching goes on."""
    resting = [view.rest(engine, 5 + n, 10_050, acct=acct) for n, acct in enumerate(("A1", "A2", "A3"))]
    incoming = view.ioc(engine, 20, 10_050)
    trades = [view.trade(engine, 5 + n, 10_050, r, incoming) for n, r in enumerate(resting)]
    answer = [Accepted(incoming.cl), *trades, Cancelled(incoming.cl, 2, 18)]
    expect(engine, "D08.X5", answer, without_top(incoming), "three trades, and the rest is cancelled")
