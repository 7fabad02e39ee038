"""The stored epoch: one taker of two, never lower, never guessed."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from matchmark.reference.control import epoch as epochs
from matchmark.reference.control import storage
from matchmark.reference.control.epoch import COPY_BYTES, EpochError, EpochRecord, StoredEpoch
from matchmark.reference.control.lease import LeaseRecord
from matchmark.reference.control.storage import EpochStore, LeaseFile, StorageUnreadable


@pytest.fixture
def store(tmp_path: Path) -> EpochStore:
    made = EpochStore(tmp_path / "cluster")
    made.found("a")
    return made


def test_either_copy_alone_is_enough_and_no_copy_is_an_error() -> None:
    record = EpochRecord(7, "a", 123)
    blob = epochs.encode(record)
    bad = bytes([blob[9] ^ 1])
    first, second = blob[:9] + bad + blob[10:], blob[: COPY_BYTES + 9] + bad + blob[COPY_BYTES + 10 :]
    assert epochs.decode(blob, "epoch") == epochs.decode(first, "epoch") == epochs.decode(second, "epoch") == record
    assert epochs.decode(blob[:COPY_BYTES], "epoch") == record
    for damaged in (first[:COPY_BYTES] + second[COPY_BYTES:], b"", blob[:100], bytes(len(blob))):
        with pytest.raises(EpochError, match="damaged") as caught:
            epochs.decode(damaged, "epoch")
        assert caught.value.fault == "damaged"


def test_the_next_epoch_is_above_all_that_were_claimed_or_at_work() -> None:
    record = EpochRecord(7, "a", 0)
    assert epochs.next_epoch(StoredEpoch(record, 7), 7, "epoch") == 8
    assert epochs.next_epoch(StoredEpoch(record, 9), 7, "epoch") == 10
    with pytest.raises(EpochError, match="epoch 8 was at work") as caught:
        epochs.next_epoch(StoredEpoch(record, 8), 8, "epoch")
    assert caught.value.fault == "too low"


def test_a_cluster_is_founded_once(store: EpochStore) -> None:
    identity = store.cluster_id()
    assert store.take(2, "b", 1)
    assert store.found("c") == store.read().record
    assert store.read().record.member == "b"
    assert store.cluster_id() == identity


def test_a_founding_that_was_cut_off_is_finished(tmp_path: Path) -> None:
    store = EpochStore(tmp_path)
    assert store._claim(EpochRecord(1, "a", 5))
    assert store.found("b") == EpochRecord(1, "a", 5), "who claimed it has it"


def test_what_is_left_of_a_lost_cluster_is_not_founded_anew(store: EpochStore) -> None:
    assert store.take(2, "b", 1)
    store.path.unlink()
    (store.directory / "cluster").unlink()
    with pytest.raises(EpochError, match="missing"):
        store.found("a")


def test_a_taken_epoch_is_there_for_everybody(store: EpochStore) -> None:
    assert store.take(2, "b", 1)
    other = EpochStore(store.directory)
    assert (other.read().record.epoch, other.read().record.member, other.current()) == (2, "b", 2)
    assert other.holder(2) == "b" and other.holder(1) == "a" and other.holder(3) is None
    assert not other.take(2, "c", 1)
    assert other.take(3, "c", 1)
    assert not [p.name for p in store.directory.iterdir() if p.name.startswith(".")], "no draft stays"


def test_of_many_who_want_the_same_epoch_exactly_one_gets_it(store: EpochStore) -> None:
    for number in range(2, 12):
        start, won = threading.Barrier(8), []

        def run(name: str, number: int = number, start: threading.Barrier = start, won: list[str] = won) -> None:
            start.wait()
            if EpochStore(store.directory).take(number, name, 1):
                won.append(name)

        threads = [threading.Thread(target=run, args=(f"m{i}",)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1 and store.read().record == EpochRecord(number, won[0], store.read().record.taken_ns)


def test_a_takeover_that_was_not_finished_leaves_its_number_used(store: EpochStore) -> None:
    assert store._claim(EpochRecord(2, "b", 0))
    assert store.read().epoch == 2 and store.current() == 2
    assert not store.take(2, "c", 1)
    assert store.take(3, "c", 1)


def test_who_stood_still_after_the_claim_does_not_put_an_old_record_over_a_new_one(
    store: EpochStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = EpochStore._claim

    def paused(self: EpochStore, record: EpochRecord) -> bool:
        made = claim(self, record)
        if record.member == "slow":
            assert EpochStore(self.directory).take(3, "quick", 1)
        return made

    monkeypatch.setattr(EpochStore, "_claim", paused)
    assert not store.take(2, "slow", 1)
    assert store.read().record.epoch == 3 and store.read().record.member == "quick"


def test_missing_damaged_and_too_low_are_refused_with_words_for_an_operator(store: EpochStore) -> None:
    assert store.take(2, "b", 1)
    good = store.path.read_bytes()
    for fault, content, used in (
        ("missing", None, 2), ("damaged", b"x" * 100, 2), ("damaged", b"", 2),
        ("too low", epochs.encode(EpochRecord(1, "a", 0)), 2),
    ):  # fmt: skip
        store.path.unlink(missing_ok=True)
        if content is not None:
            store.path.write_bytes(content)
        with pytest.raises(EpochError, match="nobody becomes primary") as caught:
            store.take(3, "c", used)
        assert caught.value.fault == fault
        if fault != "too low":
            assert store.current() is None
    store.path.write_bytes(good)
    assert store.take(3, "c", 2), "repaired"


def test_a_storage_that_is_away_is_unreadable_and_never_epoch_0(
    store: EpochStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.directory.rename(store.directory.with_name("away"))
    with pytest.raises(StorageUnreadable):
        store.read()
    assert store.current() is None
    store.directory.mkdir()  # as the place looks where a storage is not mounted
    with pytest.raises(StorageUnreadable):
        store.take(2, "b", 1)
    store.directory.rmdir()
    store.directory.with_name("away").rename(store.directory)

    def broken(*args: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "read_bytes", broken)
    with pytest.raises(StorageUnreadable):
        store.read()
    assert store.current() is None
    assert LeaseFile(store.directory).read() is None


def test_storage_says_whose_log_is_the_one_to_be_read(store: EpochStore) -> None:
    assert store.opened() is None
    store.mark_opened(1, None)
    assert store.opened() == (1, "a")
    assert store.take(2, "b", 1)
    assert store.opened() == (1, "a"), "b has the epoch and has not opened: it may lack what a has"
    store.mark_opened(2, "the last 10 ms")
    store.mark_opened(2, None)
    assert store.opened() == (2, "b")
    assert "last 10 ms" in (store.directory / "opened.2").read_text(), "what was said first stands"
    (store.directory / "epoch.2").write_bytes(b"")
    with pytest.raises(StorageUnreadable):
        store.opened()


def test_a_mark_whose_flush_failed_is_flushed_when_it_is_made_again(
    store: EpochStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[object] = []
    sync = storage.sync_directory

    def once_failing(path: Path) -> None:
        flushed.append(path)
        if len(flushed) == 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(path)

    monkeypatch.setattr(storage, "sync_directory", once_failing)
    with pytest.raises(StorageUnreadable):
        store.mark_opened(1, None)
    store.mark_opened(1, None)
    assert len(flushed) == 2


def test_an_epoch_whose_flush_fails_is_not_taken(store: EpochStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(path: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(storage, "sync_directory", failing)
        with pytest.raises(StorageUnreadable):
            store.take(2, "b", 1)
    assert not store.take(2, "b", 1), "the number is spoilt: nobody knows whether it is on the disk"
    assert store.take(3, "b", 1)


def test_the_lease_file_holds_the_last_record(store: EpochStore) -> None:
    file = LeaseFile(store.directory)
    assert file.read() is None
    for counter in (1, 2):
        record = LeaseRecord(1, counter, "a", 1000)
        assert file.write(record)
        assert LeaseFile(store.directory).read() == record
    with (store.directory / "lease").open("r+b") as out:
        out.seek(30)
        out.write(b"\xff")
    assert file.read() is None
    store.directory.rename(store.directory.with_name("away"))
    assert not file.write(record)
