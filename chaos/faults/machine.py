"""A machine that can lose its power: processes in a control group, on a file system of the kernel's on a loop device, with shared
memory of their own. Needs root.

At a cut all processes are frozen at one moment, the file system is shut down without writing its log, the processes are killed,
and everything is mounted anew: page cache, dirty pages and memory are gone, and the journal is what recovery finds. The image
lies in memory, so a flush costs little; a drive that lies about flushes is not imitated (that is what disk.py can do).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from matchmark.chaos.faults.mounting import unmount

IMAGE_BYTES = 6 << 30
SHUTDOWN_IOCTL = 0x8004587D
"""XFS_IOC_GOINGDOWN and EXT4_IOC_SHUTDOWN are the same number."""
WITHOUT_LOG_FLUSH = 2
PATIENCE_S = 10.0
MAKERS = {"xfs": ["mkfs.xfs", "-q", "-f"], "ext4": ["mkfs.ext4", "-q", "-F", "-E", "nodiscard"]}
ENTER = 'echo $$ > "$1" && shift && exec unshare --mount --propagation slave sh -c "$0" sh "$@"'
# A machine sees what is mounted later, so that a disk can be read elsewhere when its own machine has lost its power.
OWN_MEMORY = 'mount -t tmpfs tmpfs /dev/shm && exec "$@"'
"""A /dev/shm of the machine's own: what is in it goes with the power too."""


class MachineFailed(RuntimeError):
    """The machine was not made, or did not go down as told: the kit's or this computer's fault, never the target's."""


def cannot_have(file_system: str) -> str | None:
    """Why there can be no machine with that file system here; None when there can."""
    if os.geteuid() != 0:
        return "only root can mount a file system on a loop device"
    if control_groups() is None:
        return "no control groups (version 2) with freeze and kill are mounted"
    for program, package in ((MAKERS[file_system][0], {"xfs": "xfsprogs", "ext4": "e2fsprogs"}[file_system]),
                             ("losetup", "mount"), ("unshare", "util-linux")):  # fmt: skip
        if shutil.which(program) is None:
            return f"{program} is not installed (Debian: apt-get install {package})"
    if not os.path.exists("/dev/loop-control"):
        return "no /dev/loop-control: the container was given no loop devices"
    return _no_mount(file_system)


def control_groups() -> Path | None:
    """Where a group can be made that can be frozen and killed: below our own, where there is one."""
    with contextlib.suppress(OSError), open("/proc/self/mounts", encoding="utf-8") as table:
        for line in table:
            words = line.split()
            if words[2] == "cgroup2" and os.access(words[1], os.W_OK):
                return Path(words[1])
    return None


def _no_mount(file_system: str) -> str | None:
    with open("/proc/filesystems", encoding="utf-8") as known:
        if any(line.split()[-1] == file_system for line in known):
            return None
    return f"this kernel has no {file_system}"


@dataclass
class _Group:
    """A control group: frozen and killed as one."""

    folder: Path

    def _until(self, line: str) -> None:
        until = time.monotonic() + PATIENCE_S
        while line not in (self.folder / "cgroup.events").read_text(encoding="ascii").splitlines():
            if time.monotonic() > until:
                raise MachineFailed(f"{self.folder}: not {line!r} within {PATIENCE_S:g} s")
            time.sleep(0.0005)

    def freeze(self) -> None:
        (self.folder / "cgroup.freeze").write_text("1", encoding="ascii")
        self._until("frozen 1")

    def thaw(self) -> None:
        (self.folder / "cgroup.freeze").write_text("0", encoding="ascii")

    def kill(self) -> None:
        (self.folder / "cgroup.kill").write_text("1", encoding="ascii")
        self._until("populated 0")
        self.thaw()


class _Yard:
    """The folder that all machines stand in, there while there is one: what is mounted and unmounted in it is seen by all."""

    def __init__(self) -> None:
        self._machines, self._folder = 0, Path()

    def enter(self) -> Path:
        if not self._machines:
            self._folder = Path(tempfile.mkdtemp(prefix="matchmark-machines-"))
            _run(["mount", "-t", "tmpfs", "tmpfs", str(self._folder)])
            _run(["mount", "--make-shared", str(self._folder)])
        self._machines += 1
        return self._folder

    def leave(self) -> None:
        self._machines -= 1
        if not self._machines:
            unmount(self._folder)
            self._folder.rmdir()


_YARD = _Yard()


class Machine:
    """On when it is made; a context manager. `folder` is its disk, `memory` its shared memory; `words` before a command run it
    there."""

    def __init__(self, file_system: str) -> None:
        if reason := cannot_have(file_system):
            raise MachineFailed(reason)
        groups = control_groups()
        assert groups is not None
        self.file_system = file_system
        self.stopping_ns = 0
        """How long the last cut took to stop everybody: on a busy system the first stands still while the last still works, for
        some tens of milliseconds; a loss of power stops all at once. What was told in that time is the kit's to answer for."""
        self._base = Path(tempfile.mkdtemp(prefix="matchmark-machine-", dir=_YARD.enter()))
        self._store = Path(tempfile.mkdtemp(prefix="matchmark-machine-", dir="/dev/shm"))
        self.folder, self.memory = self._base / "disk", self._base / "memory"
        self.group = _Group(groups / self._base.name)
        try:
            self._make()
        except BaseException:
            self.close()
            raise

    def _make(self) -> None:
        self.group.folder.mkdir()
        self.folder.mkdir()
        self.memory.mkdir()
        image = self._store / "image"
        with image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        _run([*MAKERS[self.file_system], str(image)])
        self.power_on()

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def words(self) -> list[str]:
        return ["sh", "-c", ENTER, OWN_MEMORY, str(self.group.folder / "cgroup.procs")]

    def power_on(self) -> None:
        """Disk and memory are there; nothing runs."""
        _run(["mount", "-t", self.file_system, "-o", "loop", str(self._store / "image"), str(self.folder)])
        _run(["mount", "-t", "tmpfs", "tmpfs", str(self.memory)])

    def cut(self) -> int:
        """The power goes; the moment, ns of CLOCK_MONOTONIC. Nothing of the machine runs then, and nothing is mounted."""
        began_ns = time.monotonic_ns()
        self.group.freeze()
        cut_ns = time.monotonic_ns()
        self.stopping_ns = cut_ns - began_ns
        self._shut_down()
        self.group.kill()
        self._unmount()
        return cut_ns

    def _shut_down(self) -> None:
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, SHUTDOWN_IOCTL, struct.pack("I", WITHOUT_LOG_FLUSH))
        except OSError as error:
            raise MachineFailed(f"{self.file_system} cannot be shut down: {error.strerror}") from None
        finally:
            os.close(handle)

    def _unmount(self) -> None:
        for folder in (self.memory, self.folder):
            if not unmount(folder):
                raise MachineFailed(
                    f"{folder} was still in use after the power had gone: somebody outside the machine held it"
                )

    def close(self) -> None:
        """Takes it down, with all that is on it; harmless when it is closed."""
        if self.group.folder.is_dir():
            with contextlib.suppress(MachineFailed, OSError):
                self.group.kill()
            with contextlib.suppress(OSError):
                self.group.folder.rmdir()
        for folder in (self.memory, self.folder):
            unmount(folder)
        if self._store.is_dir():
            shutil.rmtree(self._base, ignore_errors=True)
            shutil.rmtree(self._store, ignore_errors=True)
            _YARD.leave()


def _run(words: list[str]) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MachineFailed(f"{words[0]}: {done.stderr.strip() or done.stdout.strip()}")
