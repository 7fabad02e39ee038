"""Locust users that trade over FIX. Only for the process of locust: importing locust patches sockets and threads for gevent.

    FixUser         connects, logs on, fires a mix, times every answer; the two below say when
    ClosedFixUser   a window of orders without an answer: what the target takes, and service time alone
    OpenFixUser     arrivals at `rate` a second, Poisson's, never slowed by answers: latency from the intended time

A user is a session; swarm.py hands sessions out, one a user, over all processes. Latencies go to locust in milliseconds, and
exactly to swarm_stats. Reject, wrong CheckSum, wrong number, stranger, no answer: failures, and so locust's exit code is 1.
"""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import gevent
from gevent.socket import wait_read
from locust import User, tag, task
from locust.exception import StopUser

from matchmark.load import swarm
from matchmark.load.fix_wire import NAMES, Answer, GarbageError, Piece, Reader, Writer, field, fields_of, utc
from matchmark.load.swarm_stats import LATENESS

LOGON_S, DRAIN_S, SILENT_S = 10.0, 2.0, 5.0
BATCH = 32
"""Orders of one send: 32 x 4 us of encoding is what the first of them waits at most."""
READ_BYTES = 1 << 16
SPIN_S = 0.002
"""gevent's timers are of a millisecond: a shot that is due sooner than this is waited for awake, giving way to the others."""
METHOD = "FIX"


class FixUser(User):
    """One session. `window`: orders without an answer at any time; `rate`: orders a second of this user."""

    abstract = True
    scheduled = False
    """Orders are due at times of their own, and may be late."""
    window = 64
    rate = 2_000.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seat: swarm.Seat | None = None
        self.sock: socket.socket | None = None
        self.sent: dict[int, tuple[int, bytes]] = {}
        """By number of an order without an answer: when it was due, ns, and its MsgType."""

    # --- the session ---

    def on_start(self) -> None:
        self.seat = swarm.take_seat()
        if self.seat is None:
            self._fail("logon", "no session is left: fewer users, or more --sessions")
            raise StopUser
        s = self.seat
        self.writer = Writer(s.begin_string, s.sender, s.target, s.symbol, s.prefix, fields_of(s.order_fields), 1)
        self.reader, self.next_in = Reader(), 1
        self.pieces: Sequence[Piece] = swarm.pieces()
        began = time.perf_counter_ns()
        try:
            self.sock = socket.create_connection((s.host, s.port), timeout=LOGON_S)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock.sendall(
                self.writer.admin(
                    b"A", b"98=0\x01108=30\x01" + b"141=Y\x01" * s.reset + fields_of(s.logon_fields).encode()
                )
            )
            answers: list[Answer] = []
            while not answers:
                data = self.sock.recv(READ_BYTES)
                if not data:
                    raise ConnectionError("the target ended the connection instead of answering the logon")
                answers = list(self.reader.take(data))
            if answers[0].kind != b"A":
                words = field(answers[0].raw, b"\x0158=").decode("ascii", "replace")
                raise ConnectionError(f"the logon was answered with {answers[0].kind!r} {words}")
        except (OSError, GarbageError) as error:
            self._fail("logon", str(error))
            raise StopUser from None
        for answer in answers:
            self.next_in = answer.number + 1
        self.environment.stats.log_request(METHOD, "logon", (time.perf_counter_ns() - began) / 1e6, 0)
        self.sock.settimeout(SILENT_S)

    def on_stop(self) -> None:
        """Waits a moment for what is out; what never comes is a failure."""
        with suppress(StopUser, OSError):
            self._drain()
        if self.sock is not None:
            self.sock.close()
        if self.seat is not None:
            swarm.leave_seat(self.seat)

    def _drain(self) -> None:
        if self.sock is None:
            return
        until = time.monotonic() + DRAIN_S
        while self.sent and time.monotonic() < until:
            self._read(0.05)
        for _, kind in self.sent.values():
            self._fail(NAMES[kind], "never answered")
        self.sock.sendall(self.writer.admin(b"5"))

    # --- orders ---

    def fire(self, due_ns: Sequence[int]) -> None:
        """One send of so many orders, due then (perf_counter_ns)."""
        writer, pieces, sent = self.writer, self.pieces, self.sent
        stamp, n = utc(time.time()), len(pieces)
        first = writer.orders
        batch = [pieces[number % n] for number in range(first, first + len(due_ns))]
        for number, (due, piece) in enumerate(zip(due_ns, batch, strict=True), first):
            sent[number] = due, piece.kind
        assert self.sock is not None
        data = writer.orders_of(batch, stamp)
        if self.scheduled:
            now, record = time.perf_counter_ns(), swarm.recorder.record
            for due in due_ns:
                record(LATENESS, now - due)
        try:
            self.sock.sendall(data)
        except OSError as error:
            self._lost(f"the connection broke: {error}")

    def read_now(self) -> bool:
        """Takes what has come; whether anything had."""
        assert self.sock is not None
        try:
            data = self.sock._sock.recv(READ_BYTES, socket.MSG_DONTWAIT)  # type: ignore[attr-defined]  # gevent's own would wait
        except BlockingIOError:
            return False
        except OSError as error:
            self._lost(f"the connection broke: {error}")
        self._take(data)
        return True

    def _read(self, timeout_s: float) -> bool:
        """Waits for something to come; whether it did."""
        assert self.sock is not None
        try:
            wait_read(self.sock.fileno(), timeout_s)
        except TimeoutError:
            return False
        return self.read_now()

    def _take(self, data: bytes) -> None:
        if not data:
            self._lost("the target ended the connection")
        now = time.perf_counter_ns()
        log, record = self.environment.stats.log_request, swarm.recorder.record
        prefix, sent = self.writer.prefix, self.sent
        try:
            for answer in self.reader.take(data):
                if answer.number != self.next_in or answer.garbled:
                    self._fail("session", "a wrong CheckSum" if answer.garbled else "MsgSeqNum left out or used again")
                self.next_in = answer.number + 1
                cl = answer.cl
                if not cl:
                    self._session(answer)
                    continue
                if cl[:-10] != prefix or int(cl[-10:]) >= self.writer.orders:
                    self._fail("report", "about an order that was never sent")
                    continue
                order = sent.pop(int(cl[-10:]), None)
                if order is None:
                    continue  # a fill of an order that was acknowledged before
                name, ns = NAMES[order[1]], now - order[0]
                record(name, ns)
                if answer.refused:
                    self._fail(name, answer.refused, ns / 1e6)
                else:
                    log(METHOD, name, ns / 1e6, answer.size)
        except GarbageError as error:
            self._lost(f"what came is no FIX: {error}")

    def _session(self, answer: Answer) -> None:
        assert self.sock is not None
        if answer.kind == b"1":
            self.sock.sendall(self.writer.admin(b"0", b"112=" + field(answer.raw, b"\x01112=") + b"\x01"))
        elif answer.kind in (b"3", b"j"):
            self._fail("message", field(answer.raw, b"\x0158=").decode("ascii", "replace") or "rejected as a message")
        elif answer.kind == b"5":
            self._lost("logged out: " + field(answer.raw, b"\x0158=").decode("ascii", "replace"))

    # --- what goes wrong ---

    def _fail(self, name: str, why: str, ms: float = 0.0) -> None:
        self.environment.stats.log_request(METHOD, name, ms, 0)
        self.environment.stats.log_error(METHOD, name, Exception(why))

    def _lost(self, why: str) -> None:
        self._fail("session", why)
        if self.sock is not None:
            self.sock.close()
            self.sock = None
        for _, kind in self.sent.values():
            self._fail(NAMES[kind], "never answered")
        self.sent.clear()
        raise StopUser


class ClosedFixUser(FixUser):
    """As fast as the target answers, `window` orders at a time."""

    @tag("closed")
    @task
    def trade(self) -> None:
        room = self.window - len(self.sent)
        if room >= min(BATCH, self.window):
            now = time.perf_counter_ns()
            self.fire([now] * min(room, BATCH))
        elif not self._read(SILENT_S):
            self._lost(f"nothing was answered for {SILENT_S:g} s, with {len(self.sent)} orders out")
        self.read_now() if self.sock is not None else None


class OpenFixUser(FixUser):
    """`rate` orders a second on the average, whatever comes back."""

    scheduled = True

    def on_start(self) -> None:
        super().on_start()
        self._chance = random.Random(f"{swarm.seed()} {self.seat and self.seat.number}")
        self._due = time.perf_counter_ns()
        self._heard_s = time.monotonic()

    @tag("open")
    @task
    def trade(self) -> None:
        gap = 1e9 / self.rate
        due: list[int] = []
        now = time.perf_counter_ns()
        while self._due <= now and len(due) < BATCH:
            due.append(self._due)
            self._due += int(self._chance.expovariate(1.0) * gap)
        if due:
            self.fire(due)
        if self.read_now() or not self.sent:
            self._heard_s = time.monotonic()
        elif time.monotonic() - self._heard_s > SILENT_S:
            self._lost(f"nothing was answered for {SILENT_S:g} s, with {len(self.sent)} orders out")
        left_s = (self._due - time.perf_counter_ns()) / 1e9
        gevent.sleep(0 if left_s < SPIN_S else min(left_s - SPIN_S, 0.001))
