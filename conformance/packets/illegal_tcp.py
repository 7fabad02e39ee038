"""TCP segments whose checksums, lengths, flags, ports or options are wrong.

What is wrong is all that is wrong: checksums are right unless they are the point. Where the target has a flow, the frames are
its next segment otherwise. Each function makes n frames of one kind.
"""

from __future__ import annotations

import numpy as np

from matchmark.conformance.packets.headers import ACK, FIN, PSH, RST, SYN, URG
from matchmark.conformance.packets.rows import (
    DATA_AT,
    FLAGS_AT,
    OFFSET_AT,
    TCP_AT,
    TCP_SUM_AT,
    Random,
    Rows,
    segments,
    strays,
)
from matchmark.conformance.packets.target import Target


def bad_tcp_checksum(t: Target, rng: Random, n: int) -> Rows:
    """Wrong TCP checksum."""
    rows = segments(t, rng, n)
    rows.spoil(TCP_SUM_AT, rng)
    return rows


def data_offset_short(t: Target, rng: Random, n: int) -> Rows:
    """Data offset below 5."""
    rows = segments(t, rng, n)
    rows.put8(OFFSET_AT, rng.integers(0, 5, n) << 4)
    rows.fix_tcp()
    return rows


def data_offset_long(t: Target, rng: Random, n: int) -> Rows:
    """Data offset beyond the segment."""
    payload = t.payload[:32]
    rows = segments(t, rng, n, payload=payload)
    rows.put8(OFFSET_AT, rng.integers((20 + len(payload)) // 4 + 1, 16, n) << 4)
    rows.fix_tcp()
    return rows


def _flagged(t: Target, rng: Random, n: int, flags: object) -> Rows:
    rows = segments(t, rng, n)
    rows.put8(FLAGS_AT, flags)
    rows.fix_tcp()
    return rows


def syn_fin(t: Target, rng: Random, n: int) -> Rows:
    """SYN and FIN."""
    return _flagged(t, rng, n, SYN | FIN | rng.integers(0, 2, n) * PSH)


def syn_rst(t: Target, rng: Random, n: int) -> Rows:
    """SYN and RST; with a number that is not the next one, for a reset with that would be a reset."""
    rows = strays(t, rng, n, SYN | RST)
    if t.flow:
        rows.put16(TCP_AT, t.flow.ends.src_port)
        rows.put32(TCP_AT + 4, (t.flow.seq + rng.integers(1 << 30, 1 << 31, n)) % (1 << 32))
        rows.fix_tcp()
    return rows


def null_flags(t: Target, rng: Random, n: int) -> Rows:
    """No flag at all."""
    return _flagged(t, rng, n, 0)


def xmas(t: Target, rng: Random, n: int) -> Rows:
    """FIN, PSH and URG."""
    return _flagged(t, rng, n, FIN | PSH | URG)


def no_ack(t: Target, rng: Random, n: int) -> Rows:
    """Data and no ACK flag, which every segment behind the SYN has."""
    return _flagged(t, rng, n, rng.choice([PSH, URG, PSH | URG, FIN, FIN | PSH], n))


def all_flags(t: Target, rng: Random, n: int) -> Rows:
    """All flags but RST."""
    return _flagged(t, rng, n, (FIN | SYN | PSH | ACK | URG) | rng.integers(0, 4, n) << 6)


def port_zero(t: Target, rng: Random, n: int) -> Rows:
    """From or to port 0."""
    rows = strays(t, rng, n)
    to = rng.integers(0, 2, n) == 0
    rows.put16(TCP_AT, np.where(to, rows.get16(TCP_AT), 0))
    rows.put16(TCP_AT + 2, np.where(to, 0, rows.get16(TCP_AT + 2)))
    rows.fix_tcp()
    return rows


def tcp_options(t: Target, rng: Random, n: int) -> Rows:
    """TCP options whose lengths do not add up; of no connection, for a sound host may pass over them."""
    rows = strays(t, rng, n, payload=t.payload[:40].ljust(40, b"\x01"))
    rows.put8(OFFSET_AT, rng.integers(6, 16, n) << 4)
    rows.put8(DATA_AT, rng.integers(2, 256, n))
    rows.put8(DATA_AT + 1, np.where(rng.integers(0, 2, n) == 0, rng.integers(0, 2, n), rng.integers(41, 256, n)))
    rows.fix_tcp()
    return rows
