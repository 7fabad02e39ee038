"""Diagram 10, steps 7 and 8: the power goes. Everything is killed at once, memory is wiped, and of what the disk had not
flushed nothing is left, or a part that the seed picks. The same data is then started again.

What may be missing depends on the mode (ruling R8): nothing in fsync; in async what was decided in the last 10 ms.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NoReturn

import pytest

from matchmark.chaos.faults.disk_state import Keep
from matchmark.conformance.checks import audit_ledger as ledgers
from matchmark.conformance.checks.audit_calls import Call, pieces
from matchmark.conformance.checks.audit_ledger import Breach
from matchmark.conformance.checks.audit_steps import Step
from matchmark.conformance.checks.audit_structure import AuditLog
from matchmark.conformance.hiccups import Hiccups
from matchmark.conformance.hooks import HookFailed, waited
from matchmark.conformance.lab import Lab
from matchmark.conformance.lab_fixtures import MakeLab, judge, violate
from matchmark.conformance.lab_load import Load
from matchmark.conformance.ledger import Entry, Ledger
from matchmark.conformance.plugin import CERTIFICATION
from matchmark.conformance.suites._durability import (
    AFTER_A_CRASH,
    Desk,
    read_steps,
    structure,
)
from matchmark.conformance.verdict import Verdict

pytestmark = pytest.mark.needs("audit_log", "power_cut")

WINDOW_NS = 10_000_000
"""What mode async may lose to a power cut, by ruling R8."""
KEEPS = (Keep.NOTHING, Keep.TORN, Keep.REORDERED, Keep.PREFIX)
EXAMPLES_PER_ROUND = 800
LOAD = 60
ROTATION_S = 60.0
BEYOND_DOUBT_NS = 1_000_000_000
"""So much later than twice the time that this machine stood still: that is no hiccup of its."""
STALLED_S = 2.0
"""How long the load may go on while the disk takes nothing; in mode fsync nobody is answered then."""


@dataclass
class Cut:
    """One power cut and what came after it. `log` is what the restart found, before any client was back.

    `ledger` is of the connections since the start before; `attempts` of all that there were.
    """

    keep: Keep
    cut_ns: int
    ledger: Ledger
    attempts: Ledger
    log: AuditLog
    steps: list[Step]
    missing: list[Entry]
    said: dict[str, Any] | None
    """What the readiness line of the restart says of what may be missing."""
    quiet: bool
    """Whether this machine ran without a break in the time before the cut that matters."""
    still_ns: int
    """How long it stood still since the first missing order was acknowledged."""
    disk_busy_ns: int
    """How long the disk itself was at work since the first missing order was acknowledged."""
    not_kept: list[str]
    """Places in the log that a flush had confirmed and that are not there."""


@dataclass
class Powered:
    """A lab whose power was cut again and again under load, the first time as its log went on in another file."""

    lab: Lab
    """Closed after the first test that looks at the cuts."""
    make_lab: MakeLab
    """Of the test that looks at them now."""
    cuts: list[Cut] = field(default_factory=list)
    refused: str = ""
    """Why it did not start again, if it did not; that ends the series."""
    rotated: bool = False
    seed: str = ""
    more: list[Cut] = field(default_factory=list)
    """A second series, where the first showed what a busy machine can show as well."""
    used_again: dict[str, str] = field(default_factory=dict)
    """ClOrdIDs used before the cuts, and how the use of them after all was answered (ExecType)."""


POWERED = pytest.StashKey[Powered]()


@pytest.fixture
def powered(request: pytest.FixtureRequest, make_lab: MakeLab) -> Powered:
    if POWERED not in request.config.stash:
        rounds = 1 + int(request.config.getoption("--examples")) // EXAMPLES_PER_ROUND
        request.config.stash[POWERED] = _cut_again_and_again(make_lab, rounds, _seed(request))
    request.config.stash[POWERED].make_lab = make_lab
    return request.config.stash[POWERED]


def _cut_again_and_again(make_lab: MakeLab, rounds: int, seed: str) -> Powered:
    lab = make_lab(on_disk=True)
    p = Powered(lab, make_lab, seed=seed)
    lab.start()
    desk = Desk(lab, lab.accounts[3], "used.")
    used = [desk.order("buy", 1, -3) for _ in range(5)]
    lab.wait_logged(set(used))
    try:
        for n, keep in enumerate(KEEPS * rounds):
            p.cuts.append(_cut(p, keep, f"{seed} {n}", f"{keep}{n}-"))
    except HookFailed as error:
        p.refused = f"after a power cut ({keep} of the unsynced was left) it does not start again: {error}"
        return p
    again = Desk(lab, lab.accounts[3], "again.")
    for cl in used:
        again.order("buy", 1, -3, cl=cl, wait=False)
        p.used_again[cl] = again.answer(cl).get(150) or ""
    return p


def _cut(p: Powered, keep: Keep, seed: str, prefix: str) -> Cut:
    """Load on three sessions, the cut at a moment that the seed picks, a restart, and the log as it is then."""
    lab, chance = p.lab, random.Random(seed)
    assert lab.disk
    before = len(lab.clients) if p.cuts else 0
    with Hiccups() as hiccups, Load(lab, lab.accounts[:3], prefix, burst=5 if p.cuts else 20) as load:
        load.wait_sent(chance.randint(LOAD // 2, 2 * LOAD))
        if not p.cuts:
            p.rotated = waited(lambda: len(list(lab.log_dir.glob("*.log"))) > 1 or load.error is not None, ROTATION_S)
        time.sleep(chance.uniform(0, 0.01))
        cut_ns = lab.power_cut(keep, seed)
        load.stop()
    calls = [c for c in lab.disk.journal() if c.path.startswith(lab.disk.place(lab.log_dir))]
    not_kept = _not_kept(calls, dict(lab.log_files()))
    lab.restart()
    ledger, (log, logged, _) = lab.ledger_since(before), read_steps(lab)
    missing = ledgers.lost(ledger, logged)
    since = min((e.acknowledged_ns for e in missing), default=cut_ns)
    busy = sum(max(0, min(c.ended_ns, cut_ns) - max(c.started_ns, since)) for c in calls)
    quiet = hiccups.longest_ns(since - WINDOW_NS, cut_ns) < WINDOW_NS // 4
    still = hiccups.total_ns(since, cut_ns)
    return Cut(keep, cut_ns, ledger, lab.ledger, log, logged, missing, _stated(lab), quiet, still, busy, not_kept)


def _not_kept(calls: Sequence[Call], files: dict[str, bytes]) -> list[str]:
    out = []
    for piece in pieces(calls):
        name = piece.path.rsplit("/", 1)[-1]
        if piece.flushed_ns and not any(files.get(name, b"")[piece.begin : piece.end]):
            out.append(f"{name}: bytes {piece.begin} to {piece.end}")
    return out


def _stated(lab: Lab) -> dict[str, Any] | None:
    recovered = lab.ready.get("recovered") or lab.status().get("recovered") or {}
    missing = recovered.get("may_be_missing")
    return dict(missing) if missing else None


def restart_or(lab: Lab, clause: str) -> None:
    try:
        lab.restart()
    except HookFailed as error:
        violate(lab, Breach(clause, f"after a power cut the exchange does not start again: {error}"))


# --- any mode ---


@pytest.mark.clause("D10.X2", "D06.X4")
def test_what_a_power_cut_leaves_is_a_log_without_a_hole_and_without_inventions(powered: Powered) -> None:
    lab = powered.lab
    if powered.refused:
        violate(lab, Breach("D10.X2", powered.refused))
    for cut in powered.cuts:
        judge(
            lab,
            structure(cut.log, AFTER_A_CRASH),
            ledgers.no_hole(cut.ledger, cut.steps, "D10.X2"),
            ledgers.nothing_invented(cut.attempts, cut.steps, "D06.X4"),
            ledgers.nothing_twice(cut.ledger, cut.steps, "D06.X4"),
        )


@pytest.mark.clause("D10.7")
def test_after_a_power_cut_the_log_has_all_that_a_flush_had_confirmed(
    powered: Powered, request: pytest.FixtureRequest
) -> None:
    _some_cut(powered, request)
    for cut in powered.cuts:
        if cut.not_kept:
            violate(powered.lab, Breach("D10.7", f"was flushed, and is not there after the cut: {cut.not_kept[0]}"))
        if cut.ledger.acknowledged and not len(cut.log.records):
            violate(powered.lab, Breach("D10.7", "orders were acknowledged, and after the cut the log has no record"))


@pytest.mark.clause("D10.X11")
@pytest.mark.needs("restart")
def test_the_log_goes_on_in_the_next_file_over_a_power_cut_at_that_moment(
    powered: Powered, request: pytest.FixtureRequest
) -> None:
    if not powered.rotated:
        _inconclusive(request, "the log did not go on in another file: give the profile's lab_start smaller files")
    if powered.refused and not powered.cuts:
        violate(powered.lab, Breach("D10.X11", powered.refused))
    for cut in powered.cuts:
        judge(powered.lab, structure(cut.log, dict.fromkeys(AFTER_A_CRASH, "D10.X11")))


@pytest.mark.clause("D10.X12")
@pytest.mark.needs("restart", "fix", "duplicate_check")
def test_after_power_cuts_used_clordids_stay_used(powered: Powered, request: pytest.FixtureRequest) -> None:
    if powered.refused:
        _inconclusive(request, powered.refused)
    for cl, exec_type in powered.used_again.items():
        if exec_type != "8":
            text = f"ClOrdID {cl} was used before the power cut, and an order that used it again was not refused"
            violate(powered.lab, Breach("D10.X12", text, ("35=8 150=8",), (f"150={exec_type}",), frozenset((cl,))))


# --- mode fsync ---


@pytest.mark.clause("D10.X8", "D06.X4")
@pytest.mark.needs("fsync_durability")
def test_in_mode_fsync_a_power_cut_loses_nothing_acknowledged(powered: Powered) -> None:
    if powered.refused:
        violate(powered.lab, Breach("D10.X8", powered.refused))
    for cut in powered.cuts:
        fault = f"the power was cut ({cut.keep} of the unsynced was left)"
        clauses = ("D10.X8", "D06.X4")
        judge(powered.lab, chain(*(ledgers.nothing_lost(cut.ledger, cut.steps, clause, fault) for clause in clauses)))


# --- mode async ---


@pytest.mark.clause("D10.N2", "D01.N2")
@pytest.mark.needs("async_durability")
def test_in_mode_async_a_power_cut_takes_at_most_the_last_ten_milliseconds(
    powered: Powered, request: pytest.FixtureRequest
) -> None:
    if powered.refused:  # then it has taken everything
        judge(powered.lab, [Breach(clause, powered.refused) for clause in ("D10.N2", "D01.N2")])
    noisy = sum(not cut.quiet and bool(list(_too_old(cut))) for cut in powered.cuts)
    for cut in powered.cuts:
        judge(powered.lab, _too_old(cut, 2 * cut.still_ns + BEYOND_DOUBT_NS))
    _judge_if_it_comes_back(powered, request, lambda cut: _too_old(cut) if cut.quiet else ())
    if noisy > len(powered.cuts) // 2:
        text = f"in {noisy} of {len(powered.cuts)} cuts more than 10 ms were missing, but this machine had stood still"
        _inconclusive(request, f"{text}: run it on one with less to do")


@pytest.mark.clause("D10.X3", "D01.N2")
@pytest.mark.needs("async_durability")
def test_the_restart_states_how_much_may_be_missing_and_the_truth_is_within_it(
    powered: Powered, request: pytest.FixtureRequest
) -> None:
    _some_cut(powered, request)
    for cut in powered.cuts:
        judge(powered.lab, _announced(cut))
    _judge_if_it_comes_back(powered, request, _later_than_announced)


def _judge_if_it_comes_back(
    powered: Powered, request: pytest.FixtureRequest, breaches: Callable[[Cut], Iterable[Breach]]
) -> None:
    """A time that was exceeded counts when it is exceeded in a second series of cuts, too: a process may wait for a processor
    without the machine standing still."""
    found = [b for cut in powered.cuts for b in breaches(cut)]
    if not found:
        return
    if not powered.more:
        powered.more = _cut_again_and_again(powered.make_lab, 1, f"{powered.seed} more").cuts
    if any(True for cut in powered.more for _ in breaches(cut)):
        judge(powered.lab, found)
    cuts, more = len(powered.cuts), len(powered.more)
    reason = f"once in {cuts} cuts {found[0].message}; in {more} further cuts it did not come back"
    request.config.stash[CERTIFICATION].note(request.node, Verdict.PASS, reason)


def _too_old(cut: Cut, noise_ns: int = 0) -> Iterator[Breach]:
    """Breaches when something is missing that was acknowledged more than the window before the cut, the disk's own time and
    `noise_ns` apart."""
    allowed = WINDOW_NS + cut.disk_busy_ns + noise_ns
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


def _later_than_announced(cut: Cut) -> Iterator[Breach]:
    last_ms = (cut.said or {}).get("last_ms")
    if last_ms is not None and cut.quiet:
        allowed = last_ms * 1e6 + cut.disk_busy_ns
        old = [e for e in cut.missing if cut.cut_ns - e.acknowledged_ns > allowed]
        if old:
            yield Breach(
                "D10.X3",
                f"{len(old)} that are missing are older than the stated {last_ms} ms",
                (),
                (str(cut.said),),
                frozenset(e.request.cl for e in old[:3]),
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


@pytest.mark.clause("D10.8")
@pytest.mark.needs("battery_backed")
def test_with_battery_backed_memory_a_power_cut_loses_nothing_acknowledged(
    disk_lab: Lab, request: pytest.FixtureRequest
) -> None:
    """The disk takes nothing for the last moment before the cut, so what was acknowledged then is in memory alone."""
    lab = disk_lab
    lab.start()
    assert lab.disk
    with Load(lab, lab.accounts[:3], "battery-") as load:
        load.wait_sent(LOAD)
        lab.disk.stall(600.0, lab.disk.place(lab.log_dir))
        load.wait_sent(LOAD, STALLED_S)
        lab.power_cut()
        load.stop()
    restart_or(lab, "D10.8")
    waited(lambda: not ledgers.lost(lab.ledger, read_steps(lab)[1]), 10.0, 0.2)
    judge(lab, ledgers.nothing_lost(lab.ledger, read_steps(lab)[1], "D10.8", "the power was cut, the memory kept"))
    reason = "no loss, assuming that the memory is battery-backed, as the profile declares: it was kept over the cut"
    request.config.stash[CERTIFICATION].note(request.node, Verdict.PASS, reason)


def _seed(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("--hypothesis-seed", None) or 0)


def _some_cut(powered: Powered, request: pytest.FixtureRequest) -> None:
    """Where it did not start again after the first there is nothing to look at."""
    if not powered.cuts:
        _inconclusive(request, powered.refused)


def _inconclusive(request: pytest.FixtureRequest, reason: str) -> NoReturn:
    request.config.stash[CERTIFICATION].note(request.node, Verdict.INCONCLUSIVE, reason)
    pytest.skip(reason)
