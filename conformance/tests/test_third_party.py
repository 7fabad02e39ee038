"""`matchmark third-party`: what the page says of a run and its notes, and what it refuses."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from matchmark.conformance.commands import third_party
from matchmark.conformance.verdict import Verdict
from matchmark.reports.records import ClauseResult, Evidence, Results, TargetSummary
from matchmark.reports.results import to_json
from matchmark.reports.verdicts import LevelStatus

NOTES = """# toy

- language: Pascal

One book is one instrument.

## D04.X1, D04.3: a filled order can be cancelled

    toy.cancel(filled)
"""


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    folder = tmp_path / "examples" / "toy"
    folder.mkdir(parents=True)
    (folder / "target.toml").write_text("")
    (folder / "NOTES.md").write_text(NOTES)
    return folder.parent


def failing(clause: str) -> ClauseResult:
    sent = {"op": "cancel", "cl": "c2", "orig": "c1", "acct": "A1", "sym": "S0"}
    answer = {"ev": "cancelled", "cl": "c1", "leaves": 0, "cum": 5}
    transcript = [{"sent_ns": 1, "done_ns": 2, "command": sent, "events": [answer]}]
    evidence = Evidence(clause, "test_x", "it is filled", ["cancel_rejected cl=c2"], ["cancelled cl=c1"], transcript)
    return ClauseResult(
        clause, "MUST", Verdict.FAIL, "it is filled", ["test_x"], evidence=[evidence], levels=["matching"]
    )


def results(*clauses: ClauseResult, **values: object) -> Results:
    levels = {"matching": LevelStatus.NOT_CERTIFIED}
    target = TargetSummary("toy", "1|2", ["cancel"])
    time = "2026-01-01T00:00:00+00:00"
    return Results("0.1", "1.0", target, 1, time, time, {}, levels, list(clauses), **values)  # type: ignore[arg-type]


def arguments(examples: Path, out: Path, page: Path, *more: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    third_party.add_arguments(parser)
    return parser.parse_args(["--examples-dir", str(examples), "--out", str(out), "--page", str(page), *more])


def test_a_cause_is_told_once_with_all_its_clauses_and_its_shortest_transcript(examples: Path) -> None:
    [example] = third_party.find(examples)
    page = third_party.page([(example, results(failing("D04.3"), failing("D04.X1")))])
    assert "| [toy](#toy) | 1\\|2 | Pascal | NOT CERTIFIED | 0 | 2 |" in page
    assert page.count("### A filled order can be cancelled") == 1
    assert "- **D04.X1** it is filled\n- **D04.3** it is filled" in page
    assert page.count("-> cancel cl=c2 orig=c1") == 1
    assert "toy.cancel(filled)" in page
    assert "One book is one instrument." in page
    assert "language:" not in page


def test_a_failure_that_the_notes_do_not_confirm_is_marked_and_told(examples: Path) -> None:
    [example] = third_party.find(examples)
    run = results(failing("D04.3"), failing("D02.X1"))
    assert "### D02.X1, not confirmed by hand yet" in third_party.page([(example, run)])
    unconfirmed, stale = third_party.disagreements(example, run)
    assert "not confirmed in its notes: D02.X1" in unconfirmed
    assert "not failed in this run: D04.X1" in stale


def test_a_run_that_judged_nothing_is_blocked(examples: Path) -> None:
    [example] = third_party.find(examples)
    run = results(ClauseResult("D04.3", "MUST", Verdict.BLOCKED), level_reasons={"matching": "it needs 'go'"})
    assert third_party.status(run) == "BLOCKED"
    assert third_party.disagreements(example, run) == ["toy: blocked, nothing was tested: it needs 'go'"]


def test_the_page_is_written_from_run_folders_and_exits_3_while_something_is_open(
    examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, page = tmp_path / "out", tmp_path / "page.md"
    assert third_party.run(arguments(examples, out, page, "--page-only")) == 3
    assert "no run of toy" in capsys.readouterr().err
    assert not page.exists()
    (out / "toy").mkdir(parents=True)
    (out / "toy" / "results.json").write_text(json.dumps(to_json(results(failing("D04.3"), failing("D04.X1")))))
    assert third_party.run(arguments(examples, out, page, "--page-only")) == 0
    assert page.read_text().startswith("# Engines that this project did not write")
    (out / "toy" / "results.json").write_text(json.dumps(to_json(results(failing("D04.3")))))
    assert third_party.run(arguments(examples, out, page, "--page-only")) == 3


@pytest.mark.parametrize(
    ("notes", "problem"),
    [
        (None, "every example has notes"),
        ("# toy\n", "lacks a line `- language: ...`"),
        ("- language: C\n## D04.X1 no colon\n", "clauses, a colon and the cause"),
        ("- language: C\n## D04.X99: cause\n", "D04.X99"),
    ],
)
def test_notes_that_cannot_be_used_are_refused_by_file_and_fix(
    examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], notes: str | None, problem: str
) -> None:
    path = examples / "toy" / "NOTES.md"
    path.unlink() if notes is None else path.write_text(notes)
    assert third_party.run(arguments(examples, tmp_path, tmp_path / "page.md", "--page-only")) == 2
    error = capsys.readouterr().err
    assert problem in error
    assert "Traceback" not in error


def test_an_unknown_engine_and_an_empty_folder_are_usage_errors(
    examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert third_party.run(arguments(examples, tmp_path, tmp_path / "p.md", "--engine", "nobody")) == 2
    assert "the examples are toy" in capsys.readouterr().err
    assert third_party.run(arguments(tmp_path / "none", tmp_path, tmp_path / "p.md")) == 2
    assert "run this in a checkout" in capsys.readouterr().err
