"""What each role's process does. The supervisor forks them; each attaches to the shared memory for itself.

A role says once on its pipe that it is ready, or why it cannot be, and then works until it is told to stop or the exchange fails.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from matchmark.native import dpdk
from matchmark.native.pipeline import AuditWriter, EngineConfig, EngineLoop, Pipeline, PipelineError, Snapshot
from matchmark.native.pipeline_records import ExchangeState, Role, Wait
from matchmark.reference import admin, breaker_role, snapshots
from matchmark.reference.board import SIDE_ROLES, Board
from matchmark.reference.clock import Clock
from matchmark.reference.cluster import succession
from matchmark.reference.cluster.member import run_cluster
from matchmark.reference.config import ServeConfig
from matchmark.reference.events.publisher import run_publisher
from matchmark.reference.gateway import BACKLOG, Gateway, instruments_hash
from matchmark.reference.market_data.direct_feed import run_direct_feed
from matchmark.reference.market_data.role import run_market_data
from matchmark.reference.tokens import Keys, TokenError

EXIT_DONE, EXIT_REFUSED, EXIT_EXCHANGE_FAILED, EXIT_BROKEN = 0, 3, 4, 5
"""Of a role's process: it ended as told; it cannot start and said why; the exchange has failed; a fault of its own."""

_PR_SET_PDEATHSIG = 1
_COUNTERS_EVERY_S = 0.05
_FOLLOW_POLL_S = 0.001


@dataclass(frozen=True)
class Plan:
    """What every role needs. The sockets listen already, so that their ports outlive the roles behind them."""

    config: ServeConfig
    engine: EngineConfig
    wait: Wait
    writer_wait: Wait
    log: Path
    data: Path
    shm: Path
    board: Board
    fix_socket: socket.socket | None
    """None: FIX comes by a port of the gateway's own."""
    admin_socket: socket.socket
    operator_socket: socket.socket
    """From the admin page to the breaker."""
    replication_socket: socket.socket | None = None
    direct_feed_socket: socket.socket | None = None
    websocket_socket: socket.socket | None = None
    """Bound and not listening: it keeps the port for the servers, which listen beside it."""
    clean: bool = True
    """The last run was stopped cleanly."""
    may_be_missing: str | None = None
    """In words, what the start could not recover."""
    doors: int = -1
    """A pipe that ends when what is behind the gateway is ready; until then it may read the log, and nobody is heard."""

    @property
    def side_roles(self) -> tuple[str, ...]:
        """Those that are configured, in the order in which they start."""
        return tuple(role for role in SIDE_ROLES if getattr(self.config, role, None) is not None)

    @property
    def fix_address(self) -> tuple[str, int]:
        """Where FIX clients connect."""
        if at := self.config.transport:
            return str(at.address.ip), self.config.fix_port
        assert self.fix_socket
        host, port = self.fix_socket.getsockname()[:2]
        return host, port

    @property
    def keys(self) -> Path:
        """Where keys are: a cluster's members have them in common."""
        return self.config.cluster or self.data


Ready = Callable[[], None]


def _say(text: str) -> None:
    sys.stderr.write(f"matchmark serve: {text}\n")
    sys.stderr.flush()


def _snapshot(plan: Plan) -> AbstractContextManager[Snapshot | None]:
    return snapshots.newest(plan.config, plan.data, plan.log, _say) or nullcontext()


def _engine(plan: Plan) -> EngineLoop:
    with _snapshot(plan) as snapshot:
        engine = EngineLoop(Pipeline(plan.shm), plan.log, plan.engine, snapshot)
    if plan.config.populate:
        engine.populate()
    return engine


def run_engine(plan: Plan, ready: Ready) -> int:
    loop = _engine(plan)
    ready()
    while (result := loop.run(wait=plan.wait)) == 0:
        pass
    loop.close()
    return EXIT_DONE if result == 1 else EXIT_EXCHANGE_FAILED


def run_writer(plan: Plan, ready: Ready) -> int:
    rings = plan.config.rings
    writer = AuditWriter(
        Pipeline(plan.shm),
        plan.log,
        plan.engine,
        instruments_hash=instruments_hash(plan.config.symbols),
        file_records=rings.file_records,
        linger_ns=rings.linger_ns,
    )
    writer.measure(plan.board.stages.memory)
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)  # what waits for it may be lost with the power
    ready()
    while (result := writer.run(wait=plan.writer_wait)) == 0:
        pass
    writer.close()
    return EXIT_DONE if result == 1 else EXIT_EXCHANGE_FAILED


def run_gateway(plan: Plan, ready: Ready) -> int:
    """Ends on SIGTERM, after every session was logged out. Together with the engine: after that was drained, too."""
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    together = plan.config.placement == "together"
    engine = _engine(plan) if together else None
    rate, over_rate = plan.config.breaker.rate_per_s, plan.config.breaker.over_rate
    settings = replace(plan.config.gateway, wait=int(plan.wait), rate_per_s=rate, rate_defers=over_rate == "defer")
    pipeline = Pipeline(plan.shm)
    follow = pipeline.role == Role.STANDBY or (
        plan.config.cluster is not None and succession.pending(plan.data) is not None
    )
    if not follow and plan.fix_socket:
        plan.fix_socket.listen(BACKLOG)  # a gateway that is started again may find it silent still
    carrier = _open_port(plan) if plan.config.transport else None
    with _snapshot(plan) as snapshot:
        gateway = Gateway(
            plan.shm, plan.log, plan.data, plan.config.symbols, plan.config.accounts, settings,
            listener=plan.fix_socket.dup() if plan.fix_socket else None, carrier=carrier, clean=plan.clean,
            keys_dir=plan.keys, follow=follow, snapshot=snapshot,
        )  # fmt: skip
    gateway.measure(plan.board.stages.memory)
    if engine:
        gateway.drive(engine)
    while plan.doors >= 0 and not told.is_set() and not select.select([plan.doors], [], [], _COUNTERS_EVERY_S)[0]:
        pass
    gateway.start()
    ready()
    while not told.wait(_FOLLOW_POLL_S if gateway.following else _COUNTERS_EVERY_S) and gateway.failure is None:
        _count(plan, gateway, carrier)
        if gateway.following and pipeline.role == Role.PRIMARY:
            _take_over(plan, gateway, told)
    if gateway.failure is not None:
        raise PipelineError(gateway.failure)
    gateway.stop()
    _count(plan, gateway, carrier)
    gateway.close()
    return _drain(engine, plan) if engine else EXIT_DONE


def _open_port(plan: Plan) -> dpdk.Port:
    at = plan.config.transport
    assert at
    return dpdk.Port(
        at.eal, at.address, plan.config.fix_port, at.gateway, plan.config.gateway.max_connections, at.buffers
    )


def _count(plan: Plan, gateway: Gateway, carrier: dpdk.Port | None) -> None:
    plan.board.set_counters(gateway.counters())
    if carrier:
        plan.board.set_port(carrier.counters())


def _take_over(plan: Plan, gateway: Gateway, told: threading.Event) -> None:
    due = succession.pending(plan.data)
    if due is None:
        raise PipelineError("this member took over, and whose sessions go on is not noted")
    if plan.fix_socket:
        plan.fix_socket.listen(BACKLOG)
    old_data = Path(due.old_data) if due.old_data else plan.data
    gateway.take_over(old_data, due.life, lambda: succession.note_done(plan.data, due.epoch))
    while gateway.following and gateway.failure is None and not told.is_set():
        time.sleep(_FOLLOW_POLL_S)


def _drain(engine: EngineLoop, plan: Plan) -> int:
    """No gateway is there any more: what it put is executed, and then the exchange is stopping."""
    pipeline = Pipeline(plan.shm)
    pipeline.state = ExchangeState.STOPPING
    while (result := engine.run(wait=plan.wait)) == 0:
        pass
    pipeline.close()
    engine.close()
    return EXIT_DONE if result == 1 else EXIT_EXCHANGE_FAILED


def run_admin(plan: Plan, ready: Ready) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    server = admin.Server(
        plan.admin_socket.dup(),
        Pipeline(plan.shm),
        plan.board,
        os.getppid(),
        plan.operator_socket.getsockname(),
        Keys(plan.keys / "keys"),
        plan.side_roles,
    )
    threading.Thread(target=plan.board.stages.keep, args=(plan.log,), daemon=True).start()
    order = snapshots.Order(plan.config, plan.engine, plan.log, plan.data, plan.keys, plan.shm / "snapshot")
    snapshots.Keeper(order, plan.config.rings.snapshot_records, _say).start()
    ready()
    server.serve_forever()
    return EXIT_DONE


def run_breaker(plan: Plan, ready: Ready) -> int:
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    breaker, pipeline = plan.config.breaker, Pipeline(plan.shm)
    desk = breaker_role.Desk(
        pipeline, plan.log, Keys(plan.keys / "keys"), plan.config.symbols, breaker.symbols, breaker.rules,
        Clock(plan.config.clock), breaker_role.same_boot(plan.data),
    )  # fmt: skip
    ready()
    desk.begin()
    breaker_role.run(
        desk,
        plan.operator_socket,
        lambda: told.is_set() or pipeline.state in (ExchangeState.STOPPING, ExchangeState.FAILED),
    )
    return EXIT_DONE if told.is_set() or pipeline.state == ExchangeState.STOPPING else EXIT_EXCHANGE_FAILED


def run_ledger(plan: Plan, ready: Ready) -> int:
    from matchmark.reference.ledger import role  # only where there is a ledger is psycopg read

    return role.run_ledger(plan, ready)


BODIES = {
    "writer": run_writer,
    "engine": run_engine,
    "gateway": run_gateway,
    "cluster": run_cluster,
    "admin": run_admin,
    "breaker": run_breaker,
    "direct_feed": run_direct_feed,
    "ledger": run_ledger,
    "publisher": run_publisher,
    "market_data": run_market_data,
}


def start(role: str, plan: Plan, close_first: tuple[int, ...]) -> tuple[int, int]:
    """Forks the role; (process id, descriptor of the pipe on which it will say one line)."""
    supervisor = os.getpid()
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write_end)
        return pid, read_end
    code = EXIT_BROKEN
    try:
        for fd in (read_end, *close_first):
            os.close(fd)
        code = _in_child(role, plan, supervisor, write_end)
    except BaseException as error:
        sys.stderr.write(f"matchmark serve: the {role} broke: {type(error).__name__}: {error}\n")
    finally:
        sys.stderr.flush()
        os._exit(code)  # nothing of the supervisor's must run here


def _in_child(role: str, plan: Plan, supervisor: int, pipe: int) -> int:
    # A supervisor that is killed takes its roles along; shared memory stays, and the next start goes on from it.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != supervisor:
        return EXIT_BROKEN
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # they come to a whole process group: the supervisor decides on the order
        signal.signal(number, signal.SIG_IGN)

    def say(**words: object) -> None:
        os.write(pipe, json.dumps(words).encode() + b"\n")
        os.close(pipe)

    said = threading.Event()

    def ready() -> None:
        said.set()
        say(ready=True)

    try:
        return BODIES[role](plan, ready)
    except (PipelineError, TokenError, OSError) as error:
        if not said.is_set():
            say(error=str(error), errno=getattr(error, "errno", 0) or 0)
        else:
            sys.stderr.write(f"matchmark serve: the {role} ended: {error}\n")
        return EXIT_REFUSED
