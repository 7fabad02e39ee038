"""The primary's part of a switchover."""

from __future__ import annotations

from matchmark.reference.control.switchover import PrimarySwitch, State, Step


def test_it_stops_orders_first_and_gives_the_lease_up_last() -> None:
    switch = PrimarySwitch(1_000)
    assert switch.drain(0) == [Step.STOP_ORDERS]
    assert switch.drain(1) == []
    assert switch.idle(77) == [Step.RELEASE_LEASE, Step.SAY_DRAINED]
    assert (switch.state, switch.sequence) == (State.RELEASED, 77)
    assert switch.idle(78) == [] and switch.sequence == 77
    assert switch.fenced() == [Step.STOP]
    assert switch.undrain() == switch.drain(2) == switch.fenced() == []


def test_called_off_it_trades_again_with_the_lease_taken_back_first() -> None:
    switch = PrimarySwitch(1_000)
    switch.drain(0)
    assert switch.undrain() == [Step.TAKE_ORDERS]
    switch.drain(0)
    switch.idle(5)
    assert switch.undrain() == [Step.TAKE_LEASE_BACK, Step.TAKE_ORDERS]
    assert switch.state is State.TRADING


def test_nobody_who_asks_and_goes_away_leaves_it_stopped() -> None:
    switch = PrimarySwitch(1_000)
    switch.drain(500)
    assert switch.tick(1_499) == []
    assert switch.tick(1_500) == [Step.TAKE_ORDERS]
    assert switch.tick(9_999) == []


def test_what_nobody_asked_for_does_nothing() -> None:
    switch = PrimarySwitch(1_000)
    assert switch.idle(5) == switch.undrain() == switch.tick(10**12) == []
    assert switch.fenced() == [Step.STOP]
