"""The monitor: when it declares death, what it does then, and what it must not do. Times in milliseconds."""

from __future__ import annotations

import pytest

from matchmark.reference.control.lease import LeaseRecord
from matchmark.reference.control.monitor import (
    Action,
    Alert,
    Drain,
    Heartbeat,
    Monitor,
    Promote,
    Settings,
    StandbyStatus,
    State,
    TakeEpoch,
    Undrain,
)  # fmt: skip

MS = 1_000_000
FIT = StandbyStatus(received=100, applied=100, connected=True)
DIVERGED = StandbyStatus(received=100, applied=100, connected=True, unfit="it diverged from the primary at record 42")


class Bench:
    """A monitor, its clock, and what it said."""

    def __init__(self, status: StandbyStatus = FIT, epoch: int = 3) -> None:
        self.now = 0
        self.monitor = Monitor(Settings(), 0, used=epoch)
        self.monitor.status(status)
        self.said: list[Action] = []

    def run(self, ms: int, beats_every: int = 0, epoch: int = 3, step: int = 50, lease: bool = False) -> list[Action]:
        """Ticks every `step`, a heartbeat each `beats_every`; what was said meanwhile."""
        before = len(self.said)
        for _ in range(ms // step):
            self.now += step
            if lease:
                self.take(self.monitor.lease_seen(self.now * MS, LeaseRecord(epoch, self.now, "p", 1000 * MS)))
            if beats_every and self.now % beats_every == 0:
                self.beat(epoch)
            self.take(self.monitor.tick(self.now * MS))
        return self.said[before:]

    def beat(self, epoch: int = 3, sequence: int = 100, age_ms: int = 0) -> None:
        self.take(self.monitor.heartbeat(self.now * MS, Heartbeat(epoch, sequence, age_ms * MS)))

    def take(self, actions: list[Action]) -> list[Action]:
        self.said += actions
        return actions

    def codes(self) -> list[str]:
        return [said.code for said in self.said if isinstance(said, Alert)]


def kinds(actions: list[Action]) -> list[str]:
    return [said.code if isinstance(said, Alert) else type(said).__name__ for said in actions]


def test_death_is_declared_when_the_timeout_is_over_and_not_before() -> None:
    bench = Bench()
    bench.run(5_000, beats_every=1_000)
    assert kinds(bench.run(1_950)) == []
    assert kinds(bench.run(50)) == ["primary-dead", "TakeEpoch"]
    assert bench.said[-1] == TakeEpoch(4, used=3)
    assert "epoch 3" in bench.said[0].text and "2.00 s" in bench.said[0].text  # type: ignore[union-attr]


def test_a_heartbeat_between_two_ticks_counts_from_itself() -> None:
    bench = Bench()
    bench.run(1_000, beats_every=1_000)
    bench.now += 40
    bench.beat()
    bench.now += 10
    bench.take(bench.monitor.tick(bench.now * MS))
    assert bench.run(1_950) == []
    assert kinds(bench.run(50)) == ["primary-dead", "TakeEpoch"]


@pytest.mark.parametrize("every", [1_000, 1_500, 1_950])
def test_a_late_heartbeat_within_the_timeout_changes_nothing(every: int) -> None:
    assert Bench().run(60_000, beats_every=every) == []


def test_the_heartbeats_of_an_engine_that_hangs_are_none() -> None:
    bench = Bench()
    bench.run(1_000, beats_every=1_000)
    for _ in range(8):
        bench.beat(age_ms=1_500)
        bench.run(250)
    assert kinds(bench.said) == ["primary-dead", "TakeEpoch"]


def test_a_fenced_primary_that_wakes_up_is_not_heard() -> None:
    bench = Bench()
    bench.run(4_000, beats_every=1_000, epoch=3)
    bench.beat(epoch=4)
    assert kinds(bench.run(2_000, beats_every=500, epoch=3)) == ["primary-dead", "TakeEpoch"]
    assert bench.said[-1] == TakeEpoch(5, used=4)


def test_a_monitor_that_stood_still_blames_nobody_but_itself() -> None:
    bench = Bench()
    bench.run(1_000, beats_every=1_000)
    bench.now += 60_000
    assert bench.take(bench.monitor.tick(bench.now * MS)) == []
    assert kinds(bench.run(1_700)) == []
    assert kinds(bench.run(50)) == ["primary-dead", "TakeEpoch"], "but no heartbeat comes after it either"


def test_a_monitor_that_gets_little_time_decides_late_but_decides() -> None:
    bench = Bench()
    assert kinds(bench.run(8_000, step=1_000)) == ["primary-dead", "TakeEpoch"]


def takeover(bench: Bench) -> list[Action]:
    bench.run(1_000, beats_every=1_000)
    return bench.run(2_000)


def test_a_takeover_waits_for_the_lease_and_promotes_once() -> None:
    bench = Bench()
    bench.take(bench.monitor.lease_seen(0, LeaseRecord(3, 9, "p", 1_000 * MS)))
    takeover(bench)
    bench.take(bench.monitor.lease_seen(bench.now * MS, LeaseRecord(3, 10, "p", 1_000 * MS)))
    bench.take(bench.monitor.epoch_taken(bench.now * MS))
    assert bench.monitor.state is State.WAITING
    assert bench.run(1_000) == []
    assert bench.run(50) == [Promote(4, planned=False)]
    assert bench.run(30_000) == []
    assert kinds(bench.take(bench.monitor.promoted())) == ["promoted"]
    assert bench.run(30_000) == []
    assert bench.monitor.state is State.PRIMARY


def test_a_lease_that_ran_out_long_ago_is_not_waited_for_again() -> None:
    bench = Bench()
    bench.take(bench.monitor.lease_seen(0, LeaseRecord(3, 9, "p", 1_000 * MS)))
    takeover(bench)
    bench.take(bench.monitor.epoch_taken(bench.now * MS))
    bench.take(bench.monitor.lease_seen(bench.now * MS, LeaseRecord(3, 9, "p", 1_000 * MS)))
    assert bench.run(50) == [Promote(4, planned=False)]


def test_a_heartbeat_after_death_was_declared_calls_it_off_as_long_as_the_epoch_is_not_taken() -> None:
    bench = Bench()
    takeover(bench)
    bench.take(bench.monitor.epoch_unreadable("EIO"))
    bench.beat()
    assert kinds(bench.run(50)) == ["primary-back"]
    assert bench.monitor.state is State.WATCHING
    assert kinds(bench.run(2_000))[-1] == "TakeEpoch"
    bench.take(bench.monitor.epoch_taken(bench.now * MS))
    bench.beat()
    bench.run(2_000)
    assert bench.said[-1] == Promote(4, planned=False), "then it is too late"


def test_an_answer_that_was_under_way_when_a_heartbeat_came_counts() -> None:
    bench = Bench()
    takeover(bench)
    bench.beat()
    assert bench.run(100) == []
    bench.take(bench.monitor.epoch_taken(bench.now * MS))
    assert bench.monitor.state is State.WAITING


def test_a_storage_that_does_not_answer_is_asked_again() -> None:
    bench = Bench()
    takeover(bench)
    bench.take(bench.monitor.epoch_unreadable("EIO"))
    assert kinds(bench.run(500)) == ["TakeEpoch"]
    bench.take(bench.monitor.epoch_unreadable("EIO"))
    assert bench.codes() == ["primary-dead", "storage-unreadable"], "said once"


def test_who_loses_the_epoch_gives_the_winner_the_time_that_a_primary_has() -> None:
    bench = Bench()
    takeover(bench)
    bench.take(bench.monitor.epoch_lost(4))
    assert bench.monitor.state is State.WATCHING
    assert bench.run(1_950) == []
    assert kinds(bench.run(50)) == ["primary-dead", "TakeEpoch"]
    assert bench.said[-1] == TakeEpoch(5, used=3), "the winner never was at work"


def test_a_winner_that_renews_its_lease_has_the_time_that_it_needs_to_be_heard() -> None:
    bench = Bench()
    takeover(bench)
    bench.take(bench.monitor.epoch_lost(4))
    assert kinds(bench.run(20_000, epoch=4, lease=True)) == ["never-heard"]
    assert kinds(bench.run(2_000)) == ["primary-dead", "TakeEpoch"], "when it dies before"


def test_the_winner_is_followed_when_it_is_heard() -> None:
    bench = Bench()
    takeover(bench)
    bench.take(bench.monitor.epoch_lost(4))
    assert bench.run(30_000, beats_every=1_000, epoch=4) == []
    assert bench.monitor.used == 4


@pytest.mark.parametrize("how", ["heartbeat", "lease", "keeper"])
def test_a_takeover_that_another_overtook_is_void(how: str) -> None:
    bench = Bench()
    takeover(bench)
    bench.take(bench.monitor.epoch_taken(bench.now * MS))
    if how == "heartbeat":
        bench.beat(epoch=5)
    elif how == "keeper":
        bench.run(1_100)
        bench.take(bench.monitor.promotion_outrun(5))
    else:
        bench.take(bench.monitor.lease_seen(bench.now * MS, LeaseRecord(5, 1, "q", 1_000 * MS)))
    assert bench.codes()[-1] == "takeover-outrun"
    assert bench.run(1_900) == []
    assert bench.monitor.state is State.WATCHING


def test_a_diverged_standby_is_not_promoted_and_takes_no_epoch_from_others() -> None:
    bench = Bench(DIVERGED)
    bench.run(1_000, beats_every=1_000)
    assert kinds(bench.run(30_000)) == ["primary-dead", "standby-unfit"]
    assert "record 42" in bench.said[-1].text  # type: ignore[union-attr]
    bench.monitor.status(FIT)
    assert kinds(bench.run(50)) == ["TakeEpoch"]


def test_a_standby_that_is_found_diverged_before_the_epoch_is_taken_stops() -> None:
    bench = Bench()
    takeover(bench)
    bench.take(bench.monitor.epoch_unreadable("EIO"))
    bench.monitor.status(DIVERGED)
    assert kinds(bench.run(5_000)) == ["standby-unfit"]


def test_a_bad_epoch_is_told_once_and_tried_again_for_it_may_be_repaired() -> None:
    bench = Bench()
    takeover(bench)
    for _ in range(3):
        bench.take(bench.monitor.epoch_refused("epoch is damaged"))
        assert kinds(bench.run(500))[-1:] == ["TakeEpoch"]
    assert bench.codes() == ["primary-dead", "epoch-refused"]
    bench.take(bench.monitor.epoch_taken(bench.now * MS))
    assert bench.run(1_100)[-1:] == [Promote(4, planned=False)]


def test_a_promotion_that_was_refused_is_tried_again_under_the_same_epoch() -> None:
    bench = Bench()
    takeover(bench)
    bench.take(bench.monitor.epoch_taken(bench.now * MS))
    bench.run(1_100)
    assert kinds(bench.take(bench.monitor.promotion_refused(bench.now * MS, "no log"))) == ["promotion-refused"]
    assert bench.run(450) == []
    assert bench.run(50) == [Promote(4, planned=False)]
    assert bench.take(bench.monitor.promotion_refused(bench.now * MS, "no log")) == []
    bench.monitor.status(DIVERGED)
    assert bench.run(5_000) == []


def test_a_standby_that_never_heard_a_primary_which_renews_its_lease_does_not_depose_it() -> None:
    bench = Bench(StandbyStatus(connected=False))
    assert kinds(bench.run(60_000, lease=True)) == ["never-heard"]
    assert kinds(bench.run(2_000)) == ["primary-dead", "TakeEpoch"], "it does when the lease stands still"


def test_one_that_was_overtaken_and_still_writes_its_lease_holds_up_nobody() -> None:
    bench = Bench(epoch=4)
    assert kinds(bench.run(2_000, epoch=3, lease=True)) == ["primary-dead", "TakeEpoch"]


# --- switchover ---


def switching(bench: Bench) -> None:
    bench.run(2_000, beats_every=1_000)
    answer = bench.monitor.switchover(bench.now * MS)
    assert isinstance(answer, list) and isinstance(answer[-1], Drain)


def test_a_switchover_waits_for_the_last_record_and_for_no_lease() -> None:
    bench = Bench()
    switching(bench)
    bench.run(500, beats_every=500)
    assert bench.take(bench.monitor.drained(bench.now * MS, 105)) == []
    bench.monitor.status(StandbyStatus(received=105, applied=104, connected=True))
    assert bench.run(100) == []
    bench.monitor.status(StandbyStatus(received=105, applied=105, connected=True))
    assert bench.run(50) == [TakeEpoch(4, used=3)]
    released = LeaseRecord(3, 9, "p", 1_000 * MS, released=True)
    bench.take(bench.monitor.epoch_taken(bench.now * MS))
    bench.take(bench.monitor.lease_seen(bench.now * MS, released))
    assert bench.run(50) == [Promote(4, planned=True)]


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (DIVERGED, "record 42"),
        (StandbyStatus(received=100, applied=100, connected=False), "not connected"),
        (StandbyStatus(received=100, applied=100, connected=True), "1001 records behind"),
    ],
)
def test_a_switchover_is_refused_when_the_standby_is_not_ready(status: StandbyStatus, why: str) -> None:
    bench = Bench(status)
    bench.beat(sequence=1_101)
    answer = bench.monitor.switchover(bench.now * MS)
    assert isinstance(answer, str) and why in answer
    assert bench.monitor.state is State.WATCHING


def test_a_second_request_is_refused() -> None:
    bench = Bench()
    switching(bench)
    assert isinstance(bench.monitor.switchover(bench.now * MS), str)


def test_a_switchover_that_takes_too_long_is_called_off_and_what_comes_late_does_nothing() -> None:
    bench = Bench()
    switching(bench)
    assert kinds(bench.run(5_000, beats_every=500)) == ["switchover-off", "Undrain"]
    assert bench.take(bench.monitor.drained(bench.now * MS, 100)) == []
    assert bench.run(5_000, beats_every=500) == []


@pytest.mark.parametrize("what", ["lost", "bad", "unreadable", "unfit"])
def test_a_switchover_without_the_epoch_lets_the_primary_go_on(what: str) -> None:
    bench = Bench()
    switching(bench)
    if what == "unfit":
        bench.monitor.status(DIVERGED)
        said = bench.run(50)
    else:
        assert bench.take(bench.monitor.drained(bench.now * MS, 100)) == [TakeEpoch(4, used=3)]
        said = {
            "lost": lambda: bench.monitor.epoch_lost(4),
            "bad": lambda: bench.monitor.epoch_refused("damaged"),
            "unreadable": lambda: bench.monitor.epoch_unreadable("EIO"),
        }[what]()
    assert isinstance(said[-1], Undrain) and bench.monitor.state is State.WATCHING


def test_a_primary_that_dies_while_it_drains_is_taken_over_as_always() -> None:
    bench = Bench()
    switching(bench)
    assert kinds(bench.run(2_000)) == ["primary-dead", "TakeEpoch"]
