"""kill -9 of engine, writer and gateways at random instants under load: nothing lost, nothing executed twice.

Each role runs in a forked process; the test is the gateway (and the supervisor). What must come out is computed by one
matching engine that took the same orders and was never killed.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from matchmark.native import Engine, EventKind
from matchmark.native.pipeline import (
    AuditWriter,
    EngineConfig,
    EngineLoop,
    ExchangeState,
    Gateway,
    Pipeline,
    Put,
    Records,
    create,
    new_orders,
    recover,
)
from matchmark.native.pipeline_records import (
    AUDIT_HEADER_BYTES,
    AUDIT_RECORD,
    COMMAND,
    EVENT,
    Durability,
    RecordKind,
    Wait,
)

pytestmark = pytest.mark.soak

CONFIG = EngineConfig(symbols=3, max_orders=1 << 16, remembered_ids=1 << 21, emit_top=True)
KILLS = 50


class Exchange:
    """Shared memory, log directory and the processes of one exchange."""

    def __init__(self, durability: Durability, **sizes: int) -> None:
        self.shared = Path(tempfile.mkdtemp(prefix="matchmark-test-", dir="/dev/shm"))
        self.log = Path(tempfile.mkdtemp(prefix="matchmark-test-log-"))
        create(self.shared, durability=durability, **{"audit_slots": 1 << 14, **sizes})
        self.pipeline = Pipeline(self.shared)
        self.children: dict[str, int] = {}

    def start(self, role: str, body: Callable[[Pipeline], None]) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                body(Pipeline(self.shared))
            except BaseException as error:
                os.write(2, f"{role}: {error!r}\n".encode())
                os._exit(3)
            os._exit(0)
        self.children[role] = pid
        return pid

    def start_engine(self) -> None:
        def body(p: Pipeline) -> None:
            engine = EngineLoop(p, self.log, CONFIG)
            while engine.run(50_000_000, Wait.YIELD) == 0:
                pass

        self.start("engine", body)

    def start_writer(self) -> None:
        def body(p: Pipeline) -> None:
            writer = AuditWriter(p, self.log, CONFIG, file_records=20_000)
            while writer.run(50_000_000, Wait.YIELD) == 0:
                pass

        self.start("writer", body)

    def kill(self, role: str) -> None:
        pid = self.children.pop(role)
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status), f"{role} had already ended by itself: exit code {os.WEXITSTATUS(status)}"

    def close(self) -> None:
        for role in list(self.children):
            pid = self.children.pop(role)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self.pipeline.close()
        shutil.rmtree(self.shared)
        shutil.rmtree(self.log)


@pytest.fixture
def exchange() -> Iterator[Callable[..., Exchange]]:
    made: list[Exchange] = []

    def make(durability: Durability = Durability.ASYNC, **sizes: int) -> Exchange:
        made.append(Exchange(durability, **sizes))
        return made[-1]

    yield make
    for one in made:
        one.close()


def order_flow(rng: np.random.Generator, first: int, n: int) -> Records:
    """`n` orders numbered from `first`: limit, market, IOC, cancels, replaces, mass cancels, status; some of them bad."""
    orders = new_orders(n)
    c = orders["command"]
    ids = np.arange(first, first + n, dtype=np.uint64) + 1
    c["op"] = rng.choice([1, 1, 1, 1, 1, 2, 2, 3, 5], n)
    c["op"][rng.random(n) < 0.001] = 4
    c["side"] = rng.integers(0, 2, n)
    c["type"] = rng.random(n) < 0.05
    c["tif"] = rng.random(n) < 0.1
    c["smp"] = rng.choice([0, 0, 1, 2], n)
    c["account"] = rng.integers(0, 5, n)
    c["symbol"] = rng.integers(0, 3, n)
    c["cl_ord_id"] = ids
    c["orig_cl_ord_id"] = np.maximum(ids.astype(np.int64) - rng.integers(1, 200, n), 1)
    c["price_ticks"] = 1000 + rng.integers(-15, 16, n)
    c["quantity_lots"] = rng.integers(0, 100, n)
    c["time_ns"] = ids * np.uint64(1000)
    orders["text"] = np.char.add("c", ids.astype(str)).astype("S40")
    orders["orig_text"] = np.char.add("c", c["orig_cl_ord_id"].astype(str)).astype("S40")
    orders["session"] = c["account"] + np.uint32(100)
    return orders


class Load:
    """Puts orders and takes reports for as long as it is told."""

    def __init__(self, gateway: Gateway, seed: int) -> None:
        self.gateway, self.rng = gateway, np.random.default_rng(seed)
        self.sent: list[Records] = []
        self.count = 0
        self.waiting = new_orders(0)
        self.reports: list[Records] = []

    def run_for(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if not len(self.waiting):
                self.waiting = order_flow(self.rng, self.count, 200)
                self.count += 200
            taken = self.gateway.put_all(self.waiting)
            self.sent.append(self.waiting[:taken])
            self.waiting = self.waiting[taken:]
            self.take()
            if not taken:
                time.sleep(0.0005)

    def take(self) -> None:
        reports = self.gateway.take()
        if len(reports):
            self.reports.append(reports)

    def drain(self, pipeline: Pipeline, patience_s: float = 60) -> None:
        total = sum(len(part) for part in self.sent)
        until = time.monotonic() + patience_s
        while True:
            self.take()
            status = pipeline.status()
            if (
                status.order_position >= total
                and status.sequence == status.durable_sequence
                and not len(self.gateway.take(0))
            ):
                self.take()
                return
            assert time.monotonic() < until, f"not drained: {status}, {total} orders were put"
            time.sleep(0.002)


def read_log(directory: Path) -> Records:
    extent = recover(directory, cut=False)
    assert extent.bytes_cut == 0
    parts = [
        np.frombuffer(path.read_bytes()[AUDIT_HEADER_BYTES:], dtype=AUDIT_RECORD)
        for path in sorted(directory.glob("audit-*.log"))
    ]
    return np.concatenate(parts)[: extent.sequence]


def judge(exchange: Exchange, load: Load) -> None:
    """The log is what one engine makes of the orders put, in order, once each; the reports are those of the log, once each."""
    sent = np.concatenate(load.sent)
    assert len(sent) > 10_000, "too little load to say anything"
    log = read_log(exchange.log)
    commands = log[log["kind"] == RecordKind.COMMAND]
    bodies = np.ascontiguousarray(commands["body"]).view(COMMAND)
    assert bodies["tag"].tolist() == list(range(len(sent)))
    expected = sent["command"].copy()
    expected["tag"] = bodies["tag"]
    assert bodies.tobytes() == expected.tobytes()
    with Engine(CONFIG.symbols, CONFIG.max_orders, CONFIG.max_levels, CONFIG.remembered_ids, CONFIG.emit_top) as engine:
        events = engine.submit(np.ascontiguousarray(expected))
    logged = log[log["kind"] == RecordKind.EVENT]
    assert np.ascontiguousarray(logged["body"]).tobytes() == events.tobytes()

    kinds = np.ascontiguousarray(logged["body"]).view(EVENT)["kind"]
    told = logged["sequence"][kinds != EventKind.TOP] * np.uint64(2)
    trades = logged["sequence"][kinds == EventKind.TRADE] * np.uint64(2) + np.uint64(1)
    keys = np.concatenate([part["key"] for part in load.reports])
    assert (np.diff(keys.astype(np.int64)) > 0).all(), "a report came twice or out of order"
    assert np.array_equal(keys, np.sort(np.concatenate([told, trades]))), "reports and log disagree"


@pytest.mark.parametrize("durability", [Durability.ASYNC, Durability.FSYNC])
def test_an_engine_killed_at_any_instant_loses_nothing_and_repeats_nothing(
    exchange: Callable[..., Exchange], durability: Durability
) -> None:
    x, rng = exchange(durability, report_slots=1 << 16), random.Random(1)
    x.start_writer()
    x.pipeline.state = ExchangeState.RUNNING
    load = Load(Gateway(x.pipeline, 0), seed=1)
    for _ in range(KILLS):
        x.start_engine()
        load.run_for(rng.choice((rng.uniform(0, 0.003), rng.uniform(0.005, 0.06))))
        x.kill("engine")
    x.start_engine()
    load.drain(x.pipeline)
    judge(x, load)


def test_a_writer_killed_at_any_instant_loses_nothing(exchange: Callable[..., Exchange]) -> None:
    x, rng = exchange(Durability.FSYNC, report_slots=1 << 16), random.Random(2)
    x.start_engine()
    x.pipeline.state = ExchangeState.RUNNING
    load = Load(Gateway(x.pipeline, 0), seed=2)
    for _ in range(KILLS):
        x.start_writer()
        load.run_for(rng.uniform(0, 0.03))
        x.kill("writer")
    x.start_writer()
    load.drain(x.pipeline)
    judge(x, load)


def test_gateways_killed_at_any_instant_hold_nobody_up(exchange: Callable[..., Exchange]) -> None:
    x, rng = exchange(Durability.ASYNC, gateways=3, report_slots=1 << 16), random.Random(3)
    x.start_writer()
    x.start_engine()
    x.pipeline.state = ExchangeState.RUNNING
    steady = Gateway(x.pipeline, 0)

    def flood(number: int) -> Callable[[Pipeline], None]:
        def body(p: Pipeline) -> None:
            gateway, generator = Gateway(p, number), np.random.default_rng(number)
            first = number << 40
            while True:
                gateway.put_all(order_flow(generator, first, 500))
                gateway.take()
                first += 500

        return body

    mine = 0
    for _ in range(KILLS):
        for number in (1, 2):
            x.start(f"gateway {number}", flood(number))
        until = time.monotonic() + rng.uniform(0.001, 0.03)
        while time.monotonic() < until:
            order = order_flow(np.random.default_rng(mine), mine, 1)
            mine += steady.put(order)[0] == Put.OK
            steady.take()
        for number in (1, 2):
            x.kill(f"gateway {number}")
    until = time.monotonic() + 30
    while x.pipeline.status().orders_waiting:
        assert time.monotonic() < until, f"the engine is held up: {x.pipeline.status()}"
        time.sleep(0.002)
    x.pipeline.state = ExchangeState.STOPPING
    for role in ("engine", "writer"):
        _, status = os.waitpid(x.children.pop(role), 0)
        assert os.WEXITSTATUS(status) == 0
    log = read_log(x.log)
    commands = log[log["kind"] == RecordKind.COMMAND]
    assert mine > 100
    assert int((commands["gateway"] == 0).sum()) == mine
    positions = np.ascontiguousarray(commands["body"]).view(COMMAND)["tag"]
    assert (np.diff(positions.astype(np.int64)) > 0).all()
    assert len(positions) + x.pipeline.status().orders_abandoned == x.pipeline.status().order_position
