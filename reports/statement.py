"""What a certificate says in words, beside its verdicts: its title, what it assumes, and what it leaves open."""

from __future__ import annotations

from dataclasses import dataclass

from matchmark.conformance.verdict import Verdict
from matchmark.reports.records import ClauseResult, Results
from matchmark.reports.verdicts import LevelStatus

MADE_HERE = "made here"
GIVEN = "given"
GRAVITY = {Verdict.FAIL: 0, Verdict.BLOCKED: 2, Verdict.INCONCLUSIVE: 4}
"""The verdicts that ask for a reader's attention, and in which order; a MUST goes before a SHOULD."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Clauses without a verdict for the same reason."""

    verdict: Verdict
    reason: str
    clauses: tuple[str, ...]


def title(results: Results) -> str:
    """Only a run that certified something may be called a certificate."""
    if results.exploratory:
        return "Exploratory run"
    if LevelStatus.CERTIFIED in results.levels.values():
        return "Certificate of conformance"
    return "Conformance report"


def gaps(results: Results) -> list[Gap]:
    """What was not tested or not concluded and why, the largest group of each verdict first."""
    groups: dict[tuple[Verdict, str], list[str]] = {}
    for clause in results.clauses:
        if clause.verdict not in (Verdict.PASS, Verdict.FAIL):
            groups.setdefault((clause.verdict, clause.reason or "no reason was recorded"), []).append(clause.id)
    order = [Verdict.BLOCKED, Verdict.INCONCLUSIVE, Verdict.NOT_APPLICABLE, Verdict.UNTESTED]
    found = [Gap(verdict, reason, tuple(ids)) for (verdict, reason), ids in groups.items()]
    return sorted(found, key=lambda gap: (order.index(gap.verdict), -len(gap.clauses), gap.reason))


def assumptions(results: Results) -> list[str]:
    """Sentences that a reader must accept before relying on the verdicts."""
    sentences = [
        f"Every verdict is about {results.target.name} {results.target.version}, configured as for this run, on the "
        "machine described here. Another version or configuration needs a run of its own.",
        f"Property-based checks sample: the number of examples stands with each clause, and seed {results.seed} chose "
        "them. Where no violation turned up, that is strong evidence and no proof.",
        "MUST clauses alone decide a level. SHOULD clauses are reported.",
    ]
    sentences += _about_latency(results)
    if results.load is not None:
        sentences.append("The load's figures hold for this machine, which the generator shared with the target.")
    if any(clause.ruling for clause in results.clauses):
        sentences.append(
            "Where the specification contradicts itself or is silent, the rulings printed with the clauses hold."
        )
    if waived := [w.clause for w in results.waivers if w.state == "in force"]:
        sentences.append(f"Declared deviations were excused: {', '.join(waived)}. Their reasons are listed as waivers.")
    sentences += [note if note.endswith((".", "!", "?")) else f"{note}." for note in results.notes]
    return sentences


def _about_latency(results: Results) -> list[str]:
    if not results.latency:
        return ["No latency was measured, so nothing here speaks about speed."]
    timed = [c for c in results.clauses if c.kind == "performance"]
    judged = [c.id for c in timed if c.verdict in (Verdict.PASS, Verdict.FAIL)]
    if judged:
        return [f"Latency verdicts ({', '.join(judged)}) hold for the machine they were measured on."]
    return ["Latency was measured and not judged: the target profile asks for no timing grade."]


def open_clauses(results: Results) -> list[ClauseResult]:
    """The clauses a reader must look at, gravest first: failed MUST, failed SHOULD, blocked, inconclusive."""
    found = [clause for clause in results.clauses if clause.verdict in GRAVITY]
    return sorted(found, key=lambda clause: GRAVITY[clause.verdict] + (clause.level != "MUST"))


def identity(origin: str) -> str:
    """What a signature by a key of this origin is worth."""
    if origin == MADE_HERE:
        return (
            "Signed with a key that matchmark made for itself on the machine of the run. The signature shows that "
            "nothing was changed since; it shows who signed only to someone who already knows the key."
        )
    return (
        "Signed with a key that the operator of the run gave. The signature shows that nothing was changed since, and "
        "who signed to anyone who knows whose key it is."
    )
