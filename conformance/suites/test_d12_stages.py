"""Diagram 12, its times: how long orders take from the frame in memory to the order queue, over the poll-mode port and over
the kernel's stack, in one run. Measured and printed. The total is judged where the profile asks for a timing grade; the
comparison never is."""

from __future__ import annotations

from typing import Any

import pytest

from matchmark.conformance.plugin import CERTIFICATION
from matchmark.conformance.suites._wire import WireStage
from matchmark.conformance.timing import Measured, way_rows
from matchmark.conformance.verdict import Verdict
from matchmark.conformance.wire_fixtures import MakeWire
from matchmark.conformance.wire_venue import WireVenue

pytestmark = pytest.mark.needs("fix", "raw_frames", "stage_times")

ORDERS = 300
"""One after the other, so that none waits for another."""
Rows = dict[str, dict[str, Any]]


def _measure(wire: WireVenue) -> Rows:
    """Stages of the orders, by step; none: the target has none for such orders."""
    with WireStage(wire, "D12.A1", "orders whose stages are measured") as s:
        client = s.peer()
        for _ in range(ORDERS):
            s.exchange(client, 1)
    return {row["stage"].partition(" ")[0]: row for row in way_rows(wire)}


def _said(row: dict[str, Any]) -> str:
    return f"{row['p50_ns'] / 1000:.2f} us (p50 of {row['count']}), {row['p99_ns'] / 1000:.2f} us (p99)"


def _note(request: pytest.FixtureRequest, text: str) -> None:
    request.config.stash[CERTIFICATION].note(request.node, Verdict.PASS, f"measured: {text}")


@pytest.mark.clause("D12.A1", "D12.A3", "D12.A4", "D12.A5", "D12.A6")
def test_the_kernels_stack_is_measured_stage_by_stage(
    request: pytest.FixtureRequest, make_wire: MakeWire, measured: Measured
) -> None:
    rows = _measure(make_wire("kernel"))
    if not {"D12.A3", "D12.A4", "D12.A5", "D12.A6"} <= rows.keys():
        pytest.skip(f"the target stamps no stages of this way: {sorted(rows)}")
    measured.add_rows(rows.values())
    _note(
        request,
        f"from the segment in the kernel to the order queue {_said(rows['D12.A6'])}; threads sleep between orders",
    )


@pytest.mark.clause("D12.A2")
def test_being_woken_is_shown_by_one_run_that_blocks_and_one_that_polls(
    request: pytest.FixtureRequest, make_wire: MakeWire, measured: Measured
) -> None:
    found = {}
    for wait, how in (("sleep", "blocking"), ("spin", "polling")):
        wire = make_wire("kernel", wait=wait)
        row = _measure(wire).get("D12.A3")
        wire.close()
        if row is None:
            pytest.skip("the target stamps no stages of this way")
        found[how] = row
        measured.add_rows(
            [{**row, "stage": f"D12.A2 kernel: segment until its bytes can be read, {how}", "budget_ns": None}]
        )
    _note(request, ", ".join(f"{how} {_said(row)}" for how, row in found.items()))


@pytest.mark.clause("D12.N1")
@pytest.mark.needs("dpdk")
def test_both_ways_are_measured_in_one_run_with_their_ratio(
    request: pytest.FixtureRequest, make_wire: MakeWire, measured: Measured
) -> None:
    kernel = make_wire("kernel")
    slow = _measure(kernel).get("D12.A6")
    kernel.close()
    rows = _measure(make_wire("dpdk"))
    fast = rows.get("D12.8")
    if fast is None or slow is None:
        pytest.skip("the target stamps no stages of this way")
    measured.add_rows(rows.values())
    ratio = slow["p50_ns"] / max(1, fast["p50_ns"])
    _note(
        request,
        f"poll-mode port {_said(fast)}, kernel's stack {_said(slow)}: {ratio:.1f} times at p50. The kernel's begins when the "
        "segment is in its memory and has the wake-up in it, the port's when its burst was polled; threads sleep between orders",
    )
