"""A standby that takes over: what was halted is halted, what was warned is warned, deferred orders wait for their turn."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from matchmark.conformance.commands.operator import post
from matchmark.reference.tokens import Keys
from matchmark.reference.verify import verify

from .pair import Pair
from .serving import Trader
from .test_serve_breaker import FAST, HALT, RESUME, WATCHED, expect


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path, "async", WATCHED.replace("OVER", "defer").replace("rate_per_s = 5", "rate_per_s = 1"))
    made.start("a")
    made.standby("b")
    yield made
    made.close()


def trade(maker: Trader, taker: Trader, price: str, quantity: int, symbol: str) -> None:
    cl = f"{symbol}-{price}"
    maker.new(f"b{cl}", 1, quantity, price, symbol=symbol)
    expect(maker, 150, "0")
    taker.new(f"s{cl}", 2, quantity, price, symbol=symbol)
    for client, kind in ((taker, "0"), (taker, "F"), (maker, "F")):
        expect(client, 150, kind)


def until_told(client: Trader, status: str, symbol: str) -> None:
    while (m := client.next()).get(326) != status or m[55] != symbol:
        pass


def test_states_and_deferred_orders_outlive_the_primary(pair: Pair) -> None:
    maker, taker = pair.client("ACC1"), pair.client("ACC2")
    trade(maker, taker, "100.00", 100_000, "SYM1")
    trade(maker, taker, "88.00", 1, "SYM1")
    for client in (maker, taker):
        until_told(client, HALT, "SYM1")
    trade(maker, taker, "100.00", 100_000, "SYM2")
    trade(maker, taker, "94.00", 1, "SYM2")
    for client in (maker, taker):
        until_told(client, FAST, "SYM2")
    time.sleep(1.1)
    maker.new("bid", 1, 100, "94.00", symbol="SYM2")
    expect(maker, 150, "0")
    time.sleep(1.1)
    cls = [f"d{n}" for n in range(5)]
    for cl in cls:
        taker.new(cl, 2, 1, "94.00", symbol="SYM2")
    deferred = 0
    while deferred < 4:
        deferred += "deferred" in taker.next().get(58, "")
    pair.members["a"].kill()
    pair.wait_alert("b", "promoted")
    for client in (maker, taker):
        pair.connect(client)
    fills: list[str] = [m[11] for m in taker.reports if m.get(150) == "F" and m[11] in cls]
    while len(fills) < len(cls):
        m = taker.next(30)
        fills += [m[11]] if m.get(150) == "F" and m[11] in cls and m[11] not in fills else []
    assert fills == cls
    taker.new("late", 2, 1, "88.00")
    while (m := taker.next()).get(11) != "late":
        pass
    assert (m[150], m[58]) == ("8", "Trading Halted")
    newcomer = pair.client("ACC3")
    assert {newcomer.next()[55], newcomer.next()[55]} == {"SYM1", "SYM2"}
    url, token = pair.members["b"].ready["admin"], Keys(pair.shared / "keys").issue("OPS", 600, "operator")
    code, said = post(f"{url}/operator/status", token, {"symbol": "SYM1"})
    assert code == 200 and len(said["symbols"]["SYM1"]["trades"]) == 2, said
    assert post(f"{url}/operator/resume", token, {"symbol": "SYM1"})[0] == 200
    until_told(newcomer, RESUME, "SYM1")
    assert pair.members["b"].stop() == 0
    assert verify(pair.members["b"].data / "log").findings == []


def test_a_standby_takes_no_operators_command(pair: Pair) -> None:
    token = Keys(pair.shared / "keys").issue("OPS", 600, "operator")
    url = pair.members["b"].ready["admin"]
    assert post(f"{url}/operator/halt", token, {"symbol": "SYM1"})[0] == 503
    assert post(f"{url}/operator/status", token, {"symbol": "SYM1"})[0] == 200
