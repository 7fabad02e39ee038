"""Diagram 12, the poll-mode port itself: frames in their order, orders read where the port put them, few processors, other
kinds of port."""

from __future__ import annotations

import os
import re
import time
from itertools import pairwise

import pytest

from matchmark.conformance.fix.client import FixClient
from matchmark.conformance.hooks import StartRefused
from matchmark.conformance.packets.batch import Batch
from matchmark.conformance.packets.headers import ACK, Segment, parse_segment
from matchmark.conformance.suites._wire import ANSWERED_S, Ticket, WireStage, unavailable
from matchmark.conformance.suites._wire_twin import RUN, demand_same, story
from matchmark.conformance.wire_fixtures import MakeWire
from matchmark.conformance.wire_venue import WireVenue

pytestmark = pytest.mark.needs("fix", "raw_frames", "dpdk")

BURST = 24
"""Segments at once: less than a burst of a port's."""


@pytest.mark.clause("D12.3")
@pytest.mark.parametrize("burst", [1, 2, 3, BURST])
def test_frames_are_taken_in_the_order_in_which_they_came(poll_mode: WireVenue, burst: int) -> None:
    """Segments of one connection that are put on the cable in order and at once. Who takes one before its predecessor must
    say again what it waits for: an acknowledgement that says nothing new."""
    wire = poll_mode
    with WireStage(wire, "D12.3", f"segments in bursts of {burst}") as s:
        client, sent = s.peer(), list[Ticket]()
        for _ in range(20):
            tickets = s.tickets(burst)
            before = wire.at_rest() if burst == BURST else {}
            wire.ring.clear()
            _at_once(s, wire, client, tickets)
            s.acknowledged(client, tickets)
            if again := _said_again(wire):
                if before and wire.at_rest().get("rx_dropped") != before.get("rx_dropped"):
                    unavailable("the port had no room for a burst")
                s.fail(f"{s.why}: they were taken in another order", ["each acknowledged once"], [str(again)])
            sent += tickets
        s.quiet(client)
        s.once_in_order(sent)


def _at_once(s: WireStage, wire: WireVenue, client: FixClient, tickets: list[Ticket]) -> None:
    """One order a segment, all in one call to the kernel. The connection's own machine sends them again and is told that
    they are known."""
    assert wire.port
    raw, at, frames, data = wire.raw(client), 0, list[bytes](), b""
    for ticket in tickets:
        part = s.write(client, [ticket])
        frames.append(raw.forge(flags=0x18, seq_offset=at, payload=part))
        at += len(part)
        data += part
    with wire.station.lock:  # the machine must not see the answer before it knows what was asked
        raw.machine.write(data)
        raw.machine.poll(time.monotonic_ns())
        held = raw.machine.segments()
    assert sum(len(one.payload) for one in held) == len(data)
    wire.port.send_batch(Batch.of(frames))
    raw.station.wait(lambda: raw.machine.outgoing.done, ANSWERED_S, "acknowledgements of a burst")


def _said_again(wire: WireVenue) -> list[str]:
    """Pure acknowledgements of the target's that say what the one before said, the window included."""
    came = []
    for record in wire.ring.records():
        if not record.sent and record.frame[12:14] == b"\x08\x00":
            try:
                came.append(parse_segment(record.frame[14:]))
            except ValueError:
                continue
    return [str(b) for a, b in pairwise(came) if _pure(a) and _pure(b) and (a.ack, a.window) == (b.ack, b.window)]


def _pure(segment: Segment) -> bool:
    return not segment.payload and segment.flags == ACK


@pytest.mark.clause("D12.N3")
def test_orders_in_whole_frames_are_read_where_the_port_put_them(poll_mode: WireVenue) -> None:
    """Counted by the target: bytes that were parsed in place, and bytes that were copied first. Calls to the system are not
    counted by anybody, and not judged here."""
    wire = poll_mode
    with WireStage(wire, "D12.N3", "orders in frames of their own") as s:
        client = s.peer()
        s.exchange(client, 1)
        before = wire.at_rest()
        if not {"bytes_in_place", "bytes_copied"} <= before.keys():
            pytest.skip("the status page does not count bytes that were copied ([wire] counters)")
        length = 0
        for _ in range(50):
            length += len(s.send(client, tickets := s.tickets(1)))
            s.acknowledged(client, tickets)
        after = wire.at_rest()
        moved = {name: after[name] - before[name] for name in ("bytes_in_place", "bytes_copied")}
        if moved != {"bytes_in_place": length, "bytes_copied": 0}:
            s.fail(f"{s.why} are copied", [f"{length} bytes in place, 0 copied"], [str(moved)])


@pytest.mark.clause("D12.N4")
@pytest.mark.parametrize("wait", ["auto", "spin"])
def test_with_one_processor_everybody_is_still_answered_and_it_says_how_it_waits(
    make_wire: MakeWire, wait: str
) -> None:
    """All threads of the target on one processor, left to choose how they wait, and told to spin."""
    first = min(os.sched_getaffinity(0))
    wire = make_wire("dpdk", prefix=("taskset", "-c", str(first)), wait=wait)
    with WireStage(wire, "D12.N4", f"one processor for all, wait = {wait}") as s:
        clients = [s.peer(account=wire.accounts[n]) for n in range(3)]
        sent = [s.tickets(0) for _ in clients]
        for _ in range(10):
            for client, tickets in zip(clients, sent, strict=True):
                tickets += s.exchange(client, 5)
        for client in clients:
            s.quiet(client)
        s.once_in_order(*sent)
        ready = wire.engine.ready if wire.engine else {}
        if not ready.get("wait"):
            s.fail(
                "it does not say which way of waiting it chose", ['"wait" in the readiness line'], [str(sorted(ready))]
            )


# --- other ports ---


@pytest.mark.clause("D12.N6")
def test_a_port_that_cannot_be_had_is_an_error_at_start_that_says_what_is_missing(make_wire: MakeWire) -> None:
    wire = make_wire("dpdk", start=False, interface="nowhere0")
    try:
        wire.start()
    except StartRefused as refused:
        said = refused.said
        if refused.exit_status == 0 or not re.search(r"nowhere0|\bport\b|interface", said):
            with WireStage(make_wire("dpdk"), "D12.N6", "a port that is not there") as s:
                s.fail(
                    f"{s.why}: the start does not say so",
                    ["an exit status and a sentence about the port"],
                    [f"exit status {refused.exit_status}: {said[-300:] or 'nothing'}"],
                )
        return
    with WireStage(wire, "D12.N6", "a port that is not there") as s:
        s.fail(
            "it starts without its port", ["an error at start"], [f"ready: {wire.engine.ready if wire.engine else {}}"]
        )


@pytest.mark.clause("D12.N6")
@pytest.mark.needs("audit_log")
def test_another_kind_of_port_gives_the_same_reports_and_log(make_wire: MakeWire) -> None:
    """The same orders over the cable's port and over one of another kind, which is asked for by configuration alone."""
    logs = []
    for other in (False, True):
        wire = make_wire("dpdk", run=RUN, other=other)
        with WireStage(wire, "D12.N6", "another kind of port" if other else "the cable's port") as s:
            client, second = s.peer(), s.peer(account=wire.accounts[0])
            for n in range(10):
                s.exchange(client, 1 + n)
                s.exchange(second, 5)
            fence = s.exchange(client, 1)[0].cl
            logs.append([story(step) for step in wire.logged(fence)])
        wire.close()
    demand_same("D12.N6", "a command in the audit log, with its events", logs[0], logs[1], wire)
