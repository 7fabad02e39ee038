"""Keys and directories of an exchange that lost its power before anybody else flushed them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from matchmark.chaos.faults.disk import Disk
from matchmark.chaos.faults.disk_state import Keep
from matchmark.chaos.faults.mounting import cannot_mount
from matchmark.reference.durable_files import make_directory, make_once
from matchmark.reference.tokens import Keys

pytestmark = pytest.mark.skipif(cannot_mount() is not None, reason=f"cannot mount here: {cannot_mount()}")


@pytest.fixture
def disk() -> Iterator[Disk]:
    with Disk() as made:
        yield made


def lose_power(disk: Disk) -> None:
    disk.power_off()
    assert disk.crash(Keep.NOTHING, "0")
    disk.mount()


def test_a_key_is_the_same_after_a_power_cut(disk: Disk) -> None:
    path = disk.folder / "data" / "keys" / "a.key"
    assert make_once(path, b"first") == b"first"
    lose_power(disk)
    assert make_once(path, b"second") == b"first"
    assert [p.name for p in path.parent.iterdir()] == ["a.key"], "no draft stays"


def test_a_token_from_before_a_power_cut_is_still_good(disk: Disk) -> None:
    make_directory(disk.folder / "data")
    token = Keys(disk.folder / "data" / "keys").issue("ACC1", 600)
    lose_power(disk)
    assert Keys(disk.folder / "data" / "keys").verify(token).account == "ACC1"
