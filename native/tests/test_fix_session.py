"""What the published FIX session layer test cases leave open, against the C session; and that each of them has its test.

A case is a function test_<id>_... of one of the modules beside this one; docs/fix.md lists them. Expected answers are written
as the few tags that the case is about.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from . import test_fix_session_fields, test_fix_session_header, test_fix_session_numbers
from .fix_wire import SECOND, Peer, execution, ffi, frame, lib, said, utc

CASES = (test_fix_session_header, test_fix_session_numbers, test_fix_session_fields)


# What the published cases leave open


def test_an_application_message_not_taken_comes_again_and_uses_no_number(peer: Peer) -> None:
    peer.take = False
    peer.order("c1")
    assert (peer.next_in, peer.taken) == (2, [])
    peer.take = True
    peer.run()
    assert [m[11] for m in peer.taken] == ["c1"]
    assert peer.next_in == 3


def test_messages_may_come_a_byte_at_a_time(peer: Peer) -> None:
    data = frame(peer.body("1", "112=slow|"))
    answers = [m for at in range(len(data)) for m in peer.raw(data[at : at + 1])]
    assert said(answers, 112) == [("0", "slow")]


def test_bytes_that_are_only_lent_say_the_same_wherever_they_are_cut() -> None:
    """A cut message, whole ones, noise between them: what is left when they are given back is the session's own."""

    def stream(p: Peer) -> bytes:
        first, second = (frame(p.body("1", f"112={word}|")) for word in ("one", "two"))
        return first + b"8=noise\x01" + second + frame(p.body("1", "112=three|"))

    length = len(stream(Peer()))
    for cut in range(1, length):
        p = Peer()
        p.logon()
        data = stream(p)
        answers = [m for part in (data[:cut], data[cut:]) for m in p.lend(part)]
        assert said(answers, 112) == [("0", "one"), ("0", "two"), ("0", "three")], cut
        assert p.session.garbled and p.next_in == 5


def test_an_order_that_was_lent_and_not_taken_comes_again_from_the_session(peer: Peer) -> None:
    peer.take = False
    peer.lend(frame(peer.body("D", f"11=c1|55=SYM|54=1|60={utc(peer.now)}|38=100|40=2|44=100.50|")))
    assert not lib.mm_session_may_borrow(peer.session)
    peer.take = True
    peer.run()
    assert [m[11] for m in peer.taken] == ["c1"] and lib.mm_session_may_borrow(peer.session)


def test_a_slow_logon_is_cut_after_a_while() -> None:
    p = Peer()
    p.raw(b"8=FIX.4.4\x019=")
    p.wait(10.2)
    assert p.cut == "no logon in time"


def test_a_reader_that_does_not_read_is_cut() -> None:
    p = Peer(output_bytes=8192)
    p.logon()
    for key in range(10, 100):
        lib.mm_session_report(p.session, key, _kept_report(key), p.now)
    assert p.cut
    assert "does not read" in p.cut
    assert p.next_out == 92  # numbered and kept all the same


def _kept_report(key: int) -> Any:

    return execution("c1", key)


def test_an_expired_credential_ends_the_session() -> None:
    p = Peer(admit=False)
    p.raw(frame(p.body("A", "98=0|108=30|"))[:-1])
    at = ffi.new("char **")
    lib.mm_session_input(p.session, at)
    ffi.buffer(at[0], 1)[:] = b"\x01"
    lib.mm_session_received(p.session, 1)
    assert lib.mm_session_next(p.session, p.message, p.now) == lib.MM_EVENT_LOGON
    assert lib.mm_session_admit(p.session, p.message, p.store, p.now + 5 * SECOND, p.now) == 1
    p.output()
    answers = p.wait(5)
    assert said(answers) == [("5",)]
    assert "expired" in answers[0][58]


def test_a_second_logon_in_a_session_ends_it(peer: Peer) -> None:
    assert said(peer.logon(), 58) == [("5", "already logged on")]
    assert peer.cut


def test_a_reset_within_the_session_starts_both_at_one(peer: Peer) -> None:
    peer.order()
    assert said(peer.logon("141=Y|", seq=1), 34, 141) == [("A", "1", "Y")]
    assert (peer.next_in, peer.next_out) == (2, 2)


def test_what_the_session_itself_said_is_resent_from_its_journal(peer: Peer) -> None:
    first = peer.send("V")
    again = peer.send("2", "7=2|16=2|")
    strip = (8, 9, 10, 52, 43, 122)
    assert [{k: v for k, v in m.items() if k not in strip} for m in again] == [
        {k: v for k, v in m.items() if k not in strip} for m in first
    ]
    assert again[0][43] == "Y"


def test_a_journal_written_over_is_gap_filled() -> None:
    p = Peer(capacity=256)
    p.logon()
    for _ in range(60):
        p.send("V")
    answers = p.send("2", "7=1|16=0|")
    assert answers[0][35] == "4"
    assert [int(m[34]) for m in answers[1:]] == list(range(int(answers[0][36]), p.next_out))


def test_numbers_survive_in_the_file(tmp_path: Path) -> None:
    path, why = str(tmp_path / "client.fix").encode(), ffi.new("char[256]")
    p = Peer()
    for turn in range(3):
        store = ffi.new("mm_fix_store *")
        assert lib.mm_fix_store_open(store, path, b"CLIENT", 64, 4096, why) == 0, ffi.string(why)
        p.store = store
        p.reconnect()
        assert said(p.logon(), 34) == [("A", str(turn + 1))]
        lib.mm_session_disconnected(p.session)
        lib.mm_fix_store_close(store)


@pytest.mark.parametrize(
    ("sender", "capacity", "word"), [(b"OTHER", 64, b"another SenderCompID"), (b"CLIENT", 128, b"another size")]
)
def test_a_store_that_is_not_this_session_s_is_refused(
    tmp_path: Path, sender: bytes, capacity: int, word: bytes
) -> None:
    path, why = str(tmp_path / "client.fix").encode(), ffi.new("char[256]")
    store = ffi.new("mm_fix_store *")
    assert lib.mm_fix_store_open(store, path, b"CLIENT", 64, 4096, why) == 0
    lib.mm_fix_store_close(store)
    assert lib.mm_fix_store_open(store, path, sender, capacity, 4096, why) == -1
    assert word in ffi.string(why)


def test_the_table_of_cases_is_complete() -> None:
    """Every case of the published list is a test here, but those that docs/fix.md says are not."""
    wanted = [
        "1S_a",
        "1S_b",
        "1S_c",
        "1S_d",
        "2S",
        *(f"2_{c}" for c in "abcdefghijklmnopqrst"),
        *(f"3_{c}" for c in "abcde"),
    ]
    wanted += [
        "4_a",
        "4_b",
        "5",
        "6",
        "7",
        "8",
        "9",
        *(f"10_{c}" for c in "abcde"),
        "11_a",
        "11_b",
        "11_c",
        "12",
        "13_a",
        "13_b",
    ]
    wanted += ["14_a_to_k", "14_l", "14_m", "14_n", "15", "16", "17_a", "17_b", "18_b", "19", "20"]
    names = [name for module in CASES for name in vars(module) if name.startswith("test_")]
    assert [case for case in wanted if not any(name.startswith(f"test_{case}_") for name in names)] == []
