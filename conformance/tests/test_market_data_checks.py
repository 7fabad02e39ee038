"""The checks of market data: silent about what a sound feed says of any flow, and loud about each single thing gone wrong."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from matchmark.conformance.checks.finding import Finding
from matchmark.conformance.checks.market_data import (
    LATE_NS,
    Tape,
    check_books,
    check_chain,
    check_filter,
    check_joined,
    check_last,
    check_same_bytes,
    check_sizes,
    check_statuses,
    check_trades,
    check_windows,
    fresh,
    tapes,
    trades_of,
)
from matchmark.conformance.history import Exchange, History
from matchmark.conformance.market_data.updates import (
    Heard,
    Level,
    Status,
    Subscribed,
    Trade,
    Trading,
    Unsubscribed,
    Update,
    quote_of,
)
from matchmark.conformance.random_flow import FlowMaker
from matchmark.conformance.targets.model import ModelTarget

from .feed_replay import NUMBERS, WINDOW_NS, shown, updates_of

INFO = ModelTarget().info


def tape_of(seed: int, count: int = 200) -> Tape:
    has = INFO.capabilities - {"smp_cancel_newest", "smp_cancel_oldest"}
    commands = FlowMaker(random.Random(seed), has).flow(count)
    found = tapes(History([Exchange(c, ()) for c in commands]), INFO)
    return found["S0"]


def findings(tape: Tape, updates: list[Update]) -> list[Finding]:
    found = check_trades(tape.trades, trades_of(updates)) + check_chain(updates)
    return found or check_books(tape, updates) + check_last(tape, updates, "D09.6")


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("every", [1, 4])
@pytest.mark.parametrize("depth", [True, False])
def test_a_sound_feed_is_not_found_wrong(seed: int, every: int, depth: bool) -> None:
    tape = tape_of(seed)
    assert len(tape.trades) > 10
    updates = updates_of(tape, every, depth)
    assert findings(tape, updates) == []
    assert check_windows(updates, WINDOW_NS, 0) == []


def _edit(updates: list[Update], n: int, **values: object) -> list[Update]:
    return [replace(u, **values) if k == n else u for k, u in enumerate(updates)]  # type: ignore[arg-type]


def _with_trades(updates: list[Update]) -> list[int]:
    return [n for n, u in enumerate(updates) if u.trades]


def lost_trade(updates: list[Update]) -> list[Update]:
    n = _with_trades(updates)[3]
    return _edit(updates, n, trades=updates[n].trades[1:])


def twice(updates: list[Update]) -> list[Update]:
    n = _with_trades(updates)[3]
    return _edit(updates, n, trades=updates[n].trades + updates[n].trades[-1:])


def off_by_one_lot(updates: list[Update]) -> list[Update]:
    n = _with_trades(updates)[3]
    first = updates[n].trades[0]
    return _edit(updates, n, trades=(replace(first, quantity_lots=first.quantity_lots + 1), *updates[n].trades[1:]))


def other_side(updates: list[Update]) -> list[Update]:
    n = _with_trades(updates)[2]
    first = updates[n].trades[0]
    return _edit(updates, n, trades=(replace(first, sold=not first.sold), *updates[n].trades[1:]))


def wrong_after(updates: list[Update]) -> list[Update]:
    return _edit(updates, 9, after=updates[9].after - 1)


def left_out(updates: list[Update]) -> list[Update]:
    n = next(n for n, u in enumerate(updates) if n > 5 and not u.trades and u.after != u.sequence)
    return updates[:n] + updates[n + 1 :]


def no_snapshot(updates: list[Update]) -> list[Update]:
    return updates[3:]


def level_off(updates: list[Update]) -> list[Update]:
    n = next(n for n, u in enumerate(updates) if n > 5 and u.levels)
    level = updates[n].levels[0]
    return _edit(updates, n, levels=(replace(level, quantity_lots=level.quantity_lots + 1), *updates[n].levels[1:]))


def level_stays(updates: list[Update]) -> list[Update]:
    n = next(n for n, u in enumerate(updates) if any(not x.quantity_lots for x in u.levels))
    return _edit(updates, n, levels=tuple(x for x in updates[n].levels if x.quantity_lots))


def last_missing(updates: list[Update]) -> list[Update]:
    return _edit(updates, len(updates) - 1, book=False, levels=())


@pytest.mark.parametrize(
    ("broken", "clause"),
    [
        (lost_trade, "D09.1"), (twice, "D09.1"), (off_by_one_lot, "D09.7"), (other_side, "D09.1"), (wrong_after, "D09.X3"),
        (left_out, "D09.X3"), (no_snapshot, "D09.X3"), (level_off, "D09.X2"), (level_stays, "D09.X2"),
        (last_missing, "D09.6"),
    ],
)  # fmt: skip
def test_each_thing_that_goes_wrong_breaks_its_clause(
    broken: Callable[[list[Update]], list[Update]], clause: str
) -> None:
    tape = tape_of(1)
    assert clause in {f.clause for f in findings(tape, broken(updates_of(tape)))}


def test_trades_made_one_are_conflated() -> None:
    equal = [(100, 5, True)] * 3
    found = check_trades(equal, [Trade(1, 100, 5, True), Trade(3, 100, 10, True)])
    assert [f.clause for f in found] == ["D09.X1", "D09.1"] and "as one" in found[0].message


def test_swapped_trades_and_numbers_that_do_not_grow() -> None:
    found = check_trades([(100, 5, True), (101, 5, True)], [Trade(1, 101, 5, True), Trade(2, 100, 5, True)])
    assert [f.clause for f in found] == ["D09.1"] and "another order" in found[0].message
    found = check_trades([(100, 5, True), (101, 5, True)], [Trade(2, 100, 5, True), Trade(2, 101, 5, True)])
    assert [f.clause for f in found] == ["D09.1"] and "grow" in found[0].message


def test_a_book_that_goes_back_in_time_is_found() -> None:
    """A state that the model had, but before one that was shown already."""
    tape = Tape("S0")
    states = [(((100, n),), ()) for n in (1, 2, 3)]
    for state in states:
        tape.add([], state)
    updates = updates_of(tape)
    assert check_books(tape, updates) == []
    back = [*updates, shown(tape, 3 * NUMBERS, 4 * NUMBERS, states[2], states[0], depth=True)]
    assert [f.clause for f in check_books(tape, back)] == ["D09.X2"]


def test_a_book_ahead_of_its_trades_is_found() -> None:
    tape = tape_of(2)
    updates = updates_of(tape)
    n = _with_trades(updates)[4]
    early = replace(updates[n], book=True, levels=(), trades=updates[n].trades)
    assert [f.clause for f in check_books(tape, [*updates[:n], early])] == ["D09.X2"]


def test_duplicates_are_told_by_their_sequence() -> None:
    tape = tape_of(3)
    updates = updates_of(tape)
    n = _with_trades(updates)[2]
    again = [*updates[: n + 2], updates[n], *updates[n + 2 :]]
    assert len(fresh(again)) == len(updates)
    assert findings(tape, again) != []
    assert findings(tape, fresh(again)) == []


def test_a_latecomer_is_held_against_the_books_since_it_came() -> None:
    tape = tape_of(4)
    updates = updates_of(tape)
    n = len(tape.books) // 2
    snapshot = shown(tape, 0, n * NUMBERS, ((), ()), tape.books[n], depth=True, snapshot=True)
    late = [snapshot, *(u for u in updates if u.after >= n * NUMBERS)]
    assert check_books(tape, late) == [] and check_joined(updates, late) == []
    behind = shown(tape, 0, n * NUMBERS, ((), ()), tape.books[n - 1], depth=True, snapshot=True)
    late[0] = behind
    assert [f.clause for f in check_joined(updates, late)] == ["D09.X4"]


def test_windows_count_books_and_not_trades_or_snapshots() -> None:
    at = [0, 2, 3, 11, 21, 31]
    books = [Update("S", n, n + 1, book=True, at_ns=ms * 1_000_000) for n, ms in enumerate(at)]
    assert [f.clause for f in check_windows(books, WINDOW_NS, 5_000_000)] == ["D09.6"]
    asked: list[tuple[int, int]] = []
    assert check_windows(books, WINDOW_NS, 5_000_000, lambda *at: asked.append(at) or 2 * WINDOW_NS) == []  # type: ignore[func-returns-value]
    assert asked and all(begin <= end - LATE_NS for begin, end in asked), (
        "also a break that ended before the first was read"
    )
    assert check_windows(books[2:], WINDOW_NS, 3_000_000) == []
    trades = [Update("S", n, n + 1, trades=(Trade(n + 1, 1, 1, True),), at_ns=n) for n in range(9)]
    assert check_windows([replace(books[0], snapshot=True), *books[1:2], *trades], WINDOW_NS, 0) == []


def test_the_filter_goes_by_what_was_confirmed() -> None:
    update = Update("S1", 0, 1)
    good: list[Heard] = [Subscribed(1, ("S1",)), update, Unsubscribed(2, ("S1",))]
    assert check_filter(good) == []
    assert [f.clause for f in check_filter([*good, update])] == ["D09.5"]
    assert [f.clause for f in check_filter([Subscribed(1, ("S2",)), update])] == ["D09.5"]


def test_sizes_bytes_and_statuses() -> None:
    small, large = Trade(9, 100, 5, True, 17), Trade(9, 1 << 40, 5, True, 20)
    assert [f.clause for f in check_sizes([Update("S", 0, 9, (small,))])] == ["D09.7"]
    assert check_sizes([Update("S", 0, 9, (large, replace(small, size=16)))]) == []
    one, other = Update("S", 0, 1, raw=b"a"), Update("S", 0, 1, raw=b"b")
    assert check_same_bytes([[one], [one]]) == [] and check_same_bytes([[one], [other]])[0].clause == "D09.8"
    halted = Update("S", 0, 4, (Trade(1, 9, 1, True), Trade(4, 9, 2, True)), (Status(3, Trading.HALTED),))
    assert check_statuses([(9, 1, True), Trading.HALTED, (9, 2, True)], [halted]) == []
    assert check_statuses([(9, 1, True), (9, 2, True), Trading.HALTED], [halted])[0].clause == "D09.X10"
    assert check_statuses([(9, 1, True), (9, 2, True)], [halted])[0].clause == "D09.X10"


def test_a_quote_is_held_against_the_model_s_top() -> None:
    tape = tape_of(5)
    updates = updates_of(tape, depth=False)
    n = next(n for n, u in enumerate(updates) if n > 20 and u.quote and u.quote.bid and u.quote.ask)
    quote = updates[n].quote
    assert quote is not None
    turned = replace(quote, bid=quote.ask, ask=quote.bid)
    assert [f.clause for f in check_books(tape, _edit(updates, n, quote=turned))] == ["D09.X2"]
    assert quote_of(tape.last) == updates[-1].quote
    assert Level(True, 1, 1) != Level(False, 1, 1)
