"""The self-test on paper: lines for a terminal, JSON, and one HTML page that needs nothing but itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from matchmark.conformance.clauses import load
from matchmark.conformance.selftest.matrix import Matrix, Row, must_clauses
from matchmark.conformance.selftest.wire_declare import PREFIX


def write(matrix: Matrix, out: Path) -> Path:
    """selftest.json and selftest.html in the folder `out`, which is made; the path of the page. OSError if it cannot be."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "selftest.json").write_text(json.dumps(matrix.to_json(), indent=1) + "\n", encoding="utf-8")
    page = out / "selftest.html"
    page.write_text(render(matrix), encoding="utf-8")
    return page


def render(matrix: Matrix) -> str:
    here = files("matchmark.conformance.selftest")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(here.joinpath("selftest.html").read_text(encoding="utf-8"))
    style = files("matchmark.reports").joinpath("certificate.css").read_text(encoding="utf-8")
    register = load()
    return template.render(
        matrix=matrix,
        clauses=[(register[clause], matrix.killers(clause)) for clause in must_clauses()],
        texts={clause.id: clause.text for clause in register},
        style=Markup(style),
    )


def row_line(row: Row, width: int) -> str:
    """One mutant of the printed matrix: name, the clause that it breaks, what failed it, how it went."""
    others = [clause for clause in row.failed if clause != row.breaks[0]] if row.breaks else list(row.failed)
    also = f"  also {' '.join(others[:6])}{' ...' if len(others) > 6 else ''}" if others else ""
    breaks = row.breaks[0] if row.breaks else "-"
    return f"{row.name:{width}}  {breaks:8} {'ok' if row.ok else row.outcome}{also}"


def summary(matrix: Matrix) -> Iterator[str]:
    """The lines under the matrix, the bad news first."""
    for row in matrix.not_killed:
        yield f"{row.name}: {row.outcome}: {row.reason}"
    for alarm in matrix.alarms:
        yield f"false alarm: {alarm.engine}, seed {alarm.seed}: {alarm.clause} {alarm.verdict}: {alarm.reason}"
    if matrix.uncovered:
        yield f"clauses that no mutant of theirs fails: {' '.join(matrix.uncovered)}"
    killed = sum(row.ok for row in matrix.rows)
    yield f"mutants: {killed} of {len(matrix.rows)} killed by the clause they break"
    if wires := [row for row in matrix.rows if row.name.startswith(PREFIX)]:
        clauses = {row.breaks[0] for row in wires if row.ok}
        yield f"wire mutants: {sum(row.ok for row in wires)} of those {len(wires)}, by {len(clauses)} clauses"
    if matrix.whole:
        counts = [len(matrix.killers(clause)) for clause in must_clauses()]
        yield f"clauses: {sum(n > 0 for n in counts)} of {len(counts)} have a mutant, {min(counts)} to {max(counts)} each"
    if matrix.sound:
        engines = dict.fromkeys(run.engine for run in matrix.sound)
        seeds = len({run.seed for run in matrix.sound})
        examples = sum(run.examples for run in matrix.sound)
        yield f"sound engines: {', '.join(engines)}, {seeds} seeds, {examples:,} examples, {len(matrix.alarms)} false alarms"
    else:
        yield "sound engines: not run, so nothing is said about false alarms"
