"""What is on the platter, and what is not: the state of the disk without a kernel."""

from __future__ import annotations

import errno
import random
import stat

import pytest

from matchmark.chaos.faults.disk_image import CHUNK_BYTES, Image
from matchmark.chaos.faults.disk_state import BLOCK_BYTES, ROOT, SECTOR_BYTES, DiskState, Inode, Keep

FILE, FOLDER = stat.S_IFREG | 0o600, stat.S_IFDIR | 0o700


def disk(blocks: int = 1000) -> DiskState:
    return DiskState(blocks * BLOCK_BYTES)


def synced_file(state: DiskState, path: str, data: bytes) -> Inode:
    inode = state.make(path, FILE, 0)
    state.write(inode, 0, data)
    state.sync(inode)
    state.sync(state.inodes[ROOT])
    return inode


def content(state: DiskState, path: str) -> bytes:
    inode = state.find(path)
    return inode.live.read(0, inode.live.size)


def crash(state: DiskState, keep: Keep = Keep.NOTHING, seed: int = 0) -> None:
    state.crash(keep, random.Random(seed))


def test_an_image_behaves_like_a_bytearray() -> None:
    rng = random.Random(5)
    image, plain = Image(), bytearray()
    for _ in range(300):
        at, n = rng.randrange(3 * CHUNK_BYTES), rng.randrange(2 * CHUNK_BYTES)
        if rng.random() < 0.2:
            plain = plain[:at] + bytes(max(0, at - len(plain)))
            image.resize(at)
        elif rng.random() < 0.5:
            data = rng.randbytes(n)
            if n:
                plain += bytes(max(0, at + n - len(plain)))
                plain[at : at + n] = data
            image.write(at, data) if n else None
        assert image.size == len(plain)
        assert image.read(at, n) == plain[at : at + n]


def test_what_was_synced_survives_and_what_was_not_does_not() -> None:
    state = disk()
    inode = synced_file(state, "/a", b"kept" * 2000)
    state.write(inode, 0, b"LOST")
    state.write(inode, 8000, b"LOST")
    assert content(state, "/a")[:4] == b"LOST"
    crash(state)
    assert content(state, "/a") == b"kept" * 2000


def test_a_file_whose_name_was_not_synced_is_not_there() -> None:
    state = disk()
    inode = state.make("/a", FILE, 0)
    state.write(inode, 0, b"data")
    state.sync(inode)
    crash(state)
    with pytest.raises(FileNotFoundError):
        state.find("/a")


def test_a_name_that_was_synced_without_its_file_is_an_empty_file() -> None:
    state = disk()
    state.write(state.make("/a", FILE, 0), 0, b"data")
    state.sync(state.inodes[ROOT])
    crash(state)
    assert content(state, "/a") == b""


def test_a_rename_is_undone_unless_its_directory_was_synced() -> None:
    for sync in (False, True):
        state = disk()
        synced_file(state, "/spare", b"x")
        state.rename("/spare", "/log")
        if sync:
            state.sync(state.inodes[ROOT])
        crash(state)
        assert set(state.inodes[ROOT].names) == {"log" if sync else "spare"}


def test_a_rename_from_one_directory_to_another_happens_in_both_or_in_neither() -> None:
    state = disk()
    state.make("/d", FOLDER, 0)
    state.sync(state.inodes[ROOT])
    synced_file(state, "/a", b"x")
    state.rename("/a", "/d/b")
    state.sync(state.find("/d"))
    crash(state)
    assert content(state, "/d/b") == b"x"
    assert set(state.inodes[ROOT].names) == {"d"}


def test_what_an_fsync_that_failed_had_to_write_is_never_on_the_platter() -> None:
    state = disk()
    inode = synced_file(state, "/a", b"old")
    state.write(inode, 0, b"new")
    state.forget(inode)
    state.sync(inode)
    assert content(state, "/a") == b"new"
    crash(state)
    assert content(state, "/a") == b"old"


@pytest.mark.parametrize("seed", range(50))
def test_a_prefix_leaves_whole_writes_from_the_first_one_on(seed: int) -> None:
    state = disk()
    inode = synced_file(state, "/a", bytes(10))
    for i in range(10):
        state.write(inode, i, b"x")
    crash(state, Keep.PREFIX, seed)
    assert content(state, "/a") == content(state, "/a").rstrip(b"\0").ljust(10, b"\0")
    assert set(content(state, "/a").rstrip(b"\0")) <= {ord("x")}


def test_a_torn_write_ends_where_a_sector_ends() -> None:
    ends = set()
    for seed in range(60):
        state = disk()
        inode = synced_file(state, "/a", bytes(4 * SECTOR_BYTES))
        state.write(inode, 100, b"x" * 3 * SECTOR_BYTES)
        crash(state, Keep.TORN, seed)
        kept = content(state, "/a").rstrip(b"\0")
        assert not kept or kept == bytes(100) + b"x" * (len(kept) - 100)
        ends.add(len(kept))
    assert ends == {0, SECTOR_BYTES, 2 * SECTOR_BYTES, 3 * SECTOR_BYTES}


def test_reordering_leaves_sectors_with_holes_before_them() -> None:
    holes = 0
    for seed in range(40):
        state = disk()
        inode = synced_file(state, "/a", bytes(8 * SECTOR_BYTES))
        state.write(inode, 0, b"x" * 8 * SECTOR_BYTES)
        crash(state, Keep.REORDERED, seed)
        sectors = [content(state, "/a")[i * SECTOR_BYTES : (i + 1) * SECTOR_BYTES] for i in range(8)]
        assert {bytes(SECTOR_BYTES), b"x" * SECTOR_BYTES} >= set(sectors)
        holes += sectors[0] == bytes(SECTOR_BYTES) and b"x" * SECTOR_BYTES in sectors
    assert holes


def test_the_same_seed_leaves_the_same() -> None:
    def image(seed: int) -> bytes:
        state = disk()
        inode = synced_file(state, "/a", bytes(8 * SECTOR_BYTES))
        for i in range(8):
            state.write(inode, i * SECTOR_BYTES, bytes([i + 1]) * SECTOR_BYTES)
        crash(state, Keep.REORDERED, seed)
        return content(state, "/a")

    assert image(1) == image(1)
    assert len({image(seed) for seed in range(10)}) > 1


def test_a_full_disk_takes_a_part_of_a_write_and_then_none() -> None:
    state = disk(blocks=2)
    inode = state.make("/a", FILE, 0)
    assert state.write(inode, 0, bytes(3 * BLOCK_BYTES)) == 2 * BLOCK_BYTES
    with pytest.raises(OSError, match="No space") as full:
        state.write(inode, 2 * BLOCK_BYTES, b"x")
    assert full.value.errno == errno.ENOSPC
    assert state.write(inode, BLOCK_BYTES, b"x" * BLOCK_BYTES) == BLOCK_BYTES, "what is reserved can be written over"
    other = state.make("/b", FILE, 0)
    with pytest.raises(OSError, match="No space"):
        state.resize(other, 1)
    assert state.used_bytes == 2 * BLOCK_BYTES, "what failed has taken no space"
    state.remove("/a")
    state.resize(other, 2 * BLOCK_BYTES)


def test_space_is_counted_anew_after_a_crash() -> None:
    state = disk(blocks=4)
    inode = synced_file(state, "/a", bytes(BLOCK_BYTES))
    state.resize(inode, 4 * BLOCK_BYTES)
    crash(state)
    assert state.used_bytes == BLOCK_BYTES


def test_names_are_refused_as_a_file_system_does() -> None:
    state = disk()
    state.make("/d", FOLDER, 0)
    state.make("/d/f", FILE, 0)
    for call, error in (
        (lambda: state.make("/d", FOLDER, 0), errno.EEXIST),
        (lambda: state.remove("/d", directory=True), errno.ENOTEMPTY),
        (lambda: state.remove("/d"), errno.EISDIR),
        (lambda: state.remove("/d/f", directory=True), errno.ENOTDIR),
        (lambda: state.find("/d/f/g"), errno.ENOTDIR),
        (lambda: state.rename("/x", "/y"), errno.ENOENT),
    ):
        with pytest.raises(OSError) as refused:
            call()
        assert refused.value.errno == error


def test_a_file_with_two_names_takes_its_space_once_and_until_both_are_gone() -> None:
    state = disk()
    inode = synced_file(state, "/a", bytes(BLOCK_BYTES))
    state.link("/a", "/b")
    state.remove("/a")
    assert state.find("/b") is inode and state.used_bytes == BLOCK_BYTES
    crash(state)
    assert content(state, "/a") == bytes(BLOCK_BYTES), "neither change of names was flushed"
    state.link("/a", "/b")
    state.sync(state.inodes[ROOT])
    crash(state)
    state.remove("/a")
    state.remove("/b")
    assert state.used_bytes == 0
    with pytest.raises(OSError):
        state.link("/a", "/c")
