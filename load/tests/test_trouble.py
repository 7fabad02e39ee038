"""When a run must end before its time: each kind of trouble from counts alone."""

from __future__ import annotations

from dataclasses import replace

from matchmark.load.cannon import CLOSED, GARBAGE, LOGGED_OUT, REFUSED, SILENT, CannonCounts, SessionEnd
from matchmark.load.trouble import REJECTS_MIN, Watch, at_logon

NONE = (0,) * 9
CALM = CannonCounts(1_000, 1_000, 1_300, 10, 0, 0, 0, 1, 2, 0, 0, 0, NONE, NONE)


def test_a_calm_run_has_none():
    watch = Watch(2, 1.0)
    for second in range(10):
        assert watch.look(replace(CALM, sent=CALM.sent + second, told=CALM.told + second), (), float(second)) is None


def test_a_run_that_waits_for_its_next_order_has_none():
    watch = Watch(2, 1.0)
    assert all(watch.look(CALM, (), float(second)) is None for second in range(10))


def test_silence_with_orders_out_is_a_stall_and_no_sooner():
    watch = Watch(2, 3.0)
    stuck = replace(CALM, sent=2_000)
    found = [watch.look(stuck, (), second / 2) for second in range(10)]
    assert [t is not None for t in found] == [False] * 7 + [True] * 3
    assert "1,000 orders" in str(found[-1])


def test_all_rejected_is_trouble_but_not_some():
    watch = Watch(2)
    assert watch.look(replace(CALM, told=REJECTS_MIN, rejected=REJECTS_MIN - 1), (), 0.0) is None
    trouble = watch.look(replace(CALM, told=REJECTS_MIN, rejected=REJECTS_MIN), (), 0.0, "no money")
    assert trouble is not None
    assert (trouble.kind, "no money" in trouble.text) == ("rejects", True)


def test_a_session_that_is_down_is_trouble_and_garbage_goes_first():
    ends = [SessionEnd("A", CLOSED, 104, ""), SessionEnd("B", GARBAGE, 0, "")]
    trouble = Watch(2).look(replace(CALM, down=2), ends, 0.0)
    assert trouble is not None
    assert trouble.kind == "garbage"


def test_logons_that_fail_are_told_apart():
    kinds = {
        end: at_logon([SessionEnd("A", end, 111 if end == REFUSED else 0, "")], 2)
        for end in (REFUSED, SILENT, LOGGED_OUT)
    }
    assert {end: trouble and trouble.kind for end, trouble in kinds.items()} == {
        REFUSED: "refused", SILENT: "logon", LOGGED_OUT: "logon",
    }  # fmt: skip
    assert at_logon([], 2) is None
