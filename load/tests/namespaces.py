"""Machines for a swarm: network namespaces, each with a cable to this one. Needs root."""

from __future__ import annotations

import os
import shutil
import subprocess
from types import TracebackType

PREFIX = "mmload"


def impossible() -> str:
    """Why there can be none here; empty: there can."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        return "network namespaces need root and iproute2"
    name = f"{PREFIX}-{os.getpid()}-try"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return tried.stderr.strip()


class Machines:
    """A context manager. `names`: of the namespaces; `here`: the address of this machine as each sees it."""

    def __init__(self, count: int) -> None:
        base = f"{PREFIX}-{os.getpid()}"
        self.names = [f"{base}-{n}" for n in range(count)]
        self.here = [f"10.214.{n}.1" for n in range(count)]

    def __enter__(self) -> Machines:
        try:
            for n, name in enumerate(self.names):
                near, far = f"mml{os.getpid() % 10_000}n{n}", f"mml{os.getpid() % 10_000}f{n}"
                _ip("netns", "add", name)
                _ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", name)
                _ip("addr", "add", f"{self.here[n]}/30", "dev", near)
                _ip("link", "set", near, "up")
                _ip("-n", name, "addr", "add", f"10.214.{n}.2/30", "dev", far)
                _ip("-n", name, "link", "set", far, "up")
                _ip("-n", name, "link", "set", "lo", "up")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """A namespace takes its end of the cable with it, and so the other."""
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def _ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True, capture_output=True, text=True)
