"""Small records of fixed size with a checksum: whole, or nothing."""

from __future__ import annotations

import struct
import zlib

NAME_BYTES = 32
"""Of a member's name on storage, UTF-8, padded with zeros."""


def seal(body: bytes, size: int) -> bytes:
    """`body` padded with zeros to `size` bytes, the last four of them the CRC32 of those before."""
    padded = body.ljust(size - 4, b"\0")
    if len(padded) != size - 4:
        raise ValueError(f"{len(body)} bytes do not fit into a record of {size}")
    return padded + struct.pack("<I", zlib.crc32(padded))


def unseal(block: bytes, size: int) -> bytes | None:
    """The body with its padding; None when the block is short, torn or altered."""
    if len(block) != size or struct.unpack("<I", block[-4:])[0] != zlib.crc32(block[:-4]):
        return None
    return block[:-4]


def pack_name(name: str) -> bytes:
    """ValueError when it is empty, too long, or would not come back the same."""
    raw = name.encode()
    if not raw or len(raw) > NAME_BYTES or b"\0" in raw:
        raise ValueError(f"a member's name is 1 to {NAME_BYTES} bytes of UTF-8, not {name!r}")
    return raw.ljust(NAME_BYTES, b"\0")


def unpack_name(raw: bytes) -> str | None:
    try:
        return raw.rstrip(b"\0").decode() or None
    except UnicodeDecodeError:
        return None
