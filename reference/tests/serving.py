"""`matchmark serve` as its users run it, a process, and a FIX client for it on simplefix."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import simplefix

from matchmark.conformance.commands.operator import post
from matchmark.reference.data_dir import remove_shared_memory, shm_dir_of
from matchmark.reference.tokens import Keys

SMALL = """
[engine]
max_orders = 65536
remembered_ids = 262144
window_ticks = 256
order_slots = 1024
audit_slots = 4096
report_slots = 4096
file_records = 20000
[gateway]
max_connections = 64
max_sessions = 256
store_capacity = 65536
store_journal_bytes = 65536
open_orders = 65536
logout_wait_s = 0.5
"""
"""Sizes for tests: quick to start, two log files soon."""


class Serve:
    """One exchange at a data directory. `start` waits for the readiness line; `close` leaves nothing behind."""

    def __init__(self, root: Path, config: str = SMALL, prefix: Sequence[str] = ()) -> None:
        self.data, self.config = root / "data", root / "serve.toml"
        root.mkdir(parents=True, exist_ok=True)
        self.config.write_text(config)
        self.prefix = list(prefix)
        self.keys_dir: Path | None = None
        self.process: subprocess.Popen[str] | None = None
        self.ready: dict[str, Any] = {}
        self.stderr_path = root / "stderr"
        self.clients: list[Trader] = []

    def words(self, *flags: str) -> list[str]:
        main = [sys.executable, "-m", "matchmark.conformance.cli", "serve", "--config", str(self.config)]
        ports = ["--data-dir", str(self.data), "--fix-port", "0", "--admin-port", "0", "--wait", "sleep"]
        return [*self.prefix, *main, *ports, *flags]

    def start(self, *flags: str) -> dict[str, Any]:
        with self.stderr_path.open("a") as err:
            self.process = subprocess.Popen(self.words(*flags), stdout=subprocess.PIPE, stderr=err, text=True)
        assert self.process.stdout
        readable, _, _ = select.select([self.process.stdout], [], [], 60)
        line = self.process.stdout.readline() if readable else ""
        assert line, f"no readiness line: {self.stderr()}"
        self.ready = json.loads(line)
        return self.ready

    def refused(self, *flags: str, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Runs a serve that must not start: (exit code, stderr)."""
        done = subprocess.run(
            self.words(*flags), capture_output=True, text=True, timeout=60, env={**os.environ, **(environment or {})}
        )
        assert done.stdout == ""
        return done.returncode, done.stderr

    def stderr(self) -> str:
        return self.stderr_path.read_text()

    def status(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.ready["admin"] + "/status", timeout=10) as answer:
            return dict(json.load(answer))

    def wait_for(self, true: Callable[[dict[str, Any]], bool], seconds: float = 20) -> dict[str, Any]:
        until = time.monotonic() + seconds
        while not true(status := self.status()):
            assert time.monotonic() < until, f"it did not come to that: {status}, {self.stderr()}"
            time.sleep(0.01)
        return status

    def kill_role(self, role: str) -> int:
        """kill -9 of a role, and its successor's process id."""
        pid = int(self.wait_for(lambda s: s["pids"].get(role, 0) > 0)["pids"][role])
        os.kill(pid, signal.SIGKILL)
        return int(self.wait_for(lambda s: s["pids"].get(role, 0) not in (0, pid))["pids"][role])

    def stop(self) -> int:
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self._forget()
        return code

    def kill(self) -> None:
        """kill -9 of the supervisor: its roles go with it."""
        assert self.process
        self.process.kill()
        self.process.wait()
        for pid in self.ready["pids"].values():
            until = time.monotonic() + 10
            while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
                time.sleep(0.01)
        self._forget()

    def _forget(self) -> None:
        assert self.process and self.process.stdout
        self.process.stdout.close()
        self.process = None

    def lose_memory(self) -> None:
        """What a power cut does to shared memory."""
        remove_shared_memory(Path(self.ready["shm_dir"]))

    def token(self, account: str, ttl_s: int = 600) -> str:
        return Keys((self.keys_dir or self.data) / "keys").issue(account, ttl_s)

    def operator(self, command: str, **body: str) -> tuple[int, dict[str, Any]]:
        """An operator's command: HTTP status and answer."""
        token = Keys((self.keys_dir or self.data) / "keys").issue("OPS", 600, role="operator")
        return post(f"{self.ready['admin']}/operator/{command}", token, body)

    def client(self, account: str = "ACC1", sender: str | None = None) -> Trader:
        self.clients.append(Trader(sender or f"{account}-1", self.token(account)))
        return self.clients[-1].connect(self.ready["fix"]["port"])

    def close(self) -> None:
        for client in self.clients:
            client.close()
        if self.process:
            self.kill()
        if self.ready:
            self.lose_memory()
        remove_shared_memory(shm_dir_of(self.data))  # of a start that was refused: it waits there for the next one


class Trader:
    """A FIX client that remembers what it sent, sends again what it is asked for, and asks for what it missed.

    `reports` are the application messages in order of their numbers, each once.
    """

    def __init__(self, sender: str, token: str, host: str = "127.0.0.1") -> None:
        self.sender, self.token, self.host = sender, token, host
        self.next_out = self.expected = 1
        self.sent: dict[int, tuple[str, tuple[Any, ...]]] = {}
        self.reports: list[dict[int, str]] = []
        self.socket: socket.socket | None = None
        self.logged_on = self.cut = False
        self.last_kind = ""
        self._asked = self._looked = 0

    def connect(self, port: int, wait: bool = True, receive_bytes: int | None = None) -> Trader:
        """`receive_bytes`: what the kernel may keep for it, unread."""
        self.close()
        self._rest = b""
        self.logged_on, self.cut, self._asked = False, False, 0
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(20)
        self.socket.connect((self.host, port))
        self._put("A", ((98, 0), (108, 30), (554, self.token)))
        if wait:
            assert self.read_until(lambda: self.logged_on), f"{self.sender} is not logged on"
        return self

    # --- out ---

    def _put(self, kind: str, fields: Sequence[Any], seq: int | None = None, **flags: bool) -> None:
        number = self.next_out if seq is None else seq
        self.next_out += seq is None
        assert self.socket
        self.socket.sendall(self._message(kind, fields, number, **flags))

    def _message(
        self, kind: str, fields: Sequence[Any], seq: int, poss_dup: bool = False, poss_resend: bool = False
    ) -> bytes:
        m = simplefix.FixMessage()
        now = utc()
        for pair in ((8, "FIX.4.4"), (35, kind), (49, self.sender), (56, "MATCHMARK"), (34, seq), (52, now)):
            m.append_pair(*pair)
        if poss_dup:
            m.append_pair(43, "Y")
            m.append_pair(122, now)
        if poss_resend:
            m.append_pair(97, "Y")
        for tag, value in fields:
            m.append_pair(tag, value)
        return bytes(m.encode())

    def send(self, kind: str, *fields: Any, poss_resend: bool = False) -> None:
        self.sent[self.next_out] = (kind, fields)
        self._put(kind, fields, poss_resend=poss_resend)

    def new(
        self,
        cl: str,
        side: int,
        qty: int,
        price: Any = None,
        symbol: str = "SYM1",
        tif: int = 0,
        poss_resend: bool = False,
    ) -> None:
        kind = ((40, 1),) if price is None else ((40, 2), (44, price))
        self.send(
            "D", (11, cl), (55, symbol), (54, side), (60, utc()), (38, qty), *kind, (59, tif), poss_resend=poss_resend
        )

    def _send_again(self, first: int) -> None:
        for seq in range(first, self.next_out):
            kind, fields = self.sent.get(seq, ("4", ((123, "Y"), (36, seq + 1))))
            self._put(kind, fields, seq=seq, poss_dup=True)

    # --- in ---

    def read_until(self, done: Callable[[], bool], seconds: float = 20) -> bool:
        """Takes messages until `done`; False when the time is up or the connection is closed."""
        until = time.monotonic() + seconds
        while not done():
            assert self.socket
            self.socket.settimeout(max(0.01, until - time.monotonic()))
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                return False
            except OSError:
                data = b""
            if not data:
                self.cut = True
                return done()
            messages, self._rest = decoded(self._rest + data)
            for message in messages:
                self._take(message)
        return True

    def _take(self, m: dict[int, str]) -> None:
        seq, kind = int(m[34]), m[35]
        self.last_kind = kind
        if kind == "2":
            self._send_again(int(m[7]))
        if kind == "A":
            self.logged_on = True
        if seq > self.expected:
            if self._asked != self.expected:
                self._asked = self.expected
                self._put("2", ((7, self.expected), (16, 0)))
        elif seq == self.expected:
            self.expected = int(m[36]) if kind == "4" else seq + 1
            if kind == "1":
                self._put("0", ((112, m[112]),))
            if kind in "89jrf3":
                self.reports.append(m)

    def next(self, seconds: float = 20) -> dict[int, str]:
        """The next report that was not looked at yet."""
        at = self._looked
        assert self.read_until(lambda: len(self.reports) > at, seconds), f"{self.sender}: no report"
        self._looked = at + 1
        return self.reports[at]

    def silent(self, seconds: float = 0.2) -> bool:
        at = len(self.reports)
        return not self.read_until(lambda: len(self.reports) > at, seconds)

    def close(self) -> None:
        if self.socket:
            with suppress(OSError):
                self.socket.close()
            self.socket = None


def decoded(data: bytes) -> tuple[list[dict[int, str]], bytes]:
    """Whole messages, and what is left. One at a time, for the parser's cost grows with what it holds."""
    *whole, rest = re.split(rb"(?<=\x0110=\d{3}\x01)", data)
    out = []
    for one in whole:
        parser = simplefix.FixParser()
        parser.append_buffer(one)
        message = parser.get_message()
        assert message, one
        out.append({int(tag): value.decode("latin-1") for tag, value in message.pairs})
    return out, rest


def utc() -> str:
    now = time.time()
    return time.strftime("%Y%m%d-%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}"
