"""Many subscribers that never read, and reconnect storms: memory stays bounded, and others' updates come as before.

"As before" is told by a second server beside it, with none of them: updates go to the two in turns, so both see the same machine.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import pytest

from matchmark.reference.market_data.hub import Hub

from .market_client import Client
from .market_server import Running
from .test_market_data_server import orders, running  # noqa: F401

Making = Callable[..., Running]

ROUNDS = 40
LATER_S, TIMES = 0.010, 2.0
"""A window, and the noise of medians on a machine where others work."""
UNSENT_BYTES = 4096
"""Of one client that does not read, in the server: the rest of what it was being sent, not what came after."""
GROWN_BYTES = 32 << 20


class Bad:
    """The clients' process. `ready`: how many there are."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.ready = self._number("ready")

    def _number(self, word: str) -> int:
        assert self._process.stdout
        line = self._process.stdout.readline().split()
        assert line and line[0] == word, f"the clients ended: {line}"
        return int(line[1])

    def end(self) -> int:
        """How many came in all."""
        assert self._process.stdin
        self._process.stdin.close()
        return self._number("came")


@contextmanager
def bad_clients(what: str, x: Running, count: int) -> Iterator[Bad]:
    words = [
        sys.executable,
        str(Path(__file__).with_name("silent_clients.py")),
        what,
        str(x.port),
        str(count),
        x.token(),
    ]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Bad(process)
        finally:
            process.kill()


class Pair:
    """One server with bad clients and one without, and a good client of each."""

    def __init__(self, running: Making, **settings: object) -> None:  # noqa: F811
        self.servers = [running(**settings), running(**settings)]
        self.clients = [Client(x.url, x.token()) for x in self.servers]
        self._next = 0
        for client in self.clients:
            client.subscribe("S0", channel="depth")

    def step(self) -> list[float]:
        """A trade at each server; seconds until its good client has it."""
        took = []
        for x, client in zip(self.servers, self.clients, strict=True):
            began = time.perf_counter()
            x.do(*orders(self._next, 4))
            due = len(x.trades())
            assert client.read_until(lambda: len(client["S0"].trades) == due, 60)  # noqa: B023
            took.append(time.perf_counter() - began)
        self._next += 4
        return took

    def medians(self) -> tuple[float, float]:
        took = [self.step() for _ in range(ROUNDS)]
        with_bad, without = (median(column) for column in zip(*took, strict=True))
        print(f"median of an update: {with_bad * 1e3:.2f} ms beside them, {without * 1e3:.2f} ms where there are none")
        return with_bad, without

    def close(self) -> None:
        for client in self.clients:
            client.close()


@pytest.fixture
def pair(running: Making) -> Iterator[Callable[..., Pair]]:  # noqa: F811
    made: list[Pair] = []

    def make(**settings: object) -> Pair:
        made.append(Pair(running, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


def unsent(x: Running) -> int:
    return sum(client.unsent_bytes for client in list(x.server._connections))


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def until_slow(both: Pair, count: int) -> None:
    x, until = both.servers[0], time.monotonic() + 300
    while sum(client.slow for client in list(x.server._connections)) < count:
        assert time.monotonic() < until, "they read, or nothing was sent to them"
        both.step()


def most_clients(wanted: int) -> int:
    """As many as the descriptors of one process allow."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(wanted, hard - 512)


@pytest.mark.parametrize("wanted", [100, pytest.param(10_000, marks=pytest.mark.soak)])
def test_clients_that_never_read_take_bounded_memory_and_no_time_of_others(
    pair: Callable[..., Pair], wanted: int
) -> None:
    count = most_clients(wanted)
    both = pair(conflation_ms=0, socket_bytes=4096, slow_s=3600.0, max_clients=count + 1, keep_trades=1_000_000)
    x = both.servers[0]
    with bad_clients("sit", x, count) as bad:
        assert bad.ready == count
        until_slow(both, count)
        before = resident()
        with_bad, without = both.medians()
        grown, waiting = resident() - before, unsent(x)
        print(
            f"{count:,} clients that never read, of {wanted:,}: {waiting:,} bytes wait for them, {grown:,} more resident"
        )
        assert with_bad <= TIMES * without + LATER_S
        assert waiting <= count * UNSENT_BYTES and grown <= GROWN_BYTES
        assert not both.clients[0]["S0"].gaps and both.clients[0].closed is None


def test_a_server_that_goes_on_writing_to_them_is_found(
    pair: Callable[..., Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    both = pair(conflation_ms=0, socket_bytes=4096, slow_s=3600.0, slow_bytes=1 << 30, keep_trades=1_000_000)
    monkeypatch.setattr(Hub, "slow", lambda self, client: None)
    with bad_clients("sit", both.servers[0], 20):
        until_slow(both, 20)
        for _ in range(ROUNDS):
            both.step()
        assert unsent(both.servers[0]) > 20 * UNSENT_BYTES


@pytest.mark.parametrize("at_a_time", [20, pytest.param(1_000, marks=pytest.mark.soak)])
def test_a_reconnect_storm_takes_bounded_memory_and_no_time_of_others(
    pair: Callable[..., Pair], at_a_time: int
) -> None:
    both = pair(conflation_ms=0, max_clients=2 * at_a_time + 8)
    x = both.servers[0]
    with bad_clients("storm", x, at_a_time) as bad:
        both.medians()  # it is on its way
        before = resident()
        with_bad, without = both.medians()
        came = bad.end()
        grown = resident() - before
        print(f"{came:,} clients came, {at_a_time} at a time; {grown:,} bytes more resident")
        assert came >= 5 * at_a_time
        assert with_bad <= TIMES * without + LATER_S
        assert grown <= GROWN_BYTES
    until = time.monotonic() + 20
    while len(x.server._connections) > 1 and time.monotonic() < until:
        time.sleep(0.02)
    assert len(x.server._connections) == 1, "nothing is kept of who has gone"
    assert both.step() and not both.clients[0]["S0"].gaps
