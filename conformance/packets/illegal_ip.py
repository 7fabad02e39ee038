"""IPv4 packets whose lengths, checksums, addresses or options are wrong, and fragments.

What is wrong is all that is wrong: checksums are right unless they are the point. Where the target has a flow, the frames are
its next segment otherwise. Each function makes n frames of one kind.
"""

from __future__ import annotations

import struct

import numpy as np

from matchmark.conformance.packets.headers import SYN, ip_bytes
from matchmark.conformance.packets.rows import (
    DST_AT,
    IP_AT,
    IP_SUM_AT,
    PART_AT,
    PROTOCOL_AT,
    SRC_AT,
    TCP_AT,
    Random,
    Rows,
    segments,
    strays,
)
from matchmark.conformance.packets.target import Target

_MORE = 0x2000
"""More fragments follow."""


def bad_ip_checksum(t: Target, rng: Random, n: int) -> Rows:
    """Wrong IP checksum."""
    rows = segments(t, rng, n)
    rows.spoil(IP_SUM_AT, rng)
    return rows


def ip_version(t: Target, rng: Random, n: int) -> Rows:
    """Not version 4."""
    rows = segments(t, rng, n)
    rows.put8(IP_AT, (4 + rng.integers(1, 16, n)) % 16 << 4 | 5)
    rows.fix_ip()
    return rows


def ip_header_short(t: Target, rng: Random, n: int) -> Rows:
    """IHL below 5."""
    rows = segments(t, rng, n)
    rows.put8(IP_AT, 0x40 | rng.integers(0, 5, n))
    rows.fix_ip()
    return rows


def ip_header_long(t: Target, rng: Random, n: int) -> Rows:
    """IHL beyond the whole packet."""
    rows = segments(t, rng, n, payload=t.payload[:16])
    rows.put8(IP_AT, 0x40 | 15)
    rows.put16(IP_AT + 2, rng.integers(20, 60, n))
    rows.fix_ip()
    return rows


def ip_total_long(t: Target, rng: Random, n: int) -> Rows:
    """Total length beyond the frame."""
    rows = segments(t, rng, n)
    rows.put16(IP_AT + 2, rng.integers(rows.data.shape[1] - IP_AT + 1, 1 << 16, n))
    rows.fix_ip()
    return rows


def ip_total_short(t: Target, rng: Random, n: int) -> Rows:
    """Total length below the headers'."""
    rows = segments(t, rng, n)
    rows.put16(IP_AT + 2, rng.integers(0, 40, n))
    rows.fix_ip()
    return rows


def _fragments(t: Target, rng: Random, n: int, part: object, begin: int, end: int | None) -> Rows:
    """Bytes `begin` to `end` of the segment as fragments; none of them has the others, so none is ever whole."""
    whole = segments(t, rng, n)
    body = whole.data[:, TCP_AT:][:, begin:end]
    rows = Rows(bytes(TCP_AT + body.shape[1]), n)
    rows.data[:, :TCP_AT], rows.data[:, TCP_AT:] = whole.data[:, :TCP_AT], body
    rows.put16(IP_AT + 2, rows.lengths - IP_AT)
    rows.put16(PART_AT, part)
    rows.fix_ip()
    return rows


def fragment_first(t: Target, rng: Random, n: int) -> Rows:
    """The first part, and never the rest."""
    return _fragments(t, rng, n, _MORE, 0, max(24, (20 + len(t.payload)) // 8 * 8))


def fragment_middle(t: Target, rng: Random, n: int) -> Rows:
    """A part from the middle, and never the rest."""
    return _fragments(t, rng, n, _MORE | rng.integers(1, 1024, n), 0, 24)


def fragment_tiny(t: Target, rng: Random, n: int) -> Rows:
    """A first part of eight bytes: not even the flags are there."""
    return _fragments(t, rng, n, _MORE, 0, 8)


def fragment_overlap(t: Target, rng: Random, n: int) -> Rows:
    """Two parts of a packet; the second brings again, and otherwise, what the first one had."""
    rows = _fragments(t, rng, n, _MORE, 0, 24)
    rows.data[1::2, PART_AT + 1] = 1
    rows.data[1::2, TCP_AT:] ^= 0xFF
    rows.data[1::2, IP_AT + 4 : IP_AT + 6] = rows.data[0 : len(rows) // 2 * 2 : 2, IP_AT + 4 : IP_AT + 6]
    rows.fix_ip()
    return rows


def _from(t: Target, rng: Random, n: int, sources: object) -> Rows:
    rows = segments(t, rng, n)
    rows.put32(SRC_AT, sources)
    rows.fix_ip()
    rows.fix_tcp()
    return rows


def broadcast_source(t: Target, rng: Random, n: int) -> Rows:
    """From the network's broadcast address, or everybody's."""
    (network,) = struct.unpack(">I", ip_bytes(t.ends.dst_ip))
    return _from(t, rng, n, np.where(rng.integers(0, 2, n) == 0, 0xFFFFFFFF, network | 255))


def multicast_source(t: Target, rng: Random, n: int) -> Rows:
    """From a group."""
    return _from(t, rng, n, rng.integers(0xE0000000, 0xF0000000, n))


def loopback_source(t: Target, rng: Random, n: int) -> Rows:
    """From 127.0.0.0/8."""
    return _from(t, rng, n, rng.integers(0x7F000000, 0x80000000, n))


def land(t: Target, rng: Random, n: int) -> Rows:
    """A SYN of the target to itself: same address, same port."""
    rows = strays(t, rng, n, SYN, b"")
    rows.put(SRC_AT, ip_bytes(t.ends.dst_ip))
    rows.put16(TCP_AT, t.ends.dst_port)
    rows.put32(TCP_AT + 8, 0)
    rows.fix_ip()
    rows.fix_tcp()
    return rows


def wrong_destination(t: Target, rng: Random, n: int) -> Rows:
    """Another address, at the target's hardware address."""
    rows = segments(t, rng, n)
    rows.put32(DST_AT, rng.integers(0xC6120000, 0xC6140000, n))  # 198.18.0.0/15: nobody's
    rows.fix_ip()
    rows.fix_tcp()
    return rows


def ip_protocol(t: Target, rng: Random, n: int) -> Rows:
    """A protocol that is not assigned."""
    rows = segments(t, rng, n)
    rows.put8(PROTOCOL_AT, rng.integers(143, 253, n))
    rows.fix_ip()
    return rows


def ip_options(t: Target, rng: Random, n: int) -> Rows:
    """IP options whose lengths do not add up; of no connection, for many hosts pass over options."""
    rows = strays(t, rng, n, payload=t.payload[:40].ljust(40, b"\x01"))
    words = rng.integers(6, 15, n)
    rows.put8(IP_AT, 0x40 | words)
    rows.randomize(rng, TCP_AT, TCP_AT + 2)
    rows.data[:, TCP_AT] |= 2  # neither the end nor a NOP
    rows.put8(TCP_AT + 1, np.where(rng.integers(0, 2, n) == 0, rng.integers(0, 2, n), rng.integers(41, 256, n)))
    rows.put16(IP_SUM_AT, 0)
    for n_words in range(6, 15):
        which = words == n_words
        part = Rows(b"", 0)
        part.data, part.lengths = rows.data[which], rows.lengths[which]
        total = part._sum(IP_AT, IP_AT + 4 * n_words) % 0xFFFF
        part.put16(IP_SUM_AT, (0xFFFF - total) % 0xFFFF)
        rows.data[which] = part.data
    return rows
