"""Results as the certificate's page needs them: grouped, counted, worded. The template only places what is here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from matchmark.conformance.verdict import Verdict
from matchmark.reports import latency, statement, wirelog
from matchmark.reports.compare import Row, compare
from matchmark.reports.records import (
    COVERED,
    LOAD_PAGE,
    ClauseResult,
    DiagramText,
    Evidence,
    Results,
    RulingText,
    Waiver,
)
from matchmark.reports.verdicts import LevelStatus
from matchmark.reports.waivers import waived_clauses

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
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
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
    outside: bool
    """Untested, and of no level that this run judged: listed, but no part of what it was about."""


@dataclass(frozen=True, slots=True)
class DiagramView:
    text: DiagramText
    clauses: tuple[ClauseView, ...]
    outside: tuple[ClauseView, ...]
    tally: str


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
    waiver: Waiver | None
    unfolded: bool


def mark(verdict: Verdict) -> Mark:
    return Mark(MARKS[verdict], WORDS[verdict], verdict.lower().replace("_", "-"))


def levels(results: Results) -> tuple[list[LevelView], list[tuple[str, str]]]:
    """(the levels that the run was about, names and reason of the others grouped by reason).

    It was about the levels that it judged; when it could judge none, about those not assessed for a reason of their own.
    """
    order = {name: n for n, name in enumerate(LEVEL_ORDER)}
    views = [
        LevelView(name, LEVEL_WORDS[status], _level_css(results, name, status), results.level_reasons.get(name, ""))
        for name, status in sorted(results.levels.items(), key=lambda item: (order.get(item[0], 99), item[0]))
    ]
    reasons = Counter(view.reason for view in views)
    shown = [view for view in views if view.css != "not-assessed"]
    shown = shown or [view for view in views if reasons[view.reason] == 1] or views
    others: dict[str, list[str]] = {}
    for view in views:
        if view not in shown:
            others.setdefault(view.reason, []).append(view.name)
    return shown, [(", ".join(names), reason) for reason, names in others.items()]


def _level_css(results: Results, level: str, status: LevelStatus) -> str:
    """A level that nothing failed must not look like one that something did: it is `open`."""
    waived = waived_clauses(results.waivers)
    members = [c for c in results.clauses if level in c.levels and c.level == "MUST" and c.id not in waived]
    wrong = results.load is not None and results.load.findings
    if status is LevelStatus.NOT_CERTIFIED and not wrong and not any(c.verdict is Verdict.FAIL for c in members):
        return "open"
    return status.lower().replace("_", "-")


def counts(clauses: Iterable[ClauseView]) -> list[tuple[Mark, int]]:
    """Every verdict, also those that nobody got: a reader must see the zero beside "fail"."""
    tally = Counter(view.clause.verdict for view in clauses if not view.outside)
    return [(mark(verdict), tally[verdict]) for verdict in MARKS]


def clauses(results: Results) -> list[ClauseView]:
    rulings = {ruling.id: ruling for ruling in results.rulings}
    judged = {level for level, status in results.levels.items() if status is not LevelStatus.NOT_ASSESSED}
    return [_clause(clause, rulings, judged) for clause in results.clauses]


def diagrams(results: Results, views: Iterable[ClauseView]) -> list[DiagramView]:
    texts = {diagram.id: diagram for diagram in results.diagrams}
    grouped: dict[str, list[ClauseView]] = {}
    for view in views:
        grouped.setdefault(view.clause.diagram, []).append(view)
    return [_diagram(texts.get(name, DiagramText(name, "")), members) for name, members in sorted(grouped.items())]


def _clause(clause: ClauseResult, rulings: dict[str, RulingText], judged: set[str]) -> ClauseView:
    return ClauseView(
        clause,
        short=clause.id.partition(".")[2] or clause.id,
        mark=mark(clause.verdict),
        ruling=rulings.get(clause.ruling or ""),
        finding=clause.verdict in statement.GRAVITY,
        outside=clause.verdict is Verdict.UNTESTED and judged.isdisjoint(clause.levels),
    )


def _diagram(text: DiagramText, views: list[ClauseView]) -> DiagramView:
    inside = tuple(view for view in views if not view.outside)
    outside = tuple(view for view in views if view.outside)
    words = [f"{n} {m.word}" for m, n in counts(inside) if n] + [f"{len(outside)} outside this run"] * bool(outside)
    return DiagramView(text, inside, outside, ", ".join(words))


def findings(results: Results, views: Iterable[ClauseView]) -> list[FindingView]:
    by_id = {view.clause.id: view for view in views}
    waivers = {waiver.clause: waiver for waiver in results.waivers if waiver.state == "in force"}
    return [
        FindingView(by_id[clause.id], tuple(map(_evidence, clause.evidence)), waivers.get(clause.id), n < OPEN_FINDINGS)
        for n, clause in enumerate(statement.open_clauses(results))
    ]


def _evidence(evidence: Evidence) -> EvidenceView:
    log = wirelog.rows(evidence.transcript, evidence.index)
    after = wirelog.left_out_after(evidence.transcript, log)
    return EvidenceView(evidence, compare(evidence.expected, evidence.actual), log, len(evidence.transcript), after)


def environment(results: Results) -> list[tuple[str, str]]:
    """Names and values, nested tables flattened."""
    return list(_flat(results.environment, ""))


def _flat(value: Any, name: str) -> Iterable[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(item, f"{name} {key}" if name else str(key))
    else:
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        yield name, text


def day(timestamp: str) -> str:
    """2026-11-23T14:05:09+00:00 as 23 November 2026, 14:05 UTC."""
    when = datetime.fromisoformat(timestamp)
    zone = when.tzname() or ""
    month = MONTHS[when.month - 1]
    return f"{when.day} {month} {when.year}, {when:%H:%M} {zone}"


def took(results: Results) -> str:
    seconds = (datetime.fromisoformat(results.ended) - datetime.fromisoformat(results.started)).total_seconds()
    if seconds < 1:
        return "under a second"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def page(results: Results) -> dict[str, Any]:
    """All names of the template."""
    judged, unassessed = levels(results)
    views = clauses(results)
    return {
        "results": results,
        "title": statement.title(results),
        "levels": judged,
        "unassessed": unassessed,
        "counts": counts(views),
        "outside": sum(view.outside for view in views),
        "diagrams": diagrams(results, views),
        "findings": findings(results, views),
        "plot": latency.plot(results.latency),
        "load_plot": latency.plot(results.load.latency) if results.load else None,
        "load_page": LOAD_PAGE,
        "gaps": [
            (mark(verdict), list(gaps)) for verdict, gaps in groupby(statement.gaps(results), lambda g: g.verdict)
        ],
        "assumptions": statement.assumptions(results),
        "environment": environment(results),
        "started": day(results.started),
        "took": took(results),
        "identity": statement.identity(results.signer.origin) if results.signer else "",
        "linkable": COVERED,
    }
