"""What a member of a cluster starts as: who may be primary at once, and who must not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from matchmark.native.pipeline_records import Role
from matchmark.reference.cluster.directory import Cluster, is_cut, role_at_start
from matchmark.reference.config import load
from matchmark.reference.data_dir import DataDir, Run


@pytest.fixture
def data(tmp_path: Path) -> Iterator[DataDir]:
    made = DataDir(tmp_path / "a")
    yield made
    made.release()


def start(
    data: DataDir, durability: str, in_step: str | None, clean: bool, claimed_by: str | None = None
) -> tuple[Role, int]:
    """Of member a, which opened epoch 1 and whose shared memory is gone."""
    shared = data.path.parent / "shared"
    cluster = Cluster(shared, "a")
    cluster.epochs.found("a")
    cluster.epochs.mark_opened(1, None)
    cluster.note_in_step(1, in_step)
    if claimed_by:
        assert cluster.epochs.take(2, claimed_by, 1)
    data.note_run(Run(clean, durability, 5, str(data.shm_dir()), 1))
    config = load({"cluster": shared, "member": "a", "durability": durability, "data_dir": data.path}, {})
    return role_at_start(config, data, 1, lambda text: None)


@pytest.mark.parametrize(
    ("durability", "in_step", "clean", "role"),
    [
        ("replicated", "b", False, Role.STANDBY),
        ("replicated", "b", True, Role.PRIMARY),
        ("replicated", None, False, Role.PRIMARY),
        ("fsync", "b", False, Role.PRIMARY),
        ("async", None, False, Role.PRIMARY),
    ],
)
def test_who_lost_its_memory_leaves_it_to_the_standby_that_has_everything(
    data: DataDir, durability: str, in_step: str | None, clean: bool, role: Role
) -> None:
    assert start(data, durability, in_step, clean)[0] is role
    assert is_cut(data.path, 1) is not clean
    assert not is_cut(data.path, 2), "what a later epoch decided is not touched by it"


@pytest.mark.parametrize(
    ("claimed_by", "what"), [("b", (Role.STANDBY, 0)), ("a", (Role.PRIMARY, 3)), (None, (Role.PRIMARY, 2))]
)
def test_who_was_overtaken_in_the_meantime_is_not_primary_at_once(
    data: DataDir, claimed_by: str | None, what: tuple[Role, int]
) -> None:
    assert start(data, "fsync", None, True, claimed_by) == what
