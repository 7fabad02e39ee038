"""Kafka as a source of the log's events in the log's order, for whoever could read the log itself: market data and the ledger.

What comes from the brokers is held against the log's running hash before it is passed on. A topic may have another exchange's
events, and nobody shall be shown them, or lose money by them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from matchmark.native.pipeline_records import AUDIT_RECORD
from matchmark.reference.audit_log import Records
from matchmark.reference.config_kafka import KafkaSettings
from matchmark.reference.events.faults import not_of_this_log
from matchmark.reference.events.log_order import LogOrder
from matchmark.reference.events.source import CHUNK, LAST, AuditLog, Batch

UNKNOWN_S = 10.0
"""A primary that has just taken over may have on its disk a moment later what is published; after so long it is not the same."""
_NONE = np.zeros(0, dtype=AUDIT_RECORD)


class Published:
    """All events behind record `after`. A Batch is what AuditLog would give: partition 0, and the number of the next record.

    Its `offsets` are the topic's own, of all that was given up to and with it; whoever keeps them goes on from `offsets`, else
    from the topic's beginning. KafkaFault: Kafka is not there, refuses, or has another log's events. GapError: some are missing.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        log: Path,
        durable: Callable[[], int],
        after: int = 0,
        offsets: Mapping[int, int] | None = None,
    ) -> None:
        self._topic = settings.topic
        self._log = AuditLog(log, durable)
        self._order = LogOrder(settings, offsets, after)
        self._given, self._upto = after, after
        self._records: Records = _NONE
        """Heard, and not given yet: all behind record `_given`, up to `_upto`."""
        self._offsets: dict[int, int] = {}
        self._is_ours, self._since = True, 0.0

    def poll(self, timeout_s: float) -> Sequence[Batch]:
        if self._given == self._upto:
            self._hear(self._order.poll(timeout_s))
        if self._given == self._upto or not self._is_the_logs():
            return ()
        return (self._next(),)

    def close(self) -> None:
        self._order.close()
        self._log.close()

    def _hear(self, batches: Sequence[Batch]) -> None:
        if self._order.sequence == self._upto:
            return
        self._upto = self._order.sequence
        records = np.concatenate([batch.records for batch in batches]) if batches else _NONE
        self._records = records[np.argsort(records["sequence"], kind="stable")]
        self._offsets = {batch.partition: batch.next_offset for batch in batches}
        self._is_ours, self._since = not len(records), time.monotonic()

    def _is_the_logs(self) -> bool:
        """The hash of a record is that of all before it. False: not known yet."""
        if not self._is_ours:
            last = self._records[-1]
            sequence = int(last["sequence"])
            known = self._log.hash_of(sequence)
            if known is None and time.monotonic() - self._since < UNKNOWN_S:
                return False
            if known != int(last["running_hash"]):
                raise not_of_this_log(self._topic, sequence)
            self._is_ours = True
        return self._is_ours

    def _next(self) -> Batch:
        """At most CHUNK records, unless one command has more."""
        ends = np.flatnonzero(self._records["flags"] & LAST)
        at = int(np.searchsorted(ends, CHUNK - 1))
        cut = int(ends[at]) + 1 if at < len(ends) else len(self._records)
        records, self._records = self._records[:cut], self._records[cut:]
        if len(self._records):
            self._given = int(records[-1]["sequence"])
            return Batch(0, self._given + 1, records)
        self._given = self._upto
        return Batch(0, self._given + 1, records, self._offsets)
