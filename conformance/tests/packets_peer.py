"""A TCP server for the tests of the kit's client, in memory and apart from its code: what it gets is what the client really said.

It keeps what comes ahead of its turn or throws it away, offers any window, loses what it is told to lose, and says things back.
"""

from __future__ import annotations

import os
import select
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from matchmark.conformance.packets.headers import (
    ARP,
    IPV4,
    Arp,
    Segment,
    arp,
    ethernet,
    packet,
    parse_arp,
    parse_ethernet,
    parse_segment,
)

PEER_MAC = b"\x02\0\0\0\0\1"
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
MOD = 1 << 32


class Peer:
    """`taken`: what it read, in order. `window`: what it offers. `keeps`: segments ahead of their turn are not thrown away.

    `lose`: asked of each segment of the client's. `mss`: None offers none. `faults`: what the client did that TCP does not do.
    """

    def __init__(
        self,
        isn: int = 4_000_000_000,
        window: int = 65535,
        keeps: bool = True,
        lose: Callable[[Segment], bool] | None = None,
        mss: int | None = 1460,
        options: bytes = b"",
    ) -> None:
        self.isn, self.window, self.keeps, self.lose, self.mss, self.options = isn, window, keeps, lose, mss, options
        self.taken = bytearray()
        self.state = "listen"
        self.seen: list[Segment] = []
        self.faults: list[str] = []
        self.out: list[Segment] = []
        self.to_say = bytearray()
        self._said = 0  # how much of `to_say` is acknowledged
        self._ahead: dict[int, bytes] = {}
        self._next = self._first = 0
        self._fin_at: int | None = None
        self.fin_sent = False
        self.client_window = 0

    # --- what the client hears ---

    def say(self, data: bytes) -> None:
        self.to_say += data
        self.send()

    def send(self, again: bool = False) -> None:
        """All that fits in the client's window, from what is not acknowledged on."""
        room = self.client_window
        at = self._said
        while at < len(self.to_say) and room > 0:
            part = bytes(self.to_say[at : at + min(self.mss or 536, room)])
            self._answer(PSH | ACK, self.isn + 1 + at, part)
            at += len(part)
            room -= len(part)

    def finish(self) -> None:
        self._answer(FIN | ACK, self._seq())
        self.fin_sent = True

    def reset(self) -> None:
        self._answer(RST | ACK, self._seq() if not self.fin_sent else self._seq() - 1)

    def ack(self) -> None:
        self._answer(ACK, self._seq())

    def _seq(self) -> int:
        return self.isn + 1 + len(self.to_say) + self.fin_sent

    def _answer(self, flags: int, seq: int, payload: bytes = b"", options: bytes = b"") -> None:
        s = self.last
        self.out.append(
            Segment(
                s.dst_ip, s.src_ip, s.dst_port, s.src_port, seq % MOD, self._next % MOD, flags,
                min(self.window, 65535), options, payload,
            )
        )  # fmt: skip

    # --- what the client says ---

    def take(self, s: Segment) -> list[Segment]:
        """Answers."""
        self.last = s
        self.seen.append(s)
        if self.lose is None or not self.lose(s):
            self._take(s)
        given, self.out = self.out, []
        return given

    def _take(self, s: Segment) -> None:
        if s.flags & RST:
            self.state = "reset"
            return
        if s.flags & SYN:
            if s.payload or s.flags & ~SYN:
                self.faults.append(f"a SYN with more: {s}")
            self._next = self._first = (s.seq + 1) % MOD
            self.state = "open"
            options = self.options + (struct.pack(">BBH", 2, 4, self.mss) if self.mss else b"")
            self._answer(SYN | ACK, self.isn, options=options)
            return
        if not s.flags & ACK:
            self.faults.append(f"no ACK flag: {s}")
        self.client_window = s.window
        acked = (s.ack - self.isn - 1) % MOD
        if acked > len(self.to_say) + 1:
            self.faults.append(f"acknowledges {acked} of {len(self.to_say)} bytes: {s}")
        elif acked > self._said:
            self._said = min(acked, len(self.to_say))
        offset = (s.seq - self._next + MOD // 2) % MOD - MOD // 2
        if s.payload and len(s.payload) + len(s.options) > max(self.mss or 536, 41):
            self.faults.append(f"more than the MSS: {s}")
        if offset + len(s.payload) > max(self.window, 1):
            self.faults.append(f"{offset + len(s.payload) - self.window} bytes beyond the window: {s}")
        if s.payload or s.flags & FIN:
            self._data(s, offset)
            self.ack()
        elif offset < 0:
            self.ack()  # a keep-alive

    def _data(self, s: Segment, offset: int) -> None:
        at = (s.seq - self._first) % MOD if offset >= -(1 << 20) else -1
        if s.flags & FIN and at >= 0:
            self._fin_at = at + len(s.payload)
        if offset <= 0 or self.keeps:
            room = max(0, self.window - offset)
            self._ahead.setdefault(at, b"")
            if len(s.payload[:room]) > len(self._ahead[at]):
                self._ahead[at] = s.payload[:room]
        else:
            self._fin_at = None
        again = True
        while again:
            again = False
            for begin in sorted(self._ahead):
                data = self._ahead[begin]
                if begin <= len(self.taken):
                    self.taken += data[len(self.taken) - begin :]
                    del self._ahead[begin]
                    again = True
                    break
        self._next = (self._first + len(self.taken)) % MOD
        if self._fin_at == len(self.taken):
            self.state = "ended"
            self._next += 1


def segment_of(frame: bytes) -> Segment:
    return parse_segment(parse_ethernet(frame)[3])


class PeerPort:
    """A port in memory, at whose other end are servers: one for each connection, at any address, with ARP.

    `script`: called with the server after each segment that it took; what it says goes out.
    """

    def __init__(self, script: Callable[[Peer], None], make: Callable[[], Peer] = Peer) -> None:
        self._script, self._make = script, make
        self.peers: list[Peer] = []
        self._by_port: dict[int, Peer] = {}
        self._event = os.eventfd(0, os.EFD_NONBLOCK)
        self._waiting: list[tuple[bytes, int]] = []
        self._lock = threading.Lock()

    def fileno(self) -> int:
        return self._event

    def close(self) -> None:
        os.close(self._event)

    def send(self, frame: bytes) -> None:
        _, source, kind, data = parse_ethernet(frame)
        if kind == ARP:
            asked = parse_arp(data)
            said = Arp(2, PEER_MAC, asked.dst_ip, asked.src_mac, asked.src_ip)
            self._put([ethernet(asked.src_mac, PEER_MAC, ARP, arp(said))])
            return
        s = parse_segment(data)
        peer = self._by_port.get(s.src_port)
        if peer is None or s.flags & SYN:
            peer = self._by_port[s.src_port] = self._make()
            self.peers.append(peer)
        answers = peer.take(s)
        self._script(peer)
        answers += peer.out
        peer.out = []
        self._put([ethernet(source, PEER_MAC, IPV4, packet(answer)) for answer in answers])

    def speak(self, peer: Peer) -> None:
        """What a server has said by itself goes out."""
        said, peer.out = peer.out, []
        self._put([ethernet(self._mac, PEER_MAC, IPV4, packet(answer)) for answer in said])

    def _put(self, frames: list[bytes]) -> None:
        if not frames:
            return
        self._mac = frames[0][:6]
        with self._lock:
            self._waiting += [(frame, time.monotonic_ns()) for frame in frames]
        os.eventfd_write(self._event, 1)

    def receive(self, timeout_s: float = 0.0, most: int = 256) -> list[tuple[bytes, int]]:
        if timeout_s:
            select.select([self], [], [], timeout_s)
        with suppress(BlockingIOError):
            os.eventfd_read(self._event)
        with self._lock:
            given, self._waiting = self._waiting, []
        return given
