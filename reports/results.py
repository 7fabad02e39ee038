"""results.json: writing and reading the document of a run.

The document explains itself: it carries the text and the rulings of the clauses it judges, so that it can be read, and
the certificate drawn from it, when the kit and its register have moved on. `from_json` trusts no one; its errors name
the path in the document. `to_json` trusts its caller no more, so a document that contradicts itself is never written.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from matchmark.conformance.verdict import Verdict
from matchmark.reports.document import DocumentError, Node
from matchmark.reports.records import (
    STRENGTHS,
    WAIVER_STATES,
    ClauseResult,
    DiagramText,
    Evidence,
    FileDigest,
    LatencyRow,
    LoadSummary,
    Results,
    RulingText,
    Signer,
    TargetSummary,
    Waiver,
)
from matchmark.reports.verdicts import LevelStatus, judge_level, merge_verdicts
from matchmark.reports.waivers import settle_waivers, waived_clauses

if TYPE_CHECKING:
    import pandas

__all__ = [
    "ClauseResult",
    "DiagramText",
    "Evidence",
    "FileDigest",
    "LatencyRow",
    "LevelStatus",
    "LoadSummary",
    "Results",
    "ResultsError",
    "RulingText",
    "Signer",
    "TargetSummary",
    "Verdict",
    "Waiver",
    "frame",
    "from_json",
    "judge_level",
    "merge_verdicts",
    "settle_waivers",
    "to_json",
    "waived_clauses",
]

ResultsError = DocumentError
"""A results document that is malformed or contradicts itself; the text starts with the path of the value."""


def to_json(results: Results) -> dict[str, Any]:
    """The document of results. ResultsError when it contradicts itself, so that no such document gets written."""
    document = _without_blanks(asdict(results))
    from_json(document)
    return document


_ALWAYS = {
    "ClauseResult": {"id", "level", "verdict", "reason", "tests", "examples", "evidence", "mutants"},
    "LatencyRow": {f.name for f in fields(LatencyRow)},
    "Results": {f.name for f in fields(Results)}
    - {"diagrams", "rulings", "signer", "files", "waivers", "notes", "load"},
}


def _without_blanks(document: dict[str, Any]) -> dict[str, Any]:
    """Only the keys that every document has, and those that say something."""
    for key, name in (("clauses", "ClauseResult"), ("latency", "LatencyRow")):
        document[key] = [_said(item, _ALWAYS[name]) for item in document[key]]
    return _said(document, _ALWAYS["Results"])


def _said(item: dict[str, Any], always: set[str]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key in always or value not in (None, "", [], {})}


def from_json(document: Any) -> Results:
    """The results in a parsed results.json. ResultsError names the path of the first thing that is wrong."""
    root = Node(document)
    target = root.child("target")
    results = Results(
        matchmark=root.text("matchmark"),
        spec=root.text("spec"),
        target=TargetSummary(target.text("name"), target.text("version"), target.texts("capabilities")),
        seed=root.integer("seed", minimum=None),
        started=root.timestamp("started"),
        ended=root.timestamp("ended"),
        environment=root.mapping("environment", required=True),
        levels=_levels(root),
        clauses=[_clause(node) for node in root.children("clauses", required=True)],
        latency=[_latency(node) for node in root.children("latency")],
        exploratory=root.flag("exploratory", False),
        level_reasons=_reasons(root),
        invocation=root.text("invocation", ""),
        notes=root.texts("notes"),
        duration_s=root.number("duration_s", 0.0),
        waivers=[_waiver(node) for node in root.children("waivers")],
        diagrams=[_diagram(node) for node in root.children("diagrams")],
        rulings=[_ruling(node) for node in root.children("rulings")],
        signer=_signer(root.child("signer")) if "signer" in root else None,
        files=[_file(node) for node in root.children("files")],
        load=_load(root.child("load")) if "load" in root else None,
    )
    _agree(results)
    return results


def _reasons(root: Node) -> dict[str, str]:
    node = Node(root.mapping("level_reasons"), "level_reasons")
    return {level: node.text(level) for level in node.value}


def _levels(root: Node) -> dict[str, LevelStatus]:
    node = root.child("levels")
    words = ", ".join(LevelStatus)
    return {level: node.choice(level, LevelStatus, f"one of {words}") for level in node.value}


def _clause(node: Node) -> ClauseResult:
    clause = ClauseResult(
        id=node.text("id"),
        level=node.choice("level", _strength, " or ".join(STRENGTHS)),
        verdict=node.choice("verdict", Verdict, f"one of {', '.join(Verdict)}"),
        reason=node.text("reason", ""),
        tests=node.texts("tests"),
        examples=node.integer("examples", 0),
        evidence=[_evidence(child) for child in node.children("evidence")],
        mutants=node.texts("mutants"),
        text=node.text("text", ""),
        why=node.text("why", ""),
        kind=node.text("kind", ""),
        ruling=node.optional_text("ruling"),
        needs=node.texts("needs"),
        levels=node.texts("levels"),
        budget_ns=node.optional_integer("budget_ns"),
    )
    if clause.verdict in (Verdict.PASS, Verdict.FAIL) and not clause.tests:
        raise node.fail("tests", f"{clause.id} is {clause.verdict} by no test; a verdict is some test's observation")
    if clause.verdict is Verdict.FAIL and not (clause.evidence or clause.reason):
        raise node.fail("evidence", f"{clause.id} failed without evidence or reason; nobody could check that")
    return clause


def _strength(text: str) -> str:
    if text not in STRENGTHS:
        raise ValueError
    return text


def _evidence(node: Node) -> Evidence:
    transcript = [child.value for child in node.children("transcript")]
    index = node.optional_integer("index")
    if index is not None and index >= len(transcript):
        raise node.fail("index", f"points at exchange {index} of a transcript of {len(transcript)}")
    return Evidence(
        clause=node.text("clause"),
        test=node.text("test", ""),
        message=node.text("message"),
        expected=node.texts("expected"),
        actual=node.texts("actual"),
        transcript=transcript,
        reproduce=node.text("reproduce", ""),
        seed=node.optional_integer("seed", minimum=None),
        note=node.text("note", ""),
        index=index,
    )


def _latency(node: Node) -> LatencyRow:
    row = LatencyRow(
        stage=node.text("stage"),
        count=node.integer("count"),
        p50_ns=node.integer("p50_ns"),
        p99_ns=node.integer("p99_ns"),
        p999_ns=node.integer("p999_ns"),
        max_ns=node.integer("max_ns"),
        budget_ns=node.optional_integer("budget_ns"),
    )
    if not row.p50_ns <= row.p99_ns <= row.p999_ns <= row.max_ns:
        raise node.fail("p50_ns", f"p50, p99, p99.9 and maximum of stage {row.stage!r} must not fall")
    return row


def _load(node: Node) -> LoadSummary:
    return LoadSummary(
        plan=node.text("plan"),
        offered_per_s=node.integer("offered_per_s"),
        answered_per_s=node.integer("answered_per_s"),
        orders=node.integer("orders"),
        latency=[_latency(child) for child in node.children("latency")],
        findings=node.texts("findings"),
        trouble=node.text("trouble", ""),
        judged=node.text("judged", ""),
        warnings=node.texts("warnings"),
    )


def _waiver(node: Node) -> Waiver:
    state = node.text("state", "in force")
    if state not in WAIVER_STATES:
        raise node.fail("state", f"expected one of {', '.join(WAIVER_STATES)}, got {state!r}")
    return Waiver(node.text("clause"), node.text("reason"), node.text("expires"), state)


def _diagram(node: Node) -> DiagramText:
    return DiagramText(node.text("id"), node.text("title"), node.text("summary", ""))


def _ruling(node: Node) -> RulingText:
    return RulingText(node.text("id"), node.text("where"), node.text("says"), node.text("ruling"))


def _file(node: Node) -> FileDigest:
    return FileDigest(node.text("name"), node.text("sha256"), node.integer("bytes"))


def _signer(node: Node) -> Signer:
    return Signer(node.text("key_id"), node.text("public_key"), node.text("origin"))


def _agree(results: Results) -> None:
    """What no single value shows: ids occur once, and every CERTIFIED follows from the clauses."""
    for clause_id, times in Counter(clause.id for clause in results.clauses).items():
        if times > 1:
            raise ResultsError(f"clauses: {clause_id} is there {times} times; merge its verdicts into one entry")
    for n, clause in enumerate(results.clauses):
        for m, evidence in enumerate(clause.evidence):
            if evidence.clause != clause.id:
                where = f"clauses[{n}].evidence[{m}].clause"
                raise ResultsError(f"{where}: evidence of {evidence.clause} is filed under {clause.id}")
    for level in results.level_reasons.keys() - results.levels.keys():
        raise ResultsError(f"level_reasons.{level}: a reason for a level that levels does not list")
    for level, status in results.levels.items():
        if status is LevelStatus.CERTIFIED:
            _certified_holds(results, level)


def _certified_holds(results: Results, level: str) -> None:
    pairs = [(_Clause(c.id, c.level, c.levels), c) for c in results.clauses]
    waived = waived_clauses(results.waivers)
    if results.load is not None and results.load.findings:
        raise ResultsError(
            f"levels.{level}: says CERTIFIED, but answers were wrong under load: {results.load.findings[0]}"
        )
    status, reason = judge_level(level, pairs, [], waived=waived, exploratory=results.exploratory)
    if status is not LevelStatus.CERTIFIED:
        raise ResultsError(f"levels.{level}: says CERTIFIED, but the clauses say otherwise: {reason}")


@dataclass(frozen=True, slots=True)
class _Clause:
    id: str
    strength: str
    levels: list[str]


def frame(results: Results) -> pandas.DataFrame:
    """One row a clause: id, diagram, level, verdict, reason, and how many tests, examples, evidence and mutants."""
    import pandas

    columns = ["id", "diagram", "level", "verdict", "reason", "tests", "examples", "evidence", "mutants"]
    rows = [
        (c.id, c.diagram, c.level, str(c.verdict), c.reason, len(c.tests), c.examples, len(c.evidence), len(c.mutants))
        for c in results.clauses
    ]
    return pandas.DataFrame(rows, columns=columns)
