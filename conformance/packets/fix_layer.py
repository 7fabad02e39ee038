"""FIX over TCP as a layer of scapy's: messages read, shown and forged like any other protocol's, and streams cut into them.

    FIX(pairs=[(35, "0"), (34, "7")]).show2()
    bytes(FIX(pairs=[(35, "0")], body_length="5000", check_sum="abc"))
    messages(frames)        of both directions, whatever the segments were

BodyLength and CheckSum are computed unless they are given; those of a message that was read are as they were read, right or
wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, NamedTuple

from scapy.fields import Field as ScapyField
from scapy.layers.inet import TCP
from scapy.packet import Packet, Raw, bind_bottom_up, bind_layers, split_bottom_up, split_layers

from matchmark.conformance.fix.wire import SOH, split
from matchmark.conformance.packets.headers import SYN, Segment, ip_text, parse_ethernet, parse_segment
from matchmark.conformance.packets.tcp_in import Incoming

Pair = tuple[int | str, str]
"""Tag and value. A tag that is none stays text; a field without `=` has an empty tag."""
_TRAILER = re.compile(rb"\x0110=[^\x01]*\x01")
_HEAD = re.compile(rb"8=([^\x01]*)\x019=([^\x01]*)\x01")
_START = re.compile(rb"(?<!\d)8=FIX")
_CANONICAL = re.compile(r"[1-9]\d{0,9}", re.ASCII)


def message_end(stream: bytes, at: int = 0) -> int:
    """Where the message that begins at `at` ends; 0: it is not complete, or none begins there.

    At its BodyLength, where a trailer follows; else at the first trailer.
    """
    head = _HEAD.match(stream, at)
    if head is None:
        return 0
    if head[2].isdigit() and len(head[2]) < 10:
        trailer = _TRAILER.match(stream, head.end() + int(head[2]) - 1)
        if trailer is not None:
            return trailer.end()
    trailer = _TRAILER.search(stream, head.end() - 1)
    return 0 if trailer is None else trailer.end()


def _complete(stream: bytes) -> int:
    """How much of it is whole messages, from the start."""
    at = 0
    while end := message_end(stream, at):
        at = end
    return at


class _Pairs(ScapyField[Sequence[Pair], bytes]):
    """Tag and value of every field between BodyLength and CheckSum."""

    islist = 1

    def i2repr(self, pkt: Packet | None, x: Sequence[Pair]) -> str:
        return "|".join(f"{tag}={value}" if tag != "" else value for tag, value in x)


class _Text(ScapyField[str | None, bytes]):
    """Text as it stands in the message; None: computed."""

    def i2repr(self, pkt: Packet | None, x: str | None) -> str:
        return "computed" if x is None else str(x)


class FIX(Packet):
    """One message; others that follow it in the same bytes are its payload.

    `begin_string` is field 8, `body_length` 9, `pairs` what stands between, `check_sum` 10: texts, as latin-1.
    """

    name = "FIX"
    fields_desc: ClassVar[list[Any]] = [
        _Text("begin_string", "FIX.4.4"),
        _Text("body_length", None),
        _Pairs("pairs", []),
        _Text("check_sum", None),
    ]

    @classmethod
    def dispatch_hook(cls, _pkt: bytes | None = None, *args: Any, **kargs: Any) -> type[Packet]:
        """Bytes that hold no whole message are Raw."""
        return cls if _pkt is None or message_end(_pkt) else Raw

    @classmethod
    def tcp_reassemble(cls, data: bytes, metadata: dict[str, Any], session: dict[str, Any]) -> Packet | None:
        """For scapy's TCPSession: the whole messages in the stream so far, as one chain of layers."""
        return cls(data) if message_end(data) else None

    @property
    def msg_type(self) -> str:
        return self.value(35) or ""

    def value(self, tag: int) -> str | None:
        """Of the first such field."""
        return next((value for t, value in self.pairs if t == tag), None)

    def values(self, tag: int) -> list[str]:
        return [value for t, value in self.pairs if t == tag]

    @property
    def length_is_right(self) -> bool:
        return self.body_length is None or self.body_length == str(len(self._body()))

    @property
    def sum_is_right(self) -> bool:
        return self.check_sum is None or self.check_sum == f"{sum(self._front()) & 255:03d}"

    # --- for scapy ---

    def _body(self) -> bytes:
        return b"".join((f"{tag}={value}" if tag != "" else value).encode("latin-1") + SOH for tag, value in self.pairs)

    def _front(self) -> bytes:
        body = self._body()
        length = str(len(body)) if self.body_length is None else self.body_length
        return f"8={self.begin_string}\x019={length}\x01".encode("latin-1") + body

    def self_build(self) -> bytes:
        front = self._front()
        total = f"{sum(front) & 255:03d}" if self.check_sum is None else self.check_sum
        return front + f"10={total}\x01".encode("latin-1")

    def do_dissect(self, s: bytes) -> bytes:
        end = message_end(s)
        head = _HEAD.match(s)
        if not end or head is None:
            raise ValueError("no whole FIX message begins there")
        pairs: list[Pair] = []
        for tag, value in split(s[head.end() : end]):
            pairs.append((int(tag) if _CANONICAL.fullmatch(tag) else tag, value))
        self.fields["begin_string"] = head[1].decode("latin-1")
        self.fields["body_length"] = head[2].decode("latin-1")
        self.fields["check_sum"] = pairs.pop()[1]
        self.fields["pairs"] = pairs
        return s[end:]

    def extract_padding(self, s: bytes) -> tuple[bytes, bytes]:
        """What is no whole message yet stays for more of the stream."""
        whole = _complete(s)
        return s[:whole], s[whole:]

    def default_payload_class(self, payload: bytes) -> type[Packet]:
        return FIX

    def mysummary(self) -> str:
        return f"FIX 35={self.msg_type} 34={self.value(34)}"


# --- streams ---


class Direction(NamedTuple):
    """One way of one connection; `number` tells apart those that had the same ends one after the other."""

    src_ip: str
    src_port: int
    dst_ip: str
    dst_port: int
    number: int


def dissect(stream: bytes) -> list[Packet]:
    """The messages, and as Raw what stands between them or is not complete."""
    found: list[Packet] = []
    at = 0
    while at < len(stream):
        end = message_end(stream, at)
        if end:
            found.append(FIX(stream[at:end]))
        else:
            following = _START.search(stream, at + 1)
            end = following.start() if following else len(stream)
            found.append(Raw(stream[at:end]))
        at = end
    return found


def streams(frames: Iterable[bytes]) -> dict[Direction, bytes]:
    """What each side of each connection sent, put together from frames in the order in which they passed.

    Frames that no sound receiver would take are passed over. Of bytes that come twice the first ones count. Where the
    handshake is not among the frames, a stream begins with the lowest number that is seen.
    """
    segments: dict[Direction, list[Segment]] = {}
    numbers: dict[tuple[str, int, str, int], int] = {}
    for frame in frames:
        try:
            s = parse_segment(parse_ethernet(frame)[3])
        except ValueError:
            continue
        ends = ip_text(s.src_ip), s.src_port, ip_text(s.dst_ip), s.dst_port
        at = Direction(*ends, numbers.get(ends, 0))
        if s.flags & SYN and at in segments and segments[at][0].seq != s.seq:
            numbers[ends] = at.number + 1
            at = at._replace(number=at.number + 1)
        segments.setdefault(at, []).append(s)
    return {direction: _join(of) for direction, of in segments.items()}


def _join(segments: list[Segment]) -> bytes:
    first = next((s.seq for s in segments if s.flags & SYN), None)
    if first is None:
        about = segments[0].seq
        first = about + min((s.seq - about + 2**31) % 2**32 - 2**31 for s in segments) - 1
    incoming = Incoming(1 << 30)
    for s in segments:
        at = s.seq + bool(s.flags & SYN)
        offset = incoming.next + (at - first - incoming.next + 2**31) % 2**32 - 2**31
        incoming.take(offset, s.payload, bool(s.flags & 1))
    return bytes(incoming.received)


def messages(frames: Iterable[bytes]) -> dict[Direction, list[Packet]]:
    """Of each direction that said something."""
    return {direction: dissect(stream) for direction, stream in streams(frames).items() if stream}


def bind(port: int) -> None:
    """scapy shows what this TCP port says and hears as FIX."""
    bind_bottom_up(TCP, FIX, dport=port)
    bind_bottom_up(TCP, FIX, sport=port)
    bind_layers(TCP, FIX, dport=port)


def unbind(port: int) -> None:
    split_bottom_up(TCP, FIX, dport=port)
    split_bottom_up(TCP, FIX, sport=port)
    split_layers(TCP, FIX, dport=port)
