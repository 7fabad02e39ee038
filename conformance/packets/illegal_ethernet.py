"""Frames whose lengths, tags or addresses are wrong, and noise.

What is wrong is all that is wrong: checksums are right unless they are the point. Where the target has a flow, the frames are
its next segment otherwise. Each function makes n frames of one kind.
"""

from __future__ import annotations

import socket
import struct

import numpy as np

from matchmark.conformance.packets.headers import ARP, IPV4, ip_bytes, mac_bytes
from matchmark.conformance.packets.rows import (
    DATA_AT,
    IP_AT,
    PROTOCOL_AT,
    TCP_AT,
    TCP_SUM_AT,
    Random,
    Rows,
    segments,
    strays,
)
from matchmark.conformance.packets.target import Target

GIANT_BYTES_MAX = 9014

# --- Ethernet ---


def runt(t: Target, rng: Random, n: int) -> Rows:
    """Shorter than Ethernet, IP and TCP headers."""
    rows = segments(t, rng, n)
    rows.cut(rng.integers(15, DATA_AT, n))
    return rows


def truncated(t: Target, rng: Random, n: int) -> Rows:
    """Ends within the payload."""
    rows = segments(t, rng, n)
    rows.cut(rng.integers(DATA_AT, max(DATA_AT + 1, rows.data.shape[1]), n))
    return rows


def giant(t: Target, rng: Random, n: int) -> Rows:
    """Longer than the MTU; of no connection, for on a path with larger frames they would be sound."""
    longest = max(GIANT_BYTES_MAX, t.mtu + 15)
    rows = strays(t, rng, n, payload=t.payload.ljust(longest - DATA_AT, b"\x01"))
    rows.cut(rng.integers(t.mtu + 15, longest + 1, n))
    rows.put16(IP_AT + 2, rows.lengths - IP_AT)
    rows.fix_ip()
    rows.fix_tcp()
    return rows


def _tagged(t: Target, rng: Random, n: int, tags: tuple[int, ...]) -> Rows:
    plain = segments(t, rng, n)
    rows = Rows(bytes(plain.data.shape[1] + 4 * len(tags)), n)
    rows.data[:, :12] = plain.data[:, :12]
    rows.data[:, 12 + 4 * len(tags) :] = plain.data[:, 12:]
    for k, kind in enumerate(tags):
        rows.put16(12 + 4 * k, kind)
        rows.put16(14 + 4 * k, rng.integers(1, 4095, n) | rng.integers(0, 8, n) << 13)
    return rows


def vlan(t: Target, rng: Random, n: int) -> Rows:
    """With a tag of a VLAN."""
    return _tagged(t, rng, n, (0x8100,))


def vlan_double(t: Target, rng: Random, n: int) -> Rows:
    """With two tags."""
    return _tagged(t, rng, n, (0x88A8, 0x8100))


def wrong_mac(t: Target, rng: Random, n: int) -> Rows:
    """For another hardware address."""
    rows = segments(t, rng, n)
    own = np.frombuffer(mac_bytes(t.ends.dst_mac), np.uint8)
    rows.randomize(rng, 0, 6)
    rows.data[:, 0] &= 0xFE
    rows.data[:, 5] += (rows.data[:, :6] == own).all(axis=1).astype(np.uint8)
    return rows


def broadcast_mac(t: Target, rng: Random, n: int) -> Rows:
    """A segment in a broadcast frame."""
    rows = segments(t, rng, n)
    rows.put(0, b"\xff" * 6)
    return rows


def wrong_ethertype(t: Target, rng: Random, n: int) -> Rows:
    """Another ethertype; what is in them is IPv4 all the same."""
    rows = segments(t, rng, n)
    kinds = rng.integers(0, 1 << 16, n)
    known = np.isin(kinds, (IPV4, ARP, 0x8100, 0x88A8, 0x9100))
    rows.put16(12, np.where(known, 0x88B5, kinds))
    return rows


# --- noise ---


def random_bytes(t: Target, rng: Random, n: int) -> Rows:
    """Noise behind the target's hardware address."""
    rows = Rows(mac_bytes(t.ends.dst_mac) + mac_bytes(t.ends.src_mac) + bytes(1502), n)
    rows.randomize(rng, 12, 1514)
    rows.data[:, 12] |= 0x90  # no type that anybody speaks
    rows.cut(rng.integers(15, 1515, n))
    return rows


def random_ip(t: Target, rng: Random, n: int) -> Rows:
    """An IPv4 frame of noise."""
    rows = Rows(mac_bytes(t.ends.dst_mac) + mac_bytes(t.ends.src_mac) + b"\x08\x00" + bytes(1500), n)
    rows.randomize(rng, IP_AT, 1514)
    rows.cut(rng.integers(15, 1515, n))
    return rows


def random_tcp(t: Target, rng: Random, n: int) -> Rows:
    """A sound IP header, and noise where TCP should be, that does not happen to add up."""
    rows = strays(t, rng, n, payload=bytes(512))
    rows.randomize(rng, TCP_AT, rows.data.shape[1])
    rows.cut(rng.integers(DATA_AT, rows.data.shape[1] + 1, n))
    rows.put16(IP_AT + 2, rows.lengths - IP_AT)
    rows.fix_ip()
    rows.fix_tcp()
    rows.spoil(TCP_SUM_AT, rng)
    return rows


def udp(t: Target, rng: Random, n: int) -> Rows:
    """UDP whose length is not that of the datagram."""
    rows = strays(t, rng, n)
    rows.put8(PROTOCOL_AT, socket.IPPROTO_UDP)
    rows.put16(TCP_AT + 4, np.where(rng.integers(0, 2, n) == 0, rng.integers(0, 8, n), rng.integers(1600, 1 << 16, n)))
    rows.fix_ip()
    return rows


def icmp(t: Target, rng: Random, n: int) -> Rows:
    """ICMP with a wrong checksum."""
    rows = strays(t, rng, n)
    rows.put8(PROTOCOL_AT, socket.IPPROTO_ICMP)
    rows.randomize(rng, TCP_AT, DATA_AT)
    rows.put16(TCP_AT + 2, 0)
    total = rows._sum(TCP_AT, rows.data.shape[1]) % 0xFFFF
    rows.put16(TCP_AT + 2, (0xFFFF - total + rng.integers(1, 0xFFFF, n)) % 0xFFFF)
    rows.fix_ip()
    return rows


def arp_garbage(t: Target, rng: Random, n: int) -> Rows:
    """ARP for other kinds of address, with impossible operations, and cut short; no host's address is in it."""
    e = t.ends
    head = mac_bytes(e.dst_mac) + mac_bytes(e.src_mac) + struct.pack(">HHHBBH", ARP, 1, IPV4, 6, 4, 1)
    body = mac_bytes(e.src_mac) + ip_bytes("192.0.2.1") + bytes(6) + ip_bytes("192.0.2.2")
    rows = Rows((head + body).ljust(60, b"\0"), n)
    way = rng.integers(0, 4, n)
    rows.put16(14, np.where(way == 0, rng.integers(2, 1 << 16, n), 1))
    rows.put8(18, np.where(way == 1, rng.integers(7, 256, n), 6))
    rows.put16(20, np.where(way == 2, rng.integers(3, 1 << 16, n), 1))
    rows.cut(np.where(way == 3, rng.integers(15, 42, n), 60))
    return rows


def arp_conflict(t: Target, rng: Random, n: int) -> Rows:
    """Somebody says that the target's address is his."""
    e = t.ends
    own = ip_bytes(e.dst_ip)
    body = struct.pack(">HHHBBH", ARP, 1, IPV4, 6, 4, 1) + mac_bytes(e.src_mac) + own + bytes(6) + own
    rows = Rows((b"\xff" * 6 + mac_bytes(e.src_mac) + body).ljust(60, b"\0"), n)
    rows.put16(20, rng.integers(1, 3, n))
    return rows
