"""Two members of a cluster as processes on this machine, and traders that know both addresses."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from matchmark.chaos.faults.pause import Pause
from matchmark.native.pipeline_records import OP_SHIFT, RecordKind
from matchmark.reference.audit_log import open_log

from .serving import SMALL, Serve, Trader

HEARTBEAT_S = 0.25
NEW = 1


class Pair:
    """Members of one cluster below `root`, started as they are asked for. `close` leaves nothing behind."""

    def __init__(self, root: Path, mode: str, config: str = SMALL, heartbeat_s: float = HEARTBEAT_S) -> None:
        self.root, self.mode, self.config, self.heartbeat_s = root, mode, config, heartbeat_s
        self.shared = root / "shared"
        self.members: dict[str, Serve] = {}

    def start(self, name: str, *flags: str) -> Serve:
        """A member, again or for the first time; ready when it trades or follows."""
        if name not in self.members:
            self.members[name] = Serve(self.root / name, self.config)
            self.members[name].keys_dir = self.shared
        self.members[name].start(*self.flags(name), *flags)
        return self.members[name]

    def flags(self, name: str) -> list[str]:
        words = {
            "--cluster": self.shared, "--member": name, "--durability": self.mode,
            "--heartbeat-s": self.heartbeat_s, "--timeout-s": self.heartbeat_s,
        }  # fmt: skip
        return [str(word) for pair in words.items() for word in pair]

    def standby(self, name: str = "b") -> Serve:
        return self.start(name, "--standby")

    def client(self, account: str = "ACC1", sender: str | None = None) -> Trader:
        """Logged on at whoever takes it."""
        some = next(iter(self.members.values()))
        some.clients.append(Trader(sender or f"{account}-1", some.token(account)))
        self.connect(some.clients[-1])
        return some.clients[-1]

    def connect(self, trader: Trader, seconds: float = 30.0) -> None:
        """Tries one address after the other, as a client does that knows nothing but FIX."""
        until = time.monotonic() + seconds
        while True:
            for member in self.members.values():
                with suppress(OSError, AssertionError):
                    trader.connect(member.ready["fix"]["port"])
                    return
            assert time.monotonic() < until, "no member takes the client"
            time.sleep(0.005)

    def primary(self, seconds: float = 20.0) -> str:
        """Who trades now. On a busy machine that may not be whom the test made it."""
        until = time.monotonic() + seconds
        while True:
            for name, member in self.members.items():
                with suppress(OSError):
                    if member.process and member.status()["role"] == "primary" and not member.status()["fenced_by"]:
                        return name
            assert time.monotonic() < until, "nobody is primary"
            time.sleep(0.01)

    def alerts(self, name: str) -> list[dict[str, Any]]:
        with suppress(FileNotFoundError):
            return [json.loads(line) for line in (self.members[name].data / "alerts.jsonl").read_text().splitlines()]
        return []

    def wait_alert(self, name: str, code: str, seconds: float = 20.0) -> dict[str, Any]:
        until = time.monotonic() + seconds
        while True:
            found = [row for row in self.alerts(name) if row["code"] == code]
            if found:
                return found[-1]
            assert time.monotonic() < until, f"{name} does not say {code}: {self.alerts(name)}"
            time.sleep(0.005)

    def processes(self, name: str) -> list[int]:
        """All of a member's, its supervisor first."""
        pids = self.members[name].status()["pids"]
        return [pids["supervisor"], *(pid for role, pid in pids.items() if role != "supervisor" and pid)]

    @contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """The whole machine stands still, and goes on afterwards."""
        pids = self.processes(name)
        pause = Pause(lambda: pids)
        try:
            pause.inject()
            yield
        finally:
            pause.heal()

    def close(self) -> None:
        for member in self.members.values():
            member.close()


class Load:
    """One session that sends orders which trade with each other, reads, and connects again wherever it is taken."""

    def __init__(self, pair: Pair, account: str = "ACC1") -> None:
        self.pair, self.account, self.orders = pair, account, 0
        self.trader = pair.client(account)
        self.error: BaseException | None = None
        self.longest_s = 0.0
        """Between two acknowledgements."""
        self._on = True
        self._last = time.monotonic()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while self._on:
                try:
                    self._burst()
                except OSError:
                    self.pair.connect(self.trader)
            self._settle()
        except BaseException as error:  # told to the test, which fails with it
            self.error = error

    def _burst(self) -> None:
        for _ in range(20):
            n, self.orders = self.orders, self.orders + 1  # counted first: what cannot be sent now is sent on request
            self.trader.new(f"{self.account}.{n}", 1 + n % 2, 1 + n % 3, "100.00")
        before = len(self.trader.reports)
        self.trader.read_until(lambda: False, 0.01)
        if len(self.trader.reports) > before:
            self.longest_s = max(self.longest_s, time.monotonic() - self._last)
            self._last = time.monotonic()
        if self.trader.cut:
            self.pair.connect(self.trader)

    def _settle(self) -> None:
        """Until every order was answered; the new primary asks for what got lost on the way to the old one."""
        until = time.monotonic() + 60
        while len(self.answered()) < self.orders and time.monotonic() < until:
            with suppress(OSError):
                self.trader.read_until(lambda: len(self.answered()) == self.orders, 2)
            if self.trader.cut:
                self.pair.connect(self.trader)

    def answered(self) -> set[str]:
        """Accepted, or told how an order that was sent again stands."""
        return {m[11] for m in self.trader.reports if m[35] == "8" and m[150] in "08I"}

    def acknowledged(self) -> set[str]:
        return {m[11] for m in self.trader.reports if m[35] == "8" and m[150] == "0"}

    def stop(self) -> None:
        self._on = False
        self._thread.join(120)
        assert not self._thread.is_alive()
        if self.error:
            raise self.error


def logged(data: Path) -> Counter[str]:
    """How often each ClOrdID is in a member's log as a new order."""
    out: Counter[str] = Counter()
    for file in open_log(data / "log"):
        records = np.array(file.slots)
        news = (records["kind"] == RecordKind.COMMAND) & (records["flags"] >> OP_SHIFT == NEW)
        out.update(text.decode() for text in records["text"][news].tolist())
    return out
