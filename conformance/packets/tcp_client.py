"""TCP clients over raw frames: a host of the kit's own on a port, and its connections, cut, doubled and delayed as a plan says.

    with RawPort("vclients0", "clients") as port, Station(port, "10.77.0.3") as station:
        client = station.connect("10.77.0.1", 9878)
        client.send(logon, cuts=[1])
        client.receive(2.0)

Who waits drives the whole station. With `background` a thread does, so that connections acknowledge and ARP is answered
while the test is elsewhere. Calls may come from any thread.
"""

from __future__ import annotations

import os
import random
import select
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from matchmark.conformance.packets.headers import ACK, Flow, ip_bytes, mac_text
from matchmark.conformance.packets.host import Host
from matchmark.conformance.packets.plan import Plan, cut, cut_at
from matchmark.conformance.packets.raw_port import Port
from matchmark.conformance.packets.tcp_machine import Settings, State, TcpMachine

SEND_BUFFER_BYTES = 1 << 18
"""More than this is not taken without waiting while the other side does not acknowledge."""
_SLICE_S = 0.05
_LOCAL_BIT = 0x02


class TcpError(Exception):
    """Something about a connection over raw frames."""


class Refused(TcpError):
    """Our SYN was answered with a reset."""


class Reset(TcpError):
    """The connection is over: the other side reset it, it gave no answer, or we closed it."""


class NoAnswer(TcpError):
    """What was waited for did not come in time."""


class Station:
    """One IP address on a port, which it has to itself: a second one needs another port on the same interface.

    `mac`: None makes one up from the address. The port is not closed with it.
    """

    def __init__(
        self,
        port: Port,
        ip: str,
        mac: str | None = None,
        background: bool = False,
        chance: random.Random | None = None,
    ) -> None:
        self.port, self.ip = port, ip
        self.mac = mac or mac_text(bytes((_LOCAL_BIT, 0x6D)) + ip_bytes(ip))
        self.host = Host(self.mac, ip, chance)
        self.lock = threading.RLock()
        self._news = threading.Condition(self.lock)
        self._clients: dict[TcpMachine, TcpClient] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"station {ip}") if background else None
        if self._thread:
            self._thread.start()

    def close(self) -> None:
        """Resets what is open."""
        for client in list(self._clients.values()):
            client.reset()
        self._stop.set()
        if self._thread:
            self._thread.join()

    def __enter__(self) -> Station:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- connections ---

    def resolve(self, ip: str, timeout_s: float = 2.0) -> str:
        """The hardware address. NoAnswer."""
        raw = ip_bytes(ip)
        with self.lock:
            if raw not in self.host.neighbours:
                self.host.ask(raw, time.monotonic_ns())
            self.wait(lambda: raw in self.host.neighbours, timeout_s, f"an ARP answer of {ip}")
            return mac_text(self.host.neighbours[raw])

    def begin(self, ip: str, port: int, settings: Settings | None = None, src_port: int | None = None) -> TcpClient:
        """Sends the SYN and waits for nothing."""
        with self.lock:
            machine = self.host.open(ip, port, settings or Settings(), time.monotonic_ns(), src_port)
            client = self._clients[machine] = TcpClient(self, machine)
            self._flush()
        return client

    def connect(
        self,
        ip: str,
        port: int,
        settings: Settings | None = None,
        src_port: int | None = None,
        timeout_s: float = 5.0,
    ) -> TcpClient:
        """Refused, NoAnswer."""
        client = self.begin(ip, port, settings, src_port)
        try:
            client.wait_open(timeout_s)
        except TcpError:
            client.reset()
            raise
        return client

    def forget(self, client: TcpClient) -> None:
        with self.lock:
            self.host.forget(client.machine)
            self._clients.pop(client.machine, None)

    # --- driving ---

    def pump(self, wait_s: float = 0.0) -> None:
        """Takes what is there, the first of it waited for; lets timers run; sends what is due."""
        now_ns = time.monotonic_ns()
        due_ns = self.host.next_ns
        if due_ns:
            wait_s = min(wait_s, max(0, due_ns - now_ns) / 1e9)
        if wait_s > 0:
            select.select([self.port], [], [], wait_s)
        with self.lock:
            for frame, at_ns in self.port.receive():
                self.host.take(frame, at_ns)
            self._flush()
            self._news.notify_all()

    def wait(self, done: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Drives until it is done, once even without time. NoAnswer: it was not within the time; `what` was waited for."""
        until = time.monotonic() + timeout_s
        left = 1.0
        while True:
            with self.lock:
                self._flush()
                if done():
                    return
                if left <= 0:
                    raise NoAnswer(f"{what}: not within {timeout_s:g} s")
                left = until - time.monotonic()
                if self._thread and left > 0:
                    self._news.wait(min(left, _SLICE_S))
            if not self._thread:
                self.pump(max(0.0, min(left, _SLICE_S)))

    def flush(self) -> None:
        """Sends what is due."""
        with self.lock:
            self._flush()

    def _flush(self) -> None:
        self.host.poll(time.monotonic_ns())
        for frame in self.host.frames():
            with suppress(OSError):  # the interface is gone; who waits will see that nothing comes
                self.port.send(frame)
        for client in self._clients.values():
            client.signal()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.pump(_SLICE_S)


class TcpClient:
    """One connection; made by a Station. `machine` is the state machine that it drives."""

    def __init__(self, station: Station, machine: TcpMachine) -> None:
        self.station, self.machine = station, machine
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._signalled = False
        self._last = (1, 0)  # base and length of what was sent last

    # --- state ---

    def fileno(self) -> int:
        """Readable while something can be received, or the connection has ended. Only where somebody drives the station."""
        return self._event

    def signal(self) -> None:
        """For the station: there may be news."""
        ready = bool(self.machine.incoming.received) or self.machine.ended
        if ready != self._signalled and self._event >= 0:
            self._signalled = ready
            if ready:
                os.eventfd_write(self._event, 1)
            else:
                with suppress(BlockingIOError):
                    os.eventfd_read(self._event)

    @property
    def state(self) -> State:
        return self.machine.state

    @property
    def ended(self) -> bool:
        """Nothing more will be received; what was before is not necessarily read yet."""
        return self.machine.ended

    @property
    def was_reset(self) -> bool:
        return self.machine.was_reset

    @property
    def error(self) -> str | None:
        """Why it ended early."""
        return self.machine.error

    @property
    def flow(self) -> Flow:
        """Its addresses and its numbers of now. KeyError: the other side's hardware address is not known yet."""
        with self.station.lock:
            return self.station.host.flow(self.machine)

    def wait_open(self, timeout_s: float = 5.0) -> None:
        """Refused, NoAnswer."""
        m = self.machine
        self.station.wait(lambda: m.state is not State.SYN_SENT, timeout_s, "an answer to the SYN")
        if m.refused:
            raise Refused(f"{m.there[1]}: the connection was refused")
        if m.error:
            raise NoAnswer(m.error)

    # --- out ---

    def send(
        self,
        data: bytes,
        cuts: Sequence[int] | None = None,
        plan: Plan | None = None,
        fin: bool = False,
        timeout_s: float = 10.0,
        wait: bool = True,
    ) -> None:
        """Sent by the plan, or in segments of these sizes, again and again; with neither in segments of full size.

        Returns when all of it is acknowledged; without `wait` as soon as the plan has run and no more than
        SEND_BUFFER_BYTES are not acknowledged. `fin`: the last segment ends the stream. Reset: the connection is over.
        NoAnswer: it is not taken.
        """
        if plan is None and cuts is not None and data:
            plan = cut(len(data), cuts)
        out = self.machine.outgoing
        with self.station.lock:
            self._alive()
            base = self.machine.write(data, plan, fin)
            self._last = base, len(data)
            enough = out.last - (0 if wait else SEND_BUFFER_BYTES)
            self.machine.poll(time.monotonic_ns())
        self._until(lambda: not out.planned and out.una >= enough, timeout_s, f"room for {len(data)} bytes")

    def retransmit(
        self, begin: int = 0, end: int | None = None, plan: Plan | None = None, timeout_s: float = 10.0
    ) -> None:
        """What was sent last, or bytes `begin` to `end` of it, once more, acknowledged or not; or a plan for all of it."""
        base, length = self._last
        stop = length if end is None else end
        with self.station.lock:
            self._alive()
            if plan is not None:
                self.machine.again(base, plan)
            else:
                self.machine.again(base + begin, cut_at(stop - begin, ()))
            self.machine.poll(time.monotonic_ns())
        self._until(lambda: not self.machine.outgoing.planned, timeout_s, "room for a retransmission")

    def window(self, size: int) -> None:
        """So many bytes are taken from now on, 0: none; an acknowledgement says so."""
        self._do(lambda: self.machine.advertise(size))

    def keep_alive(self) -> None:
        self._do(self.machine.keep_alive)

    def duplicate_acks(self, count: int = 3) -> None:
        self._do(lambda: self.machine.duplicate_acks(count))

    def forge(
        self,
        flags: int = ACK,
        seq_offset: int = 0,
        ack_offset: int = 0,
        payload: bytes = b"",
        options: bytes | None = None,
        window: int | None = None,
    ) -> bytes:
        """A frame with the connection's numbers of now, moved by the offsets. It is not sent."""
        with self.station.lock:
            segment = self.machine.craft(flags, seq_offset, ack_offset, payload, options)
            return self.station.host.frame(segment if window is None else segment._replace(window=window))

    def inject(self, frame: bytes) -> None:
        """Sends a frame that the state machine does not hear of."""
        self.station.port.send(frame)

    # --- in ---

    def receive(self, timeout_s: float = 0.0) -> bytes:
        """What has come and was not given yet, waited for; nothing: none came in time, or the connection has ended."""
        m = self.machine
        with suppress(NoAnswer):
            self.station.wait(lambda: bool(m.incoming.received) or m.ended, timeout_s, "something")
        with self.station.lock:
            data = m.read()
            self.signal()
        return data

    def receive_until(self, done: Callable[[bytes], bool], timeout_s: float = 10.0) -> bytes:
        """All that came by the time that it is `done`, the connection ends or the time is up."""
        data, until = b"", time.monotonic() + timeout_s
        while not done(data) and (left := until - time.monotonic()) > 0:
            more = self.receive(left)
            data += more
            if not more and self.ended:
                break
        return data

    # --- the end ---

    def shutdown(self) -> None:
        """A FIN; what comes can still be received."""
        self._do(self.machine.shutdown)

    def close(self, timeout_s: float = 5.0) -> None:
        """A FIN each way. NoAnswer: the other side does not close."""
        m = self.machine
        try:
            if m.state is State.SYN_SENT:
                m.abort()
            elif m.state is not State.CLOSED:
                self.shutdown()
                self.station.wait(lambda: m.state is State.CLOSED, timeout_s, "the other side's FIN")
        finally:
            self._let_go()

    def reset(self) -> None:
        """A reset; what is under way is thrown away."""
        with self.station.lock:
            self.machine.abort()
            self.station.flush()
        self._let_go()

    def _let_go(self) -> None:
        with self.station.lock:
            self.station.forget(self)
            if self._event >= 0:
                os.close(self._event)
                self._event = -1

    def _do(self, what: Callable[[], object]) -> None:
        with self.station.lock:
            self._alive()
            what()
            self.station.flush()

    def _alive(self) -> None:
        if self.machine.state in (State.CLOSED, State.SYN_SENT):
            raise Reset(self.machine.error or f"the connection is {self.machine.state.value}")

    def _until(self, done: Callable[[], bool], timeout_s: float, what: str) -> None:
        closed = State.CLOSED
        self.station.wait(lambda: done() or self.machine.state is closed, timeout_s, what)
        if not done():
            raise Reset(self.machine.error or "the connection is closed")
