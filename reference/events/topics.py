"""The topics on the brokers: made where they are missing, asked how far they go, read back by a publisher that starts."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from matchmark.reference.config_kafka import KafkaSettings
from matchmark.reference.events.faults import KafkaFault

ANSWER_S = 10.0
CLOSE_S = 5.0
READER_ANSWER_S = 3.0
"""A reader tries again by itself, and may have to end meanwhile."""
WATERMARK, PARTITIONS = 0, 1
"""Partitions of the progress topic: how far all is published; what each partition held at some moment."""

log = logging.getLogger("matchmark.kafka")


def quiet(settings: KafkaSettings, **more: Any) -> dict[str, Any]:
    """A client's settings. What librdkafka would print of brokers that are away is told by us, once."""
    return {
        "bootstrap.servers": settings.bootstrap,
        "log_level": 0,
        "topic.metadata.refresh.interval.ms": 5000,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1000,
        **more,
    }


def ensure_topics(settings: KafkaSettings) -> int:
    """Makes the topics that are not there; how many partitions the events' has. KafkaFault."""
    admin = AdminClient(quiet(settings))
    try:
        there = admin.list_topics(timeout=ANSWER_S).topics
        copies = settings.replication
        common = {"min.insync.replicas": str(max(1, copies - 1)), "unclean.leader.election.enable": "false"}
        events = {**common, "cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
        progress = {
            **common, "cleanup.policy": "compact", "segment.bytes": str(16 << 20), "min.cleanable.dirty.ratio": "0.1",
        }  # fmt: skip
        wanted = [
            NewTopic(settings.topic, settings.partitions, copies, config=events),
            NewTopic(settings.progress_topic, 2, copies, config=progress),
        ]
        missing = [topic for topic in wanted if topic.topic not in there]
        if missing:
            for made in admin.create_topics(missing, operation_timeout=ANSWER_S).values():
                with suppress_existing():
                    made.result(timeout=2 * ANSWER_S)
        partitions_of(admin, settings.progress_topic, ANSWER_S)
        return partitions_of(admin, settings.topic, ANSWER_S)
    except KafkaException as error:
        raise KafkaFault(f"Kafka at {settings.bootstrap}: {error.args[0].str()}") from None
    except TimeoutError:  # of a future, which has no words
        raise KafkaFault(
            f"Kafka at {settings.bootstrap} has not made topic {settings.topic} within {2 * ANSWER_S:.0f} s"
        ) from None


@contextmanager
def suppress_existing() -> Iterator[None]:
    """Another publisher may make the same topic at the same time."""
    try:
        yield
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise


def close(consumer: Any) -> None:
    """Ends it. librdkafka may wait for ever for a broker that has gone: after CLOSE_S nobody waits for librdkafka."""

    def end() -> None:
        with suppress(KafkaException, RuntimeError):
            consumer.close()

    thread = threading.Thread(target=end, name="kafka-close", daemon=True)
    thread.start()
    thread.join(CLOSE_S)
    if thread.is_alive():
        log.warning("a consumer of Kafka does not end; it is left behind")


def partitions_of(
    client: AdminClient | Consumer, topic: str, patience_s: float = 2.0, answer_s: float = ANSWER_S
) -> int:
    """How many partitions the topic has. KafkaFault: there is no such topic, or within `patience_s` no leader for all of it."""
    until = time.monotonic() + patience_s
    while True:  # a topic is made on one broker, and the others hear of it later
        said = client.list_topics(topic, timeout=answer_s).topics[topic]
        led = [part for part in said.partitions.values() if part.leader >= 0]
        if said.error is None and led and len(led) == len(said.partitions):
            return len(led)
        if time.monotonic() > until:
            why = said.error.str() if said.error else f"{len(led)} of {len(said.partitions)} partitions have a leader"
            raise KafkaFault(f"topic {topic}: {why}; the publisher makes it when it starts")
        time.sleep(0.1)


def reader(settings: KafkaSettings, **more: Any) -> Consumer:
    """A consumer of no group, which says where a partition ends."""
    return Consumer(
        quiet(
            settings,
            **{
                "group.id": "matchmark-reader",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_uncommitted",
                "fetch.wait.max.ms": 20,
                **more,
            },
        )
    )


def ends_of(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """Offsets of the first message and behind the last one. KafkaFault. Waits for a leader that is missing."""
    until = time.monotonic() + ANSWER_S
    while True:
        try:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=ANSWER_S)
            return int(low), int(high)
        except KafkaException as error:
            if time.monotonic() > until:
                raise KafkaFault(f"topic {topic} does not say where it ends: {error.args[0].str()}") from None
            time.sleep(0.1)


def read_back(consumer: Consumer, topic: str, begin: Mapping[int, int]) -> Iterator[Any]:
    """The messages from `begin` (partition to offset) to where each partition ends now. KafkaFault."""
    try:
        left: dict[int, int] = {}
        places: list[TopicPartition] = []
        for partition, offset in begin.items():
            low, high = ends_of(consumer, topic, partition)
            if max(low, offset) < high:
                left[partition] = high
                places.append(TopicPartition(topic, partition, max(low, offset)))
        consumer.assign(places)
        yield from _until(consumer, left)
        consumer.unassign()
    except KafkaException as error:
        raise KafkaFault(f"topic {topic} cannot be read back: {error.args[0].str()}") from None


def _until(consumer: Consumer, left: dict[int, int]) -> Iterator[Any]:
    silent = 0
    while left:
        messages: Sequence[Any] = consumer.consume(1000, timeout=1.0)
        silent = 0 if messages else silent + 1
        if silent > 3 * ANSWER_S:
            raise KafkaFault(f"the brokers do not give what they have of partitions {sorted(left)[:5]}")
        for message in messages:
            partition, error = message.partition(), message.error()
            if error is None:
                if partition in left:
                    yield message
                    if message.offset() + 1 >= left[partition]:
                        del left[partition]
            elif error.code() == KafkaError._PARTITION_EOF:
                left.pop(partition, None)  # what is behind the last message may be no message
            elif not error.retriable():
                raise KafkaException(error)
