"""results.json: what is written can be read, and what is wrong is refused with its path."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matchmark.conformance.verdict import Verdict
from matchmark.reports.document import DocumentError, canonical, parse, readable
from matchmark.reports.records import ClauseResult, Results, TargetSummary, Waiver
from matchmark.reports.results import ResultsError, frame, from_json, settle_waivers, to_json
from matchmark.reports.verdicts import LevelStatus

Sample = Callable[[str], Results]


def small(**changes: Any) -> dict[str, Any]:
    """The least document that is a document."""
    document: dict[str, Any] = {
        "matchmark": "0.1.0",
        "spec": "1.0",
        "target": {"name": "model", "version": "1", "capabilities": ["limit"]},
        "seed": 1,
        "started": "2026-11-23T14:05:09+00:00",
        "ended": "2026-11-23T14:06:02+00:00",
        "environment": {},
        "levels": {"matching": "CERTIFIED"},
        "clauses": [
            {"id": "D01.5", "level": "MUST", "verdict": "PASS", "tests": ["t"], "examples": 1, "levels": ["matching"]}
        ],
        "latency": [],
    }
    return {**document, **changes}


def clause(**changes: Any) -> list[dict[str, Any]]:
    return [{**small()["clauses"][0], **changes}]


@pytest.mark.parametrize("kind", ["pass", "fail", "inconclusive"])
def test_what_is_written_is_what_is_read(sample: Sample, kind: str) -> None:
    results = sample(kind)
    assert from_json(parse(readable(to_json(results)), "results.json")) == results


def test_hostile_text_survives_the_round_trip(sample: Sample) -> None:
    results = sample("hostile")
    assert from_json(parse(readable(to_json(results)), "results.json")) == results


def test_the_least_document_is_enough() -> None:
    assert from_json(small()).levels == {"matching": LevelStatus.CERTIFIED}


def test_a_certificate_and_wrong_answers_under_load_contradict_each_other() -> None:
    under = {"plan": "p", "offered_per_s": 1, "answered_per_s": 1, "orders": 1}
    assert from_json(small(load=under)).levels == {"matching": LevelStatus.CERTIFIED}
    with pytest.raises(
        ResultsError, match=r"levels\.matching: says CERTIFIED, but answers were wrong under load: twice"
    ):
        from_json(small(load={**under, "findings": ["twice"]}))


def test_unknown_keys_are_left_for_newer_versions() -> None:
    assert from_json(small(later="x")).seed == 1


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "document: expected an object, got list []"),
        (small(seed="1"), "seed: expected a whole number, got str '1'"),
        (small(seed=True), "seed: expected a whole number, got bool True"),
        (small(started="yesterday"), "started: expected a time with its zone"),
        (small(started="2026-11-23T14:05:09"), "started: expected a time with its zone"),
        (small(target={"version": "1"}), "target.name: is missing"),
        (
            small(target={"name": "x", "version": "1", "capabilities": ["a", 3]}),
            "target.capabilities[1]: expected text",
        ),
        (small(levels={"matching": "YES"}), "levels.matching: expected one of CERTIFIED, NOT_CERTIFIED, NOT_ASSESSED"),
        (small(levels={}, level_reasons={"wire": "?"}), "level_reasons.wire: a reason for a level"),
        (small(clauses={}), "clauses: expected a list"),
        (small(clauses=["x"]), "clauses[0]: expected an object, got str 'x'"),
        (small(clauses=clause(verdict="OK")), "clauses[0].verdict: expected one of FAIL"),
        (small(clauses=clause(level="MAY")), "clauses[0].level: expected MUST or SHOULD, got 'MAY'"),
        (small(clauses=clause(examples=-1)), "clauses[0].examples: must be at least 0, got -1"),
        (small(clauses=clause(tests=[])), "clauses[0].tests: D01.5 is PASS by no test"),
        (small(clauses=clause(verdict="FAIL"), levels={}), "clauses[0].evidence: D01.5 failed without evidence"),
        (small(clauses=clause() * 2), "clauses: D01.5 is there 2 times"),
        (
            small(clauses=clause(evidence=[{"clause": "D01.6", "message": "m"}])),
            "clauses[0].evidence[0].clause: evidence of D01.6 is filed under D01.5",
        ),
        (
            small(clauses=clause(evidence=[{"clause": "D01.5", "message": "m", "index": 0}])),
            "clauses[0].evidence[0].index: points at exchange 0 of a transcript of 0",
        ),
        (
            small(latency=[{"stage": "s", "count": 1, "p50_ns": 9, "p99_ns": 1, "p999_ns": 9, "max_ns": 9}]),
            "latency[0].p50_ns: p50, p99, p99.9 and maximum of stage 's' must not fall",
        ),
        (
            small(waivers=[{"clause": "a", "reason": "b", "expires": "c", "state": "d"}]),
            "waivers[0].state: expected one",
        ),
    ],
)
def test_a_wrong_document_is_refused_with_the_path(document: Any, words: str) -> None:
    with pytest.raises(ResultsError) as caught:
        from_json(document)
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    "clauses",
    [
        clause(verdict="UNTESTED"),
        clause(verdict="BLOCKED"),
        clause(verdict="INCONCLUSIVE"),
        clause(verdict="NOT_APPLICABLE"),
        clause(verdict="FAIL", reason="broken"),
        clause(levels=["wire"]),
        [],
    ],
)
def test_certified_is_believed_only_if_the_clauses_say_so(clauses: list[dict[str, Any]]) -> None:
    with pytest.raises(ResultsError, match=r"levels\.matching: says CERTIFIED, but the clauses say otherwise"):
        from_json(small(clauses=clauses))


def test_an_exploratory_run_cannot_be_certified() -> None:
    with pytest.raises(ResultsError, match="exploratory"):
        from_json(small(exploratory=True))


def test_a_contradiction_is_not_written_either() -> None:
    bad = ClauseResult("D01.5", "MUST", Verdict.FAIL, "broken", ["t"], levels=["matching"])
    results = Results(
        *("0.1.0", "1.0", TargetSummary("x", "1"), 1, "2026-11-23T14:05:09+00:00", "2026-11-23T14:05:10+00:00", {}),
        levels={"matching": LevelStatus.CERTIFIED},
        clauses=[bad],
    )
    with pytest.raises(ResultsError, match="1 of 1 MUST clauses failed"):
        to_json(results)


@pytest.mark.parametrize("text", ["", "{", '{"a":1,"a":2}', '{"a":NaN}', "[" * 100_000, b"\xff\xfe"])
def test_what_is_not_json_is_refused_by_name(text: str | bytes) -> None:
    with pytest.raises(DocumentError, match=r"results\.json: not a JSON document"):
        parse(text, "results.json")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def complaint_about(document: Any) -> str | None:
    try:
        from_json(document)
    except ResultsError as error:
        return str(error)
    return None


@given(json_values)
def test_any_json_value_is_taken_or_refused_in_words(value: Any) -> None:
    complaint = complaint_about(value)
    assert complaint is None or complaint


@given(st.sampled_from(sorted(small())), json_values)
def test_any_value_in_any_place_is_taken_or_refused_in_words(key: str, value: Any) -> None:
    complaint = complaint_about(small(**{key: value}))
    assert complaint is None or complaint.startswith((key, "levels"))


@given(json_values)
def test_canonical_bytes_are_json_and_do_not_depend_on_key_order(value: Any) -> None:
    assert json.loads(canonical(value)) == value
    if isinstance(value, dict):
        assert canonical(dict(reversed(value.items()))) == canonical(value)


def test_canonical_json_takes_no_floats() -> None:
    with pytest.raises(TypeError, match=r"value\.a\[1\] is a float"):
        canonical({"a": [1, 1.5]})


def test_the_frame_has_a_row_for_each_clause(sample: Sample) -> None:
    results = sample("fail")
    table = frame(results)
    assert list(table["id"]) == [c.id for c in results.clauses]
    failed = table[table.verdict == "FAIL"].set_index("id")
    assert sorted(failed.index) == ["D04.E1", "D04.X2", "D07.X1"]
    assert failed.loc["D04.E1", "evidence"] == 2


@pytest.mark.parametrize(
    ("verdict", "expires", "state"),
    [
        (Verdict.FAIL, "2026-12-31", "in force"),
        (Verdict.INCONCLUSIVE, "2026-12-31", "in force"),
        (Verdict.FAIL, "2026-11-23", "in force"),
        (Verdict.FAIL, "2026-11-22", "expired"),
        (Verdict.PASS, "2026-12-31", "stale"),
        (Verdict.UNTESTED, "2026-12-31", "unused"),
        (Verdict.BLOCKED, "2026-12-31", "unused"),
    ],
)
def test_the_state_of_a_waiver(verdict: Verdict, expires: str, state: str) -> None:
    (waiver,) = settle_waivers([Waiver("D04.X2", "r", expires)], {"D04.X2": verdict}, "2026-11-23")
    assert waiver.state == state
