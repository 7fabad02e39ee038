"""Two network namespaces and some cables: ends in one are ports for DPDK, without an address; the others are the clients'.

Needs root. Everything is named after this process; what a killed one left is removed by the next.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import random
import selectors
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from matchmark.native import dpdk

CABLES = 4
CLIENTS = tuple(f"10.77.{n}.2" for n in range(CABLES))
EXCHANGES = tuple(f"10.77.{n}.1" for n in range(CABLES))
PREFIX = "mmdpdk"
_ETH_P_ALL = 3
_SIOCETHTOOL = 0x8946
_OFFLOADS = (0x17, 0x1F, 0x24)
"""ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO: checksums must be in the frames, and frames of the cable's size."""
_libc = ctypes.CDLL(None, use_errno=True)


def impossible() -> str | None:
    """Why there can be no such network here."""
    if why := dpdk.missing():
        return why
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


def _ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True, capture_output=True, text=True)


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread in a namespace: sockets that are made there stay there."""
    with open("/proc/thread-self/ns/net") as before, open(f"/run/netns/{namespace}") as there:
        if _libc.setns(there.fileno(), 0):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            _libc.setns(before.fileno(), 0)


class Network:
    """`lossy`: the cable is in two pieces, and who holds them together loses, doubles and swaps frames."""

    def __init__(self, lossy: random.Random | None = None, kind: str = "") -> None:
        _remove_leftovers()
        base = f"{PREFIX}-{os.getpid()}{kind}"
        self.exchange, self.clients, self.middle = f"{base}-x", f"{base}-c", f"{base}-m"
        self._relay: Relay | None = None
        self.made: list[str] = []
        try:
            self._make(lossy)
        except BaseException:
            self.close()
            raise

    def _make(self, lossy: random.Random | None) -> None:
        for name in (self.exchange, self.clients, *[self.middle] * (lossy is not None)):
            _ip("netns", "add", name)
            self.made.append(name)
            _ip("-n", name, "link", "set", "lo", "up")
            with inside(name):  # no talk of IPv6: every frame is somebody's
                for which in ("all", "default"):
                    Path(f"/proc/sys/net/ipv6/conf/{which}/disable_ipv6").write_text("1")
        if lossy is None:
            for n in range(CABLES):
                self._cable(self.exchange, f"vgw{n}", self.clients, f"vclients{n}")
        else:
            self._cable(self.exchange, "vgw0", self.middle, "left")
            self._cable(self.middle, "right", self.clients, "vclients0")
            self._relay = Relay(self.middle, lossy)
        for n in range(1 if lossy else CABLES):
            _ip("-n", self.clients, "addr", "add", f"{CLIENTS[n]}/24", "dev", f"vclients{n}")

    @staticmethod
    def _cable(one: str, at: str, other: str, end: str) -> None:
        _ip("-n", one, "link", "add", at, "type", "veth", "peer", "name", end, "netns", other)
        for namespace, name in ((one, at), (other, end)):
            with inside(namespace), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
                for offload in _OFFLOADS:
                    value = ctypes.create_string_buffer(struct.pack("II", offload, 0))
                    fcntl.ioctl(control, _SIOCETHTOOL, struct.pack("16sP", name.encode(), ctypes.addressof(value)))
            _ip("-n", namespace, "link", "set", name, "up")

    def close(self) -> None:
        if self._relay:
            self._relay.close()
        for name in self.made:
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "del", name)  # its interfaces go with it
        self.made.clear()


def _remove_leftovers() -> None:
    for path in Path("/run/netns").glob(f"{PREFIX}-*"):
        pid = path.name.split("-")[1].rstrip("abcdefghijklmnopqrstuvwxyz")
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "del", path.name)


class Relay:
    """Carries frames between `left` and `right`, badly: of a hundred it loses 3, doubles 2, and holds 10 back behind the next."""

    def __init__(self, namespace: str, chance: random.Random) -> None:
        self._chance, self._stop = chance, threading.Event()
        self.lost = self.doubled = self.swapped = 0
        with inside(namespace):
            self._ends = [self._end(name) for name in ("left", "right")]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @staticmethod
    def _end(name: str) -> socket.socket:
        end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        end.bind((name, 0))
        end.setblocking(False)
        return end

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for one, far in zip(self._ends, reversed(self._ends), strict=True):
                selector.register(one, selectors.EVENT_READ, far)
            held: dict[socket.socket, bytes] = {}
            while not self._stop.is_set():
                ready = selector.select(0.02)
                for key, _ in ready:
                    end, other = key.fileobj, key.data
                    assert isinstance(end, socket.socket)
                    frame, where = end.recvfrom(65536)
                    if where[2] != socket.PACKET_OUTGOING:
                        self._carry(frame, other, held)
                if not ready:
                    for late, frame in held.items():
                        late.send(frame)
                    held.clear()

    def _carry(self, frame: bytes, other: socket.socket, held: dict[socket.socket, bytes]) -> None:
        fate = self._chance.random()
        if fate < 0.03:
            self.lost += 1
        elif fate < 0.13 and other not in held:
            self.swapped += 1
            held[other] = frame
            return
        else:
            other.send(frame)
            if fate > 0.98:
                self.doubled += 1
                other.send(frame)
        if other in held:
            other.send(held.pop(other))

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        for end in self._ends:
            end.close()
