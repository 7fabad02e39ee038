"""The published FIX session layer test cases 14 (fields), 15 (their order), 2q and 2r (message types), received by an acceptor.

What the standard leaves to agreement is not demanded: a field that is not in the standard, or not in this message, may be
refused or passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from matchmark.conformance.fix.client import FixClient
from matchmark.conformance.fix.message import Field, FixMessage
from matchmark.conformance.fix.wire import encode, utc
from matchmark.conformance.suites._sessions import (
    WAIT_S,
    Bait,
    SessionVenue,
    Stage,
    fields_with,
    fields_without,
    shown,
)

pytestmark = pytest.mark.needs("fix")
Change = Callable[[list[Field]], list[Field]]


def add(*fields: Field) -> Change:
    return lambda order: [*order, *fields]


def set_to(tag: int, value: str) -> Change:
    return lambda order: fields_with(order, tag, value)


def without(tag: int) -> Change:
    return lambda order: fields_without(order, tag)


PARTIES = ((448, "x"), (447, "D"), (452, "1"))

REFUSED: list[tuple[str, Change, Sequence[str], str | None]] = [
    ("14b-no-cl-ord-id", without(11), ["1"], "11"),
    ("14b-no-side", without(54), ["1"], "54"),
    ("14b-no-ord-type", without(40), ["1"], "40"),
    ("14d-empty-price", set_to(44, ""), ["4"], "44"),
    ("14d-empty-text", add((58, "")), ["4"], "58"),
    ("14e-side", set_to(54, "Z"), ["5"], "54"),
    ("14e-ord-type", set_to(40, "%"), ["5"], "40"),
    ("14f-quantity-letters", set_to(38, "ten"), ["6"], "38"),
    ("14f-quantity-exponent", set_to(38, "1e1"), ["6"], "38"),
    ("14f-price-two-points", set_to(44, "100.5.0"), ["6"], "44"),
    ("14f-price-sign-alone", set_to(44, "-"), ["6"], "44"),
    ("14f-time", set_to(60, "yesterday"), ["6"], "60"),
    ("14f-time-month-13", set_to(60, "20261301-10:00:00"), ["6"], "60"),
    ("14h-cl-ord-id-twice", lambda order: [*order, (11, dict(order)[11] + "x")], ["13"], "11"),
    ("14h-price-twice", add((44, "1")), ["13"], "44"),
    ("14i-one-party-too-few", add((453, "2"), *PARTIES), ["16"], "453"),
    ("14i-one-party-too-many", add((453, "1"), *PARTIES, (448, "y"), (447, "D"), (452, "2")), ["16", "13"], None),
    ("14j-delimiter-not-first", add((453, "1"), (447, "D"), (448, "x"), (452, "1")), ["15", "16"], None),
]
"""Case, what is done to a sound order, the reasons (373) that tell it, and the tag (371). Two reasons where the standard has
two names for one mistake."""


@pytest.mark.clause("D01.X28")
@pytest.mark.parametrize(("change", "reasons", "tag"), [pytest.param(*row[1:], id=row[0]) for row in REFUSED])
def test_14_a_wrong_field_is_rejected_by_its_reason(
    venue: SessionVenue, change: Change, reasons: Sequence[str], tag: str | None
) -> None:
    with Stage(venue, "D01.X28", "a message with a wrong field") as s:
        bait, p = Bait(s), s.peer()
        sent = p.send("D", change(bait.order()))
        s.rejected(s.answers(p), sent, reasons, tag)
        p.send("D", bait.order(2))
        s.goes_on(p, s.only(s.answers(p), "8", "reports of the next order, which is sound"))
        bait.demand_taken(2, "after a rejected message the next order was not decided alone")


@pytest.mark.clause("D01.X28")
def test_14g_a_header_field_in_the_body_is_rejected(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X28", "a field of the header among those of the body") as s:
        bait, p = Bait(s), s.peer()
        sent = p.send("D", [*bait.order(), (50, "late")])
        s.rejected(s.answers(p), sent, ["14"], "50")
        s.goes_on(p)
        bait.demand_untouched()


@pytest.mark.clause("D01.X28")
@pytest.mark.parametrize(
    ("field", "reasons"),
    [
        pytest.param((4711, "x"), ["0", "3"], id="14a-undefined-tag"),
        pytest.param((0, "x"), ["0"], id="14a-tag-zero"),
        pytest.param((112, "x"), ["2"], id="14c-tag-of-another-message"),
    ],
)
def test_14a_14c_a_field_that_is_not_agreed_on_is_passed_over_or_rejected(
    venue: SessionVenue, field: Field, reasons: Sequence[str]
) -> None:
    """Rejected, the order is not decided; passed over, it is, once. Never both, and never silence."""
    with Stage(venue, "D01.X28", f"a field {field[0]} that is not agreed on") as s:
        bait, p = Bait(s), s.peer()
        sent = p.send("D", [*bait.order(), field])
        heard = s.answers(p)
        if any(m.type == "3" for m in heard):
            s.rejected(heard, sent, reasons, str(field[0]) if field[0] else None)
            bait.demand_untouched()
        else:
            s.only(heard, "8", "a Reject, or reports of the order")
            if not heard:
                p.expect("8", WAIT_S)
            bait.demand_taken(1, "an order that was reported was not decided once")
        s.goes_on(p)


@pytest.mark.clause("D01.X28")
def test_14k_a_delimiter_within_a_value_is_not_read_as_a_field(venue: SessionVenue) -> None:
    """`58=one<SOH>two`: what follows the delimiter has no tag."""
    with Stage(venue, "D01.X28", "a value with a field delimiter in it") as s:
        bait, p = Bait(s), s.peer()
        p.send("D", [*bait.order(), (58, "one\x01two")])
        s.only(s.answers(p), "32", "a Reject; or the message ignored as garbled, which leaves its number missing")
        bait.demand_untouched()


@pytest.mark.clause("D01.X28")
def test_14n_an_encrypted_section_is_not_acted_on(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X28", "an encrypted section where none was agreed on") as s:
        bait, p = Bait(s), s.peer()
        sent = p.send("D", bait.order(), header=[(90, "4"), (91, "abcd")])
        heard = s.answers(p)
        s.rejected(heard, sent, ["7", "0", "2", "99"])
        s.goes_on(p)
        bait.demand_untouched()


@pytest.mark.clause("D01.X28")
def test_14b_a_message_without_a_sending_time_is_not_acted_on(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X28", "a message without SendingTime") as s:
        bait, p = Bait(s), s.peer()
        sent = p.send("D", bait.order(), sending_time=None)
        heard = s.answers(p)
        s.only(heard, "35", "a Reject, with or without a Logout")
        s.rejected(heard, sent, ["1"], "52")
        bait.demand_untouched()


@pytest.mark.clause("D01.X28")
def test_14b_a_message_without_a_number_ends_the_session(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X28", "a message without MsgSeqNum") as s:
        bait, p = Bait(s), s.peer()
        head = [(49, p.sender_comp_id), (56, p.endpoint.target_comp_id), (52, utc())]
        p.send_raw(encode(p.endpoint.begin_string, "D", head, bait.order()))
        s.only(s.ends(p), "35", "a Logout, and the end of the connection")
        bait.demand_untouched()


@pytest.mark.clause("D01.X28")
def test_15_fields_of_the_body_in_another_order_are_accepted(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X28", "fields in another order") as s:
        bait, p = Bait(s), s.peer()
        p.send("D", list(reversed(bait.order())))
        s.goes_on(p, s.only(s.answers(p), "8", "reports of the order"))
        bait.demand_taken(1, "an order with its fields in another order was not decided once")


@pytest.mark.clause("D01.X28")
def test_15_fields_of_the_header_in_another_order_are_accepted(venue: SessionVenue) -> None:
    with Stage(venue, "D01.X28", "fields of the header in another order") as s:
        bait, p = Bait(s), s.peer()
        head = [(52, utc()), (34, str(p.next_out)), (56, p.endpoint.target_comp_id), (49, p.sender_comp_id)]
        p.send_raw(encode(p.endpoint.begin_string, "D", head, bait.order()))
        p.next_out += 1
        s.goes_on(p, s.only(s.answers(p), "8", "reports of the order"))
        bait.demand_taken(1, "an order with its header in another order was not decided once")


@pytest.mark.clause("D01.X28")
@pytest.mark.parametrize("kind", ["ZZ", "~", "1234567"])
def test_2q_a_message_type_that_there_is_not_is_rejected(venue: SessionVenue, kind: str) -> None:
    with Stage(venue, "D01.X28", f"the message type {kind!r}, which there is not") as s:
        bait, p = Bait(s), s.peer()
        sent = p.send(kind, bait.order())
        heard = s.answers(p)
        if not any(m.type == "j" for m in heard):  # it may also be taken for one of the business's own
            s.rejected(heard, sent, ["11"])
        else:
            named_as_business(s, heard, sent)
        s.goes_on(p)
        bait.demand_untouched()


@pytest.mark.clause("D01.X36")
@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        pytest.param("B", ((148, "news"), (33, "1"), (58, "none")), id="News"),
        pytest.param("C", ((164, "1"), (94, "0"), (147, "mail"), (33, "1"), (58, "none")), id="Email"),
        pytest.param("6", ((23, "1"), (28, "N"), (55, "NONE"), (54, "1"), (27, "1")), id="IOI"),
    ],
)
def test_2r_a_message_type_that_is_not_taken_is_refused_as_business(
    venue: SessionVenue, kind: str, fields: Sequence[Field]
) -> None:
    with Stage(venue, "D01.X36", f"a message of type {kind}, which exchanges do not take") as s:
        bait, p = Bait(s), s.peer()
        sent = p.send(kind, fields)
        named_as_business(s, s.answers(p), sent)
        p.send("D", bait.order(2))
        s.goes_on(p, s.only(s.answers(p), "8", "reports of the next order, which is sound"))
        bait.demand_taken(2, "a message of a type that is not taken was decided, or the next order was not")


def named_as_business(s: Stage, heard: Sequence[FixMessage], sent: FixMessage) -> None:
    """One BusinessMessageReject that names the message."""
    expected = f"35=j 372={sent.type} 380=3, and 45={sent.get(34)} if there is a 45"
    if len(heard) != 1 or heard[0].type != "j" or heard[0].get(372) != sent.type or heard[0].get(380) != "3":
        s.fail(s.why, [expected], shown(heard))
    if heard[0].get(45) not in (None, sent.get(34)):
        s.fail(s.why, [expected], shown(heard))


@pytest.mark.clause("D01.X28")
def test_14m_a_price_that_the_order_type_needs_is_asked_for(venue: SessionVenue) -> None:
    """Refused as session, as business or as an order: the standard has all three; silence or an order it is not."""
    with Stage(venue, "D01.X28", "a limit order without Price") as s:
        bait, p = Bait(s), s.peer()
        sent = p.send("D", fields_without(bait.order(), 44))
        refused(s, p, s.answers(p), sent)
        bait.demand_untouched()


def refused(s: Stage, p: FixClient, heard: Sequence[FixMessage], sent: FixMessage) -> None:
    expected = f"35=3 or 35=j with 45={sent.get(34)}, or 35=8 with 150=8 11={sent.get(11)}"
    m = heard[0] if heard else p.expect("8", WAIT_S)
    if len(heard) > 1:
        s.fail(s.why, [expected], shown(heard))
    by_number = m.type in "3j" and m.get(45) == sent.get(34)
    by_order = m.type == "8" and m.get(150) == "8" and m.get(11) == sent.get(11)
    if not by_number and not by_order:
        s.fail(s.why, [expected], shown(heard))
    s.goes_on(p)
