"""The directory of a cluster on shared storage: who its members are and where, who was primary last, which standby is in step.

`epoch*`, `lease`, `cluster`  as control/storage.py says
`members/NAME.json`  where a member is: written by itself at each start
`in_step`            which standby has all that was acknowledged in mode replicated, by the primary
`keys`               of tokens and ClOrdIDs: the cluster's, so that a client's token and its orders are good at every member

Logs, session stores and session numbers are each member's own, in its data directory: no two processes ever write the same file.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from matchmark.native.pipeline_records import Durability, Role
from matchmark.reference.config import ServeConfig
from matchmark.reference.control.epoch import EpochError
from matchmark.reference.control.storage import EpochStore, LeaseFile, StorageUnreadable
from matchmark.reference.data_dir import EXIT_FAULT, DataDir, StartError
from matchmark.reference.durable_files import make_directory, make_once, sync_directory

_MARK = "cluster"
_CUT = "memory-lost"
_FOUNDED_POLL_S = 0.1


@dataclass(frozen=True)
class Member:
    """Where a member is. `replication`: where it gives its records to standbys while it is primary."""

    name: str
    data_dir: str
    shm_dir: str
    fix: tuple[str, int]
    admin: str
    replication: tuple[str, int]
    pid: int
    generation: int


class Cluster:
    """One member's view of its cluster. StorageUnreadable where storage does not answer."""

    def __init__(self, directory: Path, member: str) -> None:
        self.directory, self.name = directory, member
        self.epochs, self.lease = EpochStore(directory), LeaseFile(directory)

    def announce(self, member: Member) -> None:
        make_directory(self.directory / "members")
        self._replace(self.directory / "members" / f"{member.name}.json", asdict(member))

    def member(self, name: str) -> Member | None:
        """None when it is not known, or cannot be read."""
        try:
            row = json.loads((self.directory / "members" / f"{name}.json").read_text(encoding="utf-8"))
            return Member(
                str(row["name"]), str(row["data_dir"]), str(row["shm_dir"]), _address(row["fix"]), str(row["admin"]),
                _address(row["replication"]), int(row["pid"]), int(row["generation"]),
            )  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def members(self) -> list[str]:
        with contextlib.suppress(OSError):
            return sorted(path.stem for path in (self.directory / "members").glob("*.json"))
        return []

    def note_in_step(self, epoch: int, standby: str | None) -> None:
        """On the disk before anything is acknowledged by it. OSError when storage does not take it."""
        self._replace(self.directory / "in_step", {"epoch": epoch, "standby": standby})

    def in_step(self) -> tuple[int, str | None]:
        """(epoch, standby); (0, None) when nothing is known."""
        try:
            row = json.loads((self.directory / "in_step").read_text(encoding="utf-8"))
            return int(row["epoch"]), row["standby"]
        except (OSError, ValueError, KeyError, TypeError):
            return 0, None

    def _replace(self, path: Path, row: dict[str, Any]) -> None:
        draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            with draft.open("w", encoding="utf-8") as out:
                json.dump(row, out)
                out.flush()
                os.fsync(out.fileno())
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        sync_directory(path.parent)


def _address(row: Any) -> tuple[str, int]:
    host, port = row
    return str(host), int(port)


def role_at_start(config: ServeConfig, data: DataDir, log_epoch: int, log: Callable[[str], None]) -> tuple[Role, int]:
    """What this member is to be, and the epoch that it has taken as primary (as standby 0).

    Who opened last may be primary again, for it has all that was acknowledged, unless another was about to take over.
    Everybody else follows, and takes over when the monitor finds that nobody is primary. StartError: the epoch is no ground
    to be primary on, or the storage is not there.
    """
    assert config.cluster
    cluster = Cluster(config.cluster, config.member)
    try:
        _belong(cluster, data, config, log_epoch, log)
        stored = cluster.epochs.read()
        opened = cluster.epochs.opened()
        last = opened[1] if opened else stored.record.member
        whole = True
        if opened and last == config.member and not data.has_memory(config.shm_dir):
            whole = False
            _note_cut(data, opened[0])
        if config.standby or last != config.member:
            return Role.STANDBY, 0
        if opened is None and stored.epoch == stored.record.epoch > log_epoch:
            return Role.PRIMARY, stored.epoch  # founded just now, or never used
        if opened and any(cluster.epochs.holder(n) != config.member for n in range(opened[0] + 1, stored.epoch + 1)):
            # It may hold a lease at this moment, and open: only a monitor knows how to wait for the end of that.
            log(
                "another member has taken an epoch since this one was primary: this one follows, or takes over in its turn"
            )
            return Role.STANDBY, 0
        in_step = cluster.in_step()[1]
        if not whole and config.durability == Durability.REPLICATED and in_step not in (None, config.member):
            log(f"this member's memory is gone, and {in_step} has all that was acknowledged: this one follows")
            return Role.STANDBY, 0
        taken = stored.epoch + 1
        if cluster.epochs.take(taken, config.member, max(log_epoch, stored.epoch)):
            return Role.PRIMARY, taken
        log(f"another member took epoch {taken} at the same time: this one follows")
        return Role.STANDBY, 0
    except EpochError as error:
        raise StartError(str(error), EXIT_FAULT) from None
    except StorageUnreadable as error:
        raise StartError(f"{error}: is the shared storage there?") from None


def _note_cut(data: DataDir, epoch: int) -> None:
    """On the disk, for a takeover that comes later: of what we decided under this epoch the end may be gone."""
    draft = data.path / f"{_CUT}.new"
    with draft.open("w", encoding="ascii") as out:
        out.write(str(epoch))
        out.flush()
        os.fsync(out.fileno())
    os.replace(draft, data.path / _CUT)
    sync_directory(data.path)


def is_cut(data: Path, epoch: int) -> bool:
    """Whether the data directory of who was primary under this epoch has lost the memory of that since."""
    try:
        return int((data / _CUT).read_text(encoding="ascii")) == epoch
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True


def _belong(cluster: Cluster, data: DataDir, config: ServeConfig, log_epoch: int, log: Callable[[str], None]) -> None:
    """The data directory is of this cluster and no other; a cluster that does not exist yet is founded by a primary."""
    mark = data.path / _MARK
    if mark.exists():
        known, here = mark.read_text(encoding="ascii"), cluster.epochs.cluster_id()
        if known != here:
            raise StartError(f"data directory {data.path} is of another cluster than {cluster.directory}", 2)
        return
    said = False
    while config.standby and not (cluster.directory / _MARK).exists():
        if not said:
            log(f"waiting for a primary to found the cluster in {cluster.directory}")
        said = True
        time.sleep(_FOUNDED_POLL_S)
    if not (cluster.directory / _MARK).exists():
        cluster.epochs.found(config.member, log_epoch + 1)
    make_once(mark, cluster.epochs.cluster_id().encode("ascii"))
