"""Diagram 12, frames one by one: each that is for the target is answered or counted, and the counters say what was put on
the wire."""

from __future__ import annotations

import struct
from contextlib import suppress
from functools import partial

import pytest

from matchmark.conformance.packets.headers import (
    ACK,
    ARP,
    IPV4,
    SYN,
    Arp,
    Segment,
    arp,
    checksum,
    ethernet,
    ip_bytes,
    ip_packet,
    mac_bytes,
    packet,
)
from matchmark.conformance.packets.tcp_client import NoAnswer, Refused
from matchmark.conformance.suites._wire import ANSWERED_S, WireStage
from matchmark.conformance.suites._wire_count import Count, demand_counts
from matchmark.conformance.wire_venue import WireVenue, unlike

pytestmark = pytest.mark.needs("fix", "raw_frames")

ANSWER_S = 3.0
CLOSED_PORT = 9
BURST = 64


@pytest.mark.clause("D12.1")
def test_who_asks_for_its_address_is_told_and_who_asks_for_anothers_is_not(wire: WireVenue) -> None:
    with WireStage(wire, "D12.1", "ARP") as s:
        end = wire.endpoint.host
        if wire.wire.mac:  # the profile says it, for nobody answers
            s.exchange(s.peer(), 3)
            return
        try:
            told = wire.host(1).resolve(end, ANSWER_S)
        except NoAnswer as error:
            s.fail("the target does not answer ARP for its address", ["its hardware address"], [str(error)])
        if told != wire.station.resolve(end):
            s.fail("two hosts are told different addresses", [told], [wire.station.resolve(end)])
        with suppress(NoAnswer):
            wire.host(2).resolve(wire.cable.addresses[3], 0.5)
            s.fail("somebody answers ARP for an address that nobody has", ["nothing"], ["a hardware address"])
        s.exchange(s.peer(), 3)


@pytest.mark.clause("D12.1")
def test_a_port_that_is_open_is_answered_and_one_that_is_closed_gives_no_connection(wire: WireVenue) -> None:
    """Many connections, one after the other, and attempts at a port where nobody listens: refused, or left alone."""
    with WireStage(wire, "D12.1", "SYN to an open port and to a closed one") as s:
        end = wire.endpoint
        for _ in range(20):
            wire.station.connect(end.host, end.port).close()
        with suppress(Refused, NoAnswer):
            wire.station.connect(end.host, CLOSED_PORT, timeout_s=ANSWER_S).reset()
            s.fail("a SYN to a port that is closed gives a connection", ["a reset, or nothing"], ["a connection"])
        s.exchange(s.peer(), 3)


@pytest.mark.clause("D12.1")
def test_every_segment_with_data_and_every_probe_is_acknowledged(wire: WireVenue) -> None:
    """A segment at a time, keep-alive probes and a byte beyond a closed window among them: each is answered by itself."""
    with WireStage(wire, "D12.1", "segments of a connection") as s:
        client = s.peer()
        raw = wire.raw(client)
        for n in range(20):
            data = s.write(client, tickets := s.tickets(1))
            raw.send(data, cuts=[len(data) // 2 + 1], timeout_s=ANSWERED_S)  # returns when it is acknowledged
            s.acknowledged(client, tickets)
            if n % 4 == 0:
                _probe(s, wire, raw.forge(flags=ACK, seq_offset=-1, payload=b"\0"), "a probe with a byte that is known")
        _probe(s, wire, raw.forge(flags=ACK, seq_offset=-1), "a keep-alive probe")  # one: answers to more may be rare
        s.quiet(client)


def _probe(s: WireStage, wire: WireVenue, frame: bytes, what: str) -> None:
    """A frame whose answer carries an acknowledgement."""
    assert wire.port
    wire.station.pump(0.05)
    before = len(wire.ring.records())
    wire.port.send(frame)
    for _ in range(int(ANSWER_S / 0.05)):
        wire.station.pump(0.05)
        if any(not r.sent and r.frame[12:14] == b"\x08\x00" for r in wire.ring.records()[before:]):
            return
    s.fail(f"{what} is not answered", ["an acknowledgement"], [f"nothing within {ANSWER_S:g} s"])


@pytest.mark.clause("D12.1")
def test_what_no_session_is_asked_by_is_answered_or_counted(wire: WireVenue) -> None:
    """Well-formed frames of other kinds: pings, UDP, ARP answers that nobody asked for. They are counted where frames are
    counted; nothing else comes of them."""
    with WireStage(wire, "D12.1", "frames of other protocols") as s:
        client = s.peer()
        s.exchange(client, 3)
        before = wire.at_rest()
        frames = [_ping(wire, n) for n in range(BURST)] + [_udp(wire, n) for n in range(BURST)]
        count = Count(wire)
        for frame in frames:
            count.send(frame)
        after = wire.at_rest()
        if "rx_frames" in before:
            moved = unlike(before, after, ("rx_frames", "rx_bad"))
            if moved.get("rx_frames", 0) != count.sent or moved.get("rx_bad"):
                s.fail("well-formed frames are not counted as such", [f"rx_frames +{count.sent}"], [str(moved)])
        s.exchange(client, 3)
        s.quiet(client)


def _to(wire: WireVenue) -> tuple[bytes, bytes, bytes, bytes]:
    """(to, from) as hardware addresses and as IP addresses."""
    there = wire.endpoint.host
    return (
        mac_bytes(wire.station.resolve(there)), mac_bytes(wire.station.mac), ip_bytes(there), ip_bytes(wire.station.ip),
    )  # fmt: skip


def _ping(wire: WireVenue, n: int) -> bytes:
    to_mac, from_mac, to_ip, from_ip = _to(wire)
    echo = struct.pack(">BBHHH", 8, 0, 0, 77, n) + bytes(32)
    echo = echo[:2] + checksum(echo).to_bytes(2, "big") + echo[4:]
    return ethernet(to_mac, from_mac, IPV4, ip_packet(from_ip, to_ip, 1, echo, n))


def _udp(wire: WireVenue, n: int) -> bytes:
    to_mac, from_mac, to_ip, from_ip = _to(wire)
    body = struct.pack(">HHHH", 4000 + n, CLOSED_PORT, 8 + 24, 0) + bytes(24)
    return ethernet(to_mac, from_mac, IPV4, ip_packet(from_ip, to_ip, 17, body, n))


# --- counters ---


@pytest.mark.clause("D12.X7")
def test_counters_of_messages_and_connections_are_those_of_the_wire(wire: WireVenue) -> None:
    with WireStage(wire, "D12.X7", "messages and connections, counted") as s:
        s.exchange(s.peer(), 1)
        before = wire.at_rest()
        if not {"messages_in", "accepted"} <= before.keys():
            pytest.skip("the status page has no counters of messages and connections")
        clients = [s.peer() for _ in range(5)]
        for client in clients:
            s.exchange(client, 20)
        after = wire.at_rest()
        moved = unlike(before, after, ("messages_in", "accepted"))
        if moved != {"messages_in": 100, "accepted": 5}:
            s.fail(
                "other messages and connections are counted than there were",
                ["messages_in 100, accepted 5"],
                [str(moved)],
            )


@pytest.mark.clause("D12.X7")
@pytest.mark.needs("dpdk")
def test_counters_of_frames_are_those_of_the_wire(poll_mode: WireVenue) -> None:
    """Frames of a session, damaged ones, frames for others and frames of other kinds: each is counted once, under its name,
    with its bytes; and what the target sent is what came."""
    wire = poll_mode
    with WireStage(wire, "D12.X7", "frames, counted") as s:
        client = s.peer()
        demand_counts(s, wire, "orders of a session", lambda count: s.exchange(client, 50))
        demand_counts(s, wire, "a burst", lambda count: count.many([_ping(wire, n) for n in range(BURST)]))
        for note, frames, name in (
            ("frames with a wrong checksum", [_damaged(wire, n) for n in range(BURST)], "rx_bad"),
            ("frames that are cut", [_damaged(wire, n)[: 34 + n % 19] for n in range(BURST)], "rx_bad"),
            ("frames for other hardware addresses", [_for_others(wire, n) for n in range(BURST)], "rx_ignored"),
            ("frames of other kinds", [_of_other_kind(wire, n) for n in range(BURST)], "rx_ignored"),
        ):
            demand_counts(s, wire, note, partial(Count.many, frames=frames), {name: BURST})
            demand_counts(s, wire, f"{note}, one by one", partial(_one_by_one, frames=frames), {name: BURST})
        demand_counts(s, wire, "ARP questions", lambda count: count.many(_ask(wire) for _ in range(BURST)))
        s.exchange(client, 3)
        s.quiet(client)


def _one_by_one(count: Count, frames: list[bytes]) -> None:
    for frame in frames:
        count.send(frame)


def _damaged(wire: WireVenue, n: int) -> bytes:
    """A SYN to the FIX port whose TCP checksum is wrong by one."""
    to_mac, from_mac, to_ip, from_ip = _to(wire)
    raw = bytearray(packet(Segment(from_ip, to_ip, 3000 + n, wire.endpoint.port, n, 0, SYN, 1000)))
    raw[36] ^= 1
    return ethernet(to_mac, from_mac, IPV4, bytes(raw))


def _for_others(wire: WireVenue, n: int) -> bytes:
    _, from_mac, to_ip, from_ip = _to(wire)
    syn = packet(Segment(from_ip, to_ip, 3000 + n, wire.endpoint.port, n, 0, SYN, 1000))
    return ethernet(bytes((2, 9, 9, 9, 9, n)), from_mac, IPV4, syn)


def _of_other_kind(wire: WireVenue, n: int) -> bytes:
    to_mac, from_mac, *_ = _to(wire)
    return ethernet(to_mac, from_mac, (0x86DD, 0x88CC, 0x8847, 0x0806 ^ 0x8000)[n % 4], bytes(60))


def _ask(wire: WireVenue) -> bytes:
    to_mac, from_mac, to_ip, from_ip = _to(wire)
    return ethernet(to_mac, from_mac, ARP, arp(Arp(1, from_mac, from_ip, bytes(6), to_ip)))
