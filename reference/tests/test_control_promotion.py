"""The takeover's steps, and what each durability mode may go on with."""

from __future__ import annotations

import pytest

from matchmark.reference.control.promotion import (
    AcceptOrders,
    Compare,
    Flush,
    Found,
    Locate,
    MarkOpened,
    Mode,
    OpenSessions,
    Own,
    Promotion,
    Replay,
    State,
    Step,
    TakeLease,
)

WHOLE = Found("a", 120, memory=True)
CUT = Found("a", 120)
AWAY = Found("a", None, why="EIO")


def steps(mode: Mode, own: Own, log: Found, forced: bool = False) -> tuple[list[Step], Promotion]:
    """Everything goes well once `log` is found."""
    promotion = Promotion(mode, own, forced)
    taken: list[Step] = [promotion.begin()]
    step = promotion.located(log)
    while step is not None:
        taken.append(step)
        match step:
            case Compare():
                step = promotion.compared(True)
            case Replay(_, _, last):
                step = promotion.replayed(last)
            case Flush():
                step = promotion.flushed()
            case TakeLease():
                step = promotion.leased()
            case MarkOpened():
                step = promotion.marked()
            case OpenSessions():
                step = promotion.opened()
            case _:
                break
    return taken, promotion


THEN_OPEN = [Flush(), TakeLease(), MarkOpened(None), OpenSessions(), AcceptOrders()]


def test_the_gap_is_in_our_log_and_on_our_disk_before_the_lease_and_the_lease_is_held_before_a_session_opens() -> None:
    taken, promotion = steps("async", Own(100), WHOLE)
    assert taken == [Locate(), Compare("a", 100), Replay("a", 101, 120), *THEN_OPEN]
    assert promotion.state is State.SERVING


def test_without_a_gap_the_join_is_compared_all_the_same() -> None:
    taken, _ = steps("async", Own(120), WHOLE)
    assert taken == [Locate(), Compare("a", 120), *THEN_OPEN]


def test_a_standby_that_has_more_than_the_log_keeps_it() -> None:
    taken, _ = steps("fsync", Own(130), CUT)
    assert taken[1:3] == [Compare("a", 120), Flush()]


@pytest.mark.parametrize(
    ("mode", "own", "log", "goes_on", "missing"),
    [
        ("async", Own(100), WHOLE, True, None),
        ("fsync", Own(100), WHOLE, True, None),
        ("replicated", Own(100), WHOLE, True, None),
        ("async", Own(100), CUT, True, "last 10 ms"),
        ("fsync", Own(100), CUT, True, None),
        ("replicated", Own(100, noted=True), CUT, True, None),
        ("replicated", Own(100), CUT, False, "another standby"),
        ("async", Own(100), AWAY, True, "after record 100"),
        ("async", Own(100, noted=True), AWAY, True, "after record 100"),
        ("fsync", Own(100), AWAY, False, "EIO"),
        ("fsync", Own(100, noted=True), AWAY, False, "EIO"),
        ("replicated", Own(100, noted=True), AWAY, True, None),
        ("replicated", Own(100), AWAY, False, "another standby"),
    ],
)
def test_each_mode_goes_on_with_what_it_promised_and_no_less(
    mode: Mode, own: Own, log: Found, goes_on: bool, missing: str | None
) -> None:
    taken, promotion = steps(mode, own, log)
    assert (promotion.state is State.SERVING) == goes_on
    if goes_on:
        assert MarkOpened(promotion.may_be_missing) in taken and taken[-1] == AcceptOrders()
        assert promotion.may_be_missing is None if missing is None else missing in str(promotion.may_be_missing)
        return
    assert missing is not None and missing in str(promotion.refusal)
    taken, promotion = steps(mode, own, log, forced=True)
    assert taken[-1] == AcceptOrders() and missing in str(promotion.may_be_missing), "forced: stated"


@pytest.mark.parametrize(("at", "words"), [(0, "at or before record 100"), (42, "from record 42")])
def test_a_standby_that_has_diverged_is_refused_with_the_record(at: int, words: str) -> None:
    promotion = Promotion("async", Own(100))
    promotion.located(WHOLE)
    assert promotion.compared(False, at) is None
    assert promotion.state is State.REFUSED and words in str(promotion.refusal)


def test_a_gap_that_ends_too_early_is_refused() -> None:
    promotion = Promotion("async", Own(100))
    promotion.located(WHOLE)
    promotion.compared(True)
    assert promotion.replayed(119) is None
    assert "record 119 of 120" in str(promotion.refusal)


def test_a_step_that_fails_ends_the_try() -> None:
    promotion = Promotion("async", Own(100))
    promotion.located(WHOLE)
    promotion.compared(True)
    promotion.failed("record 110 is damaged")
    assert (promotion.state, promotion.refusal) == (State.REFUSED, "record 110 is damaged")


def test_no_order_is_accepted_out_of_turn() -> None:
    for far in range(6):
        promotion = Promotion("async", Own(100))
        if far > 0:
            promotion.located(WHOLE)
        if far > 1:
            promotion.compared(True)
        if far > 2:
            promotion.replayed(120)
        if far > 3:
            promotion.flushed()
        if far > 4:
            promotion.leased()
        with pytest.raises(KeyError):
            promotion.opened()
        if far < 4:
            with pytest.raises(KeyError):
                promotion.leased()
