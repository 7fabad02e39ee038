"""Bytes of one file, sparse: what was never written reads as zeros and costs nothing."""

from __future__ import annotations

CHUNK_BYTES = 1 << 16
"""A batch of the audit log is a few of these, so a write touches few dictionary entries."""


class Image:
    """A file's content. Offsets and sizes in bytes; nothing is checked, the caller is the file system."""

    __slots__ = ("_chunks", "size")

    def __init__(self) -> None:
        self.size = 0
        self._chunks: dict[int, bytearray] = {}

    def copy(self) -> Image:
        other = Image()
        other.size = self.size
        other._chunks = {number: bytearray(chunk) for number, chunk in self._chunks.items()}
        return other

    def read(self, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset`, fewer at the end of the file."""
        end = min(offset + length, self.size)
        parts: list[bytes] = []
        while offset < end:
            number, at = divmod(offset, CHUNK_BYTES)
            n = min(CHUNK_BYTES - at, end - offset)
            chunk = self._chunks.get(number)
            parts.append(bytes(n) if chunk is None else bytes(memoryview(chunk)[at : at + n]))
            offset += n
        return b"".join(parts)

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Puts `data` at `offset`; the file grows to hold it."""
        view = memoryview(data)
        self.size = max(self.size, offset + len(view))
        while view:
            number, at = divmod(offset, CHUNK_BYTES)
            n = min(CHUNK_BYTES - at, len(view))
            chunk = self._chunks.get(number)
            if chunk is None:
                chunk = self._chunks[number] = bytearray(CHUNK_BYTES)
            chunk[at : at + n] = view[:n]
            offset += n
            view = view[n:]

    def resize(self, size: int) -> None:
        """Cuts the file, or makes it longer with zeros."""
        if size < self.size:
            last, at = divmod(size, CHUNK_BYTES)
            for number in [n for n in self._chunks if n > last]:
                del self._chunks[number]
            chunk = self._chunks.get(last)
            if chunk is not None:
                chunk[at:] = bytes(CHUNK_BYTES - at)
        self.size = size
