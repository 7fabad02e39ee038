"""What passed at a port, kept in a bounded ring and saved as pcapng, with which way each frame went and what the kit remarked.

Written by the format's tables and read by scapy, which reads pcap, too. Times are UTC, in ns.
"""

from __future__ import annotations

import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from scapy.utils import RawPcapNgReader, RawPcapReader

RING_BYTES = 8 << 20
_SECTION, _INTERFACE, _FRAME = 0x0A0D0D0A, 1, 6
_ETHERNET = 1
_COMMENT, _NAME, _NANOSECONDS, _FLAGS = 1, 2, 9, 2
_IN, _OUT = 1, 2
_FRAME_COST = 100
"""Bytes that the ring's list takes for a frame besides its own."""


class Record(NamedTuple):
    """`at_ns`: since 1970. `sent`: by the kit; None where the file does not say."""

    frame: bytes
    at_ns: int
    sent: bool | None
    comment: str = ""


class Ring:
    """The last frames, of `limit_bytes` in all; older ones are let go, and `forgotten` counts them. Any thread may note."""

    def __init__(self, limit_bytes: int = RING_BYTES) -> None:
        self.limit_bytes, self.forgotten = limit_bytes, 0
        self._records: deque[Record] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self._since_1970_ns = time.time_ns() - time.monotonic_ns()
        self._remark = ""

    def note(self, frame: bytes, sent: bool, at_ns: int | None = None, comment: str = "") -> None:
        """`at_ns`: of the monotonic clock; None: now."""
        at_ns = time.monotonic_ns() if at_ns is None else at_ns
        with self._lock:
            if self._remark:
                comment, self._remark = f"{self._remark}\n{comment}".strip(), ""
            self._records.append(Record(frame, at_ns + self._since_1970_ns, sent, comment))
            self._bytes += len(frame) + _FRAME_COST
            while self._bytes > self.limit_bytes:
                self._bytes -= len(self._records.popleft().frame) + _FRAME_COST
                self.forgotten += 1

    def remark(self, text: str) -> None:
        """A comment on the next frame."""
        with self._lock:
            self._remark = f"{self._remark}\n{text}".strip()

    def records(self) -> list[Record]:
        with self._lock:
            return list(self._records)

    def clear(self) -> None:
        with self._lock:
            self._records.clear()
            self._bytes = self.forgotten = 0

    def save(self, path: Path | str, comment: str = "") -> Path:
        """As pcapng; folders are made. `comment`: of the whole file."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.forgotten:
            comment = f"{comment}\n{self.forgotten} older frames were not kept".strip()
        write(path, self.records(), comment)
        return path


def write(path: Path, records: list[Record], comment: str = "", name: str = "port") -> None:
    """One interface, Ethernet, times in ns."""
    with path.open("wb") as file:
        section = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
        file.write(_block(_SECTION, section + _options({_COMMENT: comment.encode()})))
        interface = struct.pack("<HHI", _ETHERNET, 0, 0)
        file.write(_block(_INTERFACE, interface + _options({_NAME: name.encode(), _NANOSECONDS: b"\x09"})))
        for frame, at_ns, sent, text in records:
            head = struct.pack("<IIIII", 0, at_ns >> 32, at_ns & 0xFFFFFFFF, len(frame), len(frame))
            way = b"" if sent is None else struct.pack("<I", _OUT if sent else _IN)
            file.write(_block(_FRAME, head + _padded(frame) + _options({_COMMENT: text.encode(), _FLAGS: way})))


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def _options(options: dict[int, bytes]) -> bytes:
    """Empty ones are left out."""
    given = {code: value[:65535] for code, value in options.items() if value}
    raw = b"".join(struct.pack("<HH", code, len(value)) + _padded(value) for code, value in given.items())
    return raw + bytes(4) if raw else b""


def read(path: Path | str) -> list[Record]:
    """Of a pcap or pcapng file. scapy's Scapy_Exception: it is none."""
    return list(_read(str(path)))


def _read(path: str) -> Iterator[Record]:
    with RawPcapReader(path) as reader:
        data: bytes
        about: Any  # its fields depend on the format
        for data, about in reader:
            if isinstance(reader, RawPcapNgReader):
                ticks = (about.tshigh << 32) | about.tslow
                way = (about.direction or 0) & 3
                comments = [c if isinstance(c, bytes) else str(c).encode() for c in about.comments or ()]
                at_ns = ticks * 1_000_000_000 // about.tsresol
                text = b"\n".join(comments).decode("utf-8", "replace")
                yield Record(data, at_ns, {_IN: False, _OUT: True}.get(way), text)
            else:
                part = about.usec if reader.nano else about.usec * 1000
                yield Record(data, about.sec * 1_000_000_000 + part, None)


@contextmanager
def kept_on_failure(ring: Ring, path: Path | str, comment: str = "") -> Iterator[None]:
    """When the block raises, the ring is saved there, and the exception's notes say so."""
    try:
        yield
    except Exception as error:
        saved = ring.save(path, f"{comment}\n{type(error).__name__}: {error}".strip())
        error.add_note(f"frames: {saved}")
        raise
