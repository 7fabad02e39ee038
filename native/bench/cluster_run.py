"""A primary and its standby on one machine, members of a cluster as processes, the native FIX client of fix_load.c before them.

    python native/bench/cluster_run.py

What an acknowledgement costs: one order in flight, in turns alone, with a standby in mode async, and in mode replicated, beside
the round trip of a record to the standby and back, taken while those orders go. Roles that have no processor to themselves
sleep between looks, for where they yield each hop costs a turn of all the others; so both what is measured and the trip that
it is compared with have such sleeps in them, and a bare round trip over TCP is printed beside them. Failover: the time without
an acknowledgement that a client sees when the primary is killed under load. Exit code 1: an acknowledged order is not in the
survivor's log, or is there twice.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from exchange_run import CONFIG, NATIVE, PINGS, PROGRAM, build, client
from figure import Figure

from matchmark.reference.data_dir import remove_shared_memory
from matchmark.reference.tokens import Keys
from matchmark.reference.verify import verify

sys.path.append(str(NATIVE.parent))  # the tests' pair of members is not part of what is installed
from reference.tests import pair as members

ROUNDS = 3
KILLS = 5
SETTLE_S = 0.5
SAMPLE_S = 0.02
BARE_TRIPS = 5000
FRAME_BYTES, ANSWER_BYTES = 336, 48  # one record with its head, and what a standby says to it
ROLES = 10  # busy threads of two members, and the client
WAIT = "yield" if len(os.sched_getaffinity(0)) >= ROLES else "sleep"


@contextmanager
def member(folder: Path, shared: Path, name: str, *flags: str) -> Iterator[dict[str, Any]]:
    """A member of a cluster; its readiness line."""
    config = shared.parent / "serve.toml"
    config.write_text(CONFIG, encoding="utf-8")
    words = [*PROGRAM, "serve", "--config", str(config), "--data-dir", str(folder), "--cluster", str(shared)]
    words += ["--member", name, "--fix-port", "0", "--admin-port", "0", "--wait", WAIT, *flags]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"bench: member {name} did not start: {process.stderr.read().decode()}")
        ready: dict[str, Any] = json.loads(line)
        try:
            yield ready
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(120)
            remove_shared_memory(Path(ready["shm_dir"]))


def status(ready: dict[str, Any]) -> dict[str, Any]:
    with urllib.request.urlopen(ready["admin"] + "/status", timeout=10) as answer:
        return dict(json.load(answer))


def acknowledgement(root: Path, program: Path, mode: str, with_standby: bool) -> dict[str, float]:
    """p50 and p99 of one order in flight, and of records to the standby and back, in microseconds."""
    shared = root / "shared"
    root.mkdir()
    with member(root / "a", shared, "a", "--durability", mode) as primary:
        if not with_standby:
            return ping(program, primary, shared)
        with member(root / "b", shared, "b", "--standby", "--durability", mode):
            until = time.monotonic() + 10
            while not status(primary)["replication"]["connected"] and time.monotonic() < until:
                time.sleep(0.01)
            with sampled(primary) as trips:
                done = ping(program, primary, shared)
            return {**done, "trip_us": statistics.median(trips) / 1000}


@contextmanager
def sampled(primary: dict[str, Any]) -> Iterator[list[int]]:
    """The last round trip to the standby, in ns, as /status has it every now and then while orders go."""
    trips, over = list[int](), threading.Event()

    def sample() -> None:
        while not over.wait(SAMPLE_S):
            trips.append(status(primary)["replication"]["round_trip_ns"])

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield trips
    finally:
        over.set()
        thread.join()


def bare_trip_us() -> float:
    """p50 of as many bytes over TCP to another process and back, both blocked while they wait."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    for end in (near, far):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    child = os.fork()
    if not child:
        near.close()
        while far.recv(FRAME_BYTES, socket.MSG_WAITALL):
            far.sendall(bytes(ANSWER_BYTES))
        os._exit(0)
    far.close()
    took = list[int]()
    for _ in range(BARE_TRIPS):
        began = time.perf_counter_ns()
        near.sendall(bytes(FRAME_BYTES))
        near.recv(ANSWER_BYTES, socket.MSG_WAITALL)
        took.append(time.perf_counter_ns() - began)
    near.close()
    os.waitpid(child, 0)
    return statistics.median(took) / 1000


def ping(program: Path, ready: dict[str, Any], shared: Path) -> dict[str, float]:
    path = shared.parent / "tokens"
    keys = Keys(shared / "keys")
    path.write_text("".join(f"S{i + 1} SYM1 {keys.issue(f'ACC{i + 1}', 3600)}\n" for i in range(2)), encoding="utf-8")
    result = client(program, ready, "ping", path, PINGS // 10, ready["pids"]["gateway"], 0)
    return {"p50_us": result["order_p50_us"], "p99_us": result["order_p99_us"], "echo_us": result["echo_p50_us"]}


def failovers(root: Path) -> tuple[list[float], int]:
    """Seconds without an acknowledgement at each kill, to and fro, and how many orders there were."""
    members.HEARTBEAT_S = 0.1
    pair, gaps = members.Pair(root, "async"), list[float]()
    try:
        pair.start("a")
        pair.standby("b")
        load, names = members.Load(pair), ["a", "b"]
        for _ in range(KILLS):
            time.sleep(SETTLE_S)
            dead = pair.primary()
            heir = next(name for name in names if name != dead)
            load.longest_s = 0.0
            pair.members[dead].kill()
            pair.wait_alert(heir, "took-over")
            time.sleep(SETTLE_S)
            gaps.append(load.longest_s)
            with suppress(FileNotFoundError):
                (pair.members[heir].data / "alerts.jsonl").unlink()
            pair.start(dead)
        load.stop()
        survivor = pair.members[pair.primary()]
        if code := survivor.stop():
            raise SystemExit(f"bench: the survivor did not stop cleanly ({code}): {survivor.stderr()[-500:]}")
        book = members.logged(survivor.data)
        lost, twice = load.acknowledged() - set(book), [cl for cl, count in book.items() if count > 1]
        if lost or twice or verify(survivor.data / "log").findings:
            raise SystemExit(
                f"bench: {len(lost)} acknowledged orders lost, {len(twice)} doubled, or the log is not sound"
            )
        return gaps, load.orders
    finally:
        pair.close()


def figures() -> list[Figure]:
    """Prints what was measured; the rows of the summary."""
    with tempfile.TemporaryDirectory(dir=NATIVE.parent / "build") as root:
        program = build(Path(root))
        ways = {"alone": ("async", False), "async": ("async", True), "replicated": ("replicated", True)}
        found: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
        for n in range(ROUNDS):
            for name, way in ways.items():
                found[name].append(acknowledgement(Path(root, f"{name}{n}"), program, *way))
        bare = bare_trip_us()
        gaps, orders = failovers(Path(root, "failover"))
    middle = {
        name: {key: statistics.median(row[key] for row in rows) for key in rows[0]} for name, rows in found.items()
    }
    for name, row in middle.items():
        print(f"{name:12}" + ", ".join(f"{key[:-3]} {value:.1f} us" for key, value in row.items()))
    print(
        f"failover       {', '.join(f'{gap * 1000:.0f}' for gap in sorted(gaps))} ms, {orders:,} orders, none lost, none doubled"
    )
    alone, trip = middle["alone"]["p50_us"], middle["replicated"]["trip_us"]
    beside = middle["async"]["p50_us"]
    more, silence = (middle["replicated"]["p50_us"] - beside) / trip, "silence of 200 ms before it is declared dead"
    there = f"record to the standby and back {trip:.1f} us ({WAIT}; bare TCP {bare:.1f} us)"
    middle_ms = statistics.median(gaps) * 1000
    return [
        Figure("ack p50 with a standby, async", beside / alone, "x", 1.1, at_most=True, floor=f"alone {alone:.1f} us"),
        Figure("ack p50 replicated, beyond async", more, "trips", 2, at_most=True, floor=there),
        Figure("failover, 100 ms heartbeats", middle_ms, "ms", 500, at_most=True, floor=silence),
    ]


if __name__ == "__main__":
    figures()
    sys.exit(0)
