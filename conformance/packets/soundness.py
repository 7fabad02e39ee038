"""Why a frame is illegal for a target: the standards' rules read off the bytes, apart from the code that makes illegal frames."""

from __future__ import annotations

import socket
from struct import unpack_from

from matchmark.conformance.packets.headers import (
    ACK,
    ARP,
    BROADCAST,
    ETHERNET_BYTES,
    FIN,
    IPV4,
    RST,
    SYN,
    Flow,
    Segment,
    checksum,
    ip_bytes,
    mac_bytes,
    parse_arp,
    parse_segment,
)
from matchmark.conformance.packets.target import Target

_IP_BYTES, _TCP_BYTES = 20, 20


def reasons(frame: bytes, target: Target) -> list[str]:
    """In words, the outermost first; empty: sound, and for the target. Where lengths make no sense the rest is not read."""
    if len(frame) < ETHERNET_BYTES:
        return ["shorter than its headers: no Ethernet header"]
    found = []
    if len(frame) > target.mtu + ETHERNET_BYTES:
        found.append(f"{len(frame)} bytes: longer than the MTU allows")
    to, kind = frame[:6], int.from_bytes(frame[12:14], "big")
    if to != mac_bytes(target.ends.dst_mac) and to != BROADCAST:
        found.append("for another hardware address")
    if kind == ARP:
        return found + _arp(frame[ETHERNET_BYTES:], target)
    if kind != IPV4:
        return [*found, f"ethertype 0x{kind:04x}: nothing that it speaks"]
    if to == BROADCAST:
        found.append("a broadcast frame that holds a segment")
    return found + _ip(frame[ETHERNET_BYTES:], target)


def _arp(data: bytes, target: Target) -> list[str]:
    try:
        message = parse_arp(data)
    except ValueError as error:
        return [f"ARP: {error}"]
    if message.operation not in (1, 2):
        return [f"ARP operation {message.operation}"]
    if message.src_ip == ip_bytes(target.ends.dst_ip):
        return ["ARP: the target's own address is somebody else's"]
    return []


def _ip(data: bytes, target: Target) -> list[str]:
    if len(data) < _IP_BYTES:
        return ["shorter than its headers: no IP header"]
    found = []
    header, total = (data[0] & 15) * 4, int.from_bytes(data[2:4], "big")
    if data[0] >> 4 != 4:
        found.append(f"IP version {data[0] >> 4}")
    if header < _IP_BYTES or header > max(total, _IP_BYTES) or header > len(data):
        return [*found, f"IP header length {header}, total length {total}"]
    if total > len(data):
        short = ["shorter than its headers: no TCP header"] * (len(data) < header + _TCP_BYTES)
        return [*found, *short, f"IP total length beyond the frame: {total}, and {len(data)} bytes are there"]
    if total < header + (_TCP_BYTES if data[9] == socket.IPPROTO_TCP and not data[6] & 0x3F and not data[7] else 0):
        return [*found, f"IP total length below the headers: {total}"]
    if checksum(data[:header]):
        found.append("IP checksum")
    if not _options_fit(data[_IP_BYTES:header]):
        found.append("IP options that do not add up")
    found += _addresses(data[12:16], data[16:20], target)
    if int.from_bytes(data[6:8], "big") & 0x3FFF:
        return [*found, "a fragment"]
    return found + _above_ip(data[9], data[header:total], data[12:20], target)


def _addresses(source: bytes, destination: bytes, target: Target) -> list[str]:
    own = ip_bytes(target.ends.dst_ip)
    found = []
    network = source == own[:3] + b"\xff"
    if source[0] in (0, 127) or source[0] >= 224 or network or source == own:
        found.append(f"IP source {socket.inet_ntoa(source)} that no host has")
    if destination != own:
        found.append(f"IP destination {socket.inet_ntoa(destination)}")
    return found


def _above_ip(protocol: int, body: bytes, addresses: bytes, target: Target) -> list[str]:
    if protocol == socket.IPPROTO_UDP:
        length = int.from_bytes(body[4:6], "big")
        return ["UDP length"] if not 8 <= length <= len(body) else []
    if protocol == socket.IPPROTO_ICMP:
        return ["ICMP checksum"] if len(body) < 8 or checksum(body) else []
    if protocol != socket.IPPROTO_TCP:
        return [f"IP protocol {protocol}"]
    return _tcp(body, addresses, target)


def _tcp(body: bytes, addresses: bytes, target: Target) -> list[str]:
    found = []
    src_port, dst_port, _, _, offset, flags = unpack_from(">HHIIBB", body)
    if checksum(addresses + bytes((0, 6)) + len(body).to_bytes(2, "big") + body):
        found.append("TCP checksum")
    if not src_port or not dst_port:
        found.append("port 0")
    data_at = (offset >> 4) * 4
    if not _TCP_BYTES <= data_at <= len(body):
        return [*found, f"TCP data offset {data_at} of {len(body)} bytes"]
    if not _options_fit(body[_TCP_BYTES:data_at]):
        found.append("TCP options that do not add up")
    if (flags & SYN and flags & (FIN | RST)) or not flags & (SYN | RST | ACK):
        found.append(f"TCP flags 0x{flags:02x}")
    return found


def _options_fit(raw: bytes) -> bool:
    at = 0
    while at < len(raw):
        if raw[at] == 0:
            return True
        if raw[at] == 1:
            at += 1
            continue
        if at + 1 >= len(raw) or raw[at + 1] < 2:
            return False
        at += raw[at + 1]
    return at == len(raw)


def out_of_place(frame: bytes, flow: Flow) -> list[str]:
    """Why the target may not take a sound frame on a flow. ValueError: it is not sound, or another connection's."""
    s = parse_segment(frame[ETHERNET_BYTES:])
    e = flow.ends
    if (s.src_ip, s.dst_ip, s.src_port, s.dst_port) != (ip_bytes(e.src_ip), ip_bytes(e.dst_ip), e.src_port, e.dst_port):
        raise ValueError("a frame of another connection")
    return _out_of_place(s, flow)


def _out_of_place(s: Segment, flow: Flow) -> list[str]:
    half = 1 << 31
    offset = (s.seq - flow.seq + half) % (1 << 32) - half
    ahead = (s.ack - flow.ack + half) % (1 << 32) - half
    found = []
    if s.flags & SYN:
        found.append("a SYN within a connection")
    elif offset >= max(1, flow.window) or (offset < 0 and offset + s.length <= 0):
        found.append("outside the window")
    elif s.flags & RST and offset:
        found.append("a reset that is not the next")
    if s.flags & ACK and ahead > 0:
        found.append("acknowledges what was not sent")
    return found
