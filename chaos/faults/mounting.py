"""Whether this machine can mount a FUSE file system, and how one is taken down whatever holds it."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import shutil
import subprocess
import time
from pathlib import Path

_MNT_FORCE, _MNT_DETACH = 1, 2
UNMOUNT_PATIENCE_S = 5.0
UNMOUNT_POLL_S = 0.01


def cannot_mount() -> str | None:
    """Why not, and what to do about it; None when it can."""
    if not os.path.exists("/dev/fuse"):
        return "no /dev/fuse: the kernel has no FUSE, or the container was not given the device"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse cannot be opened by this user"
    if not (ctypes.util.find_library("fuse3") or ctypes.util.find_library("fuse")):
        return "libfuse is not installed (Debian: apt-get install fuse3)"
    if os.geteuid() != 0 and _helper() is None:
        return (
            "fusermount3 is not installed, and an ordinary user cannot mount without it (Debian: apt-get install fuse3)"
        )
    return None


def _helper() -> str | None:
    return shutil.which("fusermount3") or shutil.which("fusermount")


def is_mounted(mount_point: Path) -> bool:
    """By the kernel's table: a mount whose process has died cannot be looked at, and is there."""
    wanted = os.fsencode(mount_point)
    with open("/proc/self/mounts", "rb") as table:
        return any(line.split(b" ")[1] == wanted for line in table)


def unmount(mount_point: Path) -> bool:
    """Takes it down, within some seconds: first as it should be, then by force. False when force was needed: somebody held it."""
    until_s = time.monotonic() + UNMOUNT_PATIENCE_S
    while is_mounted(mount_point):
        if _unmount_once(mount_point, 0):
            return True
        if time.monotonic() > until_s:
            _unmount_once(mount_point, _MNT_FORCE)  # ends the connection, so that nobody waits for an answer
            _unmount_once(mount_point, _MNT_DETACH)
            return False
        time.sleep(UNMOUNT_POLL_S)
    return True


def _unmount_once(mount_point: Path, flags: int) -> bool:
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        return bool(libc.umount2(os.fsencode(mount_point), flags) == 0)
    helper = _helper()
    if helper is None:
        return False
    lazily = ["-z"] if flags else []
    command = [helper, "-u", *lazily, str(mount_point)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
