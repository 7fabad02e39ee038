"""A disk with a volatile cache, as pure state: no clock, no system call, no thread.

Every file has two contents: what a reader sees, and what is on the platter. A write changes the first and is noted; an fsync of
the file puts what was noted on the platter. Names work the same way: a create, rename or unlink is on the platter when its
directory has been fsynced, and not when the file has. This is the least that POSIX promises; ext4 and XFS keep more.

A crash leaves the platter, and of what was not synced nothing, or a part that a seed picks (Keep). Names that were not synced
survive in order only, for file systems keep them in a journal; the sectors of writes survive in any order.

    path -> inode -> live content     read, write
                  -> platter content  fsync, crash
"""

from __future__ import annotations

import errno
import os
import random
import stat
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from matchmark.chaos.faults.disk_image import Image

SECTOR_BYTES = 512
"""What a drive writes whole or not at all."""
BLOCK_BYTES = 4096
ROOT = 1


class Keep(StrEnum):
    """What of the unsynced a crash leaves."""

    NOTHING = "nothing"
    PREFIX = "prefix"
    """The first few operations."""
    TORN = "torn"
    """The first few, and of the next write its first few sectors."""
    REORDERED = "reordered"
    """Any sectors of any writes."""


@dataclass(frozen=True)
class Write:
    order: int
    inode: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class Resize:
    order: int
    inode: int
    size: int


@dataclass(frozen=True)
class Link:
    """A change of names that happens at once or not at all: (directory, name, inode or None for none) each."""

    order: int
    changes: tuple[tuple[int, str, int | None], ...]

    def touches(self, directory: int) -> bool:
        return any(where == directory for where, _, _ in self.changes)


Pending = Write | Resize


@dataclass
class Inode:
    number: int
    mode: int
    time_ns: int = 0
    links: int = 1
    """How many names it has; with none it takes no space, but lives on in who has it open."""
    live: Image = field(default_factory=Image)
    platter: Image = field(default_factory=Image)
    pending: list[Pending] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)
    platter_names: dict[str, int] = field(default_factory=dict)

    @property
    def linked(self) -> bool:
        return self.links > 0

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)


class DiskState:
    """`capacity_bytes` bounds the sum of all file sizes in whole blocks; holes count. OSError as a file system's."""

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.inodes: dict[int, Inode] = {ROOT: Inode(ROOT, stat.S_IFDIR | 0o777)}
        self._links: list[Link] = []
        self._order = 0
        self._next_inode = ROOT + 1
        self._used_bytes = 0

    # --- names ---

    def find(self, path: str) -> Inode:
        """FileNotFoundError or NotADirectoryError when there is none."""
        inode = self.inodes[ROOT]
        for name in filter(None, path.split("/")):
            if not inode.is_directory:
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
            number = inode.names.get(name)
            if number is None:
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            inode = self.inodes[number]
        return inode

    def _place(self, path: str) -> tuple[Inode, str]:
        head, _, name = path.rstrip("/").rpartition("/")
        return self.find(head), name

    def make(self, path: str, mode: int, time_ns: int) -> Inode:
        """A new file or directory, by the type bits of `mode`."""
        parent, name = self._place(path)
        if name in parent.names:
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        inode = Inode(self._next_inode, mode, time_ns)
        self._next_inode += 1
        self.inodes[inode.number] = inode
        self._relink(((parent.number, name, inode.number),))
        return inode

    def remove(self, path: str, directory: bool = False) -> None:
        """unlink or rmdir. An open file lives on through its inode."""
        inode = self.find(path)
        parent, name = self._place(path)
        if inode.is_directory != directory:
            code = errno.ENOTDIR if directory else errno.EISDIR
            raise OSError(code, os.strerror(code), path)
        if inode.names:
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)
        self._relink(((parent.number, name, None),))
        self._unlinked(inode)

    def link(self, old: str, new: str) -> None:
        """A second name for a file."""
        inode = self.find(old)
        parent, name = self._place(new)
        if name in parent.names:
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), new)
        if inode.is_directory:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), old)
        inode.links += 1
        self._relink(((parent.number, name, inode.number),))

    def rename(self, old: str, new: str) -> None:
        """What has the new name is replaced."""
        inode = self.find(old)
        (source, source_name), (target, target_name) = self._place(old), self._place(new)
        replaced = target.names.get(target_name)
        if replaced == inode.number:
            return
        if replaced is not None:
            if self.inodes[replaced].names:
                raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), new)
            self._unlinked(self.inodes[replaced])
        self._relink(((source.number, source_name, None), (target.number, target_name, inode.number)))

    def _relink(self, changes: tuple[tuple[int, str, int | None], ...]) -> None:
        link = Link(self._take_order(), changes)
        self._links.append(link)
        for directory, name, number in changes:
            _set_name(self.inodes[directory].names, name, number)

    def _unlinked(self, inode: Inode) -> None:
        inode.links -= 1
        if not inode.linked:
            self._used_bytes -= _blocks(inode.live.size)

    # --- content ---

    def write(self, inode: Inode, offset: int, data: bytes) -> int:
        """How many bytes were written: fewer than given when the disk is full. OSError ENOSPC when none fits."""
        end = min(offset + len(data), self._room(inode))
        if data and end <= offset:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part = data[: end - offset]
        self._account(inode, max(inode.live.size, end))
        inode.live.write(offset, part)
        inode.pending.append(Write(self._take_order(), inode.number, offset, part))
        return len(part)

    def resize(self, inode: Inode, size: int) -> None:
        """ftruncate: longer costs space at once, for there are no holes here. OSError ENOSPC."""
        if size > max(inode.live.size, self._room(inode)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._account(inode, size)
        inode.live.resize(size)
        inode.pending.append(Resize(self._take_order(), inode.number, size))

    def _room(self, inode: Inode) -> int:
        """The size that the file can have at most, in whole blocks; it may already be over it."""
        free = max(0, self.capacity_bytes - self._used_bytes) // BLOCK_BYTES * BLOCK_BYTES
        return _blocks(inode.live.size) + free

    def _account(self, inode: Inode, size: int) -> None:
        if inode.linked:
            self._used_bytes += _blocks(size) - _blocks(inode.live.size)

    @property
    def used_bytes(self) -> int:
        return self._used_bytes

    # --- the platter ---

    def sync(self, inode: Inode) -> int:
        """fsync: what was noted of it is on the platter. How many operations that were."""
        count = len(inode.pending)
        self._apply(inode.pending)
        inode.pending = []
        if inode.is_directory:
            own = [link for link in self._links if link.touches(inode.number)]
            self._links = [link for link in self._links if not link.touches(inode.number)]
            self._apply(own)
            count += len(own)
        return count

    def forget(self, inode: Inode) -> None:
        """What a kernel does after an fsync that failed: the pages count as clean, are read, and never reach the disk."""
        inode.pending = []

    def crash(self, keep: Keep, rng: random.Random) -> None:
        """The power goes: the platter is all there is, with what `keep` leaves of the unsynced."""
        left: list[Pending | Link] = [p for inode in self.inodes.values() for p in inode.pending]
        left += self._links
        self._apply(survivors(sorted(left, key=lambda p: p.order), keep, rng))
        names = Counter(self._reachable())
        self.inodes = {number: self.inodes[number] for number in names}
        self._links = []
        self._used_bytes = 0
        for inode in self.inodes.values():
            inode.pending, inode.links = [], names[inode.number]
            inode.live = inode.platter.copy()
            inode.names = dict(inode.platter_names)
            self._used_bytes += _blocks(inode.live.size)

    def _reachable(self) -> list[int]:
        """Every inode, once for each of its names."""
        found, waiting = [], [ROOT]
        while waiting:
            number = waiting.pop()
            found.append(number)
            waiting.extend(self.inodes[number].platter_names.values())
        return found

    def _apply(self, operations: Iterable[Pending | Link]) -> None:
        for done in operations:
            if isinstance(done, Write):
                self.inodes[done.inode].platter.write(done.offset, done.data)
            elif isinstance(done, Resize):
                self.inodes[done.inode].platter.resize(done.size)
            else:
                for directory, name, number in done.changes:
                    _set_name(self.inodes[directory].platter_names, name, number)

    def _take_order(self) -> int:
        self._order += 1
        return self._order


def survivors(left: Sequence[Pending | Link], keep: Keep, rng: random.Random) -> list[Pending | Link]:
    """Which of the unsynced operations, given in the order in which they were made, a crash leaves, and how much of each."""
    if keep is Keep.NOTHING or not left:
        return []
    if keep is Keep.REORDERED:
        return _reordered(left, rng)
    if keep is Keep.TORN and (writes := [i for i, done in enumerate(left) if isinstance(done, Write)]):
        at = rng.choice(writes)
        torn = left[at]
        assert isinstance(torn, Write)
        return [*left[:at], *_sectors(torn)[: rng.randrange(len(_sectors(torn)))]]
    return list(left[: rng.randrange(len(left) + 1)])


def _reordered(left: Sequence[Pending | Link], rng: random.Random) -> list[Pending | Link]:
    links = [done for done in left if isinstance(done, Link)]
    kept_links = set(links[: rng.randrange(len(links) + 1)])
    out: list[Pending | Link] = []
    for done in left:
        if isinstance(done, Write):
            out += [sector for sector in _sectors(done) if rng.random() < 0.5]
        elif isinstance(done, Resize):
            out += [done] if rng.random() < 0.5 else []
        elif done in kept_links:
            out.append(done)
    return out


def _sectors(write: Write) -> list[Write]:
    """The write in pieces that end where sectors end."""
    out, offset, end = [], write.offset, write.offset + len(write.data)
    while offset < end:
        stop = min((offset // SECTOR_BYTES + 1) * SECTOR_BYTES, end)
        out.append(Write(write.order, write.inode, offset, write.data[offset - write.offset : stop - write.offset]))
        offset = stop
    return out


def _set_name(names: dict[str, int], name: str, number: int | None) -> None:
    if number is None:
        names.pop(name, None)
    else:
        names[name] = number


def _blocks(size: int) -> int:
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES
