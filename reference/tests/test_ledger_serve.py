"""The ledger beside a running exchange: killed, without PostgreSQL, and in front of a record that cannot be entered."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from matchmark.conformance.cli import main
from matchmark.reference.ledger import check as ledger_check
from matchmark.reference.ledger.opening import Opening
from matchmark.reference.ledger.postings import Holds
from matchmark.reference.ledger.writer import Writer, connect

from .ledgering import Databases, balances
from .serving import SMALL, Serve, Trader, utc

LEDGER = SMALL + '\n[ledger]\ndsn = "embedded"\n'


def check(x: Serve, *more: str) -> int:
    return main(["ledger", "check", "--config", str(x.config), "--data-dir", str(x.data), *more])


def entered(x: Serve, seconds: float = 60) -> dict[str, Any]:
    """The ledger has all that is on the disk."""
    return x.wait_for(
        lambda s: s["ledger"]["connected"] == 1 and s["ledger"]["sequence"] >= s["sequence"] == s["durable_sequence"],
        seconds,
    )


def trade(clients: list[Trader], seed: random.Random, orders: int, names: list[int]) -> None:
    """Random orders, their replies read."""
    for _ in range(orders):
        client, symbol = seed.choice(clients), f"SYM{seed.randint(1, 3)}"
        names[0] += 1
        price = f"{seed.randint(9990, 10010) / 100:.2f}"
        client.new(f"o{names[0]}", seed.choice((1, 2)), seed.randint(1, 50), price, symbol=symbol)
        if names[0] > 5 and seed.random() < 0.2:
            client.send("F", (11, f"c{names[0]}"), (41, f"o{names[0] - 3}"), (55, symbol), (54, 1), (60, utc()))
        client.read_until(lambda: True, 0)


def kill_role(x: Serve) -> None:
    pid = int(x.wait_for(lambda s: s["pids"].get("ledger", 0) > 0)["pids"]["ledger"])
    os.kill(pid, signal.SIGKILL)
    x.wait_for(lambda s: s["pids"].get("ledger", 0) not in (0, pid))


def kill_postgresql(x: Serve) -> None:
    file, until = x.data / "ledger/pg/postmaster.pid", time.monotonic() + 30
    while time.monotonic() < until:
        with suppress(OSError, IndexError, ValueError):  # one that is being started has none yet, or the old one's
            pid = int(file.read_text().splitlines()[0])
            if os.fsencode(file.parent) in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
                return
        time.sleep(0.01)
    raise AssertionError("there is no PostgreSQL to kill")


@pytest.mark.parametrize("kills", [6, pytest.param(200, marks=pytest.mark.soak)])
def test_the_ledger_equals_the_log_after_kills_of_its_role_and_of_postgresql(
    serving: Callable[..., Serve], kills: int, capsys: pytest.CaptureFixture[str]
) -> None:
    x, seed, names = serving(LEDGER), random.Random(kills), [0]
    x.start()
    x.wait_for(lambda s: s["ledger"]["connected"] == 1, 60)
    clients = [x.client(f"ACC{n}") for n in (1, 2, 3)]
    for n in range(kills):
        trade(clients, seed, 40, names)
        if n % 2:
            kill_role(x)
        else:
            kill_postgresql(x)
        trade(clients, seed, 40, names)
        x.wait_for(lambda s: s["ledger"]["connected"] == 1, 60)
    status = entered(x)
    assert status["restarts"]["ledger"] == kills // 2 and status["restarts"]["gateway"] == 0
    assert check(x) == 0, capsys.readouterr().out
    assert x.stop() == 0
    assert check(x) == 0 and "equal" in capsys.readouterr().out


def test_a_check_while_trading_goes_on_does_not_take_the_log_for_another_one(
    serving: Callable[..., Serve], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = serving(LEDGER)
    x.start()
    client = x.client("ACC1")
    client.new("a", 1, 10, "100.00")
    assert client.read_until(lambda: len(client.reports) >= 1)
    ends = [entered(x)["sequence"]]
    client.new("b", 1, 10, "100.00")
    assert client.read_until(lambda: len(client.reports) >= 2)
    entered(x)
    now = ledger_check.log_end
    monkeypatch.setattr(
        ledger_check, "log_end", lambda log: ends.pop() if ends else now(log)
    )  # it was shorter a moment ago
    assert check(x) == 0 and not ends, capsys.readouterr()
    assert x.stop() == 0


def test_postgresql_that_comes_late_is_waited_for_and_trading_is_not(
    serving: Callable[..., Serve], databases: Databases, capsys: pytest.CaptureFixture[str]
) -> None:
    dsn = databases.fresh()
    late = dsn.replace("/t", "/late_t", 1) if "/t" in dsn.split("?")[0] else dsn
    x = serving()
    x.start("--ledger", late)
    assert x.ready["ledger"] == late
    a, b = x.client("ACC1"), x.client("ACC2")
    a.new("a", 1, 10, "100.00")
    b.new("b", 2, 10, "100.00")
    assert a.read_until(lambda: len(a.reports) >= 2)
    assert x.status()["ledger"]["connected"] == 0
    assert check(x, "--dsn", late) == 3 and "cannot be reached" in capsys.readouterr().err
    with psycopg.connect(databases.server.dsn, autocommit=True) as c:
        c.execute(f"CREATE DATABASE {late.split('@/')[1].split('?')[0]}")
    entered(x)
    assert check(x, "--dsn", late) == 0
    assert balances(late)["ACC2", "cash"] == (100_000_100_000, 0)
    assert "the ledger is behind, trading goes on" in x.stderr() and "the ledger is connected" in x.stderr()
    assert x.stop() == 0


def test_a_record_that_cannot_be_entered_stops_the_ledger_and_not_the_exchange(
    serving: Callable[..., Serve], capsys: pytest.CaptureFixture[str]
) -> None:
    x = serving(LEDGER)
    x.start()
    x.wait_for(lambda s: s["ledger"]["connected"] == 1, 60)
    with psycopg.connect(x.ready["ledger"], autocommit=True) as c:  # somebody takes all that ACC1 has
        c.execute("INSERT INTO ledger_entry VALUES (-999999, 0, 0, 0, 0, -99999999999, 0, 0, -1, 0, 99999999999, 0, 0)")
    client = x.client("ACC1")
    client.new("a", 1, 1, "100.00")
    assert client.read_until(lambda: len(client.reports) >= 1)
    x.wait_for(lambda s: s["ledger"]["stopped_at"] == 2)
    client.new("b", 1, 1, "100.00")
    assert client.read_until(lambda: len(client.reports) >= 2) and client.reports[-1][150] == "0"
    assert "the ledger has stopped, trading goes on: record 2 of the audit log cannot be entered" in x.stderr()
    assert x.status()["state"] == "running" and check(x, "--wait", "0") == 1
    assert "DIFFERS ACC1 cash: the ledger has 1 free" in capsys.readouterr().out
    assert x.stop() == 0


def test_the_log_of_another_exchange_is_refused(serving: Callable[..., Serve], databases: Databases) -> None:
    dsn = databases.fresh()
    for name in ("x", "y"):
        x = serving(name=name)
        x.start("--ledger", dsn)
        client = x.client("ACC1")
        client.new("a", 1, 1, "100.00" if name == "x" else "99.00")
        assert client.next()[150] == "0"
        x.wait_for(lambda s: s["ledger"]["connected"] == 1 or s["ledger"]["stopped_at"] > 0)
        if name == "x":
            entered(x)
        else:
            until = time.monotonic() + 10
            while "of another audit log than" not in x.stderr() and time.monotonic() < until:
                time.sleep(0.05)
            assert "of another audit log than" in x.stderr()
        assert x.stop() == 0


def test_a_writer_that_is_not_gone_yet_is_waited_for(serving: Callable[..., Serve], databases: Databases) -> None:
    dsn = databases.fresh()
    x = serving()
    with connect(dsn) as before:
        Writer(before, Opening((), ()), Holds())
        x.start("--ledger", dsn)
        client = x.client("ACC1")
        client.new("a", 1, 1, "100.00")
        assert client.next()[150] == "0"
        until = time.monotonic() + 10
        while "another process writes this ledger" not in x.stderr() and time.monotonic() < until:
            time.sleep(0.05)
        assert "trading goes on: another process writes this ledger" in x.stderr()
    entered(x)
    assert x.stop() == 0


@pytest.mark.parametrize(
    ("flag", "error"),
    [("mysql://x", "--ledger: the ledger is 'mysql://x'; write embedded, or postgresql://")],
)
def test_a_dsn_of_something_else_is_a_mistake(serving: Callable[..., Serve], flag: str, error: str) -> None:
    code, text = serving().refused("--ledger", flag)
    assert code == 2 and error in text


def test_show_and_check_without_a_ledger_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger", "show", "ACC1", "--data-dir", str(tmp_path)]) == 3
    assert "holds no ledger: give --data-dir" in capsys.readouterr().err
