"""The checks of the direct feed, and its mutants, against packets that are made here: what each gets wrong is found by the clause
that it breaks."""

from __future__ import annotations

import struct

import pytest

from matchmark.conformance.checks.direct_feed import ages_ns, check_numbers, check_same, check_told, plain
from matchmark.conformance.checks.finding import Finding
from matchmark.conformance.checks.market_data import Tape
from matchmark.conformance.packets.receiver import ANSWER, CONTINUES, LAST, Message, Numbers, decode
from matchmark.conformance.selftest.direct_proxy import DirectTap
from matchmark.conformance.selftest.wire_direct import Editing
from matchmark.conformance.selftest.wire_mutants import WIRES
from matchmark.conformance.timing import AT_A_DIRECT_CLIENT, OTHER_CLOCK_NS, Measured

from .feed_replay import updates_of

DIRECT = {name: wire.wire.direct_tap for name, wire in WIRES.items() if name.startswith("wire-feed-direct-")}
EDITING = sorted(
    name for name, tap in DIRECT.items() if tap is not None and issubclass(tap, Editing) and "halt" not in name
)
"""The others show where somebody loses a packet, asks, or starts again."""
COMMANDS = (
    (Message("A", LAST, 0, 0, 3, 2, 9, 1, price=100, quantity=5),),
    (Message("A", LAST, 1, 0, 3, 4, 9, 2, price=103, quantity=7),),
    (
        Message("A", 0, 1, 0, 3, 6, 9, 3, price=100, quantity=8),
        Message("E", LAST, 1, 3, 3, 7, 9, 3, 1, 100, 5, leaves=3, resting_leaves=0),
    ),
    (Message("X", LAST, 1, 0, 3, 9, 9, 3, quantity=3),),
    (
        Message("A", 0, 0, 0, 3, 11, 9, 4, price=103, quantity=2),
        Message("E", LAST, 0, 2, 3, 14, 9, 4, 2, 103, 2, 0, 0, 5),
    ),
)


def tape() -> Tape:
    """Of the same commands."""
    made = Tape("S")
    made.add([], (((100, 5),), ()))
    made.add([], (((100, 5),), ((103, 7),)))
    made.add([(100, 5, True)], ((), ((100, 3), (103, 7))))
    made.add([], ((), ((103, 7),)))
    made.add([(103, 2, False)], ((), ((103, 5),)))
    return made


def encoded(m: Message) -> bytes:
    head = struct.pack("<BBBBIQQ", ord(m.type), m.flags, m.side, m.state, m.symbol, m.sequence, m.matched_ns)
    if m.type == "E":
        body = m.order_id, m.resting_order_id, m.price, m.quantity, m.leaves, m.resting_leaves, 0
        return head + struct.pack("<QQqIIII", *body)
    if m.type == "X":
        return head + struct.pack("<QII", m.order_id, m.quantity, 0)
    return head + struct.pack("<QqII", m.order_id, m.price, m.quantity, m.cum)


def packets(flags: int = 0) -> list[bytes]:
    """A command a packet."""
    out, after = [], 0
    for command in COMMANDS:
        through = command[-1].sequence
        head = struct.pack("<4sBBHQQQQII", b"MMDF", 1, flags, len(command), 0, after, through, 5, 1, 0)
        out.append(head + b"".join(map(encoded, command)))
        after = through
    return out


def through(tap: DirectTap, told_again: bool = False) -> tuple[list[Message], Numbers]:
    """What comes of it behind a tap, with every packet come."""
    messages, numbers = list[Message](), Numbers()
    for data in packets(ANSWER if told_again else 0):
        for part in tap.answered(data) if told_again else tap.told(data):
            try:
                messages += decode(part).messages
            except ValueError:
                numbers.malformed += 1
    return messages, numbers


def findings(tap: DirectTap) -> list[Finding]:
    due = [plain(m) for command in COMMANDS for m in command]
    found = []
    for again in (False, True):
        messages, numbers = through(tap, again)
        found += check_told(due, messages) + check_numbers(numbers)
        for depth in (True, False):
            found += check_same(messages, 3, "S", updates_of(tape(), 2, depth))
    return found


def test_a_sound_feed_passes() -> None:
    assert findings(DirectTap()) == []


@pytest.mark.parametrize("name", EDITING)
def test_what_it_tells_wrong_is_found(name: str) -> None:
    tap = DIRECT[name]
    assert tap is not None
    assert {f.clause for f in findings(tap())} >= {WIRES[name].breaks[0]}


def test_there_are_enough_of_them() -> None:
    assert len(DIRECT) >= 10 and len(EDITING) >= 4 and all(DIRECT.values())


def test_a_subscription_feed_that_tells_something_else_is_found() -> None:
    messages, _ = through(DirectTap())
    for change in range(3):
        other = tape()
        if change == 0:
            other.trades[1] = (103, 2, True)
        elif change == 1:
            other.books[-1] = ((), ((103, 6),))
        else:
            del other.trades[1], other.counts[-1], other.books[-1]
        (found,) = check_same(messages, 3, "S", updates_of(other))
        assert found.clause == "D09.X6" and found.expected and found.actual


def test_numbers_that_a_receiver_should_not_have_seen() -> None:
    assert check_numbers(Numbers(gaps=3, asked=5, duplicates=2)) == []
    for wrong in (Numbers(malformed=1), Numbers(unavailable=[(1, 2)]), Numbers(taken_back=[(0, 3)])):
        assert [f.clause for f in check_numbers(wrong)] == ["D09.10"]


def test_packets_that_go_on_are_as_good() -> None:
    """A command may go over the end of a packet."""
    *rest, last = COMMANDS[-1][0], COMMANDS[-1][1]
    heads = [
        struct.pack("<4sBBHQQQQII", b"MMDF", 1, flags, 1, 0, after, m.sequence, 5, 1, 0)
        for flags, after, m in ((CONTINUES, 9, rest[0]), (0, 11, last))
    ]
    messages, _ = through(DirectTap())
    cut = [m for head, m in zip(heads, (rest[0], last), strict=True) for m in decode(head + encoded(m)).messages]
    assert [m.whole for m in cut] == [False, True]
    assert check_same([*messages[:-2], *cut], 3, "S", updates_of(tape())) == []


def test_ages_are_of_trades_as_they_came_the_first_time() -> None:
    came = [1_000 + n for n in range(len(COMMANDS))]
    assert ages_ns(packets(), came) == [1_002 - 9, 1_004 - 9]
    assert ages_ns(packets(ANSWER), came) == []


def test_times_of_another_clock_are_left_out() -> None:
    measured = Measured()
    measured.add(AT_A_DIRECT_CLIENT, [-1, OTHER_CLOCK_NS])
    assert measured.rows() == []
    measured.add(AT_A_DIRECT_CLIENT, [7, -5, 9])
    (row,) = measured.rows()
    assert row["stage"].startswith("D09.10 ") and (row["count"], row["max_ns"], row["budget_ns"]) == (2, 9, 10_000)
