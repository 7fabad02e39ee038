"""Logon with tokens: who has none, a forged one, an expired one or somebody else's is not let in; who is, is let out when it
expires. The order behind each refused Logon is never decided."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from matchmark.conformance.suites._sessions import WAIT_S, Bait, SessionVenue, Stage, shown
from matchmark.conformance.suites._tokens import FORGERIES, expiry_s

pytestmark = [pytest.mark.needs("fix"), pytest.mark.needs("jwt")]
CLOCKS_S = 1.0
"""What the exchange's clock and ours may differ."""


@pytest.mark.clause("D01.X21")
@pytest.mark.parametrize("forge", [pytest.param(make, id=name) for name, make in FORGERIES.items()])
def test_a_forged_or_altered_token_is_refused(venue: SessionVenue, forge: Callable[[str], str]) -> None:
    with Stage(venue, "D01.X21", "a token that nobody with the key has made") as s:
        bait = Bait(s)
        good = venue.token_of(s.account)
        p = s.stranger(token=forge(good))
        s.log_on_and(p, bait.order())
        bait.demand_untouched()
        p.token = good  # the control: the same Logon with the token that was not tampered with
        s.reconnect(p)
        s.goes_on(p)


@pytest.mark.clause("D01.X21")
def test_no_token_is_refused(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X21", "a Logon without a token") as s:
        bait, p = Bait(s), s.stranger()
        fields = {tag: None for tag, value in p.endpoint.logon_fields.items() if "${TOKEN}" in value}
        s.log_on_and(p, bait.order(), fields=fields)
        bait.demand_untouched()


@pytest.mark.clause("D01.X21")
def test_a_token_for_another_audience_is_refused(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X21", "a token for another audience") as s:
        bait = Bait(s)
        p = s.stranger(token=venue.token(s.account, aud="elsewhere"))
        s.log_on_and(p, bait.order())
        bait.demand_untouched()


@pytest.mark.clause("D01.X21")
def test_an_expired_token_is_refused(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X21", "an expired token") as s:
        bait = Bait(s)
        token = venue.token(s.account, ttl_s=1)
        while time.time() < expiry_s(token) + CLOCKS_S:
            bait.witness.poll(0.05)
        s.log_on_and(s.stranger(token=token), bait.order())
        bait.demand_untouched()


@pytest.mark.clause("D01.X21")
def test_a_session_of_another_account_is_not_to_be_had_with_ones_own_token(venue: SessionVenue) -> None:
    """Nor are its numbers moved by the attempt."""
    other = venue.accounts[0]
    with Stage(venue, "D01.X21", "a Logon on another account's session") as s:
        bait, owner = Bait(s), s.peer()
        s.goes_on(owner)
        owner.logout()
        thief = s.stranger(sender=owner.sender_comp_id, token=venue.token_of(other))
        thief.numbers = type(thief.numbers)(owner.next_in, owner.next_out)
        thief.connect()
        s.log_on_and(thief, bait.order())
        thief.connect()
        s.log_on_and(thief, bait.order(), reset=True)
        if s.reconnect(owner).seq != owner.next_in - 1 or any(m.type == "2" for m in owner.poll()):
            s.fail("the attempt moved the session's numbers", ["numbers go on"], shown(owner.poll()))
        s.goes_on(owner)
        bait.demand_untouched()


@pytest.mark.clause("D01.X21")
def test_an_order_for_another_account_is_not_decided(venue: SessionVenue) -> None:
    """A good token of one's own account, and Account (1) of another's in the order."""
    with Stage(venue, "D01.X21", "an order for an account that the token does not name") as s:
        bait, p = Bait(s), s.peer()
        cl = venue.new_cl()
        p.send("D", [*[f for f in bait.order(cl=cl) if f[0] != 1], (1, venue.accounts[0])])
        heard = s.answers(p)
        if not any(m.type in "3j" or (m.get(150) == "8" and m.get(11) == cl) for m in heard):
            s.fail(s.why, [f"35=8 150=8 11={cl}, or a Reject"], shown(heard))
        s.goes_on(p)
        bait.demand_untouched()


def short_lived(venue: SessionVenue, account: str) -> str:
    """A token that expires soon, but not before there is time to log on: making one may take its time."""
    for ttl_s in (3, 6, 12, 60):
        token = venue.token(account, ttl_s=ttl_s)
        if expiry_s(token) > time.time() + 1:
            break
    return token


@pytest.mark.clause("D01.X22")
def test_a_session_whose_token_expires_is_ended_with_a_reason(venue: SessionVenue) -> None:
    """Orders go on all the while. One sent when the token had expired is never decided, and the session's end says why."""
    with Stage(venue, "D01.X22", "a session whose token expires") as s:
        bait, second = Bait(s, lots=10_000), Bait(s)
        token = short_lived(venue, s.account)
        p = s.peer(token=token)
        late: set[str] = set()
        heard = []
        while p.connected and time.time() < expiry_s(token) + CLOCKS_S + WAIT_S:
            heard += p.poll(0.02)
            if any(m.type == "5" for m in heard):
                break
            cl = venue.new_cl()
            if time.time() > expiry_s(token) + CLOCKS_S:
                late.add(cl)
            p.send("D", bait.order(1, cl=cl))
        logouts = [m for m in heard if m.type == "5"]
        if not logouts or not logouts[0].get(58):
            s.fail(s.why, ["35=5 58=the reason"], shown(heard[-3:]))
        p.send("D", second.order())
        s.ends(p)
        second.demand_untouched()
        if bait.taken() == 0:
            s.fail("orders before the expiry", ["they are decided"], shown(heard[:3]))
        told = [m for m in heard if m.type == "8" and m.get(11) in late and m.get(150) != "8"]
        if told:
            s.fail("an order sent after the token expired was decided", ["no report"], shown(told))
        s.log_on_and(s.stranger(sender=p.sender_comp_id, token=token), bait.order())
