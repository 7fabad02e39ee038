"""The topic of events as the kit reads it, from the documented message (docs/kafka.md) and not from the exchange's code."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from confluent_kafka import Consumer, KafkaException, TopicPartition

from matchmark.conformance.checks.audit_format import EVENT, RECORD_BYTES, Kind

_PREFIX = struct.Struct("<4sHHIIQQQQ")
ANSWER_S = 10.0


class Published(NamedTuple):
    """One message: where it is, its key, what it says was before it, and its events as (sequence, symbol number)."""

    partition: int
    offset: int
    key: bytes
    previous: int
    events: tuple[tuple[int, int], ...]


class TopicUnread(Exception):
    """The brokers do not give what they have; a sentence."""


def read_topic(bootstrap: str, topic: str, timeout_s: float = 30.0) -> list[Published]:
    """All of the topic by now, partition by partition in the order of their offsets. TopicUnread."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "matchmark-kit", "enable.auto.commit": False, "log_level": 0,
         "auto.offset.reset": "earliest"}
    )  # fmt: skip
    until = time.monotonic() + timeout_s
    try:
        ends = _ends(consumer, topic, until)
        consumer.assign([TopicPartition(topic, n, 0) for n, end in ends.items() if end])
        left = {n for n, end in ends.items() if end}
        out: list[Published] = []
        while left:
            if time.monotonic() > until:
                raise TopicUnread(f"partitions {sorted(left)} of {topic} do not give what they have")
            messages: Sequence[Any] = consumer.consume(500, timeout=0.2)
            for message in messages:
                if message.error() is None:
                    out.append(_message(message.partition(), message.offset(), message.key() or b"", message.value()))
                    if message.offset() + 1 >= ends[message.partition()]:
                        left.discard(message.partition())
        return sorted(out, key=lambda m: (m.partition, m.offset))
    finally:
        consumer.close()


def _ends(consumer: Consumer, topic: str, until: float) -> dict[int, int]:
    while True:  # a topic that was just made, or has lost a broker, has no leader for a moment
        try:
            there = consumer.list_topics(topic, timeout=ANSWER_S).topics[topic]
            if there.error is None:
                places = [TopicPartition(topic, n) for n in there.partitions]
                return {p.partition: consumer.get_watermark_offsets(p, timeout=ANSWER_S)[1] for p in places}
            why = there.error.str()
        except KafkaException as error:
            why = error.args[0].str()
        if time.monotonic() > until:
            raise TopicUnread(f"{topic}: {why}")
        time.sleep(0.2)


def _message(partition: int, offset: int, key: bytes, value: bytes) -> Published:
    magic, version, record_bytes, count, _, first, last, previous, _ = _PREFIX.unpack_from(value)
    if (magic, version, record_bytes) != (b"MMEV", 1, RECORD_BYTES) or len(
        value
    ) != _PREFIX.size + count * RECORD_BYTES:
        raise TopicUnread(f"offset {offset} of partition {partition} is no message of events")
    records = np.frombuffer(value, dtype=EVENT, offset=_PREFIX.size)
    sequences = records["sequence"].tolist()
    if not sequences or (sequences[0], sequences[-1]) != (first, last) or (records["kind"] != Kind.EVENT).any():
        raise TopicUnread(f"offset {offset} of partition {partition}: its prefix does not fit its records")
    return Published(partition, offset, key, previous, tuple(zip(sequences, records["symbol"].tolist(), strict=True)))
