"""Epoch and lease as files of the cluster's directory on shared storage: the only part of the control plane that does I/O.

What could not be read is unreadable, never epoch 0, and never the absence of a file: the directory of a storage that is
away looks empty.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import time
from pathlib import Path

from matchmark.reference.control import epoch as epochs
from matchmark.reference.control import lease as leases
from matchmark.reference.control.epoch import EpochError, EpochRecord, StoredEpoch
from matchmark.reference.control.lease import LeaseRecord
from matchmark.reference.durable_files import make_directory, sync_directory

TRIES, TRY_AGAIN_S = 3, 0.01
"""A file that is being replaced on a network file system is away for a moment (ENOENT, ESTALE)."""
_CLAIM = re.compile(r"epoch\.(\d+)")
_OPENED = re.compile(r"opened\.(\d+)")
_CLUSTER = "cluster"
"""There as soon as the cluster was founded: tells an epoch that is missing from a storage that is."""


class StorageUnreadable(OSError):
    """The shared storage did not answer, or not whole: nothing is known. Worth another try."""


class EpochStore:
    """`directory` is the cluster's, the same for all members."""

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self.path = self.directory / "epoch"

    def found(self, member: str, first: int = 1) -> EpochRecord:
        """The cluster's first epoch, made for `member` unless another founds it at the same time; or what is stored.

        Only a member that was never in a cluster may found one: where a storage is not mounted the directory looks new.
        """
        try:
            make_directory(self.directory)
            if not (self.directory / _CLUSTER).exists() and set(self._claims()) <= {first}:
                self._claim(EpochRecord(first, member, time.time_ns()))
                won = epochs.decode((self.directory / f"epoch.{first}").read_bytes(), str(self.path))
                if not (self.directory / _CLUSTER).exists():
                    self._publish(won)
                    self._make(self.directory / _CLUSTER, secrets.token_hex(16).encode())
        except OSError as error:
            raise self._unreadable(error) from None
        return self.read().record

    def cluster_id(self) -> str:
        """Of this cluster and no other."""
        try:
            return (self.directory / _CLUSTER).read_text(encoding="ascii")
        except OSError as error:
            raise self._unreadable(error) from None

    def read(self) -> StoredEpoch:
        """EpochError: the record is missing or damaged. StorageUnreadable: nothing is known."""
        for attempt in range(TRIES):
            try:
                claimed = max(self._claims(), default=0)
                if not claimed and not (self.directory / _CLUSTER).exists():
                    raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
                blob = self._blob()
                if blob is not None or attempt == TRIES - 1:
                    return StoredEpoch(epochs.decode(blob, str(self.path)), claimed)
            except EpochError:
                if attempt == TRIES - 1:
                    raise
            except OSError as error:
                if attempt == TRIES - 1:
                    raise self._unreadable(error) from None
            time.sleep(TRY_AGAIN_S)
        raise AssertionError

    def current(self) -> int | None:
        """For a keeper: the epoch on storage; None when it is unreadable, missing or damaged. One try: renewals are many."""
        try:
            claimed = max(self._claims(), default=0)
            return StoredEpoch(epochs.decode(self._blob(), str(self.path)), claimed).epoch
        except (OSError, EpochError):
            return None

    def holder(self, number: int) -> str | None:
        """Who took this epoch, whether or not anything came of it; None when nobody did, or it cannot be read."""
        try:
            return epochs.decode((self.directory / f"epoch.{number}").read_bytes(), str(self.path)).member
        except (OSError, EpochError):
            return None

    def mark_opened(self, number: int, may_be_missing: str | None) -> None:
        """On the disk: the holder of `number` has everything and opens now. StorageUnreadable: not known whether it is there.

        Who takes over later reads its log, and no older one: only what is named in `may_be_missing` was given up.
        """
        said = json.dumps({"epoch": number, "may_be_missing": may_be_missing}).encode()
        try:
            if not self._make(self.directory / f"opened.{number}", said):
                sync_directory(self.directory)  # an earlier try made it, and may not have got so far
        except OSError as error:
            raise self._unreadable(error) from None

    def opened(self) -> tuple[int, str] | None:
        """The last epoch that opened, and its holder, whose log is the one to be read; None: the first is still to come."""
        try:
            marks = [int(match[1]) for name in os.listdir(self.directory) if (match := _OPENED.fullmatch(name))]
            number = max(marks, default=0)
            holder = self.holder(number) if number else None
        except OSError as error:
            raise self._unreadable(error) from None
        if number and holder is None:
            raise StorageUnreadable(errno.EIO, f"shared storage {self.directory}: epoch.{number} cannot be read")
        return (number, holder) if holder is not None else None

    def take(self, number: int, member: str, used: int) -> bool:
        """Makes `number` the member's: it is on the disk, and nobody else has it or ever gets it. False: another was first.

        `used` as in `next_epoch`, whose EpochError comes through. StorageUnreadable: it is not taken, and the number may be
        spoilt for everybody.
        """
        stored = self.read()
        if epochs.next_epoch(stored, used, str(self.path)) != number:
            return False
        record = EpochRecord(number, member, time.time_ns())
        try:
            if not self._claim(record):
                return False
            if max(self._claims()) > number:  # we stood still, and another went past us
                return False
            self._publish(record)
        except OSError as error:
            raise self._unreadable(error) from None
        return self.read().epoch == number

    def _claims(self) -> list[int]:
        return [int(match[1]) for name in os.listdir(self.directory) if (match := _CLAIM.fullmatch(name))]

    def _blob(self) -> bytes | None:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None

    def _claim(self, record: EpochRecord) -> bool:
        return self._make(self.directory / f"epoch.{record.epoch}", epochs.encode(record))

    def _make(self, path: Path, content: bytes) -> bool:
        """Whole and on the disk under its name, unless it is there already (False)."""
        draft = self._draft(path.name, content)
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
        finally:
            draft.unlink(missing_ok=True)
        sync_directory(self.directory)
        return True

    def _publish(self, record: EpochRecord) -> None:
        os.replace(self._draft("epoch", epochs.encode(record)), self.path)
        sync_directory(self.directory)

    def _draft(self, name: str, content: bytes) -> Path:
        draft = self.directory / f".{name}.{os.getpid()}.{secrets.token_hex(4)}"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        return draft

    def _unreadable(self, error: OSError) -> StorageUnreadable:
        return StorageUnreadable(error.errno, f"shared storage {self.directory}: {error.strerror}")


class LeaseFile:
    """The lease record, overwritten in place and never flushed: who needs it is alive, and reads what others wrote.

    Opened by its name each time, so that a storage that was mounted anew is the one that is used.
    """

    def __init__(self, directory: Path | str) -> None:
        self._path = Path(directory) / "lease"

    def write(self, record: LeaseRecord) -> bool:
        """False when storage did not take it: then the lease is not extended."""
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                return os.pwrite(fd, leases.encode(record), 0) == leases.LEASE_BYTES
            finally:
                os.close(fd)
        except OSError:
            return False

    def read(self) -> LeaseRecord | None:
        """None when it is unreadable, torn, damaged or was never written."""
        try:
            return leases.decode(self._path.read_bytes())
        except OSError:
            return None
