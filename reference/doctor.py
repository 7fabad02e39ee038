"""What this machine has and lacks for each part of matchmark, found by trying, not by guessing.

A check is a function that returns a Finding; it changes nothing outside a temporary directory.
"""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Verdict = Literal["ok", "lacks"]

SHM_BYTES_MIN = 64 << 20
DESCRIPTORS_MIN = 4096
"""2,000 sessions, files and sockets of the rest, and as many clients on the same machine."""
SYNC_SLOW_MS = 5.0
"""Half of what async durability allows between event and disk."""


@dataclass(frozen=True)
class Finding:
    """`need` is the part that it is for; `lacks` of a required part is what makes the exit code 3."""

    name: str
    need: str
    verdict: Verdict
    found: str
    advice: str = ""
    required: bool = True


def python() -> Finding:
    version = platform.python_version()
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return _finding("Python", "everything", good, f"{version}, {sys.executable}", "install Python 3.11, 3.12 or 3.13")


def native() -> Finding:
    try:
        from matchmark.native import _native
    except ImportError as error:
        return Finding("native core", "serve, certify", "lacks", str(error), "build it: make build")
    return Finding("native core", "serve, certify", "ok", str(_native.__file__))


def compiler() -> Finding:
    name = (sysconfig.get_config_var("CC") or "cc").split()[0]
    path = shutil.which(name) or shutil.which("cc")
    headers = Path(sysconfig.get_paths()["include"]) / "Python.h"
    found = f"{path or 'no ' + name}, {'with' if headers.exists() else 'without'} Python headers"
    advice = "apt-get install gcc python3-dev (only to build from source, or engines of your own)"
    return _finding("C compiler", "building", bool(path and headers.exists()), found, advice, required=False)


def cores() -> Finding:
    n = len(os.sched_getaffinity(0))
    advice = "with fewer than 4 cores roles take turns: throughput holds, latency is not what it could be"
    return _finding("processors", "latency", n >= 4, f"{n} may be used", advice, required=False)


def shared_memory() -> Finding:
    try:
        free = shutil.disk_usage("/dev/shm").free
        with tempfile.NamedTemporaryFile(dir="/dev/shm", prefix="matchmark-doctor-"):
            pass
    except OSError as error:
        return Finding("/dev/shm", "serve", "lacks", f"{error.strerror}", "mount a tmpfs there, or use serve --shm-dir")
    advice = "mount it larger: mount -o remount,size=1g /dev/shm (in a container: --shm-size)"
    return _finding("/dev/shm", "serve", free >= SHM_BYTES_MIN, f"{free / 1e6:,.0f} MB free", advice)


def disk(directory: Path) -> Finding:
    """fdatasync of one record appended to a preallocated file, the median of 50."""
    try:
        times = sorted(_sync_times(directory, 50))
    except OSError as error:
        return Finding(
            "disk", "audit log", "lacks", f"{directory}: {error.strerror}", "give a directory that can be written"
        )
    ms = times[len(times) // 2] * 1e3
    found = f"{directory}: fdatasync {ms:.2f} ms (median), {times[-1] * 1e3:.2f} ms (longest)"
    advice = "put --data-dir on a faster disk: mode fsync waits for this with every batch"
    return _finding("disk", "audit log", ms <= SYNC_SLOW_MS, found, advice, required=False)


def _sync_times(directory: Path, n: int) -> list[float]:
    with tempfile.TemporaryFile(dir=directory) as file:
        os.posix_fallocate(file.fileno(), 0, n * 272)
        os.fsync(file.fileno())
        out = []
        for at in range(n):
            os.pwrite(file.fileno(), b"x" * 272, at * 272)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            out.append(time.perf_counter() - began)
        return out


def descriptors() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    advice = f"ulimit -n {hard}" if hard >= DESCRIPTORS_MIN else "raise the hard limit in /etc/security/limits.conf"
    return _finding(
        "file descriptors", "2,000 sessions", soft >= DESCRIPTORS_MIN, f"{soft} (at most {hard})", advice, False
    )


def fuse() -> Finding:
    device, tool = os.access("/dev/fuse", os.R_OK | os.W_OK), shutil.which("fusermount3")
    found = f"/dev/fuse {'usable' if device else 'not usable'}, {tool or 'no fusermount3'}"
    advice = "apt-get install fuse3; in a container: --device /dev/fuse --cap-add SYS_ADMIN"
    return _finding("FUSE", "disk faults, power cuts", bool(device and tool), found, advice, required=False)


def namespaces() -> Finding:
    unshare = shutil.which("unshare")
    works = bool(unshare) and os.spawnvp(os.P_WAIT, "unshare", ["unshare", "-rm", "true"]) == 0
    found = "mount namespaces can be made" if works else "mount namespaces cannot be made"
    advice = "allow them: sysctl kernel.unprivileged_userns_clone=1, or run as root"
    return _finding("namespaces", "disk faults", works, found, advice, required=False)


def java() -> Finding:
    path, maven = shutil.which("java"), shutil.which("mvn")
    found = f"{path or 'no java'}, {maven or 'no mvn'}"
    advice = "apt-get install default-jre-headless maven (as root, `matchmark services up kafka` does it itself)"
    return _finding("Java, Maven", "Kafka on this machine", bool(path and maven), found, advice, required=False)


CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chromium-headless-shell")


def chromium() -> str | None:
    """A Chromium of this machine, or playwright's own; None: there is none."""
    if found := next((path for name in CHROMIUMS if (path := shutil.which(name))), None):
        return found
    cache = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache/ms-playwright")
    own = (*cache.glob("chromium*/*/chrome"), *cache.glob("chromium*/*/*headless*shell"))
    return next((str(path) for path in sorted(own, reverse=True) if os.access(path, os.X_OK)), None)


def browser() -> Finding:
    path = chromium()
    advice = "apt-get install chromium-headless-shell, or: python -m playwright install chromium"
    return _finding("Chromium", "test of the page", bool(path), path or "none", advice, required=False)


_DPDK_ADVICE = "apt-get install libdpdk-dev dpdk-dev liblwip-dev, and make build again (docs/dpdk.md)"


def hugepages() -> Finding:
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    total = next((line.split()[1] for line in lines if line.startswith("HugePages_Total")), "0")
    advice = "sysctl vm.nr_hugepages=64; without them EAL's words --no-huge --no-shconf -m 256 do"
    return _finding("huge pages", "DPDK", total != "0", f"{total} reserved", advice, required=False)


def dpdk() -> Finding:
    """Loading is all that is tried: EAL would take memory and devices."""
    from matchmark.native import dpdk as native_dpdk

    why = native_dpdk.missing()
    return _finding("DPDK", "serve --transport dpdk", why is None, why or native_dpdk.version(), _DPDK_ADVICE, False)


def _finding(name: str, need: str, good: bool, found: str, advice: str, required: bool = True) -> Finding:
    return Finding(name, need, "ok" if good else "lacks", found, "" if good else advice, required)


def examine(directory: Path) -> list[Finding]:
    """All checks, with `directory` (which exists) for the audit log."""
    checks: tuple[Callable[[], Finding], ...] = (
        python, native, compiler, cores, shared_memory, lambda: disk(directory), descriptors, fuse, namespaces, java,
        browser, hugepages, dpdk,
    )  # fmt: skip
    return [check() for check in checks]
