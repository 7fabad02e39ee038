"""A standby that took an epoch and was overtaken by another goes on as a standby: it does not end as a fenced primary does."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from matchmark.native.pipeline import Pipeline, create
from matchmark.native.pipeline_records import Role
from matchmark.reference.cluster.directory import Cluster
from matchmark.reference.cluster.member import Keeper
from matchmark.reference.cluster.takeover import Outrun, TakeOver

LEASE_NS = 500_000_000


@pytest.mark.parametrize("role", [Role.STANDBY, Role.PRIMARY])
def test_a_higher_epoch_ends_a_primary_and_outruns_a_standby(tmp_path: Path, role: Role) -> None:
    create(tmp_path / "shm")
    told: list[str] = []
    cluster = Cluster(tmp_path / "shared", "c")
    assert cluster.epochs.found("a").epoch == 1
    assert cluster.epochs.take(2, "c", 1)
    with Pipeline(tmp_path / "shm") as pipeline:
        pipeline.role = role
        member: Any = SimpleNamespace(
            cluster=cluster, pipeline=pipeline, config=SimpleNamespace(member="c"),
            settings=SimpleNamespace(lease_ns=LEASE_NS),
            alerts=SimpleNamespace(raise_=lambda code, text, **more: told.append(code)),
        )  # fmt: skip
        member.keeper = lambda epoch: Keeper(member, epoch)
        keeper = Keeper(member, 2)
        assert keeper.renew() and not keeper.fenced
        assert cluster.epochs.take(3, "b", 2)
        assert not keeper.renew() and keeper.fenced
        fenced = role == Role.PRIMARY
        assert (pipeline.status().fenced_by, told) == ((3, ["fenced"]) if fenced else (0, []))
        if not fenced:
            takeover: Any = TakeOver(member, None, 2)  # type: ignore[arg-type]
            with pytest.raises(Outrun) as raised:
                takeover._take_lease()
            assert raised.value.epoch == 3
            assert pipeline.may_act() and pipeline.status().epoch == 1, "it executes what the primary sends"
