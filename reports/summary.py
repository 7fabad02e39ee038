"""Results in a terminal: levels, counts, and what a reader must look at."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from matchmark.conformance.verdict import Verdict
from matchmark.reports import statement, view
from matchmark.reports.plain import visible
from matchmark.reports.records import ClauseResult, LoadSummary, Results
from matchmark.reports.wirelog import nanoseconds

STYLES = {
    "pass": "green",
    "certified": "bold green",
    "fail": "bold red",
    "not-certified": "bold red",
    "open": "bold yellow",
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
    for names, reason in unassessed:
        console.print(_text(f"not assessed: {names}. {reason}", "dim"))
    clauses = view.clauses(results)
    counts = [f"{n} {m.word}" for m, n in view.counts(clauses) if n]
    counts += [f"{n} outside this run" for n in [sum(c.outside for c in clauses)] if n]
    console.print(_text("clauses: " + (", ".join(counts) or "none")))
    if results.load is not None:
        print_load(console, results.load)
    found = statement.open_clauses(results)
    if found:
        console.print()
        console.print(_findings(found[:SHOWN]))
        if len(found) > SHOWN:
            console.print(_text(f"and {len(found) - SHOWN} more, see certificate.html", "dim"))


def print_load(console: Console, load: LoadSummary) -> None:
    """What a load that was part of the run found, in a line."""
    rows = [(row.stage.partition(",")[0], nanoseconds(row.p50_ns), nanoseconds(row.p99_ns)) for row in load.latency]
    times = ", ".join(f"{name} p50 {p50} p99 {p99}" for name, p50, p99 in rows)
    said = f"load: {load.offered_per_s:,} orders/s offered, {load.answered_per_s:,} answered; {times or 'nothing measured'}; "
    if load.findings:
        text, style = f"answers were WRONG: {load.findings[0]}", "bold red"
    elif load.trouble:
        text, style = f"ended early: {load.trouble}", "yellow"
    else:
        text, style = "every answer right", ""
    console.print(_text(said + text, style))


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
