"""A port for frames: an AF_PACKET socket on an interface. What passes is kept in a ring, to be saved when a case fails.

The interface needs no IP address, and the kernel takes no notice of frames for addresses that are not its own, so a host of
the kit's (tcp_client.py) may live there undisturbed.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import select
import socket
import struct
import time
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from typing import Protocol

import numpy as np

from matchmark.conformance.packets.batch import Batch
from matchmark.conformance.packets.headers import ETHERNET_BYTES, mac_text
from matchmark.conformance.packets.namespace import inside
from matchmark.conformance.packets.pcap import Ring

_ETH_P_ALL = 3
_SIOCGIFMTU, _SIOCGIFHWADDR = 0x8921, 0x8927
_SOL_PACKET, _PACKET_STATISTICS, _PACKET_IGNORE_OUTGOING = 263, 6, 23
_SO_RCVBUFFORCE, _SO_SNDBUFFORCE = 33, 32
_FULL_S = 0.0002
"""Until the interface is asked again when it had no room."""
_CHUNK = 1024
_NOTED_MOST = 4096
_libc = ctypes.CDLL(None, use_errno=True)


def why_not() -> str | None:
    """Why frames cannot be sent and received here; None: they can."""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except (OSError, AttributeError) as error:
        return f"raw frames need CAP_NET_RAW: {error}"
    return None


class Port(Protocol):
    """What a host's driver needs of a port."""

    def fileno(self) -> int: ...
    def send(self, frame: bytes) -> None: ...
    def receive(self, timeout_s: float = 0.0, most: int = 256) -> list[tuple[bytes, int]]: ...


class RawPort:
    """`namespace`: the network namespace in which the interface is. `ring`: what passes is noted there; by default one of 8 MiB.

    OSError: there is no such interface, or this may not be done here. `sent`, `received`: frames.
    """

    def __init__(
        self, interface: str, namespace: str | None = None, ring: Ring | None = None, receive_bytes: int = 1 << 23
    ) -> None:
        self.interface, self.ring = interface, Ring() if ring is None else ring
        self.sent = self.received = self._dropped = 0
        with inside(namespace) if namespace else nullcontext():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            self.mac = mac_text(self._ask(_SIOCGIFHWADDR)[18:24])
            self.mtu: int = struct.unpack_from("i", self._ask(_SIOCGIFMTU), 16)[0]
            for forced, asked, size in (
                (_SO_RCVBUFFORCE, socket.SO_RCVBUF, receive_bytes),
                (_SO_SNDBUFFORCE, socket.SO_SNDBUF, 1 << 22),
            ):
                try:
                    self._socket.setsockopt(socket.SOL_SOCKET, forced, size)
                except OSError:
                    self._socket.setsockopt(socket.SOL_SOCKET, asked, size)
            with suppress(OSError):  # Linux 4.20; `receive` leaves them out, too
                self._socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
            self._socket.setblocking(False)
            self._socket.bind((interface, _ETH_P_ALL))
        except BaseException:
            self._socket.close()
            raise

    def _ask(self, what: int) -> bytes:
        return fcntl.ioctl(self._socket, what, struct.pack("256s", self.interface.encode()))

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> RawPort:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- out ---

    def send(self, frame: bytes) -> None:
        """OSError: the interface does not take it: it is longer than the MTU and 18 bytes, or shorter than 14 bytes."""
        while True:
            try:
                self._socket.send(frame)
                break
            except OSError as error:
                if error.errno not in (errno.ENOBUFS, errno.EAGAIN):
                    raise
                time.sleep(_FULL_S)
        self.sent += 1
        self.ring.note(frame, True)

    def send_many(self, frames: Iterable[bytes]) -> int:
        """How many there were."""
        before = self.sent
        for frame in frames:
            self.send(frame)
        return self.sent - before

    def send_batch(self, batch: Batch, rate_pps: int | None = None) -> int:
        """Many at once; how many the interface took: those that it never takes (too long, under 14 bytes) are left out.

        `rate_pps`: frames a second at most.
        """
        lengths = batch.lengths
        take = np.flatnonzero((lengths >= ETHERNET_BYTES) & (lengths <= self.mtu + ETHERNET_BYTES + 4))
        iov = np.zeros((len(take), 2), np.uint64)
        iov[:, 0] = batch.frames.ctypes.data + take * batch.frames.strides[0]
        iov[:, 1] = lengths[take]
        heads = np.zeros(
            (len(take), 8), np.uint64
        )  # struct mmsghdr, 64 bytes: words 2 and 3 are msg_iov and msg_iovlen
        heads[:, 2] = iov.ctypes.data + np.arange(len(take), dtype=np.uint64) * np.uint64(16)
        heads[:, 3] = 1
        began, at, skipped = time.monotonic(), 0, 0
        while at < len(take):
            if rate_pps:
                time.sleep(max(0.0, began + at / rate_pps - time.monotonic()))
            n = min(_CHUNK if rate_pps is None else max(1, min(_CHUNK, rate_pps // 200)), len(take) - at)
            done = _libc.sendmmsg(self.fileno(), ctypes.c_void_p(heads.ctypes.data + at * 64), n, 0)
            if done > 0:
                at += done
                continue
            error = ctypes.get_errno()
            if error in (errno.ENOBUFS, errno.EAGAIN):
                time.sleep(_FULL_S)
            elif error in (errno.EMSGSIZE, errno.EINVAL):
                at += 1
                skipped += 1
            elif error != errno.EINTR:
                raise OSError(error, os.strerror(error))
        self.sent += len(take) - skipped
        for row in take[-_NOTED_MOST:]:
            self.ring.note(batch[int(row)], True)
        return len(take) - skipped

    # --- in ---

    def receive(self, timeout_s: float = 0.0, most: int = 256) -> list[tuple[bytes, int]]:
        """(frame, monotonic_ns) of those that came, the first one waited for; none that was sent from here."""
        got: list[tuple[bytes, int]] = []
        if timeout_s > 0:
            select.select([self._socket], [], [], timeout_s)
        while len(got) < most:
            try:
                frame, where = self._socket.recvfrom(65536)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno == errno.ENETDOWN:  # said once when the interface goes down
                    break
                raise
            if where[2] != socket.PACKET_OUTGOING:
                now_ns = time.monotonic_ns()
                got.append((frame, now_ns))
                self.ring.note(frame, False, now_ns)
        self.received += len(got)
        return got

    def drops(self) -> int:
        """Frames that came and found no room, because nobody read; since the port was opened."""
        _, lost = struct.unpack("II", self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        self._dropped += lost
        return self._dropped
