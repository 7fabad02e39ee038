"""Kafka as a source of events in the order of the log: for whoever must know what the engine did first, such as a ledger.

A partition tells nothing of the others. The publisher's watermark does: all events up to a record are in front of these
offsets. So events are held back until every partition was read so far that nothing older can come.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from confluent_kafka import TopicPartition

from matchmark.reference.audit_log import Records
from matchmark.reference.config_kafka import KafkaSettings
from matchmark.reference.events import topics
from matchmark.reference.events.faults import KafkaFault
from matchmark.reference.events.kafka import MESSAGES_MAX, KafkaSource
from matchmark.reference.events.progress import Watermark, read_watermark
from matchmark.reference.events.source import Batch

HELD_EVENTS_MAX = 400_000
"""109 MB. Beyond that, partitions that are ahead of the others are not read."""
WATERMARKS_MAX = 64


@dataclass
class _Held:
    """Of one partition: messages not given yet (offset, first, last, events), the offset behind what was read, and how far it is
    known to be complete."""

    position: int
    messages: list[tuple[int, int, int, Records]] = field(default_factory=list)
    complete: int = 0
    paused: bool = False


class LogOrder(KafkaSource):
    """All partitions, from `offsets` on. The batches of one `poll` together are all events between two records of the
    log: sorted by sequence they are the log. An offset is that of the first message that was not given whole: what
    comes again after a start from there is for the reader to know by its sequence.
    """

    def __init__(
        self, settings: KafkaSettings, offsets: Mapping[int, int] | None = None, trusted: int | None = None
    ) -> None:
        super().__init__(settings, offsets, trusted=trusted)
        self.sequence = trusted or 0
        """All events up to there were given."""
        self._held = {n: _Held(self._offsets.get(n, 0)) for n in self.partitions}
        self._count = 0
        self._watermarks: deque[Watermark] = deque(maxlen=WATERMARKS_MAX)
        try:
            end = topics.ends_of(self._consumer, settings.progress_topic, topics.WATERMARK)[1]
        except KafkaFault:
            self.close()
            raise
        places = [TopicPartition(settings.topic, n, held.position) for n, held in self._held.items()]
        places.append(TopicPartition(settings.progress_topic, topics.WATERMARK, max(0, end - 5)))
        self._consumer.assign(places)

    def poll(self, timeout_s: float) -> Sequence[Batch]:
        until = time.monotonic() + timeout_s
        while True:
            messages: Sequence[Any] = self._consumer.consume(MESSAGES_MAX, timeout=min(timeout_s, 0.005))
            for message in messages:
                self._hear(message)
            if messages and (batches := self._release()):
                return batches
            if time.monotonic() >= until:
                return ()

    def _hear(self, message: Any) -> None:
        if message.error() is not None:
            self._on_error(message)
        elif message.topic() == self._settings.progress_topic:
            if said := read_watermark(bytes(message.value() or b"")):
                self._watermarks.append(said)
        else:
            held = self._held[message.partition()]
            held.position = int(message.offset()) + 1
            if one := self._said(message.partition(), message):
                held.complete = max(held.complete, one.complete)
                if len(new := self._new(message.partition(), message, one)):
                    held.messages.append(
                        (int(message.offset()), int(new[0]["sequence"]), int(new[-1]["sequence"]), new)
                    )
                    self._count += len(new)

    def _release(self) -> list[Batch]:
        for number, held in self._held.items():
            for mark in reversed(self._watermarks):
                if number >= len(mark.offsets) or held.position >= mark.offsets[number]:
                    held.complete = max(held.complete, mark.complete)
                    break
        upto = min(held.complete for held in self._held.values())
        self._limit(upto)
        if upto <= self.sequence:
            return []
        upto = self._between_messages(upto)
        self.sequence = max(self.sequence, upto)
        return [batch for n, held in self._held.items() if (batch := self._given(n, held, upto))]

    def _between_messages(self, upto: int) -> int:
        """Not above `upto`, and in no message: a publisher that began anew may have cut the log at other places."""
        while True:
            cut = [first for held in self._held.values() for _, first, last, _ in held.messages if first <= upto < last]
            if not cut:
                return upto
            upto = min(cut) - 1

    def _given(self, number: int, held: _Held, upto: int) -> Batch | None:
        out = [records for *_, last, records in held.messages if last <= upto]
        if not out:
            return None
        held.messages = [one for one in held.messages if one[2] > upto]
        self._count -= sum(len(records) for records in out)
        return Batch(number, held.messages[0][0] if held.messages else held.position, np.concatenate(out))

    def _limit(self, upto: int) -> None:
        """Those that hold the others up are always read."""
        full = self._count > HELD_EVENTS_MAX
        for number, held in self._held.items():
            place = [TopicPartition(self._settings.topic, number)]
            if full and not held.paused and held.messages and held.complete > upto:
                self._consumer.pause(place)
                held.paused = True
            elif held.paused and (self._count < HELD_EVENTS_MAX // 2 or held.complete <= upto):
                self._consumer.resume(place)
                held.paused = False
