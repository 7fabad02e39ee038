"""What a session store makes of what a loss of power leaves of its file."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

import pytest

from matchmark.native import _native
from matchmark.native.replication import copy_store

ffi: Any = _native.ffi
lib: Any = _native.lib
CAPACITY, JOURNAL = 64, 4096
AHEAD = CAPACITY // 4 + 1
LOG_END = 1 << 40


class Store:
    """A store at a path, opened as a gateway does it. `forward`: what mm_fix_store_trust said."""

    def __init__(self, path: Path, life: int = 1, clean: bool = False, log_key: int = LOG_END) -> None:
        self.path = path
        self.native = ffi.new("mm_fix_store *")
        why = ffi.new("char[]", 256)
        assert lib.mm_fix_store_open(self.native, str(path).encode(), b"CLIENT", CAPACITY, JOURNAL, why) == 0
        self.forward = lib.mm_fix_store_trust(self.native, life, clean, log_key, why)
        self.why = ffi.string(why).decode()

    @property
    def numbers(self) -> Any:
        return self.native.numbers

    def keep(self, *keys: int) -> None:
        for key in keys:
            lib.mm_fix_store_keep(self.native, key, 0, 1)

    def flush(self, next_in: int = 0, exact: bool = False) -> bytes:
        assert lib.mm_fix_store_flush(self.native, next_in, exact) == 0
        return self.path.read_bytes()

    def key(self, number: int) -> int:
        return int(self.native.sent[number % CAPACITY].key)

    def close(self) -> bytes:
        lib.mm_fix_store_close(self.native)
        return self.path.read_bytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.fix"


def mixed(disk: bytes, memory: bytes, seed: int) -> bytes:
    """Any sectors of what was not flushed."""
    chance = random.Random(seed)
    at = range(0, len(disk), 512)
    return b"".join((memory if chance.random() < 0.5 else disk)[a : a + 512] for a in at)


def test_a_new_store_may_send_nothing_before_its_first_flush(path: Path) -> None:
    s = Store(path)
    assert s.forward == 0 and s.numbers.ceiling == s.numbers.next_out == 1 and lib.mm_fix_store_due(s.native) == 2
    s.flush()
    assert s.numbers.ceiling == 1 + AHEAD and lib.mm_fix_store_due(s.native) == 0
    s.close()


@pytest.mark.parametrize("seed", range(20))
def test_after_a_loss_of_power_numbers_are_above_all_that_were_sent(path: Path, seed: int) -> None:
    s = Store(path)
    s.flush()
    s.keep(10, 12, 14)
    s.numbers.next_in = 5
    disk = s.flush(next_in=5)
    ceiling = int(s.numbers.ceiling)
    s.keep(*range(16, 16 + 2 * (AHEAD - 1), 2))  # all that may be sent
    s.numbers.next_in = 30
    assert s.numbers.next_out <= ceiling
    path.write_bytes(mixed(disk, s.close(), seed))
    s = Store(path, life=2)
    assert s.forward == 1 and s.numbers.next_out >= ceiling and s.numbers.next_in <= 30
    assert s.numbers.next_in >= 5 and lib.mm_fix_store_last_key(s.native) >= 14
    assert [s.key(n) for n in (1, 2, 3)] == [10, 12, 14]
    assert all(s.key(n) == 0 for n in range(4, ceiling))  # nobody knows what they were: gap-filled
    assert s.numbers.ceiling == s.numbers.next_out  # and nothing is sent before the disk knows
    s.close()


def test_what_the_log_has_lost_is_forgotten(path: Path) -> None:
    """In mode async a store may be ahead of the log, and the engine gives the same keys to other reports."""
    s = Store(path)
    s.flush()
    s.keep(10, 12, 14)
    s.flush()
    s.close()
    s = Store(path, life=2, log_key=12)
    assert lib.mm_fix_store_last_key(s.native) == 12 and [s.key(n) for n in (1, 2, 3)] == [10, 12, 0]
    s.close()


def test_the_same_life_and_a_clean_stop_are_believed(path: Path) -> None:
    s = Store(path)
    s.flush()
    s.keep(10)
    s.numbers.next_in = 7
    s.close()
    s = Store(path)
    assert s.forward == 0 and (s.numbers.next_in, s.numbers.next_out) == (7, 2)
    s.flush(exact=True)
    s.close()
    s = Store(path, life=2, clean=True)
    assert s.forward == 0 and (s.numbers.next_in, s.numbers.next_out) == (7, 2)
    s.keep(12)
    s.close()
    s = Store(path, life=3)
    assert s.forward == 1 and s.numbers.next_out == 2 + AHEAD and s.numbers.next_in == 1
    s.close()


def test_a_stop_that_did_not_get_to_this_store_is_not_believed(path: Path) -> None:
    s = Store(path)
    s.flush()
    s.keep(10)
    s.close()
    assert Store(path, life=2, clean=True).forward == 1


def test_one_torn_copy_leaves_the_other_and_two_are_damage(path: Path) -> None:
    s = Store(path)
    s.flush()
    s.keep(10)
    s.flush()
    s.close()
    content = bytearray(path.read_bytes())
    content[1024 + 8] ^= 1  # the second copy: serial 2
    path.write_bytes(content)
    s = Store(path, life=2)
    assert s.forward == 1 and s.numbers.next_out == 1 + AHEAD
    s.close()
    content[1536 + 8] ^= 1
    path.write_bytes(content)
    s = Store(path, life=3)
    assert s.forward == -1 and "neither copy" in s.why
    s.close()


def test_numbers_that_were_reset_are_not_brought_back(path: Path) -> None:
    s = Store(path)
    s.flush()
    s.keep(10)
    s.numbers.next_in = 9
    s.flush(next_in=9)
    s.numbers.resets, s.numbers.next_in, s.numbers.next_out = 1, 2, 1
    assert lib.mm_fix_store_due(s.native) == 2
    s.flush()
    s.close()
    s = Store(path, life=2)
    assert (s.numbers.next_in, s.numbers.next_out, s.numbers.unsure_in) == (1, 1 + AHEAD, 1)
    s.close()


@pytest.mark.parametrize("elsewhere", [Path("/dev/shm"), None], ids=["another file system", "the same"])
def test_a_store_is_copied_whole_to_wherever_the_successor_has_its_own(
    path: Path, tmp_path: Path, elsewhere: Path | None
) -> None:
    if elsewhere is not None and not elsewhere.is_dir():
        pytest.skip("no other file system here")
    store = Store(path)
    store.keep(*range(2, 90))
    store.flush(next_in=7)
    store.close()
    with tempfile.TemporaryDirectory(dir=elsewhere or tmp_path) as folder:
        target = Path(folder) / "copy.fix"
        copy_store(path, target)
        assert target.read_bytes() == path.read_bytes()
