"""kill -9 of the gateway under load: every order is executed once and every report comes, under numbers without a gap."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from matchmark.reference.tokens import Keys

from .exchange import ACCOUNTS, SYMBOLS, Client, Exchange
from .fix_wire import utc

pytestmark = pytest.mark.soak

KILLS = 12

CHILD = """
import sys, time
from matchmark.reference.gateway import Account, Gateway, GatewaySettings, Symbol
from decimal import Decimal
root = sys.argv[1]
symbols, accounts = eval(sys.argv[2]), eval(sys.argv[3])
settings = GatewaySettings(max_connections=64, max_sessions=64, store_capacity=1 << 14, store_journal_bytes=1 << 16,
                           open_orders=1 << 14, positions=1 << 10, recent_reports=64)
g = Gateway(root + "/shm", root + "/log", root + "/data", symbols, accounts, settings)
g.start()
print(g.address[1], flush=True)
while g.failure is None:
    time.sleep(0.1)
"""


class Trader:
    """A client that remembers what it sent by number, sends again what it is asked for, and asks for what it missed."""

    def __init__(self, token: str) -> None:
        self.token, self.expected, self.next_out = token, 1, 1
        self.sent: dict[int, tuple[Any, ...]] = {}
        self.reports: list[dict[int, str]] = []
        self.client: Client | None = None

    def connect(self, port: int) -> None:
        self.client = Client(("127.0.0.1", port), "KILL-1", self.token, seq=self.next_out)
        self.next_out += 1

    def order(self, cl: str) -> None:
        assert self.client
        fields = ((11, cl), (55, "SYM"), (54, 1), (60, utc(time.time_ns())), (38, 1), (40, 2), (44, "60.00"))
        self.sent[self.next_out] = fields
        self.next_out += 1
        self.client.seq = self.next_out
        self.client.raw(self.client.message("D", *fields, seq=self.next_out - 1))

    def read(self, seconds: float) -> None:
        """Takes messages until it is silent for so long. A closed connection ends it too."""
        assert self.client
        asked = 0
        with contextlib.suppress(OSError):
            while (m := self.client.next(seconds)) is not None:
                seq = int(m[34])
                if m[35] == "2":
                    self._send_again(int(m[7]))
                if seq > self.expected:
                    if asked != self.expected:
                        asked = self.expected
                        self._send("2", (7, self.expected), (16, 0))
                elif seq == self.expected:
                    self.expected = int(m[36]) if m[35] == "4" else seq + 1
                    if m[35] == "8":
                        self.reports.append(m)

    def _send(self, kind: str, *fields: Any) -> None:
        assert self.client
        self.client.raw(self.client.message(kind, *fields, seq=self.next_out))
        self.next_out += 1

    def _send_again(self, first: int) -> None:
        assert self.client
        last = self.next_out
        for seq in range(first, last):
            if seq in self.sent:
                self.client.raw(self.client.message("D", *self.sent[seq], seq=seq, poss_dup=True))
            else:
                self.client.raw(self.client.message("4", (123, "Y"), (36, seq + 1), seq=seq, poss_dup=True))


def start(root: Path) -> tuple[subprocess.Popen[str], int]:
    words = [sys.executable, "-c", CHILD, str(root), repr(SYMBOLS), repr(ACCOUNTS)]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert child.stdout
    return child, int(child.stdout.readline())


def test_a_killed_gateway_loses_and_doubles_nothing(tmp_path: Path) -> None:
    chance = random.Random(7)
    x = Exchange(tmp_path)
    x.gateway.close()
    trader = Trader(Keys(tmp_path / "data" / "keys").issue("ALICE", 600))
    orders = 0
    try:
        for turn in range(KILLS + 1):
            child, port = start(tmp_path)
            try:
                trader.connect(port)
                trader.read(0.3)
                end = time.monotonic() + chance.uniform(0.02, 0.25)
                while turn < KILLS and time.monotonic() < end:
                    trader.order(f"k{orders}")
                    orders += 1
                    time.sleep(chance.choice((0, 0, 0.001)))
                    if orders % 300 == 0:
                        break  # the engine of these tests has room for 4,096 open orders
                if turn == KILLS:
                    trader.read(1.0)
            finally:
                child.send_signal(signal.SIGKILL)
                child.wait()
                assert child.stdout
                child.stdout.close()
            trader.read(0.05)
            assert trader.client
            trader.client.close()
        accepted = [m[11] for m in trader.reports if m[150] == "0"]
        assert sorted(accepted) == sorted(f"k{n}" for n in range(orders))
        assert {m[150] for m in trader.reports} == {"0"}, [m for m in trader.reports if m[150] != "0"][:3]
        ids = [int(m[17]) for m in trader.reports]
        assert ids == sorted(set(ids))
        assert orders > 50
    finally:
        x.close()
