"""Runs the suites against every mutant and every sound engine, several children at a time."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

from matchmark.conformance import runner
from matchmark.conformance.clauses.vocabulary import MATCHING_CAPABILITIES
from matchmark.conformance.evidence import ANSWERED_CLAUSE
from matchmark.conformance.runner import Launch, Request, Run
from matchmark.conformance.selftest.broken_process import PROCESSES, Process
from matchmark.conformance.selftest.declare import Mutant
from matchmark.conformance.selftest.forks import Forks
from matchmark.conformance.selftest.matrix import Matrix, Row, SoundRun, judge_mutant, judge_process, judge_sound
from matchmark.conformance.selftest.mutant import MUTANTS
from matchmark.conformance.selftest.wire_declare import WireMutant
from matchmark.conformance.selftest.wire_mutants import BALANCE_CLAUSES, SOUND_WIRES, WIRES

WIRE_EXAMPLES = 5
"""A property: what an exchange gets wrong on the wire shows in the first, and each is a hundred messages."""
BALANCES = "wire-sound-balances"
PORT = "wire-sound-port"
PROCESS_ENGINE = "process"
SOUND_ENGINES = ("model", "native", PROCESS_ENGINE)
"""`process` is the model behind the subprocess adapter, by a profile as a vendor would write it."""


@dataclass(frozen=True)
class Plan:
    mutants: tuple[str, ...]
    processes: tuple[str, ...]
    sound: tuple[str, ...]
    seed: int
    seeds: int
    """Each sound engine is run with `seed`, `seed` + 1 and so on, so many times: all checks with the first, those that
    generate examples with the others."""
    examples: int
    jobs: int
    full: bool = False
    """Run all suites against each mutant, and not only the checks of the clause that must kill it."""
    wires: tuple[str, ...] = ()
    sound_wires: tuple[str, ...] = ()
    """Asked once for the clauses that the wire mutants break, and with `full` once a seed for all."""

    @property
    def runs(self) -> int:
        matching = len(self.mutants) + len(self.processes) + len(self.sound) * self.seeds
        return matching + len(self.wires) + len(self.sound_wires) * (self.seeds if self.full else 1)


Result = Row | SoundRun


def carry_out(plan: Plan, finished: Callable[[Result], None] = lambda result: None) -> Matrix:
    """The whole plan. `finished` is called in this thread with each result as it comes; what it or a signal raises ends
    the runs in hand."""
    started_s = time.monotonic()
    launch = Forks()
    with (
        sound_profile() as profile,
        ThreadPoolExecutor(plan.jobs) as busy,
        ThreadPoolExecutor(plan.jobs) as waiting,
    ):
        # A broken process is mostly waited for, until it has hung for long enough, and so is an exchange: that costs no core.
        work = [waiting.submit(task) for task in (*_wire_tasks(plan, launch), *_process_tasks(plan, launch))]
        work += [busy.submit(task) for task in _tasks(plan, profile, launch)]
        try:
            for done in as_completed(work):
                finished(done.result())
        except BaseException:
            for pool in (waiting, busy):
                pool.shutdown(wait=False, cancel_futures=True)
            launch.stop()  # or else the pools wait for the runs in hand, minutes with --full
            raise
        results = [done.result() for done in work]
    return Matrix(
        plan.seed,
        plan.examples,
        tuple(r for r in results if isinstance(r, Row)),
        tuple(r for r in results if isinstance(r, SoundRun)),
        round(time.monotonic() - started_s, 1),
        whole=set(plan.mutants) >= set(MUTANTS),
    )


def _tasks(plan: Plan, profile: Path, launch: Launch) -> Iterator[Callable[[], Result]]:
    """The longest first, so that no worker is left alone with one at the end."""
    for seed in range(plan.seed, plan.seed + plan.seeds):
        for engine in plan.sound:
            target = str(profile) if engine == PROCESS_ENGINE else engine
            # What does not depend on the seed is run once.
            request = Request(target, seed, plan.examples, shrink=False, generated_only=seed != plan.seed)
            yield partial(run_sound, engine, request, launch)
    for name, mutant in ((name, MUTANTS[name]) for name in plan.mutants):
        # Whichever test meets a death or a hang charges it to the clause about answers.
        clauses: tuple[str, ...] = () if plan.full or mutant.breaks[0] == ANSWERED_CLAUSE else mutant.breaks[:1]
        files = suite_files(clauses)
        request = Request(f"mutant:{name}", plan.seed, plan.examples, clauses, files, shrink=False)
        yield partial(run_mutant, mutant, request, launch)


def _process_tasks(plan: Plan, launch: Launch) -> Iterator[Callable[[], Result]]:
    for name in plan.processes:
        clauses: tuple[str, ...] = () if plan.full else (ANSWERED_CLAUSE,)
        request = Request(f"mutant:{name}", plan.seed, plan.examples, clauses, shrink=False)
        yield partial(run_process, PROCESSES[name], request, launch)


def _wire_tasks(plan: Plan, launch: Launch) -> Iterator[Callable[[], Result]]:
    """Each has an exchange of its own, and is done with when the clause is found broken."""
    broken = {WIRES[name].breaks[0] for name in plan.wires}
    for seed in range(plan.seed, plan.seed + (plan.seeds if plan.full else 1)):
        for engine in plan.sound_wires:
            asked = asked_of(engine, broken)
            if not asked and not plan.full:
                continue
            clauses = () if plan.full else tuple(sorted(asked))
            request = Request(target_of(engine), seed, WIRE_EXAMPLES, clauses, shrink=False)
            yield partial(run_sound, engine, request, launch)
    for name in plan.wires:
        wire = WIRES[name]
        clauses = () if plan.full else wire.breaks[:1]
        until = "" if plan.full else wire.breaks[0]
        files = suite_files(clauses)
        request = Request(f"mutant:{name}", plan.seed, WIRE_EXAMPLES, clauses, files, shrink=False, until=until)
        yield partial(run_mutant, wire, request, launch)


def asked_of(engine: str, broken: set[str]) -> set[str]:
    """Of the clauses that mutants break those that this sound wire is asked: each stands in for those that are made as it is."""
    on_the_port = {clause for clause in broken if clause.startswith("D12.")}
    if engine == PORT:
        return on_the_port
    return broken & BALANCE_CLAUSES if engine == BALANCES else broken - on_the_port


def suite_files(clauses: tuple[str, ...]) -> tuple[str, ...]:
    """The suites' files that name one of these clauses: to collect the others takes a second of each run. Empty for no clause."""
    files = sorted(runner.suites_folder().glob("test_*.py"))
    return tuple(str(f) for f in files if any(f'"{clause}"' in f.read_text(encoding="utf-8") for clause in clauses))


def target_of(engine: str) -> str:
    """A sound wire is a target of the same kind as the mutants."""
    return f"mutant:{engine}" if engine in SOUND_WIRES else engine


def run_mutant(mutant: Mutant | WireMutant, request: Request, launch: Launch) -> Row:
    return judge_mutant(mutant, *_timed(request, launch))


def run_process(process: type[Process], request: Request, launch: Launch) -> Row:
    return judge_process(process, *_timed(request, launch))


def run_sound(engine: str, request: Request, launch: Launch) -> SoundRun:
    return judge_sound(engine, request.seed, *_timed(request, launch))


def _timed(request: Request, launch: Launch) -> tuple[Run, float]:
    began_s = time.monotonic()
    run = runner.run(request, launch=launch)
    return run, round(time.monotonic() - began_s, 2)


@contextmanager
def sound_profile() -> Iterator[Path]:
    """A target profile of the sound process, for as long as the block runs."""
    command = [sys.executable, "-m", "matchmark.conformance.selftest.broken_process", Process.name]
    lines = [
        "[target]",
        'name = "model behind the subprocess adapter"',
        f"version = {json.dumps(version('matchmark'))}",
        'adapter = "subprocess"',
        f"capabilities = {json.dumps(list(MATCHING_CAPABILITIES))}",
        "[subprocess]",
        f"command = {json.dumps(command)}",
    ]
    with tempfile.TemporaryDirectory(prefix="matchmark-selftest-") as folder:
        path = Path(folder, "target.toml")
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        yield path
