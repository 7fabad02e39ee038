"""From the engine to three Kafka brokers on this machine, acks=all: python native/bench/kafka_run.py [ORDERS A SESSION]

The whole exchange under the native FIX client of fix_load.c, its publisher beside it; timed from the first order
until the brokers have acknowledged the last event. The floor: librdkafka's own producer with the same settings gives
the same messages to another topic, right afterwards. The engine must not have waited: the gateway counts how often
the order ring was full. Nothing is measured where Kafka's jars or Java are missing: `matchmark services up kafka`
brings them.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import exchange_run
from confluent_kafka import Producer
from figure import Figure

from matchmark.reference.config_kafka import KafkaSettings
from matchmark.reference.events import topics
from matchmark.reference.events.publisher import producer_settings
from matchmark.reference.services import kafka_jars
from matchmark.reference.services.kafka_brokers import Brokers

PATIENCE_S = 300
Messages = Sequence[tuple[int, bytes, bytes]]


def installed() -> str:
    """Why not, or nothing."""
    if not shutil.which("java"):
        return "no Java"
    to = kafka_jars.cache_directory() / f"kafka-{kafka_jars.VERSION}"
    return "" if to.is_dir() and len(list(to.glob("*.jar"))) == len(kafka_jars.pinned()) else f"no jars in {to}"


def status(ready: dict[str, Any]) -> dict[str, Any]:
    with urllib.request.urlopen(ready["admin"] + "/status", timeout=20) as answer:
        return dict(json.load(answer))


def through_the_exchange(root: Path, settings: KafkaSettings, orders: int) -> dict[str, Any]:
    program = exchange_run.build(root)
    table = f'\n[kafka]\nbootstrap = "{settings.bootstrap}"\ntopic = "{settings.topic}"\n'
    with exchange_run.exchange(root / "exchange", "sleep", table) as ready:
        path = exchange_run.tokens(root / "exchange", exchange_run.SESSIONS)
        exchange_run.client(program, ready, "load", path, 1000, exchange_run.WINDOW)
        wait_for_all(ready)
        before, began = status(ready), time.monotonic()
        client = exchange_run.client(program, ready, "load", path, orders, exchange_run.WINDOW)
        traded_s = time.monotonic() - began
        after = wait_for_all(ready)
        took = time.monotonic() - began
    return {
        "took_s": took,
        "traded_s": traded_s,
        "orders_per_s": client["orders_per_s"],
        "messages": after["publisher"]["messages"] - before["publisher"]["messages"],
        "back_pressure": after["counters"]["back_pressure"] - before["counters"]["back_pressure"],
        "first": before["sequence"],
    }


def wait_for_all(ready: dict[str, Any]) -> dict[str, Any]:
    until = time.monotonic() + PATIENCE_S
    while (now := status(ready))["publisher"]["sequence"] < now["sequence"] or not now["publisher"]["connected"]:
        if time.monotonic() > until:
            raise SystemExit(f"bench: the publisher does not catch up: {now['publisher']}")
        time.sleep(0.02)
    return now


def messages_after(settings: KafkaSettings, sequence: int) -> tuple[Messages, int]:
    """What the publisher wrote of records above `sequence`, in the order of its partitions; how many events that is."""
    from matchmark.reference.events.message import PREFIX

    out: list[tuple[int, bytes, bytes]] = []
    consumer = topics.reader(settings)
    try:
        begin = dict.fromkeys(range(topics.partitions_of(consumer, settings.topic)), 0)
        for message in topics.read_back(consumer, settings.topic, begin):
            value = bytes(message.value())
            if int.from_bytes(value[16:24], "little") > sequence:
                out.append((message.partition(), bytes(message.key()), value))
    finally:
        consumer.close()
    out.sort(key=lambda one: one[2][16:24][::-1])
    return out, sum((len(value) - PREFIX.itemsize) // 272 for *_, value in out)


def floor_s(settings: KafkaSettings, messages: Messages) -> float:
    producer = Producer(topics.quiet(settings, **producer_settings()))
    producer.list_topics(settings.topic, timeout=20)
    began = time.monotonic()
    for partition, key, value in messages:
        while True:
            try:
                producer.produce(settings.topic, value, key, partition)
                break
            except BufferError:
                producer.poll(0.01)
    if producer.flush(PATIENCE_S):
        raise SystemExit("bench: the raw producer did not get through")
    return time.monotonic() - began


def figures(orders: int = 60_000) -> list[Figure]:
    """Prints what was measured; the rows of the summary."""
    if why := installed():
        print(f"not measured: {why}; `matchmark services up kafka` brings them")
        return []
    os.makedirs(exchange_run.NATIVE.parent / "build", exist_ok=True)
    with tempfile.TemporaryDirectory(dir=exchange_run.NATIVE.parent / "build") as directory:
        root = Path(directory)
        brokers = Brokers(root / "kafka", print, dies_with_us=True)
        try:
            settings = KafkaSettings(brokers.up(3))
            r = through_the_exchange(root, settings, orders)
            messages, events = messages_after(settings, r["first"])
            raw = KafkaSettings(settings.bootstrap, "raw")
            topics.ensure_topics(raw)
            floor = floor_s(raw, messages)
        finally:
            brokers.down()
    rate, best = events / r["took_s"], events / floor
    beside = f"librdkafka alone, same bytes {best:,.0f}/s"
    print(
        f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors, which three brokers, exchange and client share"
    )
    print(
        f"engine to Kafka  {rate:,.0f} events/s acknowledged by all replicas (wanted 100,000), {events:,} events in "
        f"{r['messages']:,} messages; {beside}; orders came at {r['orders_per_s']:,.0f}/s for {r['traded_s']:.1f} s, order ring "
        f"full {r['back_pressure']} times"
    )
    return [
        Figure("engine to Kafka, acks=all", rate, "ev/s", 100_000, floor=beside),
        Figure("engine waited", r["back_pressure"], "times", 0, at_most=True, floor="order ring full"),
    ]


if __name__ == "__main__":
    figures(*map(int, sys.argv[1:2]))
