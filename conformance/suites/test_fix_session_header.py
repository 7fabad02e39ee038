"""The published FIX session layer test cases 2 (standard header) and 3 (standard trailer), received by an acceptor.

A case is in the name of its test; docs/fix-session-cases.md lists them all. Cases that only say "is accepted" are the
TestRequests behind every other case.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from matchmark.conformance.fix.client import FixClient
from matchmark.conformance.fix.message import SOH, Field
from matchmark.conformance.fix.wire import assemble, encode, utc
from matchmark.conformance.suites._sessions import EXECUTED, Bait, SessionVenue, Stage, shown

pytestmark = pytest.mark.needs("fix")
HOUR_NS = 3_600 * 1_000_000_000


def header(p: FixClient) -> list[Field]:
    """Under the number that is next, which is not used up."""
    return [(34, str(p.next_out)), (49, p.sender_comp_id), (56, p.endpoint.target_comp_id), (52, utc())]


@pytest.mark.clause("D01.X25")
@pytest.mark.parametrize("ahead", [1, 7])
def test_2b_a_number_too_high_is_answered_by_a_resend_request(venue: SessionVenue, ahead: int) -> None:
    with Stage(venue, "D01.X25", "a gap in the incoming numbers") as s:
        bait, p = Bait(s), s.peer()
        missing = p.next_out
        p.send("D", bait.order(), seq=missing + ahead)
        asked = p.expect(lambda m: m.type not in "01")
        wanted = f"35=2 7={missing} 16=0 or up to {missing + ahead}"
        if asked.type != "2" or asked.get(7) != str(missing):
            s.fail(s.why, [wanted], shown([asked]))
        if asked.get(16) not in ("0", "999999", *(str(n) for n in (missing + ahead - 1, missing + ahead))):
            s.fail(s.why, [wanted], shown([asked]))
        bait.demand_untouched()


@pytest.mark.clause("D01.X25")
def test_2b_what_came_behind_a_gap_is_decided_once_and_in_order_when_it_is_filled(venue: SessionVenue) -> None:
    """An order and its cancel, the order missing at first: only the order sent again and then the cancel make sense."""
    with Stage(venue, "D01.X25", "messages behind a gap that is filled") as s:
        bait, p = Bait(s, lots=5), s.peer()
        first, when = p.next_out, utc()
        orders = [bait.order(1), bait.order(2)]
        cls = [dict(fields)[11] for fields in orders]
        p.send("D", orders[1], seq=first + 1)
        p.expect("2")
        p.send("D", orders[0], seq=first, poss_dup=True, orig_sending_time=when)
        p.send("D", orders[1], seq=first + 1, poss_dup=True, orig_sending_time=when)
        p.next_out = first + 2
        s.filled(p, orders[1])
        reports = [m for m in s.told(p, "8") if m.get(150) in EXECUTED]
        if [m.get(11) for m in reports] != cls:
            s.fail(s.why, [f"a fill of {cls[0]}, then one of {cls[1]}"], shown(reports))
        s.goes_on(p)
        bait.demand_taken(3, "messages behind a gap were not decided once each")


@pytest.mark.clause("D01.X26")
def test_2c_a_number_too_low_without_poss_dup_ends_the_session(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X26", "a number too low without PossDupFlag") as s:
        bait, p = Bait(s), s.peer()
        s.goes_on(p)
        p.send("D", bait.order(), seq=1)
        heard = s.ends(p)
        s.only(heard, "5", "a Logout, or nothing, and the end of the connection")
        bait.demand_untouched()


@pytest.mark.clause("D01.X26")
def test_2e_a_possible_duplicate_that_was_had_is_ignored(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X26", "a possible duplicate of a message that was had") as s:
        bait, p = Bait(s), s.peer()
        when, order = utc(), bait.order()
        sent = p.send("D", order)
        s.filled(p, order)
        s.goes_on(p)
        p.send("D", order, seq=sent.seq, poss_dup=True, orig_sending_time=when)
        p.send("D", bait.order(), seq=sent.seq, poss_dup=True, orig_sending_time=when)
        s.only(s.answers(p), "", "no answer: the number was had")
        s.goes_on(p)
        bait.demand_taken(1, "a possible duplicate was executed again")


@pytest.mark.clause("D01.X26")
def test_2e_a_possible_duplicate_that_was_not_had_is_taken(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X26", "a message marked as possible duplicate that is the first under its number") as s:
        bait, p = Bait(s), s.peer()
        p.send("D", bait.order(), poss_dup=True)
        s.goes_on(p, [m for m in s.answers(p) if m.type != "8"])
        bait.demand_taken(1, "a message that was had for the first time was not decided once")


@pytest.mark.clause("D01.X28")
def test_2f_a_duplicate_from_the_future_is_rejected(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X28", "OrigSendingTime after SendingTime") as s:
        bait, p = Bait(s), s.peer()
        sent = p.send("D", bait.order(), poss_dup=True, orig_sending_time=utc(time.time_ns() + HOUR_NS // 60))
        heard = s.answers(p)
        s.rejected(heard, sent, ["10"])
        if p.connected:  # the standard also lets it log out
            s.goes_on(p)
        bait.demand_untouched()


@pytest.mark.clause("D01.X28")
def test_2g_a_duplicate_without_its_first_time_is_rejected(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X28", "PossDupFlag=Y without OrigSendingTime") as s:
        bait, p = Bait(s), s.peer()
        sent = p.send("D", bait.order(), poss_dup=True, orig_sending_time=None)
        s.rejected(s.answers(p), sent, ["1"], "122")
        s.goes_on(p)
        bait.demand_untouched()


@pytest.mark.clause("D01.X20")
def test_2i_another_begin_string_is_not_acted_on(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X20", "a message with another BeginString") as s:
        bait, p = Bait(s), s.peer()
        p.send("D", bait.order(), begin="FIX.4.2" if p.endpoint.begin_string != "FIX.4.2" else "FIX.4.3")
        p.next_out -= 1  # it uses none up: it is garbled, or the session's last
        s.only(s.answers(p), "5", "a Logout and the end of the connection, or nothing")
        bait.demand_untouched()


@pytest.mark.clause("D01.X20")
@pytest.mark.parametrize("side", ["sender", "target"])
def test_2k_another_comp_id_ends_the_session(venue: SessionVenue, side: str) -> None:
    with Stage(venue, "D01.X20", f"a message whose {side} is another's") as s:
        bait, p = Bait(s), s.peer()
        name = "NOBODY-77"
        sent = p.send("D", bait.order(), sender=name) if side == "sender" else p.send("D", bait.order(), target=name)
        heard = s.ends(p)
        s.only(heard, "35", "a Reject for a CompID problem, a Logout, and the end of the connection")
        if any(m.type == "3" for m in heard):
            s.rejected(heard, sent, ["9"], "49" if side == "sender" else "56")
        bait.demand_untouched()


@pytest.mark.clause("D01.X28")
@pytest.mark.parametrize("off_ns", [-24 * HOUR_NS, 24 * HOUR_NS], ids=["a-day-ago", "tomorrow"])
def test_2o_a_sending_time_far_off_is_refused(venue: SessionVenue, off_ns: int) -> None:
    with Stage(venue, "D01.X28", "a SendingTime a day off") as s:
        bait, p = Bait(s), s.peer()
        sent = p.send("D", bait.order(), sending_time=utc(time.time_ns() + off_ns))
        heard = s.answers(p)
        s.only(heard, "35", "a Reject for the accuracy of SendingTime, with or without a Logout")
        s.rejected(heard, sent, ["10"])
        bait.demand_untouched()


@pytest.mark.clause("D01.X28")
@pytest.mark.parametrize("off_s", [-5, 5])
def test_2n_a_sending_time_close_enough_is_taken(venue: SessionVenue, off_s: int) -> None:
    with Stage(venue, "D01.X28", "a SendingTime a few seconds off") as s:
        bait, p = Bait(s), s.peer()
        p.send("D", bait.order(), sending_time=utc(time.time_ns() + off_s * 1_000_000_000))
        s.goes_on(p, s.only(s.answers(p), "8", "reports of the order"))
        bait.demand_taken(1, "an order whose SendingTime is a few seconds off was not decided")


# --- garbled: 2d, 2m, 2t, 3b, 3c, 3e ---


def garbled(p: FixClient, shape: str, order: list[Field]) -> bytes:
    """An order that must be ignored for its form, under the number that is next."""
    begin, head = p.endpoint.begin_string, header(p)
    good = encode(begin, "D", head, order)
    fields = good.split(SOH)
    length, check = int(fields[1][2:]), int(good[-4:-1])
    shapes: dict[str, Callable[[], bytes]] = {
        "body-length-short": lambda: assemble(begin, "D", head, order, body_length=str(length - 3)).raw,
        "body-length-long": lambda: assemble(begin, "D", head, order, body_length=str(length + 2)).raw,
        "body-length-words": lambda: assemble(begin, "D", head, order, body_length="many").raw,
        "body-length-negative": lambda: assemble(begin, "D", head, order, body_length=f"-{length}").raw,
        "no-body-length": lambda: _summed(SOH.join([fields[0], *fields[2:]])),
        "check-sum-off": lambda: good[:-4] + b"%03d" % ((check + 1) % 256) + SOH,
        "check-sum-of-two-digits": lambda: good[:-4] + (b"%03d" % check)[1:] + SOH,
        "check-sum-of-letters": lambda: good[:-4] + b"abc" + SOH,
        "no-check-sum": lambda: good[: good.rindex(b"10=")],
        "altered": lambda: good.replace(b"\x0154=1\x01", b"\x0154=2\x01", 1),
        "type-before-length": lambda: _summed(SOH.join([fields[0], fields[2], fields[1], *fields[3:]])),
        "length-first": lambda: _summed(SOH.join([fields[1], fields[0], *fields[2:]])),
        "type-not-third": lambda: _summed(SOH.join([*fields[:2], fields[3], fields[2], *fields[4:]])),
        "noise": lambda: b"\x00\xff\xfe noise = \x01 = 8=FIX \x01\x01",
        "no-end": lambda: good[:-20] + SOH,
    }
    return shapes[shape]()


def _summed(raw: bytes) -> bytes:
    """The message with the CheckSum of its bytes."""
    front = raw[: raw.rindex(b"10=")]
    return front + b"10=%03d" % (sum(front) & 255) + SOH


GARBLED = {
    "2d": ["noise", "no-end"],
    "2m": ["body-length-short", "body-length-long", "body-length-words", "body-length-negative", "no-body-length"],
    "2t": ["type-before-length", "length-first", "type-not-third"],
    "3b": ["check-sum-off", "altered"],
    "3c": ["no-check-sum"],
    "3e": ["check-sum-of-two-digits", "check-sum-of-letters"],
}
SWALLOWING = frozenset(
    ("body-length-long", "no-check-sum", "no-end", "no-body-length", "noise", "check-sum-of-two-digits")
)
"""Shapes with which a sound reader may lose bytes that follow."""


@pytest.mark.clause("D01.X27")
@pytest.mark.parametrize(
    "shape", [pytest.param(shape, id=f"{case}-{shape}") for case, shapes in GARBLED.items() for shape in shapes]
)
def test_2d_2m_2t_3b_3c_3e_garbled_messages_are_ignored(venue: SessionVenue, shape: str) -> None:
    """Answered by nothing, and no number used up. The good message that must be understood is the one after the bytes
    that may be lost."""
    with Stage(venue, "D01.X27", f"garbled: {shape}") as s:
        bait, p = Bait(s), s.peer()
        p.send_raw(garbled(p, shape, bait.order()))
        if shape in SWALLOWING:
            lost = encode(p.endpoint.begin_string, "0", header(p), [])
            p.send_raw(lost[:-4] + b"%03d" % ((int(lost[-4:-1]) + 1) % 256) + SOH)  # garbled itself, if it is not lost
        s.only(s.answers(p) + s.answers(p), "", "no answer, also not behind that to the next message")
        s.goes_on(p)
        bait.demand_untouched()
