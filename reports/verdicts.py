"""The rules that turn observations into verdicts and verdicts into certified levels.

Only pure functions over plain values live here: no files, no clock, no register. Everything that a reader of a
certificate relies on passes through `merge_verdicts` and `judge_level`, so both are small enough to check by eye.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum
from typing import Protocol

from matchmark.conformance.verdict import Verdict


class LevelStatus(StrEnum):
    CERTIFIED = "CERTIFIED"
    NOT_CERTIFIED = "NOT_CERTIFIED"
    """Judged: something speaks against it (a failure, a missing core capability) or stayed open after being asked."""
    NOT_ASSESSED = "NOT_ASSESSED"
    """Not judged: nothing or not everything was run, or the run was exploratory."""


WORST_FIRST = (
    Verdict.FAIL,
    Verdict.INCONCLUSIVE,
    Verdict.BLOCKED,
    Verdict.UNTESTED,
    Verdict.PASS,
    Verdict.NOT_APPLICABLE,
)
"""Which of two verdicts about one clause stands. One part that was blocked or left out outweighs any number that
passed: a clause is met as a whole or not known to be. A part that does not apply to the target takes nothing away."""

WAIVABLE = frozenset({Verdict.FAIL, Verdict.INCONCLUSIVE})
"""What a waiver can excuse: a deviation that is known. Of BLOCKED and UNTESTED clauses nothing is known."""


class LevelClause(Protocol):
    """What `judge_level` needs to know of a clause: the register's Clause has it."""

    @property
    def id(self) -> str: ...
    @property
    def strength(self) -> str: ...
    @property
    def levels(self) -> Sequence[str]: ...


class LevelResult(Protocol):
    """What `judge_level` needs to know of a clause's result: results.ClauseResult has it."""

    @property
    def id(self) -> str: ...
    @property
    def verdict(self) -> Verdict: ...
    @property
    def tests(self) -> Sequence[str]: ...


def merge_verdicts(verdicts: Iterable[str]) -> Verdict:
    """The verdict of a clause that several tests spoke about: the worst, by WORST_FIRST; UNTESTED when there is none.

    ValueError for what is not a verdict.
    """
    return min((Verdict(v) for v in verdicts), key=WORST_FIRST.index, default=Verdict.UNTESTED)


def judge_level(
    level: str,
    clauses: Iterable[tuple[LevelClause, LevelResult]],
    core_missing: Sequence[str],
    *,
    waived: Collection[str] = (),
    exploratory: bool = False,
) -> tuple[LevelStatus, str]:
    """(status, reason in a sentence) of one certification level.

    `clauses` may hold clauses of other levels, which are left out. `core_missing` names capabilities without which the
    level cannot be reached and that the target does not declare; `waived` holds the ids of clauses with a waiver in
    force. SHOULD clauses never decide; failed ones are mentioned. ValueError when a clause meets another's result.

    Certified only if each MUST clause passed, does not apply, or is waived, at least one passed, no core capability is
    missing and nothing was allowed to be skipped.
    """
    must: dict[Verdict, list[str]] = {v: [] for v in WORST_FIRST}
    should_failed: list[str] = []
    excused: list[str] = []
    for clause, result in clauses:
        if clause.id != result.id:
            raise ValueError(f"clause {clause.id} was given the result of {result.id}")
        if level not in clause.levels:
            continue
        verdict = _earned(result)
        if clause.strength != "MUST":
            should_failed += [clause.id] * (verdict is Verdict.FAIL)
        elif verdict in WAIVABLE and clause.id in waived:
            excused.append(clause.id)
        else:
            must[verdict].append(clause.id)
    remarks = _remarks(excused, should_failed)
    status, reason = _decide(must, excused, core_missing, exploratory)
    return status, reason + remarks


def _earned(result: LevelResult) -> Verdict:
    """A PASS that names no test is nobody's observation."""
    verdict = Verdict(result.verdict)
    return Verdict.UNTESTED if verdict is Verdict.PASS and not result.tests else verdict


def _decide(
    must: dict[Verdict, list[str]], excused: list[str], core_missing: Sequence[str], exploratory: bool
) -> tuple[LevelStatus, str]:
    total = sum(map(len, must.values())) + len(excused)
    if failed := must[Verdict.FAIL]:
        return LevelStatus.NOT_CERTIFIED, f"{len(failed)} of {total} MUST clauses failed: {_some(failed)}."
    if not total:
        return LevelStatus.NOT_ASSESSED, "No MUST clause belongs to this level."
    if not must[Verdict.PASS]:
        return LevelStatus.NOT_ASSESSED, f"None of its {total} MUST clauses was checked to an end{_why_none(must)}."
    if core_missing:
        return LevelStatus.NOT_CERTIFIED, f"The target does not declare what this level needs: {_some(core_missing)}."
    for open_verdict, words in ((Verdict.BLOCKED, "blocked"), (Verdict.INCONCLUSIVE, "inconclusive")):
        if ids := must[open_verdict]:
            return LevelStatus.NOT_CERTIFIED, f"{len(ids)} of {total} MUST clauses {words}: {_some(ids)}."
    if untested := must[Verdict.UNTESTED]:
        return LevelStatus.NOT_ASSESSED, f"{len(untested)} of {total} MUST clauses were not tested: {_some(untested)}."
    if exploratory:
        return LevelStatus.NOT_ASSESSED, "An exploratory run may skip and therefore never certifies."
    return LevelStatus.CERTIFIED, _praise(must, total)


def _praise(must: dict[Verdict, list[str]], total: int) -> str:
    passed, apart = len(must[Verdict.PASS]), len(must[Verdict.NOT_APPLICABLE])
    if passed == total:
        return f"All {total} MUST clauses passed." if total > 1 else "Its one MUST clause passed."
    rest = f"; {apart} {'does' if apart == 1 else 'do'} not apply to the declared capabilities" if apart else ""
    return f"{passed} of {total} MUST clauses passed{rest}."


def _why_none(must: dict[Verdict, list[str]]) -> str:
    shares = [f"{len(ids)} {verdict.lower().replace('_', ' ')}" for verdict, ids in must.items() if ids]
    return f" ({', '.join(shares)})" if shares else ""


def _remarks(excused: list[str], should_failed: list[str]) -> str:
    text = f" {len(excused)} waived: {_some(excused)}." if excused else ""
    return text + (f" {len(should_failed)} SHOULD failed: {_some(should_failed)}." if should_failed else "")


def _some(ids: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(ids[:most])
    return shown if len(ids) <= most else f"{shown} and {len(ids) - most} more"
