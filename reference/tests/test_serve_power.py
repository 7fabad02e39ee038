"""FIX sessions over a loss of power: the disk keeps of the session stores any mixture of old and new, or nothing unsynced.

The clients go on with their own numbers, as FIX wants it: one that is sent a number below what it expects disconnects.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from matchmark.chaos.faults.disk import Disk
from matchmark.chaos.faults.disk_state import Keep
from matchmark.chaos.faults.mounting import cannot_mount
from matchmark.chaos.faults.power_cut import PowerCut

from .serving import SMALL, Serve, Trader
from .test_serve_kill import logged_orders

pytestmark = pytest.mark.skipif(cannot_mount() is not None, reason=f"cannot mount here: {cannot_mount()}")
FEW = SMALL.replace("store_capacity = 65536", "store_capacity = 512")
"""Of so few numbers remembered the disk must often be told."""


class Strict(Trader):
    """Notes what FIX would make it disconnect for."""

    def __init__(self, sender: str, token: str) -> None:
        super().__init__(sender, token)
        self.too_low: list[dict[int, str]] = []

    def _take(self, m: dict[int, str]) -> None:
        if int(m[34]) < self.expected and m.get(43) != "Y":
            self.too_low.append(m)
        super()._take(m)

    def trade(self, prefix: str, n: int) -> None:
        for at in range(n):
            self.new(f"{prefix}{at}", 1 + at % 2, 1, "60.00")

    def known(self) -> set[str]:
        return {report[11] for report in self.reports}


class Powered(Serve):
    def cut(self, disk: Disk, keep: Keep, seed: str) -> None:
        """The power goes; then everything that was sent by then has been read."""
        assert self.process
        pids = [int(pid) for pid in self.ready["pids"].values()]
        fault = PowerCut(disk, lambda: pids, self._gone, (Path(self.ready["shm_dir"]),), keep, seed)
        fault.inject()
        fault.heal()
        for client in self.clients:
            client.read_until(lambda: False, 1.0)

    def _gone(self) -> None:
        assert self.process
        self.process.wait()
        for pid in self.ready["pids"].values():
            while Path(f"/proc/{pid}").exists():
                time.sleep(0.01)
        self._forget()

    def strict(self, sender: str) -> Strict:
        self.clients.append(client := Strict(sender, self.token(sender.split("-")[0], 3600)))
        client.connect(self.ready["fix"]["port"])
        return client


@pytest.fixture
def disk() -> Iterator[Disk]:
    with Disk() as made:
        yield made


@pytest.fixture
def powered(tmp_path: Path, disk: Disk) -> Iterator[Callable[[str], Powered]]:
    made: list[Powered] = []

    def make(config: str = FEW) -> Powered:
        made.append(x := Powered(tmp_path / "serve", config))
        x.data = disk.folder / "data"
        return x

    yield make
    for x in made:
        x.close()


def logged(x: Powered, prefix: str) -> set[str]:
    """ClOrdIDs of the orders that the log has."""
    return {name for name in logged_orders(x) if name.startswith(prefix)}


SOAK = pytest.mark.soak
"""The same again with the disk keeping something else."""


@pytest.mark.parametrize(
    "keep", [pytest.param(Keep.NOTHING, marks=SOAK), Keep.REORDERED, pytest.param(Keep.TORN, marks=SOAK)]
)
def test_in_mode_fsync_no_report_of_the_log_is_lost_to_its_session(
    powered: Callable[..., Powered], disk: Disk, keep: Keep
) -> None:
    x, chance = powered(), random.Random(str(keep))
    x.start("--durability", "fsync")
    away, near = x.strict("ACC1-1"), x.strict("ACC2-1")
    away.trade("away", 60)  # each cut takes a quarter of the numbers remembered: these are not forgotten over three
    assert away.read_until(lambda: {f"away{n}" for n in range(20)} <= away.known())
    away.close()  # what follows is kept for it
    for cut in range(3):
        for burst in range(chance.randint(1, 4)):
            near.trade(f"near{cut}-{burst}-", 40)
            near.read_until(lambda: False, 0.05)
        x.clients.remove(away)
        x.cut(disk, keep, f"{keep} {cut}")
        x.clients.append(away)
        x.start("--durability", "fsync")
        acknowledged = near.known()
        near.connect(x.ready["fix"]["port"])
        near.new(f"near-end{cut}", 1, 1, "60.00")
        assert near.read_until(lambda end=f"near-end{cut}": end in near.known()), near.reports[-3:]
        assert not near.too_low and acknowledged <= logged(x, "near") <= near.known()
    away.connect(x.ready["fix"]["port"])
    away.new("away-end", 1, 1, "60.00")
    assert away.read_until(lambda: "away-end" in away.known()), away.reports[-3:]
    assert not away.too_low and logged(x, "away") <= away.known()
    assert x.stop() == 0


@pytest.mark.parametrize("keep", [Keep.NOTHING, pytest.param(Keep.REORDERED, marks=SOAK)])
def test_in_mode_async_sessions_go_on_although_reports_of_theirs_never_were(
    powered: Callable[..., Powered], disk: Disk, keep: Keep
) -> None:
    x = powered()
    x.start("--durability", "async")
    client = x.strict("ACC1-1")
    for cut in range(3):
        client.trade(f"a{cut}-", 300)
        client.read_until(lambda: False, 0.02 * cut)
        x.cut(disk, keep, f"async {cut}")
        x.start("--durability", "async")
        client.connect(x.ready["fix"]["port"])
        client.new(f"end{cut}", 1, 1, "60.00")
        assert client.read_until(lambda end=f"end{cut}": end in client.known()), client.reports[-3:]
        assert not client.too_low and logged(x, "a") <= client.known()


def test_what_may_have_been_sent_under_a_lost_number_comes_again_and_says_so(
    powered: Callable[..., Powered], disk: Disk
) -> None:
    x = powered()
    x.start("--durability", "fsync")
    client = x.strict("ACC1-1")
    time.sleep(1)  # its logon's number gets onto the disk, and then none for a while
    client.trade("a", 10)
    assert client.read_until(lambda: len(client.reports) >= 10)
    x.cut(disk, Keep.NOTHING, "again")
    before = [report[17] for report in client.reports]
    x.start("--durability", "fsync")
    client.connect(x.ready["fix"]["port"])
    client.new("end", 1, 1, "60.00")
    assert client.read_until(lambda: "end" in client.known()) and not client.too_low
    again = client.reports[len(before) :][: len(before)]
    assert [report[17] for report in again] == before and {(r[97], r[43]) for r in again} == {("Y", "Y")}


def test_a_reset_that_was_lost_with_the_power_locks_nobody_out(powered: Callable[..., Powered], disk: Disk) -> None:
    x = powered()
    x.start("--durability", "fsync")
    client = x.strict("ACC1-1")
    client.trade("before", 120)
    assert client.read_until(lambda: len(client.known()) == 120)
    time.sleep(1)
    client.next_out = client.expected = 1
    client.sent.clear()
    client._put("A", ((98, 0), (108, 30), (554, client.token), (141, "Y")))
    client.new("after", 1, 1, "60.00")
    assert client.read_until(lambda: "after" in client.known())
    x.cut(disk, Keep.NOTHING, "reset")
    x.start("--durability", "fsync")
    client.connect(x.ready["fix"]["port"])
    client.new("end", 1, 1, "60.00")
    assert client.read_until(lambda: "end" in client.known()) and not client.too_low


def test_a_stop_and_a_start_leave_no_gap(powered: Callable[..., Powered], disk: Disk) -> None:
    """Also when the power goes between them."""
    x = powered()
    x.start()
    client = x.strict("ACC1-1")
    client.trade("a", 10)
    assert client.read_until(lambda: len(client.known()) == 10)
    assert x.stop() == 0
    client.read_until(lambda: False, 1.0)
    disk.freeze()
    disk.power_off()
    assert disk.crash(Keep.NOTHING, "0")
    disk.mount()
    x.start()
    expected = client.expected
    client.connect(x.ready["fix"]["port"])
    assert client.expected == expected + 1


def test_a_killed_exchange_whose_memory_is_there_goes_on_with_its_numbers(
    powered: Callable[..., Powered], disk: Disk
) -> None:
    x = powered()
    ready = x.start()
    client = x.strict("ACC1-1")
    client.trade("a", 10)
    assert client.read_until(lambda: len(client.known()) == 10)
    for pid in ready["pids"].values():
        os.kill(int(pid), signal.SIGKILL)
    x._gone()
    x.start()
    expected = client.expected
    client.connect(x.ready["fix"]["port"])
    assert client.expected == expected + 1
