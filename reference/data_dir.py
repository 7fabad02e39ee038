"""The data directory of an exchange: who has it, how its last run ended, and the shared memory that belongs to it.

`serve.lock`  held (flock) by the supervisor, names its holder
`run.json`    of the run that is on, or was last: whether it was stopped cleanly, its durability mode, its shared memory
`log`, `keys`, `sessions`, `sessions.json`  as docs/audit-log.md and docs/fix.md say
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from matchmark.native.pipeline import Pipeline, PipelineError
from matchmark.reference.durable_files import make_directory, sync_directory

EXIT_FAULT = 1
"""The log is damaged, or the exchange had stopped for a fault of its log."""
EXIT_USAGE = 2
EXIT_BLOCKED = 3
"""Something outside is in the way: a port, the disk, another serve."""


class StartError(RuntimeError):
    """`serve` cannot start (or go on). One sentence, and the exit code that goes with it."""

    def __init__(self, text: str, exit_code: int = EXIT_BLOCKED) -> None:
        super().__init__(text)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Run:
    """What run.json says. `generation` is that of the shared memory, `sequence` the last record of a clean stop."""

    clean: bool
    durability: str
    generation: int
    shm_dir: str
    epoch: int
    sequence: int = 0
    audit_slots: int = 0
    """Of the audit ring: so many records may be acknowledged and not on disk."""


def shm_dir_of(data: Path) -> Path:
    """Of a data directory, without opening it."""
    name = hashlib.sha256(os.fsencode(os.path.realpath(data))).hexdigest()[:16]
    return Path("/dev/shm") / f"matchmark-{os.getuid()}-{name}"


class DataDir:
    """Taken at construction and held until `release`, or the death of the process. StartError when it cannot be had."""

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.abspath(path))
        try:
            make_directory(self.path / "log")
            self.lock_fd = os.open(self.path / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartError(
                f"data directory {self.path} cannot be written: {error.strerror}; "
                "make it writable, or give another --data-dir"
            ) from None
        self._take()

    def _take(self) -> None:
        try:
            fcntl.flock(self.lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self.lock_fd, 64, 0).decode("ascii", "replace").strip()
            os.close(self.lock_fd)
            raise StartError(
                f"data directory {self.path} is in use by matchmark serve, process {holder or 'unknown'}; "
                "stop that one, or give another --data-dir"
            ) from None
        try:
            os.ftruncate(self.lock_fd, 0)
            os.pwrite(self.lock_fd, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            os.close(self.lock_fd)
            raise StartError(
                f"data directory {self.path} cannot be written: {error.strerror}; free some space"
            ) from None

    @property
    def log(self) -> Path:
        return self.path / "log"

    def shm_dir(self) -> Path:
        """Where this directory's shared memory is unless someone says otherwise: the same at every start."""
        return shm_dir_of(self.path)

    def last_run(self) -> Run | None:
        """None when nothing is known of a former run."""
        try:
            row: Mapping[str, Any] = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
            return Run(
                bool(row["clean"]), str(row["durability"]), int(row["generation"]), str(row["shm_dir"]),
                int(row["epoch"]), int(row["sequence"]), int(row.get("audit_slots", 0)),
            )  # fmt: skip
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            return None  # torn by a power cut: then nothing is known, and the caller says so
        except OSError as error:
            raise StartError(f"{self.path / 'run.json'} cannot be read: {error.strerror}") from None

    def has_memory(self, shm: Path | None) -> bool:
        """Whether all that the last run decided is still to be had: it was stopped cleanly, or its shared memory is there."""
        last = self.last_run()
        if last is None:
            return not any(self.log.glob("audit-*.log"))
        if last.clean:
            return True
        try:
            pipeline = Pipeline(shm or self.shm_dir())
        except PipelineError:
            return False
        try:
            return pipeline.status().generation == last.generation
        finally:
            pipeline.close()

    def note_run(self, run: Run) -> None:
        """Written whole and flushed before it counts. StartError when the disk does not take it."""
        draft = self.path / "run.json.new"
        row = {**asdict(run), "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        try:
            with draft.open("w", encoding="utf-8") as out:
                json.dump(row, out)
                out.flush()
                os.fsync(out.fileno())
            os.replace(draft, self.path / "run.json")
            sync_directory(self.path)
        except OSError as error:
            raise StartError(
                f"data directory {self.path} cannot be written: {error.strerror}; free some space"
            ) from None

    def release(self) -> None:
        os.close(self.lock_fd)


def remove_shared_memory(directory: Path) -> None:
    """Only files that a pipeline makes; a directory that holds anything else stays, and so does what is not ours."""
    for path in sorted(directory.glob("*")) if directory.is_dir() else ():
        if path.name in ("control", "orders", "audit") or path.name.startswith(("reports.", "gateway.", "engine.")):
            path.unlink(missing_ok=True)
    shutil.rmtree(directory / "snapshot", ignore_errors=True)  # of a maker of snapshots that was stopped
    with contextlib.suppress(OSError):
        directory.rmdir()


def start_error(error: PipelineError) -> StartError:
    """What a role said, with the exit code for it: damage is 1, the rest is in the way."""
    damaged = "damage" in str(error)
    text = str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        text += "; free some space"
    return StartError(text, EXIT_FAULT if damaged else EXIT_BLOCKED)


def free_bytes(path: Path) -> int:
    """What an ordinary user may still write there."""
    return shutil.disk_usage(path).free
