"""Which source of events market data and the ledger read: Kafka where it is configured, else the audit log itself."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from matchmark.reference.config_kafka import KafkaSettings
from matchmark.reference.events.source import AuditLog, Batch, Source

if TYPE_CHECKING:
    from matchmark.reference.roles import Plan

LOG = "audit-log"
AGAIN_S = 0.5


def kafka_of(plan: Plan) -> KafkaSettings | None:
    """None: readers read the log."""
    kafka = plan.config.publisher
    return kafka if kafka and kafka.readers == "kafka" else None


def source_name(plan: Plan) -> str:
    """What offsets belong to: those of one source mean nothing in another, and are kept under its name."""
    kafka = kafka_of(plan)
    return f"kafka:{kafka.topic}" if kafka else LOG


def open_source(
    plan: Plan, durable: Callable[[], int], next_record: int = 1, offsets: Mapping[int, int] | None = None
) -> Source:
    """The exchange's events from record `next_record` on, in the order of the log.

    `durable` gives the number of the last record on the disk; `offsets`: by partition of the topic, where to go on there (Batch
    tells them), else its beginning. KafkaFault: Kafka is not there, or has no such topic yet.
    """
    kafka = kafka_of(plan)
    if kafka is None:
        return AuditLog(plan.log, durable, next_record)
    from matchmark.reference.events.published import Published

    return Published(kafka, plan.log, durable, next_record - 1, offsets)


class Awaited:
    """A source that is opened in a thread of its own, again and again until it can be. Nobody waits: nothing comes so long.

    `what` is behind meanwhile, in words. OSError: what the source itself says once it is open.
    """

    def __init__(self, open_it: Callable[[], Source], what: str) -> None:
        self._open, self._what = open_it, what
        self._source: Source | None = None
        self._failure: BaseException | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._try, daemon=True)
        self._thread.start()

    def poll(self, timeout_s: float) -> Sequence[Batch]:
        if self._failure is not None:
            raise self._failure
        return self._source.poll(timeout_s) if self._source is not None else ()

    def close(self) -> None:
        self._end.set()
        if self._source is not None:
            self._source.close()

    def _try(self) -> None:
        said = ""
        while not self._end.is_set():
            try:
                source = self._open()
            except OSError as error:
                if str(error) != said:
                    said = str(error)
                    sys.stderr.write(f"matchmark serve: {self._what} is behind, trading goes on: {said}\n")
                    sys.stderr.flush()
                self._end.wait(AGAIN_S)
            except BaseException as error:  # for who polls: nobody looks at a thread
                self._failure = error
                return
            else:
                self._source = source
                return
