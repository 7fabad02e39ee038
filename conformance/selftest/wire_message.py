"""FIX messages as the wire mutants handle them: cut out of a TCP stream, altered, framed again, numbered.

Small on purpose and of its own: neither the gateway's codec nor the kit's client is used, so that neither hides what a
mutant does. A message that nobody touched is passed on with the very bytes that came.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

SOH = b"\x01"
ADMINISTRATIVE = frozenset("0A12345")
HEADER = frozenset((8, 9, 35, 34, 49, 50, 52, 56, 57, 43, 97, 122))
WAITING_MAX = 1 << 16
"""Bytes without a message in them that are kept for more to come; a reader that is given more passes them on."""

_START = re.compile(rb"8=[^\x01]{1,16}\x019=(\d{1,7})\x01")
_TRAILER = re.compile(rb"\x0110=\d{3}\x01")
_TRAILER_BYTES = 7


class Message:
    """One FIX message. `tamper` makes its bytes in place of `encode`, when all else about it is settled; one that is `lost`
    has its number and is not sent."""

    __slots__ = ("_pairs", "_raw", "lost", "tamper")

    def __init__(self, pairs: list[tuple[int, str]], raw: bytes | None = None) -> None:
        self._pairs, self._raw = pairs, raw
        self.tamper: Callable[[Message], bytes] | None = None
        self.lost = False

    @classmethod
    def parse(cls, raw: bytes) -> Message:
        """Of a frame that is sound. Fields that are not `number=value`, as inside of data, are left out."""
        pairs = []
        for part in raw.split(SOH):
            tag, found, value = part.partition(b"=")
            if found and tag.isdigit():
                pairs.append((int(tag), value.decode("latin-1")))
        return cls(pairs, raw)

    @classmethod
    def make(cls, kind: str, like: Message, *fields: tuple[int, str]) -> Message:
        """A new message between the same parties as `like`, numbered when it is sent."""
        header = [(tag, like.need(tag)) for tag in (49, 56)]
        return cls(
            [(8, like.need(8)), (9, "0"), (35, kind), (34, "0"), *header, (52, utc()), *fields, (10, "000")], None
        )

    def copy(self) -> Message:
        return Message(list(self._pairs), self._raw)

    def get(self, tag: int, default: str = "") -> str:
        return next((value for t, value in self._pairs if t == tag), default)

    def need(self, tag: int) -> str:
        if value := self.get(tag):
            return value
        raise KeyError(f"tag {tag} is not in {self}")

    @property
    def kind(self) -> str:
        return self.get(35)

    @property
    def seq(self) -> int:
        return int(self.get(34) or 0)

    @property
    def again(self) -> bool:
        """Sent before: a resent message or a gap fill."""
        return self.get(43) == "Y" or (self.kind == "4" and self.get(123) == "Y")

    @property
    def business(self) -> bool:
        return self.kind not in ADMINISTRATIVE

    @property
    def changed(self) -> bool:
        """Whether it is any other than it came."""
        return self._raw is None or self.tamper is not None

    def set(self, tag: int, value: object) -> Message:
        """The field at its place, or behind the header's last (a header field) or the body's last."""
        text = str(value)
        places = [n for n, (t, _) in enumerate(self._pairs) if t == tag]
        if places:
            self._pairs[places[0]] = (tag, text)
        else:
            header = [n for n, (t, _) in enumerate(self._pairs) if t in HEADER]
            at = header[-1] + 1 if tag in HEADER else len(self._pairs) - 1
            self._pairs.insert(at, (tag, text))
        self._raw = None
        return self

    def remove(self, *tags: int) -> Message:
        kept = [(t, value) for t, value in self._pairs if t not in tags]
        if len(kept) < len(self._pairs):
            self._pairs, self._raw = kept, None
        return self

    def numbered(self, seq: int) -> Message:
        return self if self.seq == seq else self.set(34, seq)

    def encode(self) -> bytes:
        """The bytes that came when nothing was changed, else framed anew with the right length and checksum."""
        if self._raw is not None:
            return self._raw
        body = b"".join(b"%d=%s\x01" % (t, v.encode("latin-1")) for t, v in self._pairs if t not in (8, 9, 10))
        head = b"8=%s\x019=%d\x01" % (self.need(8).encode("latin-1"), len(body))
        return head + body + b"10=%03d\x01" % (sum(head + body) % 256)

    def wire_bytes(self) -> bytes:
        return self.tamper(self) if self.tamper else self.encode()

    def __repr__(self) -> str:
        return " ".join(f"{tag}={value}" for tag, value in self._pairs)


def utc() -> str:
    now_ms = time.time_ns() // 1_000_000
    return time.strftime("%Y%m%d-%H:%M:%S", time.gmtime(now_ms // 1000)) + f".{now_ms % 1000:03d}"


class Splitter:
    """Takes a stream apart: sound frames become messages, all else is handed on as the bytes that it is."""

    def __init__(self) -> None:
        self._buffer = b""

    @property
    def waiting(self) -> bool:
        return bool(self._buffer)

    def rest(self) -> bytes:
        """What has been waiting for more: to be passed on when more does not come."""
        rest, self._buffer = self._buffer, b""
        return rest

    def feed(self, data: bytes) -> list[Message | bytes]:
        self._buffer += data
        parts: list[Message | bytes] = []
        while self._buffer:
            length, sound = self._frame()
            if not length:
                break
            part, self._buffer = self._buffer[:length], self._buffer[length:]
            parts.append(Message.parse(part) if sound else part)
        return parts

    def _frame(self) -> tuple[int, bool]:
        """How many bytes at the front belong together, and whether they are a sound frame; 0 bytes: wait for more."""
        start = _START.match(self._buffer)
        if start is None:
            early = len(self._buffer) < 32 and self._buffer.startswith(b"8="[: len(self._buffer)])
            return (0, False) if early else (self._next_start(), False)
        end = start.end() + int(start[1]) + _TRAILER_BYTES
        if len(self._buffer) < end:
            return (self._next_start(), False) if len(self._buffer) > WAITING_MAX else (0, False)
        if not _TRAILER.fullmatch(self._buffer, end - _TRAILER_BYTES - 1, end):
            return self._next_start(), False
        checksum = sum(self._buffer[: end - _TRAILER_BYTES]) % 256
        return end, checksum == int(self._buffer[end - 4 : end - 1])

    def _next_start(self) -> int:
        at = self._buffer.find(b"8=FIX", 1)
        return at if at > 0 else len(self._buffer)


class Numbering:
    """Sequence numbers of a sender and those under which a session passes them on, when messages were left out or added."""

    def __init__(self) -> None:
        self._steps: list[tuple[int, int]] = []

    @property
    def changed(self) -> bool:
        return bool(self._steps)

    def shift(self, after: int, by: int) -> None:
        """Numbers of the sender above `after` are passed on `by` higher than so far."""
        if by:
            self._steps.append((after, self._offset(after + 1) + by))

    def passed(self, number: int) -> int:
        return number + self._offset(number)

    def source(self, passed: int) -> int:
        """The highest number of the sender that is passed on as `passed` or below."""
        for after, offset in reversed(self._steps):
            if passed - offset > after:
                return passed - offset
        return min([passed, *(after for after, _ in self._steps[:1])])

    def reset(self) -> None:
        self._steps.clear()

    def _offset(self, number: int) -> int:
        return next((offset for after, offset in reversed(self._steps) if number > after), 0)
