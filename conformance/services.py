"""What a target needs beside it, started once a run by the kit: [services] of the profile. Real brokers of Apache Kafka.

Whoever has some already says so in the environment, and then none is started and none is killed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from matchmark.conformance.targets.base import TargetUnavailable
from matchmark.conformance.targets.profile_key import Fail, Key, Tables
from matchmark.reference.services.kafka_brokers import Brokers
from matchmark.reference.services.kafka_jars import ServiceError

KAFKA = "MATCHMARK_KAFKA"
"""host:port of brokers; what {kafka} in a hook stands for."""
KAFKA_FOLDER = "MATCHMARK_KAFKA_FOLDER"
"""Of brokers that are the kit's own, and may be killed."""
BROKERS_MAX = 9

SERVICES: dict[str, Key] = {
    "kafka": Key(
        int, f"brokers of Apache Kafka that the kit starts for a run and stops after it, unless {KAFKA} names some"
    ),
}


def check_services(tables: Tables, fail: Fail) -> None:
    count = tables.get("services", {}).get("kafka", 0)
    if not 0 <= count <= BROKERS_MAX:
        fail("services", "kafka", f"must be from 0 to {BROKERS_MAX}, not {count}")


class Services:
    """Those of one run. `up` is harmless when they are, `down` when they are not."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self._brokers = int(table.get("kafka", 0))
        self._folder: Path | None = None

    def up(self) -> None:
        """TargetUnavailable: they cannot be had on this machine."""
        if not self._brokers or self._folder or os.environ.get(KAFKA):
            return
        self._folder = Path(tempfile.mkdtemp(prefix="matchmark-kafka-"))
        try:
            os.environ[KAFKA] = own_brokers(self._folder).up(self._brokers)
        except ServiceError as error:
            self.down()
            raise TargetUnavailable(f"[services] kafka: {error}") from None
        os.environ[KAFKA_FOLDER] = str(self._folder)

    def down(self) -> None:
        if self._folder is None:
            return
        own_brokers(self._folder).down()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None
        for name in (KAFKA, KAFKA_FOLDER):
            os.environ.pop(name, None)


def own_brokers(folder: Path | None = None) -> Brokers:
    """The run's own, as they are now. TargetUnavailable: they are not the kit's to kill."""
    where = folder or os.environ.get(KAFKA_FOLDER)
    if not where:
        raise TargetUnavailable(f"the brokers are named by {KAFKA}: they are not the kit's to kill")
    return _brokers_in(Path(where))


@cache
def _brokers_in(folder: Path) -> Brokers:
    """One object a folder, for it has the processes as its children."""
    return Brokers(folder, lambda text: print(f"matchmark: {text}", flush=True), dies_with_us=True)
