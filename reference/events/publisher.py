"""The publisher: reads the audit log and writes its events to Kafka, each symbol's in order, once, without a gap.

It goes on where the messages themselves end, whoever wrote them: a former publisher, or the one of the primary before. It reads
from the disk and is on no order's path; while no broker answers it waits, and catches up from the log.
"""

from __future__ import annotations

import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from matchmark.native.pipeline import Pipeline
from matchmark.native.pipeline_records import ExchangeState, Role
from matchmark.reference.audit_log import Records
from matchmark.reference.config_kafka import KafkaSettings
from matchmark.reference.events.faults import KafkaFault, not_of_this_log
from matchmark.reference.events.message import NO_SYMBOL, pack, partition_of, pieces, symbols_of
from matchmark.reference.events.source import LAST, AuditLog, Batch, Source

if TYPE_CHECKING:
    from pathlib import Path

    from matchmark.reference.roles import Plan

MESSAGE_EVENTS_MAX = 2000
"""544 kB: brokers take a million bytes."""
LINGER_S = 0.002
WATERMARK_EVERY_S = 0.005
NOTE_EVERY_S = 5.0
QUEUE_CHUNKS_MAX = 64
"""Chunks of the log whose messages are not all acknowledged; more are not read."""
POLL_S = 0.05
AGAIN_S = 1.0
LEAVE_S = 1.5


def producer_settings() -> dict[str, Any]:
    """Every replica has it, in order, once, and it is never given up."""
    return {
        "acks": "all",
        "enable.idempotence": True,
        "enable.gapless.guarantee": True,
        "max.in.flight.requests.per.connection": 5,
        "message.timeout.ms": 0,
        "message.max.bytes": 1_000_000,
        "linger.ms": 1,
        "batch.size": 900_000,
        "compression.type": "lz4",
        "queue.buffering.max.kbytes": 256 << 10,
        "queue.buffering.max.messages": 1_000_000,
    }


@dataclass
class _Chunk:
    """What was read at once. `end`: its last record; `left`: messages that are not acknowledged yet."""

    end: int
    left: int = 0


class Publisher:
    """`step` moves what there is. KafkaFault: it cannot go on and must be made anew, which loses nothing and repeats nothing.

    `symbols`: names in the order of their numbers. `log` is read to see that what is published comes from it.
    """

    def __init__(self, settings: KafkaSettings, symbols: Sequence[str], log: Path, durable: Callable[[], int]) -> None:
        from confluent_kafka import Producer

        from matchmark.reference.events import progress, topics

        self._settings, self._known = settings, len(symbols)
        self._keys = [name.encode("ascii") for name in symbols]
        self._progress = progress
        partitions = topics.ensure_topics(settings)
        self._partitions = partitions
        self._partition = [partition_of(key, partitions) for key in (*self._keys, b"")]
        self._acked = progress.read(settings, partitions)
        self._check_same_log(log, durable())
        self._sent = np.zeros(self._known + 1, dtype=np.uint64)
        for number, key in enumerate((*self._keys, b"")):
            self._sent[number] = self._acked.last.get(key, 0)
        self._behind = int(self._sent.max(initial=0))
        self._read_to = self._acked.complete
        self._source: Source = AuditLog(log, durable, self._read_to + 1)
        self._chunks: deque[_Chunk] = deque()
        self._changed: dict[int, set[bytes]] = {}
        self._of_partition: dict[int, set[bytes]] = {}
        for key in self._acked.last:
            self._of_partition.setdefault(partition_of(key, partitions), set()).add(key)
        self._told, self._told_at, self._noted_at = self._acked.complete, 0.0, time.monotonic()
        self.connected, self.messages, self.errors, self.events, self.failure = True, 0, 0, 0, ""
        self._producer = Producer(topics.quiet(settings, error_cb=self._on_error, **producer_settings()))

    @property
    def complete(self) -> int:
        """All events up to that record of the log are on the brokers."""
        return self._acked.complete

    @property
    def waiting(self) -> bool:
        """Something was sent and is not acknowledged."""
        return bool(self._chunks)

    def step(self, timeout_s: float) -> int:
        """Reads what came within `timeout_s`, sends it, and hears of what was sent before; how many events it sent."""
        events = 0
        if len(self._chunks) < QUEUE_CHUNKS_MAX:
            for batch in self._source.poll(0 if self._chunks else timeout_s):
                events += self._publish(batch)
        self._producer.poll(0 if events else min(timeout_s, LINGER_S))
        if self.failure:
            raise KafkaFault(f"events cannot be published to {self._settings.bootstrap}: {self.failure}")
        self._advance()
        return events

    def finish(self, patience_s: float) -> None:
        """Publishes what is durable, as far as it goes."""
        until = time.monotonic() + patience_s
        while (self.step(LINGER_S) or self._chunks) and time.monotonic() < until:
            pass

    def close(self, patience_s: float = LEAVE_S) -> None:
        """What was sent is waited for, then noted."""
        self._producer.flush(patience_s)
        self._advance(now=True)
        self._producer.flush(patience_s)
        self._source.close()

    # --- out ---

    def _publish(self, batch: Batch) -> int:
        complete, self._read_to = self._read_to, batch.next_offset - 1
        records = batch.records
        chunk = _Chunk(self._read_to)
        self._chunks.append(chunk)
        if not len(records):
            return 0
        commands = np.cumsum(records["flags"] & LAST, dtype=np.int64) - (records["flags"] & LAST)
        numbers = symbols_of(records, self._known)
        numbers = np.where(numbers == NO_SYMBOL, np.uint32(self._known), numbers)
        if complete < self._behind:  # some of it was published before we began
            new = records["sequence"] > self._sent[numbers]
            records, commands, numbers = records[new], commands[new], numbers[new]
        order = np.argsort(numbers, kind="stable")
        records, commands, numbers = records[order], commands[order], numbers[order]
        bounds = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
        for begin, end in pairwise(bounds):
            if end > begin:
                self._send(chunk, int(numbers[begin]), records[begin:end], commands[begin:end], complete)
        self.events += len(records)
        return len(records)

    def _send(self, chunk: _Chunk, number: int, records: Records, commands: Any, complete: int) -> None:
        key = self._keys[number] if number < self._known else b""
        for begin, end in pieces(commands, MESSAGE_EVENTS_MAX):
            part = records[begin:end]
            last, running_hash = int(part[-1]["sequence"]), int(part[-1]["running_hash"])
            value = pack(part, int(self._sent[number]), complete)
            self._sent[number] = last

            def delivered(error: Any, message: Any, last: int = last, running_hash: int = running_hash) -> None:
                self._delivered(chunk, key, last, running_hash, error, message)

            self._produce(self._settings.topic, value, key, self._partition[number], delivered)
            chunk.left += 1

    def _produce(self, topic: str, value: bytes, key: bytes, partition: int, delivered: Any) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, partition, on_delivery=delivered)
                return
            except BufferError:
                self._producer.poll(POLL_S)
                if self.failure:
                    raise KafkaFault(self.failure) from None

    def _delivered(self, chunk: _Chunk, key: bytes, last: int, running_hash: int, error: Any, message: Any) -> None:
        if error is not None:
            self.errors += 1
            self.failure = self.failure or str(error.str())
            return
        chunk.left -= 1
        self.connected = True
        self.messages += 1
        partition = int(message.partition())
        self._acked.last[key] = last
        self._acked.offsets[partition] = int(message.offset()) + 1
        self._changed.setdefault(partition, set()).add(key)
        if last > self._acked.newest:
            self._acked.newest, self._acked.newest_hash = last, running_hash

    def _advance(self, now: bool = False) -> None:
        while self._chunks and not self._chunks[0].left:
            self._acked.complete = self._chunks.popleft().end
        at = time.monotonic()
        if self._acked.complete > self._told and (now or at - self._told_at >= WATERMARK_EVERY_S):
            self._told, self._told_at = self._acked.complete, at
            value = self._progress.watermark(self._acked, self._partitions)
            self._note(value, self._progress.WATERMARK_KEY, 0)
        if self._changed and (now or at - self._noted_at >= NOTE_EVERY_S):
            self._noted_at = at
            for partition, keys in self._changed.items():
                all_keys = self._of_partition.setdefault(partition, set())
                all_keys |= keys
                last = {key: self._acked.last[key] for key in all_keys}
                value = self._progress.partition_note(self._acked.offsets[partition], last)
                self._note(value, str(partition).encode(), 1)
            self._changed.clear()

    def _note(self, value: bytes, key: bytes, partition: int) -> None:
        def delivered(error: Any, _: Any) -> None:
            if error is not None:
                self.failure = self.failure or str(error.str())

        self._produce(self._settings.progress_topic, value, key, partition, delivered)

    def _on_error(self, error: Any) -> None:
        from confluent_kafka import KafkaError

        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self.connected = False
        elif error.fatal():
            self.failure = self.failure or str(error.str())

    def _check_same_log(self, log: Path, durable: int) -> None:
        """KafkaFault: what is published is not of this log, and what would follow would not fit."""
        newest = self._acked.newest
        if newest and AuditLog(log, lambda: durable).hash_of(newest) != self._acked.newest_hash:
            raise not_of_this_log(self._settings.topic, newest)


def run_publisher(plan: Plan, ready: Callable[[], None]) -> int:
    """Until SIGTERM, or the exchange stops: then what is durable is published first, as far as it goes within LEAVE_S."""
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    pipeline = Pipeline(plan.shm)
    ready()  # trading does not wait for brokers
    while not told.is_set():
        if pipeline.role == Role.PRIMARY and pipeline.state in (ExchangeState.RUNNING, ExchangeState.STOPPING):
            _publish(plan, pipeline, told)
        told.wait(POLL_S)
    return 0


def _publish(plan: Plan, pipeline: Pipeline, told: threading.Event) -> None:
    """As long as Kafka, and our place as the primary, last."""
    from matchmark.reference.events.topics import log

    assert plan.config.publisher
    names = [symbol.name for symbol in plan.config.symbols]
    board, said = plan.board, ""
    publisher: Publisher | None = None
    while not told.is_set() and pipeline.role == Role.PRIMARY:
        try:
            if publisher is None:
                publisher = Publisher(plan.config.publisher, names, plan.log, lambda: _may_be_published(plan, pipeline))
                said = ""
            if not publisher.step(POLL_S):
                told.wait(LINGER_S)
            board.set_side(
                "publisher",
                sequence=publisher.complete,
                messages=publisher.messages,
                connected=int(publisher.connected),
            )
        except KafkaFault as error:
            if str(error) != said:
                log.warning("%s; trading goes on, and what is missed is published from the log", error)
            said = str(error)
            board.set_side("publisher", connected=0, errors=board.side("publisher")["errors"] + 1)
            if publisher is not None:
                raise  # a producer that failed is not to be trusted with the order: the next is a new process's
            told.wait(AGAIN_S)
    if publisher:
        publisher.finish(LEAVE_S)
        publisher.close()


def _may_be_published(plan: Plan, pipeline: Pipeline) -> int:
    """What is on the disk, and on the standby's way to it: what a failover could take back is not told to the world."""
    durable = pipeline.durable_sequence
    standby = plan.board.replication()
    return min(durable, standby["standby_sequence"]) if plan.config.cluster and standby["connected"] else durable
