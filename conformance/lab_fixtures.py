"""Fixtures of the durability suites: expendable instances of the target, alone or on a disk that can fail.

`make_lab(on_disk=...)` makes as many as a test needs; all are closed after it and what was said on them is its evidence. Where
the profile does not let the target be killed, the test does not apply; where this machine has no such disk, it is inconclusive
and says what to install.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any, NoReturn

import pytest

from matchmark.chaos.faults.disk import Disk
from matchmark.chaos.faults.mounting import cannot_mount
from matchmark.conformance.checks.audit_ledger import Breach
from matchmark.conformance.history import History
from matchmark.conformance.lab import Lab
from matchmark.conformance.lab_clients import LabClients
from matchmark.conformance.pair_lab import PairLab
from matchmark.conformance.plugin import CERTIFICATION, Certification
from matchmark.conformance.venue import Venue
from matchmark.conformance.verdict import ClauseViolation, Verdict, fix_violation, wire_log

EVIDENCE_MAX = 400
"""Lines of a session that a violation shows: those about its orders, the last of them."""
RECORDED_MAX = 2000
"""Lines a session that the history keeps of a test."""

MakeLab = Callable[..., Lab]


@pytest.fixture
def make_lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeLab]:
    run = request.config.stash[CERTIFICATION]
    venue = _expendable(run, request.node)
    with ExitStack() as stack:
        labs: list[Lab] = []

        def make(on_disk: bool = False, hook: str = "lab_start") -> Lab:
            disk = stack.enter_context(_disk(run, request.node)) if on_disk else None
            labs.append(Lab(venue.profile, tmp_path_factory.mktemp("lab"), disk, hook))
            return stack.enter_context(labs[-1])

        yield make
        for lab in labs:
            said = {name: lines[-RECORDED_MAX:] for name, lines in lab.streams().items()}
            run.record(request.node.nodeid, History(wire=wire_log(said)))


@pytest.fixture
def lab(make_lab: MakeLab) -> Lab:
    """An expendable instance on an ordinary folder, not started."""
    return make_lab()


@pytest.fixture
def disk_lab(make_lab: MakeLab) -> Lab:
    """An expendable instance on a disk that can fail, not started."""
    return make_lab(on_disk=True)


MakePair = Callable[..., PairLab]


@pytest.fixture
def make_pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakePair]:
    """Members of a cluster, as many as are named; not started."""
    run = request.config.stash[CERTIFICATION]
    venue = _expendable(run, request.node)
    with ExitStack() as stack:
        pairs: list[PairLab] = []

        def make(*names: str) -> PairLab:
            pairs.append(PairLab(venue.profile, tmp_path_factory.mktemp("pair"), names or ("a", "b")))
            return stack.enter_context(pairs[-1])

        yield make
        for pair in pairs:
            said = {name: lines[-RECORDED_MAX:] for name, lines in pair.streams().items()}
            run.record(request.node.nodeid, History(wire=wire_log(said)))


@pytest.fixture
def pair(make_pair: MakePair) -> PairLab:
    """A primary `a` and its standby `b`, started."""
    pair = make_pair()
    pair.start()
    return pair


def _expendable(run: Certification, item: pytest.Item) -> Venue:
    """The target's venue, at rest: the one processor it polls on is wanted by the lab."""
    venue = getattr(run.target, "venue", None)
    if not isinstance(venue, Venue):
        run.not_applicable(item, "the target is not reached over FIX")
    target = venue.profile.tables["target"]
    if not target.get("expendable", False):
        run.not_applicable(item, "the profile does not declare the target expendable: it may not be killed")
    if "start" not in venue.profile.tables.get("hooks", {}):
        run.not_applicable(item, "the profile has no [hooks] start: the kit cannot start an instance to kill")
    run.require_control()
    run.require(item)
    if venue.started:
        run.target.close()
    return venue


def _disk(run: Certification, item: pytest.Item) -> Disk:
    if reason := cannot_mount():
        run.note(item, Verdict.INCONCLUSIVE, f"no disk that can fail can be made on this machine: {reason}")
        pytest.skip(reason)
    return Disk()


def violate(lab: LabClients, breach: Breach) -> NoReturn:
    """Fails the breach's clause, with what was said about its orders."""
    fix_violation(breach.clause, breach.message, breach.expected, breach.actual, evidence(lab, breach.about))


def judge(lab: LabClients, *checks: Iterable[Breach]) -> None:
    """Fails with what the first check finds that finds anything: every clause that it finds broken, by its first breach."""
    for check in checks:
        first: dict[str, Breach] = {}
        for breach in check:
            first.setdefault(breach.clause, breach)
        if violations := [_violation(lab, breach) for breach in first.values()]:
            violations[0].also += violations[1:]
            raise violations[0]


def _violation(lab: LabClients, breach: Breach) -> ClauseViolation:
    try:
        violate(lab, breach)
    except ClauseViolation as violation:
        return violation


def evidence(lab: LabClients, about: frozenset[str]) -> dict[str, list[Any]]:
    """The lines that name these ClOrdIDs; the last lines of all when there are none."""
    out = {}
    for name, lines in lab.streams().items():
        named = [line for line in lines if not about or about & {v for tag, v in line.message.pairs if tag in (11, 41)}]
        if named:
            out[name] = named[-EVIDENCE_MAX if about else -20 :]
    return out
