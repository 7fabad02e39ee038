"""PostgreSQL's disk is full under a running exchange: nothing is entered, trading goes on, it catches up when there is room."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from .serving import Serve, Trader
from .test_ledger_serve import LEDGER, check, entered
from .test_serve_faults import NAMESPACE, needs_namespaces

DISK = "160m"
"""Room for an empty cluster, its first files of write-ahead log, and some thousand entries."""
SENTENCE = "the ledger is behind, trading goes on: "


def on_small_disk(serving: Callable[..., Serve], tmp_path: Path) -> Serve:
    """A serve whose ledger, and nothing else, is on a file system of its own, which only it can see.

    Its path is too long for a socket, so that PostgreSQL's is in /tmp, where the test sees it, too.
    """
    x = serving(LEDGER)
    x.data = tmp_path / ("d" * 100)
    ledger = x.data / "ledger"
    ledger.mkdir(parents=True)
    x.prefix = [*NAMESPACE, DISK, str(ledger)]
    return x


def fill(folder: Path) -> Path:
    """A file that takes all the room that there is."""
    with (folder / "somebody's").open("wb", buffering=0) as other:
        for size in (1 << 20, 4096, 1):
            with suppress(OSError):
                while True:
                    other.write(bytes(size))
    return folder / "somebody's"


def trade(buyer: Trader, seller: Trader, first: int, count: int) -> None:
    """So many trades, each acknowledged."""
    for n in range(first, first + count):
        before = len(buyer.reports), len(seller.reports)
        seller.new(f"s{n}", 2, 1, "100.00")
        assert seller.read_until(lambda: len(seller.reports) > before[1])  # noqa: B023
        buyer.new(f"b{n}", 1, 1, "100.00")
        assert buyer.read_until(lambda: len(buyer.reports) >= before[0] + 2)  # noqa: B023


@needs_namespaces
@pytest.mark.parametrize("what", ["tables", "write-ahead log"])
def test_a_full_disk_of_postgresql_refuses_the_transaction_and_trading_goes_on(
    serving: Callable[..., Serve], tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    x = on_small_disk(serving, tmp_path)
    ready = x.start()
    buyer, seller = x.client("ACC1"), x.client("ACC2")
    x.wait_for(lambda s: s["ledger"]["connected"] == 1, 120)
    trade(buyer, seller, 0, 20)
    before = entered(x)
    filler = fill(Path(f"/proc/{ready['pid']}/root{x.data}/ledger"))
    if what == "write-ahead log":  # all of the file that there is has been used: PostgreSQL itself cannot go on
        with suppress(psycopg.OperationalError), psycopg.connect(ready["ledger"], autocommit=True) as c:
            for _ in range(20):
                c.execute("SELECT pg_logical_emit_message(true, 'fill', 'x')")
                c.execute("SELECT pg_switch_wal()")
    trade(buyer, seller, 20, 80)
    x.wait_for(lambda s: s["ledger"]["connected"] == 0)
    assert SENTENCE in x.stderr()
    trade(buyer, seller, 100, 20)
    until = time.monotonic() + 2
    while time.monotonic() < until:  # it is not connected and lost in turns
        assert (status := x.status())["ledger"]["connected"] == 0
        time.sleep(0.02)
    assert status["state"] == "running" and status["ledger"]["stopped_at"] == 0
    assert before["ledger"]["sequence"] <= status["ledger"]["sequence"] < status["durable_sequence"]
    if what == "tables":
        assert f"{SENTENCE}could not extend file" in x.stderr() and "No space left on device" in x.stderr()
        assert check(x, "--wait", "0") == 1, "it is behind, and says so"
        capsys.readouterr()
    assert x.stderr().count(SENTENCE) < 10, "not with every attempt"
    filler.unlink()
    after = entered(x, 120)
    assert "the ledger is connected" in x.stderr() and not after["restarts"].get("ledger")
    trade(buyer, seller, 120, 5)
    entered(x)
    assert check(x) == 0, capsys.readouterr().out
    assert x.stop() == 0
