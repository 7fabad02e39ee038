"""Diagram 10, steps 7 and 8: the power goes. Everything is killed at once, memory is wiped, and of what the disk had not
flushed nothing is left, or a part that the seed picks. The same data is then started again.

What may be missing depends on the mode (ruling R8): nothing in fsync; in async what was decided in the last 10 ms.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from matchmark.chaos.faults.disk_state import Keep
from matchmark.conformance.checks import audit_ledger as ledgers
from matchmark.conformance.checks.audit_calls import is_record_write, pieces
from matchmark.conformance.checks.audit_ledger import Breach
from matchmark.conformance.checks.audit_steps import Step
from matchmark.conformance.checks.audit_structure import AuditLog
from matchmark.conformance.hiccups import Hiccups
from matchmark.conformance.hooks import HookFailed, StartRefused, waited
from matchmark.conformance.lab import Lab
from matchmark.conformance.lab_fixtures import MakeLab, judge, violate
from matchmark.conformance.lab_load import Load
from matchmark.conformance.ledger import Entry, Ledger
from matchmark.conformance.plugin import CERTIFICATION
from matchmark.conformance.suites._durability import (
    AFTER_A_CRASH,
    Desk,
    instruments,
    read_steps,
    structure,
)
from matchmark.conformance.verdict import Verdict

pytestmark = pytest.mark.needs("audit_log", "power_cut")

WINDOW_NS = 10_000_000
"""What mode async may lose to a power cut, by ruling R8."""
KEEPS = (Keep.NOTHING, Keep.TORN, Keep.REORDERED, Keep.PREFIX)
EXAMPLES_PER_CUT = 300
LOAD = 60
TRIES = 4
"""How often a cut is made again when this machine had stopped for a while just before it."""


@dataclass
class Cut:
    """One power cut and what came after it. `log` is what the restart found, before any client was back."""

    cut_ns: int
    ledger: Ledger
    log: AuditLog
    steps: list[Step]
    missing: list[Entry]
    said: dict[str, Any] | None
    """What the readiness line of the restart says of what may be missing."""
    quiet: bool
    """Whether this machine ran without a break in the time before the cut that matters."""
    disk_busy_ns: int
    """How long the disk itself was at work on the log since the first missing order was acknowledged."""


def cuts_of(request: pytest.FixtureRequest) -> int:
    return 1 + int(request.config.getoption("--examples")) // EXAMPLES_PER_CUT


def cut_under_load(lab: Lab, keep: Keep, seed: str, prefix: str) -> Cut:
    """Load on three sessions, the cut at a moment that the seed picks, a restart, and the log as it is then."""
    chance = random.Random(seed)
    with Hiccups() as hiccups, Load(lab, lab.accounts[:3], prefix) as load:
        load.wait_sent(chance.randint(LOAD // 2, 2 * LOAD))
        time.sleep(chance.uniform(0, 0.01))
        cut_ns = lab.power_cut(keep, seed)
        load.stop()
    calls = lab.disk.journal() if lab.disk else []
    lab.restart()
    ledger, (log, logged, _) = lab.ledger, read_steps(lab)
    missing = ledgers.lost(ledger, logged)
    since = min((e.acknowledged_ns for e in missing), default=cut_ns)
    busy = sum(
        min(c.ended_ns, cut_ns) - max(c.started_ns, since)
        for c in calls
        if c.started_ns < cut_ns and c.ended_ns > since
    )
    quiet = hiccups.longest_ns(since - WINDOW_NS, cut_ns) < WINDOW_NS // 4
    return Cut(cut_ns, ledger, log, logged, missing, _stated(lab), quiet, busy)


def _stated(lab: Lab) -> dict[str, Any] | None:
    recovered = lab.ready.get("recovered") or lab.status().get("recovered") or {}
    missing = recovered.get("may_be_missing")
    return dict(missing) if missing else None


def restart_or(lab: Lab, clause: str) -> None:
    try:
        lab.restart()
    except (StartRefused, HookFailed) as error:
        violate(lab, Breach(clause, f"after a power cut the exchange does not start again: {error}"))


# --- mode fsync ---


@pytest.mark.clause("D10.X8", "D10.X2", "D10.7", "D06.X4")
@pytest.mark.needs("fsync_durability")
@pytest.mark.parametrize("keep", KEEPS, ids=[str(k) for k in KEEPS])
def test_in_mode_fsync_a_power_cut_loses_nothing_acknowledged(
    disk_lab: Lab, keep: Keep, request: pytest.FixtureRequest
) -> None:
    lab = disk_lab
    lab.start()
    for n in range(cuts_of(request)):
        cut = cut_under_load(lab, keep, f"{_seed(request)} {n}", f"{keep}{n}-")
        judge(
            lab,
            structure(cut.log, AFTER_A_CRASH),
            ledgers.nothing_lost(cut.ledger, cut.steps, "D10.X8", "the power was cut"),
            ledgers.nothing_lost(cut.ledger, cut.steps, "D06.X4", "the power was cut"),
            ledgers.nothing_invented(cut.ledger, cut.steps, "D06.X4"),
            ledgers.no_hole(cut.ledger, cut.steps, "D10.X2"),
            ledgers.told_as_logged(cut.ledger, cut.steps, instruments(lab), "D10.7", complete=False),
        )


# --- mode async ---


@pytest.mark.clause("D10.N2", "D01.N2", "D10.X2", "D10.X3", "D06.X4")
@pytest.mark.needs("async_durability")
@pytest.mark.parametrize("keep", KEEPS, ids=[str(k) for k in KEEPS])
def test_in_mode_async_a_power_cut_takes_the_last_ten_milliseconds_and_the_restart_says_so(
    disk_lab: Lab, keep: Keep, request: pytest.FixtureRequest
) -> None:
    lab = disk_lab
    lab.start()
    noisy = 0
    for n in range(cuts_of(request) + TRIES):
        cut = cut_under_load(lab, keep, f"{_seed(request)} {n}", f"{keep}{n}-")
        judge(
            lab,
            structure(cut.log, AFTER_A_CRASH),
            ledgers.no_hole(cut.ledger, cut.steps, "D10.X2"),
            ledgers.nothing_invented(cut.ledger, cut.steps, "D06.X4"),
            ledgers.nothing_twice(cut.ledger, cut.steps, "D06.X4"),
            _announced(cut),
        )
        if too_old := list(_too_old(cut)):
            if cut.quiet:
                judge(lab, too_old)
            noisy += 1
        if n + 1 - noisy >= cuts_of(request):
            return
    _inconclusive(
        request,
        f"in {noisy} cuts more than 10 ms were missing while this machine had stopped for some of them: too busy",
    )


def _too_old(cut: Cut) -> Iterator[Breach]:
    """Breaches when something is missing that was acknowledged more than the window before the cut, the disk's own time apart."""
    allowed = WINDOW_NS + cut.disk_busy_ns
    old = [e for e in cut.missing if cut.cut_ns - e.acknowledged_ns > allowed]
    for clause in ("D10.N2", "D01.N2") if old else ():
        oldest = min(old, key=lambda e: e.acknowledged_ns)
        age_ms = (cut.cut_ns - oldest.acknowledged_ns) / 1e6
        yield Breach(
            clause,
            f"of the {len(cut.missing)} orders that the power cut took one had been acknowledged {age_ms:.1f} ms before it",
            (f"at most 10 ms, and {cut.disk_busy_ns / 1e6:.1f} ms that the disk was at work",),
            (f"{age_ms:.1f} ms",),
            frozenset((oldest.request.cl,)),
        )


def _announced(cut: Cut) -> Iterator[Breach]:
    """The restart states a bound; what is missing lies within it."""
    about = frozenset(e.request.cl for e in cut.missing[:3])
    if cut.said is None:
        yield Breach(
            "D10.X3", "after a power cut the restart does not say that acknowledged orders may be missing",
            ('"recovered": {"may_be_missing": {"last_ms": .., "commands": ..}} in the readiness line',), (), about,
        )  # fmt: skip
        return
    commands, last_ms = cut.said.get("commands"), cut.said.get("last_ms")
    if commands is None and last_ms is None:
        yield Breach(
            "D10.X3",
            "the restart states neither how many commands nor how much time may be missing",
            (),
            (str(cut.said),),
        )
    if commands is not None and len(cut.missing) > commands:
        yield Breach(
            "D10.X3", f"{len(cut.missing)} are missing, stated were at most {commands}", (), (str(cut.said),), about
        )
    if last_ms is not None and cut.quiet:
        allowed = last_ms * 1e6 + cut.disk_busy_ns
        old = [e for e in cut.missing if cut.cut_ns - e.acknowledged_ns > allowed]
        if old:
            yield Breach(
                "D10.X3",
                f"{len(old)} that are missing are older than the stated {last_ms} ms",
                (),
                (str(cut.said),),
                about,
            )


@pytest.mark.clause("D10.X3")
@pytest.mark.needs("async_durability")
def test_what_a_stalled_disk_kept_back_is_within_what_the_restart_states(disk_lab: Lab) -> None:
    """The disk takes nothing for a while, then the power goes: more is missing, and the statement must hold even so."""
    lab = disk_lab
    lab.start()
    assert lab.disk
    desk = Desk(lab, lab.accounts[0])
    desk.order("buy", 1, -3)
    lab.disk.stall(600.0, lab.disk.place(lab.log_dir))
    sent = [desk.order("buy", 1, -3, wait=False) for _ in range(300)]
    waited(lambda: bool(desk.client.poll(0.05)) and sent[-1] in lab.ledger.acknowledged, 5.0)
    lab.power_cut()
    restart_or(lab, "D10.X3")
    missing = ledgers.lost(lab.ledger, read_steps(lab)[1])
    said = _stated(lab) or {}
    if missing and said.get("commands", -1) < len(missing):
        text = f"the disk had stalled and {len(missing)} acknowledged orders are missing: more than the restart states"
        violate(lab, Breach("D10.X3", text, (f'"commands" of at least {len(missing)}',), (str(said),)))


# --- any mode ---


@pytest.mark.clause("D10.7")
def test_after_a_power_cut_the_log_has_all_that_a_flush_had_confirmed(disk_lab: Lab) -> None:
    lab = disk_lab
    lab.start()
    assert lab.disk
    with Load(lab, lab.accounts[:3], "flush-") as load:
        load.wait_sent(2 * LOAD)
        lab.power_cut()
        load.stop()
    under = lab.disk.place(lab.log_dir)
    calls = [call for call in lab.disk.journal() if call.path.startswith(under)]
    files = dict(lab.log_files())
    for piece in pieces(calls):
        name = piece.path.rsplit("/", 1)[-1]
        if piece.flushed_ns and not any(files.get(name, b"")[piece.begin : piece.end]):
            violate(
                lab,
                Breach("D10.7", f"{name}: bytes {piece.begin} to {piece.end} were flushed and are not there", (), ()),
            )
    if not any(is_record_write(call) for call in calls):
        violate(lab, Breach("D10.7", "orders were acknowledged and no record was written to the log's files"))
    restart_or(lab, "D10.7")
    judge(lab, read_steps(lab)[2])


@pytest.mark.clause("D10.8")
@pytest.mark.needs("battery_backed")
def test_with_battery_backed_memory_a_power_cut_loses_nothing_acknowledged(
    disk_lab: Lab, request: pytest.FixtureRequest
) -> None:
    lab = disk_lab
    lab.start()
    with Load(lab, lab.accounts[:3], "battery-") as load:
        load.wait_sent(2 * LOAD)
        lab.power_cut()
        load.stop()
    restart_or(lab, "D10.8")
    waited(lambda: not ledgers.lost(lab.ledger, read_steps(lab)[1]), 10.0, 0.2)
    judge(lab, ledgers.nothing_lost(lab.ledger, read_steps(lab)[1], "D10.8", "the power was cut, the memory kept"))
    reason = "no loss, assuming that the memory is battery-backed, as the profile declares: it was kept over the cut"
    request.config.stash[CERTIFICATION].note(request.node, Verdict.PASS, reason)


@pytest.mark.clause("D10.X11")
@pytest.mark.needs("restart")
def test_the_log_goes_on_in_the_next_file_over_a_power_cut_at_that_moment(make_lab: MakeLab) -> None:
    lab = make_lab(on_disk=True)
    lab.start()
    with Load(lab, lab.accounts[:3], "rotate-", burst=20) as load:
        if not waited(lambda: len(list(lab.log_dir.glob("*.log"))) > 1 or load.error is not None, 60.0):
            pytest.skip(
                "the log did not go on in another file within a minute: give the profile's lab_start smaller files"
            )
        lab.power_cut(Keep.REORDERED, "rotation")
        load.stop()
    restart_or(lab, "D10.X11")
    desk = Desk(lab, lab.accounts[4])
    lab.wait_logged({desk.order("buy", 1, -3)})
    judge(lab, structure(lab.read_log(), dict.fromkeys(AFTER_A_CRASH, "D10.X11")))


@pytest.mark.clause("D10.X12")
@pytest.mark.needs("restart", "fix")
def test_after_a_power_cut_used_clordids_stay_used(disk_lab: Lab) -> None:
    lab = disk_lab
    lab.start()
    desk = Desk(lab, lab.accounts[0])
    used = [desk.order("buy", 1, -3) for _ in range(5)]
    lab.wait_logged(set(used))
    time.sleep(0.05)  # beyond the window that mode async may lose
    lab.power_cut()
    restart_or(lab, "D10.X12")
    again = Desk(lab, lab.accounts[0], "again.")
    for cl in used:
        again.order("buy", 1, -3, cl=cl, wait=False)
        answer = again.answer(cl)
        if answer.get(150) != "8":
            text = f"ClOrdID {cl} was used before the power cut, and an order that used it again was not refused"
            violate(lab, Breach("D10.X12", text, ("35=8 150=8",), (str(answer),), frozenset((cl,))))


def _seed(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("--hypothesis-seed", None) or 0)


def _inconclusive(request: pytest.FixtureRequest, reason: str) -> None:
    request.config.stash[CERTIFICATION].note(request.node, Verdict.INCONCLUSIVE, reason)
    pytest.skip(reason)
