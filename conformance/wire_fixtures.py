"""Fixtures of the suites of diagram 12: instances of the target at the ends of cables, one a carrier and module, started
when asked for.

`wire` is each carrier of the target's in turn, `poll_mode` the one that passes by the kernel, `make_wire` makes more of
them. Where this machine cannot put frames on a port the clause is UNTESTED, with the reason. What passed on the cable is
saved beside the history when a clause is found broken (RUN/pcap/TEST.pcapng).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from matchmark.conformance.history import History
from matchmark.conformance.plugin import CERTIFICATION, Certification
from matchmark.conformance.targets.profile import Profile
from matchmark.conformance.targets.profile_wire import CARRIERS, wire_of
from matchmark.conformance.venue import Venue
from matchmark.conformance.verdict import ClauseViolation, Verdict, violations_in, wire_log
from matchmark.conformance.wire_cable import Cable, Cables, unable
from matchmark.conformance.wire_venue import WireVenue

MakeWire = Callable[..., WireVenue]


class Instances:
    """Of one module: those that its tests share, by carrier, on cables of their own."""

    def __init__(self) -> None:
        self._cables: Cables | None = None
        self._shared: dict[str, WireVenue] = {}

    def cables(self, profile: Profile) -> Cables:
        if self._cables is None:
            self._cables = Cables(profile)
        return self._cables

    def get(self, profile: Profile, carrier: str) -> WireVenue:
        """Started; a fresh one in place of one that died or was spoiled."""
        venue = self._shared.get(carrier)
        if venue and (venue.died or venue.spoiled or not venue.started):
            self.drop(carrier)
            venue = None
        if venue is None:
            cables = self.cables(profile)
            venue = self._shared[carrier] = WireVenue(profile, carrier, cables.take(carrier))
            venue.start()
        return venue

    def drop(self, carrier: str) -> None:
        if venue := self._shared.pop(carrier, None):
            venue.close()
            if self._cables:
                self._cables.give_back(carrier, venue.cable)

    def close(self) -> None:
        for carrier in list(self._shared):
            self.drop(carrier)
        if self._cables:
            self._cables.close()


@pytest.fixture(scope="module")
def wire_instances() -> Iterator[Instances]:
    made = Instances()
    yield made
    made.close()


@pytest.fixture(scope="module", params=tuple(reversed(CARRIERS)))
def wire_carrier(request: pytest.FixtureRequest) -> str:
    """Of the module, so that all checks over one carrier stand together, and one instance at a time is needed."""
    return str(request.param)


@pytest.fixture
def wire(request: pytest.FixtureRequest, wire_instances: Instances, wire_carrier: str) -> Iterator[WireVenue]:
    yield from _shared(request, wire_instances, wire_carrier)


@pytest.fixture
def poll_mode(request: pytest.FixtureRequest, wire_instances: Instances) -> Iterator[WireVenue]:
    yield from _shared(request, wire_instances, "dpdk")


@pytest.fixture(params=tuple(reversed(CARRIERS)))
def carrier(request: pytest.FixtureRequest) -> str:
    """For tests that make instances of their own."""
    return str(request.param)


@pytest.fixture
def make_wire(request: pytest.FixtureRequest, wire_instances: Instances) -> Iterator[MakeWire]:
    """`make_wire(carrier, **more)`: an instance of the test's own on a cable of its own, started unless told otherwise.
    `other`: on a poll-mode port of another kind."""
    run = request.config.stash[CERTIFICATION]
    with ExitStack() as stack:
        made: list[WireVenue] = []

        def make(carrier: str, start: bool = True, other: bool = False, **more: Any) -> WireVenue:
            profile = require(run, request.node, carrier)
            if other and "wire_other_start" not in profile.tables.get("hooks", {}):
                run.not_applicable(request.node, "the profile has no [hooks] wire_other_start: one kind of port only")
            cables = wire_instances.cables(profile)
            if cables.net is None:
                _untestable(run, request.node, "this needs an instance of its own, and the profile gives one port only")
            for shared in CARRIERS:
                wire_instances.drop(shared)  # the processors are wanted
            cable: Cable = cables.take(carrier)
            stack.callback(cables.give_back, carrier, cable)
            made.append(WireVenue(profile, carrier, replace(cable, other=other), **more))
            stack.callback(made[-1].close)
            request.node.stash.setdefault(SHOWN, []).append(made[-1])
            if start:
                made[-1].start()
            return made[-1]

        yield make
        for n, venue in enumerate(made):
            said = {f"{name} ({venue.carrier} {n})": lines for name, lines in venue.streams().items()}
            run.record(request.node.nodeid, History(wire=wire_log(said)))


SHOWN = pytest.StashKey[list[WireVenue]]()
"""The venues of a test, whose frames are saved when it finds a clause broken."""


def _shared(request: pytest.FixtureRequest, instances: Instances, carrier: str) -> Iterator[WireVenue]:
    run = request.config.stash[CERTIFICATION]
    profile = require(run, request.node, carrier)
    for other in CARRIERS:
        if other != carrier:
            instances.drop(other)
    venue = instances.get(profile, carrier)
    venue.plans = None
    venue.ring.clear()
    venue.begin_test()
    request.node.stash[SHOWN] = [venue]
    yield venue
    run.record(request.node.nodeid, History(wire=wire_log(venue.streams())))
    venue.plans = None
    with suppress(OSError):
        venue.begin_test()


def require(run: Certification, item: pytest.Item, carrier: str) -> Profile:
    """The target's profile, when its port can be had over this carrier; the target itself rests meanwhile. Else the test is
    left out."""
    venue = getattr(run.target, "venue", None)
    if not isinstance(venue, Venue):
        run.not_applicable(item, "the target is not reached over FIX")
    run.require_control()
    run.require(item)
    profile = venue.profile
    has, wire = run.target.info.capabilities, wire_of(profile.tables)
    if "raw_frames" not in has:
        run.not_applicable(item, "the target does not declare raw_frames")
    if carrier == "dpdk" and "dpdk" not in has:
        run.not_applicable(item, "the target does not declare dpdk")
    if carrier not in wire.carriers:
        run.not_applicable(item, f"the profile has no port over this carrier ({carrier})")
    if why := unable(profile, (carrier,)):
        _untestable(run, item, why)
    if venue.started:
        run.target.close()
    return profile


def _untestable(run: Certification, item: pytest.Item, why: str) -> None:
    run.note(item, Verdict.UNTESTED, f"not testable here: {why}")
    pytest.skip(why)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    try:
        return (yield)
    except (ClauseViolation, BaseExceptionGroup) as error:
        if violations := violations_in(error):
            for path in _saved(pyfuncitem, violations[0]):
                violations[0].add_note(f"frames: {path}")
        raise


def _saved(item: pytest.Function, violation: ClauseViolation) -> Iterator[Path]:
    history = item.config.getoption("--history")
    shown: list[WireVenue] = item.stash.get(SHOWN, [])
    for n, venue in enumerate(shown):
        if history is None or not venue.ring.records():
            continue
        name = re.sub(r"[^\w.-]+", "-", item.name)
        path = Path(history).parent / "pcap" / f"{name}{f'-{n}' if n else ''}.pcapng"
        with suppress(OSError):
            yield venue.ring.save(path, f"{violation.finding.clause}: {violation.finding.message}")
