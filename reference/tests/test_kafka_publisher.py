"""From the exchange to three real brokers: every event once, each symbol's in order, whoever is killed."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from matchmark.native.pipeline_records import AUDIT_RECORD
from matchmark.reference.audit_log import Records
from matchmark.reference.config_kafka import KafkaSettings
from matchmark.reference.events.log_order import LogOrder
from matchmark.reference.events.message import partition_of, unpack
from matchmark.reference.services.kafka_brokers import Brokers

from .kafka_brokers import SYMBOLS, by_symbol, logged_events, published, raw_messages, with_kafka
from .serving import Serve, Trader

MakeServe = Callable[..., Serve]


def trade(client: Trader, orders: int, tag: str) -> None:
    """Pairs that trade with each other, over all symbols, each answered."""
    before = len(client.reports)
    for n in range(orders // 2):
        symbol = f"SYM{n % SYMBOLS + 1}"
        client.new(f"{tag}a{n}", 1, 1 + n % 3, "100.00", symbol=symbol)
        client.new(f"{tag}b{n}", 2, 1 + n % 3, "100.00", symbol=symbol)
    assert client.read_until(lambda: len(client.reports) - before >= 4 * (orders // 2), 60)


def caught_up(x: Serve, seconds: float = 120) -> None:
    def all_of_it(s: dict[str, Any]) -> bool:
        return bool(s["publisher"]["sequence"] == s["durable_sequence"] == s["sequence"])

    x.wait_for(all_of_it, seconds)


def judge(x: Serve, settings: KafkaSettings) -> int:
    """The topic has the log's events, each symbol's in order and none twice; how many came again."""
    caught_up(x)
    wanted = logged_events(x.data)
    found, source = published(settings, len(wanted))
    assert by_symbol(found) == by_symbol(wanted)
    assert len(found) == len(wanted) and source.poisoned == 0
    order = np.argsort(found["sequence"])
    # A primary and its standby write the same records, each in batches of its own.
    assert (found["running_hash"][order] == wanted["running_hash"]).all()
    assert in_log_order(settings, len(wanted))["running_hash"].tolist() == wanted["running_hash"].tolist()
    return source.duplicates


def in_log_order(settings: KafkaSettings, count: int) -> Records:
    """Events as a LogOrder gives them, each poll's sorted and none of it before what came in the polls before."""
    source, parts, got, until = LogOrder(settings), [np.zeros(0, dtype=AUDIT_RECORD)], 0, time.monotonic() + 60
    try:
        while got < count and time.monotonic() < until:
            if batches := source.poll(0.2):
                records = np.concatenate([batch.records for batch in batches])
                parts.append(records[np.argsort(records["sequence"])])
                assert not got or parts[-1][0]["sequence"] > parts[-2][-1]["sequence"]
                assert parts[-1][-1]["sequence"] <= source.sequence
                got += len(records)
    finally:
        source.close()
    return np.concatenate(parts)


class Traffic:
    """Orders without a pause, in a thread of their own."""

    def __init__(self, x: Serve) -> None:
        self._client, self._on, self.error = x.client("ACC2"), True, ""
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        n = 0
        try:
            while self._on:
                trade(self._client, 40, f"t{n}.")
                n += 1
        except AssertionError as error:
            self.error = str(error) or "no answer"

    def stop(self) -> None:
        self._on = False
        self._thread.join(90)
        assert not self._thread.is_alive() and not self.error, self.error


def test_every_event_is_published_once_in_order_by_symbol(serving: MakeServe, kafka: Brokers) -> None:
    settings = KafkaSettings(kafka.bootstrap, "t.once")
    x = serving(with_kafka(kafka.bootstrap, "t.once", 100))
    assert x.start()["kafka"] == kafka.bootstrap
    client = x.client()
    for n in range(4):
        trade(client, 200, f"p{n}.")
        caught_up(x)
    assert judge(x, settings) == 0
    assert x.status()["publisher"]["connected"] == 1
    previous: dict[bytes, int] = defaultdict(int)
    complete: dict[int, int] = defaultdict(int)
    for partition, key, value in raw_messages(settings):
        said = unpack(value)
        assert partition == partition_of(key, 100) and said.previous == previous[key]
        assert set(by_symbol(said.records)) == {int(key.removeprefix(b"SYM")) - 1}
        assert complete[partition] <= said.complete < said.first
        previous[key], complete[partition] = said.last, said.complete
    assert len(previous) == SYMBOLS
    assert x.stop() == 0


def test_a_publisher_that_is_killed_again_and_again_leaves_no_gap(serving: MakeServe, kafka: Brokers) -> None:
    settings = KafkaSettings(kafka.bootstrap, "t.killed")
    x = serving()
    x.start()
    trade(x.client(), 3000, "before.")
    assert x.stop() == 0
    x.config.write_text(with_kafka(kafka.bootstrap, "t.killed"))
    x.start()
    traffic, dice = Traffic(x), random.Random(7)
    try:
        for _ in range(6):
            x.wait_for(lambda s: s["publisher"]["connected"] and s["publisher"]["sequence"] > 0, 60)
            time.sleep(dice.random() * 0.4)
            x.kill_role("publisher")
    finally:
        traffic.stop()
    judge(x, settings)
    assert x.stop() == 0


@pytest.mark.soak
def test_a_stopped_exchange_has_published_all_and_goes_on_where_it_was(serving: MakeServe, kafka: Brokers) -> None:
    settings = KafkaSettings(kafka.bootstrap, "t.again")
    x = serving(with_kafka(kafka.bootstrap, "t.again"))
    for n in range(3):
        x.start()
        trade(x.client(f"ACC{n + 1}"), 100, f"r{n}.")
        if n < 2:
            caught_up(x)
            assert x.stop() == 0
    assert judge(x, settings) == 0
    assert x.stop() == 0


@pytest.mark.soak
def test_a_broker_that_is_killed_takes_nothing_along(serving: MakeServe, kafka: Brokers) -> None:
    settings = KafkaSettings(kafka.bootstrap, "t.broker")
    x = serving(with_kafka(kafka.bootstrap, "t.broker"))
    x.start()
    client = x.client()
    trade(client, 200, "before.")
    caught_up(x)
    kafka.kill(1)
    try:
        trade(client, 200, "without.")
        assert judge(x, settings) == 0  # with two of three
    finally:
        kafka.start(1)
    trade(x.client("ACC2"), 200, "after.")
    kafka.wait_ready()
    assert judge(x, settings) == 0
    assert x.stop() == 0


@pytest.mark.soak
def test_without_kafka_at_the_start_trading_goes_on_and_it_catches_up(serving: MakeServe, kafka: Brokers) -> None:
    settings = KafkaSettings(kafka.bootstrap, "t.later")
    x = serving(with_kafka(kafka.bootstrap, "t.later"))
    assert kafka.down() == 3
    try:
        x.start()
        trade(x.client(), 200, "alone.")
        assert x.status()["publisher"]["connected"] == 0 and x.status()["publisher"]["sequence"] == 0
        x.wait_for(lambda s: s["publisher"]["errors"] > 0, 60)
        assert "trading goes on" in x.stderr()
    finally:
        assert kafka.up(3) == settings.bootstrap
    x.wait_for(lambda s: s["publisher"]["connected"] == 1, 120)
    trade(x.client("ACC2"), 200, "together.")  # the first was silent too long
    assert judge(x, settings) == 0
    assert x.stop() == 0
    # What was written before the brokers were stopped is still there.
    assert sum(1 for _ in raw_messages(KafkaSettings(kafka.bootstrap, "t.later"))) > 0


@pytest.mark.soak
def test_the_log_of_another_exchange_is_not_mixed_in(serving: MakeServe, kafka: Brokers) -> None:
    config = with_kafka(kafka.bootstrap, "t.mixed")
    one, other = serving(config, name="one"), serving(config, name="other")
    one.start()
    trade(one.client(), 100, "one.")
    caught_up(one)
    assert one.stop() == 0
    other.start()
    other.wait_for(lambda s: s["publisher"]["errors"] > 0, 60)
    assert "another exchange published there" in other.stderr()
    assert other.status()["publisher"]["messages"] == 0
    assert other.stop() == 0
