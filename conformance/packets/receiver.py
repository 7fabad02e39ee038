"""A receiver of the direct feed: joins the group, finds gaps, asks for what is missing, hands out each message once and in order.

Rules: docs/direct-feed.md. It reads bytes by the tables there; scapy's layers, which read the same, take a hundred times as long.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from struct import Struct, pack
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

CONTINUES, ANSWER, UNAVAILABLE = 1, 2, 4
"""Flags of a packet."""
LAST, MARKET, IMMEDIATE = 1, 2, 4
"""Flags of a message."""
ASK_AGAIN_S = 0.02
ANSWER_PACKETS = 64
"""What one request is answered with at most."""
AHEAD_MAX = 4096
"""Packets kept behind a gap; what comes above them is asked for later."""
BUFFER_BYTES = 1 << 23

_HEADER = Struct("<4sBBHQQQQII")
_HEAD = Struct("<BBBBIQQ")
_ORDER, _TRADE, _CANCELLED = Struct("<QqII"), Struct("<QQqIIII"), Struct("<QII")
_BYTES = {**dict.fromkeys(b"ADRU", 48), ord("E"): 64, ord("X"): 40, ord("S"): 24, ord("C"): 24}


class Message(NamedTuple):
    """One message. Prices are ticks (-2^63: a market order's), quantities lots; fields that its type has not are 0.

    `whole`: its command ends with it, as far as the public is told.
    """

    type: str
    flags: int
    side: int
    state: int
    symbol: int
    sequence: int
    matched_ns: int
    order_id: int = 0
    resting_order_id: int = 0
    price: int = 0
    quantity: int = 0
    cum: int = 0
    leaves: int = 0
    resting_leaves: int = 0
    whole: bool = False


class Datagram(NamedTuple):
    """A packet. `flags`: CONTINUES, ANSWER, UNAVAILABLE."""

    flags: int
    began: int
    after: int
    through: int
    sent_ns: int
    epoch: int
    messages: tuple[Message, ...]


def decode(data: bytes) -> Datagram:
    """ValueError: this is no packet of the feed; its text says why."""
    if len(data) < _HEADER.size or len(data) > 1400:
        raise ValueError(f"{len(data)} bytes: a packet has 48 to 1,400")
    magic, version, flags, count, began, after, through, sent_ns, epoch, zero = _HEADER.unpack_from(data)
    if magic != b"MMDF" or version != 1 or zero or after > through:
        raise ValueError(f"header of no packet: {data[:48].hex()}")
    messages, at = list[Message](), _HEADER.size
    for _ in range(count):
        message = _message(data, at)
        if not after < message.sequence <= through or (messages and message.sequence <= messages[-1].sequence):
            raise ValueError(f"a message of record {message.sequence} in a packet of {after + 1} to {through}")
        messages.append(message)
        at += _BYTES[data[at]]
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes behind the last message")
    if messages and not flags & CONTINUES:
        messages[-1] = messages[-1]._replace(whole=True)
    return Datagram(flags, began, after, through, sent_ns, epoch, tuple(messages))


def _message(data: bytes, at: int) -> Message:
    if at >= len(data) or at + _BYTES.get(data[at], 1 << 20) > len(data):
        raise ValueError(f"no message at byte {at}")
    letter, flags, side, state, symbol, sequence, matched_ns = _HEAD.unpack_from(data, at)
    head = (chr(letter), flags, side, state, symbol, sequence, matched_ns)
    whole, body = bool(flags & LAST), at + _HEAD.size
    if letter == ord("E"):
        order, resting, price, quantity, leaves, resting_leaves, zero = _TRADE.unpack_from(data, body)
        if zero:
            raise ValueError("a trade's last word is not zero")
        return Message(*head, order, resting, price, quantity, 0, leaves, resting_leaves, whole)
    if letter == ord("X"):
        order, quantity, zero = _CANCELLED.unpack_from(data, body)
        return Message(*head, order, quantity=quantity, whole=whole)
    if letter in b"SC":
        return Message(*head, whole=whole)
    order, price, quantity, cum = _ORDER.unpack_from(data, body)
    return Message(*head, order, price=price, quantity=quantity, cum=cum, whole=whole)


@dataclass
class Numbers:
    """What a receiver saw. `gaps`: how often something was missing; `taken_back`: (began, have) of each time it was told so;
    `unavailable`: ranges (after, through) that it was told of and cannot have."""

    packets: int = 0
    heartbeats: int = 0
    duplicates: int = 0
    gaps: int = 0
    asked: int = 0
    answers: int = 0
    malformed: int = 0
    dropped: int = 0
    taken_back: list[tuple[int, int]] = field(default_factory=list)
    unavailable: list[tuple[int, int]] = field(default_factory=list)


class Receiver:
    """Has the feed from record `have` + 1 on; None: from the first packet that it sees.

    `url`: as the readiness line gives it. `lose`: for tests, which packets (of group and answers) are thrown away. `epoch`: of
    the last packet that a receiver took which comes back with what it has.
    """

    def __init__(
        self, url: str, have: int | None = None, lose: Callable[[bytes], bool] | None = None, epoch: int = 0
    ) -> None:
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        interface = query["interface"][0]
        host, port = query["retransmit"][0].rsplit(":", 1)
        assert parts.hostname and parts.port
        self.have, self.epoch, self.numbers = have, epoch, Numbers()
        self.ask_at: tuple[str, int] = (host, int(port))
        self._lose = lose
        self._ahead: dict[int, Datagram] = {}
        self._asked_s, self._answered = 0.0, 0
        self.group = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.group.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.group.bind((parts.hostname, parts.port))
        member = socket.inet_aton(parts.hostname) + socket.inet_aton(interface)
        self.group.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        self.own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.own.bind((interface, 0))
        for one in (self.group, self.own):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
            one.setblocking(False)

    def close(self) -> None:
        self.group.close()
        self.own.close()

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def poll(self, timeout_s: float) -> list[Message]:
        """What comes within the time, as soon as something did. Asks for what is missing on the way."""
        until, out = time.monotonic() + timeout_s, list[Message]()
        while True:
            left = until - time.monotonic()
            wait = min(left, ASK_AGAIN_S) if self.missing else left
            readable, _, _ = select.select([self.group, self.own], [], [], max(0.0, wait))
            for one in readable:
                self._drain(one, out)
            self._ask()
            if out or left <= 0:
                return out

    def read_to(self, sequence: int, timeout_s: float = 20.0) -> list[Message]:
        """Everything up to the record. TimeoutError: it did not come."""
        until, out = time.monotonic() + timeout_s, list[Message]()
        while self.have is None or self.have < sequence:
            out += self.poll(min(0.1, max(0.0, until - time.monotonic())))
            if time.monotonic() > until:
                raise TimeoutError(f"the feed is at record {self.have}, not at {sequence}: {self.numbers}")
        return out

    @property
    def missing(self) -> tuple[int, int] | None:
        """(after, through) of the gap behind `have`, as far as it is known."""
        if self.have is None or not self._ahead:
            return None
        return self.have, min(self._ahead)

    # --- in ---

    def _drain(self, one: socket.socket, out: list[Message]) -> None:
        for _ in range(1024):
            try:
                data, source = one.recvfrom(2048)
            except BlockingIOError:
                return
            if self._lose and self._lose(data):
                self.numbers.dropped += 1
                continue
            try:
                packet = decode(data)
            except ValueError:
                self.numbers.malformed += 1
                continue
            if packet.epoch >= self.epoch and not packet.flags & ANSWER:
                self.ask_at = source
            self._take(packet, out)

    def _take(self, packet: Datagram, out: list[Message]) -> None:
        self.numbers.packets += 1
        if packet.flags & ANSWER:
            self.numbers.answers += 1
            self._answered += 1
        self.numbers.heartbeats += not packet.messages
        if packet.epoch < self.epoch:
            return
        if self.have is None:
            self.have = packet.after
        self._look_at_epoch(packet)
        if packet.through <= self.have:
            self.numbers.duplicates += bool(packet.messages)
            if packet.after == self.have:
                self.epoch = packet.epoch
            return
        if packet.after > self.have:
            if len(self._ahead) < AHEAD_MAX:
                self.numbers.gaps += not self._ahead
                self._ahead[packet.after] = packet
            return
        self._apply(packet, out)
        while (following := self._next_ahead()) is not None:
            self._apply(following, out)

    def _look_at_epoch(self, packet: Datagram) -> None:
        """What was told by a primary before and did not last."""
        assert self.have is not None
        if not self.epoch or packet.epoch == self.epoch:
            return
        missed = packet.epoch > self.epoch + 1 and self.have >= packet.began
        if missed or self.have > packet.began:
            self.numbers.taken_back.append((packet.began, self.have))
            self.have = 0 if missed else packet.began
            self._ahead.clear()

    def _next_ahead(self) -> Datagram | None:
        assert self.have is not None
        while self._ahead and (first := min(self._ahead)) <= self.have:
            packet = self._ahead.pop(first)
            if packet.through > self.have and packet.epoch >= self.epoch:
                return packet
        return None

    def _apply(self, packet: Datagram, out: list[Message]) -> None:
        assert self.have is not None
        if packet.flags & UNAVAILABLE:
            self.numbers.unavailable.append((self.have, packet.through))
        out.extend(message for message in packet.messages if message.sequence > (self.have or 0))
        self.have, self.epoch = packet.through, packet.epoch

    # --- out ---

    def _ask(self) -> None:
        gap, now = self.missing, time.monotonic()
        if gap is None or (now - self._asked_s < ASK_AGAIN_S and self._answered < ANSWER_PACKETS):
            return
        self._asked_s, self._answered = now, 0
        self.numbers.asked += 1
        self.own.sendto(request(*gap), self.ask_at)


def request(after: int, through: int) -> bytes:
    """For records after + 1 to through."""
    return pack("<4sBBHQQ", b"MMDR", 1, 0, 0, after, through)
