"""One TCP connection as its client, without sockets and without a clock of its own: segments in, segments out.

It keeps to TCP by itself and departs from habit when told to: plans cut, double, delay and reorder what is sent (plan.py),
windows close, acknowledgements come thrice. `Settings` say what the SYN offers. Whoever drives it hands in what arrives
(`take`), lets time pass (`poll`, no later than `next_ns`) and sends what `segments` gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from struct import pack, unpack

from matchmark.conformance.packets.headers import (
    ACK,
    FIN,
    MSS,
    RST,
    SACK_PERMITTED,
    SYN,
    TIMESTAMPS,
    WINDOW_SCALE,
    Segment,
    read_options,
    write_options,
)
from matchmark.conformance.packets.plan import Plan
from matchmark.conformance.packets.tcp_in import Incoming
from matchmark.conformance.packets.tcp_out import Outgoing

_MOD = 1 << 32
_NS = 1_000_000_000


class State(Enum):
    CLOSED = "closed"
    SYN_SENT = "syn-sent"
    ESTABLISHED = "established"
    FIN_WAIT_1 = "fin-wait-1"
    FIN_WAIT_2 = "fin-wait-2"
    CLOSE_WAIT = "close-wait"
    CLOSING = "closing"
    LAST_ACK = "last-ack"
    TIME_WAIT = "time-wait"


_SYNCHRONIZED = frozenset(State) - {State.CLOSED, State.SYN_SENT}


@dataclass(frozen=True)
class Settings:
    """`window`: bytes that are offered; `window_scale`: shift count, None does not offer scaling. `options`: raw ones on every
    segment behind the handshake, filled up with NOPs. `syn_options`: raw, in place of all that the SYN would have.

    `rto_s`: before anything is sent again, doubled each time; `tries`, `syn_tries`: then it is given up.
    """

    mss: int = 1460
    window: int = 65535
    window_scale: int | None = None
    timestamps: bool = False
    sack_permitted: bool = False
    options: bytes = b""
    syn_options: bytes | None = None
    initial_seq: int | None = None
    rto_s: float = 0.2
    tries: int = 8
    syn_tries: int = 5
    time_wait_s: float = 0.0

    def offered(self, now_ms: int) -> bytes:
        if self.syn_options is not None:
            return self.syn_options + bytes((1,)) * (-len(self.syn_options) % 4)
        options = {MSS: pack(">H", self.mss)}
        if self.sack_permitted:
            options[SACK_PERMITTED] = b""
        if self.timestamps:
            options[TIMESTAMPS] = pack(">II", now_ms % _MOD, 0)
        if self.window_scale is not None:
            options[WINDOW_SCALE] = bytes((self.window_scale,))
        return write_options(options)


class TcpMachine:
    """`here`, `there`: (address, port). `seq`: the number of the SYN where the settings have none.

    `error` says why the connection ended early; `ended`: nothing more will be received; `stray`: segments that were not
    acceptable.
    """

    def __init__(self, here: tuple[bytes, int], there: tuple[bytes, int], settings: Settings, seq: int) -> None:
        self.here, self.there, self.settings = here, there, settings
        self.state = State.CLOSED
        self.error: str | None = None
        self.was_reset = self.refused = False
        self.stray = 0
        self.iss = (seq if settings.initial_seq is None else settings.initial_seq) % _MOD
        self.irs = 0
        self.incoming = Incoming(settings.window)
        self.outgoing = Outgoing(self, int(settings.rto_s * _NS), settings.tries)
        self._segments: list[Segment] = []
        self._now_ns = self._syn_at_ns = self._syns = self._leaves_ns = 0
        self._shift_in = self._shift_out = 0
        self._stamps, self._their_stamp, self._ack_due = False, 0, False

    # --- what whoever drives it calls ---

    def open(self, now_ns: int) -> None:
        self.state = State.SYN_SENT
        self._now_ns = now_ns
        self._send_syn()

    def segments(self) -> list[Segment]:
        """What is to be sent now, in order; the caller's from now on."""
        given, self._segments = self._segments, []
        return given

    def poll(self, now_ns: int) -> None:
        self._now_ns = now_ns
        if self.state is State.SYN_SENT and now_ns >= self._syn_at_ns:
            if self._syns > self.settings.syn_tries:
                self.fail(f"no answer to {self._syns} SYNs")
            else:
                self._send_syn()
        elif self.state in _SYNCHRONIZED:
            self.outgoing.poll(now_ns)
            if self._ack_due:
                self._ack()
            if self.outgoing.failed:
                self.fail("what was sent is not acknowledged")
        if self.state is State.TIME_WAIT and now_ns >= self._leaves_ns:
            self.state = State.CLOSED

    @property
    def next_ns(self) -> int:
        """When `poll` is due; 0: not before something arrives."""
        if self.state is State.SYN_SENT:
            return self._syn_at_ns
        if self.state is State.TIME_WAIT:
            return self._leaves_ns
        return self.outgoing.next_ns if self.state in _SYNCHRONIZED else 0

    # --- what a client does ---

    def write(self, data: bytes, plan: Plan | None = None, fin: bool = False) -> int:
        """Its base, for `again`. Sent at the next poll. ValueError: the plan is for something else, or the stream was ended."""
        return self.outgoing.write(data, plan, fin)

    def again(self, base: int, plan: Plan) -> None:
        """A plan for what was written before."""
        self.outgoing.again(base, plan)

    def shutdown(self) -> None:
        """A FIN behind what was written."""
        if self.outgoing.fin_at < 0:
            self.outgoing.write(b"", None, True)
            self.poll(self._now_ns)

    def abort(self) -> None:
        """A reset; nothing is taken or sent from now on."""
        if self.state in _SYNCHRONIZED:
            self._put(self.outgoing.sent_to, RST | ACK)
        self.state = State.CLOSED

    def read(self) -> bytes:
        given = bytes(self.incoming.received)
        self.incoming.received.clear()
        return given

    def advertise(self, size: int, shrink: bool = True) -> None:
        """So many bytes are taken from now on; says so. Without `shrink` what was offered before is still taken."""
        self.incoming.offer(size, shrink)
        self._ack()

    def keep_alive(self) -> None:
        self._put(self.outgoing.una - 1, ACK)

    def duplicate_acks(self, count: int) -> None:
        for _ in range(count):
            self._ack()

    def craft(
        self, flags: int, offset: int = 0, ack_offset: int = 0, payload: bytes = b"", options: bytes | None = None
    ) -> Segment:
        """A segment with the connection's numbers, moved by the offsets; it is not sent and changes nothing.

        `options`: raw, a multiple of four bytes, in place of the connection's own.
        """
        ack = self.ack + ack_offset
        return Segment(
            self.here[0], self.there[0], self.here[1], self.there[1],
            (self.seq + offset) % _MOD, ack % _MOD if flags & ACK else 0, flags, self._window_field(),
            self._options(b"") if options is None else options, payload,
        )  # fmt: skip

    def fail(self, error: str) -> None:
        """It is over, without a word to the other side."""
        self.error, self.state = error, State.CLOSED

    @property
    def ended(self) -> bool:
        return self.incoming.finished or self.state is State.CLOSED

    @property
    def seq(self) -> int:
        """The number of what would be sent next."""
        return (self.iss + self.outgoing.sent_to) % _MOD

    @property
    def ack(self) -> int:
        return (self.irs + self.incoming.next) % _MOD

    # --- out ---

    def emit(self, offset: int, payload: bytes, flags: int, options: bytes) -> None:
        self._put(offset, flags | ACK, payload, options)

    def _put(self, offset: int, flags: int, payload: bytes = b"", options: bytes = b"") -> None:
        self._ack_due = False
        segment = self.craft(flags, payload=payload, options=self._options(options))
        self._segments.append(segment._replace(seq=(self.iss + offset) % _MOD))
        if flags & FIN:
            if self.state is State.ESTABLISHED:
                self.state = State.FIN_WAIT_1
            elif self.state is State.CLOSE_WAIT:
                self.state = State.LAST_ACK

    def _ack(self) -> None:
        if self.state in _SYNCHRONIZED:
            self._put(self.outgoing.sent_to, ACK)

    def _send_syn(self) -> None:
        settings = self.settings
        segment = self.craft(SYN, options=settings.offered(self._now_ns // 1_000_000))
        self._segments.append(segment._replace(seq=self.iss, window=min(settings.window, 65535)))
        self._syn_at_ns = self._now_ns + (int(settings.rto_s * _NS) << self._syns)
        self._syns += 1

    def _options(self, more: bytes) -> bytes:
        raw = more or self.settings.options
        if self._stamps:
            raw = pack(">BBBBII", 1, 1, TIMESTAMPS, 10, self._now_ns // 1_000_000 % _MOD, self._their_stamp) + raw
        return (raw + b"\1" * (-len(raw) % 4))[:40]

    def _window_field(self) -> int:
        return min(65535, self.incoming.window >> self._shift_in)

    # --- in ---

    def take(self, s: Segment, now_ns: int) -> None:
        self._now_ns = now_ns
        if self.state is State.SYN_SENT:
            self._take_answer(s)
        elif self.state in _SYNCHRONIZED:
            self._take(s)
        elif not s.flags & RST:
            self._refuse(s)

    def _take_answer(self, s: Segment) -> None:
        """To our SYN."""
        if s.flags & ACK and s.ack != (self.iss + 1) % _MOD:
            self._refuse(s)
        elif s.flags & RST and s.flags & ACK:
            self.was_reset = self.refused = True
            self.fail("refused")
        elif s.flags & SYN and s.flags & ACK:
            self._agree(s)
            self.state = State.ESTABLISHED
            self.outgoing.window = s.window
            self._ack_due = True
            self.poll(self._now_ns)

    def _agree(self, s: Segment) -> None:
        self.irs = s.seq
        ours, theirs = read_options(self.settings.offered(0)), read_options(s.options)
        if len(theirs.get(MSS, b"")) == 2:
            self.outgoing.mss = unpack(">H", theirs[MSS])[0]
        self.outgoing.mss = min(self.outgoing.mss, self.settings.mss)
        if len(ours.get(WINDOW_SCALE, b"")) == len(theirs.get(WINDOW_SCALE, b"")) == 1:
            self._shift_in, self._shift_out = min(14, ours[WINDOW_SCALE][0]), min(14, theirs[WINDOW_SCALE][0])
        if len(ours.get(TIMESTAMPS, b"")) == len(theirs.get(TIMESTAMPS, b"")) == 8:
            self._stamps, self._their_stamp = True, unpack(">I", theirs[TIMESTAMPS][:4])[0]
        self.outgoing.mss = max(1, self.outgoing.mss - len(self._options(b"")))

    def _take(self, s: Segment) -> None:
        i = self.incoming
        offset = i.next + (s.seq - self.irs - i.next + _MOD // 2) % _MOD - _MOD // 2
        if s.flags & RST:
            if offset == i.next:
                self.was_reset = True
                self.fail("reset by the other side")
            elif i.fits(offset, 0):
                self._ack()
            else:
                self.stray += 1
            return
        if s.flags & SYN or not i.fits(offset, s.length):
            self.stray += 1
            # While our window is closed nothing fits, and acknowledgements still count (RFC 9293, 3.10.7.4): who had something
            # on the way when it closed numbers them behind that.
            if not i.window and s.flags & ACK and not s.flags & SYN and not self._take_ack(s):
                return
            self._ack()
            return
        if not s.flags & ACK or not self._take_ack(s):
            return
        stamp = read_options(s.options).get(TIMESTAMPS, b"") if self._stamps else b""
        if len(stamp) == 8 and offset <= i.next:
            self._their_stamp = unpack(">I", stamp[:4])[0]
        if s.length:
            self._ack_due = True
            finished = i.finished
            i.take(offset, s.payload, bool(s.flags & FIN))
            if i.finished and not finished:
                self._their_fin()
        self.poll(self._now_ns)

    def _take_ack(self, s: Segment) -> bool:
        """False: it acknowledges what was never sent."""
        o = self.outgoing
        offset = o.una + (s.ack - self.iss - o.una + _MOD // 2) % _MOD - _MOD // 2
        if offset > o.sent_to:
            self.stray += 1
            self._ack()
            return False
        if offset >= o.una:
            o.acknowledged(offset, s.window << self._shift_out, s.length == 0, self._now_ns)
        if 0 <= o.fin_at < o.una:
            if self.state is State.FIN_WAIT_1:
                self.state = State.FIN_WAIT_2
            elif self.state is State.CLOSING:
                self._time_wait()
            elif self.state is State.LAST_ACK:
                self.state = State.CLOSED
        return True

    def _their_fin(self) -> None:
        if self.state is State.ESTABLISHED:
            self.state = State.CLOSE_WAIT
        elif self.state is State.FIN_WAIT_1:
            self.state = State.CLOSING
        elif self.state is State.FIN_WAIT_2:
            self._time_wait()

    def _time_wait(self) -> None:
        self.state = State.TIME_WAIT
        self._leaves_ns = self._now_ns + int(self.settings.time_wait_s * _NS)

    def _refuse(self, s: Segment) -> None:
        """A reset for a segment that belongs to nothing."""
        self.stray += 1
        if s.flags & RST:
            return
        self._segments.append(s.refusal())
