"""Schedules: sorted, within their time, at their rate, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matchmark.load.arrivals import (
    KINDS,
    NS,
    Arrivals,
    ScheduleError,
    burst,
    constant,
    poisson,
    ramp,
    recorded,
    step,
)

rates = st.floats(1.0, 5_000.0)
seconds = st.floats(0.05, 4.0)
seeds = st.integers(0, 2**31)


@given(
    st.sampled_from(KINDS), rates, seconds, seeds, st.booleans(),
    st.lists(rates, min_size=1, max_size=4), st.integers(1, 50), st.floats(0.05, 1.0),
)  # fmt: skip
@settings(deadline=None, max_examples=150)
def test_every_schedule_goes_forward_within_its_time_and_again_the_same(
    kind, rate, length, seed, chance, steps, size, every
):
    asked = Arrivals(kind, rate, length, rate_end=rate * 2, rates=tuple(steps), size=size, every_s=every, random=chance)
    times = asked.times(seed)
    assert times.dtype == np.int64
    assert (np.diff(times) >= 0).all()
    assert not len(times) or (times[0] >= 0 and times[-1] <= length * NS + 1)
    assert np.array_equal(times, asked.times(seed))


@given(rates, seconds)
def test_constant_arrivals_are_evenly_spaced(rate, length):
    times = constant(rate, length)
    assert len(times) == max(1, round(rate * length))
    gaps = np.diff(times)
    assert not len(gaps) or gaps.max() - gaps.min() <= 1


@given(st.floats(500.0, 5_000.0), seeds)
@settings(deadline=None, max_examples=50)
def test_poisson_arrivals_have_their_rate_and_exponential_gaps(rate, seed):
    times = poisson(rate, 4.0, seed)
    expected = rate * 4
    assert abs(len(times) - expected) < 6 * expected**0.5
    gaps = np.diff(times) / NS
    # of exponential gaps the share above the mean is 1/e, and mean and deviation are equal
    assert abs((gaps > gaps.mean()).mean() - np.exp(-1)) < 0.05
    assert 0.85 < gaps.std() / gaps.mean() < 1.15


def test_other_seeds_are_other_schedules():
    assert not np.array_equal(poisson(1000, 1, 1), poisson(1000, 1, 2))


@given(st.floats(10.0, 2_000.0), st.floats(10.0, 2_000.0))
@settings(max_examples=50)
def test_a_ramp_goes_from_one_rate_to_the_other(start, end):
    times = ramp(start, end, 4.0) / NS
    first, last = (times < 1.0).sum(), (times >= 3.0).sum()
    quarter = (end - start) / 8
    assert abs(first - (start + quarter)) <= 2
    assert abs(last - (end - quarter)) <= 2


def test_steps_have_their_rates_one_after_the_other():
    times = step([100, 1000, 10], 2.0) / NS
    assert [((times >= a) & (times < a + 2)).sum() for a in (0, 2, 4)] == [200, 2000, 20]


def test_a_burst_is_at_one_instant():
    times = burst(100, 3.5, 250, 1.0)
    instants, counts = np.unique(times, return_counts=True)
    assert instants[counts >= 250].tolist() == [NS, 2 * NS, 3 * NS]
    assert len(times) == 350 + 3 * 250


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=200), st.sampled_from([0.5, 1.0, 2.0, 100.0]))
def test_a_recording_keeps_its_gaps_at_any_speed(stamps, speed):
    stamps.sort()
    times = recorded(stamps, speed)
    assert times[0] == 0
    assert np.allclose(times, (np.array(stamps) - stamps[0]) / speed, atol=1)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: constant(0, 1),
        lambda: constant(1, 0),
        lambda: poisson(float("nan"), 1, 1),
        lambda: constant(1e12, 10),
        lambda: burst(1, 1, 0, 1),
        lambda: step([], 1),
        lambda: recorded([3, 2, 1]),
        lambda: recorded([1, 2], 0),
        lambda: ramp(-1, 5, 1),
        lambda: Arrivals("sometimes").times(1),
    ],
)
def test_what_is_no_schedule_is_refused(wrong):
    with pytest.raises(ScheduleError):
        wrong()
