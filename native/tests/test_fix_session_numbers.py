"""The published cases 4 to 13: heartbeats, resends, resets and logouts. Beside test_fix_session.py."""

from __future__ import annotations

import pytest

from .fix_wire import NOW_NS, SECOND, Peer, alive, ffi, lib, said, utc

# 4 to 7: heartbeats, test requests, rejects


def test_4_a_silence_of_ours_is_broken_by_a_heartbeat(peer: Peer) -> None:
    assert said(peer.wait(29)) == []
    assert said(peer.wait(1), 112) == [("0", None)]


def test_4_b_a_test_request_is_answered_with_its_id(peer: Peer) -> None:
    assert said(peer.send("1", "112=hello|"), 112) == [("0", "hello")]


def test_5_a_heartbeat_is_accepted(peer: Peer) -> None:
    assert peer.send("0") == []
    assert peer.next_in == 3


def test_6_silence_of_theirs_is_asked_about_and_then_ended() -> None:
    p = Peer()
    p.logon(heartbeat=10)
    assert ("1", "TEST") in said(p.wait(12.2), 112)
    p.send("0", "112=TEST|")
    assert ("1",) not in said(p.wait(11))
    assert ("1",) in said(p.wait(2))
    assert ("5",) in said(p.wait(13))
    assert p.cut == "no answer to TestRequest"


def test_7_a_reject_is_accepted(peer: Peer) -> None:
    assert peer.send("3", "45=1|58=no|") == []
    assert peer.next_in == 3
    assert alive(peer)


# 8, 9: resends


def test_8_reports_are_sent_again_and_the_rest_is_gap_filled(peer: Peer) -> None:
    peer.report(10, "a")
    peer.send("1", "112=x|")
    peer.report(12, "b")
    peer.now += SECOND
    answers = peer.send("2", "7=1|16=0|")
    assert said(answers, 34, 43, 36, 11) == [
        ("4", "1", "Y", "2", None),
        ("8", "2", "Y", None, "a"),
        ("4", "3", "Y", "4", None),
        ("8", "4", "Y", None, "b"),
    ]
    assert answers[1][122] == utc(NOW_NS)
    assert answers[1][52] == utc(peer.now)
    assert answers[0][123] == "Y"


def test_8_only_what_was_asked_for_is_sent_again(peer: Peer) -> None:
    for key in range(10, 15):
        peer.report(key)
    assert said(peer.send("2", "7=3|16=4|"), 34, 17) == [("8", "3", "11"), ("8", "4", "12")]


@pytest.mark.parametrize("fields", ["7=0|16=0|", "7=9|16=0|", "7=3|16=2|"])
def test_8_a_range_that_was_never_sent_is_rejected(peer: Peer, fields: str) -> None:
    peer.report(10)
    assert said(peer.send("2", fields), 373, 371) == [("3", "5", "7")]


def test_8_what_is_forgotten_is_gap_filled() -> None:
    p = Peer(capacity=8)
    p.logon()
    for key in range(10, 30):
        p.report(key)
    answers = p.send("2", "7=1|16=0|")
    assert said(answers[:1], 34, 36) == [("4", "1", "14")]
    assert [m[34] for m in answers[1:]] == [str(n) for n in range(14, 22)]


def test_8_a_report_no_log_knows_any_more_is_gap_filled(peer: Peer) -> None:
    peer.report(10)
    peer.reports.clear()
    assert said(peer.send("2", "7=1|16=0|"), 34, 36) == [("4", "1", "3")]


def test_8_reports_that_come_during_a_resend_join_it() -> None:
    p = Peer(output_bytes=8192, capacity=256)
    p.logon()
    for key in range(10, 110):
        p.report(key)
    seen = p.send("2", "7=1|16=0|")
    assert p.session.resending
    while p.session.resending:
        if len(seen) < 60:
            p.report(500 + len(seen))
        p.run()
        seen += p.output()
    numbers = [int(m[34]) for m in seen if m[35] == "8"]
    assert numbers == list(range(2, p.next_out))


def test_9_a_reset_to_a_large_number_resynchronises(peer: Peer) -> None:
    peer.send("4", "36=1000|", seq=1)
    assert peer.next_in == 1000


def test_9_a_logon_with_reset_starts_both_at_one(peer: Peer) -> None:
    peer.report(10)
    peer.reconnect()
    assert said(peer.logon("141=Y|", seq=1), 34, 141) == [("A", "1", "Y")]
    assert (peer.next_in, peer.next_out) == (2, 2)


# 10: SequenceReset, gap fill


def test_10_a_a_gap_fill_ahead_of_its_number_asks_for_the_gap(peer: Peer) -> None:
    assert said(peer.send("4", "123=Y|36=9|", seq=5), 7) == [("2", "2")]
    assert peer.next_in == 2


def test_10_b_a_gap_fill_in_sequence_moves_the_expected_number(peer: Peer) -> None:
    assert peer.send("4", "123=Y|36=9|") == []
    assert peer.next_in == 9


def test_10_c_a_duplicate_gap_fill_already_had_is_ignored(peer: Peer) -> None:
    assert peer.send("4", "123=Y|36=9|", seq=1, _43="Y", _122=utc(peer.now)) == []
    assert peer.next_in == 2


def test_10_d_a_gap_fill_too_low_logs_out(peer: Peer) -> None:
    assert said(peer.send("4", "123=Y|36=9|", seq=1)) == [("5",)]
    assert peer.cut


@pytest.mark.parametrize("target", [1, 2])
def test_10_e_a_gap_fill_backwards_is_rejected(peer: Peer, target: int) -> None:
    answers = peer.send("4", f"123=Y|36={target}|")
    assert said(answers, 45) == [("3", "2")]
    assert answers[0][58] == f"attempt to lower sequence number, invalid value NewSeqNo={target}"
    assert alive(peer)


# 11: SequenceReset, reset


@pytest.mark.parametrize("seq", [1, 2, 50])
def test_11_a_a_reset_forwards_is_taken_whatever_its_number(peer: Peer, seq: int) -> None:
    assert peer.send("4", "36=20|", seq=seq) == []
    assert peer.next_in == 20


def test_11_b_a_reset_to_the_expected_number_is_taken(peer: Peer) -> None:
    assert peer.send("4", "123=N|36=2|", seq=2) == []
    assert peer.next_in == 2


def test_11_c_a_reset_backwards_is_rejected_and_changes_nothing(peer: Peer) -> None:
    peer.order()
    assert said(peer.send("4", "36=2|", seq=3), 373, 371) == [("3", "5", "36")]
    assert peer.next_in == 3


# 12, 13: logout


def test_12_our_logout_waits_for_the_answer_and_then_ends(peer: Peer) -> None:
    lib.mm_session_logout(peer.session, b"closing", peer.now)
    assert said(peer.output(), 58) == [("5", "closing")]
    peer.wait(9)
    assert peer.cut is None
    peer.wait(2)
    assert peer.cut == "closing"


def test_13_a_the_answer_to_our_logout_ends_without_a_word(peer: Peer) -> None:
    lib.mm_session_logout(peer.session, ffi.NULL, peer.now)
    peer.output()
    assert peer.send("5") == []
    assert peer.cut


def test_13_b_a_logout_of_theirs_is_answered_and_they_disconnect(peer: Peer) -> None:
    assert said(peer.send("5")) == [("5",)]
    assert peer.cut is None
    assert peer.next_in == 3
    peer.wait(11)
    assert peer.cut
