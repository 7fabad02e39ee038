"""What a self-test found: which clauses failed which mutant, whether that is as it must be, and who raised a false alarm.

Pure data and judgement: nothing here runs anything or prints.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from matchmark.conformance.clauses import load
from matchmark.conformance.evidence import ANSWERED_CLAUSE
from matchmark.conformance.runner import Run
from matchmark.conformance.selftest.broken_process import Process
from matchmark.conformance.selftest.declare import Mutant
from matchmark.conformance.selftest.wire_declare import WireMutant
from matchmark.conformance.verdict import Verdict

LEVEL = "matching"
SOUND = (Verdict.PASS, Verdict.NOT_APPLICABLE)


class Outcome(StrEnum):
    KILLED = "killed"
    OTHER_CLAUSE = "killed by another clause only"
    SURVIVED = "SURVIVED"
    BLOCKED = "BLOCKED"
    WRONG_VERDICT = "wrong verdict"


@dataclass(frozen=True)
class Row:
    """One mutant: the clause that must fail it is the first that it `breaks`."""

    name: str
    story: str
    breaks: tuple[str, ...]
    failed: tuple[str, ...]
    """Clauses that failed, in register order."""
    outcome: Outcome
    reason: str
    """Why the outcome is not `killed`, or what the failure of its clause said."""
    duration_s: float

    @property
    def ok(self) -> bool:
        return self.outcome is Outcome.KILLED


@dataclass(frozen=True)
class Alarm:
    """A sound engine that was not passed."""

    engine: str
    seed: int
    clause: str
    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class SoundRun:
    engine: str
    seed: int
    clauses: int
    """How many it passed."""
    examples: int
    alarms: tuple[Alarm, ...]
    duration_s: float

    @property
    def ok(self) -> bool:
        return not self.alarms and self.clauses > 0


@dataclass(frozen=True)
class Matrix:
    seed: int
    examples: int
    rows: tuple[Row, ...]
    sound: tuple[SoundRun, ...]
    duration_s: float
    whole: bool
    """All mutants were run, so that a clause without a kill is a hole in the kit."""

    @property
    def alarms(self) -> list[Alarm]:
        return [alarm for run in self.sound for alarm in run.alarms]

    @property
    def not_killed(self) -> list[Row]:
        return [row for row in self.rows if not row.ok]

    @property
    def uncovered(self) -> list[str]:
        """MUST clauses of the level that no mutant of theirs failed; only meaningful for a whole matrix."""
        return [clause for clause in must_clauses() if not self.killers(clause)] if self.whole else []

    @property
    def ok(self) -> bool:
        return not self.not_killed and not self.uncovered and all(run.ok for run in self.sound)

    def killers(self, clause: str) -> list[str]:
        """The mutants that break this clause first of all and were failed by it."""
        return [row.name for row in self.rows if row.ok and row.breaks[:1] == (clause,)]

    def to_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "seed": self.seed,
            "examples": self.examples,
            "duration_s": self.duration_s,
            "mutants": [asdict(row) for row in self.rows],
            "sound": [asdict(run) for run in self.sound],
            "clauses": {clause: self.killers(clause) for clause in must_clauses()},
            "uncovered": self.uncovered,
        }


def must_clauses() -> list[str]:
    """The clauses that each need a mutant: every MUST of the level that is tested."""
    return [c.id for c in load().for_level(LEVEL) if c.strength == "MUST" and c.untested is None]


def in_register_order(clauses: Iterable[str]) -> tuple[str, ...]:
    wanted = set(clauses)
    return tuple(clause.id for clause in load() if clause.id in wanted)


def judge_mutant(mutant: Mutant | WireMutant, run: Run, duration_s: float) -> Row:
    """Killed means: the clause that it breaks first of all is among those that failed."""
    failed = in_register_order(v.clause for v in run.violations)
    if run.blocked:
        outcome, reason = Outcome.BLOCKED, f"the positive control stopped it: {blocked_by(run)}"
    elif mutant.breaks[0] in failed:
        outcome = Outcome.KILLED
        reason = next(v.message for v in run.violations if v.clause == mutant.breaks[0])
    elif failed:
        outcome, reason = Outcome.OTHER_CLAUSE, f"{mutant.breaks[0]} should have failed it"
    else:
        outcome, reason = Outcome.SURVIVED, undecided(run) or "every check passed"
    return Row(mutant.name, mutant.story, mutant.breaks, failed, outcome, reason, duration_s)


def judge_process(process: type[Process], run: Run, duration_s: float) -> Row:
    """A broken process must get the one verdict that its fault deserves, and blame no clause but the one about answers."""
    failed = in_register_order(v.clause for v in run.violations)
    verdict = verdict_of(run)
    breaks = (ANSWERED_CLAUSE,) if process.expected is Verdict.FAIL else ()
    if verdict is process.expected and set(failed) <= set(breaks):
        outcome, reason = Outcome.KILLED, f"{verdict}, as it should be: {blocked_by(run) or undecided(run)}"
    else:
        blamed = f" of {', '.join(failed)}" if failed else ""
        outcome, reason = Outcome.WRONG_VERDICT, f"{verdict}{blamed} where {process.expected} was due"
        reason += f": {blocked_by(run) or undecided(run)}"
    return Row(process.name, process.story, breaks, failed, outcome, reason, duration_s)


def verdict_of(run: Run) -> Verdict:
    """The whole run in one word, worst first."""
    if run.blocked:
        return Verdict.BLOCKED
    if run.violations:
        return Verdict.FAIL
    return Verdict.PASS if run.tests and all(t.verdict in SOUND for t in run.tests) else Verdict.INCONCLUSIVE


def judge_sound(engine: str, seed: int, run: Run, duration_s: float) -> SoundRun:
    """Anything but PASS (or NOT_APPLICABLE) is a false alarm, and so is a run that judged nothing."""
    alarms = [Alarm(engine, seed, v.clause, Verdict.FAIL, v.message) for v in run.violations]
    doubtful = (t for t in run.tests if t.verdict not in SOUND)
    alarms += [Alarm(engine, seed, " ".join(t.clauses), t.verdict, f"{t.test}: {t.reason}") for t in doubtful]
    if run.blocked or not run.tests:
        alarms.insert(0, Alarm(engine, seed, "", Verdict.BLOCKED, blocked_by(run) or "no check ran"))
    clauses = {clause for test in run.tests if test.verdict is Verdict.PASS for clause in test.clauses}
    examples = sum(test.examples for test in run.tests)
    return SoundRun(engine, seed, len(clauses), examples, tuple(alarms), duration_s)


def blocked_by(run: Run) -> str:
    return (run.control_message or run.log.strip()[-500:]) if run.blocked else ""


def undecided(run: Run) -> str:
    """Why a run without a failure is no pass either; empty if it is one."""
    return next((t.reason for t in run.tests if t.verdict not in SOUND), "")
