"""Market data and the ledger read three real brokers: what they make of it is what the log says, whoever is killed or away."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Producer

from matchmark.reference.events.message import pack, partition_of
from matchmark.reference.market_data.book import ASK, BID, Books
from matchmark.reference.services.kafka_brokers import Brokers

from .kafka_brokers import SYMBOLS, logged_events, with_kafka
from .ledgering import Databases
from .market_client import Client, tape
from .pair import Pair
from .serving import Serve
from .test_kafka_messages import records
from .test_kafka_publisher import caught_up
from .test_ledger_serve import check, entered, kill_postgresql, trade
from .test_market_data import trade as one_trade

MakeServe = Callable[..., Serve]
READERS = '[market_data]\nws_port = 0\n[ledger]\ndsn = "embedded"\n'
PATIENTLY = ("--wait", "60")
NAMES = [f"SYM{n}" for n in (1, 2, 3)]


def reading(kafka: Brokers, topic: str, more: str = READERS) -> str:
    return with_kafka(kafka.bootstrap, topic) + more


class Market:
    """Three accounts that trade at random in three symbols, and one subscriber who keeps what it is told."""

    def __init__(self, x: Serve, seed: int) -> None:
        self.x, self.dice, self.names = x, random.Random(seed), [0]
        self.log_on("a")
        self.client = Client(x.ready["websocket"], x.token("ACC4"))
        self.client.subscribe(*NAMES, channel="depth")

    def log_on(self, tag: str) -> None:
        """Who is silent for long is logged out."""
        self.traders = [self.x.client(f"ACC{n}", f"ACC{n}-{tag}") for n in (1, 2, 3)]

    def go(self, orders: int = 60) -> None:
        trade(self.traders, self.dice, orders, self.names)

    def same_as_the_log(self) -> bool:
        """Of the subscriber's trades and books, by now. A subscriber has all from the exchange's first record on."""
        log, books = self.x.data / "log", Books(SYMBOLS)
        books.take(logged_events(self.x.data))
        for n, name in enumerate(NAMES):
            mine, book = self.client[name], books.books[n]
            if mine.trades != tape(log, n) or mine.gaps:
                return False
            if mine.sides() != (book.levels[BID], book.levels[ASK]):
                return False
        return True

    def settled(self, seconds: float = 60) -> None:
        caught_up(self.x)
        assert self.client.read_until(self.same_as_the_log, seconds), (self.x.status(), self.x.stderr())
        assert len(tape(self.x.data / "log", 0)) > 3, "nothing was traded"

    def close(self) -> None:
        self.client.close()


def offsets(dsn: str, source: str) -> dict[int, tuple[int, int]]:
    """By partition: the offset that the ledger keeps, and the record that was the last entered when it did."""
    with psycopg.connect(dsn, autocommit=True) as c:
        rows = c.execute(
            "SELECT partition, next_offset, last_sequence FROM ledger_offset WHERE source = %s", (source,)
        ).fetchall()
    return {partition: (offset, last) for partition, offset, last in rows}


def test_subscriber_and_ledger_equal_the_log_through_kafka_and_nothing_else(serving: MakeServe, kafka: Brokers) -> None:
    x = serving(reading(kafka, "r.equal"))
    x.start()
    market = Market(x, 1)
    try:
        market.go()
        market.settled()
        status = entered(x)
        kept = offsets(x.ready["ledger"], "kafka:r.equal")
        assert kept and max(last for _, last in kept.values()) == status["ledger"]["sequence"]
        # The publisher stands still: trading goes on, and nobody reads the log behind its back.
        told = len(market.client.said)
        os.kill(status["pids"]["publisher"], signal.SIGSTOP)
        try:
            market.go()
            stale = x.wait_for(lambda s: s["market_data"]["stale"] == 1)
            assert (
                stale["market_data"]["sequence"]
                == stale["ledger"]["sequence"]
                == status["sequence"]
                < stale["sequence"]
            )
            assert market.client.read_until(lambda: any(w["op"] == "stale" for w in market.client.said[told:]))
        finally:
            os.kill(status["pids"]["publisher"], signal.SIGCONT)
        market.settled()
        assert market.client.read_until(lambda: market.client.said[-1]["op"] == "live")
        # Who comes back has what was traded meanwhile, whatever was killed.
        for role in ("publisher", "market_data", "ledger"):
            x.kill_role(role)
            market.go()
        mine = market.client.symbols
        market.close()
        market.client = Client(x.ready["websocket"], x.token("ACC4"))
        market.client.symbols = mine
        market.client.subscribe(*NAMES, channel="depth", after={name: mine[name].last for name in NAMES})
        market.settled()
        entered(x)
        assert check(x, *PATIENTLY) == 0
    finally:
        market.close()
    assert x.stop() == 0


def test_a_ledger_goes_from_the_log_to_kafka_and_back(
    serving: MakeServe, kafka: Brokers, databases: Databases, capsys: pytest.CaptureFixture[str]
) -> None:
    dsn = databases.fresh()
    config = with_kafka(kafka.bootstrap, "r.switch")
    x, dice, names = serving(config), random.Random(5), [0]
    for n, reads in enumerate(("log", "kafka", "kafka", "log", "kafka")):
        x.config.write_text(f'{config}readers = "{reads}"\n')
        x.start("--ledger", dsn)
        traders = [x.client(f"ACC{account}", f"ACC{account}-{n}") for account in (1, 2, 3)]
        trade(traders, dice, 80, names)
        entered(x)
        x.kill_role("ledger")
        trade(traders, dice, 80, names)
        entered(x)
        assert check(x, "--dsn", dsn, *PATIENTLY) == 0, capsys.readouterr().out
        assert bool(offsets(dsn, "kafka:r.switch")) == (n > 0)
        assert "another audit log" not in x.stderr() and x.status()["ledger"]["stopped_at"] == 0
        assert x.stop() == 0


def test_the_topic_of_another_exchange_is_shown_to_nobody(serving: MakeServe, kafka: Brokers) -> None:
    one, other = (serving(reading(kafka, "r.mixed"), name=name) for name in ("one", "other"))
    one.start()
    one_trade(one.client("ACC1"), one.client("ACC2"), 1)
    entered(one)
    assert one.stop() == 0
    other.start()
    with Client(other.ready["websocket"], other.token("ACC4")) as client:
        client.subscribe("SYM1", channel="depth")
        one_trade(other.client("ACC1"), other.client("ACC2"), 1, lots=7)
        assert client.read_until(lambda: client.closed is not None, 60), "the server ends with a sentence"
        assert not client["SYM1"].trades and not client["SYM1"].levels
    words = "topic r.mixed has record"
    other.wait_for(lambda s: f"the market_data ended: {words}" in other.stderr(), 60)
    other.wait_for(lambda s: f"the ledger is behind, trading goes on: {words}" in other.stderr(), 60)
    assert other.status()["ledger"]["sequence"] == 0
    assert other.stop() == 0


def test_when_events_are_missing_nobody_is_told_what_is_behind_them(serving: MakeServe, kafka: Brokers) -> None:
    x = serving(reading(kafka, "r.gap"))
    x.start()
    market = Market(x, 4)
    try:
        market.go()
        market.settled()
        last = entered(x)["ledger"]["sequence"]
        hand = Producer({"bootstrap.servers": kafka.bootstrap})
        far = pack(records(10**6), 10**6 - 9, last)  # as if all between was lost
        hand.produce("r.gap", far, b"SYM1", partition_of(b"SYM1", 6))
        assert hand.flush(60) == 0
        said = "events of SYM1 are missing in partition"
        assert market.client.read_until(lambda: market.client.closed is not None, 60)
        x.wait_for(lambda s: f"the market_data ended: {said}" in x.stderr(), 60)
        x.wait_for(lambda s: f"the ledger is behind, trading goes on: {said}" in x.stderr(), 60)
        market.go()
        x.wait_for(lambda s: s["restarts"]["market_data"] > 1, 60)
        status = x.status()
        assert status["market_data"]["stale"] == 1 and status["ledger"]["sequence"] < status["sequence"]
        assert check(x, "--wait", "0") == 1, "it is behind, and it says so"
    finally:
        market.close()
    assert x.stop() == 0


def test_a_broker_is_killed_and_comes_back(serving: MakeServe, kafka: Brokers) -> None:
    x = serving(reading(kafka, "r.broker"))
    x.start()
    market = Market(x, 2)
    try:
        market.go()
        market.settled()
        kafka.kill(2)
        try:
            market.go()
            market.settled()  # with two of three
            entered(x)
            kill_postgresql(x)
            market.go()
        finally:
            kafka.start(2)
        market.go()
        kafka.wait_ready()
        market.settled()
        entered(x, 120)
        assert check(x, *PATIENTLY) == 0 and x.status()["restarts"].get("market_data", 0) == 0
    finally:
        market.close()
    assert x.stop() == 0


def test_all_brokers_are_away_at_the_start(serving: MakeServe, kafka: Brokers) -> None:
    x = serving(reading(kafka, "r.away"))
    assert kafka.down() == 3
    try:
        x.start()
        market = Market(x, 3)
        market.go()
        x.wait_for(lambda s: s["market_data"]["stale"] == 1)
        x.wait_for(lambda s: "market data is behind, trading goes on: Kafka at" in x.stderr(), 60)
        x.wait_for(lambda s: "the ledger is behind, trading goes on: Kafka at" in x.stderr(), 60)
        assert x.status()["ledger"]["sequence"] == 0
        assert market.client.read_until(lambda: any(w["op"] == "stale" for w in market.client.said))
        assert not any(market.client[name].trades for name in NAMES)
    finally:
        kafka.up(3)
    market.log_on("b")
    market.go()
    market.settled(120)
    assert market.client.read_until(lambda: market.client.said[-1]["op"] == "live", 60)
    entered(x, 120)
    assert check(x, *PATIENTLY) == 0 and x.status()["restarts"].get("market_data", 0) == 0
    market.close()
    assert x.stop() == 0


def test_the_readers_of_a_new_primary_go_on(tmp_path: Path, kafka: Brokers) -> None:
    pair = Pair(tmp_path, "replicated", reading(kafka, "r.pair"))
    try:
        a, b = pair.start("a"), pair.start("b", "--standby")
        buyer, seller = pair.client("ACC1"), pair.client("ACC2")
        with Client(a.ready["websocket"], a.token("ACC1")) as client:
            client.subscribe("SYM1", channel="depth")
            one_trade(buyer, seller, 1)
            assert client.read_until(lambda: len(client["SYM1"].trades) == 1, 60)
            mine = client["SYM1"]
            b.wait_for(lambda s: s["sequence"] >= mine.last)
            a.kill()
            client.read_until(lambda: client.closed is not None)
        pair.members.pop("a")
        for trader in (buyer, seller):
            pair.connect(trader)
        one_trade(buyer, seller, 2)
        with Client(b.ready["websocket"], b.token("ACC1")) as client:
            client.symbols["SYM1"] = mine
            assert client.subscribe("SYM1", channel="depth", after={"SYM1": mine.last})["op"] == "subscribed"
            assert client.read_until(lambda: mine.trades == tape(b.data / "log", 0), 60)
            assert len(mine.trades) == 2 and not mine.gaps
        entered(b, 120)
        assert check(b, *PATIENTLY) == 0
        a.close()
    finally:
        pair.close()
