"""What `matchmark load locust` gives to locust: the users, a load shape, and exact percentiles over all processes.

Own users and shapes: a locustfile of one's own that imports them, `from matchmark.load.fix_user import OpenFixUser`, and this
module for its listeners. Which users run is locust's to say: class names behind the flags, or --tags open, closed, market-data.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from pathlib import Path
from typing import Any

import gevent
from locust import LoadTestShape, events
from locust.runners import MasterRunner, WorkerRunner

from matchmark.load import fix_user, market_data_user, swarm
from matchmark.load.latency import write_log
from matchmark.load.swarm_stats import KEY, Union

FORKED = "MATCHMARK_SWARM_FORKED"
"""Environment variable: workers are processes of this machine (--processes), and the file is the master's alone."""
LAST_CALL, LAST = "matchmark_last_call", "matchmark_last"
LAST_S = 30.0
"""The master waits so long for the last reports."""
union = Union()
_own: list[dict[str, Any]] = []
"""What this worker has sent to its master, kept where its own latencies are asked for too."""
_began = time.time()
_last: set[str] = set()
"""Workers whose last report has come."""
if swarm.here():
    swarm.pieces()  # before the clock of --run-time goes, and before --processes forks: it takes a second


class ClosedFixUser(fix_user.ClosedFixUser):
    weight = 1


class OpenFixUser(fix_user.OpenFixUser):
    weight = 1


class MarketDataUser(market_data_user.MarketDataUser):
    weight = 1


if os.environ.get("MATCHMARK_SHAPE"):

    class Stages(LoadTestShape):
        """MATCHMARK_SHAPE="10:4,20:16,30:4": until second 10 with 4 users, until 20 with 16, until 30 with 4."""

        stages = tuple(
            (float(until), int(users))
            for until, _, users in (part.partition(":") for part in os.environ["MATCHMARK_SHAPE"].split(","))
        )

        def tick(self) -> tuple[int, float] | None:
            now = self.get_run_time()
            return next(((users, float(max(users, 1))) for until, users in self.stages if now < until), None)


@events.init_command_line_parser.add_listener
def _flags(parser: Any) -> None:
    parser.add_argument("--fix-rate", type=float, default=2_000.0, help="orders a second of an OpenFixUser")
    parser.add_argument("--fix-window", type=int, default=64, help="orders of a ClosedFixUser without an answer")


def _take_options(environment: Any) -> None:
    """A worker has its master's when the test starts."""
    options = environment.parsed_options
    if options is not None:
        fix_user.FixUser.rate, fix_user.FixUser.window = options.fix_rate, options.fix_window


@events.init.add_listener
def _init(environment: Any, **_: Any) -> None:
    _take_options(environment)
    runner = environment.runner
    if isinstance(runner, MasterRunner):
        runner.register_message(LAST, lambda environment, msg: _last.add(msg.node_id))
    elif isinstance(runner, WorkerRunner):
        runner.register_message(LAST_CALL, _say_last)

    @events.quit.add_listener
    def _quit(exit_code: int, **_: Any) -> None:
        out = os.environ.get("MATCHMARK_LATENCY_OUT")
        if isinstance(environment.runner, WorkerRunner):
            if out and not os.environ.get(FORKED):
                for said in _own:
                    union.add("own", said)
                write_log(Path(out), union.histograms, _began, time.time() - _began)
            return
        union.add("local", swarm.recorder.take())
        if not union.histograms:
            return
        print(union.table(), file=sys.stderr, flush=True)
        if isinstance(environment.runner, MasterRunner):
            print(f"merged from {len(union.reports) - 1} workers", file=sys.stderr, flush=True)
        if out:
            write_log(Path(out), union.histograms, _began, time.time() - _began)


@events.test_start.add_listener
def _start(environment: Any, **_: Any) -> None:
    _take_options(environment)
    if not isinstance(environment.runner, MasterRunner):
        swarm.pieces()  # drawn before anybody fires
        gc.freeze()  # the collector would look through them again and again, for milliseconds


def _say_last(environment: Any, msg: Any) -> None:
    """In a worker: stops its users, and reports what they measured to their end."""
    runner = environment.runner
    runner.stop()
    data: dict[str, Any] = {}
    environment.events.report_to_master.fire(client_id=runner.client_id, data=data)
    runner.send_message("stats", data)
    runner.send_message(LAST)


@events.test_stop.add_listener
def _stop(environment: Any, **_: Any) -> None:
    """In the master: locust's own waits half a second for last reports, and a user may drain its answers for two."""
    runner = environment.runner
    if not isinstance(runner, MasterRunner):
        return
    _last.clear()
    runner.send_message(LAST_CALL)
    until = time.monotonic() + LAST_S
    while (left := {client.id for client in runner.clients.all} - _last) and time.monotonic() < until:
        gevent.sleep(0.02)
    if left:
        print(f"warning: {len(left)} workers sent no last report: what they measured last is missing", file=sys.stderr)


@events.quitting.add_listener
def _quitting(environment: Any, **_: Any) -> None:
    runner = environment.runner
    if not isinstance(runner, WorkerRunner) and environment.process_exit_code is None and not runner.stats.num_requests:
        print("nothing was sent: that is no success", file=sys.stderr)
        environment.process_exit_code = 1


@events.report_to_master.add_listener
def _report(client_id: str, data: dict[str, Any]) -> None:
    data[KEY] = said = swarm.recorder.take()
    if os.environ.get("MATCHMARK_LATENCY_OUT") and not os.environ.get(FORKED):
        _own.append(said)


@events.worker_report.add_listener
def _take(client_id: str, data: dict[str, Any]) -> None:
    if said := data.pop(KEY, None):
        union.add(client_id, said)
