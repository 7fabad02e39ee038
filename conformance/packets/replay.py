"""Frames of a pcap once more onto a port: all that the kit sent, in order, to the target that it was, or to another one.

    python -m matchmark.conformance.packets.replay FILE --interface veth0 --dst-ip 10.77.0.1

A target of today chooses other sequence numbers than the one that was captured. The replay reads them off its SYN-ACKs and
moves the acknowledgements in the frames by the difference. For the captured addresses of the kit's it answers ARP.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from matchmark.conformance.packets.headers import (
    ACK,
    ARP,
    BROADCAST,
    ETHERNET_BYTES,
    IPV4,
    RST,
    SYN,
    Arp,
    arp,
    ethernet,
    ip_bytes,
    ip_text,
    mac_bytes,
    mac_text,
    parse_arp,
    parse_ethernet,
    parse_segment,
)
from matchmark.conformance.packets.pcap import Record, read
from matchmark.conformance.packets.raw_port import Port, RawPort
from matchmark.conformance.packets.rewrite import Rewrite, change, checksum_at

ANSWER_S = 2.0
"""What the target said in the capture is waited for so long."""
_MOD = 1 << 32
_Key = tuple[bytes, bytes, int, int]


@dataclass
class Replayed:
    """Frames. `unsent`: those that the interface does not take. `received`: what the target said meanwhile."""

    sent: int = 0
    unsent: int = 0
    received: list[bytes] = field(default_factory=list)


def replay(
    path: Path | str,
    port: Port,
    *,
    rewrite: Rewrite | None = None,
    follow: bool = True,
    gap_s: float | None = 0.0,
    received: bool = False,
) -> Replayed:
    """Sends the frames that the kit sent, or with `received` the others.

    Where the file does not say which are which, the target's are those from the address that the first sound segment goes to.

    `gap_s`: seconds between two frames; None: as they were. `follow`: acknowledgements are moved to the target's numbers of
    now, and wait until it has said what they acknowledge.
    """
    return _Replay(port, rewrite or Rewrite(), follow).run(read(path), gap_s, received)


@dataclass
class _Side:
    """The target's side of a connection, as captured or as it is now. `said`: how many numbers it has used, the SYN's too."""

    first: int
    said: int = 0


class _Replay:
    def __init__(self, port: Port, rewrite: Rewrite, follow: bool) -> None:
        self.port, self.rewrite, self.follow = port, rewrite, follow
        self.done = Replayed()
        self._then: dict[_Key, _Side] = {}
        self._now: dict[_Key, _Side] = {}
        self._macs: dict[bytes, bytes] = {}  # of the kit's own addresses

    def run(self, records: list[Record], gap_s: float | None, received: bool) -> Replayed:
        target = _target_mac(records)
        before_ns = 0
        for record in records:
            sent = record.frame[6:12] != target if record.sent is None else record.sent
            frame = self.rewrite(record.frame)
            if sent is received:
                _learn(frame, self._then)
                continue
            pause_s = (record.at_ns - before_ns) / 1e9 if before_ns else 0.0
            self._wait(pause_s if gap_s is None else gap_s)
            before_ns = record.at_ns
            self._send(frame)
        self._wait(0.1)
        return self.done

    def _send(self, frame: bytes) -> None:
        key, flags, ack = _key(frame)
        if key:
            self._macs[key[0]] = frame[6:12]
            if self.follow and flags & (SYN | ACK) == SYN:
                self._now.pop(key, None)
                self._then.pop(key, None)
            elif self.follow and flags & ACK and key in self._then:
                frame = self._moved(frame, key, ack)
        try:
            self.port.send(frame)
            self.done.sent += 1
        except OSError:
            self.done.unsent += 1

    def _moved(self, frame: bytes, key: _Key, ack: int) -> bytes:
        """Its acknowledgement, to the target's numbers, as soon as the target has said what it had said by then."""
        then = self._then[key]
        need = min((ack - then.first) % _MOD, then.said)
        until = time.monotonic() + ANSWER_S
        while (key not in self._now or self._now[key].said < need) and time.monotonic() < until:
            self._wait(0.005)
        if key not in self._now:
            return frame
        out = bytearray(frame)
        at = ETHERNET_BYTES + (frame[14] & 15) * 4 + 8
        change(out, at, ((ack + self._now[key].first - then.first) % _MOD).to_bytes(4, "big"), checksum_at(out))
        return bytes(out)

    def _wait(self, for_s: float) -> None:
        until = time.monotonic() + for_s
        while True:
            for frame, _ in self.port.receive(max(0.0, until - time.monotonic())):
                self.done.received.append(frame)
                _learn(frame, self._now)
                self._answer(frame)
            if time.monotonic() >= until:
                return

    def _answer(self, frame: bytes) -> None:
        """ARP, for the kit's addresses."""
        try:
            _, _, kind, data = parse_ethernet(frame)
            asked = parse_arp(data)
        except ValueError:
            return
        mac = self._macs.get(asked.dst_ip)
        if kind == ARP and asked.operation == 1 and mac:
            self.port.send(ethernet(asked.src_mac, mac, ARP, arp(Arp(2, mac, asked.dst_ip, *asked[1:3]))))


def _learn(frame: bytes, sides: dict[_Key, _Side]) -> None:
    """What the target has said on a connection."""
    try:
        s = parse_segment(parse_ethernet(frame)[3])
    except ValueError:
        return
    key = (s.dst_ip, s.src_ip, s.dst_port, s.src_port)
    if s.flags & (SYN | ACK) == SYN | ACK:
        sides.setdefault(key, _Side(s.seq))
    if key in sides and not s.flags & RST:
        used = (s.seq + s.length - sides[key].first) % _MOD
        sides[key].said = max(sides[key].said, used if used < _MOD // 2 else 0)


def _key(frame: bytes) -> tuple[_Key | None, int, int]:
    """The ends, the flags and the acknowledgement of a frame that has TCP's."""
    try:
        _, _, kind, data = parse_ethernet(frame)
        s = parse_segment(data, verify=False) if kind == IPV4 else None
    except ValueError:
        s = None
    return ((s.src_ip, s.dst_ip, s.src_port, s.dst_port), s.flags, s.ack) if s else (None, 0, 0)


def _target_mac(records: list[Record]) -> bytes:
    try:
        return mac_bytes(captured(records)[0])
    except ValueError:
        return b""


def captured(records: list[Record]) -> tuple[str, str, str]:
    """Hardware address and address of the target, and address of the kit, of the first sound segment that the kit sent.

    ValueError: there is none.
    """
    for record in records:
        if record.sent is not False:
            try:
                s = parse_segment(parse_ethernet(record.frame)[3])
            except ValueError:
                continue
            return mac_text(record.frame[:6]), ip_text(s.dst_ip), ip_text(s.src_ip)
    raise ValueError("the file has no sound TCP segment")


def ask(port: RawPort, ip: str, src_ip: str, timeout_s: float = 2.0) -> str:
    """The hardware address by ARP. TimeoutError: no answer."""
    own = bytes.fromhex(port.mac.replace(":", ""))
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        port.send(ethernet(BROADCAST, own, ARP, arp(Arp(1, own, ip_bytes(src_ip), bytes(6), ip_bytes(ip)))))
        for frame, _ in port.receive(0.2):
            try:
                _, _, kind, data = parse_ethernet(frame)
                said = parse_arp(data) if kind == ARP else None
            except ValueError:
                continue
            if said and said.operation == 2 and said.src_ip == ip_bytes(ip):
                return mac_text(said.src_mac)
    raise TimeoutError(f"{ip} does not answer ARP")


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m matchmark.conformance.packets.replay", description=__doc__)
    parser.add_argument("file", type=Path, help="pcap or pcapng")
    parser.add_argument("--interface", required=True, help="the kit's end of the cable")
    parser.add_argument("--namespace", help="network namespace of the interface, as `ip netns` calls it")
    parser.add_argument("--dst-ip", help="the target, if not the captured address")
    parser.add_argument("--dst-mac", help="its hardware address; else it is asked by ARP")
    parser.add_argument("--src-ip", help="the kit's address in place of the captured one")
    parser.add_argument("--dst-port", type=int, nargs=2, metavar=("OLD", "NEW"), help="another TCP port")
    parser.add_argument("--as-captured", action="store_true", help="change nothing, neither addresses nor numbers")
    parser.add_argument("--timed", action="store_true", help="with the captured pauses")
    parser.add_argument("--save", type=Path, help="what passes, as pcapng")
    asked = parser.parse_args(words)
    mac, ip, source = captured(read(asked.file))
    with RawPort(asked.interface, asked.namespace) as port:
        rewrite = None
        if not asked.as_captured:
            to, by = asked.dst_ip or ip, asked.src_ip or source
            new = asked.dst_mac or ask(port, to, by)
            rewrite = Rewrite({mac: new}, {ip: to, source: by}, dict([asked.dst_port] if asked.dst_port else []))
        gap_s = None if asked.timed else 0.0
        done = replay(asked.file, port, rewrite=rewrite, follow=not asked.as_captured, gap_s=gap_s)
        if asked.save:
            port.ring.save(asked.save, f"replay of {asked.file.name}")
    print(f"{done.sent} frames sent, {done.unsent} that the interface does not take, {len(done.received)} received")
    return 0 if done.sent else 1


if __name__ == "__main__":
    sys.exit(main())
