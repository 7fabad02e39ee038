"""Results in a terminal: levels, counts, and what a reader must look at."""

from __future__ import annotations

from collections.abc import Sequence

from matchmark.conformance.verdict import Verdict
from matchmark.reports import statement, view
from matchmark.reports.plain import visible
from matchmark.reports.records import ClauseResult, Results
from rich.console import Console
from rich.table import Table
from rich.text import Text

STYLES = {
    "pass": "green",
    "certified": "bold green",
    "fail": "bold red",
    "not-certified": "bold red",
    "inconclusive": "yellow",
    "blocked": "yellow",
}
SHOWN = 20
"""Findings listed one by one; the page has the others."""


def print_summary(console: Console, results: Results) -> None:
    """Title, levels with their reasons, counts, findings. Wraps at the console's width, and colours only a terminal."""
    target = results.target
    console.print(_text(f"{statement.title(results)}: {target.name} {target.version}", "bold"))
    console.print(_text(f"{view.day(results.started)}, specification {results.spec}, seed {results.seed}"))
    console.print()
    judged, unassessed = view.levels(results)
    console.print(_levels(judged))
    if unassessed:
        console.print(_text("not assessed: " + ", ".join(level.name for level in unassessed), "dim"))
    counts = [f"{n} {m.word}" for m, n in view.counts(view.clauses(results)) if n]
    console.print(_text("clauses: " + (", ".join(counts) or "none")))
    found = statement.open_clauses(results)
    if found:
        console.print()
        console.print(_findings(found[:SHOWN]))
        if len(found) > SHOWN:
            console.print(_text(f"and {len(found) - SHOWN} more, see certificate.html", "dim"))


def _levels(levels: Sequence[view.LevelView]) -> Table:
    table = Table.grid(padding=(0, 2))
    for level in levels:
        table.add_row(_text(level.name), _text(level.word, STYLES.get(level.css, "dim")), _text(level.reason))
    return table


def _findings(clauses: Sequence[ClauseResult]) -> Table:
    table = Table.grid(padding=(0, 2))
    for clause in clauses:
        mark = view.mark(clause.verdict)
        table.add_row(_text(clause.id), _text(mark.word, STYLES.get(mark.css, "")), _text(_why(clause)))
    return table


def _why(clause: ClauseResult) -> str:
    if clause.evidence and clause.verdict is Verdict.FAIL:
        return clause.evidence[0].message
    return clause.reason or clause.text


def _text(text: str, style: str = "") -> Text:
    return Text(visible(text), style=style)
