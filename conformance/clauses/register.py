"""The clauses of the twelve diagrams, read from d01.toml .. d12.toml beside this file.

The register says what is demanded and never how it is tested: which checks and mutants touch a clause is derived from
the code that has them (`conformance.catalogue`). Ids are never renumbered, because certificates carry them.

    D04.7   step 7 of diagram 4           D04.E1  an edge case
    D04.P1  a performance line            D04.A1  an alternative
    D04.N1  a note, insight or trade-off  D04.X1  a property that the diagram implies but never states

Steps are numbered without gaps. The other kinds may leave some out, so that a new clause finds room beside its kin.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from typing import Final

from matchmark.conformance.clauses.rulings import RULINGS
from matchmark.conformance.clauses.schema import Entry, RegisterError, near, parse_toml, read_toml
from matchmark.conformance.clauses.vocabulary import CAPABILITIES, KINDS, LEVELS, STRENGTHS, Kind, Strength

DIAGRAMS: Final = tuple(f"D{number:02}" for number in range(1, 13))

_ID: Final = re.compile(r"(D\d\d)\.([PNEAX]?)([1-9]\d*)")
_INTENT: Final = "The intent is "


@dataclass(frozen=True)
class Clause:
    """One demand on an exchange, as an outside observer can see it met or broken."""

    id: str
    diagram: str
    kind: Kind
    strength: Strength
    text: str
    why: str  # one line that begins "The intent is "
    ruling: str | None
    needs: tuple[str, ...]  # all of these capabilities, or the clause is NOT_APPLICABLE
    levels: tuple[str, ...]  # certification levels that it counts for
    budget_ns: int | None  # the specification's time, cumulative from the diagram's time zero; judged as a SHOULD
    untested: str | None  # why no check reaches it, and what one would need


@dataclass(frozen=True)
class Arrow:
    """One arrow of a diagram: the step it draws, who acts on whom, and a few words."""

    clause: str
    source: str
    target: str
    label: str


@dataclass(frozen=True)
class Diagram:
    """One sequence diagram: `clock` says what its times count from; `lanes` are the parties from left to right."""

    id: str
    title: str
    summary: str
    clock: str
    lanes: tuple[str, ...]
    arrows: tuple[Arrow, ...]


class UnknownClause(KeyError):
    """No clause of that id. str() is the message for people, with near matches in it."""

    def __init__(self, clause_id: str, suggestions: tuple[str, ...]) -> None:
        super().__init__(clause_id)
        self.clause_id = clause_id
        self.suggestions = suggestions

    def __str__(self) -> str:
        hint = f"; did you mean {' or '.join(self.suggestions)}?" if self.suggestions else ""
        return f"no clause {self.clause_id!r} in the register{hint} (`matchmark clauses` lists them all)"


class Register:
    """All clauses by diagram; within one: steps, performance, notes, edge cases, alternatives, properties."""

    def __init__(self, diagrams: Iterable[Diagram], clauses: Iterable[Clause]) -> None:
        self._diagrams = list(diagrams)
        self._clauses = {clause.id: clause for clause in clauses}

    def __getitem__(self, clause_id: str) -> Clause:
        try:
            return self._clauses[clause_id]
        except KeyError:
            raise UnknownClause(clause_id, self.near(clause_id)) from None

    def __iter__(self) -> Iterator[Clause]:
        return iter(self._clauses.values())

    def __len__(self) -> int:
        return len(self._clauses)

    def __contains__(self, clause_id: object) -> bool:
        return clause_id in self._clauses

    def for_level(self, level: str) -> list[Clause]:
        """The clauses that count for a certification level. Raises RegisterError for a level that does not exist."""
        if level not in LEVELS:
            raise RegisterError(f"no certification level {level!r}{near(level, LEVELS)} (levels: {', '.join(LEVELS)})")
        return [clause for clause in self if level in clause.levels]

    def for_diagram(self, diagram_id: str) -> list[Clause]:
        return [clause for clause in self if clause.diagram == diagram_id]

    def diagrams(self) -> list[Diagram]:
        return list(self._diagrams)

    def near(self, clause_id: str) -> tuple[str, ...]:
        """Ids that the writer may have meant: other cases and unpadded numbers first (d4.7), then near spellings."""
        loose = re.fullmatch(r"D?0*(\d+)[.\-_ ]?([PNEAX]?)0*(\d+)", clause_id.strip().upper())
        if loose and (exact := f"D{int(loose[1]):02}.{loose[2]}{loose[3]}") in self._clauses:
            return (exact,)
        return tuple(difflib.get_close_matches(clause_id.upper(), self._clauses, n=3, cutoff=0.7))


@functools.cache
def load() -> Register:
    """The register that ships with the kit. Raises RegisterError, naming file, clause, key and the fix."""
    folder = resources.files("matchmark.conformance.clauses")
    diagrams: list[Diagram] = []
    clauses: list[Clause] = []
    for name in DIAGRAMS:
        source = _source(name)
        diagram, its_clauses = _diagram_of(read_toml(folder / f"{name.lower()}.toml", source), name, source)
        diagrams.append(diagram)
        clauses += its_clauses
    return Register(diagrams, clauses)


def parse_diagram(text: str, name: str, source: str | None = None) -> tuple[Diagram, tuple[Clause, ...]]:
    """Diagram `name` ("D04") from the text of its file; `source` is what errors call the file."""
    source = source or _source(name)
    return _diagram_of(parse_toml(text, source), name, source)


def _source(name: str) -> str:
    return f"conformance/clauses/{name.lower()}.toml"


def _diagram_of(data: dict[str, object], name: str, source: str) -> tuple[Diagram, tuple[Clause, ...]]:
    tables = data.get("clause")
    if set(data) != {"diagram", "clause"} or not isinstance(tables, list):
        raise RegisterError(
            f"{source}: must hold one [diagram] table and [[clause]] tables, found {', '.join(data) or 'nothing'}"
        )
    head = Entry(data["diagram"], source, "[diagram]")
    lanes = head.texts("lanes")
    clauses: list[Clause] = []
    arrows: list[Arrow] = []
    for index, table in enumerate(tables, 1):
        entry = Entry(table, source, f"clause {index}")
        clause = _clause(entry, name)
        arrows += _arrow(entry, clause, lanes)
        entry.done()
        clauses.append(clause)
    diagram = Diagram(
        head.text("id"), head.text("title"), head.text("summary"), head.text("clock"), lanes, tuple(arrows)
    )
    head.done()
    if diagram.id != name:
        raise head.fault(f"id is {diagram.id!r}; this file is for {name!r}")
    _check_order(clauses, source)
    return diagram, tuple(clauses)


def _clause(entry: Entry, diagram: str) -> Clause:
    entry.name = clause_id = entry.text("id")
    match = _ID.fullmatch(clause_id)
    if not match or match[1] != diagram:
        raise entry.fault(
            f"id must be {diagram}. and a step number, or P, N, E, A or X and a number, such as {diagram}.X1"
        )
    clause = Clause(
        id=clause_id,
        diagram=diagram,
        kind=KINDS[match[2]],
        strength=_strength(entry),
        text=entry.text("text"),
        why=entry.text("why"),
        ruling=entry.maybe_text("ruling"),
        needs=entry.words("needs", CAPABILITIES),
        levels=entry.words("levels", LEVELS),
        budget_ns=entry.maybe_count("budget_ns"),
        untested=entry.maybe_text("untested"),
    )
    if not clause.why.startswith(_INTENT):
        raise entry.fault(f"why must begin {_INTENT!r}")
    if not clause.levels:
        raise entry.fault(f"levels is missing or empty; name at least one of {', '.join(LEVELS)}")
    if clause.ruling is not None and clause.ruling not in RULINGS:
        raise entry.fault(f"ruling {clause.ruling!r} is not in rulings.toml{near(clause.ruling, RULINGS)}")
    return clause


def _strength(entry: Entry) -> Strength:
    value = entry.text("strength")
    for strength in STRENGTHS:
        if value == strength:
            return strength
    raise entry.fault(f"strength must be {' or '.join(STRENGTHS)}, not {value!r}")


def _arrow(entry: Entry, clause: Clause, lanes: tuple[str, ...]) -> list[Arrow]:
    """Steps are drawn, so each has an arrow; nothing else may."""
    ends = entry.texts("arrow")
    if clause.kind != "step":
        if ends:
            raise entry.fault("arrow belongs to numbered steps only; remove it")
        return []
    if len(ends) != 3 or ends[0] not in lanes or ends[1] not in lanes:
        raise entry.fault(
            f'arrow must be ["from", "to", "a few words"] with both ends among the lanes {", ".join(lanes)}'
        )
    return [Arrow(clause.id, *ends)]


def _check_order(clauses: list[Clause], source: str) -> None:
    for clause_id, times in Counter(clause.id for clause in clauses).items():
        if times > 1:
            raise RegisterError(f"{source}: {clause_id} is there {times} times; give each clause its own id")
    for before, after in pairwise(clauses):
        if sort_key(before.id) > sort_key(after.id):
            raise RegisterError(
                f"{source}: {after.id} stands after {before.id}; sort steps, P, N, E, A, X, each by number"
            )
    for number, step in enumerate((clause for clause in clauses if clause.kind == "step"), 1):
        if sort_key(step.id)[2] != number:
            raise RegisterError(f"{source}: {step.id} stands where step {number} belongs; steps have no gaps")


def sort_key(clause_id: str) -> tuple[str, int, int]:
    """Register order of a well-formed id."""
    match = _ID.fullmatch(clause_id)
    if not match:
        raise RegisterError(f"{clause_id!r} is not a clause id; one looks like D04.7 or D04.X1")
    return match[1], list(KINDS).index(match[2]), int(match[3])
