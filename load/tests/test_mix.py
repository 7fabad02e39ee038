"""Mixes: those of the kit are sound, what is wrong with one is said, and the flow of one is a function of its seed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from matchmark.load.arrivals import constant
from matchmark.load.flow import Place, bitstamp_shots, shots_of
from matchmark.load.mix import BITSTAMP, MixError, load_mix, names
from matchmark.load.shots import CANCEL, MARKET, NEW, REPLACE, SELLS

ALL = frozenset(("limit", "market", "ioc", "cancel", "replace"))
TIMES = constant(10_000, 2.0)


@pytest.mark.parametrize("name", [name for name in names() if name != BITSTAMP])
def test_a_mix_of_the_kit_gives_the_same_orders_for_the_same_seed(name):
    mix, out = load_mix(name).without(ALL)
    assert not out
    assert mix.text
    shots = shots_of(mix, TIMES, Place(4, 4), 7)
    assert np.array_equal(shots, shots_of(mix, TIMES, Place(4, 4), 7))
    assert not np.array_equal(shots, shots_of(mix, TIMES, Place(4, 4), 8))
    assert (shots["symbol"] == shots["session"]).all()
    assert (shots["lots"] > 0).all()
    assert (shots["price_ticks"][(shots["flags"] & MARKET) == 0] > 0).all()


def test_cancels_and_replaces_name_an_earlier_order_of_their_session_and_side():
    mix, _ = load_mix("market-making").without(ALL)
    shots = shots_of(mix, TIMES, Place(3, 3), 1)
    for session in range(3):
        own = shots[shots["session"] == session]
        about = np.flatnonzero(own["op"] != NEW)
        assert len(about) > 1000
        orig = own["orig"][about]
        assert (orig < about).all()
        assert (own["op"][orig] != CANCEL).all()
        assert ((own["flags"][orig] & SELLS) == (own["flags"][about] & SELLS)).all()
        assert len(np.unique(orig)) == len(orig), "an order is cancelled or replaced once"


def test_the_flash_crash_falls_and_comes_back():
    mix, _ = load_mix("flash-crash").without(ALL)
    shots = shots_of(mix, TIMES, Place(1, 1), 3)
    prices = shots["price_ticks"][shots["price_ticks"] > 0].astype(float)
    n = len(prices)
    start, bottom, end = (np.median(prices[int(n * a) : int(n * b)]) for a, b in ((0, 0.3), (0.6, 0.68), (0.95, 1)))
    assert bottom < start * 0.95
    assert end > bottom * 1.03


def test_what_the_target_cannot_is_left_out():
    mix, out = load_mix("specification").without(frozenset({"limit", "cancel"}))
    assert out == ["ioc", "market", "replace"]
    kinds = Counter(shots_of(mix, TIMES, Place(1, 1), 1)["op"].tolist())
    assert set(kinds) == {NEW, CANCEL}


def test_shared_symbols_are_traded_by_all():
    mix, _ = load_mix("specification").without(ALL)
    shots = shots_of(mix, TIMES, Place(4, 2, own=False), 1)
    assert {(int(s), int(y)) for s, y in zip(shots["session"], shots["symbol"], strict=True)} == {
        (s, y) for s in range(4) for y in range(2)
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "at least one"),
        ("nonsense = 1", "unknown key nonsense"),
        ("[[phases]]\nshare = 0.5\n[phases.weights]\npassive = 1", "sum to 0.5"),
        ("[[phases]]\n[phases.weights]\ndance = 1", "weights"),
        ("[[phases]]\nlots = [0, 3]\n[phases.weights]\npassive = 1", "lots"),
        ("[[phases]]\nlots = 3\n[phases.weights]\npassive = 1", "LEAST"),
        ("[[phases]]\nsells = 2\n[phases.weights]\npassive = 1", "sells"),
        ("[[phases]]\n[phases.weights]\npassive = 0", "one is above"),
        ("[arrivals]\nkind = 'never'\n[[phases]]\n[phases.weights]\npassive = 1", "kind"),
        ("= 3", "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_mix_is_said(tmp_path, text, said):
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(MixError, match=said):
        load_mix(str(path))


def test_an_unknown_mix_is_told_which_there_are():
    with pytest.raises(MixError, match="market-making"):
        load_mix("no-such")


def test_a_mix_of_nothing_but_what_is_missing_is_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[[phases]]\n[phases.weights]\nmarket = 1", encoding="utf-8")
    with pytest.raises(MixError, match="nothing is left"):
        load_mix(str(path)).without(frozenset({"limit"}))


def test_the_bitstamp_flow_is_the_recording_at_any_speed():
    slow, fast = (bitstamp_shots(Place(4, 1, False), speed, 20_000) for speed in (1.0, 60.0))
    assert len(slow) == 20_000
    assert np.allclose(slow["at_ns"] / 60, fast["at_ns"].astype(float), atol=1)
    assert (np.diff(slow["at_ns"].astype(np.int64)) >= 0).all()
    kinds = Counter(slow["op"].tolist())
    assert kinds[NEW] > 5_000
    assert kinds[CANCEL] > 5_000
    assert kinds[REPLACE] > 5
