"""`matchmark certify --target exchange`: levels by what is declared, tokens in no file, nothing left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from matchmark.conformance.certification import levels_for, results_of
from matchmark.conformance.clauses import load
from matchmark.conformance.runner import CheckRecord, Request, Run
from matchmark.conformance.targets.open import capabilities_of
from matchmark.conformance.timing import (
    AT_A_DIRECT_CLIENT,
    AT_A_STANDARD_CLIENT,
    GRADED,
    LEFT_FOR_SUBSCRIBERS,
    Measured,
)
from matchmark.conformance.verdict import Verdict

CERTIFY = [sys.executable, "-m", "matchmark.conformance.cli", "certify", "--target", "exchange", "--seed", "1"]


def serving(folder: Path) -> dict[int, list[str]]:
    """Processes that were started on a folder below `folder`, with their words."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except (OSError, NotADirectoryError):
            continue
        if entry.name.isdigit() and "serve" in words and any(str(folder) in word for word in words):
            found[int(entry.name)] = words
    return found


@pytest.fixture
def own(tmp_path):
    """Environment of a run whose temporary files and keys are its own."""
    (tmp_path / "tmp").mkdir()
    return {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "XDG_CONFIG_HOME": str(tmp_path / "config")}


def test_one_clause_over_fix_leaves_a_folder_without_tokens_and_nothing_else(tmp_path, own):
    out = tmp_path / "run"
    done = subprocess.run([*CERTIFY, "--clause", "D03.4", "--out", str(out)], env=own, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((out / "results.json").read_text())
    assert {c["id"]: c["verdict"] for c in results["clauses"] if c["tests"]} == {"D03.4": "PASS"}
    stages = {row["stage"].partition(" ")[0] for row in results["latency"]}
    assert {"D01.8", "D03.8", "D10.2"} <= stages
    lines = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert any("|35=D|" in said["fix"] for line in lines for said in line.get("wire", ()))
    for path in (path for path in out.rglob("*") if path.is_file()):
        assert not re.search(r"eyJ[\w-]{10,}\.eyJ", path.read_text(errors="replace")), path
    assert serving(tmp_path) == {}
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_takes_the_exchange_with_it(tmp_path, own, how):
    words = [*CERTIFY, "--level", "matching", "--out", str(tmp_path / "run")]
    run = subprocess.Popen(
        words,
        env=own,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(how, signal.SIG_DFL),  # a test run in the background may have it ignored
    )
    assert run.stderr is not None
    until = time.monotonic() + 240
    while not (started := serving(tmp_path)) and time.monotonic() < until:
        time.sleep(0.05)
    assert started
    memory = {Path(words[words.index("--shm-dir") + 1]) for words in started.values()}
    run.send_signal(how)
    said = run.communicate(timeout=120)[1]
    assert run.returncode == 3, said
    assert "stopped" in said
    assert serving(tmp_path) == {}
    assert [path for path in memory if path.exists()] == []
    assert list((tmp_path / "tmp").iterdir()) == []


ALL_SO_FAR = ("matching", "order-entry", "market-data", "durability", "safety", "availability", "wire")


def test_the_levels_are_those_that_the_target_declares_enough_for():
    assert levels_for(capabilities_of("native")) == ("matching",)
    assert levels_for(capabilities_of("exchange")) == ALL_SO_FAR
    without = tuple(level for level in ALL_SO_FAR if level not in ("market-data", "wire"))
    assert levels_for(capabilities_of("exchange-fsync")) == without
    assert "market-data" in levels_for(capabilities_of("exchange-full")) and "kafka" in capabilities_of("exchange-full")
    assert levels_for({"limit", "market", "ioc", "cancel", "fix"}) == ("matching", "order-entry")
    assert levels_for(()) == ("matching",)


def run_of(*capabilities: str, level: str = "matching") -> Run:
    """A run in which every clause of the level that the target can meet passed."""
    run = Run(control_ok=True, target={"capabilities": list(capabilities)})
    for clause in load().for_level(level):
        verdict = Verdict.PASS if set(clause.needs) <= set(capabilities) else Verdict.NOT_APPLICABLE
        run.tests.append(CheckRecord(f"t::{clause.id}", [clause.id], verdict, "", 1, 0.0))
    return run


def judged(run: Run, *levels: str):
    request = Request("x", 1, 1000, levels=levels)
    return results_of(run, request, levels, datetime.now(UTC), invocation="")


CORE = ("limit", "market", "ioc", "cancel")


def test_a_target_without_fix_is_told_so_of_the_other_levels():
    results = judged(run_of(*CORE), "matching")
    assert results.levels["matching"] == "CERTIFIED"
    assert results.levels["order-entry"] == "NOT_ASSESSED"
    assert results.level_reasons["order-entry"] == "The target does not declare fix."
    verdicts = {c.id: c for c in results.clauses}
    assert verdicts["D01.X24"].verdict is Verdict.NOT_APPLICABLE
    assert "does not declare fix" in verdicts["D01.X24"].reason


def test_a_target_that_is_asked_for_a_level_it_does_not_declare_is_not_certified():
    results = judged(run_of(*CORE, level="order-entry"), "order-entry")
    assert results.levels["order-entry"] == "NOT_CERTIFIED"
    assert "fix" in results.level_reasons["order-entry"]


def test_levels_that_were_not_asked_for_say_so():
    results = judged(run_of(*CORE, "fix", "audit_log", level="order-entry"), "order-entry")
    assert results.level_reasons["matching"] == "Not asked for."
    assert results.level_reasons["durability"] == "Not asked for."
    assert results.level_reasons["wire"] == "The target does not declare raw_frames."


def test_a_level_that_this_machine_cannot_certify_says_why():
    run = run_of(*CORE, "fix", "audit_log", "raw_frames", level="order-entry")
    request = Request("x", 1, 1000, levels=("order-entry",))
    left_out = {"wire": "This machine cannot: network namespaces need root."}
    results = results_of(run, request, ("order-entry",), datetime.now(UTC), invocation="", left_out=left_out)
    assert results.levels["wire"] == "NOT_ASSESSED"
    assert results.level_reasons["wire"] == "This machine cannot: network namespaces need root."


@pytest.mark.parametrize(("grade", "p99_ns", "verdict"), [
    ("none", 1, Verdict.UNTESTED), ("budget", 60_000, Verdict.PASS), ("budget", 60_001, Verdict.FAIL),
])  # fmt: skip
def test_stages_are_graded_only_where_the_profile_asks(grade, p99_ns, verdict):
    run = run_of(*CORE, "fix", "stage_times")
    run.target["grade"] = grade
    row = {
        "stage": "D01.8 acknowledged",
        "count": 9,
        "p50_ns": 1,
        "p99_ns": p99_ns,
        "p999_ns": p99_ns,
        "max_ns": p99_ns,
    }
    run.latency = [{**row, "budget_ns": 60_000}]
    results = judged(run, "matching")
    assert {c.id: c.verdict for c in results.clauses}["D01.P1"] is verdict
    assert results.latency[0].budget_ns == 60_000


@pytest.mark.parametrize(
    ("stage", "clause"),
    [(AT_A_STANDARD_CLIENT, "D09.P1"), (AT_A_DIRECT_CLIENT, "D09.P2"), (LEFT_FOR_SUBSCRIBERS, "D02.P3")],
)
@pytest.mark.parametrize(("late_ns", "verdict"), [(0, Verdict.PASS), (1, Verdict.FAIL)])
def test_what_the_suites_measure_is_graded_like_a_stage(stage, clause, late_ns, verdict):
    run, (name, budget_ns) = run_of(*CORE, "fix", "market_data", "direct_feed", "stage_times"), stage
    assert load()[clause].budget_ns == budget_ns
    measured = Measured()
    measured.add(stage, [budget_ns + late_ns])
    run.target["grade"], run.latency = "budget", measured.rows()
    results = judged(run, "matching")
    assert {c.id: c.verdict for c in results.clauses}[clause] is verdict
    assert [row.stage for row in results.latency] == [name]


def test_every_graded_clause_has_a_budget():
    register = load()
    assert [clause for clause in GRADED if not register[clause].budget_ns] == ["D10.P2"]  # the disk's own, measured
