"""Diagram 10, steps 3 to 7: the writer stands still for a while, then takes what has piled up as fast as it and the disk can.

How fast that is, is measured (D10.P2) beside the same writes without an exchange, on the same disk at the same time.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from matchmark.conformance.checks.audit_ledger import Breach
from matchmark.conformance.hooks import Instance, waited
from matchmark.conformance.lab import Lab
from matchmark.conformance.lab_fixtures import violate
from matchmark.conformance.plugin import CERTIFICATION
from matchmark.conformance.suites._durability import Desk, read_steps

pytestmark = pytest.mark.needs("audit_log", "async_durability")

ORDERS, BURST = 10_000, 200
RECORD_BYTES, BATCH = 272, 1000
BUDGET_NS = 1000
"""Of a record, where there are 1,000,000 a second."""
WAIT_S = 60.0


@pytest.mark.clause("D10.4")
def test_what_piled_up_while_the_writer_stood_still_gets_to_the_disk(lab: Lab, request: pytest.FixtureRequest) -> None:
    as_run = Instance(
        lab.instance.hooks, lab.instance.places, lab.instance.out.parent
    )  # not with the lab's small rings
    as_run.mark, lab.instance = lab.instance.mark, as_run
    lab.start()
    desk = Desk(lab, lab.accounts[0])
    desk.order("buy", 1, -3)
    writer = lab.instance.pid_of("writer")
    os.kill(writer, signal.SIGSTOP)
    try:
        acknowledged = [cl for _ in range(ORDERS // BURST) for cl in burst(desk)]
        behind = int(lab.status().get("durable_sequence", 0))
    finally:
        began = time.perf_counter_ns()
        os.kill(writer, signal.SIGCONT)
    caught_up = "durable_sequence" in lab.status() and waited(lambda: on_disk(lab), WAIT_S, 0.0005)
    took_ns = time.perf_counter_ns() - began
    records = int(lab.status().get("durable_sequence", 0)) - behind
    if caught_up and records > 0:
        alone_ns = written_alone(lab.folder / "beside", records)
        each, best = took_ns // records, max(BUDGET_NS, alone_ns // records)
        figures = dict.fromkeys(("p50_ns", "p99_ns", "p999_ns", "max_ns"), each)
        stage = "D10.P2 record through the writer"
        request.config.stash[CERTIFICATION].emit("latency", stage=stage, count=records, **figures, budget_ns=best)
    lab.wait_logged(set(acknowledged[-1:]))
    lost = sorted(set(acknowledged) - {step.cl for step in read_steps(lab)[1]})
    if lost:
        text = f"the writer stood still and went on, and {len(lost)} acknowledged orders did not reach the log"
        violate(lab, Breach("D10.4", text, tuple(lost[:5]), (), frozenset(lost[:5])))


def burst(desk: Desk) -> list[str]:
    """Orders that rest, each answered: what was acknowledged. Fewer when a full queue makes them wait."""
    sent = [desk.order("buy", 1, -3, wait=False) for _ in range(BURST)]
    desk.answer(sent[-1])
    return sent


def on_disk(lab: Lab) -> bool:
    status = lab.status()
    return bool(status) and status.get("durable_sequence") == status.get("sequence")


def written_alone(path: Path, records: int) -> int:
    """How long the disk takes for the same bytes in the same batches, in a file that has its space; ns."""
    batch = bytes(range(256)) * (RECORD_BYTES * BATCH // 256)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(file, 0, records * RECORD_BYTES)
        os.fsync(file)
        began = time.perf_counter_ns()
        for first in range(0, records, BATCH):
            os.pwrite(file, batch[: min(BATCH, records - first) * RECORD_BYTES], first * RECORD_BYTES)
            os.fdatasync(file)
        return time.perf_counter_ns() - began
    finally:
        os.close(file)
        path.unlink()
