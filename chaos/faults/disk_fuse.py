"""The disk as a FUSE file system: calls of the kernel, through the rules, to the state.

Reads and writes go through the kernel's page cache in write-through, so that files can be mapped; an fsync or fdatasync comes
here as a call of its own. libfuse calls from threads of its own: the state is under one lock, waiting is done outside of it.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from typing import Any

import mfusepy

from matchmark.chaos.faults.disk_rules import Rules
from matchmark.chaos.faults.disk_state import BLOCK_BYTES, DiskState, Inode

CACHE_S = 3600
"""Nothing changes behind the kernel's back, so it may keep names and attributes for as long as it likes."""
MOUNT_OPTIONS: dict[str, Any] = {
    "foreground": True,
    "hard_remove": True,
    "attr_timeout": CACHE_S,
    "entry_timeout": CACHE_S,
    "fsname": "matchmark-disk",
    "subtype": "matchmark",
}


class DiskOperations(mfusepy.Operations):  # type: ignore[misc]  # mfusepy has no types
    """One mount of the disk. `mounted` is set when the kernel has it."""

    use_ns = True

    def __init__(self, state: DiskState, rules: Rules) -> None:
        self._state, self._rules = state, rules
        self._lock = threading.Lock()
        self._open: dict[int, Inode] = {}
        self._next_handle = 1
        self.mounted = threading.Event()

    def init(self, path: str) -> None:
        self.mounted.set()

    # --- looking ---

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        with self._lock:
            inode = self._inode(path, fh)
            size = inode.live.size
            return {
                "st_ino": inode.number,
                "st_mode": inode.mode,
                "st_nlink": 2 if inode.is_directory else inode.links,
                "st_size": size,
                "st_blocks": -(-size // BLOCK_BYTES) * (BLOCK_BYTES // 512),
                "st_uid": os.getuid(),
                "st_gid": os.getgid(),
                "st_atime": inode.time_ns,
                "st_mtime": inode.time_ns,
                "st_ctime": inode.time_ns,
            }

    def readdir(self, path: str, fh: int) -> list[str]:
        with self._lock:
            return [".", "..", *self._state.find(path).names]

    def statfs(self, path: str) -> dict[str, int]:
        with self._lock:
            blocks = self._state.capacity_bytes // BLOCK_BYTES
            free = max(0, blocks - self._state.used_bytes // BLOCK_BYTES)
        return {
            "f_bsize": BLOCK_BYTES,
            "f_frsize": BLOCK_BYTES,
            "f_blocks": blocks,
            "f_bfree": free,
            "f_bavail": free,
            "f_namemax": 255,
        }

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        with self._lock:
            return self._open[fh].live.read(offset, size)

    # --- opening ---

    def open(self, path: str, flags: int) -> int:
        with self._lock:
            if self._rules.read_only and flags & os.O_ACCMODE != os.O_RDONLY:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
            inode = self._state.find(path)
        if flags & os.O_TRUNC:  # the kernel leaves it to the open
            with self._rules.call("truncate", path), self._lock:
                self._state.resize(inode, 0)
        with self._lock:
            return self._handle(inode)

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        with self._rules.call("create", path), self._lock:
            return self._handle(self._state.make(path, stat.S_IFREG | mode & 0o7777, time.time_ns()))

    def release(self, path: str, fh: int) -> int:
        with self._lock:
            self._open.pop(fh, None)
        return 0

    def _handle(self, inode: Inode) -> int:
        handle, self._next_handle = self._next_handle, self._next_handle + 1
        self._open[handle] = inode
        return handle

    def _inode(self, path: str, fh: int | None) -> Inode:
        return self._open[fh] if fh in self._open else self._state.find(path)

    # --- content ---

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        with self._rules.call("write", path, offset, len(data)), self._lock:
            inode = self._open[fh]
            inode.time_ns = time.time_ns()
            return self._state.write(inode, offset, data[: self._rules.taken(path, len(data))])

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        with self._rules.call("truncate", path, length), self._lock:
            self._state.resize(self._inode(path, fh), length)
        return 0

    def fallocate(self, path: str, mode: int, offset: int, size: int, fh: int) -> int:
        with self._rules.call("fallocate", path, offset, size), self._lock:
            if mode:
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
            inode = self._open[fh]
            if offset + size > inode.live.size:
                self._state.resize(inode, offset + size)
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        with self._lock:
            inode = self._open[fh]
        return self._sync("fsync", path, inode)

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        with self._lock:
            inode = self._state.find(path)
        return self._sync("fsyncdir", path, inode)

    def _sync(self, kind: str, path: str, inode: Inode) -> int:
        try:
            with self._rules.call(kind, path), self._lock:
                if not self._rules.lying:
                    self._state.sync(inode)
        except OSError:
            if not self._rules.dead:
                with self._lock:
                    self._state.forget(inode)
            raise
        return 0

    # --- names ---

    def mkdir(self, path: str, mode: int) -> int:
        with self._rules.call("mkdir", path), self._lock:
            self._state.make(path, stat.S_IFDIR | mode & 0o7777, time.time_ns())
        return 0

    def unlink(self, path: str) -> int:
        with self._rules.call("unlink", path), self._lock:
            self._state.remove(path)
        return 0

    def rmdir(self, path: str) -> int:
        with self._rules.call("unlink", path), self._lock:
            self._state.remove(path, directory=True)
        return 0

    def rename(self, old: str, new: str) -> int:
        with self._rules.call("rename", new), self._lock:
            self._state.rename(old, new)
        return 0

    def link(self, new: str, old: str) -> int:
        with self._rules.call("rename", new), self._lock:
            self._state.link(old, new)
        return 0

    def chmod(self, path: str, mode: int) -> int:
        with self._lock:
            inode = self._state.find(path)
            inode.mode = stat.S_IFMT(inode.mode) | mode & 0o7777
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        with self._lock:
            self._state.find(path).time_ns = times[1] if times else time.time_ns()
        return 0
