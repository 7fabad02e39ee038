"""Bookkeeping of both ends of replication: whose acknowledgement counts, and when."""

from __future__ import annotations

import pytest

from matchmark.reference.control.monitor import Alert
from matchmark.reference.control.standbys import Ack, LagAlarm, NoteStandby, Receiver, ReplicationError, Sender


def test_a_receiver_takes_the_next_records_and_nothing_else() -> None:
    receiver = Receiver(10, epoch=3)
    receiver.frame(11, 5, 3, 20)
    receiver.frame(16, 0, 3, 21)
    receiver.executed(13)
    assert (receiver.ack(), receiver.behind) == (Ack(15, 13), 8)
    for frame in ((15, 1, 3, 22), (17, 1, 3, 22), (16, 1, 2, 22), (16, 1, 4, 22), (16, 3, 3, 17), (16, 1, 3, 20)):
        with pytest.raises(ReplicationError):
            receiver.frame(*frame)
    for sequence in (12, 16):
        with pytest.raises(ReplicationError):
            receiver.executed(sequence)
    assert receiver.ack() == Ack(15, 13)


def following(tail: int = 100) -> Sender:
    sender = Sender(3, tail)
    assert sender.attach("b", tail) == [NoteStandby(3, "b")]
    assert [a.code for a in sender.noted(NoteStandby(3, "b"), True)] == ["standby-there"]
    return sender


def test_nothing_counts_before_storage_says_who_the_standby_is() -> None:
    sender = Sender(3, 100)
    sender.attach("b", 100)
    sender.tail = 110
    assert sender.ack("b", Ack(105, 100)) == []
    assert sender.replicated == 0
    assert sender.noted(NoteStandby(3, "b"), False) == []
    assert sender.replicated == 0
    assert sender.tick() == [NoteStandby(3, "b")], "asked again, and only once at a time"
    assert sender.tick() == sender.ack("b", Ack(106, 100)) == []
    sender.noted(NoteStandby(3, "b"), True)
    assert sender.replicated == 106


def test_a_newcomer_counts_only_with_all_that_may_have_been_acknowledged_before() -> None:
    sender = Sender(3, tail=100)
    assert sender.attach("b", 0) == []
    assert sender.ack("b", Ack(99, 0)) == []
    assert sender.ack("b", Ack(100, 0)) == [NoteStandby(3, "b")]


def test_a_second_standby_takes_the_place_of_the_first_when_it_has_as_much() -> None:
    sender = following()
    sender.tail = 200
    sender.ack("b", Ack(180, 180))
    assert sender.attach("c", 150) == []
    assert sender.ack("c", Ack(170, 150)) == [] and sender.replicated == 180
    assert [type(a) for a in sender.detach("b")] == [Alert]
    assert sender.replicated == 180, "what was promised stays so, and no more is"
    assert not sender.connected
    note = sender.ack("c", Ack(185, 150))
    assert note == [NoteStandby(3, "c")]
    sender.attach("b", 180)
    sender.ack("b", Ack(190, 180))
    assert sender.replicated == 180, "storage may name either while it is written"
    sender.noted(note[0], True)
    assert sender.replicated == 185 and sender.connected
    sender.ack("b", Ack(199, 199))
    assert sender.replicated == 185, "the first one's count no more"


def test_the_loss_of_the_standby_is_told_and_one_that_is_not_it_is_not_missed() -> None:
    sender = following()
    sender.attach("c", 0)
    assert sender.detach("c") == []
    lost = sender.detach("b")
    assert [a.code for a in lost if isinstance(a, Alert)] == ["standby-lost"]
    assert sender.detach("b") == []


def test_one_that_went_while_it_was_noted_is_missed() -> None:
    sender = Sender(3, 0)
    note = sender.attach("b", 0)
    sender.detach("b")
    assert [a.code for a in sender.noted(note[0], True)] == ["standby-lost"]
    assert not sender.connected


@pytest.mark.parametrize("ack", [Ack(101, 0), Ack(50, 50), Ack(100, 101)])
def test_an_acknowledgement_of_what_cannot_be_is_a_breach(ack: Ack) -> None:
    with pytest.raises(ReplicationError):
        following().ack("b", ack)


def test_a_lag_over_the_bound_is_told_once_and_its_end_too() -> None:
    alarm = LagAlarm(10_000_000)
    lags = [1, 10, 11, 50, 11, 9, 6, 5, 11]
    said = [alert.code for lag in lags for alert in alarm.lag(lag * 1_000_000)]
    assert said == ["standby-lags", "standby-caught-up", "standby-lags"]
