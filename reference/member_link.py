"""The line between a standby and its primary before records flow: the standby says where it is, the primary whether it may follow.

Both messages are one JSON object behind its length (u32, little-endian). Then the primary sends frames (replica.h) on the same line.
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

from matchmark.native.pipeline import EngineConfig, Pipeline
from matchmark.native.replication import hash_at

VERSION = 1
_LENGTH = struct.Struct("<I")
_MESSAGE_MAX = 1 << 16
PATIENCE_S = 2.0


class Refused(RuntimeError):
    """The primary does not let this standby follow: why, in its words. `for_good`: until an operator did something."""

    def __init__(self, text: str, for_good: bool) -> None:
        super().__init__(text)
        self.for_good = for_good


def send(line: socket.socket, row: dict[str, Any]) -> None:
    text = json.dumps(row).encode()
    line.sendall(_LENGTH.pack(len(text)) + text)


def receive(line: socket.socket) -> dict[str, Any]:
    """OSError when the line ends or nothing comes in time; ValueError: that is no message."""
    (length,) = _LENGTH.unpack(_exactly(line, _LENGTH.size))
    if length > _MESSAGE_MAX:
        raise ValueError(f"a message of {length} bytes")
    row = json.loads(_exactly(line, length))
    if not isinstance(row, dict):
        raise ValueError("not an object")
    return row


def _exactly(line: socket.socket, n: int) -> bytes:
    data = b""
    while len(data) < n:
        part = line.recv(n - len(data))
        if not part:
            raise ConnectionError("the line has ended")
        data += part
    return data


def hello(
    member: str, cluster: str, engine: EngineConfig, instruments: int, following: int, running_hash: int
) -> dict[str, Any]:
    """What a standby says first. `following`: the next record that it wants, `running_hash` that of the one before."""
    return {
        "version": VERSION,
        "cluster": cluster,
        "member": member,
        "engine": _settings(engine),
        "instruments": instruments,
        "next": following,
        "running_hash": running_hash,
    }


def answer(
    row: dict[str, Any], cluster: str, engine: EngineConfig, instruments: int, pipeline: Pipeline, log: Any
) -> dict[str, Any]:
    """The primary's answer: {"go": epoch}, or {"refused": why, "for_good": bool}."""
    now = pipeline.status()
    try:
        following, theirs = int(row["next"]), int(row["running_hash"])
        if row.get("version") != VERSION:
            return _no(f"the standby speaks version {row.get('version')} of replication, the primary {VERSION}")
        if row["cluster"] != cluster:
            return _no("the standby is of another cluster")
        if row["engine"] != _settings(engine) or int(row["instruments"]) != instruments:
            return _no("the standby has another engine configuration or instrument list: give it the primary's")
    except (KeyError, TypeError, ValueError):
        return _no("the standby's first message cannot be read")
    last = following - 1
    if last > now.sequence:
        return _no(
            f"the standby has diverged at record {now.sequence + 1}: it has records up to {last}, the primary up to {now.sequence}"
        )
    if last and hash_at(pipeline, log, last) != theirs:
        return _no(
            f"the standby has diverged at record {first_difference(row, last)}: the primary has another record {last}"
        )
    return {"go": now.epoch, "tail": now.sequence}


def _settings(engine: EngineConfig) -> dict[str, Any]:
    """With all defaults filled in, as a log's header has them."""
    return vars(EngineConfig.of(engine.native()[0]))


def first_difference(row: dict[str, Any], last: int) -> int:
    """Which record is the first that differs is not known from one hash: it is this one or one before."""
    return last


def _no(text: str, for_good: bool = True) -> dict[str, Any]:
    return {"refused": text, "for_good": for_good}
