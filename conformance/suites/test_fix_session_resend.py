"""The published FIX session layer test cases 8, 16 and 20, received by an acceptor: what is sent again, over one connection and
over several, is what was sent."""

from __future__ import annotations

import pytest

from matchmark.conformance.checks.fix_resend import wrong_resend
from matchmark.conformance.fix.business import cancel
from matchmark.conformance.fix.client import FixClient
from matchmark.conformance.fix.message import FixMessage
from matchmark.conformance.suites._sessions import EXECUTED, WAIT_S, Bait, SessionVenue, Stage, shown

pytestmark = [pytest.mark.needs("fix"), pytest.mark.needs("fix_resend")]


def trade_a_little(s: Stage, p: FixClient, bait: Bait) -> None:
    """Business messages of every kind, with session messages between them."""
    rest, venue = bait.resting(), s.venue
    p.send("D", rest)
    p.test_request("between")
    p.send("D", bait.order(2))
    p.send("F", cancel(bait.instrument, venue.new_cl(), dict(rest)[11], "buy", 1))
    p.send("F", cancel(bait.instrument, venue.new_cl(), dict(rest)[11], "buy", 1))  # nothing there any more
    p.test_request("behind")
    p.send("D", [*bait.order(), (58, "")])  # a Reject
    p.send("B", [(148, "news"), (33, "1"), (58, "none")])  # a BusinessMessageReject
    last = bait.order(1)
    p.send("D", last)
    s.answers(p)
    s.filled(p, last)


def first_times(p: FixClient) -> dict[int, FixMessage]:
    """What the exchange has said to this session, by number, over all connections of the check."""
    return {
        line.message.seq: line.message
        for line in p.stream
        if line.message.type != "4" and not line.sent and not line.message.poss_dup
    }


def asked(s: Stage, p: FixClient, begin: int, end: int) -> list[FixMessage]:
    p.send("2", [(7, str(begin)), (16, str(end))])
    return [m for m in s.answers(p) if m.poss_dup or m.type == "4"]


def demand_resend(s: Stage, first: dict[int, FixMessage], again: list[FixMessage], begin: int, end: int) -> None:
    wrong = wrong_resend(first, again, begin, end)
    if wrong is not None:
        s.fail(*wrong)


@pytest.mark.clause("D01.X30")
def test_8_all_that_was_said_is_sent_again_as_it_was(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X30", "a ResendRequest for all") as s:
        bait, p = Bait(s), s.peer()
        trade_a_little(s, p, bait)
        first, last = first_times(p), p.next_in - 1
        demand_resend(s, first, asked(s, p, 1, 0), 1, last)
        first = first_times(p)
        demand_resend(s, first, asked(s, p, 1, 0), 1, last)  # a second time, the same
        s.goes_on(p)


@pytest.mark.clause("D01.X30")
def test_8_a_range_is_sent_again_and_nothing_else(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X30", "a ResendRequest for a range") as s:
        bait, p = Bait(s), s.peer()
        trade_a_little(s, p, bait)
        last = p.next_in - 1
        for begin, end in ((2, 2), (3, 6), (last - 1, last), (1, 1)):
            first = first_times(p)
            again = asked(s, p, begin, end)
            demand_resend(s, first, again, begin, end)
            beyond = [m for m in again if m.seq > end or (m.type == "4" and int(m.need(36)) > end + 1)]
            if beyond:
                s.fail("a resend goes beyond what was asked for", [f"numbers up to {end}"], shown(beyond))
        s.goes_on(p)


@pytest.mark.clause("D01.X30")
def test_8_what_was_never_sent_is_not_made_up(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X30", "a ResendRequest for numbers that were never sent") as s:
        bait, p = Bait(s), s.peer()
        trade_a_little(s, p, bait)
        p.send("2", [(7, str(p.next_in + 50)), (16, str(p.next_in + 60))])
        heard = s.answers(p)
        made_up = [m for m in heard if m.type not in "345"]
        if made_up:
            s.fail(s.why, ["a Reject, a gap fill or nothing"], shown(made_up))
        if p.connected:
            s.goes_on(p)


@pytest.mark.clause("D01.X30", "D01.X31")
def test_16_what_happened_while_away_and_before_is_had_after_the_next_logon(venue: SessionVenue) -> None:
    """The session is cut; its resting order trades; the next logon goes on with the numbers on both sides."""
    with Stage(venue, "D01.X31", "what happened while the session was away") as s:
        bait, p = Bait(s), s.peer()
        trade_a_little(s, p, bait)
        rest = bait.resting()
        cl = dict(rest)[11]
        p.send("D", rest)
        p.expect(lambda m: m.type == "8" and m.get(11) == cl, WAIT_S)
        before = first_times(p)
        p.drop()
        bait.sell_into_resting()

        expected = p.next_in
        answer = s.reconnect(p)
        if answer.poss_dup or answer.seq < expected:
            s.fail("numbers go on", [f"35=A 34={expected} or more"], shown([answer]))
        heard = s.answers(p)
        s.only(heard, "8", "nothing but news of the order: no number is missing")
        again = asked(s, p, 1, 0)
        fills = {m.seq: m for m in (*heard, *again) if m.get(11) == cl and m.get(150) in EXECUTED}
        if len(fills) != 1:
            s.fail("the fill that happened while away, once", [f"35=8 11={cl} 150=F"], shown(fills.values()))
        s.clause = "D01.X30"
        first = {m.seq: as_first(m) for m in again if m.type != "4" and expected <= m.seq < answer.seq}
        demand_resend(s, {**first, **before, **first_times(p)}, again, 1, answer.seq)
        s.goes_on(p)


def as_first(m: FixMessage) -> FixMessage:
    """A message of which only the resent form is known, as it must have been the first time."""
    said = tuple((tag, m.need(122) if tag == 52 else value) for tag, value in m.pairs if tag not in (43, 122))
    return FixMessage(said, m.raw, m.at_ns)


@pytest.mark.clause("D01.X31")
def test_16_numbers_persist_over_many_reconnects(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X31", "reconnects") as s:
        bait = Bait(s)
        p = s.peer()
        for turn, how in enumerate(("drop", "close", "logout", "drop")):
            order = bait.order()
            p.send("D", order)
            s.filled(p, order)
            expected = p.next_in
            if how == "logout":
                p.logout()
                expected += 1  # the answer to it
            elif how == "drop":
                p.drop()
            else:
                p.close()
            answer = s.reconnect(p)
            if answer.seq != expected:
                s.fail(f"reconnect {turn + 1}", [f"35=A 34={expected}"], shown([answer]))
            s.goes_on(p)
        bait.demand_taken(4, "orders sent over four connections were not decided once each")


@pytest.mark.clause("D01.X30", "D01.X25")
def test_20_a_resend_request_behind_a_gap_is_answered_and_the_gap_asked_for(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X25", "a ResendRequest whose own number is too high") as s:
        bait, p = Bait(s), s.peer()
        order = bait.order()
        p.send("D", order)
        s.filled(p, order)
        first, last, missing = first_times(p), p.next_in - 1, p.next_out
        p.send("2", [(7, "1"), (16, "0")], seq=missing + 3)
        ask = p.expect("2", WAIT_S)
        if ask.get(7) != str(missing):
            s.fail(s.why, [f"35=2 7={missing}"], shown([ask]))
        p.send("4", [(123, "Y"), (36, str(missing + 4))], seq=missing, poss_dup=True)
        p.next_out = missing + 4
        s.goes_on(p)
        again = [
            line.message for line in p.stream if not line.sent and line.message.poss_dup and line.message.seq <= last
        ]
        s.clause = "D01.X30"
        demand_resend(s, first, again, 1, last)
        bait.demand_taken(1, "an order was decided more than once")
