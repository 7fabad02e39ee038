"""A disk that fills up or turns read-only under a running exchange: orders are refused, none acknowledged is lost."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from matchmark.chaos.faults.disk import Disk
from matchmark.chaos.faults.disk_full import DiskFull
from matchmark.chaos.faults.disk_read_only import DiskReadOnly
from matchmark.chaos.faults.fault import Fault, injected
from matchmark.chaos.faults.mounting import cannot_mount
from matchmark.reference.tokens import Keys
from matchmark.reference.verify import verify

from .serving import SMALL, Serve, Trader
from .test_serve_faults import needs_namespaces, on_tmpfs
from .test_serve_kill import logged_orders

Make = Callable[..., Serve]

needs_fuse = pytest.mark.skipif(cannot_mount() is not None, reason=f"cannot mount here: {cannot_mount()}")
SMALL_FILES = SMALL.replace("audit_slots = 4096", "audit_slots = 1024").replace(
    "file_records = 20000", "file_records = 1024"
)
FAULTS: dict[str, tuple[Callable[[Disk], Fault], str]] = {
    "full": (DiskFull, "No space left on device"),
    "read-only": (DiskReadOnly, "Read-only file system"),
}


@pytest.fixture
def disk() -> Iterator[Disk]:
    with Disk() as made:
        yield made


def trade_until_failed(x: Serve, client: Trader) -> list[str]:
    """Orders, some at a time, until the exchange has failed; their ClOrdIDs."""
    sent: list[str] = []
    while x.status()["state"] != "failed":
        assert len(sent) < 20_000
        for _ in range(100):
            sent.append(f"f{len(sent)}")
            client.new(sent[-1], 1, 1, "60.00", tif=3)
        client.read_until(lambda: client.reports[-1][11] == sent[-1] if client.reports else False, 0.2)
    return sent


@needs_fuse
@pytest.mark.parametrize("mode", ["async", "fsync"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_disk_that_fails_in_flight_refuses_orders_and_keeps_what_was_acknowledged(
    serving: Make, disk: Disk, fault: str, mode: str
) -> None:
    make, words = FAULTS[fault]
    x = serving(SMALL_FILES)
    x.data = disk.folder / "data"
    x.start("--durability", mode)
    client = x.client()
    client.new("before", 1, 1, "60.00")
    assert client.next()[150] == "0"
    with injected(make(disk)):
        sent = trade_until_failed(x, client)
        status = x.status()
        assert words in status["failure"] and status["pids"]["gateway"] > 0
        client.new("refused", 1, 1, "60.00")
        assert client.read_until(lambda: client.reports[-1][11] == "refused")
        refusal = client.reports[-1]
        assert (refusal[39], refusal[103]) == ("8", "2") and "not taking orders" in refusal[58]
    acknowledged = {report[11] for report in client.reports if report[150] == "0"}
    assert x.stop() == 1
    x.start("--durability", mode)
    client.connect(x.ready["fix"]["port"])
    client.new("after", 1, 1, "60.00")
    # In mode fsync those that were on their way to the disk had no answer: now they are on it, and have one.
    assert client.read_until(lambda: {report[11] for report in client.reports} >= {"after", "refused", *sent})
    assert x.stop() == 0
    assert not verify(x.data / "log").findings
    logged = logged_orders(x)
    assert "before" in acknowledged and {name: logged[name] for name in acknowledged} == dict.fromkeys(acknowledged, 1)


@needs_fuse
@pytest.mark.parametrize("fault", FAULTS)
def test_a_disk_that_has_failed_before_the_start_is_one_sentence(serving: Make, disk: Disk, fault: str) -> None:
    make, words = FAULTS[fault]
    x = serving()
    x.data = disk.folder / "data"
    with injected(make(disk)):
        code, said = x.refused()
        assert code == 3 and words in said and "Traceback" not in said
    x.start()
    x.client().new("a", 1, 1, "60.00")
    assert x.stop() == 0


@needs_namespaces
def test_sessions_trade_on_while_a_full_disk_lets_no_new_one_in(serving: Make, tmp_path: Path) -> None:
    x = on_tmpfs(serving, tmp_path, "32m")
    ready = x.start()
    data = Path(f"/proc/{ready['pid']}/root{x.data}")
    keys = Keys(data / "keys")
    old = Trader("ACC1-1", keys.issue("ACC1", 600)).connect(ready["fix"]["port"])
    new = Trader("ACC2-1", keys.issue("ACC2", 600))
    x.clients += [old, new]
    with (data / "somebody's").open("wb", buffering=0) as other, suppress(OSError):
        while True:
            other.write(bytes(4096))
    for n in range(0, 2000, 100):  # numbers and messages that its session has not had room for yet
        for k in range(n, n + 100):
            old.new(f"o{k}", 1, 1, "0.01" if k % 2 else "60.00", tif=3)
        assert old.read_until(lambda: len(old.reports) >= 3 * (n + 100) // 2)  # noqa: B023
    with suppress(AssertionError, socket.timeout, OSError):
        new.connect(ready["fix"]["port"])
    assert not new.logged_on
    status = x.status()
    assert status["state"] == "running" and status["restarts"]["gateway"] == 0 and "No space left" in x.stderr()
    (data / "somebody's").unlink()
    new.connect(ready["fix"]["port"])
    assert x.stop() == 0


def test_a_role_that_crashes_again_and_again_stops_the_exchange(serving: Make) -> None:
    x = serving()
    x.start()
    for _ in range(5):
        pid = x.wait_for(lambda s: s["pids"]["gateway"] > 0)["pids"]["gateway"]
        os.kill(pid, signal.SIGBUS)
        x.wait_for(lambda s, pid=pid: s["pids"]["gateway"] != pid)  # type: ignore[misc]
    status = x.wait_for(lambda s: s["state"] == "failed")
    assert "the gateway cannot go on: it crashed again and again (SIGBUS)" in status["failure"]
    assert x.stop() == 1
