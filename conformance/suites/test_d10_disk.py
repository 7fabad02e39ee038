"""Diagram 10 and 1: the disk under a running exchange stalls, fails, fills up or becomes read-only.

Async acknowledges without waiting for the disk until its queue is full. Whatever the mode, nothing is acknowledged without a
record that will be there: after the first failed write or flush, and on a disk that takes no more, orders are refused.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import pytest

from matchmark.chaos.faults.disk_error import DiskError
from matchmark.chaos.faults.disk_full import DiskFull
from matchmark.chaos.faults.disk_read_only import DiskReadOnly
from matchmark.chaos.faults.disk_short import DiskShort
from matchmark.chaos.faults.fault import Fault
from matchmark.conformance.checks import audit_ledger as ledgers
from matchmark.conformance.checks.audit_calls import Call
from matchmark.conformance.checks.audit_ledger import Breach
from matchmark.conformance.fix.message import FixError
from matchmark.conformance.hooks import HookFailed, StartRefused, waited
from matchmark.conformance.lab import Lab
from matchmark.conformance.lab_fixtures import MakeLab, judge, violate
from matchmark.conformance.suites._durability import Desk, read_steps

pytestmark = pytest.mark.needs("audit_log")

STALL_S = 600.0
"""Until it is healed: no test waits for it."""
UNDER_STALL = 100
PATIENCE_S = 10.0
FLOOD = 40_000
FLOOD_BURST = 200
KILLED_WITHIN_S = 1.0
QUEUE_FULL_S = 3.0
"""No order was answered for so long: the queue is full, and orders wait."""


@pytest.mark.clause("D10.N1", "D10.3", "D01.N1", "D01.7", "D10.2")
@pytest.mark.needs("async_durability")
def test_in_mode_async_a_stalled_disk_holds_nobody_up_until_the_queue_is_full(disk_lab: Lab) -> None:
    lab = disk_lab
    lab.start()
    assert lab.disk
    desk = Desk(lab, lab.accounts[0])
    desk.order("buy", 1, -3)
    lab.disk.stall(STALL_S, lab.disk.place(lab.log_dir))
    sent = [desk.order("buy", 1, -3, wait=False) for _ in range(UNDER_STALL)]
    if not _acknowledged(lab, desk, sent, PATIENCE_S):
        held = [cl for cl in sent if cl not in lab.ledger.acknowledged]
        text = f"the disk stalls, and {len(held)} of {len(sent)} orders are not acknowledged within {PATIENCE_S:g} s"
        due, about = ("an acknowledgement that does not wait for the disk",), frozenset(held[:3])
        judge(lab, [Breach(clause, text, due, (), about) for clause in ("D10.N1", "D10.3", "D01.N1", "D01.7")])
    _flood(lab, desk)
    lab.disk.heal()
    _settle(desk)
    acknowledged = set(lab.ledger.acknowledged)
    lab.wait_logged(acknowledged)
    lab.stop()
    _, logged, faults = read_steps(lab)
    judge(lab, faults)
    clauses = ("D10.N1", "D01.N1", "D10.2")
    judge(lab, chain(*(ledgers.nothing_lost(lab.ledger, logged, clause, "the disk had stalled") for clause in clauses)))
    judge(lab, ledgers.nothing_twice(lab.ledger, logged, "D10.2"), ledgers.no_hole(lab.ledger, logged, "D10.2"))


def _acknowledged(lab: Lab, desk: Desk, sent: list[str], timeout_s: float) -> bool:
    def all_of_them() -> bool:
        desk.client.poll(0.05)
        return set(sent) <= set(lab.ledger.acknowledged)

    return waited(all_of_them, timeout_s)


def _flood(lab: Lab, desk: Desk) -> None:
    """Orders until none is answered for a while: the queue to the writer is full. What is said then is judged by the log."""
    answered_at, count = time.monotonic(), 0
    while time.monotonic() - answered_at < QUEUE_FULL_S and count < FLOOD:
        if time.monotonic() - answered_at < 0.2:
            for _ in range(FLOOD_BURST):
                desk.order("buy", 1, -3, wait=False)
            count += FLOOD_BURST
        messages = desk.client.poll(0.05)
        if any(m.type == "8" and m.get(150) == "8" for m in messages):
            return  # refused: that is a full queue too
        if messages:
            answered_at = time.monotonic()


def _settle(desk: Desk) -> None:
    quiet = 0
    while quiet < 3 and desk.client.connected:
        quiet = 0 if desk.client.poll(0.3) else quiet + 1


@pytest.mark.clause("D10.X1", "D06.X4")
@pytest.mark.needs("async_durability", "restart")
def test_what_was_not_written_yet_when_everything_was_killed_is_not_lost(disk_lab: Lab) -> None:
    """The disk stalls, so that the records are in memory only when the kill comes; the memory is there at the restart."""
    lab = disk_lab
    lab.start()
    assert lab.disk
    desk = Desk(lab, lab.accounts[0])
    desk.order("buy", 1, -3)
    lab.disk.stall(STALL_S, lab.disk.place(lab.log_dir))
    sent = [desk.order("buy", 1, -3, wait=False) for _ in range(UNDER_STALL)]
    _acknowledged(lab, desk, sent, PATIENCE_S)
    end_of_stall = threading.Timer(KILLED_WITHIN_S, lab.disk.heal)
    end_of_stall.start()  # a writer that waits for the disk is not gone before its call is
    lab.kill("all")
    end_of_stall.join()
    lab.restart()
    lab.wait_logged(set(lab.ledger.acknowledged), PATIENCE_S)
    _, logged, faults = read_steps(lab)
    fault = "everything was killed while the disk had stalled"
    judge(lab, faults)
    judge(lab, chain(*(ledgers.nothing_lost(lab.ledger, logged, clause, fault) for clause in ("D10.X1", "D06.X4"))))


# --- a failing disk ---


@pytest.mark.clause("D10.X4")
@pytest.mark.parametrize("kind", ["fsync", "write"])
def test_the_first_failed_call_ends_all_acknowledgement_and_is_not_tried_again(disk_lab: Lab, kind: str) -> None:
    lab = disk_lab
    lab.start()
    assert lab.disk
    under = lab.disk.place(lab.log_dir)
    desk = Desk(lab, lab.accounts[0])
    kept = [desk.order("buy", 1, -3) for _ in range(5)]
    lab.wait_logged(set(kept))
    DiskError(lab.disk, "fsync" if kind == "fsync" else "write", under, times=1).inject()
    failed = _orders_until(desk, lambda: _failed_at(lab, kind, under) > 0)
    failed_ns = _failed_at(lab, kind, under)
    if not failed_ns:
        violate(lab, Breach("D10.X4", f"{len(failed)} orders were sent and no {kind} of the log was ever called"))
    first = _probe(desk)  # in async it may be decided before the writer has had the time to say what it was told
    probes = [_probe(desk)] + ([] if "async_durability" in lab.profile.info.capabilities else [first])
    lab.disk.heal()
    probes += [_probe(desk) for _ in range(3)]
    _settle(desk)
    judge(lab, _after_failure(lab, kind, under, failed_ns, probes))
    _after_repair(lab, "D10.X4")


def _orders_until(desk: Desk, done: Callable[[], bool]) -> list[str]:
    sent: list[str] = []
    for _ in range(200):
        if done() or not desk.client.connected:
            break
        sent.append(desk.order("buy", 1, -3, wait=False))
        desk.client.poll(0.02)
    return sent


def _probe(desk: Desk) -> str:
    """One more order, and time enough for an answer, if there is to be one."""
    cl = desk.cl()
    try:
        desk.order("buy", 1, -3, cl=cl, wait=False)
        desk.answer(cl, 0.5)
    except FixError:
        pass
    return cl


def _failed_at(lab: Lab, kind: str, under: str) -> int:
    """When the first call of the log failed, CLOCK_MONOTONIC; 0 when none has."""
    return next((c.ended_ns for c in _calls(lab, under) if c.kind == kind and c.error), 0)


def _calls(lab: Lab, under: str) -> list[Any]:
    assert lab.disk
    return [call for call in lab.disk.journal() if call.path.startswith(under)]


def _after_failure(lab: Lab, kind: str, under: str, failed_ns: int, probes: list[str]) -> Iterator[Breach]:
    entries = lab.ledger.entries
    taken = [cl for cl in probes if cl in entries and entries[cl].acknowledged]
    if taken:
        text = f"a {kind} of the log had failed, and {taken[0]}, sent after it, was acknowledged"
        yield Breach("D10.X4", text, ("a refusal, or no answer",), ("an acknowledgement",), frozenset(taken))
    again = [c for c in _calls(lab, under) if c.started_ns > failed_ns and _touches_log(c, kind)]
    if again:
        text = f"the {kind} of the log failed, and then it was called again: {again[0].kind} at byte {again[0].offset}"
        yield Breach("D10.X4", text, ("no further call",), tuple(f"{c.kind} {c.path}" for c in again[:3]))


def _touches_log(call: Call, kind: str) -> bool:
    name = call.path.rsplit("/", 1)[-1]
    return name.startswith("audit-") and (call.kind == kind or call.kind == "fsync")


def _after_repair(lab: Lab, clause: str) -> None:
    """The disk is well again and the exchange is started anew: what had been acknowledged is there."""
    lab.close_clients()
    lab.instance.stop()
    try:
        lab.restart()
    except HookFailed as error:
        violate(lab, Breach(clause, f"after the disk was repaired the exchange does not start again: {error}"))
    ledger = lab.ledger
    lab.wait_logged(set(ledger.acknowledged), 5.0)
    desk = Desk(lab, lab.accounts[1])
    lab.wait_logged({desk.order("buy", 1, -3)})
    _, logged, faults = read_steps(lab)
    judge(lab, faults, ledgers.nothing_lost(ledger, logged, clause, "the disk had failed and was repaired"))


@pytest.mark.clause("D10.6")
def test_a_short_write_leaves_no_hole(disk_lab: Lab) -> None:
    lab = disk_lab
    lab.start()
    assert lab.disk
    desk = Desk(lab, lab.accounts[0])
    desk.order("buy", 1, -3)
    DiskShort(lab.disk, lab.disk.place(lab.log_dir), times=3).inject()
    for _ in range(20):
        desk.order("buy", 1, -3, wait=False)
    _settle(desk)
    lab.disk.heal()
    acknowledged = set(lab.ledger.acknowledged)
    lab.close_clients()
    lab.instance.stop()
    lab.restart()
    lab.wait_logged(acknowledged, 5.0)
    _, logged, faults = read_steps(lab)
    judge(lab, (Breach("D10.6", b.message, b.expected) for b in faults))
    judge(lab, ledgers.nothing_lost(lab.ledger, logged, "D10.6", "writes had been cut short"))


# --- a disk that takes no more ---


@pytest.mark.clause("D10.X10")
@pytest.mark.parametrize("fault", [DiskFull, DiskReadOnly], ids=["full", "read-only"])
def test_on_a_disk_that_takes_no_more_orders_are_refused_and_what_was_acknowledged_is_kept(
    disk_lab: Lab, fault: Callable[..., Fault]
) -> None:
    lab = disk_lab
    lab.start()
    assert lab.disk
    desk = Desk(lab, lab.accounts[0])
    desk.order("buy", 1, -3)
    fault(lab.disk).inject()
    refusal = _fill_until_refused(desk)
    if refusal is None:
        violate(
            lab,
            Breach(
                "D10.X10", f"{FLOOD} orders were taken on a disk that takes nothing more", ("a refusal with a reason",)
            ),
        )
    if refusal == "":
        violate(
            lab,
            Breach(
                "D10.X10", "on a disk that takes nothing more orders are refused without a reason", ("58=..",), ("",)
            ),
        )
    taken = [cl for cl in (_probe(desk) for _ in range(3)) if cl in lab.ledger.acknowledged]
    if taken:
        violate(
            lab,
            Breach(
                "D10.X10", "an order was acknowledged after another was refused for the disk", about=frozenset(taken)
            ),
        )
    if fault is DiskFull and not lab.wait_logged(set(lab.ledger.acknowledged), PATIENCE_S):
        missing = ledgers.lost(lab.ledger, read_steps(lab)[1])
        text = (
            f"the disk is full, and {len(missing)} acknowledged orders do not get to the log: no room was kept for them"
        )
        violate(lab, Breach("D10.X10", text, about=frozenset(e.request.cl for e in missing[:3])))
    lab.disk.heal()
    _after_repair(lab, "D10.X10")


def _fill_until_refused(desk: Desk) -> str | None:
    """The text of the first refusal; None when there is none; what is only not answered counts as refused for no reason."""
    silent = 0
    for _ in range(FLOOD // FLOOD_BURST):
        for _ in range(FLOOD_BURST):
            if desk.client.connected:
                desk.order("buy", 1, -3, tif="ioc", wait=False)
        got = 0
        until = time.monotonic() + PATIENCE_S
        while got < FLOOD_BURST and time.monotonic() < until and desk.client.connected:
            for m in desk.client.poll(0.1):
                got += m.type == "8" and m.get(150) == "0"
                if m.type in "8j" and m.get(150, "8") == "8":
                    return m.get(58) or ""
        silent = silent + 1 if not got else 0
        if silent > 1 or not desk.client.connected:
            return ""
    return None


@pytest.mark.clause("D10.X10")
@pytest.mark.parametrize("fault", [DiskFull, DiskReadOnly], ids=["full", "read-only"])
def test_a_start_on_a_disk_that_takes_nothing_is_refused_with_a_reason_or_refuses_orders(
    make_lab: MakeLab, fault: Callable[..., Fault]
) -> None:
    lab = make_lab(on_disk=True)
    assert lab.disk
    fault(lab.disk).inject()
    try:
        lab.instance.start()
    except StartRefused as refused:
        if not refused.said.strip():
            violate(
                lab,
                Breach("D10.X10", "a start on a disk that takes nothing fails without a word", ("a reason",), ("",)),
            )
        return
    cl = _probe(Desk(lab, lab.accounts[0]))
    if cl in lab.ledger.acknowledged:
        violate(
            lab, Breach("D10.X10", "an order was acknowledged on a disk that takes nothing", about=frozenset((cl,)))
        )
