"""Live negative controls: the target on a disk that breaks its word, and the reference exchange with one thing broken.

A disk that confirms flushes and does not do them is what an exchange looks like that acknowledges before it has flushed, whatever
it is made of. The others need the reference exchange, for only of it the kit has broken ones.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from matchmark.chaos.evidence import Injected
from matchmark.chaos.faults.machine import cannot_have
from matchmark.chaos.faults.mounting import cannot_mount
from matchmark.chaos.faults.partition import cannot_part
from matchmark.chaos.pair import PairOfMembers
from matchmark.chaos.schedule import ALL, EpisodePlan, Step
from matchmark.chaos.target import OneMember, Target
from matchmark.conformance.selftest.shims import compiled, compiler
from matchmark.conformance.selftest.wire_target import wire_profile
from matchmark.conformance.targets.profile import Profile
from matchmark.load.fix_load import FixLoad

LIE_S = 0.2
SLOW_RATE = 1_000
"""Orders a second through a proxy in Python."""
ORDERS = 600


class LyingDisk(OneMember):
    """For a moment before the power goes its disk confirms flushes that it does not do."""

    def strike(self, step: Step, load: FixLoad) -> Injected:
        assert self.disk
        self.disk.lie()
        time.sleep(LIE_S)
        return super().strike(step, load)


@dataclass(frozen=True)
class Live:
    """`make` gives the broken target, within a context; `kinds` of finding are expected. `rate` 0: that of the run."""

    name: str
    story: str
    kinds: tuple[str, ...]
    storage: str
    step: Step
    make: Callable[[Profile, Path], Iterator[Target]]
    needs: Callable[[], str | None]
    reference_only: bool = True
    rate: int = 0
    pair: bool = False
    tries: int = 1
    """A cut strikes where it will, and what was not flushed may have got to the disk before it by others' flushes."""

    def plan(self, target: str, seed: int) -> EpisodePlan:
        return EpisodePlan(f"control: {self.name}", target, self.storage, seed, (self.step,), pair=self.pair)

    @contextmanager
    def target(self, profile: Profile, folder: Path) -> Iterator[Target]:
        yield from self.make(profile, folder)


def _lying(profile: Profile, folder: Path) -> Iterator[Target]:
    target = LyingDisk(profile, folder, "l0")
    try:
        yield target
    finally:
        target.close()


def _shimmed(mode: str, storage: str) -> Callable[[Profile, Path], Iterator[Target]]:
    """The audit writer's flushes go through the shim, which gets them wrong in that way."""

    def make(profile: Profile, folder: Path) -> Iterator[Target]:
        with tempfile.TemporaryDirectory(prefix="matchmark-shim-") as built:
            env = {"LD_PRELOAD": str(compiled(Path(built))), "MATCHMARK_SHIM": mode}
            target = OneMember(profile, folder, storage, env)
            try:
                yield target
            finally:
                target.close()

    return make


def _mutant(name: str) -> Callable[[Profile, Path], Iterator[Target]]:
    def make(_: Profile, folder: Path) -> Iterator[Target]:
        target = OneMember(wire_profile(name), folder, "plain", hook="start")
        try:
            yield target
        finally:
            target.close()

    return make


def _broken_pair(name: str) -> Callable[[Profile, Path], Iterator[Target]]:
    def make(_: Profile, folder: Path) -> Iterator[Target]:
        target = PairOfMembers(wire_profile(name), folder, "plain")
        try:
            yield target
        finally:
            target.close()

    return make


def _shim_on(cannot: Callable[[], str | None]) -> Callable[[], str | None]:
    return lambda: cannot() or (None if compiler() else "there is no C compiler on this machine")


def _nothing() -> str | None:
    return None


CUT = Step("cut", ALL, 5_000, 0)
LIVE = (
    Live("lying disk", "the power goes on a disk that confirmed flushes without doing them", ("lost", "trouble"), "l0",
         CUT, _lying, cannot_mount, reference_only=False, tries=3),
    Live("flush left out", "an audit writer acknowledges without flushing, and the power goes", ("lost", "trouble"), "l0",
         CUT, _shimmed("no_flush", "l0"), _shim_on(cannot_mount), tries=3),
    Live("flush left out, XFS", "the same on a machine with XFS", ("lost", "trouble"), "l1-xfs",
         CUT, _shimmed("no_flush", "l1-xfs"), _shim_on(partial(cannot_have, "xfs")), tries=3),
    Live("written and not flushed, ext4", "an audit writer has its data written (sync_file_range) and not the metadata that it "
         "needs", ("lost", "trouble"), "l1-ext4", CUT, _shimmed("range", "l1-ext4"), _shim_on(partial(cannot_have, "ext4")),
         tries=5),
    Live("acknowledged, not logged", "a gateway acknowledges every fourth order and loses it", ("lost", "hole"), "plain",
         Step("kill", "gateway", ORDERS, 0), _mutant("wire-unlogged-order-acknowledged"), _nothing, rate=SLOW_RATE),
    Live("fill reported twice", "a fill is reported again under another number", ("doubled",), "plain",
         Step("kill", "gateway", ORDERS, 0), _mutant("wire-fill-reported-twice"), _nothing, rate=SLOW_RATE),
    Live("two primaries", "a standby that does not hear its primary takes over, and nobody looks whether another is primary",
         ("trouble", "lost", "doubled"), "plain", Step("partition", "primary", ORDERS, 0, for_ms=8000),
         _broken_pair("wire-pair-nobody-is-fenced"), cannot_part, rate=SLOW_RATE, pair=True),
)  # fmt: skip
