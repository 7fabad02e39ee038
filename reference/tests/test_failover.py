"""A primary dies, stands still or is cut off, and its standby goes on: nothing acknowledged is lost, nothing is executed twice,
and clients need nothing but FIX and both addresses."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from matchmark.conformance.commands.operator import post
from matchmark.reference.control.storage import EpochStore
from matchmark.reference.snapshots import newest_sequence
from matchmark.reference.verify import verify

from .pair import Load, Pair, logged
from .serving import SMALL

MakePair = Callable[..., Pair]
MODES = ("async", "fsync", "replicated")


@pytest.fixture
def make_pair(tmp_path: Path) -> Iterator[MakePair]:
    made: list[Pair] = []

    def make(mode: str = "async", **more: Any) -> Pair:
        made.append(Pair(tmp_path, mode, **more))
        made[-1].start("a")
        made[-1].standby("b")
        return made[-1]

    yield make
    for pair in made:
        pair.close()


def judge(pair: Pair, loads: list[Load], survivor: str) -> None:
    """Every acknowledged order is in the survivor's log once, every report came once, in order, and the log is sound."""
    assert pair.members[survivor].stop() == 0
    result = verify(pair.members[survivor].data / "log")
    assert not result.findings, result.findings
    book = logged(pair.members[survivor].data)
    twice = {cl: n for cl, n in book.items() if n > 1}
    assert not twice, f"executed twice: {twice}"
    for load in loads:
        lost = load.acknowledged() - set(book)
        assert not lost, f"acknowledged and lost: {sorted(lost)[:5]} of {len(lost)}"
        assert load.answered() == {f"{load.account}.{n}" for n in range(load.orders)}
        execs = [int(m[17]) for m in load.trader.reports if m[35] == "8" and m[150] in "0F4"]
        again = [int(m[17]) for m in load.trader.reports if m.get(97) == "Y"]
        fresh = [x for x in execs if x not in set(again)]
        assert fresh == sorted(set(fresh)), "a report came twice, or out of order"
        fills = [m[17] for m in load.trader.reports if m[35] == "8" and m[150] == "F" and m.get(97) != "Y"]
        assert len(fills) == len(set(fills)), "a fill was told twice without saying so"


@pytest.mark.parametrize("mode", MODES)
def test_the_standby_takes_over_from_a_killed_primary(make_pair: MakePair, mode: str) -> None:
    pair = make_pair(mode)
    loads = [Load(pair, f"ACC{n}") for n in (1, 2)]
    time.sleep(0.7)
    pair.members["a"].kill()
    pair.wait_alert("b", "took-over")
    time.sleep(0.7)
    for load in loads:
        load.stop()
    status = pair.members["b"].status()
    assert (status["role"], status["epoch"], status["state"]) == ("primary", 2, "running")
    assert min(load.orders for load in loads) > 200
    judge(pair, loads, "b")


def test_what_replication_did_not_bring_is_read_from_the_old_primary(make_pair: MakePair) -> None:
    """The standby's line stands still while the primary trades on: all of that is the gap."""
    pair = make_pair("async")
    load = Load(pair)
    time.sleep(0.3)
    with pair.paused("b"):
        time.sleep(0.4)
        pair.members["a"].kill()
    gap = pair.wait_alert("b", "took-over")["gap"]
    time.sleep(0.3)
    load.stop()
    assert gap > 100
    judge(pair, [load], "b")


def test_a_paused_primary_that_wakes_up_acknowledges_nothing(make_pair: MakePair) -> None:
    pair = make_pair("async")
    stays = pair.client("ACC3")  # at the old primary, with an order on its way when that stands still
    load = Load(pair)
    time.sleep(0.4)
    with pair.paused("a"):
        stays.new("zombie", 1, 1, "99.00")
        pair.wait_alert("b", "took-over")
        time.sleep(0.3)
    assert not stays.read_until(lambda: any(m.get(11) == "zombie" for m in stays.reports), 3.0)
    a = pair.members["a"].process
    assert a and a.wait(20) == 3, "a primary that another has replaced ends and says so"
    assert "another member is primary under epoch 2" in pair.members["a"].stderr()
    pair.members["a"]._forget()
    time.sleep(0.3)
    load.stop()
    assert "zombie" not in logged(pair.members["a"].data)
    pair.connect(stays)
    assert stays.read_until(lambda: any(m.get(11) == "zombie" for m in stays.reports)), (
        "it was sent again and not answered"
    )
    judge(pair, [load], "b")


@pytest.mark.parametrize("every", [pytest.param(0, marks=pytest.mark.soak), 2000])
def test_who_was_primary_follows_and_takes_over_again(make_pair: MakePair, every: int) -> None:
    """Three failovers to and fro, each member joining again from its own log, or from a snapshot of it."""
    small = SMALL.replace("file_records = 20000", f"file_records = 1024\nsnapshot_records = {every}")
    # Nobody shall take over on a busy machine but whom this kills the other for.
    pair = make_pair("fsync", config=small.replace("audit_slots = 4096", "audit_slots = 1024"), heartbeat_s=1.0)
    load = Load(pair)
    until = time.monotonic() + 60
    while every and not all(newest_sequence(pair.members[name].data) for name in "ab"):
        assert time.monotonic() < until, "no snapshots come"
        time.sleep(0.1)
    for dead, next_one in (("a", "b"), ("b", "a"), ("a", "b")):
        time.sleep(0.4)
        pair.members[dead].kill()
        pair.wait_alert(next_one, "took-over")
        time.sleep(0.3)
        (pair.members[next_one].data / "alerts.jsonl").unlink()
        assert pair.start(dead).ready["role"] == "standby"
    time.sleep(0.3)
    load.stop()
    assert pair.members["b"].status()["epoch"] == 4
    judge(pair, [load], "b")
    assert pair.members["a"].stop() == 0
    assert all((newest_sequence(pair.members[name].data) > 0) == bool(every) for name in "ab")


@pytest.mark.parametrize("claimed", [True, False])
def test_who_starts_again_while_another_takes_over_is_not_primary_at_once(make_pair: MakePair, claimed: bool) -> None:
    """The other may hold a lease at this moment, and open. Here it has died of it, and the old one takes over in its turn."""
    pair = make_pair("fsync")
    load = Load(pair)
    time.sleep(0.3)
    load.stop()
    for name in ("b", "a"):
        pair.members[name].kill()
    if claimed:
        assert EpochStore(pair.shared).take(2, "b", 1)
    pair.start("a")
    status = pair.members["a"].status()
    assert (status["role"], status["epoch"]) == ("primary", 3 if claimed else 2)
    assert [row["code"] for row in pair.alerts("a")].count("took-over") == claimed
    pair.connect(load.trader)
    judge(pair, [load], "a")


def test_a_gateway_killed_while_it_takes_over_does_it_again(make_pair: MakePair) -> None:
    pair = make_pair("async")
    load = Load(pair)
    time.sleep(0.4)
    gateway = pair.members["b"].status()["pids"]["gateway"]
    os.kill(gateway, signal.SIGSTOP)  # it does not get to it
    pair.members["a"].kill()
    pair.wait_alert("b", "took-over")
    os.kill(gateway, signal.SIGKILL)
    time.sleep(0.8)
    load.stop()
    assert pair.members["b"].status()["restarts"]["gateway"] == 1
    judge(pair, [load], "b")


def test_a_standby_hears_nobody(make_pair: MakePair) -> None:
    pair = make_pair("async")
    client = pair.client("ACC4")
    client.new("one", 1, 1, "99.00")
    assert client.next()[39] == "0"
    other = pair.client("ACC5")
    with pytest.raises(OSError):
        other.connect(pair.members["b"].ready["fix"]["port"])


def test_the_loss_of_the_standby_stops_nobody_and_is_told(make_pair: MakePair) -> None:
    pair = make_pair("replicated")
    client = pair.client("ACC4")
    client.new("one", 1, 1, "99.00")
    assert client.next()[39] == "0"
    pair.members["b"].kill()
    pair.wait_alert("a", "standby-lost")
    client.new("two", 1, 1, "99.00")
    assert client.next()[39] == "0"
    assert pair.members["a"].status()["without_standby"]
    pair.standby("b")
    pair.members["a"].wait_for(lambda s: not s["without_standby"])
    client.new("three", 1, 1, "99.00")
    assert client.next()[39] == "0"


def test_a_planned_switchover_loses_nothing_and_takes_no_timeout(make_pair: MakePair) -> None:
    pair = make_pair("async")
    load = Load(pair)
    time.sleep(0.4)
    code, said = pair.members["b"].operator("switchover")
    assert (code, "took over under epoch 2" in str(said)) == (200, True), said
    assert not [row for row in pair.alerts("b") if row["code"] == "primary-dead"]
    a = pair.members["a"].process
    assert a and a.wait(20) == 3
    pair.members["a"]._forget()
    time.sleep(0.4)
    load.stop()
    assert pair.members["b"].status()["epoch"] == 2
    judge(pair, [load], "b")


def test_a_switchover_is_refused_to_who_may_not_and_where_nobody_follows(make_pair: MakePair) -> None:
    pair = make_pair("async")
    b = pair.members["b"]
    assert post(f"{b.ready['admin']}/operator/switchover", b.token("ACC1"), {})[0] == 403
    assert pair.members["a"].operator("switchover")[0] == 409, "the primary is no standby"
    pair.members["a"].stop()
    pair.wait_alert("b", "took-over")
    assert b.operator("switchover")[0] == 409
    assert b.status()["epoch"] == 2
