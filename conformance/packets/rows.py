"""Rows of frames in numpy: copies of one template, changed a column at a time, their checksums put right all at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from matchmark.conformance.packets.batch import Batch, Bytes
from matchmark.conformance.packets.headers import ACK, PSH
from matchmark.conformance.packets.target import Target

Ints = npt.NDArray[np.int64]
Random = np.random.Generator
IP_AT, TCP_AT, DATA_AT = 14, 34, 54
IDENT_AT, PART_AT, PROTOCOL_AT, IP_SUM_AT, SRC_AT, DST_AT = 18, 20, 23, 24, 26, 30
SEQ_AT, ACK_AT, OFFSET_AT, FLAGS_AT, TCP_SUM_AT = 38, 42, 46, 47, 50
"""Where fields stand in a frame without options."""


class Rows:
    """`data`: (n, stride) bytes, zero behind a frame's end. `lengths`: bytes of each frame."""

    def __init__(self, template: bytes, n: int, stride: int = 0) -> None:
        self.data: Bytes = np.zeros((n, max(stride, len(template))), np.uint8)
        self.data[:, : len(template)] = np.frombuffer(template, np.uint8)
        self.lengths: Ints = np.full(n, len(template), np.int64)

    def __len__(self) -> int:
        return len(self.lengths)

    def put8(self, at: int, values: Any) -> None:
        self.data[:, at] = values

    def put16(self, at: int, values: Any) -> None:
        values = np.asarray(values)
        self.data[:, at], self.data[:, at + 1] = values >> 8 & 255, values & 255

    def put32(self, at: int, values: Any) -> None:
        values = np.asarray(values)
        self.put16(at, values >> 16 & 0xFFFF)
        self.put16(at + 2, values & 0xFFFF)

    def put(self, at: int, raw: bytes) -> None:
        self.data[:, at : at + len(raw)] = np.frombuffer(raw, np.uint8)

    def get16(self, at: int) -> Ints:
        return self.data[:, at].astype(np.int64) << 8 | self.data[:, at + 1]

    def randomize(self, rng: Random, begin: int, end: int) -> None:
        """These bytes of every row."""
        self.data[:, begin:end] = rng.integers(0, 256, (len(self), end - begin), np.uint8)

    def cut(self, lengths: Ints) -> None:
        """To at most so many bytes; what is behind them is zero again."""
        self.lengths = np.minimum(self.lengths, lengths)
        self.data[np.arange(self.data.shape[1]) >= self.lengths[:, None]] = 0

    # --- checksums ---

    def _sum(self, begin: int, end: int) -> Ints:
        part = self.data[:, begin:end]
        total: Ints = (part[:, 0::2].sum(axis=1, dtype=np.int64) << 8) + part[:, 1::2].sum(axis=1, dtype=np.int64)
        return total

    def fix_ip(self) -> None:
        """Of a header without options."""
        self.put16(IP_SUM_AT, 0)
        self.put16(IP_SUM_AT, _checksum(self._sum(IP_AT, TCP_AT)))

    def fix_tcp(self) -> None:
        """Behind an IP header without options; over what the frame has, whatever the IP header says."""
        self.put16(TCP_SUM_AT, 0)
        pseudo = self._sum(SRC_AT, DST_AT + 4) + 6 + (self.lengths - TCP_AT)
        self.put16(TCP_SUM_AT, _checksum(pseudo + self._sum(TCP_AT, self.data.shape[1])))

    def spoil(self, at: int, rng: Random) -> None:
        """A checksum, for certain: 0 and 0xFFFF are the same one."""
        self.put16(at, (self.get16(at) + rng.integers(1, 0xFFFF, len(self))) % 0xFFFF)

    def batch(self) -> Batch:
        return Batch(np.ascontiguousarray(self.data), self.lengths)


def _checksum(total: Ints) -> Ints:
    folded = total % 0xFFFF
    folded[(folded == 0) & (total > 0)] = 0xFFFF
    return 0xFFFF - folded


def segments(target: Target, rng: Random, n: int, flags: int = PSH | ACK, payload: bytes | None = None) -> Rows:
    """Sound segments: the next ones of the target's flow, or of no connection where it has none. Stray ones: see `strays`."""
    flow = target.flow
    if flow is None:
        return strays(target, rng, n, flags, payload)
    e = flow.ends
    template = Ether(src=e.src_mac, dst=e.dst_mac) / IP(src=e.src_ip, dst=e.dst_ip, flags="DF")
    template /= TCP(sport=e.src_port, dport=e.dst_port, seq=flow.seq, ack=flow.ack, flags=flags, window=65535)
    rows = Rows(bytes(template / (target.payload if payload is None else payload)), n)
    rows.put16(IDENT_AT, rng.integers(0, 1 << 16, n))
    rows.fix_ip()
    return rows


def strays(target: Target, rng: Random, n: int, flags: int = PSH | ACK, payload: bytes | None = None) -> Rows:
    """Sound segments of no connection: ports and numbers by chance."""
    e = target.ends
    template = Ether(src=e.src_mac, dst=e.dst_mac) / IP(src=e.src_ip, dst=e.dst_ip, flags="DF")
    template /= TCP(sport=1, dport=e.dst_port, seq=1, ack=1, flags=flags, window=65535)
    rows = Rows(bytes(template / (target.payload if payload is None else payload)), n)
    rows.put16(IDENT_AT, rng.integers(0, 1 << 16, n))
    rows.put16(TCP_AT, rng.integers(1024, 20_000, n))  # ports that no host of the kit's takes for itself
    rows.put32(SEQ_AT, rng.integers(0, 1 << 32, n))
    rows.put32(ACK_AT, rng.integers(0, 1 << 32, n))
    rows.fix_ip()
    rows.fix_tcp()
    return rows
