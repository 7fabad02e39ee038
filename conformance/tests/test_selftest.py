"""The self-test tested: the registry of mutants is sane, and a kit that misses or blames wrongly is told from a good one."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from matchmark.conformance import runner
from matchmark.conformance.clauses import load
from matchmark.conformance.control import positive_control
from matchmark.conformance.driver import Driver
from matchmark.conformance.runner import (
    EXIT_BLOCKED,
    EXIT_FAILED,
    EXIT_OK,
    EXIT_USAGE,
    CheckRecord,
    Request,
    Run,
    Violation,
)
from matchmark.conformance.selftest import report
from matchmark.conformance.selftest.broken_process import PROCESSES, Process
from matchmark.conformance.selftest.campaign import Plan, carry_out
from matchmark.conformance.selftest.declare import DECLARED, Mutant, mutant
from matchmark.conformance.selftest.forks import Forks, Stopped
from matchmark.conformance.selftest.matrix import (
    Matrix,
    Outcome,
    Row,
    judge_mutant,
    judge_process,
    judge_sound,
    must_clauses,
)
from matchmark.conformance.selftest.mutant import MUTANTS, mutant_target, mutants_by_clause
from matchmark.conformance.targets.open import UnknownTarget, open_target
from matchmark.conformance.verdict import Verdict
from matchmark.reference.model import ModelEngine

FEW = 10
"""Examples a property: these tests are about the self-test, not about how well it generates."""


# --- the registry ---


def test_there_are_enough_mutants_and_each_tells_its_story() -> None:
    assert len(MUTANTS) >= 70
    for chosen in MUTANTS.values():
        assert chosen.breaks, f"{chosen.name} breaks no clause"
        assert chosen.story.endswith(".") and 20 < len(chosen.story) <= 120, f"{chosen.name}: {chosen.story!r}"
        assert chosen.story.count(". ") == 0, f"{chosen.name}: one sentence will do"


def test_stories_and_engines_are_not_used_twice() -> None:
    assert len({chosen.story for chosen in MUTANTS.values()}) == len(MUTANTS)
    assert len({chosen.engine for chosen in MUTANTS.values()}) == len(MUTANTS)


def test_each_mutant_breaks_clauses_of_the_register_and_is_named_after_the_diagram_of_the_first() -> None:
    register = load()
    for chosen in MUTANTS.values():
        for clause in chosen.breaks:
            assert "matching" in register[clause].levels
        assert chosen.name.startswith(register[chosen.breaks[0]].diagram.lower() + "_"), chosen.name


def test_every_must_clause_of_level_matching_has_a_mutant_of_its_own() -> None:
    first = {chosen.breaks[0] for chosen in MUTANTS.values()}
    assert [clause for clause in must_clauses() if clause not in first] == []


def test_mutants_by_clause_puts_those_first_whose_first_clause_it_is() -> None:
    names = mutants_by_clause()["D01.X7"]
    own = [name for name in names if MUTANTS[name].breaks[0] == "D01.X7"]
    assert names[: len(own)] == own
    assert set(names) > set(own)


def test_a_name_cannot_be_taken_twice() -> None:
    name = next(iter(DECLARED))
    with pytest.raises(ValueError, match="two mutants called"):
        mutant(name, breaks=("D01.X2",), story="It hides another one.")(ModelEngine)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_passes_the_positive_control_and_so_is_judged(name: str) -> None:
    positive_control(Driver(mutant_target(name)))


def test_an_unknown_mutant_is_refused_with_the_names_that_are_near() -> None:
    with pytest.raises(UnknownTarget, match="did you mean d01_lifo"):
        open_target("mutant:d01_fifo")


def test_a_mutant_overrides_little() -> None:
    """A class of more than three methods is broken in more than one way, or hides how."""
    for path in Path(str(files("matchmark.conformance.selftest"))).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and any(_is_mutant(d) for d in node.decorator_list):
                methods = [n for n in node.body if isinstance(n, ast.FunctionDef)]
                lines = (node.end_lineno or 0) - node.lineno
                assert len(methods) <= 4 and lines <= 32, (
                    f"{path.name}: {node.name} is {len(methods)} methods, {lines} lines"
                )


def _is_mutant(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id == "mutant"


# --- judgement, on runs made by hand ---


LIFO = MUTANTS["d01_lifo"]


def run_of(*failed: str, verdict: Verdict = Verdict.PASS, ok: bool | None = True) -> Run:
    violations = [Violation("t", clause, f"{clause} is broken", 0, [], [], []) for clause in failed]
    return Run(control_ok=ok, tests=[CheckRecord("t", ["D01.X2"], verdict, "a doubt", 3, 0.1)], violations=violations)


@pytest.mark.parametrize(
    ("run", "outcome"),
    [
        (run_of("D01.X2"), Outcome.KILLED),
        (run_of("D03.X1", "D01.X2"), Outcome.KILLED),
        (run_of("D03.X1"), Outcome.OTHER_CLAUSE),
        (run_of(), Outcome.SURVIVED),
        (run_of(verdict=Verdict.INCONCLUSIVE), Outcome.SURVIVED),
        (run_of(ok=False), Outcome.BLOCKED),
        (Run(), Outcome.BLOCKED),
    ],
)
def test_only_the_clause_that_it_breaks_kills_a_mutant(run: Run, outcome: Outcome) -> None:
    row = judge_mutant(LIFO, run, 0.0)
    assert row.outcome is outcome
    assert row.ok is (outcome is Outcome.KILLED)


@pytest.mark.parametrize(
    ("run", "ok"),
    [
        (run_of("D01.X8"), True),
        (run_of("D01.X8", "D01.X2"), False),
        (run_of(), False),
        (run_of(verdict=Verdict.INCONCLUSIVE), False),
        (run_of(ok=False), False),
    ],
)
def test_a_process_that_dies_again_must_fail_the_clause_about_answers_and_no_other(run: Run, ok: bool) -> None:
    assert judge_process(PROCESSES["process_dies_in_a_walk"], run, 0.0).ok is ok


@pytest.mark.parametrize(
    ("run", "ok"),
    [
        (run_of(), True),
        (run_of(verdict=Verdict.NOT_APPLICABLE), False),
        (run_of("D01.X2"), False),
        (run_of(verdict=Verdict.INCONCLUSIVE), False),
        (run_of(ok=False), False),
        (Run(control_ok=True), False),
    ],
)
def test_anything_but_a_pass_of_a_sound_engine_is_a_false_alarm(run: Run, ok: bool) -> None:
    assert judge_sound("model", 1, run, 0.0).ok is ok


def matrix_of(*rows: Row) -> Matrix:
    return Matrix(1, FEW, rows, (judge_sound("model", 1, run_of(), 0.0),), 1.0, whole=True)


def all_killed() -> list[Row]:
    return [judge_mutant(chosen, run_of(chosen.breaks[0]), 0.0) for chosen in MUTANTS.values()]


def test_a_matrix_is_good_only_without_a_hole() -> None:
    rows = all_killed()
    assert matrix_of(*rows).ok
    survivor = judge_mutant(LIFO, run_of(), 0.0)
    assert not matrix_of(survivor, *rows[1:]).ok
    without = [row for row in rows if row.breaks[0] != "D08.X2"]
    assert matrix_of(*without).uncovered == ["D08.X2"]
    assert not matrix_of(*without).ok


def test_the_report_names_what_is_wrong(tmp_path: Path) -> None:
    survivor = judge_mutant(LIFO, run_of(), 0.0)
    matrix = Matrix(1, FEW, (survivor,), (judge_sound("native", 7, run_of("D01.X2"), 0.0),), 1.0, whole=False)
    said = "\n".join(report.summary(matrix))
    assert "d01_lifo: SURVIVED" in said
    assert "false alarm: native, seed 7: D01.X2 FAIL" in said
    page = report.write(matrix, tmp_path / "new").read_text(encoding="utf-8")
    assert "FAILED" in page and "d01_lifo" in page and "http" not in page.replace("http-equiv", "")
    told = json.loads((tmp_path / "new" / "selftest.json").read_text(encoding="utf-8"))
    assert told["ok"] is False
    assert told["mutants"][0]["outcome"] == "SURVIVED"


# --- end to end ---


@pytest.fixture
def planted() -> Iterator[None]:
    """A `mutant` that is not broken."""
    name = "d01_not_broken"
    MUTANTS[name] = Mutant(name, ("D01.X2",), "Nothing is wrong with it.", ModelEngine)
    yield
    del MUTANTS[name]


def test_an_engine_that_is_not_broken_is_reported_as_a_survivor(planted: None) -> None:
    run = runner.run(Request("model", 1, FEW, ("D01.X2",), shrink=False))
    assert judge_mutant(MUTANTS["d01_not_broken"], run, 0.0).outcome is Outcome.SURVIVED


def test_a_broken_engine_among_the_sound_ones_is_reported_as_a_false_alarm() -> None:
    name = "d08_filled_ioc_cancelled_too"  # it breaks few rules: the suites shrink what they find
    plan = Plan((), (), (f"mutant:{name}",), seed=3, seeds=1, examples=FEW, jobs=1)
    matrix = carry_out(plan)
    assert not matrix.ok
    assert {alarm.clause for alarm in matrix.alarms} & set(MUTANTS[name].breaks)


HANDFUL = ("d01_lifo", "d02_trade_at_the_incoming_price", "d04_owner_not_checked", "d08_filled_ioc_cancelled_too")


@pytest.mark.soak  # `make test` runs the whole of it
def test_a_handful_of_mutants_and_sound_engines_end_to_end() -> None:
    seen: list[str] = []
    plan = Plan(HANDFUL, ("process_dies_at_once",), ("process",), seed=5, seeds=1, examples=FEW, jobs=2)
    matrix = carry_out(plan, lambda result: seen.append(getattr(result, "name", "sound")))
    assert [row.name for row in matrix.rows] == ["process_dies_at_once", *HANDFUL]
    assert matrix.ok, list(report.summary(matrix))
    assert len(seen) == plan.runs
    assert not matrix.whole


def test_children_that_are_forked_find_what_children_started_afresh_find() -> None:
    request = Request("mutant:d08_ioc_takes_one_level", 11, FEW, ("D08.3", "D08.X5"), shrink=False)
    afresh, forked = runner.run(request), runner.run(request, launch=Forks())
    assert [(v.test, v.clause, v.message) for v in forked.violations] == [
        (v.test, v.clause, v.message) for v in afresh.violations
    ]
    assert afresh.violations


ENDLESS = 1_000_000
"""Examples a property that no run gets through within the time limit of a test."""
STOPPED_WITHIN_S = 20


def test_an_error_in_the_campaign_ends_the_runs_in_hand() -> None:
    class Enough(Exception):
        pass

    def enough(_result: object) -> None:
        raise Enough

    # The first ends at once and brings the error about, while the second would go on for hours.
    plan = Plan((), ("process_dies_at_once",), ("model",), seed=1, seeds=1, examples=ENDLESS, jobs=1)
    began_s = time.monotonic()
    with pytest.raises(Enough):
        carry_out(plan, enough)
    assert time.monotonic() - began_s < STOPPED_WITHIN_S * 2


def test_no_child_is_started_after_the_stop() -> None:
    forks = Forks()
    forks.stop()
    with pytest.raises(Stopped):
        runner.run(Request("model", 1, FEW), launch=forks)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_campaign_promptly_and_leaves_nothing_behind(stop: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "matchmark.conformance.cli", "selftest", "--full", "--jobs", "2"]
    run = subprocess.Popen(
        [*command, "--examples", str(ENDLESS)],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(stop, signal.SIG_DFL),  # a test run in the background may have it ignored
    )
    try:
        assert run.stderr is not None
        _wait_for(
            lambda: len(list(tmp_path.glob("matchmark-*"))) >= 4, "the sound profile's folder, those of three runs"
        )
        time.sleep(2)  # into the middle of the runs, which have written nothing to wait for
        assert run.poll() is None
        run.send_signal(stop)
        assert run.wait(timeout=STOPPED_WITHIN_S) == EXIT_BLOCKED
        assert run.stderr.read().endswith("matchmark: stopped\n")
        assert list(tmp_path.glob("matchmark-*")) == []
        _wait_for(lambda: not _group_lives(run.pid), "the end of every process of the campaign")
    finally:
        if _group_lives(run.pid):
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        if run.stderr is not None:
            run.stderr.close()


def _wait_for(condition: Callable[[], bool], what: str) -> None:
    until_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until_s, f"waited in vain for {what}"
        time.sleep(0.05)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.soak  # `matchmark selftest`, which `make test` runs too, has them all
def test_every_broken_process_gets_the_verdict_that_it_deserves() -> None:
    plan = Plan((), tuple(PROCESSES), (), seed=2, seeds=1, examples=FEW, jobs=2)
    assert [line for line in report.summary(carry_out(plan)) if "wrong verdict" in line] == []


EXPECTED_EXIT = {Verdict.FAIL: EXIT_FAILED, Verdict.INCONCLUSIVE: EXIT_BLOCKED, Verdict.BLOCKED: EXIT_BLOCKED}


def matchmark(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "matchmark.conformance.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=300)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("process_dies_in_a_walk", marks=pytest.mark.soak),
        "process_dies_seldom",
        pytest.param("process_says_nothing", marks=pytest.mark.soak),
    ],
)
def test_certify_says_of_a_broken_process_what_it_deserves(name: str, tmp_path: Path) -> None:
    words = ["certify", "--target", f"mutant:{name}", "--clause", "D01.X8", "--examples", str(FEW), "--out", "run"]
    done = matchmark(*words, cwd=tmp_path)
    assert done.returncode == EXPECTED_EXIT[PROCESSES[name].expected], done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    results = json.loads((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))
    failed = [c["id"] for c in results["clauses"] if c["verdict"] == "FAIL"]
    assert failed == (["D01.X8"] if PROCESSES[name].expected is Verdict.FAIL else [])
    judged = next(c for c in results["clauses"] if c["id"] == "D01.X8")
    assert judged["verdict"] == PROCESSES[name].expected


def test_the_sound_process_passes() -> None:
    run = runner.run(Request(f"mutant:{Process.name}", 1, FEW, ("D01.X8", "D02.8"), shrink=False))
    assert judge_sound("process", 1, run, 0.0).ok


# --- the command ---


@pytest.mark.soak
def test_one_mutant_is_shown_with_a_short_transcript(tmp_path: Path) -> None:
    done = matchmark("selftest", "--mutant", "d01_lifo", "--examples", "50", cwd=tmp_path)
    assert done.returncode == EXIT_OK, done.stderr
    assert "killed, which breaks D01.X2" in done.stdout
    assert "expected" in done.stdout and "-> new" in done.stdout and "<- trade" in done.stdout
    assert done.stdout.count("-> ") <= 6


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--mutant", "d01_lif"], "did you mean d01_lifo"),
        (["--examples", "0"], "at least 1"),
        (["--seeds", "0"], "--no-false-alarms"),
        (["--jobs", "0"], "at least 1"),
        (["--seed", "-1"], "from 0 to"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(words: list[str], hint: str, tmp_path: Path) -> None:
    done = matchmark("selftest", *words, cwd=tmp_path)
    assert done.returncode == EXIT_USAGE
    assert hint in done.stderr
    assert "Traceback" not in done.stderr


def test_the_list_has_every_mutant(tmp_path: Path) -> None:
    done = matchmark("selftest", "--list", cwd=tmp_path)
    assert done.returncode == EXIT_OK
    assert all(name in done.stdout for name in (*MUTANTS, *PROCESSES))
