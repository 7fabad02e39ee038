"""The published FIX session layer test cases, each by its id, against the C session; then what they leave open.

A case is a function test_<id>_...; docs/fix.md lists them, and test_the_table_of_cases_is_complete compares.
Expected answers are written as the few tags that the case is about.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .fix_wire import NOW_NS, SECOND, Peer, ffi, frame, lib, utc

Messages = list[dict[int, str]]


def said(messages: Messages, *tags: int) -> list[tuple[str | None, ...]]:
    return [tuple(m.get(tag) for tag in (35, *tags)) for m in messages]


@pytest.fixture
def peer() -> Peer:
    made = Peer()
    made.logon()
    return made


def alive(p: Peer) -> bool:
    """A TestRequest in sequence is answered: the session took no harm and no number."""
    return ("0", "ok?") in said(p.send("1", "112=ok?|"), 112)


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


# 14: fields


BASE = f"55=SYM|54=1|60={utc(NOW_NS)}|38=100|40=2|44=100.50|"


@pytest.mark.parametrize(
    ("case", "fields", "reason", "tag"),
    [
        ("14_a", f"11=a|{BASE}999=x|", "0", "999"),
        ("14_a", f"11=a|{BASE}4711=x|", "0", "4711"),
        ("14_a", f"11=a|{BASE}0=x|", "0", None),
        ("14_b", BASE, "1", "11"),
        ("14_b", "11=a|55=SYM|38=100|40=2|44=1|60=" + utc(NOW_NS) + "|", "1", "54"),
        ("14_c", f"11=a|{BASE}112=x|", "2", "112"),
        ("14_c", f"11=a|{BASE}37=x|", "2", "37"),
        ("14_d", f"11=|{BASE}", "4", "11"),
        ("14_d", f"11=a|{BASE}6000=|", "4", "6000"),
        ("14_e", f"11=a|{BASE}21=9|", "5", "21"),
        ("14_e", f"11=a|{BASE.replace('54=1', '54=Z')}", "5", "54"),
        ("14_f", f"11=a|{BASE.replace('38=100', '38=1e3')}", "6", "38"),
        ("14_f", f"11=a|{BASE.replace('44=100.50', '44=1.2.3')}", "6", "44"),
        ("14_f", f"11=a|{BASE.replace('44=100.50', '44=-')}", "6", "44"),
        ("14_f", f"11=a|{BASE}126=20261340-00:00:00|", "6", "126"),
        ("14_f", f"11=a|{BASE}121=y|", "6", "121"),
        ("14_f", f"11=a|{BASE.replace('54=1', '54=12')}", "6", "54"),
        ("14_g", f"11=a|{BASE}50=late|", "14", "50"),
        ("14_h", f"11=a|{BASE}11=b|", "13", "11"),
        ("14_h", f"11=a|{BASE}40=2|", "13", "40"),
        ("14_i", f"11=a|{BASE}453=2|448=x|447=D|452=1|", "16", "453"),
        ("14_i", f"11=a|{BASE}453=1|448=x|447=D|452=1|448=y|447=D|452=2|", "16", "453"),
        ("14_i", f"11=a|{BASE}453=1|", "16", "453"),
        ("14_j", f"11=a|{BASE}453=1|447=D|448=x|452=1|", "15", "453"),
        ("14_j", f"11=a|{BASE}453=1|448=x|452=1|447=D|", "15", "447"),
        ("14_k", f"11=a|{BASE}58=one|two|", "17", "58"),
    ],
)
def test_14_a_to_k_a_wrong_field_is_rejected_by_its_reason(
    peer: Peer, case: str, fields: str, reason: str, tag: str | None
) -> None:
    assert said(peer.order(fields=fields), 373, 371, 45, 372) == [("3", reason, tag, "2", "D")], case
    assert peer.taken == []
    assert alive(peer)


def test_14_l_an_application_that_is_not_there_is_told_as_business(peer: Peer) -> None:
    peer.take = False
    peer.order("c9")
    lib.mm_session_business_reject(peer.session, peer.message, 4, b"application not available", peer.now)
    lib.mm_session_take(peer.session)
    assert said(peer.output(), 380, 379) == [("j", "4", "c9")]
    assert alive(peer)


def test_14_m_a_conditionally_required_field_is_told_as_business(peer: Peer) -> None:
    peer.take = False
    peer.order("c9", fields=f"11=c9|55=SYM|54=1|60={utc(NOW_NS)}|38=100|40=2|")
    lib.mm_session_business_reject(peer.session, peer.message, 5, b"Price is required", peer.now)
    lib.mm_session_take(peer.session)
    assert said(peer.output(), 380, 372) == [("j", "5", "D")]


def test_14_n_an_encrypted_section_is_refused(peer: Peer) -> None:
    assert said(peer.order(_90="4", _91="abcd"), 373) == [("3", "7")]
    assert alive(peer)


# 15 to 20


def test_15_fields_in_another_order_are_accepted(peer: Peer) -> None:
    peer.order(fields=f"44=100.50|40=2|38=100|60={utc(NOW_NS)}|54=1|55=SYM|11=a|")
    body = f"35=D|52={utc(NOW_NS)}|34=3|56=MATCHMARK|49=CLIENT|11=b|{BASE}"
    peer.raw(frame(body))
    assert [m[11] for m in peer.taken] == ["a", "b"]


def test_16_what_was_sent_while_disconnected_is_resent_after_logon(peer: Peer) -> None:
    lib.mm_session_disconnected(peer.session)
    for key in (10, 12):
        peer.reports[key] = _kept(peer, key)
    peer.connect()
    assert said(peer.logon(), 34) == [("A", "4")]
    answers = peer.send("2", "7=2|16=0|")
    assert said(answers, 34, 43, 36) == [("8", "2", "Y", None), ("8", "3", "Y", None), ("4", "4", "Y", "5")]


def _kept(peer: Peer, key: int) -> Any:
    from .fix_wire import execution

    lib.mm_fix_store_keep(peer.store, key, 0, peer.now)
    return execution("c1", key)


def test_17_a_the_supported_encrypt_method_is_accepted() -> None:
    assert said(Peer().logon(), 98) == [("A", "0")]


def test_17_b_another_encrypt_method_is_refused() -> None:
    p = Peer()
    answers = p.send("A", "98=2|108=30|")
    assert said(answers) == [("5",)]
    assert "EncryptMethod" in answers[0][58]
    assert p.cut


@pytest.mark.parametrize("tag", ["115", "128"])
def test_18_b_third_parties_nobody_knows_are_rejected(peer: Peer, tag: str) -> None:
    assert said(peer.order(**{f"_{tag}": "BROKER"}), 373, 371) == [("3", "9", tag)]
    assert alive(peer)


def test_19_possible_resends_are_handed_on_for_the_application_to_judge(peer: Peer) -> None:
    peer.order("c1", _97="Y")
    assert [(m[11], m[97]) for m in peer.taken] == [("c1", "Y")]


def test_20_a_resend_request_during_a_gap_of_ours_is_served_and_the_gap_asked_for(peer: Peer) -> None:
    peer.report(10)
    answers = peer.send("2", "7=1|16=0|", seq=7)
    assert sorted(said(answers, 34, 7)) == [("2", "3", "2"), ("4", "1", None), ("8", "2", None)]
    assert peer.next_in == 2


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
    from .fix_wire import execution

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
    names = [name for name in globals() if name.startswith("test_")]
    assert [case for case in wanted if not any(name.startswith(f"test_{case}_") for name in names)] == []
