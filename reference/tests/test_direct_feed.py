"""The direct feed of `matchmark serve`: what is killed, and what is not there, makes no gap that a receiver is not told of."""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from matchmark.conformance.packets.feed_book import FeedBook
from matchmark.conformance.packets.from_log import told_by
from matchmark.conformance.packets.receiver import Message, Receiver
from matchmark.reference.audit_log import open_log
from matchmark.reference.config import load
from matchmark.reference.config_direct_feed import DirectFeedSettings
from matchmark.reference.config_text import ConfigError

from .pair import Load as PairLoad
from .pair import Pair
from .serving import SMALL, Serve
from .test_serve_kill import Load

Make = Callable[..., Serve]
GROUP = "239.255.41.8"
FEED = ("--direct-feed", f"{GROUP}:0")


class Listener:
    """A receiver that a thread reads."""

    def __init__(self, url: str, have: int | None = 0) -> None:
        self.receiver, self.messages = Receiver(url, have), list[Message]()
        self.error: BaseException | None = None
        self._on = True
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while self._on:
                self.messages += self.receiver.poll(0.05)
        except BaseException as error:  # told to the test, which fails with it
            self.error = error

    def wait_for(self, sequence: int, seconds: float = 20) -> list[Message]:
        until = time.monotonic() + seconds
        while (self.receiver.have or 0) < sequence and not self.error:
            assert time.monotonic() < until, (self.receiver.have, sequence, self.receiver.numbers)
            time.sleep(0.01)
        return self.messages

    def close(self) -> None:
        self._on = False
        self._thread.join(10)
        self.receiver.close()
        if self.error:
            raise self.error


@contextmanager
def listening(url: str, have: int | None = 0) -> Iterator[Listener]:
    listener = Listener(url, have)
    try:
        yield listener
    finally:
        listener.close()


def judge(messages: list[Message], log: Path, stamps: bool = True) -> None:
    """All of the log, once, in order; and a book can be made of it. Each member of a cluster has stamps of its own."""
    records = np.concatenate([file.slots for file in open_log(log)])

    def plain(of: list[Message]) -> list[Message]:
        return [m._replace(whole=False, matched_ns=m.matched_ns if stamps else 0) for m in of]

    assert plain(messages) == plain(told_by(records[records["sequence"] > 0]))
    FeedBook().take(messages)


def test_trades_cancels_and_states_reach_a_receiver_and_status_counts(serving: Make) -> None:
    x = serving()
    ready = x.start(*FEED)
    assert ready["direct_feed"].startswith(f"udp://{GROUP}:") and "direct_feed" in ready["pids"]
    with listening(ready["direct_feed"]) as listener:
        client = x.client()
        client.new("a", 1, 10, "100.00")
        client.new("b", 2, 4, "100.00")
        client.send("F", (11, "c"), (41, "a"), (55, "SYM1"), (54, 1), (60, "20260101-00:00:00"), (38, 10))
        assert client.read_until(lambda: len(client.reports) >= 5)
        assert x.operator("halt", symbol="SYM1", reason="a test")[0] == 200
        status = x.wait_for(lambda s: s["sequence"] == s["durable_sequence"] == s["direct_feed"]["sequence"])
        messages = listener.wait_for(status["sequence"])
        assert [m.type for m in messages] == list("AAEXS") and messages[-1].state == 2
        trade = messages[2]
        assert (trade.price, trade.quantity, trade.leaves, trade.resting_leaves) == (10000, 4, 0, 6)
        judge(messages, x.data / "log")
        assert status["direct_feed"]["messages"] == 5 and status["direct_feed"]["packets"] >= 1
        assert {"market_data", "ledger", "publisher"}.isdisjoint(status)
    assert x.stop() == 0


def test_without_it_nothing_of_it_runs(serving: Make) -> None:
    x = serving()
    ready = x.start()
    assert ready["direct_feed"] is None and "direct_feed" not in ready["pids"] and "direct_feed" not in x.status()
    assert x.stop() == 0


@pytest.mark.parametrize(
    ("role", "mode"), [("direct_feed", "async"), ("writer", "async"), ("engine", "async"), ("writer", "fsync")]
)
def test_a_kill_under_load_makes_no_gap_that_is_not_told(serving: Make, role: str, mode: str) -> None:
    chance = random.Random(role)
    x = serving()
    url = x.start(*FEED, "--durability", mode)["direct_feed"]
    with listening(url) as listener:
        load = Load(x)
        try:
            for _ in range(3):
                time.sleep(chance.uniform(0.1, 0.4))
                x.kill_role(role)
        finally:
            load.stop()
        status = x.wait_for(lambda s: s["sequence"] == s["durable_sequence"] and s["pids"].get("direct_feed"))
        judge(listener.wait_for(status["sequence"]), x.data / "log")
        assert status["restarts"][role] == 3 and load.orders > 100
        assert not listener.receiver.numbers.taken_back and not listener.receiver.numbers.unavailable
    assert x.stop() == 0


def test_trading_goes_on_while_the_feed_stands_still_and_it_catches_up_from_the_log(serving: Make) -> None:
    x = serving()
    ready = x.start(*FEED)
    with listening(ready["direct_feed"]) as listener:
        pid = x.status()["pids"]["direct_feed"]
        os.kill(pid, signal.SIGSTOP)
        client = x.client()
        for n in range(3000):  # more records than the ring holds
            client.new(f"o{n}", 1 + n % 2, 1, "100.00")
            if n % 100 == 99:
                client.read_until(lambda: False, 0.01)
        assert client.read_until(lambda: len(client.reports) >= 6000)
        os.kill(pid, signal.SIGCONT)
        status = x.wait_for(lambda s: s["sequence"] == s["durable_sequence"] == s["direct_feed"]["sequence"])
        judge(listener.wait_for(status["sequence"]), x.data / "log")
        assert x.wait_for(lambda s: s["direct_feed"]["from_log"] > 1000)["restarts"].get("direct_feed", 0) == 0
    assert x.stop() == 0


def test_a_restart_of_the_exchange_goes_on_with_the_numbers(serving: Make) -> None:
    x = serving(SMALL + f'[direct_feed]\ngroup = "{GROUP}"\nport = {free_port()}\nheartbeat_s = 0.1\n')
    url = x.start()["direct_feed"]
    with listening(url) as listener:
        for kill in (False, True, False):
            client = x.client("ACC1", f"ACC1-{kill}-{time.monotonic_ns()}")
            for n in range(100):
                client.new(f"{time.monotonic_ns()}-{n}", 1 + n % 2, 1, "100.00")
            assert all(client.next() for _ in range(200))
            status = x.wait_for(lambda s: s["sequence"] == s["durable_sequence"])
            client.close()
            if kill:
                x.kill()
            else:
                assert x.stop() == 0
            x.start()
        status = x.wait_for(lambda s: s["sequence"] == s["durable_sequence"])
        judge(listener.wait_for(status["sequence"]), x.data / "log")
        assert not listener.receiver.numbers.taken_back
    assert x.stop() == 0


def test_a_failover_makes_no_gap_that_is_not_told(tmp_path: Path) -> None:
    table = f'[direct_feed]\ngroup = "{GROUP}"\nport = {free_port()}\nheartbeat_s = 0.1\n'
    pair = Pair(tmp_path, "replicated", SMALL + table)
    try:
        url = pair.start("a").ready["direct_feed"]
        pair.standby("b")
        with listening(url) as listener:
            load = PairLoad(pair)
            time.sleep(1.0)
            first = pair.primary()
            pair.members[first].kill()
            time.sleep(2.0)
            load.stop()
            survivor = pair.members[pair.primary()]
            status = survivor.wait_for(lambda s: s["sequence"] == s["durable_sequence"])
            messages = listener.wait_for(status["sequence"])
            judge(messages, survivor.data / "log", stamps=False)
            assert listener.receiver.epoch == status["epoch"] and not listener.receiver.numbers.taken_back
    finally:
        pair.close()


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_a_port_that_is_taken_is_told(serving: Make) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        x = serving(SMALL + f"[direct_feed]\nretransmit_port = {port}\n")
        code, text = x.refused()
        assert code == 3 and f"direct feed: 127.0.0.1 port {port}" in text


@pytest.mark.parametrize(
    ("table", "flag", "words"),
    [
        ("", "239.1.1.1", "write GROUP:PORT"),
        ("", "239.1.1.1:x", "write GROUP:PORT"),
        ("", "239.1.1.1:65536", "write GROUP:PORT"),
        ("", "10.0.0.1:5", "no multicast group"),
        ("", "host:5", "no IPv4 address"),
        ('group = "10.0.0.1"', None, "no multicast group"),
        ('interface = "lo"', None, "no IPv4 address"),
        ("heartbeat_s = 0", None, "0.01 to 60"),
        ("ttl = 256", None, "ttl"),
        ("loop = 1", None, "true or false"),
        ("answers_per_s = 0", None, "answers_per_s"),
        ('grup = "239.1.1.1"', None, "unknown key"),
    ],
)
def test_mistakes_in_the_configuration_are_told(tmp_path: Path, table: str, flag: str | None, words: str) -> None:
    path = tmp_path / "serve.toml"
    path.write_text(f"[direct_feed]\n{table}\n" if table else "")
    with pytest.raises(ConfigError, match=words):
        load({"config": path, "direct_feed": flag}, {})


def test_flag_variable_and_file(tmp_path: Path) -> None:
    path = tmp_path / "serve.toml"
    path.write_text('[direct_feed]\ngroup = "239.1.1.1"\nport = 7\nttl = 3\n')
    assert load({}, {}).direct_feed is None
    assert load({"config": path}, {}).direct_feed == DirectFeedSettings("239.1.1.1", 7, ttl=3)
    variable = {"MATCHMARK_SERVE_DIRECT_FEED": "239.2.2.2:9"}
    assert load({"config": path}, variable).direct_feed == DirectFeedSettings("239.2.2.2", 9, ttl=3)
    assert load({"direct_feed": "239.3.3.3:0"}, variable).direct_feed == DirectFeedSettings("239.3.3.3", 0)
