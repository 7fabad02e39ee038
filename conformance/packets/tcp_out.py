"""What leaves on a TCP connection: the stream, what of it was sent, what was acknowledged, and what is sent when.

Plans come first: their pieces go out as they say, as far as the other side's window allows. Then whatever of the stream was
never sent, then what the other side is slow to acknowledge. Offsets count our sequence numbers: SYN is 0, the first byte 1.
There is no congestion control: the other end of the cable is the target, and nobody else is on it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from matchmark.conformance.packets.headers import FIN, PSH
from matchmark.conformance.packets.plan import Action, DuplicateAcks, KeepAlive, Piece, Plan, Settle, Wait, Window

KEPT_BYTES = 1 << 20
"""Acknowledged bytes that can still be sent again on purpose."""
PATIENCE_NS = 1_000_000_000
"""How long a piece waits for room in the window before the plan goes on without it."""
RTO_MAX_NS = 2_000_000_000
_MS = 1_000_000


class Wire(Protocol):
    """What a plan asks of the connection."""

    def emit(self, offset: int, payload: bytes, flags: int, options: bytes) -> None: ...
    def advertise(self, size: int) -> None: ...
    def keep_alive(self) -> None: ...
    def duplicate_acks(self, count: int) -> None: ...


@dataclass(slots=True)
class _Write:
    base: int
    plan: Plan
    at: int = 0
    inside: int = 0
    """Bytes of the piece at `at` that were sent."""
    until_ns: int = 0
    """When the action at `at` is not waited for any longer; 0: it was not begun."""


class Outgoing:
    """`una`: the first offset that is not acknowledged; `end`: behind the last byte that was written."""

    def __init__(self, wire: Wire, rto_ns: int, tries: int) -> None:
        self.una = self.end = 1
        self.window, self.mss = 0, 536
        self.fin_at = -1
        self.sent_to = 1
        """Behind the last byte or FIN that was ever sent."""
        self.failed = False
        self.retransmitted = self.skipped = 0
        """Segments sent again by the clock or for duplicate ACKs; pieces that found no room."""
        self._wire, self._rto_ns, self._tries = wire, rto_ns, tries
        self._data, self._data_at = bytearray(), 1
        self._sent: list[tuple[int, int]] = []  # ranges from `una` on, apart and in order
        self._borders: list[int] = []
        self._writes: deque[_Write] = deque()
        self._timer_ns, self._tried, self._recover, self._same_acks, self._planned_to = 0, 0, 0, 0, 0

    # --- what is to be sent ---

    def write(self, data: bytes, plan: Plan | None, fin: bool) -> int:
        """Offset of the first byte. A FIN follows the last one, by the plan if that has it."""
        if self.fin_at >= 0:
            raise ValueError("the stream was ended")
        if plan is not None and plan.length != len(data):
            raise ValueError(f"a plan of {plan.length} bytes for {len(data)}")
        base = self.end
        self._data += data
        self.end += len(data)
        if plan is not None:
            self._queue(base, plan)
        if fin or (plan is not None and any(piece.fin for piece in plan.pieces)):
            self.fin_at = self.end
        return base

    def again(self, base: int, plan: Plan) -> None:
        """A plan for bytes that were written before. ValueError: they are not kept any more."""
        if base < self._data_at or base + plan.length > self.end:
            raise ValueError(f"bytes {base} to {base + plan.length}: kept are {self._data_at} to {self.end}")
        self._queue(base, plan)

    def _queue(self, base: int, plan: Plan) -> None:
        for piece in plan.pieces:
            for border in (base + piece.begin, base + piece.end):
                at = bisect_left(self._borders, border)
                if border > self.una and self._borders[at : at + 1] != [border]:
                    self._borders.insert(at, border)
        self._planned_to = max(self._planned_to, base + plan.length)
        self._writes.append(_Write(base, plan))

    @property
    def planned(self) -> bool:
        """Some plan has not run to its end."""
        return bool(self._writes)

    @property
    def last(self) -> int:
        """Behind everything that is to be acknowledged, the FIN included."""
        return max(self.end, self.fin_at + 1)

    @property
    def done(self) -> bool:
        return not self._writes and self.una == self.last

    @property
    def flies(self) -> bool:
        """The byte at `una` was sent, so an acknowledgement may come."""
        return bool(self._sent) and self._sent[0][0] <= self.una

    # --- what the other side says ---

    def acknowledged(self, offset: int, window: int, plain: bool, now_ns: int) -> None:
        """`plain`: the segment had nothing but the acknowledgement."""
        opened = window > 0 and self.window == 0
        same = plain and offset == self.una and window == self.window and bool(self._sent)
        self.window = window
        if not window:
            self._tried = 0  # it lives, and does not want to read
        if offset > self.una:
            self._advance(offset, now_ns)
            if self.una < self._recover and self._sent:
                self._send_again(now_ns)
        elif same:
            self._same_acks += 1
            if self._same_acks == 3 and self.una >= self._planned_to:  # a plan's own disorder is no loss
                self._recover = self.sent_to
                self._send_again(now_ns)
        if opened and self.flies:
            self._send_again(now_ns)

    def _advance(self, offset: int, now_ns: int) -> None:
        self.una = offset
        self._sent = [(max(begin, offset), end) for begin, end in self._sent if end > offset]
        del self._borders[: bisect_right(self._borders, offset)]
        if (old := offset - KEPT_BYTES - self._data_at) > KEPT_BYTES:
            del self._data[:old]
            self._data_at += old
        self._tried = self._same_acks = 0
        self._timer_ns = now_ns + self._rto_ns if self._sent else 0

    # --- the clock ---

    @property
    def next_ns(self) -> int:
        """When `poll` has something to do; 0: not before something arrives."""
        until = self._writes[0].until_ns if self._writes else 0
        return min((at for at in (self._timer_ns, until) if at), default=0)

    def poll(self, now_ns: int) -> None:
        while self._writes and not self.failed:
            if not self._run(self._writes[0], now_ns):
                break
            self._writes.popleft()
        if not self._writes:
            self._send_rest(now_ns)
        waits_for_room = self.una < self.last and (not self._writes or self.window == 0)
        if not self._timer_ns and (self._sent or waits_for_room):
            self._timer_ns = now_ns + self._rto_ns
        if self._timer_ns and now_ns >= self._timer_ns:
            self._expire(now_ns)

    def _expire(self, now_ns: int) -> None:
        if self.una == self.last:
            self._timer_ns = 0
            return
        self._tried += 1
        if self._tried > self._tries:
            self.failed = True
            return
        self._recover = self.sent_to
        self._send_again(now_ns)

    def _send_again(self, now_ns: int) -> None:
        """What stands at `una`; a byte of it where the window is closed."""
        limit = self._sent[0][1] if self.flies else self.last
        if self._sent and not self.flies:
            limit = self._sent[0][0]
        self.retransmitted += self.flies
        self._send(self.una, min(self._cut(self.una), limit, self.una + max(1, self.window)))
        self._timer_ns = now_ns + min(self._rto_ns << self._tried, max(RTO_MAX_NS, self._rto_ns))

    # --- a plan ---

    def _run(self, write: _Write, now_ns: int) -> bool:
        """False: it waits."""
        while write.at < len(write.plan.actions):
            if not self._act(write, write.plan.actions[write.at], now_ns):
                return False
            write.at += 1
            write.inside = write.until_ns = 0
        return True

    def _act(self, write: _Write, action: Action, now_ns: int) -> bool:
        if isinstance(action, Piece):
            return self._piece(write, action, now_ns)
        if isinstance(action, Wait):
            return self._waited(write, action.ms * _MS, now_ns)
        if isinstance(action, Settle):
            return not self.flies or self._waited(write, action.ms * _MS, now_ns)
        if isinstance(action, Window):
            self._wire.advertise(action.size)
        elif isinstance(action, KeepAlive):
            self._wire.keep_alive()
        elif isinstance(action, DuplicateAcks):
            self._wire.duplicate_acks(action.count)
        return True

    @staticmethod
    def _waited(write: _Write, for_ns: int, now_ns: int) -> bool:
        write.until_ns = write.until_ns or now_ns + for_ns
        return now_ns >= write.until_ns

    def _piece(self, write: _Write, piece: Piece, now_ns: int) -> bool:
        """In segments of full size where it is longer. Without room it waits if some may come; else `_send_rest` has it."""
        begin, end = write.base + piece.begin + write.inside, write.base + piece.end + piece.fin
        room = max(1, self.mss - (len(piece.options) + 3 & ~3))
        while True:
            stop = min(end, begin + room)
            if begin < self._data_at:
                self.skipped += 1
                return True
            if stop > max(self.una, self.una + self.window):
                if self.window == 0:
                    return False
                if self.flies and not self._waited(write, PATIENCE_NS, now_ns):
                    return False
                self.skipped += 1
                return True
            self._send(begin, stop, piece, write.base + piece.begin)
            write.until_ns = 0
            write.inside += stop - begin
            begin = stop
            if stop == end:
                return True

    # --- segments ---

    def _cut(self, begin: int) -> int:
        """Where a segment that begins there ends: at the plans' borders, and a FIN goes with the last byte."""
        at = bisect_right(self._borders, begin)
        border = self._borders[at] if at < len(self._borders) else self.end
        return min(border if border < self.end else self.last, begin + self.mss)

    def _send_rest(self, now_ns: int) -> None:
        """What was never sent and has room."""
        at, limit = self.una, min(self.last, self.una + self.window)
        while at < limit:
            known = next(((b, e) for b, e in self._sent if e > at), None)
            if known is not None and known[0] <= at:
                at = known[1]
                continue
            end = min(self._cut(at), limit, known[0] if known else limit)
            self._send(at, end)
            at = end
            self._timer_ns = self._timer_ns or now_ns + self._rto_ns

    def _send(self, begin: int, end: int, piece: Piece | None = None, base: int = 0) -> None:
        """Offsets; `base`: the piece's. Nothing between them is a segment without data."""
        data_end = min(end, self.end)
        payload = bytes(self._data[begin - self._data_at : data_end - self._data_at])
        flags = FIN if end > data_end else 0
        if payload and (piece is None or piece.push):
            flags |= PSH
        if piece is not None and piece.data is not None:
            payload = piece.data[begin - base : data_end - base]
        self._wire.emit(begin, payload, flags, piece.options if piece else b"")
        if piece is None or piece.data is None:
            self._note(begin, end)

    def _note(self, begin: int, end: int) -> None:
        self.sent_to = max(self.sent_to, end)
        begin = max(begin, self.una)
        if end <= begin:
            return
        apart = [(b, e) for b, e in self._sent if e < begin or b > end]
        touched = [(b, e) for b, e in self._sent if not (e < begin or b > end)]
        apart.append((min([begin, *(b for b, _ in touched)]), max([end, *(e for _, e in touched)])))
        self._sent = sorted(apart)
