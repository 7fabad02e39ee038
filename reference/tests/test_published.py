"""What is published, in the log's order and held against the log, without brokers: what comes of it is given by hand."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matchmark.native.pipeline_records import AUDIT_RECORD
from matchmark.reference.config_kafka import KafkaSettings
from matchmark.reference.events import published
from matchmark.reference.events.faults import KafkaFault
from matchmark.reference.events.opening import Awaited
from matchmark.reference.events.published import Published
from matchmark.reference.events.source import CHUNK, LAST, AuditLog, Batch

SETTINGS = KafkaSettings("h:1", "t")


class Order:
    """In the place of LogOrder: gives what the test put into `come`, and says that it knows all up to `upto`."""

    def __init__(self, settings: KafkaSettings, offsets: Mapping[int, int] | None, trusted: int) -> None:
        self.sequence, self.offsets, self.come, self.polls = trusted, offsets, list[Batch](), 0

    def poll(self, timeout_s: float) -> Sequence[Batch]:
        self.polls += 1
        come, self.come = self.come, []
        return come

    def close(self) -> None: ...


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    """Running hashes of the log by record, as far as it is on the disk."""
    hashes: dict[int, int] = {}
    monkeypatch.setattr(published, "LogOrder", Order)
    monkeypatch.setattr(AuditLog, "hash_of", lambda self, sequence: hashes.get(sequence))
    return hashes


def batch(partition: int, next_offset: int, *sequences: int, last: bool = True) -> Batch:
    records = np.zeros(len(sequences), dtype=AUDIT_RECORD)
    records["sequence"], records["kind"], records["flags"] = sequences, 2, LAST if last else 0
    records["running_hash"] = records["sequence"] * np.uint64(7)
    return Batch(partition, next_offset, records)


def opened(**more: Any) -> tuple[Published, Order]:
    source = Published(SETTINGS, Path("nowhere"), lambda: 0, **more)
    order: Any = source._order
    return source, order


def test_partitions_are_put_in_the_order_of_the_log_with_where_to_go_on(log: dict[int, int]) -> None:
    source, order = opened(after=1, offsets={0: 4, 2: 1})
    assert order.sequence == 1 and order.offsets == {0: 4, 2: 1} and source.poll(0) == ()
    order.come, order.sequence = [batch(0, 9, 2, 6), batch(2, 5, 4, 8)], 9
    log[8] = 56
    (only,) = source.poll(0)
    assert only.records["sequence"].tolist() == [2, 4, 6, 8]
    assert (only.partition, only.next_offset, only.offsets) == (0, 10, {0: 9, 2: 5})
    order.sequence = 12  # records that tell no event
    (only,) = source.poll(0)
    assert (len(only.records), only.next_offset, only.offsets) == (0, 13, {}) and source.poll(0) == ()


def test_many_come_a_few_at_a_time_and_the_offsets_with_the_last_of_them(log: dict[int, int]) -> None:
    source, order = opened()
    many = batch(3, 77, *range(1, 2 * CHUNK + 101), last=False)
    many.records["flags"][9::10] = LAST  # ten events a command
    many.records["flags"][-1] = LAST
    order.come, order.sequence = [many], 2 * CHUNK + 100
    log[2 * CHUNK + 100] = 7 * (2 * CHUNK + 100)
    parts = []
    while came := source.poll(0):
        parts.extend(came)
    assert np.concatenate([part.records for part in parts])["sequence"].tolist() == list(range(1, 2 * CHUNK + 101))
    assert len(parts) == 3 and all(part.records[-1]["flags"] & LAST for part in parts)
    assert all(len(part.records) <= CHUNK + 10 for part in parts)
    assert [part.offsets for part in parts] == [{}, {}, {3: 77}]
    assert [part.next_offset for part in parts] == [int(part.records[-1]["sequence"]) + 1 for part in parts]


def test_what_the_log_does_not_have_yet_is_held_back(log: dict[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    source, order = opened()
    order.come, order.sequence = [batch(0, 1, 5)], 5
    assert source.poll(0) == () and source.poll(0) == () and order.polls == 1
    log[5] = 35
    assert source.poll(0)[0].next_offset == 6
    order.come, order.sequence = [batch(0, 2, 6)], 6
    monkeypatch.setattr(published, "UNKNOWN_S", 0.0)
    with pytest.raises(KafkaFault, match="topic t has record 6, and this exchange's log does not"):
        source.poll(0)


def test_another_history_is_refused(log: dict[int, int]) -> None:
    source, order = opened()
    order.come, order.sequence = [batch(0, 1, 3, 5)], 5
    log[5] = 36
    with pytest.raises(KafkaFault, match="another exchange published"):
        source.poll(0)


def test_a_source_that_cannot_be_opened_yet_is_waited_for_by_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    tries = []

    class One:
        closed = False

        def poll(self, timeout_s: float) -> Sequence[Batch]:
            return (batch(0, 1, 1),)

        def close(self) -> None:
            self.closed = True

    one = One()

    def open_it() -> One:
        tries.append(1)
        if len(tries) < 3:
            raise KafkaFault("Kafka is away")
        return one

    source, until = Awaited(open_it, "market data"), time.monotonic() + 20
    assert source.poll(5.0) == (), "at once"
    while not (came := source.poll(0)) and time.monotonic() < until:
        time.sleep(0.01)
    assert len(came) == 1 and len(tries) == 3
    source.close()
    assert one.closed
    assert capfd.readouterr().err.count("market data is behind, trading goes on: Kafka is away") == 1


def test_a_fault_of_the_opening_is_told_to_who_polls() -> None:
    def open_it() -> Any:
        raise ValueError("a bug")

    source = Awaited(open_it, "x")
    source._thread.join(20)
    with pytest.raises(ValueError, match="a bug"):
        source.poll(0)
