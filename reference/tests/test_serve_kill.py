"""kill -9 of a role of `matchmark serve` under load from a FIX client: every acknowledged order is in the log once, and every
report comes once, in order."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from matchmark.native.pipeline_records import AUDIT_HEADER_BYTES, AUDIT_RECORD, OP_SHIFT, RecordKind
from matchmark.reference.verify import verify

from .serving import Serve, Trader

Make = Callable[..., Serve]

ROLES = ("engine", "gateway", "writer")
NEW = 1


class Load:
    """Sends orders that trade with each other, reads what comes, and connects again when it is cut off."""

    error: BaseException | None

    def __init__(self, x: Serve) -> None:
        self.x, self.orders, self.trader = x, 0, x.client()
        self._on, self.error = True, None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while self._on:
                try:
                    self._burst()
                except OSError:
                    self._connect()
            self._settle()
        except BaseException as error:  # told to the test, which fails with it
            self.error = error

    def _burst(self) -> None:
        for _ in range(20):
            n, self.orders = (
                self.orders,
                self.orders + 1,
            )  # counted first: one that cannot be sent now is sent on request
            self.trader.new(f"k{n}", 1 + n % 2, 1, "100.00")
        self.trader.read_until(lambda: False, 0.01)
        if self.trader.cut:
            self._connect()

    def _connect(self) -> None:
        until = time.monotonic() + 30
        while True:
            try:
                self.trader.connect(self.x.ready["fix"]["port"])
                return
            except (OSError, AssertionError):
                assert time.monotonic() < until, "the client cannot get back in"
                time.sleep(0.02)

    def _settle(self) -> None:
        """Until every order was answered; what got lost on the way to a killed gateway is asked for by it."""
        self._connect()
        until = time.monotonic() + 60
        while len(self.answered()) < self.orders and time.monotonic() < until:
            self.trader.read_until(lambda: len(self.answered()) == self.orders, 2)
            if self.trader.cut:
                self._connect()

    def answered(self) -> set[str]:
        return {m[11] for m in self.trader.reports if m[35] == "8" and m[150] in "08"}

    def stop(self) -> Trader:
        self._on = False
        self._thread.join(120)
        assert not self._thread.is_alive()
        if self.error:
            raise self.error
        return self.trader


def logged_orders(x: Serve) -> Counter[str]:
    """How often each ClOrdID is in the log as a new order."""
    out: Counter[str] = Counter()
    for path in sorted((x.data / "log").glob("audit-*.log")):
        records = np.frombuffer(path.read_bytes()[AUDIT_HEADER_BYTES:], dtype=AUDIT_RECORD)
        news = (records["kind"] == RecordKind.COMMAND) & (records["flags"] >> OP_SHIFT == NEW)
        out.update(text.decode() for text in records["text"][news].tolist())
    return out


def kill_under_load(x: Serve, role: str, kills: int, mode: str) -> None:
    chance = random.Random(f"{role} {mode}")
    x.start("--durability", mode)
    load = Load(x)
    try:
        for _ in range(kills):
            time.sleep(chance.uniform(0.02, 0.25))
            began = time.monotonic()
            x.kill_role(role)
            assert time.monotonic() - began < 5, "the role was not started again at once"
    finally:
        trader = load.stop()
    assert x.status()["restarts"][role] == kills
    assert x.stop() == 0
    result = verify(x.data / "log")
    assert not result.findings, result.findings
    accepted = Counter(m[11] for m in trader.reports if m[35] == "8" and m[150] == "0")
    refused = [m for m in trader.reports if m[35] != "8" or m[150] == "8"]
    assert not refused, [(m[35], m.get(11), m.get(103), m.get(58)) for m in refused[:3]]
    assert set(accepted) == {f"k{n}" for n in range(load.orders)} and set(accepted.values()) == {1}
    logged = logged_orders(x)
    assert {name: logged[name] for name in accepted} == dict.fromkeys(accepted, 1)
    execs = [int(m[17]) for m in trader.reports]
    assert execs == sorted(set(execs)), "a report came twice, or out of order"
    assert load.orders > 20 * kills


@pytest.mark.parametrize("role", ROLES)
def test_three_kills_of_a_role_lose_and_double_nothing(serving: Make, role: str) -> None:
    kill_under_load(serving(), role, 3, "async")


@pytest.mark.soak
@pytest.mark.parametrize("mode", ["async", "fsync"])
@pytest.mark.parametrize("role", ROLES)
def test_fifty_kills_of_a_role_lose_and_double_nothing(serving: Make, role: str, mode: str) -> None:
    kill_under_load(serving(), role, 50, mode)


def test_the_supervisor_and_all_roles_killed_at_once_lose_nothing_acknowledged(serving: Make) -> None:
    x = serving()
    x.start()
    client = x.client()
    for n in range(500):
        client.new(f"a{n}", 1 + n % 2, 1, "100.00")
    client.read_until(lambda: len(client.reports) > 300)
    for pid in x.ready["pids"].values():
        os.kill(pid, signal.SIGKILL)
    x.kill()
    acknowledged = {m[11] for m in client.reports if m[150] == "0"}
    x.start()
    client.connect(x.ready["fix"]["port"])
    assert client.read_until(lambda: len({m[11] for m in client.reports if m[150] == "0"}) == 500)
    assert x.stop() == 0
    assert acknowledged <= set(logged_orders(x)) and set(logged_orders(x).values()) == {1}
    assert not verify(x.data / "log").findings
