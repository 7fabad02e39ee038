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

from locust import LoadTestShape, events
from locust.runners import MasterRunner, WorkerRunner

from matchmark.load import fix_user, market_data_user, swarm
from matchmark.load.latency import write_log
from matchmark.load.swarm_stats import KEY, Union

FORKED = "MATCHMARK_SWARM_FORKED"
"""Environment variable: workers are processes of this machine (--processes), and the file is the master's alone."""
union = Union()
_own: list[dict[str, Any]] = []
"""What this worker has sent to its master, kept where its own latencies are asked for too."""
_began = time.time()


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


@events.report_to_master.add_listener
def _report(client_id: str, data: dict[str, Any]) -> None:
    data[KEY] = said = swarm.recorder.take()
    if os.environ.get("MATCHMARK_LATENCY_OUT") and not os.environ.get(FORKED):
        _own.append(said)


@events.worker_report.add_listener
def _take(client_id: str, data: dict[str, Any]) -> None:
    if said := data.pop(KEY, None):
        union.add(client_id, said)
