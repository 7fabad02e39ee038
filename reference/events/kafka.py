"""Kafka as a source of events: what the publisher wrote, each symbol's events in order, once, and a gap said at once.

Nothing is committed that the reader has not said it has dealt with: its own store holds the offsets (the ledger's), or
`commit` tells the group's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from matchmark.native.pipeline_records import AUDIT_RECORD
from matchmark.reference.audit_log import Records
from matchmark.reference.config_kafka import KafkaSettings
from matchmark.reference.events import topics
from matchmark.reference.events.faults import GapError, KafkaFault
from matchmark.reference.events.message import Message, MessageError, unpack
from matchmark.reference.events.source import Batch

MESSAGES_MAX = 500
_EMPTY = np.zeros(0, dtype=AUDIT_RECORD)


class KafkaSource:
    """`poll` gives one Batch a partition. KafkaFault: Kafka is not there or refuses; GapError: events are missing.

    Without `group` all partitions are read, or those of `partitions`, from `offsets` (partition to next offset), else from the
    beginning. With `group` the group's members share the partitions; a partition that comes to this one is read from `offsets`,
    else from what the group committed, else from the beginning; `on_change` hears which partitions are ours now.
    `trusted`: the reader has all events up to that record, whatever the partitions have of them: they are left out, and what is
    missing behind it is a gap.
    `duplicates` and `poisoned` count events that came again, and messages that are none of ours, which are passed over: were it
    one of ours, the next would tell the gap.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        offsets: Mapping[int, int] | None = None,
        partitions: Sequence[int] | None = None,
        group: str | None = None,
        on_change: Any = None,
        trusted: int | None = None,
    ) -> None:
        self._settings, self._offsets, self._on_change = settings, dict(offsets or {}), on_change
        self._trusted = trusted
        self._seen: dict[int, dict[bytes, int]] = {}
        self._at_start: set[int] = set()
        self.duplicates = self.poisoned = 0
        self.partitions: set[int] = set()
        more = {"group.id": group, "session.timeout.ms": 6000, "heartbeat.interval.ms": 1000} if group else {}
        self._consumer = topics.reader(settings, **more)
        try:
            if group:
                self._consumer.subscribe(
                    [settings.topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
                )
                return
            chosen = partitions if partitions is not None else range(self._all_partitions())
            self._begin({n: self._offsets.get(n, 0) for n in chosen})
            self._consumer.assign([TopicPartition(settings.topic, n, self._offsets.get(n, 0)) for n in chosen])
        except KafkaException as error:
            topics.close(self._consumer)
            raise KafkaFault(f"Kafka at {settings.bootstrap}: {error.args[0].str()}") from None
        except KafkaFault:
            topics.close(self._consumer)
            raise

    def poll(self, timeout_s: float) -> Sequence[Batch]:
        parts: dict[int, list[Records]] = {}
        ends: dict[int, int] = {}
        messages: Sequence[Any] = self._consumer.consume(MESSAGES_MAX, timeout=timeout_s)
        for message in messages:
            if message.error() is not None:
                self._on_error(message)
                continue
            partition = int(message.partition())
            if partition in self.partitions:
                ends[partition] = int(message.offset()) + 1
                if said := self._said(partition, message):
                    parts.setdefault(partition, []).append(self._new(partition, message, said))
        return [Batch(n, end, np.concatenate(parts.get(n, [_EMPTY]))) for n, end in ends.items()]

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Tells the group that it has dealt with what is before `offsets` (partition to next offset). KafkaFault."""
        places = [
            TopicPartition(self._settings.topic, n, offset) for n, offset in offsets.items() if n in self.partitions
        ]
        try:
            if places:
                self._consumer.commit(offsets=places, asynchronous=False)
        except KafkaException as error:
            raise KafkaFault(f"offsets cannot be committed: {error.args[0].str()}") from None

    def close(self) -> None:
        topics.close(self._consumer)

    # --- within ---

    def _all_partitions(self) -> int:
        return topics.partitions_of(self._consumer, self._settings.topic, answer_s=topics.READER_ANSWER_S)

    def _begin(self, offsets: Mapping[int, int]) -> None:
        for partition, offset in offsets.items():
            self.partitions.add(partition)
            self._seen[partition] = {}
            if offset <= 0:
                self._at_start.add(partition)

    def _said(self, partition: int, message: Any) -> Message | None:
        """What the message has, None where it is none of ours."""
        try:
            return unpack(bytes(message.value() or b""))
        except MessageError as error:
            self.poisoned += 1
            topics.log.warning("offset %d of partition %d is passed over: %s", message.offset(), partition, error)
            return None

    def _new(self, partition: int, message: Any, said: Message) -> Records:
        """The message's events that did not come before. GapError: there are some that did not come at all."""
        seen, key = self._seen[partition], bytes(message.key() or b"")
        before = seen.get(key)
        if before is None and self._trusted is not None:
            before = self._trusted
        elif before is None:  # only who began at the start knows that none was before
            before = 0 if partition in self._at_start else said.previous
        if said.previous > before:
            raise GapError(key, partition, int(message.offset()), before, said.previous)
        seen[key] = max(before, said.last)
        if said.first > before:
            return said.records
        self.duplicates += int((said.records["sequence"] <= before).sum())
        return said.records[said.records["sequence"] > before]

    def _on_error(self, message: Any) -> None:
        error = message.error()
        if error.code() != KafkaError._PARTITION_EOF and (error.fatal() or not error.retriable()):
            passing = (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._RESOLVE)
            if error.code() not in passing:
                raise KafkaFault(f"topic {self._settings.topic} cannot be read: {error.str()}")

    def _assigned(self, consumer: Any, places: list[Any]) -> None:
        committed = {p.partition: p.offset for p in consumer.committed(places, timeout=topics.ANSWER_S)}
        begin = {p.partition: self._offsets.get(p.partition, max(0, committed[p.partition])) for p in places}
        self._begin(begin)
        consumer.assign([TopicPartition(self._settings.topic, n, offset) for n, offset in begin.items()])
        self._changed()

    def _revoked(self, consumer: Any, places: list[Any]) -> None:
        for place in places:
            self.partitions.discard(place.partition)
            self._at_start.discard(place.partition)
            self._seen.pop(place.partition, None)
        self._changed()

    def _changed(self) -> None:
        if self._on_change:
            self._on_change(frozenset(self.partitions))
