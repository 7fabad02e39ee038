"""Market data: fan-out of one frame to many sockets, latency from publishing to receiving, and conflation at the full rate.

    python native/bench/market_data_run.py [--clients 10000] [--seconds 5]

The server is the exchange's own, in this process; its clients are a C program (market_data_clients.c) that reads all it gets.
The floors of the fan-out are measured in the same run: a C loop of send(), in turns with it, and the library websockets. Sends
are counted by the sending thread's processor time, which is what a core of its own would have.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import mmap
import os
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from figure import Figure

from matchmark.native.pipeline import now_ns
from matchmark.native.pipeline_records import AUDIT_RECORD, EVENT_RECORD, RECORD_LAST
from matchmark.native.records import EventKind
from matchmark.reference.audit_log import Records
from matchmark.reference.config_market_data import MarketDataSettings
from matchmark.reference.events.source import Batch
from matchmark.reference.market_data.conflate import DEPTH, QUOTES, Conflator
from matchmark.reference.market_data.encode import Encoder
from matchmark.reference.market_data.server import Feed, Server
from matchmark.reference.market_data.sockets import listen
from matchmark.reference.tokens import Keys

HERE = Path(__file__).parent
SYMBOLS = 16
BUCKETS, BUCKET_US = 200_000, 10
ROUNDS = 15
LATENCY_CLIENTS, LATENCY_RATE = 1_000, 100
UPDATES_PER_S = 100_000
RESTING = 5_000


def orders(first: int, count: int) -> Records:
    """Orders that come and, RESTING later, are cancelled: one event each. `first`: sequence number."""
    rng = np.random.default_rng(first)
    out = np.zeros(count, dtype=AUDIT_RECORD)
    r = out.view(EVENT_RECORD)
    n = np.arange(first, first + count)
    r["sequence"], r["kind"], r["flags"] = n, 2, RECORD_LAST
    cancels = (n > 2 * RESTING) & (n % 2 == 0)
    e = r["body"]
    e["kind"] = np.where(cancels, EventKind.CANCELLED, EventKind.ACCEPTED)
    e["order_id"] = np.where(cancels, n - 2 * RESTING + 1, n)
    e["symbol"] = (n // 2) % SYMBOLS
    e["side"] = rng.integers(0, 2, count)
    e["price_ticks"] = np.where(
        e["side"] == 0, 10_000 - rng.integers(1, 50, count), 10_000 + rng.integers(1, 50, count)
    )
    e["quantity_lots"] = rng.integers(1, 100, count)
    return out[~((n <= 2 * RESTING) & (n % 2 == 0))]


class Queue:
    """Records put by hand."""

    def __init__(self) -> None:
        self.waiting: list[Records] = []
        self.sequence = 0

    def put(self, records: Records) -> None:
        self.waiting.append(records)
        self.sequence = int(records["sequence"][-1])

    def poll(self, timeout_s: float) -> Sequence[Batch]:
        if not self.waiting:
            return ()
        waiting, self.waiting = self.waiting, []
        return [Batch(0, int(records["sequence"][-1]) + 1, records) for records in waiting]

    def close(self) -> None: ...


class Running:
    """The server in a thread."""

    def __init__(self, folder: Path) -> None:
        self.queue, self.keys, self.counters = Queue(), Keys(folder / "keys"), dict[str, int]()
        settings = MarketDataSettings()
        feed = Feed(self.queue, lambda: self.queue.sequence, lambda *_: ([], []))
        self._end = threading.Event()
        names = [f"S{n}" for n in range(SYMBOLS)]
        self.server = Server(feed, names, self.keys, settings, self._end.is_set, self.counters.update)
        self._listener = listen("127.0.0.1", 0, settings.socket_bytes)
        self._listener.setblocking(False)
        self.port, ready = int(self._listener.getsockname()[1]), threading.Event()

        async def main() -> None:
            self.loop = asyncio.get_running_loop()
            await self.server.run(self._listener, ready.set)

        self._thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
        self._thread.start()
        ready.wait(10)

    def do(self, call: Callable[[], float]) -> float:
        """In the server's thread, and its answer."""
        done, out = threading.Event(), [0.0]

        def run() -> None:
            out[0] = call()
            done.set()

        self.loop.call_soon_threadsafe(run)
        done.wait(60)
        return out[0]

    def close(self) -> None:
        self._end.set()
        self._thread.join()
        self._listener.close()


class Readers:
    """The C clients. `frames`: all that they have received."""

    def __init__(self, program: Path, folder: Path, port: int, clients: int, path: str, request: str) -> None:
        at = folder / "counters"
        at.write_bytes(bytes(8 * (BUCKETS + 2)))
        with at.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)
        self.words = np.frombuffer(self._memory, dtype="<u8")
        words = [str(program), str(port), str(clients), path, request, str(at)]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout
        if self._process.stdout.readline() != b"ready\n":
            raise SystemExit("bench: the clients of market data do not start: their message is above")

    @property
    def frames(self) -> int:
        return int(self.words[0])

    def wait_for(self, frames: int, seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        while self.frames < frames:
            if time.monotonic() > until:
                raise SystemExit(f"bench: {self.frames} of {frames} frames came in {seconds:g} s")
            time.sleep(0.001)

    def percentile_ms(self, q: float) -> float:
        counts = self.words[2:]
        return float(np.searchsorted(np.cumsum(counts), q * counts.sum()) + 1) * BUCKET_US / 1e3

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


@contextmanager
def programs() -> Iterator[tuple[Path, Any]]:
    """The clients and the plain loop, compiled."""
    cc = [*shlex.split(os.environ.get("CC", "cc")), "-O2", "-std=gnu11"]
    with tempfile.TemporaryDirectory(prefix="matchmark-market-data-") as folder:
        clients, plain = Path(folder) / "clients", Path(folder) / "plain.so"
        subprocess.run([*cc, HERE / "market_data_clients.c", "-o", clients], check=True)
        subprocess.run([*cc, "-shared", "-fPIC", HERE / "plain_send.c", "-o", plain], check=True)
        yield clients, ctypes.CDLL(str(plain)).plain_send


def request(channel: str = "quotes") -> str:
    return json.dumps({"op": "subscribe", "id": 1, "symbols": ["S0"], "channel": channel})


def path_of(x: Running) -> str:
    return f"/?token={x.keys.issue('BENCH', 3600)}"


def one(sequence: int, order_id: int, price: int) -> Records:
    """A bid at a price of its own, so that the quote changes."""
    out = np.zeros(1, dtype=AUDIT_RECORD)
    r = out.view(EVENT_RECORD)
    r["sequence"], r["kind"], r["flags"], r["stage_b_ns"] = sequence, 2, RECORD_LAST, now_ns()
    e = r["body"]
    e["kind"], e["order_id"], e["price_ticks"], e["quantity_lots"] = EventKind.ACCEPTED, order_id, price, 1
    return out


def fan_out(clients: int) -> list[Figure]:
    with programs() as (program, plain), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        x = Running(folder)
        readers = Readers(program, folder, x.port, clients, path_of(x), request())
        hub = x.server.hub
        until = time.monotonic() + 60
        while not (groups := [s.groups[0] for s in hub._streams.values()]) or len(groups[0]) < clients:
            if time.monotonic() > until:
                raise SystemExit("bench: not all clients have subscribed")
            time.sleep(0.01)
        group, conflator = groups[0], hub.conflator
        readers.wait_for(3 * clients)  # logged in, subscribed, snapshot
        base, sequence, ours_s, plain_s = readers.frames, 0, list[float](), list[float]()
        conflator.window_ns = 0  # each round is sent at once
        encoder, frames = Encoder(["S0"]), list[bytes]()

        def ours() -> float:
            records = one(sequence, sequence, sequence)
            began = time.thread_time()
            hub.take(records, now_ns())
            return time.thread_time() - began

        def floor() -> float:
            began = time.thread_time()
            plain(
                group.fds.ctypes.data_as(ctypes.c_void_p),
                ctypes.c_size_t(clients),
                frames[0],
                ctypes.c_size_t(len(frames[0])),
            )
            return time.thread_time() - began

        frames.append(encoder.frame(conflator.snapshot(0, QUOTES), 0))
        for n in range(2 * ROUNDS):
            sequence += 1
            if n % 2:
                ours_s.append(x.do(ours))
            else:
                plain_s.append(x.do(floor))
            base += clients
            readers.wait_for(base)
        readers.close()
        x.close()
        theirs_s = theirs(program, folder, clients, frames[0])
    rate, floor_rate, theirs_rate = (clients / statistics.median(s) for s in (ours_s, plain_s, theirs_s))
    beside = f"{rate:,.0f} sends/s to {clients:,} clients; plain send() loop {floor_rate:,.0f}"
    return [
        Figure("fan-out of market data, to a plain send() loop", rate / floor_rate, "x", 1.0, floor=beside),
        Figure("fan-out of market data, to broadcast()", rate / theirs_rate, "x", 2.0,
               floor=f"broadcast() of the library websockets {theirs_rate:,.0f} sends/s"),
    ]  # fmt: skip


def theirs(program: Path, folder: Path, clients: int, frame: bytes) -> list[float]:
    """The same with the library websockets: seconds of processor time a round."""
    from websockets.asyncio.server import ServerConnection, broadcast, serve

    took: list[float] = []

    async def handler(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async def main() -> None:
        options: dict[str, Any] = {"compression": None, "ping_interval": None, "backlog": 4096, "open_timeout": 60}
        async with serve(handler, "127.0.0.1", 0, **options) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            loop = asyncio.get_running_loop()
            readers = await loop.run_in_executor(None, Readers, program, folder, port, clients, "/", "")
            while len(server.connections) < clients:
                await asyncio.sleep(0.01)
            connections, base = list(server.connections), readers.frames
            for _ in range(5):
                began = time.thread_time()
                broadcast(connections, frame[2:])
                took.append(time.thread_time() - began)
                base += clients
                await loop.run_in_executor(None, readers.wait_for, base)
            readers.close()

    asyncio.run(main())
    return took


def latency(seconds: float) -> list[Figure]:
    with programs() as (program, _), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        x = Running(folder)
        readers = Readers(program, folder, x.port, LATENCY_CLIENTS, path_of(x), request())
        readers.wait_for(3 * LATENCY_CLIENTS)
        before = x.server.hub.messages
        x.server.hub.conflator.window_ns = 0  # each of the 100 a second is sent
        began = time.monotonic()
        for n in range(1, round(seconds * LATENCY_RATE) + 1):
            time.sleep(max(0.0, began + n / LATENCY_RATE - time.monotonic()))
            x.queue.put(one(n, n, n))
        readers.wait_for(3 * LATENCY_CLIENTS + n * LATENCY_CLIENTS)
        took = time.monotonic() - began
        sent, p50, p99 = x.server.hub.messages - before, readers.percentile_ms(0.5), readers.percentile_ms(0.99)
        readers.close()
        x.close()
    beside = f"p50 {p50:.2f} ms; {sent:,} messages to {LATENCY_CLIENTS:,} clients, {sent / took:,.0f} a second"
    return [Figure("market data, publish to receive, p99", p99, "ms", 10, at_most=True, floor=beside)]


def conflation(seconds: float) -> list[Figure]:
    """The full rate for so many seconds of the clock that the conflator is given, with every symbol wanted on both channels."""
    flow = orders(1, round(seconds * UPDATES_PER_S) + 2 * RESTING)
    conflator, encoder = Conflator(SYMBOLS, 10_000_000), Encoder([f"S{n}" for n in range(SYMBOLS)])
    flow, warm = flow[RESTING:], flow[:RESTING]
    conflator.take(warm, 0)
    for symbol in range(SYMBOLS):
        for channel in (QUOTES, DEPTH):
            conflator.want(symbol, channel)
    sent, size, step = 0, 0, UPDATES_PER_S // 1000
    began = time.process_time()
    for n in range(0, len(flow), step):
        now = n * (1_000_000_000 // UPDATES_PER_S)
        for update in (*conflator.take(flow[n : n + step], now), *conflator.due(now)):
            size += len(encoder.frame(update, 0))
            sent += update.channel == DEPTH
    took = time.process_time() - began
    updates = len(flow)
    beside = f"{updates:,} updates of {SYMBOLS} symbols at {UPDATES_PER_S:,}/s, {sent:,} frames of depth"
    return [
        Figure("conflation of depth at 100,000 updates/s", updates / sent, "x", 10, floor=beside),
        Figure("market data service, books, conflation, encoding", updates / took, "updates/s", UPDATES_PER_S,
               floor=f"both channels, {size / 1e6:.1f} MB in {took:.1f} s of one processor"),
    ]  # fmt: skip


def figures(clients: int = 10_000, seconds: float = 5.0) -> list[Figure]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    clients = min(clients, hard - 512)
    found = []
    for part in (lambda: conflation(seconds), lambda: latency(seconds), lambda: fan_out(clients)):
        for figure in part():
            found.append(figure)
            print(f"  {figure.name}: {figure.value:,.2f} {figure.unit} ({figure.floor})", flush=True)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--clients", type=int, default=10_000, help="of the fan-out, as far as descriptors go")
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    figures(options.clients, options.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
