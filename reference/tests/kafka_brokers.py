"""Three real brokers for a session of tests, and what is on their topics."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from matchmark.reference.audit_log import Records, open_log
from matchmark.reference.config_kafka import KafkaSettings
from matchmark.reference.events.kafka import KafkaSource
from matchmark.reference.events.message import symbols_of
from matchmark.reference.events.source import EVENT

from .serving import SMALL

SYMBOLS = 16
"""Of the exchange that serving.Serve starts."""


def with_kafka(bootstrap: str, topic: str, partitions: int = 6, config: str = SMALL) -> str:
    """A configuration of serve that publishes there."""
    return f'{config}\n[kafka]\nbootstrap = "{bootstrap}"\ntopic = "{topic}"\npartitions = {partitions}\n'


def logged_events(data: Path) -> Records:
    """All events of the log of a data directory whose exchange has stopped, or of what is on the disk of one that runs."""
    parts = [file.slots[file.slots["kind"] == EVENT] for file in open_log(data / "log")]
    return np.concatenate(parts)


def by_symbol(records: Records) -> dict[int, list[int]]:
    """Sequences by symbol number, in the order in which they stand there."""
    numbers = symbols_of(records, SYMBOLS)
    return {int(n): records["sequence"][numbers == n].tolist() for n in np.unique(numbers)}


def published(settings: KafkaSettings, count: int, seconds: float = 30) -> tuple[Records, KafkaSource]:
    """`count` events of the topic from its beginning, and the source (closed) that gave them; fewer when no more come."""
    source = KafkaSource(settings)
    try:
        parts: list[Records] = []
        got, until = 0, time.monotonic() + seconds
        while got < count and time.monotonic() < until:
            for batch in source.poll(0.2):
                parts.append(batch.records)
                got += len(batch.records)
        for _ in range(2):  # nothing more may come
            parts.extend(batch.records for batch in source.poll(0.3))
    finally:
        source.close()
    return np.concatenate(parts or [logged_nothing()]), source


def logged_nothing() -> Records:
    from matchmark.native.pipeline_records import AUDIT_RECORD

    return np.zeros(0, dtype=AUDIT_RECORD)


def raw_messages(settings: KafkaSettings) -> Iterator[tuple[int, bytes, bytes]]:
    """Partition, key and value of each message, as they are."""
    from matchmark.reference.events import topics

    consumer = topics.reader(settings)
    try:
        count = topics.partitions_of(consumer, settings.topic)
        for message in topics.read_back(consumer, settings.topic, dict.fromkeys(range(count), 0)):
            yield message.partition(), bytes(message.key() or b""), bytes(message.value())
    finally:
        consumer.close()
