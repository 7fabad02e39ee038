"""What consumers read from three real brokers: offsets of their own, nothing twice, gaps said, partitions shared."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from confluent_kafka import Producer

from matchmark.reference.config_kafka import KafkaSettings
from matchmark.reference.events import topics
from matchmark.reference.events.faults import GapError, KafkaFault
from matchmark.reference.events.kafka import KafkaSource
from matchmark.reference.events.message import pack, partition_of
from matchmark.reference.events.source import Batch
from matchmark.reference.services.kafka_brokers import Brokers

from .test_kafka_messages import records

PARTITIONS = 4
SHARER = """
import json, sys, time
from matchmark.reference.config_kafka import KafkaSettings
from matchmark.reference.events.kafka import KafkaSource
source = KafkaSource(KafkaSettings(sys.argv[1], sys.argv[2]), group="sharers")
while True:
    for batch in source.poll(0.2):
        print(json.dumps([batch.partition, batch.records["sequence"].tolist()]), flush=True)
        source.commit({batch.partition: batch.next_offset})
"""


class Topic:
    """A topic of a test's own, and a hand that writes to it."""

    def __init__(self, brokers: Brokers, name: str) -> None:
        self.settings = KafkaSettings(brokers.bootstrap, name, PARTITIONS)
        topics.ensure_topics(self.settings)
        self._producer = Producer({"bootstrap.servers": brokers.bootstrap, "acks": "all", "enable.idempotence": True})

    def put(self, key: bytes, *sequences: int, previous: int) -> None:
        self.raw(key, pack(records(*sequences), previous, 0))

    def raw(self, key: bytes, value: bytes) -> None:
        self._producer.produce(self.settings.topic, value, key, partition_of(key, PARTITIONS))
        assert self._producer.flush(60) == 0


def take(source: KafkaSource, count: int, seconds: float = 30) -> list[Batch]:
    """Batches until `count` events came."""
    out: list[Batch] = []
    until = time.monotonic() + seconds
    while sum(len(batch.records) for batch in out) < count:
        assert time.monotonic() < until, f"{sum(len(b.records) for b in out)} of {count} events came"
        out.extend(source.poll(0.2))
    return out


def numbers(batches: Sequence[Batch]) -> list[int]:
    return [int(n) for batch in batches for n in batch.records["sequence"]]


@pytest.fixture
def opened() -> Iterator[list[KafkaSource]]:
    """Sources that are closed whatever happened."""
    made: list[KafkaSource] = []
    yield made
    for source in made:
        source.close()


def test_what_comes_twice_is_given_once(kafka: Brokers, opened: list[KafkaSource]) -> None:
    topic = Topic(kafka, "s.twice")
    topic.put(b"A", 2, 3, previous=0)
    topic.put(b"A", 5, 6, previous=3)
    topic.put(b"A", 2, 3, previous=0)
    topic.put(b"A", 5, 6, 8, previous=3)
    topic.put(b"A", 9, previous=8)
    opened.append(KafkaSource(topic.settings))
    assert numbers(take(opened[0], 6)) == [2, 3, 5, 6, 8, 9] and opened[0].duplicates == 4


def test_a_gap_is_said(kafka: Brokers, opened: list[KafkaSource]) -> None:
    topic = Topic(kafka, "s.gap")
    topic.put(b"A", 2, 3, previous=0)
    topic.put(b"A", 9, previous=7)
    opened.append(KafkaSource(topic.settings))
    with pytest.raises(GapError, match="record 7, and the last that came is 3"):
        take(opened[0], 3)


def test_a_beginning_that_is_none_is_a_gap(kafka: Brokers, opened: list[KafkaSource]) -> None:
    topic = Topic(kafka, "s.begin")
    topic.put(b"A", 9, previous=7)
    opened.append(KafkaSource(topic.settings))
    with pytest.raises(GapError):
        take(opened[0], 1)


def test_a_reader_that_has_all_up_to_a_record_is_told_a_gap_behind_it_alone(
    kafka: Brokers, opened: list[KafkaSource]
) -> None:
    topic = Topic(kafka, "s.trusted")
    topic.put(b"A", 5, 8, previous=3)  # what was before has been thrown away
    topic.put(b"A", 9, previous=8)
    opened.append(KafkaSource(topic.settings, trusted=6))
    assert numbers(take(opened[0], 2)) == [8, 9]
    topic.put(b"B", 4, previous=0)
    topic.put(b"B", 12, previous=11)
    opened.append(KafkaSource(topic.settings, trusted=10))
    with pytest.raises(GapError, match="record 11, and the last that came is 10"):
        take(opened[1], 1)


def test_a_poison_record_is_passed_over(kafka: Brokers, opened: list[KafkaSource]) -> None:
    topic = Topic(kafka, "s.poison")
    topic.put(b"A", 2, previous=0)
    topic.raw(b"A", b"poison")
    topic.raw(b"A", b"")
    topic.put(b"A", 3, previous=2)
    opened.append(KafkaSource(topic.settings))
    batches = take(opened[0], 2)
    assert numbers(batches) == [2, 3] and opened[0].poisoned == 2
    assert batches[-1].next_offset == 4


def test_whoever_keeps_the_offsets_goes_on_from_them(kafka: Brokers, opened: list[KafkaSource]) -> None:
    topic = Topic(kafka, "s.offsets")
    for n in range(20):
        topic.put(b"A", 2 * n + 2, previous=2 * n)
    first = KafkaSource(topic.settings)
    (partition, *_), done = take(first, 20)[0], 7
    first.close()  # nothing was committed: a reader without a store begins anew
    opened.append(KafkaSource(topic.settings))
    assert numbers(take(opened[0], 20)) == list(range(2, 42, 2))
    opened.append(KafkaSource(topic.settings, {partition: done}))
    assert numbers(take(opened[1], 13)) == list(range(2 * done + 2, 42, 2))


def test_a_topic_that_is_not_there_is_said(kafka: Brokers) -> None:
    with pytest.raises(KafkaFault, match="the publisher makes it"):
        KafkaSource(KafkaSettings(kafka.bootstrap, "s.none"))


def test_when_one_of_a_group_is_killed_the_other_goes_on_without_a_gap(kafka: Brokers, tmp_path: Path) -> None:
    topic = Topic(kafka, "s.group")
    keys = [f"K{n}".encode() for n in range(16)]
    assert {partition_of(key, PARTITIONS) for key in keys} == set(range(PARTITIONS))
    last = dict.fromkeys(keys, 0)
    sequence = 0

    def write(rounds: int) -> None:
        nonlocal sequence
        for _ in range(rounds):
            for key in keys:
                sequence += 2
                topic.put(key, sequence, previous=last[key])
                last[key] = sequence

    heard = [tmp_path / "one", tmp_path / "other"]
    sharers = []
    for path in heard:
        with path.open("wb") as out:
            words = [sys.executable, "-c", SHARER, kafka.bootstrap, "s.group"]
            sharers.append(subprocess.Popen(words, stdout=out))

    def got(path: Path) -> list[tuple[int, list[int]]]:
        return [(row[0], row[1]) for line in path.read_text().splitlines() if (row := json.loads(line))]

    def wait(true: object, seconds: float = 90) -> None:
        until = time.monotonic() + seconds
        while not true():  # type: ignore[operator]
            assert time.monotonic() < until, [len(got(path)) for path in heard]
            time.sleep(0.1)

    def all_of() -> set[int]:
        return {n for path in heard for _, part in got(path) for n in part}

    try:
        until = time.monotonic() + 90
        while not all(got(path) for path in heard) and time.monotonic() < until:
            write(1)  # until both have partitions
        wait(lambda: len(all_of()) == sequence // 2)
        assert all(got(path) for path in heard)
        os.kill(sharers[0].pid, signal.SIGKILL)
        write(5)
        wait(lambda: len(all_of()) == sequence // 2)
    finally:
        for sharer in sharers:
            sharer.kill()
            sharer.wait()
    assert {partition for partition, _ in got(heard[1])} == set(range(PARTITIONS))
    for path in heard:
        for key in keys:  # what one service gives of a symbol is in order, and told once
            mine = [n for p, part in got(path) if p == partition_of(key, PARTITIONS) for n in part]
            assert len(mine) == len(set(mine))
