"""Each fault does what it says, and is healed on the way out of `injected`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from matchmark.chaos.faults.disk import Disk, DiskFailed
from matchmark.chaos.faults.disk_error import DiskError
from matchmark.chaos.faults.disk_full import DiskFull
from matchmark.chaos.faults.disk_read_only import DiskReadOnly
from matchmark.chaos.faults.disk_short import DiskShort
from matchmark.chaos.faults.disk_stall import DiskSlow, DiskStall
from matchmark.chaos.faults.fault import Fault, injected
from matchmark.chaos.faults.mounting import cannot_mount
from matchmark.chaos.faults.power_cut import PowerCut

pytestmark = pytest.mark.skipif(cannot_mount() is not None, reason=f"cannot mount here: {cannot_mount()}")


@pytest.fixture
def disk() -> Iterator[Disk]:
    with Disk() as made:
        yield made


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda disk: DiskFull(disk), "No space"),
        (lambda disk: DiskReadOnly(disk), "Read-only"),
        (lambda disk: DiskError(disk, "write"), "Input/output"),
        (lambda disk: DiskError(disk, "fsync"), "Input/output"),
    ],
)
def test_a_fault_strikes_and_is_healed(disk: Disk, make: Callable[[Disk], Fault], words: str) -> None:
    file = disk.folder / "a"

    def write() -> None:
        with file.open("wb", buffering=0) as out:
            out.write(b"x")
            os.fsync(out.fileno())

    write()
    file.write_bytes(b"")
    with injected(make(disk)), pytest.raises(OSError, match=words):
        write()
    write()


@pytest.mark.parametrize("make", [lambda disk: DiskStall(disk, 0.2), lambda disk: DiskSlow(disk, 0.2)])
def test_a_disk_that_takes_its_time(disk: Disk, make: Callable[[Disk], Fault]) -> None:
    def write_s() -> float:
        before = time.monotonic()
        (disk.folder / "a").write_bytes(b"x")
        return time.monotonic() - before

    with injected(make(disk)):
        assert write_s() > 0.15
    assert write_s() < 0.15


TARGET = """
import os, sys
fd = os.open(sys.argv[1] + "/log", os.O_RDWR | os.O_CREAT)
folder = os.open(sys.argv[1], os.O_RDONLY)
os.fsync(folder)
os.close(folder)
n = 0
while True:
    n += 1
    os.pwrite(fd, b"%08d" % n, 0)
    if {sync}:
        os.fdatasync(fd)
    os.write(1, b"%08d" % n)
"""


def power_cut(disk: Disk, memory: Path, sync: bool) -> tuple[int, int]:
    """(the last number that the target has acknowledged, the one that was on the disk after the cut)."""
    code = TARGET.replace("{sync}", str(sync))
    target = subprocess.Popen([sys.executable, "-c", code, disk.folder], stdout=subprocess.PIPE)
    assert target.stdout is not None
    with target.stdout as out:
        seen = out.read(8 * 50)
        cut = PowerCut(disk, lambda: [target.pid], lambda: (target.wait(), None)[1], (memory,))
        with injected(cut):
            assert target.returncode == -9
            seen += out.read()
    return int(seen[-8:]), int((disk.folder / "log").read_bytes() or 0)


def test_a_power_cut_takes_processes_memory_and_what_was_not_flushed(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "ring").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    acknowledged, kept = power_cut(disk, tmp_path, sync=True)
    assert acknowledged <= kept <= acknowledged + 1
    assert not list(tmp_path.iterdir())


def test_a_target_that_acknowledges_before_it_flushes_is_caught(disk: Disk, tmp_path: Path) -> None:
    acknowledged, kept = power_cut(disk, tmp_path, sync=False)
    assert acknowledged >= 50 > kept == 0


def test_a_process_that_was_not_to_be_killed_makes_the_cut_void(disk: Disk, tmp_path: Path) -> None:
    stranger = subprocess.Popen(["sleep", "60"], cwd=disk.folder)
    try:
        with pytest.raises(DiskFailed, match="still held"), injected(PowerCut(disk, list, lambda: None)):
            pass
    finally:
        stranger.kill()
        stranger.wait()


def test_a_short_write_says_how_much_it_wrote(disk: Disk) -> None:
    with (disk.folder / "a").open("wb", buffering=0) as out, injected(DiskShort(disk)):
        assert out.write(b"12345678") == 4
        assert out.write(b"5678") == 4
    assert (disk.folder / "a").read_bytes() == b"12345678"


def test_who_waits_for_a_stalled_disk_is_let_go_when_the_power_goes(disk: Disk) -> None:
    disk.stall(3600.0)
    writer = subprocess.Popen([sys.executable, "-c", f"open({str(disk.folder / 'a')!r}, 'wb').write(b'x')"])
    with injected(PowerCut(disk, lambda: [writer.pid], lambda: (writer.wait(30), None)[1])):
        assert writer.returncode == -9
