"""Orders that the suites mean to be good stay within the largest price that the target declares.

A target without `validation` is never to see another: it would be blamed for taking what its profile says it cannot.
"""

from __future__ import annotations

import hypothesis
import pytest

from matchmark.conformance.driver import Driver
from matchmark.conformance.messages import New
from matchmark.conformance.strategies import run_property
from matchmark.conformance.suites import (
    test_d01_limit_order,
    test_d02_market_order,
    test_d03_partial_fill,
    test_d04_cancel,
    test_d07_price_walk,
    test_d08_ioc,
)
from matchmark.conformance.targets.base import Instruments, TargetInfo
from matchmark.conformance.targets.model import ModelTarget

SUITES = (
    test_d01_limit_order,
    test_d02_market_order,
    test_d03_partial_fill,
    test_d04_cancel,
    test_d07_price_walk,
    test_d08_ioc,
)
DECLARED = frozenset({"limit", "market", "ioc", "cancel", "top"})


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.__name__.rpartition(".")[2])
@pytest.mark.parametrize("largest", [1000, 2**32, 2**53 - 1])
def test_no_price_is_beyond_the_declared_largest(suite, largest: int) -> None:
    target = ModelTarget(instruments=Instruments(("S0",), price_max_ticks=largest))
    target.info = TargetInfo("narrow", "1", DECLARED, target.info.instruments)
    engine = Driver(target)
    prices: list[int] = []

    def note() -> None:
        prices.extend(c.px for c in engine.history.commands if isinstance(c, New) and c.px is not None)

    settings = hypothesis.settings(max_examples=60, deadline=None, database=None, phases=[hypothesis.Phase.generate])
    run_property(suite.PROFILE, engine, settings, on_end=note)
    assert prices
    assert min(prices) >= 1
    assert max(prices) <= largest
