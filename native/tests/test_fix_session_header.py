"""The published FIX session layer test cases 1S to 3: logon, header and trailer. Beside test_fix_session.py."""

from __future__ import annotations

from typing import Any

import pytest

from .fix_wire import NOW_NS, SECOND, Peer, alive, frame, said, utc

# 1S: receive Logon


def test_1S_a_a_valid_logon_is_answered_by_a_logon() -> None:
    p = Peer()
    assert said(p.logon(), 34, 49, 56, 98, 108) == [("A", "1", "MATCHMARK", "CLIENT", "0", "30")]
    assert (p.next_in, p.next_out) == (2, 2)


def test_1S_a_a_logon_ahead_of_its_number_is_answered_and_the_gap_asked_for() -> None:
    p = Peer()
    assert said(p.logon(seq=5), 7, 16) == [("A", None, None), ("2", "1", "0")]
    assert p.next_in == 1


def test_1S_b_a_duplicate_identity_is_cut_without_a_word() -> None:
    p = Peer(admit=False)  # the carrier refuses: it knows who is connected
    assert p.logon() == []
    assert p.cut == "not admitted"
    assert p.next_out == 1


@pytest.mark.parametrize("over", [{"_56": "SOMEONE"}, {"_49": "-"}, {"_56": "-"}])
def test_1S_c_an_unknown_identity_is_cut_without_a_word(over: dict[str, str]) -> None:
    p = Peer()
    assert p.logon(**over) == []
    assert p.cut


@pytest.mark.parametrize(
    ("fields", "over", "text"),
    [
        ("98=0|108=-1|", {}, "HeartBtInt"),
        ("98=0|108=4000|", {}, "HeartBtInt"),
        ("98=0|", {}, "invalid Logon"),
        ("98=0|108=30|9999999=1|", {}, "invalid Logon"),
        ("98=0|108=30|", {"_52": utc(NOW_NS - 121 * SECOND)}, "SendingTime accuracy"),
        ("98=0|108=30|", {"_52": "yesterday"}, "invalid Logon"),
        ("98=0|108=30|141=Y|", {"seq": 7}, "ResetSeqNumFlag"),
    ],
)
def test_1S_d_an_invalid_logon_is_told_why_and_cut(fields: str, over: dict[str, Any], text: str) -> None:
    p = Peer()
    answers = p.send("A", fields, **over)
    assert said(answers) == [("5",)]
    assert text in answers[0][58]
    assert p.cut


def test_2S_a_first_message_that_is_no_logon_is_cut() -> None:
    p = Peer()
    assert p.send("0") == []
    assert p.cut == "first message not a logon"


# 2: the standard header


def test_2_a_a_number_as_expected_is_accepted(peer: Peer) -> None:
    peer.order()
    assert [m[11] for m in peer.taken] == ["c1"]
    assert peer.next_in == 3


def test_2_b_a_number_too_high_asks_once_for_what_is_missing(peer: Peer) -> None:
    assert said(peer.order(seq=5), 7, 16) == [("2", "2", "0")]
    assert peer.order(seq=6) == []
    assert peer.taken == []
    for seq in range(2, 7):
        peer.order(f"r{seq}", seq=seq, _43="Y", _122=utc(peer.now))
    assert [m[11] for m in peer.taken] == ["r2", "r3", "r4", "r5", "r6"]
    assert said(peer.order(seq=9), 7) == [("2", "7")]


def test_2_b_a_gap_nobody_fills_is_asked_for_again(peer: Peer) -> None:
    peer.order(seq=5)
    assert ("2", "2") in said(peer.wait(11), 7)


def test_2_c_a_number_too_low_logs_out(peer: Peer) -> None:
    answers = peer.order(seq=1)
    assert said(answers, 58) == [("5", "MsgSeqNum too low, expecting 2 but received 1")]
    assert peer.cut
    assert peer.taken == []


@pytest.mark.parametrize("garbage", [b"\x00\xffrubbish", b"8=FIX.4.4\x01" * 3, b"8=FIX.4.4\x019=x\x01", b"=" * 9000])
def test_2_d_a_garbled_message_is_passed_over(peer: Peer, garbage: bytes) -> None:
    assert peer.raw(garbage) == []
    assert alive(peer)
    assert peer.session.garbled > 0


def test_2_e_a_duplicate_already_had_is_ignored(peer: Peer) -> None:
    peer.order("c1")
    assert peer.order("c1", seq=2, _43="Y", _122=utc(peer.now - SECOND)) == []
    assert len(peer.taken) == 1
    assert peer.next_in == 3


def test_2_e_a_duplicate_not_had_is_accepted(peer: Peer) -> None:
    peer.order("c1", _43="Y", _122=utc(peer.now))
    assert len(peer.taken) == 1


def test_2_f_a_duplicate_from_the_future_is_rejected(peer: Peer) -> None:
    answers = peer.order(_43="Y", _122=utc(peer.now + 5 * SECOND))
    assert said(answers, 373, 371, 45) == [("3", "10", "122", "2")]
    assert peer.next_in == 3
    assert peer.taken == []


def test_2_g_a_duplicate_without_its_first_time_is_rejected(peer: Peer) -> None:
    assert said(peer.order(_43="Y"), 373, 371) == [("3", "1", "122")]
    assert peer.next_in == 3


def test_2_h_the_expected_begin_string_is_accepted(peer: Peer) -> None:
    assert alive(peer)


def test_2_i_another_begin_string_logs_out(peer: Peer) -> None:
    answers = peer.raw(frame(peer.body("0"), begin="FIX.4.2"))
    assert said(answers, 58) == [("5", "incorrect BeginString")]
    peer.wait(11)
    assert peer.cut


def test_2_j_the_expected_comp_ids_are_accepted(peer: Peer) -> None:
    assert alive(peer)


@pytest.mark.parametrize(("over", "tag"), [({"_49": "OTHER"}, "49"), ({"_56": "OTHER"}, "56")])
def test_2_k_other_comp_ids_are_rejected_and_logged_out(peer: Peer, over: dict[str, str], tag: str) -> None:
    answers = peer.order(**over)
    assert said(answers, 373, 371) == [("3", "9", tag), ("5", None, None)]
    assert peer.next_in == 3
    assert peer.taken == []


def test_2_l_a_right_body_length_is_accepted(peer: Peer) -> None:
    assert alive(peer)


@pytest.mark.parametrize("off", [-3, 2, 40, 6000, 1_000_000])
def test_2_m_a_wrong_body_length_is_garbled(peer: Peer, off: int) -> None:
    body = peer.body("1", "112=lost|", seq=2)
    assert peer.raw(frame(body, length=len(body) + off)) == []
    if off == 6000:  # what the length covers must come before it can be seen to be wrong
        peer.raw(frame(peer.body("0", seq=2, _58="-")) * 80)
        peer.seq = peer.next_in
        assert peer.cut is not None or alive(peer)
    else:
        assert alive(peer)


@pytest.mark.parametrize("seconds", [-119, 0, 119])
def test_2_n_a_sending_time_close_enough_is_accepted(peer: Peer, seconds: int) -> None:
    peer.order(_52=utc(peer.now + seconds * SECOND))
    assert len(peer.taken) == 1


@pytest.mark.parametrize("seconds", [-121, 121])
def test_2_o_a_sending_time_too_far_off_is_rejected_and_logged_out(peer: Peer, seconds: int) -> None:
    answers = peer.order(_52=utc(peer.now + seconds * SECOND))
    assert said(answers, 373, 371) == [("3", "10", "52"), ("5", None, None)]
    assert peer.next_in == 3


def test_2_p_a_valid_message_type_is_accepted(peer: Peer) -> None:
    peer.order()
    assert peer.taken


@pytest.mark.parametrize("kind", ["ZZ", "~", "@", "1234567"])
def test_2_q_an_invalid_message_type_is_rejected(peer: Peer, kind: str) -> None:
    assert said(peer.send(kind), 373, 45) == [("3", "11", "2")]
    assert alive(peer)


@pytest.mark.parametrize("kind", ["8", "V", "AE", "U1"])
def test_2_r_a_message_type_not_taken_here_is_refused_as_business(peer: Peer, kind: str) -> None:
    assert said(peer.send(kind), 380, 372, 45) == [("j", "3", kind, "2")]
    assert alive(peer)


def test_2_s_the_first_three_fields_in_order_are_accepted(peer: Peer) -> None:
    assert alive(peer)


@pytest.mark.parametrize("shape", ["9=5|8=FIX.4.4|35=0|", "8=FIX.4.4|35=0|9=5|", "35=0|8=FIX.4.4|9=5|"])
def test_2_t_the_first_three_fields_out_of_order_are_garbled(peer: Peer, shape: str) -> None:
    body = shape + f"34=2|49=CLIENT|56=MATCHMARK|52={utc(peer.now)}|10=000|"
    assert peer.raw(body.replace("|", "\x01").encode()) == []
    assert peer.raw(frame("34=2|" + peer.body("0", seq=2))) == []
    assert alive(peer)


# 3: the standard trailer


def test_3_a_a_valid_checksum_is_accepted(peer: Peer) -> None:
    assert alive(peer)


def test_3_b_an_invalid_checksum_is_garbled(peer: Peer) -> None:
    good = frame(peer.body("1", "112=lost|", seq=2))
    wrong = (int(good[-4:-1]) + 1) % 256
    assert peer.raw(frame(peer.body("1", "112=lost|", seq=2), checksum=wrong)) == []
    assert alive(peer)


def test_3_c_a_garbled_message_is_passed_over(peer: Peer) -> None:
    assert peer.raw(frame(peer.body("1", "112=lost|", seq=2))[:-20] + b"\x01") == []
    assert alive(peer)


def test_3_d_a_checksum_of_three_digits_at_the_end_is_accepted(peer: Peer) -> None:
    assert alive(peer)


@pytest.mark.parametrize("tail", [b"10=12\x01", b"10=1234\x01", b"10=abc\x01", b"10=123|", b"10=123\x0158=after\x01"])
def test_3_e_another_trailer_is_garbled(peer: Peer, tail: bytes) -> None:
    assert peer.raw(frame(peer.body("1", "112=lost|", seq=2))[:-7] + tail) == []
    assert alive(peer)
