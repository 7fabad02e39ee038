"""[kafka]: where the publisher writes the exchange's events to, and market data and the ledger read them from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from matchmark.reference.config_text import ConfigError, Source

_KEYS = ("bootstrap", "topic", "partitions", "replication", "readers")
READERS = ("kafka", "log")
PARTITIONS_MAX = 10_000
_ADDRESS = re.compile(r"[\w.-]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}")


@dataclass(frozen=True)
class KafkaSettings:
    """`bootstrap`: host:port of some brokers. `partitions` and `replication` are for a topic that is not there yet.
    `readers`: what market data and the ledger read, one of READERS."""

    bootstrap: str
    topic: str = "matchmark.events"
    partitions: int = 100
    replication: int = 3
    readers: str = "kafka"

    @property
    def progress_topic(self) -> str:
        return f"{self.topic}.progress"


def kafka_settings(
    source: Source, flag: Any = None, more: Mapping[str, Any] = MappingProxyType({})
) -> KafkaSettings | None:
    """None: nobody asked for Kafka. `flag` is what --kafka says, `more` what flags say of other keys; they go before the file."""
    table = source.table("kafka")
    source.only(("kafka",), table, _KEYS)
    if flag is None and not table:
        return None
    where = source.where("kafka", None, "bootstrap")
    bootstrap = flag if flag is not None else source.text("kafka", None, "bootstrap")
    if not all(_ADDRESS.fullmatch(one.strip()) for one in str(bootstrap).split(",")):
        raise ConfigError(
            f"{'--kafka' if flag is not None else where}: bootstrap is {bootstrap!r}; write host:port of the brokers, with commas"
        )
    topic, where = KafkaSettings.topic, source.where("kafka", None, "topic")
    if "topic" in more:
        topic, where = str(more["topic"]), "--kafka-topic"
    elif "topic" in table:
        topic = source.text("kafka", None, "topic")
    if not re.fullmatch(r"[a-zA-Z0-9._-]{1,200}", topic):
        raise ConfigError(f"{where}: topic is {topic!r}; write 1 to 200 letters, digits, . _ and -")
    partitions = source.integer("kafka", None, "partitions", 1, PARTITIONS_MAX) if "partitions" in table else 100
    if "partitions" in more:
        said = str(more["partitions"])
        if not said.isdecimal() or not 1 <= int(said) <= PARTITIONS_MAX:
            raise ConfigError(f"--kafka-partitions: {said!r} is not a whole number from 1 to {PARTITIONS_MAX}")
        partitions = int(said)
    replication = source.integer("kafka", None, "replication", 1, 9) if "replication" in table else 3
    readers = source.text("kafka", None, "readers") if "readers" in table else READERS[0]
    if readers not in READERS:
        raise ConfigError(
            f"{source.where('kafka', None, 'readers')}: readers is {readers!r}; write {' or '.join(READERS)}, "
            "what market data and the ledger read"
        )
    return KafkaSettings(str(bootstrap), topic, partitions, replication, readers)
