"""Which source of events a role reads: Kafka where it is configured, else the audit log itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from matchmark.reference.events.source import AuditLog, Source

if TYPE_CHECKING:
    from matchmark.reference.roles import Plan


def source_name(plan: Plan) -> str:
    """What offsets belong to: those of one source mean nothing in another. Keep it with them; begin anew when it differs."""
    kafka = plan.config.publisher
    return f"kafka:{kafka.topic}" if kafka else "audit-log"


def open_source(
    plan: Plan, durable: Callable[[], int], offsets: Mapping[int, int] | None = None, in_log_order: bool = False
) -> Source:
    """All events of the exchange, from `offsets` (partition to next offset, as Batch tells them) on; from the first one without.

    `durable` gives the number of the last record on the disk. From Kafka, each symbol's events are in order, those of different
    symbols in none among themselves; unless `in_log_order`: then the batches of one `poll` together, sorted by
    sequence, are the log.
    """
    kafka = plan.config.publisher
    if kafka is None:
        return AuditLog(plan.log, durable, (offsets or {}).get(0, 1))
    from matchmark.reference.events.kafka import KafkaSource
    from matchmark.reference.events.log_order import LogOrder

    return (LogOrder if in_log_order else KafkaSource)(kafka, offsets or {})
