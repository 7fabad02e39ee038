"""The kit's own reader of the events topic, by the tables of docs/kafka.md, and what it finds wrong with what it reads."""

from __future__ import annotations

import secrets
import struct
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from confluent_kafka import Consumer, KafkaException, TopicPartition

from matchmark.conformance.checks import audit_format as f
from matchmark.conformance.checks.audit_format import Bytes

_PREFIX = struct.Struct("<4sHHIIQQQQ")
AT_ONCE = 200
POLL_S = 0.1
QUIET_S = 1.0
"""At the end of the topic: nothing more came for so long."""


class Message(NamedTuple):
    """As it came: `value` is not looked at yet."""

    partition: int
    offset: int
    key: bytes
    value: bytes


class TopicReader:
    """All partitions from their beginning, in a thread of its own. `fresh`: messages that nobody has taken yet."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.fresh: deque[Message] = deque()
        self.error = ""
        self.heard_at = time.monotonic()
        self._bootstrap, self._topic = bootstrap, topic
        self._told = threading.Event()
        self._thread = threading.Thread(target=self._run, name="topic", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._told.set()
        self._thread.join()

    def _run(self) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": f"matchmark-chaos-{secrets.token_hex(4)}",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_uncommitted",
                "fetch.wait.max.ms": 20,
                "reconnect.backoff.max.ms": 1000,
                "topic.metadata.refresh.interval.ms": 5000,
                "log_level": 0,
            }
        )
        try:
            if places := self._places(consumer):
                consumer.assign(places)
            while not self._told.is_set():
                for message in consumer.consume(AT_ONCE, timeout=POLL_S):
                    if (error := message.error()) is None:
                        place = int(message.partition() or 0), int(message.offset() or 0)
                        self.fresh.append(Message(*place, bytes(message.key() or b""), bytes(message.value() or b"")))
                        self.heard_at = time.monotonic()
                    elif not error.retriable() and error.fatal():
                        self.error = str(error.str())
        finally:
            consumer.close()

    def _places(self, consumer: Consumer) -> list[TopicPartition]:
        """As soon as there is such a topic, all of it led."""
        while not self._told.wait(POLL_S):
            with suppress(KafkaException):
                said = consumer.list_topics(self._topic, timeout=2).topics[self._topic]
                if said.error is None and said.partitions and all(p.leader >= 0 for p in said.partitions.values()):
                    return [TopicPartition(self._topic, n, 0) for n in sorted(said.partitions)]
        return []


class TopicJudge:
    """Messages in the order of their partitions. `taken`: rows of events, each once; `duplicates` of what came again."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = [name.encode() for name in names]
        self._seen: dict[bytes, int] = {}
        self._next: dict[int, int] = {}
        self.taken: list[Bytes] = []
        self.again: list[Bytes] = []
        self.count = self.duplicates = 0

    def take(self, m: Message) -> Iterator[str]:
        """What is wrong with a message by itself, and with its place behind the ones before it."""
        where = f"topic, partition {m.partition}, offset {m.offset}"
        if m.offset < self._next.get(m.partition, 0):
            yield f"{where}: read twice"
        self._next[m.partition] = m.offset + 1
        rows = _rows(m.value)
        if rows is None:
            yield f"{where}: {len(m.value)} bytes that are no message of events"
            return
        _, _, _, count, _, first, last, previous, _ = _PREFIX.unpack_from(m.value)
        records = rows.view(f.EVENT).reshape(-1)
        sequences = records["sequence"]
        if (
            count != len(rows)
            or first != sequences[0]
            or last != sequences[-1]
            or (np.diff(sequences.astype("<i8")) <= 0).any()
        ):
            yield f"{where}: its prefix ({first} to {last}, {count}) is not that of its records"
        if {self._name(int(n)) for n in np.unique(records["symbol"])} != {m.key}:
            yield f"{where}: records of other symbols than {m.key.decode(errors='replace') or 'none'}"
        seen = self._seen.get(m.key, 0)
        if previous > seen:
            yield f"{where}: a gap, {m.key.decode(errors='replace')} was at record {seen} and goes on behind {previous}"
        new = sequences > seen
        if not new.all():
            self.again.append(rows[~new])
            self.duplicates += int((~new).sum())
        if new.any():
            self.taken.append(rows[new])
            self.count += int(new.sum())
            self._seen[m.key] = int(last)

    def _name(self, number: int) -> bytes:
        return self._names[number] if number < len(self._names) else b""


def _rows(value: bytes) -> Bytes | None:
    """(n, 272); None: no message of this form."""
    left = len(value) - _PREFIX.size
    if left <= 0 or left % f.RECORD_BYTES or _PREFIX.unpack_from(value)[:3] != (b"MMEV", 1, f.RECORD_BYTES):
        return None
    return np.frombuffer(value, dtype=np.uint8, offset=_PREFIX.size).reshape(-1, f.RECORD_BYTES)


def sequences_of(rows: Bytes) -> npt.NDArray[np.uint64]:
    numbers: npt.NDArray[np.uint64] = np.ascontiguousarray(rows[:, :8]).view("<u8").reshape(-1)
    return numbers


def together(parts: Iterable[Bytes]) -> Bytes:
    """In order of their sequences."""
    parts = list(parts)
    if not parts:
        return np.zeros((0, f.RECORD_BYTES), dtype=np.uint8)
    rows = np.concatenate(parts)
    return rows[np.argsort(sequences_of(rows), kind="stable")]


def differ(logged: Bytes, published: Bytes, again: Bytes) -> Iterator[str]:
    """`logged` events and those of the topic, each in order of sequence; `again` came more than once."""
    ours, theirs = sequences_of(logged), sequences_of(published)
    if len(missing := np.setdiff1d(ours, theirs)):
        yield f"topic: {len(missing)} events of the log are missing, the first one record {missing[0]}"
    if len(more := np.setdiff1d(theirs, ours)):
        yield f"topic: {len(more)} events that the log has not, the first one record {more[0]}"
    if len(np.unique(theirs)) < len(theirs):
        yield f"topic: {len(theirs) - len(np.unique(theirs))} events are there twice, and their messages do not say so"
    for rows, what in ((published, "otherwise than the log has it"), (again, "again, otherwise than the log has it")):
        known = np.isin(sequences_of(rows), ours)
        place = np.searchsorted(ours, sequences_of(rows)[known])
        other = (rows[known] != logged[place]).any(axis=1)
        if other.any():
            yield f"topic: record {sequences_of(rows)[known][other][0]} is published {what}"
