"""Results as the certificate's page needs them: grouped, counted, worded. The template only places what is here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from matchmark.conformance.verdict import Verdict
from matchmark.reports import latency, statement, wirelog
from matchmark.reports.compare import Row, compare
from matchmark.reports.records import COVERED, ClauseResult, DiagramText, Evidence, Results, RulingText
from matchmark.reports.verdicts import LevelStatus

OPEN_FINDINGS = 3
"""This many findings show their wire log at once; the others open on a click, and all of them on paper."""

MARKS = {
    Verdict.PASS: "✓",
    Verdict.FAIL: "✕",
    Verdict.INCONCLUSIVE: "?",
    Verdict.BLOCKED: "!",
    Verdict.NOT_APPLICABLE: "–",
    Verdict.UNTESTED: "·",
}
WORDS = {
    Verdict.PASS: "pass",
    Verdict.FAIL: "fail",
    Verdict.INCONCLUSIVE: "inconclusive",
    Verdict.BLOCKED: "blocked",
    Verdict.NOT_APPLICABLE: "not applicable",
    Verdict.UNTESTED: "untested",
}
LEVEL_WORDS = {
    LevelStatus.CERTIFIED: "Certified",
    LevelStatus.NOT_CERTIFIED: "Not certified",
    LevelStatus.NOT_ASSESSED: "Not assessed",
}
LEVEL_ORDER = ("matching", "order-entry", "market-data", "durability", "safety", "availability", "wire")


@dataclass(frozen=True, slots=True)
class Mark:
    """A verdict as sign, word and CSS class: never colour alone."""

    sign: str
    word: str
    css: str


@dataclass(frozen=True, slots=True)
class LevelView:
    name: str
    word: str
    css: str
    reason: str


@dataclass(frozen=True, slots=True)
class ClauseView:
    clause: ClauseResult
    short: str
    mark: Mark
    ruling: RulingText | None
    finding: bool


@dataclass(frozen=True, slots=True)
class DiagramView:
    text: DiagramText
    clauses: tuple[ClauseView, ...]
    tally: str
    judged: bool
    """At least one clause has a verdict other than NOT_APPLICABLE and UNTESTED."""


@dataclass(frozen=True, slots=True)
class EvidenceView:
    evidence: Evidence
    rows: list[Row]
    log: list[wirelog.ExchangeRow]
    log_total: int
    log_after: int


@dataclass(frozen=True, slots=True)
class FindingView:
    clause: ClauseView
    evidence: tuple[EvidenceView, ...]
    unfolded: bool


def mark(verdict: Verdict) -> Mark:
    return Mark(MARKS[verdict], WORDS[verdict], verdict.lower().replace("_", "-"))


def levels(results: Results) -> tuple[list[LevelView], list[LevelView]]:
    """(levels with a judgement, levels not assessed). The latter join the former when there is nothing else to show."""
    order = {name: n for n, name in enumerate(LEVEL_ORDER)}
    views = [
        LevelView(name, LEVEL_WORDS[status], status.lower().replace("_", "-"), results.level_reasons.get(name, ""))
        for name, status in sorted(results.levels.items(), key=lambda item: (order.get(item[0], 99), item[0]))
    ]
    judged = [view for view in views if view.css != "not-assessed"]
    return (judged, [v for v in views if v not in judged]) if judged else (views, [])


def counts(results: Results) -> list[tuple[Mark, int]]:
    """Every verdict, also those that nobody got: a reader must see the zero beside "fail"."""
    tally = results.counts()
    return [(mark(verdict), tally[verdict]) for verdict in MARKS]


def diagrams(results: Results) -> list[DiagramView]:
    texts = {diagram.id: diagram for diagram in results.diagrams}
    rulings = {ruling.id: ruling for ruling in results.rulings}
    grouped: dict[str, list[ClauseView]] = {}
    for clause in results.clauses:
        grouped.setdefault(clause.diagram, []).append(_clause(clause, rulings))
    return [_diagram(texts.get(name, DiagramText(name, "")), views) for name, views in sorted(grouped.items())]


def _clause(clause: ClauseResult, rulings: dict[str, RulingText]) -> ClauseView:
    short = clause.id.partition(".")[2] or clause.id
    shown = clause.verdict in (Verdict.FAIL, Verdict.BLOCKED, Verdict.INCONCLUSIVE)
    return ClauseView(clause, short, mark(clause.verdict), rulings.get(clause.ruling or ""), shown)


def _diagram(text: DiagramText, clauses: list[ClauseView]) -> DiagramView:
    tally = {verdict: sum(view.clause.verdict is verdict for view in clauses) for verdict in MARKS}
    words = ", ".join(f"{n} {WORDS[verdict]}" for verdict, n in tally.items() if n)
    judged = any(n for verdict, n in tally.items() if verdict not in (Verdict.NOT_APPLICABLE, Verdict.UNTESTED))
    return DiagramView(text, tuple(clauses), words, judged)


def findings(results: Results) -> list[FindingView]:
    rulings = {ruling.id: ruling for ruling in results.rulings}
    return [
        FindingView(_clause(clause, rulings), tuple(map(_evidence, clause.evidence)), n < OPEN_FINDINGS)
        for n, clause in enumerate(statement.open_clauses(results))
    ]


def _evidence(evidence: Evidence) -> EvidenceView:
    log = wirelog.rows(evidence.transcript, evidence.index)
    after = wirelog.left_out_after(evidence.transcript, log)
    return EvidenceView(evidence, compare(evidence.expected, evidence.actual), log, len(evidence.transcript), after)


def environment(results: Results) -> list[tuple[str, str]]:
    """Names and values, nested tables flattened with dots."""
    return list(_flat(results.environment, ""))


def _flat(value: Any, name: str) -> Iterable[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else str(key))
    else:
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        yield name, text


def day(timestamp: str) -> str:
    """2026-11-23T14:05:09+00:00 as 23 November 2026, 14:05 UTC."""
    when = datetime.fromisoformat(timestamp)
    zone = when.tzname() or ""
    months = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ]
    return f"{when.day} {months[when.month - 1]} {when.year}, {when:%H:%M} {zone}"


def took(results: Results) -> str:
    seconds = (datetime.fromisoformat(results.ended) - datetime.fromisoformat(results.started)).total_seconds()
    if seconds < 1:
        return "under a second"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def page(results: Results) -> dict[str, Any]:
    """All names of the template."""
    judged, unassessed = levels(results)
    return {
        "results": results,
        "title": statement.title(results),
        "levels": judged,
        "unassessed": unassessed,
        "counts": counts(results),
        "diagrams": diagrams(results),
        "findings": findings(results),
        "plot": latency.plot(results.latency),
        "gaps": [(mark(gap.verdict), gap.reason, gap.clauses) for gap in statement.gaps(results)],
        "assumptions": statement.assumptions(results),
        "environment": environment(results),
        "started": day(results.started),
        "took": took(results),
        "identity": statement.identity(results.signer.origin) if results.signer else "",
        "linkable": COVERED,
    }
