"""What a publisher notes of its progress, in the compacted topic beside the events', and reads back when it starts.

Partition 0 has the watermark: all of the log up to its record is published, and acknowledged. Partition 1 has, for each
partition of the events, the last sequence of each symbol in front of an offset: from there on a new publisher reads the
messages themselves.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from matchmark.reference.config_kafka import KafkaSettings
from matchmark.reference.events import topics
from matchmark.reference.events.message import MessageError, unpack

WATERMARK_KEY = b"all"
_NEWEST = 100
"""So many of the last watermarks are read to find the last: not every offset is a message's."""
_WATERMARK = struct.Struct("<QQQI4x")
_PARTITION = struct.Struct("<QI")


@dataclass
class Progress:
    """`complete`: all events up to that record are published. `newest`, `newest_hash`: sequence and running hash of the last
    event that is known to be. `last`: by key, sequence of the symbol's last event. `offsets`: by partition, where it ends.
    """

    complete: int = 0
    newest: int = 0
    newest_hash: int = 0
    last: dict[bytes, int] = field(default_factory=dict)
    offsets: dict[int, int] = field(default_factory=dict)


class Watermark(NamedTuple):
    """All events up to record `complete` are in front of `offsets`, one a partition."""

    complete: int
    newest: int
    newest_hash: int
    offsets: npt.NDArray[np.int64]


def watermark(progress: Progress, partitions: int) -> bytes:
    """complete, newest, newest_hash, number of partitions (u32), zero (u32), and where each partition ends (i64)."""
    offsets = np.array([progress.offsets.get(n, 0) for n in range(partitions)], dtype="<i8")
    return _WATERMARK.pack(progress.complete, progress.newest, progress.newest_hash, partitions) + offsets.tobytes()


def read_watermark(value: bytes) -> Watermark | None:
    """None: it is not one."""
    if len(value) < _WATERMARK.size:
        return None
    complete, newest, newest_hash, partitions = _WATERMARK.unpack_from(value)
    if len(value) != _WATERMARK.size + 8 * partitions:
        return None
    return Watermark(complete, newest, newest_hash, np.frombuffer(value, dtype="<i8", offset=_WATERMARK.size))


def partition_note(offset: int, last: Mapping[bytes, int]) -> bytes:
    """Offset behind the last message, number of keys, then sequence (u64), key length (u8) and key of each."""
    each = b"".join(struct.pack("<QB", sequence, len(key)) + key for key, sequence in last.items())
    return _PARTITION.pack(offset, len(last)) + each


def noted(value: bytes) -> tuple[int, dict[bytes, int]]:
    offset, count = _PARTITION.unpack_from(value)
    at, last = _PARTITION.size, {}
    for _ in range(count):
        sequence, length = struct.unpack_from("<QB", value, at)
        at += 9
        last[value[at : at + length]] = sequence
        at += length
    return offset, last


def read(settings: KafkaSettings, partitions: int) -> Progress:
    """What is published, from the notes and from the messages behind them. KafkaFault."""
    consumer = topics.reader(settings)
    try:
        progress = Progress()
        for message in topics.read_back(consumer, settings.progress_topic, {topics.PARTITIONS: 0}):
            partition = int(message.key())
            progress.offsets[partition], last = noted(message.value())
            progress.last.update(last)
        newest = topics.ends_of(consumer, settings.progress_topic, topics.WATERMARK)[1] - _NEWEST
        for message in topics.read_back(consumer, settings.progress_topic, {topics.WATERMARK: newest}):
            if said := read_watermark(message.value()):
                progress.complete, progress.newest, progress.newest_hash, _ = said
        begin = {partition: progress.offsets.get(partition, 0) for partition in range(partitions)}
        for message in topics.read_back(consumer, settings.topic, begin):
            _add(progress, message)
        return progress
    finally:
        topics.close(consumer)


def _add(progress: Progress, message: object) -> None:
    key, value = bytes(message.key() or b""), bytes(message.value() or b"")  # type: ignore[attr-defined]
    try:
        said = unpack(value)
    except MessageError as error:
        topics.log.warning("a message of the events topic is passed over: %s", error)
        return
    progress.offsets[message.partition()] = message.offset() + 1  # type: ignore[attr-defined]
    progress.last[key] = max(progress.last.get(key, 0), said.last)
    if said.last > progress.newest:
        progress.newest, progress.newest_hash = said.last, int(np.uint64(said.records[-1]["running_hash"]))
