"""The role `market_data` of the exchange: WebSocket servers, a process each, that read Kafka or the audit log for themselves.

Each process makes its own books of all symbols, so that it depends on no other. They share one port, and the kernel deals the
clients out.
"""

from __future__ import annotations

import asyncio
import ctypes
import mmap
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from matchmark.native.pipeline import Pipeline
from matchmark.native.pipeline_records import Durability, Role
from matchmark.reference.audit_log import AuditLogError
from matchmark.reference.board import SIDE_COUNTERS
from matchmark.reference.config_market_data import MarketDataSettings
from matchmark.reference.events.opening import Awaited, kafka_of, open_source
from matchmark.reference.market_data.recall import from_log
from matchmark.reference.market_data.server import Feed, Server
from matchmark.reference.market_data.sockets import listen
from matchmark.reference.tokens import Keys

if TYPE_CHECKING:
    from matchmark.reference.roles import Plan

NAME = "market_data"
EXIT_DONE, EXIT_BROKEN = 0, 5
DESCRIPTORS_BESIDE = 128
_PR_SET_PDEATHSIG = 1
_COUNTERS = SIDE_COUNTERS[NAME]
STANDBY_POLL_S = 0.02


class _Counters:
    """Of all processes, in memory that they share; each writes its own."""

    def __init__(self, processes: int) -> None:
        self._n = processes
        self._words: Any = memoryview(mmap.mmap(-1, 8 * processes * len(_COUNTERS))).cast("Q")

    def set(self, process: int, counters: dict[str, int]) -> None:
        for n, name in enumerate(_COUNTERS):
            self._words[process * len(_COUNTERS) + n] = counters[name]

    def all(self) -> dict[str, int]:
        """`sequence`: of the one that is furthest behind; `stale` when one is."""
        rows = [
            dict(zip(_COUNTERS, self._words[p * len(_COUNTERS) : (p + 1) * len(_COUNTERS)], strict=True))
            for p in range(self._n)
        ]
        how: dict[str, Callable[[list[int]], int]] = {"sequence": min, "stale": max}
        return {name: how.get(name, sum)([row[name] for row in rows]) for name in _COUNTERS}


def run_market_data(plan: Plan, ready: Callable[[], None]) -> int:
    """Until SIGTERM. A standby's waits until it is primary."""
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    settings = plan.config.market_data
    assert settings is not None and plan.websocket_socket is not None
    _allow_descriptors(settings.max_clients)
    pipeline, said = Pipeline(plan.shm), False
    plan.board.set_side(NAME, clients=0, stale=1)
    if pipeline.role != Role.PRIMARY:
        ready()
        said = True
    while pipeline.role != Role.PRIMARY:
        if told.wait(STANDBY_POLL_S):
            return EXIT_DONE
    counters = _Counters(settings.processes)
    children = [_child(plan, settings, counters, n, told) for n in range(1, settings.processes)]

    def tell(own: dict[str, int]) -> None:
        counters.set(0, own)
        plan.board.set_side(NAME, **counters.all())

    lost: list[int] = []

    def over() -> bool:
        lost.extend(pid for pid in children if os.waitpid(pid, os.WNOHANG)[0])
        return told.is_set() or bool(lost)

    try:
        _serve(plan, settings, pipeline, over, tell, (lambda: None) if said else ready)
    finally:
        for pid in children:
            if pid not in lost:
                os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + 1.0
        for pid in children:
            while pid not in lost and not os.waitpid(pid, os.WNOHANG)[0]:
                if time.monotonic() > until:
                    os.kill(pid, signal.SIGKILL)
                time.sleep(0.005)
        pipeline.close()
    return EXIT_BROKEN if lost else EXIT_DONE  # one that was lost is started again with all the others


def _child(plan: Plan, settings: MarketDataSettings, counters: _Counters, number: int, told: threading.Event) -> int:
    """One more server's process, which does not outlive this one; its process id."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = EXIT_BROKEN
    try:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        pipeline = Pipeline(plan.shm)
        gone = os.getppid() != parent
        _serve(
            plan,
            settings,
            pipeline,
            lambda: told.is_set() or gone,
            lambda own: counters.set(number, own),
            lambda: None,
        )
        code = EXIT_DONE
    except BaseException as error:
        sys.stderr.write(f"matchmark serve: a server of market data ended: {type(error).__name__}: {error}\n")
    finally:
        sys.stderr.flush()
        os._exit(code)


def _serve(
    plan: Plan,
    settings: MarketDataSettings,
    pipeline: Pipeline,
    over: Callable[[], bool],
    tell: Callable[[dict[str, int]], None],
    ready: Callable[[], None],
) -> None:
    assert plan.websocket_socket is not None

    durable = _safe(pipeline)
    # A server serves at once, and says stale, while there is no Kafka. What is published was safe to be.
    source = (
        Awaited(lambda: open_source(plan, lambda: int(pipeline.durable_sequence)), "market data")
        if kafka_of(plan)
        else open_source(plan, durable)
    )
    feed = Feed(source, durable, from_log(plan.log, settings.recover_trades), lambda: pipeline.status().sequence)
    names = [symbol.name for symbol in plan.config.symbols]
    server = Server(feed, names, Keys(plan.keys / "keys"), settings, over, tell)
    host, port = plan.websocket_socket.getsockname()[:2]
    listener: socket.socket = listen(host, port, settings.socket_bytes)
    listener.setblocking(False)
    try:
        asyncio.run(server.run(listener, ready))
    except AuditLogError as error:
        raise OSError(str(error)) from None
    finally:
        listener.close()
        source.close()


def _safe(pipeline: Pipeline) -> Callable[[], int]:
    """Number of the last record that nothing can take back: on the disk, and in mode replicated at the standby, too."""
    if pipeline.status().durability != Durability.REPLICATED:
        return lambda: int(pipeline.durable_sequence)
    known = 0

    def safe() -> int:
        nonlocal known
        now = pipeline.status()
        known = max(known, now.durable_sequence if now.alone else min(now.durable_sequence, now.replicated_sequence))
        return known

    return safe


def _allow_descriptors(clients: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, clients + DESCRIPTORS_BESIDE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
