"""The published FIX session layer test cases 9 (synchronise), 10 and 11 (SequenceReset) and 19 (PossResend), received by an
acceptor: a client's recovery moves the exchange forward only, and executes nothing again."""

from __future__ import annotations

import pytest

from matchmark.conformance.fix.wire import utc
from matchmark.conformance.suites._sessions import EXECUTED, WAIT_S, Bait, SessionVenue, Stage, shown

pytestmark = pytest.mark.needs("fix")


@pytest.mark.clause("D01.X25")
def test_10a_a_gap_fill_ahead_of_its_number_asks_for_the_gap(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X25", "a gap fill whose own number is too high") as s:
        bait, p = Bait(s), s.peer()
        missing = p.next_out
        p.send("4", [(123, "Y"), (36, str(missing + 20))], seq=missing + 3)
        ask = p.expect(lambda m: m.type not in "01", WAIT_S)
        if ask.type != "2" or ask.get(7) != str(missing):
            s.fail(s.why, [f"35=2 7={missing}"], shown([ask]))
        p.send("4", [(123, "Y"), (36, str(missing + 20))], seq=missing, poss_dup=True)
        p.next_out = missing + 20
        p.send("D", bait.order())
        s.goes_on(p)
        bait.demand_taken(1, "after a gap was filled the next order was not decided once")


@pytest.mark.clause("D01.X37")
@pytest.mark.parametrize("mode", ["10b-gap-fill", "11a-reset"])
def test_10b_11a_9_a_sequence_reset_moves_the_expected_number_forward(venue: SessionVenue, mode: str) -> None:
    with Stage(venue, "D01.X37", "a SequenceReset forward") as s:
        bait, p = Bait(s), s.peer()
        new = p.next_out + 1000
        if mode == "10b-gap-fill":
            p.send("4", [(123, "Y"), (36, str(new))])
        else:
            p.send("4", [(36, str(new))], seq=1)  # a reset counts whatever its own number is
        p.next_out = new
        s.goes_on(p, s.only(s.answers(p), "", "no answer"))
        p.send("D", bait.order())
        s.goes_on(p)
        bait.demand_taken(1, "an order under the new number was not decided once")


@pytest.mark.clause("D01.X37")
def test_11b_a_reset_to_the_expected_number_is_taken(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X37", "a SequenceReset to the number that is expected") as s:
        bait, p = Bait(s), s.peer()
        p.send("4", [(123, "N"), (36, str(p.next_out))], seq=p.next_out)
        s.goes_on(p, [m for m in s.answers(p) if m.type != "3"])  # the standard lets it warn
        p.send("D", bait.order())
        s.goes_on(p)
        bait.demand_taken(1, "an order after it was not decided once")


@pytest.mark.clause("D01.X37")
@pytest.mark.parametrize("mode", ["10e-gap-fill", "11c-reset"])
def test_10e_11c_a_sequence_reset_back_is_refused_and_nothing_is_decided_again(venue: SessionVenue, mode: str) -> None:
    with Stage(venue, "D01.X37", "a SequenceReset back") as s:
        bait, p = Bait(s), s.peer()
        order, when = bait.order(), utc()
        first = p.send("D", order)
        s.filled(p, order)
        number = p.next_out
        fields = [(123, "Y"), (36, str(first.seq))] if mode == "10e-gap-fill" else [(36, str(first.seq))]
        sent = p.send("4", fields, seq=number)
        refusal = p.expect(lambda m: m.type not in "01", WAIT_S)
        if refusal.type not in "35" or (refusal.type == "3" and refusal.get(45) not in (sent.get(34), None)):
            s.fail(s.why, [f"35=3 45={number} 373=5 371=36, or a Logout"], shown([refusal]))
        if refusal.type == "3":
            # whether a refused reset used its number up is not said in the standard: see what is expected now
            p.send("D", order, seq=first.seq, poss_dup=True, orig_sending_time=when)
            p.send("4", [(36, str(number + 10))], seq=number)
            p.next_out = number + 10
            s.goes_on(p, s.only(s.answers(p), "", "no answer: the order's number was had"))
        bait.demand_taken(1, "an order that was decided was decided again after a SequenceReset back")


@pytest.mark.clause("D01.X26")
def test_10c_a_duplicate_gap_fill_that_was_had_is_ignored(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X26", "a gap fill again, marked as possible duplicate") as s:
        bait, p = Bait(s), s.peer()
        s.goes_on(p)
        p.send("4", [(123, "Y"), (36, str(p.next_out + 50))], seq=1, poss_dup=True)
        p.send("D", bait.order())
        s.goes_on(p)
        bait.demand_taken(1, "the next order was not decided once")


@pytest.mark.clause("D01.X26")
def test_10d_a_gap_fill_too_low_ends_the_session(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X26", "a gap fill whose own number is too low, without PossDupFlag") as s:
        bait, p = Bait(s), s.peer()
        s.goes_on(p)
        p.send("4", [(123, "Y"), (36, str(p.next_out + 50))], seq=1)
        s.only(s.ends(p), "5", "a Logout, or nothing, and the end of the connection")
        bait.demand_untouched()


@pytest.mark.clause("D01.X37")
def test_9_a_logon_with_reset_starts_both_sides_at_one(venue: SessionVenue) -> None:
    """Nothing decided before is decided again: the order's own number comes again, and is another order."""
    with Stage(venue, "D01.X37", "a Logon with ResetSeqNumFlag") as s:
        bait, p = Bait(s), s.peer()
        p.send("D", bait.order())
        s.goes_on(p)
        p.logout()
        p.connect()
        answer = p.logon(reset=True, timeout_s=WAIT_S)
        if answer.seq != 1 or answer.get(141) != "Y":
            s.fail(s.why, ["35=A 34=1 141=Y"], shown([answer]))
        p.send("D", bait.order())
        s.goes_on(p)
        bait.demand_taken(2, "two orders under the same number, a reset between them, were not decided once each")


@pytest.mark.clause("D01.X26")
def test_a_logon_too_low_is_refused_and_told_what_is_expected(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X26", "a Logon whose number is too low") as s:
        bait, p = Bait(s), s.peer()
        order = bait.order()
        p.send("D", order)
        s.filled(p, order)
        p.logout()
        p.connect()
        s.log_on_and(p, bait.order(), seq=1)
        bait.demand_taken(1, "an order behind a refused Logon was decided")


@pytest.mark.clause("D01.X25")
def test_1S_a_a_logon_too_high_is_answered_and_the_gap_asked_for(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X25", "a Logon whose number is too high") as s:
        bait, p = Bait(s), s.stranger()
        p.send_logon(seq=5)
        answer = p.expect(lambda m: m.type != "0", WAIT_S)
        ask = p.expect("2", WAIT_S)
        if answer.type != "A" or ask.get(7) != "1":
            s.fail(s.why, ["35=A, then 35=2 7=1"], shown([answer, ask]))
        p.send("4", [(123, "Y"), (36, "6")], seq=1, poss_dup=True)
        p.next_out = 6
        p.send("D", bait.order())
        s.goes_on(p)
        bait.demand_taken(1, "the order after the gap was not decided once")


# --- at most once ---


@pytest.mark.clause("D01.X35")
@pytest.mark.needs("duplicate_check")
@pytest.mark.parametrize("how", ["19-poss-resend", "no-flag"])
@pytest.mark.parametrize("cut", ["reset", "close"])
def test_19_an_order_sent_again_after_a_cut_is_executed_once(venue: SessionVenue, how: str, cut: str) -> None:
    """Cut right behind the order: it came or it did not, and the client cannot know."""
    with Stage(venue, "D01.X35", "an order sent again after the connection was cut") as s:
        bait, p = Bait(s), s.peer(auto=True)  # which sends again what it is asked for
        order = bait.order()
        p.send("D", order)
        (p.drop if cut == "reset" else p.close)()
        s.reconnect(p)
        s.answers(p)
        p.send("D", order, poss_resend=how == "19-poss-resend")
        s.why = "no answer to an order sent again: neither its state nor that it is known"
        p.expect(lambda m: m.type in "j3" or (m.type == "8" and m.get(11) == dict(order)[11]), WAIT_S)
        bait.demand_taken(1, "an order that was sent twice was not executed once")


@pytest.mark.clause("D01.X35")
@pytest.mark.needs("duplicate_check")
@pytest.mark.parametrize("how", ["19-poss-resend", "no-flag"])
def test_19_the_answer_to_an_order_sent_again_tells_its_state(venue: SessionVenue, how: str) -> None:
    with Stage(venue, "D01.X35", "an order sent again that is filled") as s:
        bait, p = Bait(s), s.peer()
        order = bait.order()
        p.send("D", order)
        s.filled(p, order)
        p.drop()
        s.reconnect(p)
        before = len(s.told(p, "8"))
        p.send("D", order, poss_resend=how == "19-poss-resend")
        p.expect("8", WAIT_S)
        told, cl = s.told(p, "8")[before:], dict(order)[11]
        executed = [m for m in told if m.get(150) in EXECUTED]
        state = [m for m in told if m.get(11) == cl and (m.get(39) in ("2", "8") or m.get(103) == "6")]
        if not state or executed:
            s.fail(s.why, [f"35=8 11={cl} 39=2, or refused as known"], shown(told))
        bait.demand_taken(1, "an order that was sent twice was not executed once")
