"""What a certificate says in words is true of the run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from matchmark.conformance.verdict import Verdict
from matchmark.reports.records import Results
from matchmark.reports.statement import assumptions, gaps, open_clauses, title
from matchmark.reports.verdicts import LevelStatus

Sample = Callable[[str], Results]


def said(results: Results, words: str) -> bool:
    return any(words in sentence for sentence in assumptions(results))


def test_verdicts_of_steps_with_a_budget_are_not_verdicts_about_time(sample: Sample) -> None:
    assert said(sample("pass"), "Latency was measured and not judged")


def test_a_judged_budget_is_named(sample: Sample) -> None:
    results = sample("pass")
    budget = next(c for c in results.clauses if c.kind == "performance")
    budget.verdict, budget.tests = Verdict.PASS, ["t"]
    assert said(results, f"Latency verdicts ({budget.id}) hold for the machine")


def test_nothing_measured_is_said(sample: Sample) -> None:
    assert said(sample("inconclusive"), "No latency was measured")


def test_waivers_in_force_are_said_and_others_are_not(sample: Sample) -> None:
    results = sample("fail")
    assert said(results, "Declared deviations were excused: D04.X2")
    results.waivers[0].state = "expired"
    assert not said(results, "Declared deviations")


def test_notes_about_the_target_are_carried_over_as_sentences(sample: Sample) -> None:
    assert "Driven as a subprocess, one command at a time." in assumptions(sample("pass"))


@pytest.mark.parametrize("kind", ["pass", "fail", "inconclusive"])
def test_every_clause_is_passed_failed_or_a_gap_with_a_reason(sample: Sample, kind: str) -> None:
    results = sample(kind)
    found = gaps(results)
    listed = [clause_id for gap in found for clause_id in gap.clauses]
    settled = [c.id for c in results.clauses if c.verdict in (Verdict.PASS, Verdict.FAIL)]
    assert sorted(listed + settled) == sorted(c.id for c in results.clauses)
    assert all(gap.reason for gap in found)


def test_failed_must_clauses_come_first(sample: Sample) -> None:
    results = sample("inconclusive")
    budget = next(c for c in results.clauses if c.level == "SHOULD")
    broken = next(c for c in results.clauses if c.id == "D07.X1")
    budget.verdict = broken.verdict = Verdict.FAIL
    assert [c.id for c in open_clauses(results)] == ["D07.X1", budget.id, "D08.5", "D04.X4"]


def test_only_a_certified_level_makes_a_certificate(sample: Sample) -> None:
    results = sample("pass")
    assert title(results) == "Certificate of conformance"
    results.levels = dict.fromkeys(results.levels, LevelStatus.NOT_ASSESSED)
    assert title(results) == "Conformance report"
    results.exploratory = True
    assert title(results) == "Exploratory run"
