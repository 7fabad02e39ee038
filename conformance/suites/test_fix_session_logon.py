"""The published FIX session layer test cases 1S and 2S (logon), 12 and 13 (logout) and 17 (encryption), received by an
acceptor; and what happens to a session and its orders when somebody else logs on, and when its owner leaves."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from matchmark.conformance.fix.wire import encode, utc
from matchmark.conformance.suites._sessions import (
    WAIT_S,
    Bait,
    Logon,
    SessionVenue,
    Stage,
    shown,
)

pytestmark = pytest.mark.needs("fix")


@pytest.mark.clause("D01.X20")
def test_1S_a_17a_a_valid_logon_is_answered_by_a_logon(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X20", "a valid Logon") as s:
        p = s.stranger()
        answer = p.logon(heartbeat_s=17, timeout_s=WAIT_S)
        if answer.get(98) != "0" or not (answer.get(108) or "").isdigit() or answer.seq != 1:
            s.fail(s.why, ["35=A 34=1 98=0 108=17"], shown([answer]))
        s.goes_on(p)


@pytest.mark.clause("D01.X20")
@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"target": "NOBODY-77"}, id="1S_c-target"),
        pytest.param({"target": None}, id="1S_c-no-target"),
        pytest.param({"sender": None}, id="1S_c-no-sender"),
        pytest.param({"begin": "FIX.3.9"}, id="1S_c-begin-string"),
        pytest.param({"fields": {108: None}}, id="1S_d-no-interval"),
        pytest.param({"fields": {108: "-5"}}, id="1S_d-negative-interval"),
        pytest.param({"fields": {108: "often"}}, id="1S_d-interval-of-letters"),
        pytest.param({"fields": {98: None}}, id="1S_d-no-encrypt-method"),
        pytest.param({"fields": {98: "2"}}, id="17b-encrypt-method"),
        pytest.param({"sending_time": "20010101-00:00:00.000"}, id="1S_d-time-long-ago"),
        pytest.param({"sending_time": "now"}, id="1S_d-time-of-letters"),
        pytest.param({"sending_time": None}, id="1S_d-no-time"),
    ],
)
def test_1S_c_1S_d_17b_an_invalid_logon_ends_the_connection(venue: SessionVenue, wrong: Logon) -> None:
    with Stage(venue, "D01.X20", f"a Logon with {wrong}") as s:
        bait, p = Bait(s), s.stranger()
        s.log_on_and(p, bait.order(), **wrong)
        bait.demand_untouched()


@pytest.mark.clause("D01.X20")
@pytest.mark.parametrize("kind", ["D", "0", "1", "4", "5", "ZZ"])
def test_2S_a_first_message_that_is_no_logon_ends_the_connection(venue: SessionVenue, kind: str) -> None:
    fields: Mapping[str, list[tuple[int, str]]] = {"1": [(112, "x")], "4": [(36, "9")]}
    with Stage(venue, "D01.X20", f"a first message of type {kind}") as s:
        bait, p = Bait(s), s.stranger()
        first = bait.order() if kind == "D" else fields.get(kind, [])
        head = [(49, p.sender_comp_id), (56, p.endpoint.target_comp_id), (52, utc())]
        said = encode(p.endpoint.begin_string, kind, [(34, "1"), *head], first)
        p.send_raw(said + encode(p.endpoint.begin_string, "D", [(34, "2"), *head], bait.order()))
        ended = p.wait_closed(WAIT_S)
        heard = p.poll()
        if not ended:
            s.fail(s.why, ["the connection is ended"], [*shown(heard), "it stays open"])
        s.only(heard, "5", "a Logout or nothing, and the end of the connection")
        bait.demand_untouched()


@pytest.mark.clause("D01.X23")
@pytest.mark.parametrize("reset", [False, True], ids=["plain", "with-reset"])
def test_1S_b_a_second_logon_of_an_identity_is_refused_and_the_first_notices_nothing(
    venue: SessionVenue, reset: bool
) -> None:
    with Stage(venue, "D01.X23", "a second Logon of an identity that is logged on") as s:
        bait, first = Bait(s), s.peer()
        s.goes_on(first)
        second = s.stranger(sender=first.sender_comp_id)
        second.numbers = type(second.numbers)(first.next_in, first.next_out)
        second.connect()
        s.log_on_and(second, bait.order(1), reset=reset)
        s.goes_on(first)  # also its numbers are what they were
        first.send("D", bait.order(2))
        s.goes_on(first, s.only(s.answers(first), "8", "reports of the order"))
        bait.demand_taken(2, "not exactly the order of the running session was decided")


@pytest.mark.clause("D01.X23")
def test_a_logon_within_a_session_does_no_harm(venue: SessionVenue) -> None:
    """Without a reset: it may be refused, or end the session; the orders before it stand."""
    with Stage(venue, "D01.X23", "a Logon within the session itself") as s:
        bait, p = Bait(s), s.peer(auto=True)
        order = bait.order()
        p.send("D", order)
        s.filled(p, order)
        p.send_logon()
        s.only(s.answers(p), "A35", "a refusal, or an end of the session")
        if not p.connected:
            s.reconnect(p)  # each may ask for what it did not look at any more: an end can overtake the words before it
        said = [m for m in s.answers(p) if m.type != "4" and m.get(43) != "Y"]
        s.only(said, "2", "the session goes on")
        bait.demand_taken(1, "an order before it was not decided once")


# --- leaving ---


@pytest.mark.clause("D01.X38")
def test_13a_a_logout_is_answered_and_open_orders_stay(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X38", "a Logout") as s:
        bait, p = Bait(s), s.peer()
        p.send("D", bait.resting(2))
        p.expect("8", WAIT_S)
        p.send("5", ())
        heard = [p.expect(lambda m: m.type != "0", WAIT_S)]
        s.only(heard, "5", "a Logout")
        if not p.wait_closed(WAIT_S):
            s.fail(s.why, ["the connection is closed"], ["it stays open"])
        s.only(p.poll(), "0", "nothing after the Logout")
        demand_resting(s, bait, 2)


@pytest.mark.clause("D01.X38")
@pytest.mark.parametrize("how", ["close", "reset"])
def test_open_orders_stay_when_the_connection_is_lost(venue: SessionVenue, how: str) -> None:
    """Cancel-on-disconnect was not asked for."""
    with Stage(venue, "D01.X38", "a lost connection") as s:
        bait, p = Bait(s), s.peer()
        p.send("D", bait.resting(2))
        s.goes_on(p)
        p.close() if how == "close" else p.drop()
        s.reconnect(p)
        demand_resting(s, bait, 2)


def demand_resting(s: Stage, bait: Bait, lots: int) -> None:
    last = bait.sell_into_resting(lots)
    if bait.instrument.lots(last.need(14)) != lots:
        s.fail("an open order is not there any more", [f"a fill of {lots} lots"], shown([last]))
    bait.taken()
