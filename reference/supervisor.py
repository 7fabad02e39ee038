"""Keeps the roles of one exchange running: starts them in order, starts one again that died, stops them in order.

One thread, so that forking is safe. It is on nobody's path: while it sleeps the exchange works, and when it dies the roles go
with it (roles.py) and the next start goes on from the shared memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from matchmark.native.pipeline import Pipeline, PipelineError
from matchmark.native.pipeline_records import ExchangeState, Role
from matchmark.reference import roles
from matchmark.reference.board import ROLES, SIDE_ROLES

POLL_S = 0.1
READY_PATIENCE_S = 3600.0
"""A role that replays a long log is not stuck."""
OWN_ENDS_MAX, OWN_ENDS_WITHIN_S = 5, 30.0
"""A role that ends by itself, or crashes, so often within so long will not do better the next time."""
CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)
"""Signals that a role brings upon itself."""
STOP_PATIENCE_S = {"gateway": 15.0, "engine": 30.0, "writer": 60.0, "cluster": 5.0, "admin": 2.0, "breaker": 6.0}
SIDE_PATIENCE_S = 5.0
"""A side role that has not ended by then has nothing that would be lost."""
SIDE_AGAIN_S = 2.0
"""A side role that ends by itself is tried again after so long, for ever: the exchange trades on without it."""


@dataclass
class _Role:
    pid: int = 0
    pipe: int = -1
    ready: bool = False
    error: PipelineError | None = None
    ended: int | None = None
    own_ends: list[float] = field(default_factory=list)


class Stopped(Exception):
    """SIGTERM or SIGINT came, or another member became primary (`fenced`): there is nothing to start any more."""


class Supervisor:
    """`log` gets one sentence for each thing that an operator should know.

    `early`: memory is new, so the gateway may read the log while the engine replays it.
    """

    def __init__(
        self,
        plan: roles.Plan,
        pipeline: Pipeline,
        log: Callable[[str], None],
        close_in_roles: tuple[int, ...],
        early: bool = False,
    ):
        doors, self._doors = os.pipe()
        self._plan, self._pipeline, self._log = replace(plan, doors=doors), pipeline, log
        self._roles = {name: _Role() for name in ROLES}
        self._together = plan.config.placement == "together"  # the gateway's process is the engine's
        self._clustered = plan.config.cluster is not None
        self._sides = plan.side_roles
        self._told = False
        self._failure_said = False
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._close_in_roles = (*close_in_roles, self._wake_read, self._wake_write, self._doors)
        self._early = early and not self._together and self._pipeline.role != Role.STANDBY
        self._before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)}
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def _on_stop(self, number: int, frame: object) -> None:
        self._told = True

    # --- starting ---

    def start_all(self) -> None:
        """PipelineError: a role cannot start and said why. Stopped: it shall not start any more."""
        standby = self._pipeline.role == Role.STANDBY
        for name in ("writer",) if self._together else ("writer", "engine"):
            self._start(name)
            if self._early and name == "engine":
                self._start("gateway")
            self._wait_ready(name)
        if self._clustered and not standby:
            self._start("cluster")  # a primary has its lease before it hears anybody
            self._wait_ready("cluster")
        if not standby:
            self._pipeline.state = ExchangeState.RUNNING
        self._open_the_doors()
        last = ("gateway", "admin", "breaker", *(("cluster",) if self._clustered and standby else ()))
        for name in last[1:] if self._early else last:
            self._start(name)
        for name in last:
            self._wait_ready(name)
        for name in self._sides:
            self._start(name)
        for name in self._sides:
            self._wait_ready(name)

    def _open_the_doors(self) -> None:
        os.close(self._doors)
        self._close_in_roles = tuple(fd for fd in self._close_in_roles if fd != self._doors)
        self._doors = -1

    def _start(self, name: str) -> None:
        role = self._roles[name]
        role.ready, role.error, role.ended = False, None, None
        role.pid, role.pipe = roles.start(name, self._plan, (*self._close_in_roles, *self._pipes()))
        self._selector.register(role.pipe, selectors.EVENT_READ, name)
        self._set_pid(name, role.pid)

    def _set_pid(self, name: str, pid: int) -> None:
        self._plan.board.set_pid(name, pid)
        if name == "gateway" and self._together:
            self._plan.board.set_pid("engine", pid)

    def _pipes(self) -> list[int]:
        return [role.pipe for role in self._roles.values() if role.pipe >= 0]

    def _wait_ready(self, name: str) -> None:
        role, until = self._roles[name], time.monotonic() + READY_PATIENCE_S
        while not role.ready:
            self._poll()
            if role.error:
                raise role.error
            if self._told or self.fenced:
                raise Stopped
            for other, ready in self._roles.items():
                if other != name and ready.ready and ready.ended is not None:
                    self._start_again(other, ready)  # the awaited one may wait for it
            if role.ended is not None and role.pipe < 0:
                failure = self._pipeline.status().failure
                raise PipelineError(failure or f"the {name} died at the start (status {role.ended})")
            if time.monotonic() > until:
                raise PipelineError(f"the {name} did not become ready in {READY_PATIENCE_S:.0f} s")

    # --- watching ---

    def run(self) -> None:
        """Until it is told to stop."""
        while not self._told and not self.fenced:
            self._poll()
            for name, role in self._roles.items():
                if role.ended is not None:
                    self._start_again(name, role)
            self._say_failure()

    @property
    def fenced(self) -> int:
        """The epoch under which another member is primary; 0: none that we know of."""
        return self._pipeline.status().fenced_by

    def _poll(self) -> None:
        for key, _ in self._selector.select(POLL_S):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)
            else:
                self._hear(self._roles[key.data])
        for name, role in self._roles.items():
            if role.pid:
                pid, status = os.waitpid(role.pid, os.WNOHANG)
                if pid:
                    role.ended, role.pid = status, 0
                    self._set_pid(name, 0)

    def _hear(self, role: _Role) -> None:
        line = os.read(role.pipe, 65536)  # a line is written at once, and is shorter than a pipe's atomic write
        self._selector.unregister(role.pipe)
        os.close(role.pipe)
        role.pipe = -1
        said = json.loads(line) if line else {}
        role.ready = bool(said.get("ready"))
        if "error" in said:
            role.error = PipelineError(said["error"], int(said["errno"]))

    def _start_side_again(self, name: str, role: _Role) -> None:
        now = time.monotonic()
        code = os.waitstatus_to_exitcode(role.ended or 0)
        if role.pipe >= 0 or (code >= 0 and role.own_ends and now - role.own_ends[-1] < SIDE_AGAIN_S):
            return
        role.own_ends = [now]
        by = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended by itself (exit code {code})"
        why = f": {role.error}" if role.error else ""
        self._log(f"the {name} {by}{why}; it is started again, trading goes on")
        self._plan.board.count_restart(name)
        self._start(name)

    def _start_again(self, name: str, role: _Role) -> None:
        if name in SIDE_ROLES:
            self._start_side_again(name, role)
            return
        status = role.ended or 0
        code = os.waitstatus_to_exitcode(status)
        failed = self._pipeline.state == ExchangeState.FAILED
        if failed and name in ("engine", "writer", "breaker"):
            return  # an exchange that has failed is repaired by people
        if role.pipe >= 0:
            return  # it left word, which is read first
        if (code >= 0 or -code in CRASHES) and not self._may_try_again(name, role, code):
            return
        by = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended by itself (exit code {code})"
        why = f": {role.error}" if role.error else ""
        self._log(f"the {name} {by}{why}; it is started again")
        self._plan.board.count_restart(name)
        self._start(name)

    def _may_try_again(self, name: str, role: _Role, code: int) -> bool:
        now = time.monotonic()
        role.own_ends = [*(t for t in role.own_ends if now - t < OWN_ENDS_WITHIN_S), now]
        if len(role.own_ends) < OWN_ENDS_MAX:
            return True
        if len(role.own_ends) == OWN_ENDS_MAX and self._pipeline.state != ExchangeState.FAILED:
            ended = f"exit code {code}" if code >= 0 else f"it crashed again and again ({signal.Signals(-code).name})"
            why = str(role.error) if role.error else ended
            self._pipeline.fail(f"the {name} cannot go on: {why}")
        role.ended = None  # it stays down
        return False

    def _say_failure(self) -> None:
        now = self._pipeline.status()
        if now.state == ExchangeState.FAILED and not self._failure_said:
            self._failure_said = True
            self._log(
                f"the exchange has stopped and takes no orders: {now.failure}; repair the cause, then stop and start serve"
            )

    # --- stopping ---

    def stop(self) -> bool:
        """Sessions out, then the engine drained, then the writer. True when all that was taken is on disk."""
        for name in self._sides:
            if pid := self._roles[name].pid:
                os.kill(pid, signal.SIGTERM)  # all at once: each may have a connection to close
        for name in self._sides:
            self._end(name, None)
        self._end("breaker", signal.SIGTERM)
        standby = self._pipeline.role == Role.STANDBY
        if standby:
            self._end("cluster", signal.SIGTERM)  # no more records come
        self._end("gateway", signal.SIGTERM)
        self._pipeline.state = ExchangeState.STOPPING
        failed = self._pipeline.state == ExchangeState.FAILED
        for name in ("engine", "writer"):
            self._end(name, None, again=not failed)
        if self._clustered and not standby:
            self._end("cluster", signal.SIGTERM)  # the standby gets the last records, too
        self._end("admin", signal.SIGTERM)
        now = self._pipeline.status()
        return not failed and now.state != ExchangeState.FAILED and now.sequence == now.durable_sequence

    def _end(self, name: str, number: signal.Signals | None, again: bool = False) -> None:
        role, until = self._roles[name], time.monotonic() + STOP_PATIENCE_S.get(name, SIDE_PATIENCE_S)
        if role.pid and number:
            os.kill(role.pid, number)
        while time.monotonic() < until:
            killed = role.ended is not None and os.waitstatus_to_exitcode(role.ended) < 0
            if again and killed and role.pipe < 0:
                self._start(name)  # killed as it drained: what it owes must still be done
            if not role.pid and role.pipe < 0:
                break
            self._poll()
        if role.pid:
            self._log(f"the {name} did not end within {STOP_PATIENCE_S.get(name, SIDE_PATIENCE_S):.0f} s; it is killed")
            self._kill(role)

    def abandon(self) -> None:
        """Kills what runs: the start did not succeed. Nothing acknowledged is lost, shared memory stays."""
        for role in self._roles.values():
            if role.pid:
                self._kill(role)

    def _kill(self, role: _Role) -> None:
        os.kill(role.pid, signal.SIGKILL)
        os.waitpid(role.pid, 0)
        role.pid = 0

    def pids(self) -> dict[str, int]:
        pids = {
            name: role.pid for name, role in self._roles.items() if role.pid or (name == "engine" and self._together)
        }
        if self._together:
            pids["engine"] = pids["gateway"]
        return {"supervisor": os.getpid(), **pids}

    def close(self) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._selector.close()
        doors = [self._doors] if self._doors >= 0 else []
        for fd in (self._wake_read, self._wake_write, self._plan.doors, *doors, *self._pipes()):
            os.close(fd)
