"""The published FIX session layer test cases 4 to 7: heartbeats, test requests and rejects, received and sent by an acceptor.

Intervals are a second, the shortest that the standard has; an exchange that insists on a longer one says so in its Logon.
"""

from __future__ import annotations

import time

import pytest

from matchmark.conformance.fix.client import FixClient
from matchmark.conformance.fix.message import FixMessage
from matchmark.conformance.suites._sessions import WAIT_S, SessionVenue, Stage, shown

pytestmark = pytest.mark.needs("fix")
CLAUSE = "D01.X29"
SHORT_S = 1
SECOND_NS = 1_000_000_000


def quick(s: Stage) -> tuple[FixClient, int]:
    """A session with the shortest interval that the exchange agrees to, in seconds."""
    p = s.stranger()
    answer = p.logon(heartbeat_s=SHORT_S)
    agreed = answer.get(108)
    if agreed is None or not agreed.isdigit() or not SHORT_S <= int(agreed) <= 60:
        s.fail("the Logon agrees on an interval", [f"108={SHORT_S} or more"], shown([answer]))
    return p, int(agreed)


@pytest.mark.clause(CLAUSE)
@pytest.mark.parametrize("test_id", ["hello", "a b=c;", "x" * 60])
def test_4b_a_test_request_is_answered_with_its_id(venue: SessionVenue, test_id: str) -> None:
    with Stage(venue, CLAUSE, "a TestRequest") as s:
        p = s.peer()
        p.test_request(test_id)
        answer = p.expect(lambda m: m.type != "1", WAIT_S)
        if answer.type != "0" or answer.get(112) != test_id:
            s.fail(s.why, [f"35=0 112={test_id}"], shown([answer]))
        s.goes_on(p)


@pytest.mark.clause(CLAUSE)
def test_4a_5_an_idle_session_carries_heartbeats_at_the_agreed_interval(venue: SessionVenue) -> None:
    """Each within an interval of the last thing that the exchange said, with a fifth for the transmission, and a second
    for a busy machine; and not at a multiple of the pace. Ours are accepted, and answered by nothing."""
    with Stage(venue, CLAUSE, "an idle session") as s:
        p, agreed = quick(s)
        said: list[FixMessage] = []
        last_ns = time.perf_counter_ns()
        while len(said) < 3:
            heard = p.expect(lambda m: True, 2 * agreed + 2)
            if heard.type != "0" or heard.get(112) is not None:
                s.fail(s.why, ["35=0 without 112"], shown([heard]))
            said.append(heard)
            if heard.at_ns - last_ns > (1.2 * agreed + 1) * SECOND_NS:
                s.fail("a Heartbeat is late", [f"within {agreed} s"], [f"{(heard.at_ns - last_ns) / SECOND_NS:.2f} s"])
            last_ns = heard.at_ns
            p.send("0", ())
        span_s = (said[-1].at_ns - said[0].at_ns) / SECOND_NS
        if span_s < agreed:  # two intervals lie between three heartbeats
            s.fail("heartbeats come faster than agreed", [f"every {agreed} s"], [f"three within {span_s:.2f} s"])
        s.goes_on(p)


@pytest.mark.clause(CLAUSE)
def test_6_silence_is_asked_about_and_then_ended(venue: SessionVenue) -> None:
    with Stage(venue, CLAUSE, "a client that says nothing") as s:
        p, agreed = quick(s)
        ask = p.expect(lambda m: m.type != "0", 3 * agreed + WAIT_S)
        if ask.type != "1" or not ask.get(112):
            s.fail(s.why, ["35=1 112=..."], shown([ask]))
        if not p.wait_closed(3 * agreed + WAIT_S):
            s.fail("the TestRequest stays unanswered", ["the connection is ended"], ["it stays open"])
        s.only(p.poll(), "015", "a Logout or nothing, and the end of the connection")


@pytest.mark.clause(CLAUSE)
def test_6_an_answer_to_its_test_request_keeps_the_session(venue: SessionVenue) -> None:
    """Twice: what was asked is answered, with the id, and the session is there after the time in which it would be ended."""
    with Stage(venue, CLAUSE, "a client that answers TestRequests and says nothing else") as s:
        p, agreed = quick(s)
        for _ in range(2):
            ask = p.expect(lambda m: m.type != "0", 3 * agreed + WAIT_S)
            if ask.type != "1" or not ask.get(112):
                s.fail(s.why, ["35=1 112=..."], shown([ask]))
            p.send("0", [(112, ask.need(112))])
        s.goes_on(p)


@pytest.mark.clause(CLAUSE)
def test_7_a_reject_is_accepted_and_answered_by_nothing(venue: SessionVenue) -> None:
    with Stage(venue, CLAUSE, "a Reject") as s:
        p = s.peer()
        p.send("3", [(45, "1"), (58, "no")])
        s.goes_on(p, s.only(s.answers(p), "", "no answer"))
