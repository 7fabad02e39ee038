"""Taking the register's words into a results document, so that it can be read without the register."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from matchmark.reports.records import ClauseResult, DiagramText, Results, RulingText


class ClauseWords(Protocol):
    """What is taken over of a clause: the register's Clause has it."""

    @property
    def id(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def why(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def ruling(self) -> str | None: ...
    @property
    def needs(self) -> Sequence[str]: ...
    @property
    def levels(self) -> Sequence[str]: ...
    @property
    def budget_ns(self) -> int | None: ...


class DiagramWords(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def summary(self) -> str: ...


class RulingWords(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def where(self) -> str: ...
    @property
    def says(self) -> str: ...
    @property
    def ruling(self) -> str: ...


def describe(
    results: Results,
    clauses: Iterable[ClauseWords],
    diagrams: Iterable[DiagramWords],
    rulings: Mapping[str, RulingWords],
) -> Results:
    """The results with the words of the clauses, diagrams and rulings they mention. ValueError for unknown clauses."""
    words = {clause.id: clause for clause in clauses}
    if unknown := [clause.id for clause in results.clauses if clause.id not in words]:
        raise ValueError(f"the register does not have {', '.join(unknown)}; results and kit are of different versions")
    described = [_describe(clause, words[clause.id]) for clause in results.clauses]
    mentioned = {clause.diagram for clause in described}
    cited = {clause.ruling for clause in described}
    return replace(
        results,
        clauses=described,
        diagrams=[DiagramText(d.id, d.title, d.summary) for d in diagrams if d.id in mentioned],
        rulings=[RulingText(r.id, r.where, r.says, r.ruling) for r in rulings.values() if r.id in cited],
    )


def _describe(clause: ClauseResult, words: ClauseWords) -> ClauseResult:
    return replace(
        clause,
        text=words.text,
        why=words.why,
        kind=words.kind,
        ruling=words.ruling,
        needs=list(words.needs),
        levels=list(words.levels),
        budget_ns=words.budget_ns,
    )


def describe_from_register(results: Results) -> Results:
    """`describe` with the register that ships with the kit."""
    from matchmark.conformance.clauses import RULINGS, load

    register = load()
    return describe(results, register, register.diagrams(), RULINGS)
