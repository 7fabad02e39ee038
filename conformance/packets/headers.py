"""Ethernet, ARP, IPv4 and TCP headers as bytes: written and read a million times over, where scapy takes a millisecond for one.

Addresses are text where people write them and bytes where headers do; ports, numbers and flags are ints in the host's order.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from struct import Struct
from typing import NamedTuple

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
IPV4, ARP = 0x0800, 0x0806
BROADCAST = b"\xff" * 6
FRAME_BYTES_MIN = 60
"""Without the check sequence, which the port writes. Shorter frames are padded."""
ETHERNET_BYTES, IP_BYTES, TCP_BYTES, ARP_BYTES = 14, 20, 20, 28
_ETHERNET, _IP, _TCP = Struct(">6s6sH"), Struct(">BBHHHBBH4s4s"), Struct(">HHIIBBHHH")
_ARP = Struct(">HHBBH6s4s6s4s")
_TCP_PROTOCOL = 6
_MASK = 0xFFFFFFFF


class Ends(NamedTuple):
    """From whom to whom, in text: `02:00:00:00:00:03`, `10.77.0.3`."""

    src_mac: str
    dst_mac: str
    src_ip: str
    dst_ip: str
    src_port: int
    dst_port: int

    def back(self) -> Ends:
        return Ends(self.dst_mac, self.src_mac, self.dst_ip, self.src_ip, self.dst_port, self.src_port)


class Flow(NamedTuple):
    """A living connection as one side sees it: what it would send and acknowledge next, and the window that it was given."""

    ends: Ends
    seq: int
    ack: int
    window: int


class Segment(NamedTuple):
    """One TCP segment over IPv4. `options`: a multiple of four bytes, 40 at most. `window`: as in the header, not scaled."""

    src_ip: bytes
    dst_ip: bytes
    src_port: int
    dst_port: int
    seq: int
    ack: int
    flags: int
    window: int
    options: bytes = b""
    payload: bytes = b""
    urgent: int = 0

    @property
    def length(self) -> int:
        """Sequence numbers that it takes."""
        return len(self.payload) + bool(self.flags & SYN) + bool(self.flags & FIN)

    def refusal(self) -> Segment:
        """The reset that answers it where it belongs to no connection."""
        answer = Segment(self.dst_ip, self.src_ip, self.dst_port, self.src_port, self.ack, 0, RST, 0)
        return (
            answer if self.flags & ACK else answer._replace(seq=0, ack=self.seq + self.length & _MASK, flags=RST | ACK)
        )

    def __str__(self) -> str:
        letters = "".join(letter for bit, letter in enumerate("FSRPAU") if self.flags >> bit & 1)
        numbers = f"seq {self.seq} ack {self.ack} win {self.window} len {len(self.payload)}"
        return f"{self.src_port}>{self.dst_port} [{letters}] {numbers}"


class Arp(NamedTuple):
    """`operation`: 1 asks, 2 answers."""

    operation: int
    src_mac: bytes
    src_ip: bytes
    dst_mac: bytes
    dst_ip: bytes


def mac_bytes(text: str) -> bytes:
    """ValueError: that is no hardware address."""
    raw = bytes.fromhex(text.replace(":", ""))
    if len(raw) != 6:
        raise ValueError(f"{text!r} is no hardware address")
    return raw


def mac_text(raw: bytes) -> str:
    return raw.hex(":")


def ip_bytes(text: str) -> bytes:
    return socket.inet_aton(text)


def ip_text(raw: bytes) -> str:
    return socket.inet_ntoa(raw)


def checksum(data: bytes) -> int:
    """The Internet checksum. Of data that has its own in it: 0."""
    if len(data) & 1:
        data += b"\0"
    # 2^16 is 1 modulo 2^16 - 1, so the big number and the sum of its words leave the same rest
    rest = int.from_bytes(data, "big") % 0xFFFF
    if rest == 0 and any(data):
        rest = 0xFFFF
    return ~rest & 0xFFFF


def ethernet(dst_mac: bytes, src_mac: bytes, ethertype: int, payload: bytes) -> bytes:
    """A frame, padded to the least length."""
    return (_ETHERNET.pack(dst_mac, src_mac, ethertype) + payload).ljust(FRAME_BYTES_MIN, b"\0")


def ip_packet(src_ip: bytes, dst_ip: bytes, protocol: int, payload: bytes, ident: int = 0, ttl: int = 64) -> bytes:
    head = _IP.pack(0x45, 0, IP_BYTES + len(payload), ident & 0xFFFF, 0x4000, ttl, protocol, 0, src_ip, dst_ip)
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + payload


def tcp_bytes(s: Segment) -> bytes:
    """Header and payload, the checksum right."""
    words = (TCP_BYTES + len(s.options)) // 4
    if len(s.options) % 4 or words > 15:
        raise ValueError(f"{len(s.options)} bytes of options: they take 0 to 40, a multiple of 4")
    head = _TCP.pack(s.src_port, s.dst_port, s.seq & _MASK, s.ack & _MASK, words << 4, s.flags, s.window, 0, s.urgent)
    body = head[:16] + b"\0\0" + head[18:] + s.options + s.payload
    total = checksum(s.src_ip + s.dst_ip + bytes((0, _TCP_PROTOCOL)) + len(body).to_bytes(2, "big") + body)
    return body[:16] + total.to_bytes(2, "big") + body[18:]


def packet(segment: Segment, ident: int = 0, ttl: int = 64) -> bytes:
    """The segment in an IPv4 packet, all checksums right."""
    return ip_packet(segment.src_ip, segment.dst_ip, _TCP_PROTOCOL, tcp_bytes(segment), ident, ttl)


def parse_ethernet(frame: bytes) -> tuple[bytes, bytes, int, bytes]:
    """(to, from, ethertype, payload). ValueError: too short."""
    if len(frame) < ETHERNET_BYTES:
        raise ValueError(f"{len(frame)} bytes: an Ethernet header has 14")
    return (*_ETHERNET.unpack_from(frame), frame[ETHERNET_BYTES:])


def parse_segment(data: bytes, verify: bool = True) -> Segment:
    """An IPv4 packet's segment; what is behind the packet's end is padding. ValueError: there is none, and why.

    `verify`: wrong checksums are an error, too.
    """
    if len(data) < IP_BYTES:
        raise ValueError(f"{len(data)} bytes: an IPv4 header has 20")
    first, _, total, _, part, _, protocol, _, src, dst = _IP.unpack_from(data)
    header = (first & 15) * 4
    if first >> 4 != 4:
        raise ValueError(f"IP version {first >> 4}")
    if header < IP_BYTES or header > total or total > len(data):
        raise ValueError(f"IP header of {header} bytes, total length {total}, and {len(data)} bytes are there")
    if verify and checksum(data[:header]):
        raise ValueError("wrong IP checksum")
    if part & 0x3FFF:
        raise ValueError("a fragment")
    if protocol != _TCP_PROTOCOL:
        raise ValueError(f"IP protocol {protocol}")
    return _parse_tcp(src, dst, data[header:total], verify)


def _parse_tcp(src: bytes, dst: bytes, body: bytes, verify: bool) -> Segment:
    if len(body) < TCP_BYTES:
        raise ValueError(f"{len(body)} bytes: a TCP header has 20")
    src_port, dst_port, seq, ack, offset, flags, window, _, urgent = _TCP.unpack_from(body)
    data_at = (offset >> 4) * 4
    if data_at < TCP_BYTES or data_at > len(body):
        raise ValueError(f"TCP data offset of {data_at} bytes in a segment of {len(body)}")
    if verify and checksum(src + dst + bytes((0, _TCP_PROTOCOL)) + len(body).to_bytes(2, "big") + body):
        raise ValueError("wrong TCP checksum")
    options, payload = body[TCP_BYTES:data_at], body[data_at:]
    return Segment(src, dst, src_port, dst_port, seq, ack, flags, window, options, payload, urgent)


def arp(message: Arp) -> bytes:
    return _ARP.pack(1, IPV4, 6, 4, *message)


def parse_arp(data: bytes) -> Arp:
    """ValueError: this is no ARP message for IPv4 over Ethernet."""
    if len(data) < ARP_BYTES:
        raise ValueError(f"{len(data)} bytes: an ARP message has 28")
    hardware, protocol, hardware_bytes, protocol_bytes, *rest = _ARP.unpack_from(data)
    if (hardware, protocol, hardware_bytes, protocol_bytes) != (1, IPV4, 6, 4):
        raise ValueError("ARP for something else than IPv4 over Ethernet")
    return Arp(*rest)


# --- TCP options ---

END, NOP, MSS, WINDOW_SCALE, SACK_PERMITTED, SACK, TIMESTAMPS = 0, 1, 2, 3, 4, 5, 8


def write_options(options: Mapping[int, bytes], pad: int = NOP) -> bytes:
    """Kind and value of each, in order, filled up to a multiple of four with NOPs."""
    raw = b"".join(bytes((kind, len(value) + 2)) + value for kind, value in options.items())
    return raw + bytes((pad,)) * (-len(raw) % 4)


def read_options(raw: bytes) -> dict[int, bytes]:
    """Kind and value of each, NOPs left out, up to where they end or make no sense."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(raw) and raw[at] != END:
        if raw[at] == NOP:
            at += 1
            continue
        length = raw[at + 1] if at + 1 < len(raw) else 0
        if length < 2 or at + length > len(raw):
            break
        found[raw[at]] = raw[at + 2 : at + length]
        at += length
    return found
