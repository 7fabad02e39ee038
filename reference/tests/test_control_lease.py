"""The lease: what a keeper may do, and when a candidate may be sure. Each rule has a way to break it that is caught."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matchmark.reference.control.lease import LEASE_BYTES, LeaseKeeper, LeaseRecord, LeaseWatch, decode, encode

LEASE, MARGIN = 1_000, 10


def test_a_record_comes_back_as_it_was() -> None:
    record = LeaseRecord(3, 2**40, "äb", LEASE, released=True)
    assert decode(encode(record)) == record
    assert len(encode(record)) == LEASE_BYTES


@given(st.integers(0, LEASE_BYTES * 8 - 1))
def test_no_flipped_bit_goes_unseen(bit: int) -> None:
    block = bytearray(encode(LeaseRecord(3, 7, "a", LEASE)))
    block[bit // 8] ^= 1 << bit % 8
    assert decode(bytes(block)) is None


def test_a_torn_or_short_record_is_none() -> None:
    old, new = encode(LeaseRecord(3, 7, "a", LEASE)), encode(LeaseRecord(3, 8, "a", LEASE))
    assert decode(new[:20] + old[20:]) is None
    assert decode(new[:-1]) is None
    assert decode(b"") is None
    assert decode(bytes(LEASE_BYTES)) is None


@pytest.mark.parametrize("name", ["", "x" * 33, "a\0b"])
def test_a_name_that_would_not_come_back_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        encode(LeaseRecord(1, 1, name, LEASE))


def test_a_lease_counts_from_before_the_renewal_and_not_from_its_end() -> None:
    keeper = LeaseKeeper(3, "a", LEASE)
    assert not keeper.held(0)
    assert keeper.begin(100) == LeaseRecord(3, 1, "a", LEASE)
    keeper.finish(3)
    assert keeper.until_ns == 1_100
    assert keeper.held(1_099) and not keeper.held(1_100)


@pytest.mark.parametrize("read", [None, 2])
def test_a_storage_that_is_silent_or_older_than_we_are_extends_nothing(read: int | None) -> None:
    keeper = LeaseKeeper(3, "a", LEASE)
    keeper.begin(0)
    keeper.finish(3)
    keeper.begin(500)
    keeper.finish(read)
    assert keeper.until_ns == 1_000
    assert keeper.fenced_by is None


def test_a_finish_without_a_begin_extends_nothing() -> None:
    keeper = LeaseKeeper(3, "a", LEASE)
    keeper.begin(0)
    keeper.finish(3)
    keeper.finish(3)
    assert keeper.until_ns == 1_000


def test_fenced_is_for_good() -> None:
    keeper = LeaseKeeper(3, "a", LEASE)
    keeper.begin(0)
    keeper.finish(4)
    assert keeper.until_ns == 0 and keeper.fenced_by == 4
    keeper.begin(10)
    keeper.finish(3)
    assert keeper.until_ns == 0


def test_a_lease_given_up_comes_back_with_the_next_renewal_and_no_sooner() -> None:
    keeper = LeaseKeeper(3, "a", LEASE)
    keeper.begin(0)
    assert keeper.release() == LeaseRecord(3, 2, "a", LEASE, released=True)
    keeper.finish(3)
    assert keeper.until_ns == 0, "the renewal that was on its way does not undo it"
    keeper.begin(10)
    keeper.finish(3)
    assert keeper.until_ns == 0
    keeper.take_back()
    assert keeper.until_ns == 0
    keeper.begin(20)
    keeper.finish(3)
    assert keeper.until_ns == 1_020


def watch() -> LeaseWatch:
    return LeaseWatch(LEASE, MARGIN)


def record(counter: int, epoch: int = 3, released: bool = False, lease: int = LEASE) -> LeaseRecord:
    return LeaseRecord(epoch, counter, "a", lease, released)


def test_nothing_is_over_before_the_epoch_is_taken() -> None:
    w = watch()
    w.seen(0, record(1))
    assert not w.expired(10**9)


def test_a_record_that_stood_still_is_counted_from_when_it_was_first_seen() -> None:
    w = watch()
    w.seen(100, record(1))
    w.seen(900, record(1))
    w.epoch_taken(1_000)
    assert not w.expired(1_110), "no look after the epoch: the record may have moved"
    w.seen(1_050, record(1))
    assert not w.expired(1_109) and w.expired(1_110)


def test_a_record_that_moved_before_the_epoch_is_counted_from_the_epoch() -> None:
    w = watch()
    w.seen(100, record(1))
    w.epoch_taken(1_000)
    w.seen(1_050, record(2))
    assert not w.expired(2_009) and w.expired(2_010)


@pytest.mark.parametrize("look", [None, "moving"])
def test_a_storage_that_says_nothing_or_a_zombie_that_writes_on_holds_up_nobody_for_ever(look: str | None) -> None:
    w = watch()
    w.epoch_taken(1_000)
    for now in range(1_010, 2_010, 10):
        w.seen(now, record(now) if look else None)
        assert not w.expired(now)
    assert w.expired(2_010)


def test_the_longer_of_two_leases_counts() -> None:
    w = watch()
    w.seen(100, record(1, lease=5_000))
    w.epoch_taken(1_000)
    assert not w.expired(6_009) and w.expired(6_010)


def test_a_lease_given_up_is_over_at_once_when_the_last_holder_says_so() -> None:
    w = watch()
    w.seen(990, record(5, released=True))
    w.epoch_taken(1_000, former=3)
    w.seen(1_001, record(5, released=True))
    assert w.expired(1_001)


def test_an_older_primary_cannot_give_up_what_a_newer_one_has() -> None:
    w = watch()
    w.seen(990, record(5, epoch=2, released=True))
    w.epoch_taken(1_000, former=3)
    w.seen(1_001, record(5, epoch=2, released=True))
    assert not w.expired(1_999)


# --- keeper and candidate together, on a storage where every step can be anywhere ---


def last_moment_of_the_old(steps: str, expired: Callable[[LeaseWatch, int], bool]) -> tuple[int, int | None]:
    """One letter a step of time, 100 ns: b keeper begins, w writes, r reads and finishes; L candidate looks, E takes the
    epoch. Returns how long the keeper may acknowledge, and when the candidate believed the lease to be over."""
    keeper, w = LeaseKeeper(3, "a", LEASE), watch()
    epoch, stored, pending, over = 3, None, None, None
    for at, step in enumerate(steps + "L" * 40):
        now = at * 100
        if step == "b":
            pending = keeper.begin(now)
        elif step == "w" and pending:
            stored = pending
        elif step == "r" and pending and stored == pending:
            keeper.finish(epoch)
            pending = None
        elif step == "L":
            w.seen(now, stored)
        elif step == "E" and epoch == 3:
            epoch = 4
            w.epoch_taken(now, 3)
        if over is None and expired(w, now):
            over = now
    return keeper.until_ns, over


STEPS = st.text(alphabet="bwrLE", max_size=40)


@given(STEPS)
def test_the_candidate_is_never_early(steps: str) -> None:
    until, over = last_moment_of_the_old(steps, LeaseWatch.expired)
    assert over is None or over >= until
    assert (over is None) == ("E" not in steps), "and it comes to an end"


def test_a_candidate_that_trusts_a_look_from_before_the_epoch_is_caught() -> None:
    def early(w: LeaseWatch, now: int) -> bool:
        return w.moved_ns is not None and now >= w.moved_ns + LEASE + MARGIN

    until, over = last_moment_of_the_old("bwL" + "........." + "bwr", early)
    assert over is not None and over < until
