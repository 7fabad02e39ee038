"""Segments that are wrong by where they come: outside a connection's window, by somebody who guesses, for no connection.

Each is sound by itself. Those against a connection need the target's flow.
"""

from __future__ import annotations

import struct

import numpy as np

from matchmark.conformance.packets.headers import ACK, FIN, PSH, RST, SYN, Flow, ip_bytes
from matchmark.conformance.packets.rows import ACK_AT, FLAGS_AT, SEQ_AT, SRC_AT, Ints, Random, Rows, segments, strays
from matchmark.conformance.packets.target import Target

_MOD = 1 << 32


def _flow(t: Target) -> Flow:
    if t.flow is None:
        raise ValueError("these frames are against a connection, and the target has no flow")
    return t.flow


def _at(t: Target, rng: Random, n: int, offsets: Ints, flags: int, payload: bytes | None = None) -> Rows:
    """The flow's next segment, its number moved."""
    flow = _flow(t)
    rows = segments(t, rng, n, flags, payload)
    rows.put32(SEQ_AT, (flow.seq + offsets) % _MOD)
    rows.fix_tcp()
    return rows


def above_window(t: Target, rng: Random, n: int) -> Rows:
    """Behind the end of the window."""
    offsets = rng.integers(max(_flow(t).window, 65536) + 1, 1 << 30, n)
    rows = _at(t, rng, n, offsets, PSH | ACK)
    rows.put8(FLAGS_AT, rng.choice([PSH | ACK, ACK, FIN | ACK, FIN | PSH | ACK], n))
    rows.fix_tcp()
    return rows


def below_window(t: Target, rng: Random, n: int) -> Rows:
    """Bytes whose numbers were acknowledged long ago."""
    return _at(t, rng, n, -rng.integers(len(t.payload) + 1, 1 << 30, n), PSH | ACK)


def ack_of_unsent(t: Target, rng: Random, n: int) -> Rows:
    """The next segment, that acknowledges what the target never sent."""
    rows = segments(t, rng, n)
    rows.put32(ACK_AT, (_flow(t).ack + rng.integers(1 << 20, 1 << 30, n)) % _MOD)
    rows.fix_tcp()
    return rows


def blind_reset(t: Target, rng: Random, n: int) -> Rows:
    """A reset within the window, and not with the number that is next."""
    most = max(3, _flow(t).window)
    return _at(t, rng, n, rng.integers(2, most, n), RST, b"")


def blind_reset_outside(t: Target, rng: Random, n: int) -> Rows:
    """A reset outside the window."""
    return _at(t, rng, n, rng.integers(1 << 20, 1 << 30, n) * rng.choice([-1, 1], n), RST, b"")


def blind_syn(t: Target, rng: Random, n: int) -> Rows:
    """A SYN within the window or far away: none belongs to a connection that is established."""
    near = rng.integers(0, max(2, _flow(t).window), n)
    far = rng.integers(0, _MOD, n)
    rows = _at(t, rng, n, np.where(rng.integers(0, 2, n) == 0, near, far), SYN, b"")
    rows.put32(ACK_AT, 0)
    rows.fix_tcp()
    return rows


def _flood(t: Target, rng: Random, n: int, flags: int, payload: bytes = b"") -> Rows:
    """From 128 addresses of the target's network, any port."""
    rows = strays(t, rng, n, flags, payload)
    (target,) = struct.unpack(">I", ip_bytes(t.ends.dst_ip))
    rows.put32(SRC_AT, (target & 0xFFFFFF00) | rng.integers(100, 228, n))
    if not flags & ACK:
        rows.put32(ACK_AT, 0)
    rows.fix_ip()
    rows.fix_tcp()
    return rows


def syn_flood(t: Target, rng: Random, n: int) -> Rows:
    """SYNs."""
    return _flood(t, rng, n, SYN)


def reset_flood(t: Target, rng: Random, n: int) -> Rows:
    """Resets."""
    return _flood(t, rng, n, RST)


def fin_flood(t: Target, rng: Random, n: int) -> Rows:
    """FINs for no connection."""
    return _flood(t, rng, n, FIN | ACK)


def ack_flood(t: Target, rng: Random, n: int) -> Rows:
    """ACKs for no connection."""
    return _flood(t, rng, n, ACK)


def syn_ack_flood(t: Target, rng: Random, n: int) -> Rows:
    """SYN-ACKs that nobody asked for."""
    return _flood(t, rng, n, SYN | ACK)


def data_flood(t: Target, rng: Random, n: int) -> Rows:
    """The payload, for no connection."""
    return _flood(t, rng, n, PSH | ACK, t.payload)
