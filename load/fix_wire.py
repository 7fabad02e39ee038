"""FIX in Python as fast as it goes there: orders from ready-made pieces, reports by what little of them a load must know.

Sans-IO: bytes in, answers out. For the users of Locust (fix_user.py), which send tens of thousands of orders a second from one
process; the native cannon speaks for itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from matchmark.load.shots import CANCEL, IMMEDIATE, MARKET, NEW, SELLS, Array

SOH = b"\x01"
_TRAILER = b"\x0110="
_SUMS = tuple(b"10=%03d\x01" % n for n in range(256))
FEW = 4
"""Fewer messages than these are added up one by one."""
NAMES = {b"D": "new", b"F": "cancel", b"G": "replace"}


class Piece(NamedTuple):
    """What of an order does not depend on who sends it: `back` is how many orders before it the one lies that it is about."""

    kind: bytes
    back: int
    tail: bytes


class Answer(NamedTuple):
    """Of a message that came: `cl` is empty for what is no answer to an order; `refused` is the reason, empty when there is none;
    `garbled`: the CheckSum is wrong."""

    kind: bytes
    number: int
    cl: bytes
    exec_type: bytes
    refused: str
    garbled: bool
    size: int
    raw: bytes


class GarbageError(Exception):
    """What came is no FIX."""


def pieces_of(shots: Array, tick: float, decimals: int, lot_size: int) -> list[Piece]:
    """Of the shots of one session, in order (flow.py)."""
    columns = [shots[name].tolist() for name in ("op", "flags", "price_ticks", "lots", "orig")]
    out = []
    for n, (op, flags, ticks, lots, orig) in enumerate(zip(*columns, strict=True)):
        side = b"54=2" if flags & SELLS else b"54=1"
        tail = b"%s\x0138=%d\x01" % (side, lots * lot_size)
        if op != CANCEL:
            price = b"40=1" if flags & MARKET else b"40=2\x0144=" + f"{ticks * tick:.{decimals}f}".encode()
            tail += price + (b"\x0159=3\x01" if flags & IMMEDIATE else b"\x0159=0\x01")
        kind = b"D" if op == NEW else b"F" if op == CANCEL else b"G"
        out.append(Piece(kind, n - orig if kind != b"D" else 0, tail))
    return out


def utc(now_s: float) -> bytes:
    """20261231-23:59:59.123"""
    return time.strftime("%Y%m%d-%H:%M:%S", time.gmtime(now_s)).encode() + b".%03d" % int(now_s % 1 * 1000)


class Writer:
    """One session's messages. Numbers count up; ClOrdIDs are `prefix` and the order's number in ten digits."""

    def __init__(
        self,
        begin_string: str,
        sender: str,
        target: str,
        symbol: str,
        prefix: str,
        order_fields: str = "",
        first: int = 1,
    ) -> None:
        self.next_out = first
        self.orders = 0
        self.prefix = prefix.encode()
        self._begin = b"8=" + begin_string.encode() + b"\x019=%d\x01"
        self._comps = b"\x0149=" + sender.encode() + b"\x0156=" + target.encode() + b"\x0134=%d\x0152=%s\x01"
        self._symbol = b"\x0155=" + symbol.encode() + SOH
        self._last = order_fields.encode()
        self._heads = {kind: b"35=" + kind + self._comps for kind in NAMES}

    def admin(self, kind: bytes, fields: bytes = b"") -> bytes:
        """A session message; fields each with their SOH."""
        body = b"35=" + kind + self._comps % (self.next_out, utc(time.time())) + fields
        self.next_out += 1
        return self._closed(body)

    def orders_of(self, pieces: Sequence[Piece], stamp: bytes) -> bytes:
        """The next orders, under the next numbers, as one piece of bytes; `stamp` as `utc` makes it."""
        out, n, number = [], self.orders, self.next_out
        heads, begin, prefix, symbol, last = self._heads, self._begin, self.prefix, self._symbol, self._last
        for kind, back, tail in pieces:
            orig = b"\x0141=%b%010d" % (prefix, n - back) if back else b""
            head = heads[kind] % (number, stamp)
            body = b"%b11=%b%010d%b%b%b60=%b\x01%b" % (head, prefix, n, orig, symbol, tail, stamp, last)
            out.append(begin % len(body) + body)
            n += 1
            number += 1
        self.orders, self.next_out = n, number
        return b"".join([part for pair in zip(out, _trailers(out), strict=True) for part in pair])

    def _closed(self, body: bytes) -> bytes:
        message = self._begin % len(body) + body
        return message + _SUMS[sum(message) & 255]


def _trailers(messages: Sequence[bytes]) -> list[bytes]:
    """CheckSum fields. numpy adds the bytes of a batch in the time in which Python adds those of one message."""
    if len(messages) < FEW:
        return [_SUMS[sum(message) & 255] for message in messages]
    starts = np.cumsum([0, *map(len, messages)])[:-1]
    sums = np.add.reduceat(np.frombuffer(b"".join(messages), dtype=np.uint8), starts, dtype=np.uint64)
    return [_SUMS[n] for n in (sums & 255).tolist()]


class Reader:
    """The stream of one session, in pieces as they come."""

    def __init__(self) -> None:
        self._rest = b""

    def take(self, data: bytes) -> Iterator[Answer]:
        """The messages that are whole by now. GarbageError."""
        buffer, at, ends = self._rest + data, 0, []
        while True:
            at = buffer.find(_TRAILER, at) + 8
            if at < 8 or at > len(buffer):
                break
            ends.append(at)
        starts = [0, *ends[:-1]]
        for start, end, total in zip(starts, ends, _sums(buffer, starts, ends), strict=False):
            yield _answer(buffer[start:end], total)
        self._rest = buffer[ends[-1] :] if ends else buffer
        if self._rest[:5] != b"8=FIX"[: len(self._rest)] or len(self._rest) > 1 << 16:
            raise GarbageError(repr(self._rest[:40]))


def _sums(buffer: bytes, starts: Sequence[int], ends: Sequence[int]) -> Sequence[int]:
    """The sum of each message's bytes before its CheckSum."""
    if len(ends) < FEW:
        return [sum(buffer[start : end - 7]) for start, end in zip(starts, ends, strict=False)]
    bounds = np.empty(2 * len(ends), dtype=np.int64)
    bounds[0::2], bounds[1::2] = starts, np.asarray(ends) - 7
    sums: Sequence[int] = np.add.reduceat(np.frombuffer(buffer, dtype=np.uint8), bounds, dtype=np.uint64)[0::2].tolist()
    return sums


def _answer(message: bytes, total: int) -> Answer:
    if message[:5] != b"8=FIX":
        raise GarbageError(repr(message[:40]))
    garbled = message[-7:] != _SUMS[total & 255]
    at = message.find(b"\x0135=") + 4
    kind = message[at : message.find(SOH, at)]
    at = message.find(b"\x0134=") + 4
    number = int(message[at : message.find(SOH, at)] or 0) if at > 3 else 0
    cl = exec_type = b""
    refused = ""
    if kind == b"8" or kind == b"9":
        cl = field(message, b"\x0111=")
        exec_type = field(message, b"\x01150=")
        if exec_type == b"8" and kind == b"8":
            refused = field(message, b"\x0158=").decode("ascii", "replace") or "rejected"
    return Answer(kind, number, cl, exec_type, refused, garbled, len(message), message)


def field(message: bytes, tag: bytes) -> bytes:
    """The value behind `tag`, which is written with SOH and =; empty when there is none."""
    at = message.find(tag)
    if at < 0:
        return b""
    at += len(tag)
    return message[at : message.find(SOH, at)]


def fields_of(fields: Mapping[int, str] | Mapping[str, str]) -> str:
    """By tag, as they go out."""
    return "".join(f"{tag}={value}\x01" for tag, value in fields.items())
