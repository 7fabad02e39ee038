"""A standby's takeover: overtaken by another it goes on as a standby, and it waits for the old log where that is needed."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from matchmark.native.pipeline import Pipeline, create, now_ns
from matchmark.native.pipeline_records import Role
from matchmark.reference.cluster import takeover as takeovers
from matchmark.reference.cluster.directory import Cluster, Member
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


@pytest.mark.parametrize(("has_all", "silent_s", "found"), [(True, 2.0, None), (True, 0.0, 7), (False, 2.0, 7)])
def test_the_old_log_is_waited_for_by_who_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_all: bool, silent_s: float, found: int | None
) -> None:
    """Its volume comes back a while after the takeover began: to who has all it had the time of the silence."""
    monkeypatch.setattr(takeovers, "REACHABLE_NS", 2_000_000_000)
    cluster = Cluster(tmp_path / "shared", "b")
    cluster.epochs.found("a")
    cluster.epochs.mark_opened(1, None)
    old, gone = tmp_path / "a", str(tmp_path / "shm")
    cluster.announce(Member("a", str(old), gone, ("::1", 1), "", ("::1", 2), 1, 1))
    member: Any = SimpleNamespace(cluster=cluster, config=SimpleNamespace(member="b"))
    replica: Any = SimpleNamespace(
        status=lambda: SimpleNamespace(heard_ns=now_ns() - int(silent_s * 1e9)), end_of=lambda memory, log: 7
    )
    takeover: Any = TakeOver(member, replica, 2)
    takeover._has_all = has_all
    mounted = threading.Timer(0.3, (old / "log").mkdir, kwargs={"parents": True})
    mounted.start()
    try:
        assert takeover._locate().sequence == found
    finally:
        mounted.join()
