"""One order in flight in mode fsync: its round trip over FIX beside a raw append and fdatasync on the same disk.

    python native/bench/fsync_round_trip.py [DIRECTORY [ORDERS]]

The two take turns, so that both see the same machine. The floor is one fdatasync of two records (a command and its event).
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from matchmark.reference.tokens import Keys

RECORDS_BYTES = 2 * 272
PREALLOCATED = 64 << 20


def framed(kind: str, seq: int, fields: str) -> bytes:
    now = time.strftime("%Y%m%d-%H:%M:%S", time.gmtime())
    body = f"35={kind}|49=ACC1-1|56=MATCHMARK|34={seq}|52={now}|{fields}|".replace("|", "\1").encode()
    head = b"8=FIX.4.4\x019=%d\x01" % len(body) + body
    return head + b"10=%03d\x01" % (sum(head) % 256)


class Floor:
    """Appends to a preallocated file."""

    def __init__(self, directory: Path) -> None:
        self._file, self._at = tempfile.TemporaryFile(dir=directory), 0  # noqa: SIM115
        os.posix_fallocate(self._file.fileno(), 0, PREALLOCATED)
        os.fsync(self._file.fileno())

    def once(self) -> None:
        os.pwrite(self._file.fileno(), b"x" * RECORDS_BYTES, self._at)
        os.fdatasync(self._file.fileno())
        self._at += RECORDS_BYTES


def timed_us(samples: list[float], what: object) -> None:
    began = time.perf_counter_ns()
    what()  # type: ignore[operator]
    samples.append((time.perf_counter_ns() - began) / 1000)


def main(words: list[str]) -> int:
    orders = int(words[1]) if len(words) > 1 else 2000
    with tempfile.TemporaryDirectory(dir=words[0] if words else None) as name:
        root = Path(name)
        main = [sys.executable, "-m", "matchmark.conformance.cli", "serve", "--data-dir", str(root / "data")]
        flags = ["--fix-port", "0", "--admin-port", "0", "--durability", "fsync"]
        with subprocess.Popen([*main, *flags], stdout=subprocess.PIPE, text=True) as serve:
            assert serve.stdout
            port = json.loads(serve.stdout.readline())["fix"]["port"]
            try:
                trips, floors = measure(root, port, orders)
            finally:
                serve.terminate()
                serve.wait()
    for label, samples in (("order round trip", trips), ("append and fdatasync", floors)):
        cuts = statistics.quantiles(samples, n=100)
        print(f"{label:22} p50 {cuts[49]:8.0f} us   p90 {cuts[89]:8.0f} us   p99 {cuts[98]:8.0f} us   {len(samples)}")
    print(
        f"ratio of the medians {statistics.median(trips) / statistics.median(floors):.2f}, load {os.getloadavg()[0]:.1f}"
    )
    return 0


def measure(root: Path, port: int, orders: int) -> tuple[list[float], list[float]]:
    floor, trips, floors = Floor(root), list[float](), list[float]()
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        token = Keys(root / "data" / "keys").issue("ACC1", 600)
        line.sendall(framed("A", 1, f"98=0|108=0|554={token}"))
        assert b"\x0135=A\x01" in line.recv(4096), "the logon was refused"
        for n in range(orders):
            order = framed("D", n + 2, f"11=c{n}|55=SYM1|54=1|60=20260101-00:00:00|38=1|40=2|44=100.00|59=0")

            def trip(order: bytes = order) -> None:
                line.sendall(order)
                assert b"\x01150=0\x01" in line.recv(4096), "the order was refused"

            timed_us(trips, trip)
            timed_us(floors, floor.once)
    return trips, floors


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
