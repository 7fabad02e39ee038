"""Real order flow through the model and the native engine: identical events, identical state."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

from matchmark.conformance.messages import Cancelled, CancelRejected, Rejected, Replaced, Trade
from matchmark.conformance.targets.base import Instruments
from matchmark.conformance.targets.native import NativeTarget
from matchmark.load import bitstamp
from matchmark.reference.model import ModelEngine

HASHED_EVERY = 10_000


@pytest.mark.parametrize(("events", "each"), [(60_000, 2), pytest.param(314_057, 10, marks=pytest.mark.soak)])
def test_the_bitstamp_flow_gives_the_same_events_and_state_in_model_and_native(events, each):
    model = ModelEngine((bitstamp.SYMBOL,), emit_top=True)
    native = NativeTarget(instruments=Instruments((bitstamp.SYMBOL,)))
    native.start()
    seen: Counter[type] = Counter()
    number = 0
    for number, command in enumerate(islice(bitstamp.commands(), events), 1):  # repr: ids and reasons agree too
        expected, actual = model.submit(command), native.submit(command)
        assert repr(actual) == repr(expected), f"event {number}: {command}"
        seen.update(type(event) for event in expected)
        if number % HASHED_EVERY == 0:
            assert native.state_hash() == model.state_hash(), f"after event {number}"
    assert number == events
    assert native.state_hash() == model.state_hash()
    native.close()
    # The flow is worth replaying only if it does all of this.
    for event in (Trade, Cancelled, CancelRejected, Rejected, Replaced):
        assert seen[event] >= each, f"{event.__name__}: {seen[event]}"
    assert seen[Trade] > events / 200


def test_a_missing_data_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(bitstamp.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(bitstamp.FlowMissing, match=r"pip install 'matchmark\[flow\]'"):
        bitstamp.orders_file()
