"""Histograms: what is recorded comes back within a thousandth, and a merge is the histogram of all values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matchmark.load.latency import (
    HIGHEST_NS,
    HistogramFileError,
    Latencies,
    lowest_equivalent,
    merge_logs,
    read_log,
    show_ns,
    write_log,
)
from matchmark.load.swarm_stats import Recorder, Union

values = st.lists(st.integers(0, HIGHEST_NS), max_size=60)


@given(st.lists(st.integers(0, HIGHEST_NS), min_size=1, max_size=100))
@settings(deadline=None, max_examples=60)
def test_buckets_are_those_of_hdrhistogram(some):
    ours = lowest_equivalent(np.array(some, dtype=np.int64))
    theirs = [Latencies().histogram.get_lowest_equivalent_value(value) for value in some]
    assert ours.tolist() == theirs


@given(st.lists(st.integers(0, HIGHEST_NS), min_size=1, max_size=60), st.floats(0, 100))
@settings(deadline=None, max_examples=8)
def test_percentiles_and_counts_are_those_of_hdrhistogram(some, percent):
    one = Latencies.of(some)
    theirs = one.histogram
    assert one.percentile(percent) == theirs.get_value_at_percentile(percent)
    low = theirs.get_lowest_equivalent_value
    recorded = {low(x.value_iterated_to): x.count_at_value_iterated_to for x in theirs.get_recorded_iterator()}
    assert one.buckets() == recorded
    assert one.summary().min_ns == low(theirs.get_min_value())
    assert one.summary().mean_ns == pytest.approx(theirs.get_mean_value(), rel=1e-3, abs=1)


@given(st.lists(values, min_size=1, max_size=5))
@settings(deadline=None, max_examples=40)
def test_a_merge_is_the_histogram_of_all_values(parts):
    merged = Latencies()
    for part in parts:
        merged.merge(Latencies.of(part))
    union = Latencies.of([value for part in parts for value in part])
    assert merged.buckets() == union.buckets()
    assert merged.summary() == union.summary()


@given(st.lists(values, min_size=1, max_size=4))
@settings(deadline=None, max_examples=30)
def test_what_workers_send_adds_up_to_the_union(parts):
    union = Union()
    for n, part in enumerate(parts):
        recorder = Recorder()
        for value in part:
            recorder.record("new", value)
        union.add(f"worker {n}", recorder.take())
    everything = [value for part in parts for value in part]
    there = union.histograms["new"].buckets() if everything else {}
    assert there == (Latencies.of(everything).buckets() if everything else {})


@given(st.lists(st.integers(1, HIGHEST_NS), min_size=1, max_size=500))
@settings(deadline=None, max_examples=50)
def test_percentiles_are_within_a_thousandth_and_never_below(some):
    one = Latencies.of(some)
    ordered = sorted(some)
    for percent in (50.0, 99.0, 100.0):
        exact = ordered[max(1, int(percent / 100 * len(ordered) + 0.5)) - 1]
        assert exact <= one.percentile(percent) <= exact * 1.001 + 1


def test_a_file_gives_back_what_was_written_and_files_merge(tmp_path):
    draw = np.random.default_rng(1)
    parts = [draw.exponential(1e6, 10_000).astype(np.int64) for _ in range(3)]
    for n, part in enumerate(parts):
        write_log(
            tmp_path / f"{n}.hlog", {"response": Latencies.of(part), "lateness": Latencies.of(part // 7)}, 1e9 + n, 5.0
        )
    assert read_log(tmp_path / "0.hlog")["response"].buckets() == Latencies.of(parts[0]).buckets()
    merged = merge_logs(sorted(tmp_path.iterdir()))
    assert merged["response"].buckets() == Latencies.of(np.concatenate(parts)).buckets()
    assert set(merged) == {"response", "lateness"}


@pytest.mark.parametrize("text", ["nonsense\n", "Tag=a,0.000,1.000,1.0,SGVsbG8=\n", "1,2\n"])
def test_a_file_that_is_none_is_refused_with_its_line(tmp_path, text):
    path = tmp_path / "broken.hlog"
    path.write_text("#[comment]\n" + text, encoding="ascii")
    with pytest.raises(HistogramFileError, match=r"broken\.hlog:2"):
        read_log(path)


def test_an_empty_histogram_has_no_percentiles():
    summary = Latencies().summary()
    assert (summary.count, summary.p99_ns, summary.max_ns) == (0, 0, 0)


def test_what_is_below_zero_is_counted():
    one = Latencies.of([-5, 10])
    assert (one.count, one.negative) == (2, 1)


def test_times_have_the_unit_that_fits():
    assert [show_ns(n) for n in (870, 12_345, 4_560_000, 1_200_000_000)] == ["870 ns", "12.3 us", "4.56 ms", "1.20 s"]
