"""The two rules that everything else only displays: how verdicts merge, and when a level is certified."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matchmark.conformance.verdict import Verdict
from matchmark.reports.verdicts import WAIVABLE, WORST_FIRST, LevelStatus, judge_level, merge_verdicts

verdicts = st.sampled_from(list(Verdict))


@dataclass(frozen=True)
class Clause:
    id: str
    strength: str = "MUST"
    levels: tuple[str, ...] = ("matching",)


@dataclass(frozen=True)
class Result:
    id: str
    verdict: Verdict
    tests: tuple[str, ...] = ("t",)


def pairs(*given_verdicts: Verdict, strength: str = "MUST") -> list[tuple[Clause, Result]]:
    return [(Clause(f"D01.{n}", strength), Result(f"D01.{n}", v)) for n, v in enumerate(given_verdicts, 1)]


def judge(*given_verdicts: Verdict) -> LevelStatus:
    return judge_level("matching", pairs(*given_verdicts), [])[0]


def test_every_verdict_has_a_rank() -> None:
    assert sorted(WORST_FIRST) == sorted(Verdict)


@pytest.mark.parametrize(("worse", "better"), list(pairwise(WORST_FIRST)))
def test_the_worse_of_two_verdicts_stands(worse: Verdict, better: Verdict) -> None:
    assert merge_verdicts([worse, better]) is merge_verdicts([better, worse]) is worse


def test_no_verdict_is_untested() -> None:
    assert merge_verdicts([]) is Verdict.UNTESTED


def test_an_unknown_verdict_is_refused() -> None:
    with pytest.raises(ValueError, match="PASSED"):
        merge_verdicts(["PASSED"])


@given(st.lists(verdicts, min_size=1, max_size=5), st.lists(verdicts, min_size=1, max_size=5))
def test_merging_in_any_grouping_and_order_is_the_same(a: list[Verdict], b: list[Verdict]) -> None:
    assert merge_verdicts([merge_verdicts(a), merge_verdicts(b)]) is merge_verdicts(b + a)


@given(st.lists(verdicts, max_size=6))
def test_pass_needs_a_pass_and_nothing_worse(some: list[Verdict]) -> None:
    passes = Verdict.PASS in some and set(some) <= {Verdict.PASS, Verdict.NOT_APPLICABLE}
    assert (merge_verdicts(some) is Verdict.PASS) == passes


EXPECTED_OF_ONE = {
    Verdict.PASS: LevelStatus.CERTIFIED,
    Verdict.FAIL: LevelStatus.NOT_CERTIFIED,
    Verdict.INCONCLUSIVE: LevelStatus.NOT_ASSESSED,
    Verdict.BLOCKED: LevelStatus.NOT_ASSESSED,
    Verdict.UNTESTED: LevelStatus.NOT_ASSESSED,
    Verdict.NOT_APPLICABLE: LevelStatus.NOT_ASSESSED,
}


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_level_of_one_clause(verdict: Verdict) -> None:
    assert judge(verdict) is EXPECTED_OF_ONE[verdict]


def expected(some: tuple[Verdict, ...]) -> LevelStatus:
    """The rule once more, as a table of sets."""
    kinds = set(some)
    if Verdict.FAIL in kinds:
        return LevelStatus.NOT_CERTIFIED
    if Verdict.PASS not in kinds:
        return LevelStatus.NOT_ASSESSED
    if kinds & {Verdict.BLOCKED, Verdict.INCONCLUSIVE}:
        return LevelStatus.NOT_CERTIFIED
    return LevelStatus.NOT_ASSESSED if Verdict.UNTESTED in kinds else LevelStatus.CERTIFIED


def test_all_levels_of_up_to_four_clauses() -> None:
    for size in range(5):
        for some in product(Verdict, repeat=size):
            assert judge(*some) is expected(some), some


def test_the_order_of_clauses_does_not_matter() -> None:
    for some in permutations((Verdict.PASS, Verdict.NOT_APPLICABLE, Verdict.UNTESTED, Verdict.BLOCKED)):
        assert judge(*some) is LevelStatus.NOT_CERTIFIED


@given(
    st.lists(
        st.tuples(verdicts, st.sampled_from(["MUST", "SHOULD"]), st.sampled_from(["matching", "wire"]), st.booleans()),
        max_size=8,
    ),
    st.booleans(),
    st.booleans(),
)
def test_certified_means_every_must_clause_is_accounted_for(
    rows: list[tuple[Verdict, str, str, bool]], exploratory: bool, core_missing: bool
) -> None:
    clauses = [Clause(f"D01.{n}", strength, (level,)) for n, (_, strength, level, _) in enumerate(rows)]
    results = [Result(f"D01.{n}", verdict) for n, (verdict, *_) in enumerate(rows)]
    waived = {f"D01.{n}" for n, row in enumerate(rows) if row[3]}
    status, reason = judge_level(
        "matching",
        zip(clauses, results, strict=True),
        ["ioc"] if core_missing else [],
        waived=waived,
        exploratory=exploratory,
    )
    own = [(c, r) for c, r in zip(clauses, results, strict=True) if c.strength == "MUST" and c.levels == ("matching",)]
    fine = {Verdict.PASS, Verdict.NOT_APPLICABLE}
    accounted = all(r.verdict in fine or (r.verdict in WAIVABLE and c.id in waived) for c, r in own)
    some_pass = any(r.verdict is Verdict.PASS for _, r in own)
    assert (status is LevelStatus.CERTIFIED) == (accounted and some_pass and not exploratory and not core_missing)
    assert reason.endswith(".")
    if any(r.verdict is Verdict.FAIL and c.id not in waived for c, r in own):
        assert status is LevelStatus.NOT_CERTIFIED


def test_nothing_is_never_certified() -> None:
    assert judge_level("matching", [], [])[0] is LevelStatus.NOT_ASSESSED


def test_a_pass_that_names_no_test_is_no_pass() -> None:
    clauses = [(Clause("D01.5"), Result("D01.5", Verdict.PASS, ()))]
    assert judge_level("matching", clauses, [])[0] is LevelStatus.NOT_ASSESSED


def test_a_missing_core_capability_is_named() -> None:
    status, reason = judge_level("matching", pairs(Verdict.PASS), ["ioc", "market"])
    assert status is LevelStatus.NOT_CERTIFIED
    assert "ioc, market" in reason


def test_a_failed_should_clause_is_mentioned_and_does_not_decide() -> None:
    both = [*pairs(Verdict.PASS), (Clause("D01.P1", "SHOULD"), Result("D01.P1", Verdict.FAIL))]
    status, reason = judge_level("matching", both, [])
    assert status is LevelStatus.CERTIFIED
    assert "1 SHOULD failed: D01.P1" in reason


def test_should_clauses_alone_certify_nothing() -> None:
    assert judge_level("matching", pairs(Verdict.PASS, strength="SHOULD"), [])[0] is LevelStatus.NOT_ASSESSED


@pytest.mark.parametrize("verdict", [Verdict.BLOCKED, Verdict.UNTESTED])
def test_a_waiver_excuses_only_what_is_known(verdict: Verdict) -> None:
    status, _ = judge_level("matching", pairs(Verdict.PASS, verdict), [], waived={"D01.2"})
    assert status is not LevelStatus.CERTIFIED


def test_a_waived_failure_is_told() -> None:
    status, reason = judge_level("matching", pairs(Verdict.PASS, Verdict.FAIL), [], waived={"D01.2"})
    assert status is LevelStatus.CERTIFIED
    assert "1 waived: D01.2" in reason


def test_an_exploratory_run_is_not_assessed_but_its_failures_count() -> None:
    assert judge_level("matching", pairs(Verdict.PASS), [], exploratory=True)[0] is LevelStatus.NOT_ASSESSED
    assert judge_level("matching", pairs(Verdict.FAIL), [], exploratory=True)[0] is LevelStatus.NOT_CERTIFIED


def test_results_of_another_clause_are_refused() -> None:
    with pytest.raises(ValueError, match=r"D01\.1 was given the result of D01\.2"):
        judge_level("matching", [(Clause("D01.1"), Result("D01.2", Verdict.PASS))], [])


def test_a_long_list_of_clauses_is_cut_short() -> None:
    _, reason = judge_level("matching", pairs(*[Verdict.FAIL] * 30), [])
    assert "and 22 more" in reason
