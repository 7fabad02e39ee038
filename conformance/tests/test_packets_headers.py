"""Headers by struct against scapy's, and a host's ARP and demultiplexing, all in memory."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import ARP as ScapyArp
from scapy.layers.l2 import Ether

from matchmark.conformance.packets import headers
from matchmark.conformance.packets.headers import ACK, RST, SYN, Arp, Segment, checksum, ip_bytes, mac_bytes
from matchmark.conformance.packets.host import ASK_TIMES, Host
from matchmark.conformance.packets.tcp_machine import Settings, State

from .packets_peer import Peer, segment_of

MAC, THEIR_MAC = "02:6d:0a:4d:00:03", "02:00:00:00:00:01"
IP_HERE, IP_THERE = "10.77.0.3", "10.77.0.1"


@settings(deadline=None)
@given(st.binary(max_size=101))
def test_the_checksum_is_the_sum_of_all_words_in_ones_complement(data: bytes) -> None:
    words = struct.unpack(f">{(len(data) + 1) // 2}H", data + bytes(len(data) % 2))
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert checksum(data) == ~total & 0xFFFF


@settings(deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 63), st.integers(0, 65535),
    st.integers(0, 10).map(lambda n: b"\1" * 4 * n), st.binary(max_size=200),
)  # fmt: skip
def test_a_segment_is_what_scapy_makes_of_the_same_fields(
    seq: int, ack: int, flags: int, window: int, options: bytes, payload: bytes
) -> None:
    ours = Segment(ip_bytes(IP_HERE), ip_bytes(IP_THERE), 40000, 9878, seq, ack, flags, window, options, payload)
    tcp = TCP(sport=40000, dport=9878, seq=seq, ack=ack, flags=flags, window=window)
    tcp.options = [("NOP", None)] * len(options)
    assert headers.packet(ours, 7) == bytes(IP(src=IP_HERE, dst=IP_THERE, flags="DF", id=7) / tcp / payload)
    assert headers.parse_segment(headers.packet(ours) + bytes(9)) == ours, "padding is left out"


def test_arp_is_what_scapy_makes() -> None:
    ours = headers.arp(Arp(2, mac_bytes(MAC), ip_bytes(IP_HERE), mac_bytes(THEIR_MAC), ip_bytes(IP_THERE)))
    assert ours == bytes(ScapyArp(op=2, hwsrc=MAC, psrc=IP_HERE, hwdst=THEIR_MAC, pdst=IP_THERE))
    assert headers.parse_arp(ours).src_mac == mac_bytes(MAC)


def test_what_is_no_segment_says_why() -> None:
    good = headers.packet(Segment(ip_bytes(IP_HERE), ip_bytes(IP_THERE), 1, 2, 3, 4, ACK, 5, b"", b"data"))
    for at, value, says in (
        (0, 0x65, "IP version 6"),
        (0, 0x44, "IP header of 16 bytes"),
        (2, 0xFF, "total length"),
        (10, good[10] ^ 1, "wrong IP checksum"),
    ):
        with pytest.raises(ValueError, match=says):
            headers.parse_segment(good[:at] + bytes((value,)) + good[at + 1 :])
    with pytest.raises(ValueError, match="wrong TCP checksum"):
        headers.parse_segment(good[:-1] + b"!")
    assert headers.parse_segment(good[:-1] + b"!", verify=False).payload == b"dat!"


@pytest.mark.parametrize("raw", ["", "01", "0101", "020405b4", "0204", "ff", "ff00", "ff01", "080a0000000100000002"])
def test_options_are_read_as_far_as_they_make_sense(raw: str) -> None:
    found = headers.read_options(bytes.fromhex(raw))
    known = {"020405b4": {2: b"\x05\xb4"}, "080a0000000100000002": {8: bytes.fromhex("0000000100000002")}}
    assert found == known.get(raw, {})


# --- a host ---


def asked(frame: bytes) -> Arp:
    return headers.parse_arp(frame[14:])


def answer(host: Host) -> bytes:
    mac = mac_bytes(THEIR_MAC)
    return bytes(Ether(src=THEIR_MAC, dst=MAC) / ScapyArp(op=2, hwsrc=mac, psrc=IP_THERE, hwdst=MAC, pdst=IP_HERE))


def test_a_host_asks_for_the_hardware_address_before_it_sends() -> None:
    host = Host(MAC, IP_HERE, random.Random(1))
    machine = host.open(IP_THERE, 9878, Settings(), 0)
    (question,) = host.frames()
    assert question[:6] == b"\xff" * 6 and asked(question).dst_ip == ip_bytes(IP_THERE)
    host.take(answer(host), 1)
    (syn,) = host.frames()
    assert segment_of(syn).flags == SYN and syn[:6] == mac_bytes(THEIR_MAC)
    peer = Peer()
    for s in peer.take(segment_of(syn)):
        host.take(headers.ethernet(mac_bytes(MAC), mac_bytes(THEIR_MAC), headers.IPV4, headers.packet(s)), 2)
    assert machine.state is State.ESTABLISHED and segment_of(host.frames()[0]).flags == ACK
    flow = host.flow(machine)
    assert (flow.ends.src_ip, flow.ends.dst_mac, flow.ack) == (IP_THERE.replace(".1", ".3"), THEIR_MAC, peer.isn + 1)


def test_a_host_gives_up_when_nobody_answers_arp() -> None:
    host = Host(MAC, IP_HERE)
    machine = host.open(IP_THERE, 1, Settings(syn_tries=20), 0)
    now = 0
    questions = len(host.frames())
    for _ in range(ASK_TIMES + 1):
        now += 200_000_000
        host.poll(now)
        questions += len(host.frames())
    assert machine.error == f"{IP_THERE} does not answer ARP" and questions == ASK_TIMES


def test_a_host_answers_arp_for_its_own_address_only() -> None:
    host = Host(MAC, IP_HERE)
    for ip in ("10.77.0.9", IP_HERE):
        question = Ether(src=THEIR_MAC, dst="ff:ff:ff:ff:ff:ff") / ScapyArp(hwsrc=THEIR_MAC, psrc=IP_THERE, pdst=ip)
        host.take(bytes(question), 0)
    (said,) = host.frames()
    assert asked(said) == Arp(2, mac_bytes(MAC), ip_bytes(IP_HERE), mac_bytes(THEIR_MAC), ip_bytes(IP_THERE))


def test_strays_are_reset_and_noise_is_counted() -> None:
    host = Host(MAC, IP_HERE)
    host.neighbours[ip_bytes(IP_THERE)] = mac_bytes(THEIR_MAC)
    stray = Segment(ip_bytes(IP_THERE), ip_bytes(IP_HERE), 5, 6, 100, 200, ACK, 1, b"", b"abc" * 9)
    frame = headers.ethernet(mac_bytes(MAC), mac_bytes(THEIR_MAC), headers.IPV4, headers.packet(stray))
    host.take(frame, 0)
    reset = segment_of(host.frames()[0])
    assert (reset.flags, reset.seq, reset.src_port) == (RST, 200, 6)
    for noise in (b"", frame[:30], frame[:-1] + b"!", b"\x04" + frame[1:], bytes(60)):
        host.take(noise, 0)
    assert not host.frames() and (host.numbers.taken, host.numbers.strays) == (1, 1)
