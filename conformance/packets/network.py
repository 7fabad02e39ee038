"""Two network namespaces and some cables between them: one has the target, the other its clients. Made and removed by a test.

    exchange namespace           cable n            clients' namespace
    vgw0    no address, or       ===========        vclients0   10.77.0.2 (the kernel's)
            10.77.0.1 in the kernel                             10.77.0.3 and up: hosts of the kit's own, of which no kernel
            knows

Needs root. Everything is named after this process; when that ends in whatever way, a watcher removes it.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import random
import shutil
import socket
import struct
import subprocess
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from matchmark.conformance.packets.namespace import inside
from matchmark.conformance.packets.pcap import Ring
from matchmark.conformance.packets.raw_port import RawPort
from matchmark.conformance.packets.relay import Relay

__all__ = ["CABLES", "CLIENTS", "EXCHANGES", "RAW", "Network", "Relay", "impossible", "inside", "raw_addresses"]

CABLES = 4
CLIENTS = tuple(f"10.77.{n}.2" for n in range(CABLES))
EXCHANGES = tuple(f"10.77.{n}.1" for n in range(CABLES))
RAW = tuple(f"10.77.{n}.3" for n in range(CABLES))
"""By cable: the kernel's address on the clients' end, the target's, and the first of the kit's own hosts."""
PREFIX = "mmpackets"
_SIOCETHTOOL = 0x8946
_OFFLOADS = (0x17, 0x1F, 0x24)
"""ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO: checksums must be in the frames, and frames of the cable's size."""
_WATCH = """read gone
for name in "$@"; do
    for pid in $(ip netns pids "$name" 2>/dev/null); do kill "$pid"; done
    ip netns del "$name" 2>/dev/null
done
"""


def impossible() -> str | None:
    """Why there can be no such network here."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not shutil.which("ip"):
        return "no `ip` on this machine: apt-get install iproute2"
    try:
        name = f"{PREFIX}-{os.getpid()}-try"
        _ip("netns", "add", name)
        _ip("netns", "del", name)
    except subprocess.CalledProcessError as error:
        return f"network namespaces cannot be made: {error.stderr.strip()}"
    return None


def raw_addresses(cable: int, count: int) -> list[str]:
    """Addresses for hosts of the kit's own on a cable; 250 at most."""
    if not 0 < count <= 250:
        raise ValueError(f"{count} addresses of a network that has 250")
    return [f"10.77.{cable}.{3 + n}" for n in range(count)]


def _ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True, capture_output=True, text=True)


class Network:
    """`lossy`: cable 0 is the only one and in two pieces, and who holds them together loses, doubles and swaps frames.

    `kernel`: cables on whose exchange end the kernel has the address, for a target over the kernel's TCP. `mtu`: of the
    cables, for giant frames. `kind`: tells apart two networks of one process. CalledProcessError: it cannot be made.
    """

    def __init__(
        self,
        lossy: random.Random | None = None,
        kind: str = "",
        kernel: Collection[int] = (),
        mtu: int = 1500,
        cables: int = CABLES,
    ) -> None:
        _remove_leftovers()
        base = f"{PREFIX}-{os.getpid()}{kind}"
        self.exchange, self.clients, self.middle = f"{base}-x", f"{base}-c", f"{base}-m"
        self.mtu = mtu
        self.relay = None if lossy is None else Relay(lossy)
        self.made: list[str] = []
        names = (self.exchange, self.clients, *[self.middle] * (lossy is not None))
        self._watcher = subprocess.Popen(
            ("sh", "-c", _WATCH, "watcher", *names),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            for name in names:
                self._namespace(name)
            self._cables(1 if lossy else cables, kernel)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @staticmethod
    def port(cable: int = 0) -> str:
        """The exchange's end of a cable."""
        return f"vgw{cable}"

    @staticmethod
    def end(cable: int = 0) -> str:
        """The clients' end of a cable."""
        return f"vclients{cable}"

    def raw_port(self, cable: int = 0, ring: Ring | None = None) -> RawPort:
        """The clients' end of a cable, for frames."""
        return RawPort(self.end(cable), self.clients, ring)

    def _namespace(self, name: str) -> None:
        _ip("netns", "add", name)
        self.made.append(name)
        _ip("-n", name, "link", "set", "lo", "up")
        with inside(name):  # no talk of IPv6: every frame is somebody's; and nothing is handed on
            for which in ("all", "default"):
                Path(f"/proc/sys/net/ipv6/conf/{which}/disable_ipv6").write_text("1")
            Path("/proc/sys/net/ipv4/ip_forward").write_text("0")

    def _cables(self, count: int, kernel: Collection[int]) -> None:
        if self.relay is None:
            for n in range(count):
                self._cable(self.exchange, self.port(n), self.clients, self.end(n))
        else:
            self._cable(self.exchange, self.port(), self.middle, "left")
            self._cable(self.middle, "right", self.clients, self.end())
            self.relay.start(self.middle, "left", "right")
        for n in range(count):
            _ip("-n", self.clients, "addr", "add", f"{CLIENTS[n]}/24", "dev", self.end(n))
            if n in kernel:
                _ip("-n", self.exchange, "addr", "add", f"{EXCHANGES[n]}/24", "dev", self.port(n))

    def _cable(self, one: str, at: str, other: str, end: str) -> None:
        _ip("-n", one, "link", "add", at, "mtu", str(self.mtu), "type", "veth", "peer", "name", end, "netns", other)
        for namespace, name in ((one, at), (other, end)):
            with inside(namespace), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
                for offload in _OFFLOADS:
                    value = ctypes.create_string_buffer(struct.pack("II", offload, 0))
                    fcntl.ioctl(control, _SIOCETHTOOL, struct.pack("16sP", name.encode(), ctypes.addressof(value)))
            _ip("-n", namespace, "link", "set", name, "mtu", str(self.mtu), "up")

    def close(self) -> None:
        if self.relay:
            self.relay.close()
        for name in self.made:
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "del", name)  # its interfaces go with it
        self.made.clear()
        if self._watcher.stdin:
            self._watcher.stdin.close()
        self._watcher.wait()


def _remove_leftovers() -> None:
    """Of a process whose watcher was killed, too."""
    for path in Path("/run/netns").glob(f"{PREFIX}-*"):
        pid = path.name.split("-")[1].rstrip("abcdefghijklmnopqrstuvwxyz")
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "del", path.name)
