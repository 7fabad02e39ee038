"""The disk through the kernel: it really loses what was not synced, really keeps what was, and fails as it is told to."""

from __future__ import annotations

import errno
import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from matchmark.chaos.faults.disk import Disk, DiskFailed
from matchmark.chaos.faults.disk_state import Keep
from matchmark.chaos.faults.mounting import cannot_mount, is_mounted

pytestmark = pytest.mark.skipif(cannot_mount() is not None, reason=f"cannot mount here: {cannot_mount()}")


@pytest.fixture
def disk() -> Iterator[Disk]:
    with Disk() as made:
        yield made


def synced(folder: Path, name: str, data: bytes) -> int:
    """A descriptor of a new file that is on the platter, name and all."""
    fd = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o600)
    os.pwrite(fd, data, 0)
    os.fsync(fd)
    sync_folder(folder)
    return fd


def sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def cut(disk: Disk, keep: Keep = Keep.NOTHING, seed: str = "1") -> None:
    disk.freeze()
    disk.power_off()
    assert disk.crash(keep, seed), "somebody still held the disk"
    disk.mount()


def test_a_power_cut_keeps_what_was_synced_and_loses_what_was_not(disk: Disk) -> None:
    fd = synced(disk.folder, "a", b"kept" * 1000)
    os.posix_fallocate(fd, 0, 1 << 20)
    os.fdatasync(fd)
    os.pwritev(fd, [b"LO", b"ST"], 0)
    assert os.pread(fd, 4, 0) == b"LOST"
    (disk.folder / "unsynced").write_bytes(b"x")
    os.close(fd)
    cut(disk)
    assert os.listdir(disk.folder) == ["a"]
    after = (disk.folder / "a").read_bytes()
    assert after == (b"kept" * 1000).ljust(1 << 20, b"\0")


def test_what_is_written_through_a_mapping_needs_a_sync_too(disk: Disk) -> None:
    fd = synced(disk.folder, "a", bytes(8192))
    with mmap.mmap(fd, 8192) as memory:
        memory[0:4] = b"kept"
        memory.flush()
        memory[4096:4100] = b"LOST"
        disk.freeze()
        disk.power_off()
    os.close(fd)
    assert disk.crash(Keep.NOTHING, "1")
    disk.mount()
    after = (disk.folder / "a").read_bytes()
    assert (after[:4], after[4096:4100]) == (b"kept", bytes(4))


def test_who_writes_as_the_power_goes_waits_and_is_not_told_that_it_was_done(disk: Disk) -> None:
    fd = synced(disk.folder, "a", b"old")
    said: list[int] = []

    def write() -> None:
        try:
            os.pwrite(fd, b"new", 0)
            os.fdatasync(fd)
            said.append(0)
        except OSError as error:
            said.append(error.errno or 0)

    disk.freeze()
    writer = threading.Thread(target=write)
    writer.start()
    writer.join(0.1)
    assert writer.is_alive()
    disk.power_off()
    writer.join(5)
    os.close(fd)
    assert said == [errno.EIO]
    assert disk.crash(Keep.PREFIX, "1")
    disk.mount()
    assert (disk.folder / "a").read_bytes() == b"old"


def test_an_fsync_that_fails_once_has_lost_the_data_although_the_next_one_succeeds(disk: Disk) -> None:
    fd = synced(disk.folder, "a", b"old")
    disk.fail("fsync", errno.EIO, times=1)
    os.pwrite(fd, b"new", 0)
    with pytest.raises(OSError, match="Input/output"):
        os.fdatasync(fd)
    os.fdatasync(fd)
    os.close(fd)
    assert [call.error for call in disk.journal() if call.kind == "fsync"][-2:] == [errno.EIO, 0]
    cut(disk)
    assert (disk.folder / "a").read_bytes() == b"old"


def test_writes_fail_from_the_nth_on_and_only_where_told(disk: Disk) -> None:
    (disk.folder / "log").mkdir()
    inside, outside = synced(disk.folder / "log", "a", b""), synced(disk.folder, "b", b"")
    disk.fail("write", errno.EIO, under="/log", after=2)
    for _ in range(2):
        os.write(inside, b"x")
    for _ in range(2):
        with pytest.raises(OSError, match="Input/output"):
            os.write(inside, b"x")
    os.write(outside, b"x")
    disk.heal()
    os.write(inside, b"x")
    os.close(inside)
    os.close(outside)
    assert (disk.folder / "log" / "a").read_bytes() == b"xxx"


def test_a_full_disk_takes_part_of_a_write_and_still_writes_what_was_reserved(disk: Disk) -> None:
    fd = synced(disk.folder, "a", b"")
    os.posix_fallocate(fd, 0, 8192)
    disk.fill(free_bytes=4096)
    assert os.pwrite(fd, bytes(20_000), 0) == 12_288
    with pytest.raises(OSError, match="No space"):
        os.pwrite(fd, b"x", 12_288)
    os.pwrite(fd, b"x" * 12_288, 0)
    other = os.open(disk.folder / "b", os.O_RDWR | os.O_CREAT)
    with pytest.raises(OSError, match="No space"):
        os.posix_fallocate(other, 0, 1)
    assert os.statvfs(disk.folder).f_bavail == 0
    disk.heal()
    os.posix_fallocate(other, 0, 4096)
    os.close(fd)
    os.close(other)


def test_a_read_only_disk_refuses_whatever_would_change_it(disk: Disk) -> None:
    fd = synced(disk.folder, "a", b"old")
    disk.read_only()
    for act in (
        lambda: os.pwrite(fd, b"x", 0),
        lambda: os.open(disk.folder / "a", os.O_RDWR),
        lambda: (disk.folder / "b").mkdir(),
        lambda: (disk.folder / "a").unlink(),
        lambda: (disk.folder / "a").rename(disk.folder / "c"),
    ):
        with pytest.raises(OSError, match="Read-only"):
            act()
    os.close(fd)
    assert (disk.folder / "a").read_bytes() == b"old"


def test_a_stall_holds_writes_and_a_slow_disk_each_of_them(disk: Disk) -> None:
    fd = synced(disk.folder, "a", bytes(4096))
    disk.stall(0.3)
    before = time.monotonic()
    os.pwrite(fd, b"x", 0)
    assert time.monotonic() - before > 0.25
    disk.heal()
    disk.slow(0.05)
    before = time.monotonic()
    os.pwrite(fd, b"x", 0)
    os.fdatasync(fd)
    assert time.monotonic() - before > 0.09
    disk.stall(60)
    timer = threading.Timer(0.1, disk.heal)
    timer.start()
    before = time.monotonic()
    os.pwrite(fd, b"x", 0)
    assert time.monotonic() - before < 30, "healing lets go of who waits"
    timer.join()
    os.close(fd)


def test_the_journal_has_every_call_with_its_time_and_place(disk: Disk) -> None:
    before = time.monotonic_ns()
    fd = synced(disk.folder, "a", b"12345")
    os.rename(disk.folder / "a", disk.folder / "b")
    os.pwrite(fd, b"6", 5)
    os.close(fd)
    calls = disk.journal()
    assert [(c.kind, c.path, c.offset, c.length) for c in calls] == [
        ("create", "/a", 0, 0),
        ("write", "/a", 0, 5),
        ("fsync", "/a", 0, 0),
        ("fsyncdir", "/", 0, 0),
        ("rename", "/b", 0, 0),
        ("write", "/b", 5, 1),
    ]
    assert all(before <= c.started_ns <= c.ended_ns <= time.monotonic_ns() for c in calls)
    assert disk.counts() == {"create": 1, "write": 2, "fsync": 1, "fsyncdir": 1, "rename": 1}


def test_a_process_that_holds_the_disk_is_said_and_does_not_keep_it_up(disk: Disk) -> None:
    synced(disk.folder, "a", b"x")
    holder = subprocess.Popen(["sleep", "60"], cwd=disk.folder)
    try:
        disk.freeze()
        disk.power_off()
        assert not disk.crash(Keep.NOTHING, "1")
        disk.mount()
        assert (disk.folder / "a").read_bytes() == b"x"
    finally:
        holder.kill()
        holder.wait()


def test_closed_is_unmounted_and_tells_so() -> None:
    disk = Disk()
    folder = disk.folder
    assert is_mounted(folder)
    disk.close()
    assert not folder.exists()
    with pytest.raises(DiskFailed, match="was closed"):
        disk.counts()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_mount_is_left_when_the_kit_is_killed(number: int) -> None:
    code = "from matchmark.chaos.faults.disk import Disk; d = Disk(); print(d.folder, flush=True); input()"
    kit = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert kit.stdin is not None and kit.stdout is not None
    with kit.stdin, kit.stdout:
        folder = Path(kit.stdout.readline().strip())
        assert is_mounted(folder)
        kit.send_signal(number)
        kit.wait()
        until = time.monotonic() + 10
        while is_mounted(folder) and time.monotonic() < until:
            time.sleep(0.02)
    assert not is_mounted(folder)
    folder.rmdir()


def test_a_disk_whose_process_was_killed_is_taken_down_all_the_same() -> None:
    disk = Disk()
    disk._process.kill()
    disk._process.wait()
    with pytest.raises(DiskFailed, match="has ended"):
        disk.counts()
    disk.close()
    assert not is_mounted(disk.folder)
    assert not os.path.lexists(disk.folder)
