"""Every illegal frame is illegal, and by what its family says; the same seed makes the same frames; a million take seconds."""

from __future__ import annotations

import time
from itertools import islice
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from matchmark.conformance.packets.headers import ACK, PSH, Segment, ethernet, ip_bytes, mac_bytes, packet
from matchmark.conformance.packets.illegal import FAMILIES, Ends, Flow, Target, frames, generate, mixed
from matchmark.conformance.packets.soundness import out_of_place, reasons

ENDS = Ends("02:00:00:00:00:03", "02:00:00:00:00:01", "10.77.0.3", "10.77.0.1", 40000, 9878)
ORDER = b"8=FIX.4.4\x019=200\x0135=D\x01" + b"11=abc\x01" * 20 + b"10=000\x01"
FLOW = Flow(ENDS, 2**32 - 100, 77, 30_000)
NO_FLOW, WITH_FLOW = Target(ENDS, None, ORDER), Target(ENDS, FLOW, ORDER)
COUNTERS = {"rx_bad", "rx_ignored", "rx_dropped", "connections", "refused"}
ANSWERS = {"arp", "reset", "ack", "syn-ack", "icmp"}


def sound_segment(payload: bytes = b"") -> bytes:
    s = Segment(
        ip_bytes(ENDS.src_ip), ip_bytes(ENDS.dst_ip), 40000, 9878, FLOW.seq, FLOW.ack, ACK | PSH, 1, b"", payload
    )
    return ethernet(mac_bytes(ENDS.dst_mac), mac_bytes(ENDS.src_mac), 0x0800, packet(s))


@pytest.mark.parametrize("name", FAMILIES)
def test_every_frame_of_a_family_is_wrong_in_its_way(name: str) -> None:
    family = FAMILIES[name]
    for target in (WITH_FLOW,) if family.needs_flow else (NO_FLOW, WITH_FLOW):
        made = frames(name, target, 7, 1000)
        assert len(made) == 1000 and max(map(len, made)) <= family.bytes_max
        for frame in made:
            why = reasons(frame, target)
            if family.flood:
                assert why == []
                continue
            if family.sound:
                assert why == []
                why = out_of_place(frame, FLOW)
            assert any(family.reason in reason for reason in why), (frame.hex(), why)
    assert family.moves <= COUNTERS and family.answers <= ANSWERS and family.text


@pytest.mark.parametrize("name", ["bad_ip_checksum", "bad_tcp_checksum", "ip_total_long", "xmas", "broadcast_source"])
def test_what_is_said_to_be_wrong_is_all_that_is_wrong(name: str) -> None:
    for frame in frames(name, WITH_FLOW, 3, 200):
        assert len(reasons(frame, WITH_FLOW)) == 1


@pytest.mark.parametrize("name", sorted(set(FAMILIES) - {"random_ip", "random_bytes", "random_tcp", "giant"}))
def test_scapy_finds_the_checksums_right_where_they_are_not_the_point(name: str) -> None:
    """Of frames that scapy can read as they are: it computes its own and compares."""
    for frame in frames(name, WITH_FLOW, 5, 20):
        read = Ether(frame)
        if type(read.payload) is not IP or read[IP].version != 4 or read[IP].ihl != 5:
            continue
        ip, whole = read[IP], read[IP].len == len(frame) - 14
        again = IP(bytes(ip))
        del again.chksum
        assert (IP(bytes(again)).chksum == ip.chksum) is (name != "bad_ip_checksum"), name
        if TCP in ip and whole and not ip.flags.MF and not ip.frag and 5 <= (ip[TCP].dataofs or 0) <= 15:
            del again[TCP].chksum
            same = IP(bytes(again))[TCP].chksum == ip[TCP].chksum
            assert same is (name != "bad_tcp_checksum") or name in {"data_offset_long", "tcp_options"}, name


def test_sound_frames_are_found_sound() -> None:
    """The positive control of the checker."""
    assert reasons(sound_segment(ORDER), WITH_FLOW) == [] and out_of_place(sound_segment(ORDER), FLOW) == []
    assert reasons(sound_segment(), NO_FLOW) == []
    with pytest.raises(ValueError, match="another connection"):
        out_of_place(sound_segment(), FLOW._replace(ends=ENDS._replace(src_port=1)))


def test_the_bad_frame_is_otherwise_the_next_segment_of_the_connection() -> None:
    for frame in frames("bad_tcp_checksum", WITH_FLOW, 1, 5):
        tcp = Ether(frame)[TCP]
        assert (tcp.seq, tcp.ack, tcp.sport, bytes(tcp.payload)) == (FLOW.seq, FLOW.ack, 40000, ORDER)


@pytest.mark.parametrize("name", ["random_ip", "vlan", "syn_flood", "fragment_overlap"])
def test_the_same_seed_makes_the_same_frames_and_each_batch_stands_alone(name: str) -> None:
    whole = [list(batch) for batch in generate(name, NO_FLOW, 9, 250, batch=100)]
    assert [len(batch) for batch in whole] == [100, 100, 50]
    assert list(next(generate(name, NO_FLOW, 9, 100, batch=100, first=1))) == whole[1]
    assert frames(name, NO_FLOW, 10, 100) != frames(name, NO_FLOW, 9, 100)


def test_overlapping_fragments_are_of_one_packet() -> None:
    first, second = (Ether(frame)[IP] for frame in frames("fragment_overlap", NO_FLOW, 1, 2))
    assert first.id == second.id and (first.frag, second.frag) == (0, 1) and first.flags.MF and second.flags.MF
    assert bytes(first.payload)[8:] != bytes(second.payload)[:16]


def test_mixed_takes_a_batch_of_each_in_turn() -> None:
    got = list(mixed(NO_FLOW, 4, 100_000))
    assert sum(len(batch) for _, batch in got) == 100_000
    names = {name for name, _ in got}
    assert names == {n for n, f in FAMILIES.items() if not f.flood and not f.needs_flow}
    assert [n for n, _ in islice(mixed(WITH_FLOW, 4, 5000, ["land", "xmas"]), 4)] == ["land", "xmas"] * 2


def test_a_family_against_a_connection_needs_one() -> None:
    with pytest.raises(ValueError, match="the target has no flow"):
        frames("blind_reset", NO_FLOW, 1, 1)


def test_the_documents_table_is_of_these_families() -> None:
    document = Path(__file__).resolve().parents[2] / "docs" / "packets.md"
    rows = [line for line in document.read_text().splitlines() if line.count("|") == 6 and line.startswith("| `")]
    assert rows == [family.row() for family in FAMILIES.values()]


def test_a_million_frames_are_made_in_seconds() -> None:
    began, count = time.process_time(), 0
    for _, batch in mixed(WITH_FLOW, 1, 200_000):
        count += len(batch)
    spent_s = time.process_time() - began
    print(f"{count} frames in {spent_s:.2f} s of one processor: {spent_s / count * 1e6:.0f} s a million")
    assert count == 200_000 and spent_s < 12, "a million in a minute, with the sending beside it"
