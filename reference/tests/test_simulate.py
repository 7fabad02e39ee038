"""The control plane in simulated worlds: sound ones violate nothing, every planted bug is found, a seed is one history."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from matchmark.conformance.cli import main
from matchmark.reference.control import machine, monitor, promotion
from matchmark.reference.simulate.bugs import BUGS
from matchmark.reference.simulate.run import Outcome, run_seed
from matchmark.reference.simulate.sweep import hunt, sweep

SEEDS = 600
HUNT_SEEDS = 10_000

FOUND_AT = {
    "no-fencing": 0,
    "lease-counted-late": 54,
    "lease-kept": 21,
    "lease-not-waited-for": 4,
    "looks-before-the-epoch": 628,
    "acks-without-lease": 15,
    "epoch-not-flushed": 29,
    "epoch-for-two": 92,
    "forgets-the-gap": 9,
    "opens-before-replay": 5,
    "gap-twice": 223,
    "gap-not-on-disk": 1429,
    "reads-the-last-takers-log": 2,
    "goes-on-without-log": 24,
    "hides-a-loss": 8,
    "promotes-diverged": 2,
    "forgets-ids": 5,
    "forgets-the-halt": 43,
    "replicated-too-early": 118,
    "counts-any-standby": 3884,
    "forgets-its-power-cut": 126,
    "standby-not-counted-again": 540,
    "gives-up": 6,
}
"""Where a bug was found last: looked at first, so that the hunt is short. A seed that shows it no more costs only time."""

RARE = {
    ("joining", "refused"),
    ("draining", "off"),
    ("taking the epoch", "unfit"),
    ("waiting for the lease", "outrun"),
    ("replaying", "refused"),
    ("flushing", "refused"),
    ("leasing", "refused"),
    ("marking", "refused"),
    ("opening", "refused"),
}
"""Rows of the tables that the worlds of these seeds need not come to; the tests of the machines do."""


@pytest.fixture(scope="module")
def worlds() -> Iterator[tuple[list[Outcome], set[tuple[object, str]]]]:
    """All seeds, and every transition that any of their machines made."""
    made: set[tuple[object, str]] = set()
    go = machine.Machine.go

    def noted(self: machine.Machine[monitor.State], event: str) -> None:
        made.add((self.state, event))
        go(self, event)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine.Machine, "go", noted)
        yield [run_seed(seed) for seed in range(SEEDS)], made


def test_sound_worlds_violate_nothing(worlds: tuple[list[Outcome], set[tuple[object, str]]]) -> None:
    assert {o.seed: o.violation for o in worlds[0] if o.violation is not None} == {}


def test_the_worlds_are_hard_enough_to_mean_something(worlds: tuple[list[Outcome], set[tuple[object, str]]]) -> None:
    outcomes, made = worlds
    assert sum(o.takeovers for o in outcomes) > SEEDS // 2
    assert sum(o.acknowledged for o in outcomes) > 30 * SEEDS
    assert sum(o.halts for o in outcomes) > SEEDS // 20
    assert {o.mode for o in outcomes} == {"async", "fsync", "replicated"}
    rows = {(row.state, row.event) for table in (monitor.TRANSITIONS, promotion.TRANSITIONS) for row in table}
    missed = {(state.value, event) for state, event in rows - made}
    assert missed <= RARE


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found_and_its_seed_replays_it(name: str) -> None:
    parts = BUGS[name].parts
    outcome = run_seed(FOUND_AT[name], parts) if name in FOUND_AT else None
    if outcome is None or outcome.violation is None:
        outcome = hunt(name, HUNT_SEEDS, processes=1)
    assert outcome is not None, f"not found within {HUNT_SEEDS} seeds"
    again = run_seed(outcome.seed, parts, trace=True)
    assert (again.violation, again.events, again.simulated_ns) == (
        outcome.violation,
        outcome.events,
        outcome.simulated_ns,
    )
    assert again.timeline[-1][1] == "VIOLATION"
    assert run_seed(outcome.seed).violation is None, "without the bug the same seed is sound"


def test_a_seed_is_one_history_whatever_the_process() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-m", "matchmark.conformance.cli", "simulate", "--seed", "5"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True,
        ).stdout
        for hash_seed in ("0", "1", "77")
    }  # fmt: skip
    assert len(said) == 1 and len(said.pop().splitlines()) > 5


def test_two_processes_find_what_one_finds() -> None:
    bug = "no-fencing"
    one, two = (sweep(0, 120, processes, lambda done: None, bug) for processes in (1, 2))
    assert one == two and one.failures > 0
    first = hunt(bug, 120, 2)
    assert first is not None and first.seed == min(one.failed)


def test_the_command_tells_what_failed_and_how_to_see_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--seeds", "40", "--processes", "1"]) == 0
    out = capsys.readouterr().out
    assert "40 seeds in" in out and "nothing was violated" in out
    assert main(["simulate", "--seeds", "40", "--processes", "1", "--bug", "no-fencing"]) == 1
    out = capsys.readouterr().out
    line = next(line for line in out.splitlines() if "matchmark simulate" in line)
    assert main(line.split()[1:]) == 1
    out = capsys.readouterr().out
    assert "VIOLATION" in out and "VIOLATED: " in out.splitlines()[-1]
    assert main(["simulate", "--bug", "nothing"]) == 2
    assert main(["simulate", "--bug", "list"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split()[0] == next(iter(BUGS))
