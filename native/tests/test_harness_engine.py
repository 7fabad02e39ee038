"""The harness library itself, in process: what the certification adapter never sends through it.

Any 64-bit id, negative prices, prices and quantities that no book may hold, an id sent twice, and a ring that is full.
"""

from __future__ import annotations

import random
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from cffi import FFI

from matchmark.conformance.targets.so_harness import REPORT
from matchmark.conformance.targets.so_host import declarations

ROOT = Path(__file__).resolve().parents[2]
ACK, TRADE, CANCEL_ACK, MODIFY_ACK, CANCEL_REJECT, MODIFY_REJECT = range(6)
PRICE_MAX = 2**53 - 1
NO_BID, NO_ASK = -(2**63), 2**63 - 1
BUY, SELL = 0, 1

Report = tuple[int, ...]


@pytest.fixture(scope="session")
def library() -> tuple[FFI, Any]:
    subprocess.run(["make", "-s", "-C", str(ROOT / "native" / "so")], check=True)
    ffi = FFI()
    ffi.cdef(declarations("harness_abi.h"))
    return ffi, ffi.dlopen(str(ROOT / "build" / "lib" / "libmatchmark_harness.so"))


class Engine:
    """Numbers messages, reads the library's ring after each; reports come as (type, side, id, price, lots, resting, incoming)."""

    def __init__(self, ffi: FFI, lib: Any, capacity: int = 1024) -> None:
        self.ffi, self.lib, self.transport = ffi, lib, lib.engine_get_transport()
        self.queue = self.transport.create(capacity)
        self.out = ffi.new("mh_report[]", 64)
        self.sequence = 0
        lib.engine_init(1, self.transport, self.queue)

    def close(self) -> None:
        self.lib.engine_shutdown()
        self.transport.destroy(self.queue)

    def new(self, id: int, side: int, price: int, lots: int, ioc: int = 0) -> list[Report]:
        self.sequence += 1
        self.lib.engine_on_new_order(self.ffi.new("mh_new_order *", [id, self.sequence, price, lots, side, ioc]))
        return self.reports()

    def cancel(self, id: int) -> list[Report]:
        self.sequence += 1
        self.lib.engine_on_cancel(self.ffi.new("mh_cancel *", [id, self.sequence]))
        return self.reports()

    def modify(self, id: int, side: int, price: int, lots: int) -> list[Report]:
        self.sequence += 1
        self.lib.engine_on_modify(self.ffi.new("mh_modify *", [id, self.sequence, price, lots, side]))
        return self.reports()

    def reports(self) -> list[Report]:
        self.lib.engine_flush()
        return self.drained()

    def drained(self) -> list[Report]:
        reports = []
        while n := self.transport.drain(self.queue, self.out, 64):
            reports += list(REPORT.iter_unpack(self.ffi.buffer(self.out, n * REPORT.size)))
        assert all(r[2] <= self.sequence for r in reports)
        return [(r[0], r[1], *r[3:]) for r in reports]


@pytest.fixture
def engine(library):
    e = Engine(*library)
    yield e
    e.close()


class Naive:
    """The same in plain Python: a list of orders as they came, searched for every question."""

    def __init__(self) -> None:
        self.orders: list[list[int]] = []  # id, side, price, lots

    def match(self, id: int, side: int, price: int, lots: int) -> tuple[list[Report], int]:
        trades: list[Report] = []
        while lots:
            others = [o for o in self.orders if o[1] != side and (o[2] <= price if side == BUY else o[2] >= price)]
            if not others:
                break
            best = min(others, key=lambda o: o[2] if side == BUY else -o[2])
            traded = min(lots, best[3])
            trades.append((TRADE, side, 0, best[2], traded, best[0], id))
            lots -= traded
            best[3] -= traded
            if not best[3]:
                self.orders.remove(best)
        return trades, lots

    def new(self, id: int, side: int, price: int, lots: int, ioc: int = 0) -> list[Report]:
        trades, left = self.match(id, side, price, lots)
        if left and not ioc:
            self.orders.append([id, side, price, left])
        ack, end = (ACK, side, id, price, lots, 0, 0), (CANCEL_ACK, side, id, price, left, 0, 0)
        return [ack, *trades, end] if left and ioc else [ack, *trades]

    def cancel(self, id: int) -> list[Report]:
        for o in self.orders:
            if o[0] == id:
                self.orders.remove(o)
                return [(CANCEL_ACK, o[1], id, o[2], o[3], 0, 0)]
        return [(CANCEL_REJECT, 0, id, 0, 0, 0, 0)]

    def modify(self, id: int, side: int, price: int, lots: int) -> list[Report]:
        for o in self.orders:
            if o[0] == id:
                self.orders.remove(o)
                trades, left = self.match(id, o[1], price, lots)
                if left:
                    self.orders.append([id, o[1], price, left])
                return [(MODIFY_ACK, o[1], id, price, lots, 0, 0), *trades]
        return [(MODIFY_REJECT, side, id, price, lots, 0, 0)]

    def best(self, side: int) -> int:
        prices = [o[2] for o in self.orders if o[1] == side]
        return (max(prices) if side == BUY else min(prices)) if prices else (NO_BID, NO_ASK)[side]

    def depth(self, price: int, side: int) -> int:
        return sum(o[3] for o in self.orders if o[1:3] == [side, price])


@pytest.mark.parametrize("base", [0, 100, -100, PRICE_MAX - 400, 400 - PRICE_MAX])
@pytest.mark.parametrize("jump", [3, 300, 10**6])
def test_reports_and_queries_equal_a_naive_books(engine, base, jump):
    rng, naive = random.Random(base * 7 + jump), Naive()
    ids = [n * step for n in range(12) for step in (1, 2**26 - 3, 2**33 + 1, 2**60)] + [2**64 - 1]
    for _ in range(1500):
        id, side, lots, draw = rng.choice(ids), rng.randrange(2), rng.randrange(1, 30), rng.random()
        price = max(-PRICE_MAX, min(PRICE_MAX, base + rng.randrange(-jump, jump + 1)))
        live = any(o[0] == id for o in naive.orders)
        if draw < 0.6 and not live:
            message = ("new", id, side, price, lots, int(rng.random() < 0.2))
        elif draw < 0.8:
            message = ("modify", id, side, price, lots)
        else:
            message = ("cancel", id)
        name, *fields = message
        assert getattr(engine, name)(*fields) == getattr(naive, name)(*fields), message
        best = (engine.lib.engine_query_best_bid(), engine.lib.engine_query_best_ask())
        assert best == (naive.best(BUY), naive.best(SELL)), message
        assert engine.lib.engine_query_depth_at(price, side) == naive.depth(price, side), message


def test_what_no_book_may_hold_is_acknowledged_and_cancelled(engine):
    for price, lots in ((100, 0), (PRICE_MAX + 1, 5), (-PRICE_MAX - 1, 5), (2**63 - 1, 5), (-(2**63), 5)):
        assert [r[0] for r in engine.new(1, BUY, price, lots)] == [ACK, CANCEL_ACK]
        assert engine.lib.engine_query_depth_at(price, BUY) == 0
    assert engine.lib.engine_query_best_bid() == NO_BID


def test_a_modify_that_no_book_may_hold_leaves_the_order_as_it_was(engine):
    engine.new(1, BUY, 100, 5)
    for price, lots in ((100, 0), (PRICE_MAX + 1, 5), (-(2**63), 5)):
        assert [r[0] for r in engine.modify(1, BUY, price, lots)] == [MODIFY_REJECT]
    assert engine.lib.engine_query_depth_at(100, BUY) == 5


def test_an_id_that_rests_is_not_accepted_again(engine):
    engine.new(1, BUY, 100, 5)
    assert engine.new(1, SELL, 100, 5) == []
    assert engine.cancel(1) == [(CANCEL_ACK, BUY, 1, 100, 5, 0, 0)]
    assert [r[0] for r in engine.new(1, SELL, 100, 5)] == [ACK]


def test_a_full_ring_holds_the_engine_until_it_is_drained_and_loses_nothing(library):
    ffi, lib = library
    engine = Engine(ffi, lib, capacity=64)
    order = ffi.new("mh_new_order *")

    def send() -> None:
        for n in range(1, 1001):
            order.order_id = order.sequence = n
            order.quantity_lots = order.price_ticks = 1
            lib.engine_on_new_order(order)
        lib.engine_flush()

    engine.sequence = 1000
    sender = threading.Thread(target=send)
    sender.start()
    sender.join(0.2)
    assert sender.is_alive()  # 64 places, 1,000 reports
    reports = []
    while sender.is_alive():
        reports += engine.drained()
    reports += engine.drained()
    assert [r[2] for r in reports] == list(range(1, 1001))
    engine.close()
