"""Expected against actual, the wire log, and the latency plot: what a reader sees is what happened."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matchmark.reports.compare import Row, compare
from matchmark.reports.latency import plot
from matchmark.reports.records import LatencyRow
from matchmark.reports.wirelog import SHOWN_BEFORE, left_out_after, message, nanoseconds, rows

lines = st.lists(st.sampled_from(["accepted cl=c1", "trade px=1 qty=2", "trade px=1 qty=3", "top", ""]), max_size=6)


def side(table: list[Row], which: str) -> list[str]:
    cells = [getattr(row, which) for row in table]
    return ["".join(piece.text for piece in cell) for cell in cells if cell is not None]


@given(lines, lines)
def test_no_line_is_lost_or_changed(expected: list[str], actual: list[str]) -> None:
    table = compare(expected, actual)
    assert side(table, "expected") == expected
    assert side(table, "actual") == actual


@given(lines, lines)
def test_exactly_the_first_difference_is_marked(expected: list[str], actual: list[str]) -> None:
    table = compare(expected, actual)
    assert [row.first for row in table].count(True) == (expected != actual)
    for row in table:
        assert row.differs == (row.expected != row.actual)
        if row.first:
            break
        assert not row.differs


def test_the_differing_words_are_marked() -> None:
    (row,) = compare(["cancelled cl=c1 leaves=200"], ["cancelled cl=c1 leaves=500"])
    assert row.expected is not None
    assert [(p.text, p.differs) for p in row.expected] == [("cancelled cl=c1 ", False), ("leaves=200", True)]


def test_an_extra_line_does_not_shift_the_others() -> None:
    table = compare(["a", "b", "c"], ["a", "x", "b", "c"])
    assert [row.differs for row in table] == [False, True, False, False]
    assert table[1].expected is None


def exchange(n: int) -> dict[str, object]:
    return {"sent_ns": 1000 * n, "command": {"op": "new", "cl": f"c{n}"}, "events": [{"ev": "accepted", "cl": f"c{n}"}]}


def test_a_short_transcript_is_shown_whole() -> None:
    table = rows([exchange(n) for n in range(10)], 3)
    assert [x.number for x in table] == list(range(1, 11))
    assert [x.number for x in table if x.marked] == [4]
    assert table[9].at == "9.00 µs"


@given(st.integers(1, 400), st.data())
def test_nothing_is_left_out_of_a_long_transcript_without_a_word(length: int, data: st.DataObject) -> None:
    transcript = [exchange(n) for n in range(length)]
    index = data.draw(st.none() | st.integers(0, length - 1))
    table = rows(transcript, index)
    assert sum(x.omitted for x in table) + len(table) + left_out_after(transcript, table) == length
    (marked,) = [x.number for x in table if x.marked]
    assert marked == (length if index is None else index + 1)
    assert set(range(max(1, marked - SHOWN_BEFORE), marked)) <= {x.number for x in table}


def test_an_empty_transcript_has_no_rows() -> None:
    assert rows([], None) == []
    assert left_out_after([], []) == 0


@pytest.mark.parametrize("wire", [None, 3, "x", [], {}, {"op": None, "x": [1, None]}])
def test_whatever_was_recorded_can_be_shown(wire: object) -> None:
    assert isinstance(message(wire).verb, str)
    (row,) = rows([{"command": wire, "events": wire}], None)
    assert row.marked


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1000, "1.00 µs"),
        (12_345, "12.3 µs"),
        (123_456_789, "123 ms"),
        (2 * 10**9, "2.00 s"),
    ],
)
def test_times_have_a_unit(ns: int, text: str) -> None:
    assert nanoseconds(ns) == text


def test_no_samples_no_plot() -> None:
    assert plot([]) is None
    assert plot([LatencyRow("s", 0, 0, 0, 0, 0)]) is None


@given(st.lists(st.tuples(*[st.integers(0, 10**11)] * 5), min_size=1, max_size=5))
def test_every_mark_is_on_the_plot_and_in_order(values: list[tuple[int, ...]]) -> None:
    latencies = [LatencyRow("s", 1, *sorted(v[:4]), v[4] or None) for v in values]
    drawn = plot(latencies)
    assert drawn is not None
    for bar in drawn.bars:
        assert 0 <= bar.marks[0] <= bar.marks[1] <= bar.marks[2] <= bar.marks[3] <= 1000
        assert bar.budget_at is None or 0 <= bar.budget_at <= 1000
    assert [tick.at for tick in drawn.ticks] == sorted({tick.at for tick in drawn.ticks})
