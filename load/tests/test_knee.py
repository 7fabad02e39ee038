"""The search for the knee, the objectives and the intervals, against targets whose knee is known."""

from __future__ import annotations

import random

import pytest

from matchmark.chaos.checks import Finding
from matchmark.load.arrivals import Arrivals
from matchmark.load.knee import WITHIN, search
from matchmark.load.latency import Latencies
from matchmark.load.measure import Measured
from matchmark.load.run import Outcome, Plan
from matchmark.load.stats import SloError, mean_of, slo_of

PLAN = Plan("specification", Arrivals(), 1)
MS = 1_000_000


def outcome(rate: float, p99_ms: float, late_ms: float = 0.0, answered: float = 1.0, finding: str = "") -> Outcome:
    response, lateness = Latencies.of([int(p99_ms * MS)] * 100), Latencies.of([int(late_ms * MS)] * 100)
    n = int(rate)
    histograms = {"response": response, "service": response, "lateness": lateness}
    made = Outcome(PLAN, measured=Measured(histograms, 1.0, n, n, int(n * answered), 0, 0, 0, True))
    if finding:
        made.judgement.findings.append(Finding(finding, 1, "wrong"))
    return made


def test_the_knee_is_found_between_what_holds_and_what_breaks():
    runs = []

    def fire(rate: float) -> Outcome:
        runs.append(rate)
        return outcome(rate, 1 if rate <= 37_000 else 50)

    found = search(fire, slo_of("p99<10ms"), 2_000, 1e6, 3, lambda trial, counts: None)
    assert found.holds <= 37_000 < found.breaks
    assert found.breaks / found.holds <= WITHIN
    assert not found.ended
    assert len(runs) < 60


def test_one_unlucky_run_of_three_does_not_move_the_knee():
    chance = random.Random(1)
    knees = []
    for _ in range(5):
        found = search(
            lambda rate: outcome(rate, 50 if rate > 20_000 or chance.random() < 0.1 else 1),
            slo_of("p99<10ms"), 5_000, 1e6, 3, lambda trial, counts: None,
        )  # fmt: skip
        knees.append(found.holds)
    assert sorted(knees)[2] > 18_000


def test_a_target_that_falls_behind_has_its_knee_there_even_if_it_is_fast():
    found = search(
        lambda rate: outcome(rate, 1, answered=min(1.0, 10_000 / rate)),
        slo_of("p99<10ms"),
        2_000,
        1e6,
        1,
        lambda trial, counts: None,
    )
    assert 9_000 < found.holds < 10_500


def test_a_knee_below_the_start_is_looked_for_downwards():
    found = search(
        lambda rate: outcome(rate, 1 if rate <= 700 else 99),
        slo_of("p99<10ms"),
        8_000,
        1e6,
        1,
        lambda trial, counts: None,
    )
    assert 650 < found.holds <= 700


def test_wrong_answers_end_the_search():
    found = search(
        lambda rate: outcome(rate, 1, finding="overfill" if rate > 10_000 else ""), slo_of("p99<10ms"), 2_000, 1e6, 3,
        lambda trial, counts: None,
    )  # fmt: skip
    assert found.findings
    assert found.ended == "answers were wrong"


def test_a_generator_that_is_late_is_not_taken_for_the_target():
    found = search(
        lambda rate: outcome(rate, 1 if rate < 30_000 else 40, late_ms=0 if rate < 30_000 else 40),
        slo_of("p99<10ms"), 2_000, 1e6, 1, lambda trial, counts: None,
    )  # fmt: skip
    assert "generator was late" in found.ended


def test_a_generator_that_is_late_beside_the_target_alone_has_found_the_knee():
    found = search(
        lambda rate: outcome(rate, 1 if rate < 30_000 else 40, late_ms=0 if rate < 30_000 else 40),
        slo_of("p99<10ms"), 2_000, 1e6, 1, lambda trial, counts: None, lambda rate: True,
    )  # fmt: skip
    assert not found.ended
    assert 28_000 < found.holds < 30_000


def test_runs_that_others_spoiled_are_made_again_but_not_for_ever():
    chance = random.Random(3)

    def fire(rate: float) -> Outcome:
        spoiled = chance.random() < 0.5
        made = outcome(rate, 50 if rate > 20_000 or spoiled else 1)
        made.disturbed = 0.4 if spoiled else 0.02
        return made

    found = search(fire, slo_of("p99<10ms"), 5_000, 1e6, 3, lambda trial, counts: None)
    assert 18_000 < found.holds <= 20_000
    assert any(step.left_out for step in found.steps)
    always = search(
        lambda rate: _disturbed(outcome(rate, 50)), slo_of("p99<10ms"), 5_000, 1e6, 3, lambda trial, counts: None
    )
    assert not always.holds


def _disturbed(made: Outcome) -> Outcome:
    made.disturbed = 0.9
    return made


def test_a_wrong_answer_counts_however_busy_the_machine():
    found = search(
        lambda rate: _disturbed(outcome(rate, 1, finding="overfill")), slo_of("p99<10ms"), 2_000, 1e6, 3,
        lambda trial, counts: None,
    )  # fmt: skip
    assert found.ended == "answers were wrong"


def test_the_most_that_was_asked_for_is_no_knee():
    found = search(lambda rate: outcome(rate, 1), slo_of("p99<10ms"), 2_000, 20_000, 1, lambda trial, counts: None)
    assert found.holds == 20_000
    assert "--max" in found.ended


def test_objectives():
    slo = slo_of("p50<200us, p99.9<=20ms,max<1s")
    assert slo.bounds == ((50.0, 200_000), (99.9, 20_000_000), (100.0, 1_000_000_000))
    assert slo.broken(Latencies.of([100_000] * 1000)) == ""
    assert "p99.9" in slo.broken(Latencies.of([100_000] * 900 + [30_000_000] * 100))
    for wrong in ("fast", "p99", "p99<5", "p0<5ms", "p101<5ms", ""):
        with pytest.raises(SloError):
            slo_of(wrong)


def test_intervals_are_students():
    mean = mean_of([10.0, 12.0, 14.0])
    assert mean.value == 12
    assert mean.half == pytest.approx(4.303 * 2 / 3**0.5)
    assert mean_of([5.0]).half is None
    assert mean_of([]).n == 0
