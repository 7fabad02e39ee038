"""Diagram 12, the byte stream: whatever the segments are, in whatever order and however often they come, each message is
understood once, in its place, as it was sent. Each check is made over every carrier that the target has."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial

import hypothesis
import pytest
from hypothesis import strategies as st

from matchmark.conformance.fix.client import FixClient
from matchmark.conformance.packets import nasty
from matchmark.conformance.packets.plan import Piece, Plan, Settle, Window, backwards, cut, cut_at, doubled, overlapped
from matchmark.conformance.plugin import Examples
from matchmark.conformance.suites._wire import ANSWERED_S, Ticket, WireStage, message
from matchmark.conformance.suites._wire_lossy import lossy
from matchmark.conformance.wire_venue import WireVenue

pytestmark = pytest.mark.needs("fix", "raw_frames")

EXAMPLES_MAX = 250
"""An example waits for delayed acknowledgements and pauses of its plan, a tenth of a second and more."""
ORDERS_MAX = 6
MANY = 40
"""Orders of some 170 bytes: together they are five segments of full size."""
LENGTH = 300
OWED = 500
"""Orders whose reports together, 120 kB, are more than a TCP commonly holds to be sent."""
SIZES = (1, 2, 3, 7, 64, 100, 536, 1459, 1460, 1461, 2920)


def _say(venue: WireVenue, clause: str, why: str, plans: Sequence[tuple[str, int, Callable[[int], Plan]]]) -> None:
    """One session, and batches of orders each delivered by a plan; the log in the end."""
    with WireStage(venue, clause, why) as s:
        client, sent = s.peer(), []
        for note, count, plan in plans:
            tickets = s.tickets(count)
            s.send(client, tickets, plan)
            s.acknowledged(client, tickets, note)
            sent += tickets
        s.quiet(client)
        s.once_in_order(sent)


@pytest.mark.clause("D12.X2")
def test_an_order_is_understood_wherever_it_is_cut(wire: WireVenue) -> None:
    """The same order in two segments, cut before each of its bytes in turn."""
    with WireStage(wire, "D12.X2", "an order in two segments") as s:
        client, sent = s.peer(), s.tickets(1)
        length = len(s.send(client, sent))
        s.acknowledged(client, sent)
        for border in range(1, length):
            tickets = s.tickets(1)
            data = s.write(client, tickets)
            s.deliver(client, data, cut_at(len(data), [border]))
            s.acknowledged(client, tickets, f"cut before byte {border}")
            sent += tickets
        s.quiet(client)
        s.once_in_order(sent)


@pytest.mark.clause("D12.X2")
def test_many_orders_are_understood_in_segments_of_any_size(wire: WireVenue) -> None:
    """Forty orders in segments of one byte, of full size, and of one more and one less."""
    plans = [(f"segments of {size} bytes", MANY if size > 7 else 4, partial(_cut, size=size)) for size in SIZES]
    _say(wire, "D12.X2", "many orders in segments of one size", plans)


def _cut(length: int, size: int) -> Plan:
    return cut(length, [size])


@pytest.mark.clause("D12.4")
def test_what_is_parsed_is_what_was_on_the_wire_in_one_segment_and_over_several(wire: WireVenue) -> None:
    """Segments that come in one burst, each with part of a message of the one before it: none is parsed from another's
    buffer."""
    plans = [
        ("one a segment", MANY, partial(_cut, size=1 << 16)),
        ("150 bytes a segment, in one burst", MANY, partial(_cut, size=150)),
        ("full segments, in one burst", 4 * MANY, partial(_cut, size=1460)),
        ("91 bytes a segment, in one burst", MANY, partial(_cut, size=91)),
    ]
    _say(wire, "D12.4", "orders beside each other in buffers", plans)


@pytest.mark.clause("D12.4")
def test_a_buffer_that_is_used_again_changes_no_order_that_was_taken(wire: WireVenue) -> None:
    """Some thousand orders of two sessions, turn by turn, so that every buffer is used again while the other's half message
    waits."""
    with WireStage(wire, "D12.4", "orders whose halves wait while others pass") as s:
        one, other = s.peer(), s.peer()
        sent = {one: s.tickets(0), other: s.tickets(0)}
        for n in range(30):
            waiting = s.tickets(1)
            data = s.write(one, waiting)
            at = 1 + n * 5 % (len(data) - 1)
            one.send_raw(data[:at])
            passing = s.exchange(other, MANY)
            one.send_raw(data[at:])
            s.acknowledged(one, waiting, f"its first {at} bytes waited")
            sent[one] += waiting
            sent[other] += passing
        s.quiet(one)
        s.once_in_order(*sent.values())


# --- TCP as it is ---


@pytest.mark.clause("D12.N5")
def test_segments_out_of_order_doubled_and_overlapping_arrive_once_and_in_order(wire: WireVenue) -> None:
    plans = [
        ("the last segment first", MANY, lambda n: backwards(cut(n, [700]))),
        ("every segment twice", MANY, lambda n: doubled(cut(n, [700]))),
        ("every segment with 99 bytes of the one before", MANY, lambda n: overlapped(cut(n, [500]), 99)),
        ("backwards and overlapping", MANY, lambda n: overlapped(backwards(cut(n, [300])), 120)),
        ("a hole, filled last", MANY, _holed),
    ]
    _say(wire, "D12.N5", "segments that a network has shuffled", plans)


def _holed(length: int) -> Plan:
    pieces = cut(length, [400]).actions
    return Plan(length, (*pieces[:1], *pieces[2:], *pieces[1:2]))


@pytest.mark.clause("D12.N5")
def test_any_delivery_that_brings_every_byte_is_understood(
    wire: WireVenue, examples: Examples, property_settings: hypothesis.settings
) -> None:
    """One to six orders; segments cut, late, doubled, overlapping, swapped, between closed windows and pauses, as drawn."""
    clients: list[FixClient] = []

    @hypothesis.settings(property_settings, max_examples=min(property_settings.max_examples, EXAMPLES_MAX))
    @hypothesis.given(st.data())
    def run(data: st.DataObject) -> None:
        with WireStage(wire, "D12.N5", "orders delivered by a plan") as s:
            client = clients.pop() if clients else s.peer()  # after a failure nobody goes on with its numbers
            tickets = s.tickets(data.draw(st.integers(1, ORDERS_MAX)))
            borders = [LENGTH * n for n in range(1, len(tickets))]
            plan = data.draw(nasty.plans(LENGTH * len(tickets), borders=borders))
            s.deliver(client, b"".join(_of_length(client, ticket) for ticket in tickets), plan)
            wire.raw(client).window(65535)
            s.acknowledged(client, tickets, str(plan)[:300])
            s.quiet(client)
            clients.append(client)
            everything.extend(t.cl for t in tickets)
            examples.add()

    everything: list[str] = []
    run()
    with WireStage(wire, "D12.N5", "all orders that were delivered by plans") as s:
        logged = [step.cl for step in s.logged(everything)]
        if logged != everything:
            s.fail("the log has them in another way", everything[-5:], logged[-5:])


def _of_length(client: FixClient, ticket: Ticket) -> bytes:
    """The order with so much text that it is LENGTH bytes: what is drawn must not depend on how long numbers have become."""
    number = client.next_out
    bare = message(client, "D", [*ticket.fields, (58, "x" * 60)])
    client.next_out = number
    return message(client, "D", [*ticket.fields, (58, "x" * (60 + LENGTH - len(bare)))])


@pytest.mark.clause("D12.N5")
def test_reports_wait_for_a_closed_window_and_none_is_lost(wire: WireVenue) -> None:
    """Who takes nothing for a while is told everything when the window opens: more than the target's TCP can hold is owed by
    then."""
    with WireStage(wire, "D12.N5", "reports to a client whose window is closed") as s:
        client = s.peer()
        raw = wire.raw(client)
        raw.window(0)
        tickets = s.tickets(OWED)
        for at in range(0, len(tickets), 100):
            data = s.write(client, tickets[at : at + 100])
            raw.send(data, timeout_s=ANSWERED_S)
        raw.window(1)
        raw.window(100)
        raw.window(65535)
        s.acknowledged(client, tickets, "after the window opened")
        s.quiet(client)
        s.once_in_order(tickets)


@pytest.mark.clause("D12.N5")
def test_an_order_with_the_end_of_the_stream_behind_it_is_taken(wire: WireVenue) -> None:
    """The last segment has the end of an order and FIN; and the same with the FIN on its own, right behind."""
    with WireStage(wire, "D12.N5", "an order that ends with the stream") as s:
        sent = []
        for note, how in (("FIN on the last segment", True), ("FIN behind it", False)):
            for cuts in (None, [100], [1]):
                client, tickets = s.peer(), s.tickets(3)
                raw, data = wire.raw(client), s.write(client, tickets)
                if how:
                    raw.send(data, cuts=cuts, fin=True, timeout_s=ANSWERED_S)
                else:
                    raw.send(data, cuts=cuts, wait=False)
                    raw.shutdown()
                sent.append((f"{note}, segments of {cuts}", tickets))
                client.wait_closed(ANSWERED_S)
        for note, tickets in sent:
            s.why = f"orders that end with the stream ({note})"
            s.once_in_order(tickets)


@pytest.mark.clause("D12.N5")
def test_many_connections_keep_apart_what_is_whose(wire: WireVenue) -> None:
    """Twenty sessions, a segment of each in turn, so that the pieces of their orders pass between each other's."""
    with WireStage(wire, "D12.N5", "orders of many connections, segment by segment") as s:
        clients = [s.peer() for _ in range(20)]
        batches = [s.tickets(5) for _ in clients]
        streams = [s.write(client, tickets) for client, tickets in zip(clients, batches, strict=True)]
        for at in range(0, max(map(len, streams)), 97):
            for client, stream in zip(clients, streams, strict=True):
                if at < len(stream):
                    wire.raw(client).send(stream[at : at + 97], wait=False)
        for client, tickets in zip(clients, batches, strict=True):
            s.acknowledged(client, tickets)
            s.quiet(client)
        s.once_in_order(*batches)


@pytest.mark.clause("D12.N5")
def test_lost_frames_cost_time_and_nothing_else(wire: WireVenue) -> None:
    """Of a hundred frames each way five are lost and three doubled, on four connections at once."""
    with WireStage(wire, "D12.N5", "orders over a cable that loses frames") as s:
        clients = [s.peer() for _ in range(4)]
        with lossy(wire, random.Random(7)):
            batches = [s.tickets(15) for _ in clients]
            for n in range(15):
                for client, tickets in zip(clients, batches, strict=True):
                    s.send(client, tickets[n : n + 1])
            for client, tickets in zip(clients, batches, strict=True):
                s.acknowledged(client, tickets, "5 of 100 frames lost", 3 * ANSWERED_S)
        for client in clients:
            s.quiet(client)
        s.once_in_order(*batches)


# --- again ---


@pytest.mark.clause("D12.X4")
@pytest.mark.parametrize("borders", ["the-same", "others", "one-byte-more"])
def test_a_segment_that_comes_again_is_not_executed_again(wire: WireVenue, borders: str) -> None:
    """What was acknowledged is sent again, in the same segments, in others, and together with what is new."""
    with WireStage(wire, "D12.X4", f"orders whose segments come again, borders: {borders}") as s:
        client, sent = s.peer(), []
        raw = wire.raw(client)
        for n in range(10):
            tickets = s.tickets(4)
            length = len(s.send(client, tickets, lambda length: cut(length, [600])))
            s.acknowledged(client, tickets)
            if borders == "the-same":
                raw.retransmit(plan=cut(length, [600]))
            elif borders == "others":
                raw.retransmit(plan=cut(length, [1 + 37 * n, 211]))
            else:
                data = s.write(client, more := s.tickets(1))
                old = raw.forge(flags=0x18, seq_offset=-100, payload=b"8=FIX.4.4\x019=5\x01".ljust(100, b"x") + data)
                raw.inject(old)  # the tail of what was acknowledged, with other bytes in it, and new ones behind
                raw.send(data)
                s.acknowledged(client, more)
                tickets += more
            sent += tickets
        s.quiet(client)
        s.once_in_order(sent)


@pytest.mark.clause("D12.X4")
def test_other_data_under_numbers_that_were_acknowledged_is_no_order(wire: WireVenue) -> None:
    """A segment of the same length and place with other orders in it, as somebody would send it who has seen the first ones."""
    with WireStage(wire, "D12.X4", "other orders in the place of those that were acknowledged") as s:
        client, sent, never = s.peer(), [], []
        raw = wire.raw(client)
        for _ in range(10):
            tickets = s.tickets(3)
            number = client.next_out
            data = s.send(client, tickets)
            s.acknowledged(client, tickets)
            after, client.next_out = client.next_out, number
            for shift in (0, 3):
                client.next_out = number + shift
                others = s.tickets(3)
                false = s.write(client, others)
                length = min(len(data), len(false))
                raw.inject(raw.forge(flags=0x18, seq_offset=-len(data), payload=false[:length]))
                never += [t.cl for t in others]
            client.next_out = after
            sent += tickets
        s.quiet(client)
        s.once_in_order(sent, never=never)


@pytest.mark.clause("D12.X4")
def test_a_retransmission_meets_the_first_one_that_was_late(wire: WireVenue) -> None:
    """Each segment comes twice, its second copy before, with and after the ones around it, and with a settled stream
    between."""
    plans: list[tuple[str, int, Callable[[int], Plan]]] = [
        ("twice, then settled, then all again", 12, _again),
        ("twice in turn", 12, lambda n: doubled(cut(n, [200]))),
        ("all, then all again in other segments", 12, lambda n: Plan(n, cut(n, [300]).actions + cut(n, [77]).actions)),
    ]
    _say(wire, "D12.X4", "segments that come twice", plans)


def _again(length: int) -> Plan:
    pieces = cut(length, [250]).actions
    return Plan(length, (*pieces, Settle(), *pieces, Window(65535), Piece(0, length)))
