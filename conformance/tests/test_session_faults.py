"""A scripted acceptor that is wrong in one way, and the check of a session suite that must find the clause broken by it.

One fault at least for each clause that these suites judge.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from matchmark.conformance.suites import _hostile, _sessions

from .session_calls import SUITES, calls
from .session_stand import Stand, smaller

WAIT_S = 2.0
CALLS = {call.name: call for call in calls()}

FAULTS: list[tuple[str, str, str]] = [
    # the first message, and who is who
    ("D01.X20", "orders before the logon are decided", "test_2S_a_first_message_that_is_no_logon_ends_the_connection[D]"),
    ("D01.X20", "any TargetCompID will do", "test_1S_c_1S_d_17b_an_invalid_logon_ends_the_connection[1S_c-target]"),
    ("D01.X20", "any HeartBtInt will do", "test_1S_c_1S_d_17b_an_invalid_logon_ends_the_connection[1S_d-no-interval]"),
    ("D01.X20", "any EncryptMethod will do", "test_1S_c_1S_d_17b_an_invalid_logon_ends_the_connection[17b-encrypt-method]"),
    ("D01.X20", "a Logon of any time will do", "test_1S_c_1S_d_17b_an_invalid_logon_ends_the_connection[1S_d-time-long-ago]"),
    ("D01.X20", "373=9 is not looked at in the header", "test_2k_another_comp_id_ends_the_session[sender]"),
    ("D01.X20", "373=9 is not looked at in the header", "test_2k_another_comp_id_ends_the_session[target]"),
    # tokens
    ("D01.X21", "any signature will do", "test_a_forged_or_altered_token_is_refused[another-secret]"),
    ("D01.X21", "any signature will do", "test_a_forged_or_altered_token_is_refused[longer-life]"),
    ("D01.X21", "any signature will do", "test_a_forged_or_altered_token_is_refused[signature-flipped]"),
    ("D01.X21", "tokens without an algorithm will do", "test_a_forged_or_altered_token_is_refused[alg-none]"),
    ("D01.X21", "an expired token will do", "test_an_expired_token_is_refused"),
    ("D01.X21", "any audience will do", "test_a_token_for_another_audience_is_refused"),
    ("D01.X21", "no token will do", "test_no_token_is_refused"),
    ("D01.X21", "any account may have a session", "test_a_session_of_another_account_is_not_to_be_had_with_ones_own_token"),
    ("D01.X21", "any Account will do", "test_an_order_for_another_account_is_not_decided"),
    ("D01.X22", "expiry ends nothing", "test_a_session_whose_token_expires_is_ended_with_a_reason"),
    ("D01.X22", "expiry is not explained", "test_a_session_whose_token_expires_is_ended_with_a_reason"),
    ("D01.X23", "a second logon takes the session over",
     "test_1S_b_a_second_logon_of_an_identity_is_refused_and_the_first_notices_nothing[plain]"),
    ("D01.X23", "a second logon takes the session over",
     "test_1S_b_a_second_logon_of_an_identity_is_refused_and_the_first_notices_nothing[with-reset]"),
    ("D01.X23", "a Logon within a session forgets its orders", "test_a_logon_within_a_session_does_no_harm"),
    # numbers of the exchange
    ("D01.X24", "a number is left out",
     "test_orders_of_sessions_at_once_are_decided_once_each_in_the_order_of_their_session[one-write]"),
    ("D01.X24", "a number comes twice",
     "test_orders_of_sessions_at_once_are_decided_once_each_in_the_order_of_their_session[one-write]"),
    ("D01.X24", "its header is in the body", "test_2n_a_sending_time_close_enough_is_taken[5]"),
    # gaps
    ("D01.X25", "gaps are passed over", "test_2b_a_number_too_high_is_answered_by_a_resend_request[1]"),
    ("D01.X25", "a gap is not asked for", "test_2b_a_number_too_high_is_answered_by_a_resend_request[7]"),
    ("D01.X25", "a gap is asked for too late", "test_2b_a_number_too_high_is_answered_by_a_resend_request[7]"),
    ("D01.X25", "what is behind a gap is decided at once",
     "test_2b_what_came_behind_a_gap_is_decided_once_and_in_order_when_it_is_filled"),
    ("D01.X25", "a gap is not asked for", "test_10a_a_gap_fill_ahead_of_its_number_asks_for_the_gap"),
    ("D01.X25", "a gap is not asked for", "test_1S_a_a_logon_too_high_is_answered_and_the_gap_asked_for"),
    ("D01.X25", "a gap is not asked for",
     "test_20_a_resend_request_behind_a_gap_is_answered_and_the_gap_asked_for"),
    # too low
    ("D01.X26", "a number too low is passed over", "test_2c_a_number_too_low_without_poss_dup_ends_the_session"),
    ("D01.X26", "what is too low is decided all the same", "test_2c_a_number_too_low_without_poss_dup_ends_the_session"),
    ("D01.X26", "duplicates are decided", "test_2e_a_possible_duplicate_that_was_had_is_ignored"),
    ("D01.X26", "a number too low is passed over", "test_10d_a_gap_fill_too_low_ends_the_session"),
    ("D01.X26", "a Logon too low will do", "test_a_logon_too_low_is_refused_and_told_what_is_expected"),
    # garbled
    ("D01.X27", "any CheckSum will do", "test_2d_2m_2t_3b_3c_3e_garbled_messages_are_ignored[3b-check-sum-off]"),
    ("D01.X27", "any CheckSum will do", "test_2d_2m_2t_3b_3c_3e_garbled_messages_are_ignored[3b-altered]"),
    ("D01.X27", "garbled messages use a number up",
     "test_2d_2m_2t_3b_3c_3e_garbled_messages_are_ignored[2m-body-length-short]"),
    ("D01.X27", "garbled messages are answered", "test_2d_2m_2t_3b_3c_3e_garbled_messages_are_ignored[2d-noise]"),
    ("D01.X27", "garbled messages end the session",
     "test_2d_2m_2t_3b_3c_3e_garbled_messages_are_ignored[2t-type-before-length]"),
    # fields
    ("D01.X28", "fields are not looked at", "test_14_a_wrong_field_is_rejected_by_its_reason[14h-cl-ord-id-twice]"),
    ("D01.X28", "fields are not looked at", "test_14_a_wrong_field_is_rejected_by_its_reason[14i-one-party-too-few]"),
    ("D01.X28", "fields are not looked at", "test_14g_a_header_field_in_the_body_is_rejected"),
    ("D01.X28", "fields are not looked at", "test_14b_a_message_without_a_sending_time_is_not_acted_on"),
    ("D01.X28", "fields are not looked at", "test_14n_an_encrypted_section_is_not_acted_on"),
    ("D01.X28", "fields are not looked at", "test_14k_a_delimiter_within_a_value_is_not_read_as_a_field"),
    ("D01.X28", "a Reject names another message", "test_14_a_wrong_field_is_rejected_by_its_reason[14b-no-side]"),
    ("D01.X28", "a Reject gives no reason", "test_14_a_wrong_field_is_rejected_by_its_reason[14e-side]"),
    ("D01.X28", "a Reject names another tag", "test_14_a_wrong_field_is_rejected_by_its_reason[14d-empty-price]"),
    ("D01.X28", "no Reject", "test_14_a_wrong_field_is_rejected_by_its_reason[14f-quantity-letters]"),
    ("D01.X28", "a Reject uses no number up", "test_14_a_wrong_field_is_rejected_by_its_reason[14f-time]"),
    ("D01.X28", "a Reject ends the session", "test_14_a_wrong_field_is_rejected_by_its_reason[14b-no-cl-ord-id]"),
    ("D01.X28", "what is rejected is decided all the same",
     "test_14a_14c_a_field_that_is_not_agreed_on_is_passed_over_or_rejected[14c-tag-of-another-message]"),
    ("D01.X28", "unknown types are passed over", "test_2q_a_message_type_that_there_is_not_is_rejected[ZZ]"),
    ("D01.X28", "a duplicate needs no first time", "test_2g_a_duplicate_without_its_first_time_is_rejected"),
    ("D01.X28", "a duplicate may be from the future", "test_2f_a_duplicate_from_the_future_is_rejected"),
    ("D01.X28", "373=10 is not looked at in the header", "test_2o_a_sending_time_far_off_is_refused[tomorrow]"),
    ("D01.X28", "fields must be in the order of the standard",
     "test_15_fields_of_the_body_in_another_order_are_accepted"),
    # heartbeats
    ("D01.X29", "no heartbeats", "test_4a_5_an_idle_session_carries_heartbeats_at_the_agreed_interval"),
    ("D01.X29", "heartbeats are late", "test_4a_5_an_idle_session_carries_heartbeats_at_the_agreed_interval"),
    ("D01.X29", "heartbeats are early", "test_4a_5_an_idle_session_carries_heartbeats_at_the_agreed_interval"),
    ("D01.X29", "the id of a TestRequest is lost", "test_4b_a_test_request_is_answered_with_its_id[hello]"),
    ("D01.X29", "silence is not asked about", "test_6_silence_is_asked_about_and_then_ended"),
    ("D01.X29", "silence is not ended", "test_6_silence_is_asked_about_and_then_ended"),
    ("D01.X29", "a Reject is answered", "test_7_a_reject_is_accepted_and_answered_by_nothing"),
    # resends
    ("D01.X30", "a resend is not marked", "test_8_all_that_was_said_is_sent_again_as_it_was"),
    ("D01.X30", "a resend has new times", "test_8_all_that_was_said_is_sent_again_as_it_was"),
    ("D01.X30", "a resend says something else", "test_8_all_that_was_said_is_sent_again_as_it_was"),
    ("D01.X30", "a resend leaves reports out", "test_8_all_that_was_said_is_sent_again_as_it_was"),
    ("D01.X30", "a resend says heartbeats again", "test_8_all_that_was_said_is_sent_again_as_it_was"),
    ("D01.X30", "a resend goes on to the end", "test_8_a_range_is_sent_again_and_nothing_else"),
    ("D01.X30", "a resend ends early", "test_8_a_range_is_sent_again_and_nothing_else"),
    ("D01.X30", "a resend says something else",
     "test_20_a_resend_request_behind_a_gap_is_answered_and_the_gap_asked_for"),
    ("D01.X31", "reports of who is away are lost",
     "test_16_what_happened_while_away_and_before_is_had_after_the_next_logon"),
    ("D01.X31", "numbers are forgotten", "test_16_numbers_persist_over_many_reconnects"),
    # many sessions, hostile ones
    ("D01.X33", "a cancel overtakes its order",
     "test_orders_of_sessions_at_once_are_decided_once_each_in_the_order_of_their_session[one-write]"),
    ("D01.4", "an order is dropped now and then", "test_a_burst_is_answered_order_by_order"),
    ("D01.X34", "garbled messages end the sessions of others",
     "test_the_innocent_trade_on_beside[garbage-in-a-session]"),
    ("D01.X34", "strangers hold everybody up", "test_the_innocent_trade_on_beside[half-messages]"),
    ("D01.X34", "who does not read holds everybody up",
     "test_a_client_that_never_reads_holds_up_nobody_and_gets_all_when_it_does"),
    ("D01.X34", "half a message is an end",
     "test_an_order_that_drips_in_is_decided_once_and_holds_up_nobody"),
    # at most once
    ("D01.X35", "an order sent again is decided again",
     "test_19_an_order_sent_again_after_a_cut_is_executed_once[close-19-poss-resend]"),
    ("D01.X35", "an order sent again is decided again",
     "test_19_an_order_sent_again_after_a_cut_is_executed_once[close-no-flag]"),
    ("D01.X35", "an order sent again is not answered",
     "test_19_the_answer_to_an_order_sent_again_tells_its_state[no-flag]"),
    ("D01.X36", "messages not taken are passed over",
     "test_2r_a_message_type_that_is_not_taken_is_refused_as_business[News]"),
    ("D01.X36", "a business reject names another message",
     "test_2r_a_message_type_that_is_not_taken_is_refused_as_business[Email]"),
    ("D01.X37", "a reset may go back",
     "test_10e_11c_a_sequence_reset_back_is_refused_and_nothing_is_decided_again[11c-reset]"),
    ("D01.X37", "a gap fill may go back",
     "test_10e_11c_a_sequence_reset_back_is_refused_and_nothing_is_decided_again[10e-gap-fill]"),
    ("D01.X37", "a reset moves nothing",
     "test_10b_11a_9_a_sequence_reset_moves_the_expected_number_forward[11a-reset]"),
    ("D01.X37", "a gap fill moves nothing",
     "test_10b_11a_9_a_sequence_reset_moves_the_expected_number_forward[10b-gap-fill]"),
    ("D01.X37", "a Logon resets nothing", "test_9_a_logon_with_reset_starts_both_sides_at_one"),
    # leaving
    ("D01.X38", "a Logout is not answered", "test_13a_a_logout_is_answered_and_open_orders_stay"),
    ("D01.X38", "a Logout closes nothing", "test_13a_a_logout_is_answered_and_open_orders_stay"),
    ("D01.X38", "orders go at logout", "test_13a_a_logout_is_answered_and_open_orders_stay"),
    ("D01.X40", "a lost connection cancels nothing",
     "test_a_lost_connection_cancels_the_orders_of_exactly_its_session[close]"),
    ("D01.X40", "a lost connection cancels the whole account",
     "test_a_lost_connection_cancels_the_orders_of_exactly_its_session[reset]"),
    ("D01.X40", "what a lost connection cancels is not reported",
     "test_a_lost_connection_cancels_the_orders_of_exactly_its_session[close]"),
    ("D01.X41", "a refusal quotes the token", "test_no_token_is_found_in_what_the_exchange_says_or_writes"),
    ("D01.X38", "orders go when the connection is lost", "test_open_orders_stay_when_the_connection_is_lost[reset]"),
]  # fmt: skip


TIMED = frozenset(("D01.X29", "D01.X34"))
"""Clauses about time: their checks are alone on the machine. The others mostly wait for what does not come, side by side."""
AT_ONCE = 8
ATTEMPTS = 3


def found_in(clause: str, fault: str, check: str) -> list[str]:
    """The clauses that the check finds broken in an acceptor with that fault.

    On a machine that is busy elsewhere a check can give up before it comes to the fault: then it is called again.
    """
    for _ in range(ATTEMPTS):
        stand = Stand(fault)
        try:
            broken = stand.broken_by(CALLS[check])
            if clause in broken and fault in stand.acceptor.asked_for:
                break
        finally:
            stand.close()
    return broken


@pytest.fixture(scope="module")
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        smaller(patch)
        for module in (_sessions, _hostile, *SUITES):
            if hasattr(module, "WAIT_S"):
                patch.setattr(module, "WAIT_S", WAIT_S)
        yield


@pytest.fixture(scope="module")
def found(quick: None) -> Iterator[dict[int, Future[list[str]]]]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {n: pool.submit(found_in, *row) for n, row in enumerate(FAULTS) if row[0] not in TIMED}


ROWS = [pytest.param(n, *row, id=f"{row[0]}-{row[1]}-{row[2]}") for n, row in enumerate(FAULTS)]


@pytest.mark.parametrize(("n", "clause", "fault", "check"), [row for row in ROWS if row.values[1] not in TIMED])
def test_a_fault_is_found(found: dict[int, Future[list[str]]], n: int, clause: str, fault: str, check: str) -> None:
    assert clause in found[n].result()


@pytest.mark.parametrize(("n", "clause", "fault", "check"), [row for row in ROWS if row.values[1] in TIMED])
def test_a_fault_of_time_is_found(quick: None, n: int, clause: str, fault: str, check: str) -> None:
    assert clause in found_in(clause, fault, check)


def test_there_is_a_fault_for_every_clause_that_is_checked() -> None:
    checked = {clause for call in CALLS.values() for clause in call.clauses}
    assert checked - {clause for clause, _, _ in FAULTS} == set()
