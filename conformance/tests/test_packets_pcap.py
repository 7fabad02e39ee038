"""What passed is kept, saved so that others read it, and read and rewritten again."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.utils import rdpcap, wrpcap

from matchmark.conformance.packets.illegal import FAMILIES, Ends, Target, frames
from matchmark.conformance.packets.pcap import Record, Ring, kept_on_failure, read, write
from matchmark.conformance.packets.replay import captured, replay
from matchmark.conformance.packets.rewrite import Rewrite
from matchmark.conformance.packets.soundness import reasons
from matchmark.conformance.packets.tcp_client import Station

from .packets_peer import Peer, PeerPort

FRAME = bytes(
    Ether(src="02:00:00:00:00:03", dst="02:00:00:00:00:01") / IP(src="10.0.0.3", dst="10.0.0.1") / TCP(sport=7)
)
ENDS = Ends("02:00:00:00:00:03", "02:00:00:00:00:01", "10.0.0.3", "10.0.0.1", 7, 80)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.binary(min_size=1, max_size=200), st.sampled_from((True, False, None)), st.text("ab c", max_size=9)
        )
    )
)
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, given_: list[tuple[bytes, bool | None, str]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "again.pcapng"
    records = [Record(frame, 1_700_000_000_000_000_123 + n, sent, text) for n, (frame, sent, text) in enumerate(given_)]
    write(path, records, "of the whole")
    assert read(path) == records


def test_scapy_and_whoever_else_is_installed_opens_what_is_saved(tmp_path: Path) -> None:
    ring = Ring()
    ring.note(FRAME, True, comment="first")
    ring.remark("this one did it")
    ring.note(FRAME, False)
    path = ring.save(tmp_path / "deep" / "case.pcapng", "seed 7")
    one, two = rdpcap(str(path))
    assert bytes(one) == FRAME and (one.direction, two.direction) == (2, 1)
    assert [record.comment for record in read(path)] == ["first", "this one did it"]
    for tool in ("capinfos", "tshark"):
        if found := shutil.which(tool):
            subprocess.run([found, *["-r"] * (tool == "tshark"), str(path)], check=True, capture_output=True)


def test_a_pcap_of_somebody_elses_is_read(tmp_path: Path) -> None:
    wrpcap(str(tmp_path / "old.pcap"), [Ether(FRAME)])
    (record,) = read(tmp_path / "old.pcap")
    assert record.frame == FRAME and record.sent is None
    assert captured([record]) == ("02:00:00:00:00:01", "10.0.0.1", "10.0.0.3")


def test_the_ring_is_bounded_and_says_what_it_let_go(tmp_path: Path) -> None:
    ring = Ring(limit_bytes=10_000)
    for n in range(1000):
        ring.note(n.to_bytes(60, "big"), True)
    kept = ring.records()
    assert kept[-1].frame == (999).to_bytes(60, "big") and len(kept) + ring.forgotten == 1000 and len(kept) < 100
    ring.clear()
    assert not ring.records()


def test_a_failing_case_leaves_its_frames_and_says_where(tmp_path: Path) -> None:
    ring = Ring()
    ring.note(FRAME, True)
    with (
        pytest.raises(AssertionError, match="two") as failed,
        kept_on_failure(ring, tmp_path / "case.pcapng", "seed 7"),
    ):
        raise AssertionError("one is not two")
    assert failed.value.__notes__ == [f"frames: {tmp_path / 'case.pcapng'}"]
    assert [record.frame for record in read(tmp_path / "case.pcapng")] == [FRAME]
    assert b"seed 7\nAssertionError: one is not two" in (tmp_path / "case.pcapng").read_bytes()
    with kept_on_failure(ring, tmp_path / "none.pcapng"):
        pass
    assert not (tmp_path / "none.pcapng").exists()


# --- replay ---


class Noting(PeerPort):
    """Keeps what passes, as a port of the kernel's does."""

    ring: Ring

    def send(self, frame: bytes) -> None:
        self.ring.note(frame, True)
        super().send(frame)

    def receive(self, timeout_s: float = 0.0, most: int = 256) -> list[tuple[bytes, int]]:
        got = super().receive(timeout_s, most)
        for frame, at_ns in got:
            self.ring.note(frame, False, at_ns)
        return got


def echo(peer: Peer) -> None:
    if new := bytes(peer.taken[len(peer.to_say) :]):
        peer.say(new)
    if peer.state == "ended" and not peer.fin_sent:
        peer.finish()


@pytest.mark.parametrize("directed", [True, False])
def test_a_replay_is_taken_by_a_server_that_counts_from_elsewhere(tmp_path: Path, directed: bool) -> None:
    port = Noting(echo)
    port.ring = Ring()
    with Station(port, "10.77.0.3") as station:
        client = station.connect("10.77.0.1", 9878)
        for n in range(3):
            client.send(b"case %d" % n, cuts=[4])
            assert client.receive_until(lambda got: len(got) == 6, 2) == b"case %d" % n
        client.close()
    port.close()
    records = port.ring.records()
    write(tmp_path / "case.pcapng", [r if directed else r._replace(sent=None) for r in records])
    for isn, follow in ((77, True), (2**32 - 3, True), (77, False)):
        again = PeerPort(echo, lambda isn=isn: Peer(isn=isn))  # type: ignore[misc]
        done = replay(tmp_path / "case.pcapng", again, follow=follow)
        (peer,) = again.peers
        again.close()
        assert done.sent == len([r for r in records if r.sent]) and done.received
        assert bool(peer.faults) is not follow, "an acknowledgement of what was never sent is the control"
        if follow:
            assert bytes(peer.taken) == b"case 0case 1case 2" and peer.state == "ended"


# --- other addresses ---

REWRITE = Rewrite(
    {"02:00:00:00:00:01": "02:00:00:00:00:11"},
    {"10.0.0.1": "172.16.255.9", "10.0.0.3": "255.254.1.0"},
    {80: 65535, 7: 0},
)
ELSEWHERE = Ends("02:00:00:00:00:03", "02:00:00:00:00:11", "255.254.1.0", "172.16.255.9", 0, 65535)


@settings(deadline=None)
@given(st.binary(max_size=60), st.integers(0, 2**32 - 1), st.sampled_from((TCP, UDP)))
def test_sound_frames_stay_sound_under_other_addresses(payload: bytes, seq: int, kind: type[TCP] | type[UDP]) -> None:
    above = kind(sport=7, dport=80) if kind is UDP else kind(sport=7, dport=80, seq=seq)
    plain = Ether(src=ENDS.src_mac, dst=ENDS.dst_mac) / IP(src=ENDS.src_ip, dst=ENDS.dst_ip) / above / payload
    read_again = Ether(REWRITE(bytes(plain)))
    assert (read_again.dst, read_again[IP].src, read_again[IP].dst) == (
        ELSEWHERE.dst_mac,
        ELSEWHERE.src_ip,
        ELSEWHERE.dst_ip,
    )
    assert (read_again[kind].sport, read_again[kind].dport) == (0, 65535)
    there = read_again[IP].chksum, read_again[kind].chksum
    del read_again[IP].chksum, read_again[kind].chksum
    right = Ether(bytes(read_again))
    assert all((a - b) % 0xFFFF == 0 for a, b in zip(there, (right[IP].chksum, right[kind].chksum), strict=True))


@pytest.mark.parametrize(
    "name", ["bad_ip_checksum", "bad_tcp_checksum", "truncated", "runt", "fragment_tiny", "arp_garbage"]
)
def test_wrong_frames_stay_wrong_under_other_addresses(name: str) -> None:
    for frame in frames(name, Target(ENDS), 2, 200):
        why = reasons(REWRITE(frame), Target(ELSEWHERE))
        assert any(FAMILIES[name].reason in reason for reason in why)


def test_arp_is_rewritten_too() -> None:
    asks = Ether(src=ENDS.dst_mac, dst=ENDS.src_mac) / ARP(
        op=2, hwsrc=ENDS.dst_mac, psrc=ENDS.dst_ip, hwdst=ENDS.src_mac, pdst=ENDS.src_ip
    )
    said = Ether(REWRITE(bytes(asks)))[ARP]
    assert (said.hwsrc, said.psrc, said.pdst) == (ELSEWHERE.dst_mac, ELSEWHERE.dst_ip, ELSEWHERE.src_ip)
