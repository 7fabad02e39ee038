"""The reference exchange in the foreground: takes the data directory, starts the roles, says when it is ready, stops cleanly.

stdout carries one line of JSON, the readiness line; everything else goes to stderr.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import Any

from matchmark.native import _native, dpdk
from matchmark.native.pipeline import PipelineError, pick_wait
from matchmark.native.pipeline_records import Durability, Role, Wait
from matchmark.reference import cold_start
from matchmark.reference.alerts import Alerts
from matchmark.reference.board import Board
from matchmark.reference.cluster.directory import Cluster, Member, role_at_start
from matchmark.reference.config import ServeConfig
from matchmark.reference.data_dir import (
    EXIT_BLOCKED,
    EXIT_FAULT,
    DataDir,
    Run,
    StartError,
    remove_shared_memory,
    start_error,
)
from matchmark.reference.gateway import BACKLOG, bind, listen
from matchmark.reference.ledger.server import dsn_of
from matchmark.reference.market_data import direct_feed
from matchmark.reference.market_data import sockets as market_data
from matchmark.reference.operators import listen_for_operators
from matchmark.reference.roles import Plan
from matchmark.reference.supervisor import Stopped, Supervisor

BUSY_THREADS = 3
"""Gateway, engine and writer each poll, and the direct feed where there is one; the supervisor and the admin page sleep."""


def serve(config: ServeConfig) -> int:
    """Runs until SIGTERM or SIGINT. Exit code: 0 stopped cleanly, 1 damage or a failed log, 2 configuration, 3 blocked."""
    try:
        data = DataDir(config.data_dir)
        try:
            return _serve(config, data)
        finally:
            data.release()
    except StartError as error:
        _say(str(error))
        return error.exit_code


def _serve(config: ServeConfig, data: DataDir) -> int:
    busy = BUSY_THREADS - (config.placement == "together") + (config.direct_feed is not None)
    wait, why = pick_wait(busy, config.wait)
    _say(why)
    writer_wait = _writer_wait(wait, busy)
    _allow_descriptors(config.gateway.max_connections)
    fix_socket, admin_socket = _sockets(config)
    websocket_socket = _websocket(config)
    operator_socket = listen_for_operators()
    direct_feed_socket = direct_feed.bind(config.direct_feed) if config.direct_feed else None
    role, epoch, replication_socket = Role.PRIMARY, 0, None
    if config.cluster:
        role, epoch = role_at_start(config, data, cold_start.last_epoch(config, data, _say), _say)
        replication_socket = bind(config.replication_host, config.replication_port)
        if role == Role.PRIMARY and fix_socket:
            fix_socket.listen(BACKLOG)
    start = cold_start.prepare(config, data, _say, role, epoch)
    if start.may_be_missing:
        _say(f"acknowledged orders may be missing: {start.may_be_missing['why']}")
    run = _note_start(config, data, start)
    board = Board(
        tuple(name for name, _ in _native.ffi.typeof("mm_gateway_counters").fields),
        Alerts(data.path / "alerts.jsonl", _say),
        dpdk.COUNTERS if config.transport else (),
    )
    board.stages.go_on_from(data.log)
    plan = Plan(
        config, start.engine, wait, writer_wait, data.log, data.path, start.shm, board, fix_socket, admin_socket,
        operator_socket,
        replication_socket, direct_feed_socket, websocket_socket, clean=start.clean,
        may_be_missing=start.may_be_missing["why"] if start.may_be_missing else None,
    )  # fmt: skip
    if config.cluster:
        _announce(plan, start)
    supervisor = Supervisor(plan, start.pipeline, _say, (data.lock_fd,))
    try:
        supervisor.start_all()
        print(json.dumps(_readiness(plan, start, supervisor)), flush=True)
        supervisor.run()
    except Stopped:
        pass  # before it was ready; what is in the rings is drained like at any stop
    except PipelineError as error:
        supervisor.abandon()
        raise start_error(error) from None
    if by := supervisor.fenced:
        supervisor.abandon()
        supervisor.close()
        start.pipeline.close()
        _say(f"another member is primary under epoch {by}: this one has stopped; start it again, and it follows")
        return EXIT_BLOCKED
    try:
        code = _stop(supervisor, start, data, run)
        board.stages.save(data.log)
        return code
    finally:
        supervisor.close()
        if fix_socket:
            fix_socket.close()
        admin_socket.close()
        operator_socket.close()
        if direct_feed_socket:
            direct_feed_socket.close()
        if websocket_socket:
            websocket_socket.close()


def _writer_wait(wait: Wait, busy_threads: int) -> Wait:
    """The disk takes a thousand times as long as a nap: the writer spins only on a processor that nobody else needs."""
    if wait == Wait.SPIN and busy_threads >= len(os.sched_getaffinity(0)):
        _say("the audit writer sleeps between batches: there is no processor for it alone")
        return Wait.SLEEP
    return wait


def _allow_descriptors(connections: int) -> None:
    """A socket for each connection, and as many as the rest needs, as far as this user may."""
    needed = connections + 128
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, hard), hard))
    if hard < needed:
        _say(
            f"{hard} file descriptors are allowed, {connections} connections need {needed}: raise the hard limit "
            "(/etc/security/limits.conf), or lower max_connections"
        )


def _sockets(config: ServeConfig) -> Any:
    """Of FIX, where the kernel carries it, and of the admin page."""
    if config.transport and (why := dpdk.missing()):
        raise StartError(why, EXIT_BLOCKED)
    try:
        fix = None if config.transport else (bind if config.cluster else listen)(config.fix_host, config.fix_port)
    except PipelineError as error:
        raise StartError(str(error)) from None
    try:
        return fix, listen(config.admin_host, config.admin_port)
    except PipelineError as error:
        if fix:
            fix.close()
        raise StartError(str(error).replace("--fix-port", "--admin-port")) from None


def _websocket(config: ServeConfig) -> Any:
    at = config.market_data
    if at is None:
        return None
    try:
        return market_data.listen(at.host, at.ws_port, at.socket_bytes)
    except OSError as error:
        why = error.strerror or str(error)
        raise StartError(f"cannot listen on {at.host}:{at.ws_port}: {why}; choose another --ws-port") from None


def _announce(plan: Plan, start: cold_start.Start) -> None:
    config, sockets = plan.config, (plan.admin_socket, plan.replication_socket)
    assert config.cluster
    (admin, replication) = (s.getsockname()[:2] for s in sockets if s)
    generation = start.pipeline.status().generation
    member = Member(
        config.member,
        str(plan.data),
        str(plan.shm),
        plan.fix_address,
        f"http://{admin[0]}:{admin[1]}",
        replication,
        os.getpid(),
        generation,
    )
    try:
        Cluster(config.cluster, config.member).announce(member)
    except OSError as error:
        raise StartError(f"shared storage {config.cluster} cannot be written: {error.strerror}") from None


def _note_start(config: ServeConfig, data: DataDir, start: cold_start.Start) -> Run:
    now = start.pipeline.status()
    mode, slots = config.durability.name.lower(), config.rings.audit_slots
    run = Run(False, mode, now.generation, str(start.shm), now.epoch, audit_slots=slots)
    data.note_run(run)
    return run


def _stop(supervisor: Supervisor, start: cold_start.Start, data: DataDir, run: Run) -> int:
    clean = supervisor.stop()
    now = start.pipeline.status()
    start.pipeline.close()
    if not clean:
        _say(
            f"stopped; the shared memory in {start.shm} is kept for the next start: {now.failure or 'not all is on disk'}"
        )
        return EXIT_FAULT
    data.note_run(Run(True, run.durability, run.generation, run.shm_dir, run.epoch, now.sequence))
    remove_shared_memory(start.shm)
    _say(f"stopped cleanly at record {now.sequence}")
    return 0


def _readiness(plan: Plan, start: cold_start.Start, supervisor: Supervisor) -> dict[str, Any]:
    host, port = plan.fix_address
    admin_host, admin_port = plan.admin_socket.getsockname()[:2]
    settings = plan.config.gateway
    return {
        "ready": True,
        "pid": os.getpid(),
        "fix": {
            "host": host,
            "port": port,
            "begin_string": settings.begin_string,
            "target_comp_id": settings.comp_id,
        },
        "transport": "dpdk" if plan.config.transport else "tcp",
        "websocket": _url("ws", plan.websocket_socket),
        "direct_feed": direct_feed.url(plan.config.direct_feed, plan.direct_feed_socket),
        "admin": f"http://{admin_host}:{admin_port}",
        "kafka": plan.config.publisher.bootstrap if plan.config.publisher else None,
        "kafka_topic": plan.config.publisher.topic if plan.config.publisher else None,
        "ledger": dsn_of(plan.config.ledger, plan.data) if plan.config.ledger else None,
        "audit_dir": str(plan.log),
        "symbols": len(plan.config.symbols),
        "durability": Durability(plan.config.durability).name.lower(),
        "epoch": start.pipeline.status().epoch,
        "role": start.pipeline.role.name.lower(),
        "member": plan.config.member or None,
        "replication": _address(plan.replication_socket),
        "data_dir": str(plan.data),
        "shm_dir": str(plan.shm),
        "wait": plan.wait.name.lower(),
        "placement": plan.config.placement,
        "pids": supervisor.pids(),
        "recovered": start.recovered(),
    }


def _url(scheme: str, of: Any) -> str | None:
    host, port = of.getsockname()[:2] if of else ("", 0)
    return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/" if of else None


def _address(of: Any) -> dict[str, Any] | None:
    return {"host": of.getsockname()[0], "port": of.getsockname()[1]} if of else None


def _say(text: str) -> None:
    sys.stderr.write(f"matchmark serve: {text}\n")
    sys.stderr.flush()
