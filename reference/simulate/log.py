"""A member's audit log: what its engine made (shared memory), and how much of it is on disk."""

from __future__ import annotations

import random
from typing import NamedTuple

from matchmark.conformance.trading_messages import Act, Trading
from matchmark.reference.simulate.world import Violation

_MASK = 2**64 - 1


class Record(NamedTuple):
    """One executed order: `key` names it for ever (client and number), `value` is its price in ticks. Or, with a key below 0,
    a change of trading, which is ACTS[value]. `hash` covers all records up to this one."""

    epoch: int
    key: int
    value: int
    hash: int


ACTS = (Act.WARN, Act.CALM, Act.HALT, Act.RESUME)
LEADS_TO = {Act.WARN: Trading.WARNED, Act.CALM: Trading.OPEN, Act.HALT: Trading.HALTED, Act.RESUME: Trading.OPEN}


def chain(before: int, epoch: int, key: int, value: int) -> int:
    return (before * 6364136223846793005 + key * 1442695040888963407 + value * 2862933555777941757 + epoch) & _MASK


class Log:
    def __init__(self) -> None:
        self.records: list[Record] = []
        self.keys: dict[int, int] = {}
        """Where each order is: the engine's memory of ClOrdIDs."""
        self.trading = Trading.OPEN
        """As the records leave it."""
        self.synced = 0
        self.writing = 0
        """Up to here it may be on disk: a write is under way."""

    def __len__(self) -> int:
        return len(self.records)

    def hash_at(self, sequence: int) -> int:
        return self.records[sequence - 1].hash if sequence else 0

    @property
    def epoch(self) -> int:
        return self.records[-1].epoch if self.records else 0

    def append(self, epoch: int, key: int, value: int) -> Record:
        if key in self.keys:
            raise Violation(f"order {key} was executed twice, as records {self.keys[key]} and {len(self.records) + 1}")
        if epoch < self.epoch:
            raise Violation(f"a record of epoch {epoch} behind one of epoch {self.epoch}")
        if key > 0 and self.trading is Trading.HALTED:
            raise Violation(f"order {key} was executed as record {len(self.records) + 1} while trading was halted")
        record = Record(epoch, key, value, chain(self.hash_at(len(self.records)), epoch, key, value))
        self.records.append(record)
        if key < 0:
            self.trading = LEADS_TO[ACTS[value]]
        self.keys[key] = len(self.records)
        return record

    def stop_writing(self, rng: random.Random) -> None:
        """The writer is gone: of the write under way any part is there."""
        self.synced = rng.randint(self.synced, max(self.synced, min(self.writing, len(self.records))))
        self.writing = self.synced

    def lose_memory(self) -> None:
        """Only what is on disk is left."""
        del self.records[self.synced :]
        self.keys = {record.key: at for at, record in enumerate(self.records, 1)}
        changes = [record.value for record in self.records if record.key < 0]
        self.trading = LEADS_TO[ACTS[changes[-1]]] if changes else Trading.OPEN

    def damage(self) -> None:
        """The last record becomes another one: a book that went wrong."""
        if self.records:
            self.records[-1] = self.records[-1]._replace(hash=self.records[-1].hash ^ 1)

    def broken_at(self) -> int:
        """The first record whose hash is not what it must be, 0 for none: what a standby finds when it reads its own log."""
        before = 0
        for at, record in enumerate(self.records, 1):
            before = chain(before, record.epoch, record.key, record.value)
            if before != record.hash:
                return at
        return 0

    def first_difference(self, other: list[Record]) -> int:
        """The first record that is not the same, 0 for none."""
        for at, (mine, theirs) in enumerate(zip(self.records, other, strict=False), 1):
            if mine.hash != theirs.hash:
                return at
        return 0
