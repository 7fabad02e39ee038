"""A primary that publishes to three real brokers is lost: its standby's publisher goes on where it was, without a gap."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from matchmark.reference.config_kafka import KafkaSettings
from matchmark.reference.services.kafka_brokers import Brokers

from .kafka_brokers import with_kafka
from .pair import Load, Pair
from .test_kafka_publisher import judge


@pytest.mark.soak
def test_a_failover_leaves_no_gap_on_the_topic(tmp_path: Path, kafka: Brokers) -> None:
    settings = KafkaSettings(kafka.bootstrap, "f.pair")
    pair = Pair(tmp_path, "replicated", with_kafka(kafka.bootstrap, "f.pair"))
    try:
        pair.start("a")
        pair.standby("b")
        load = Load(pair)
        try:
            first = pair.primary()
            pair.members[first].wait_for(lambda s: s["publisher"]["sequence"] > 500, 60)
            pair.members[first].kill()
            survivor = pair.members["b" if first == "a" else "a"]
            survivor.wait_for(lambda s: s["role"] == "primary", 60)
            time.sleep(1)
        finally:
            load.stop()
        judge(survivor, settings)
    finally:
        pair.close()
