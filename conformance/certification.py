"""From what a run of the suites said to the results that a certificate is made of: clause by clause, then level by level."""

from __future__ import annotations

import os
import platform
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

from matchmark.conformance.clauses import Clause, Register, load
from matchmark.conformance.clauses.vocabulary import CORE_CAPABILITIES, LEVELS
from matchmark.conformance.runner import Request, Run, Violation
from matchmark.conformance.targets.profile import SPEC_VERSION
from matchmark.conformance.timing import grade
from matchmark.conformance.verdict import Verdict
from matchmark.reports.results import (
    ClauseResult,
    Evidence,
    LatencyRow,
    LevelStatus,
    LoadSummary,
    Results,
    TargetSummary,
    Waiver,
    judge_level,
    merge_verdicts,
    settle_waivers,
    waived_clauses,
)

ASSESSABLE = ("matching", "order-entry", "market-data", "durability", "safety", "availability", "wire")
"""The levels that this version has suites for."""
LEVEL_NEEDS = {
    "matching": CORE_CAPABILITIES,
    "order-entry": (*CORE_CAPABILITIES, "fix"),
    "market-data": ("fix", "market_data"),
    "durability": ("fix", "audit_log"),
    "safety": ("fix", "breaker"),
    "availability": ("fix", "audit_log", "standby"),
    "wire": ("fix", "audit_log", "raw_frames"),
}
"""What a target must declare for each of them."""
EVIDENCE_MAX = 3
"""Transcripts kept a clause: the shortest ones. More of the same convinces nobody better."""


def results_of(
    run: Run,
    request: Request,
    levels: Sequence[str],
    started: datetime,
    *,
    invocation: str,
    waivers: Iterable[Waiver] = (),
    exploratory: bool = False,
    left_out: Mapping[str, str] = MappingProxyType({}),
    under_load: LoadSummary | None = None,
) -> Results:
    """The results of one run. Clauses outside `request.clauses` (if it names any) are left UNTESTED and say so. `left_out`:
    levels that a run which names none does not assess, and why, a sentence. Who answers wrongly `under_load` is certified
    nothing."""
    ended = datetime.now(UTC)
    capabilities = frozenset(run.target.get("capabilities", ()))
    register = load()
    clauses = _clause_results(register, run, request, capabilities)
    latency = [_latency_row(row) for row in run.latency]
    if run.target.get("grade") == "budget":
        asked = [c for c in clauses if not request.clauses or c.id in request.clauses]
        grade(asked, latency, {clause.id: clause.budget_ns for clause in register})
    verdicts = {c.id: c.verdict for c in clauses}
    settled = settle_waivers(waivers, verdicts, ended.date().isoformat())
    pairs = [(register[c.id], c) for c in clauses]
    statuses, reasons = {}, {}
    for level in LEVELS:
        status, reason = _judge(level, levels, pairs, capabilities, run, waived_clauses(settled), exploratory, request)
        if status is LevelStatus.CERTIFIED and under_load is not None and under_load.findings:
            status, reason = LevelStatus.NOT_CERTIFIED, f"Answers were wrong under load: {under_load.findings[0]}."
        statuses[level] = status
        if level in left_out and level not in levels:
            reason = left_out[level]
        if reason:
            reasons[level] = reason
    return Results(
        matchmark=version("matchmark"),
        spec=SPEC_VERSION,
        target=TargetSummary(
            run.target.get("name", request.target), run.target.get("version", "unknown"), sorted(capabilities)
        ),
        seed=request.seed,
        started=started.isoformat(timespec="milliseconds"),
        ended=ended.isoformat(timespec="milliseconds"),
        environment=environment(),
        levels=statuses,
        clauses=clauses,
        latency=latency,
        exploratory=exploratory,
        level_reasons=reasons,
        invocation=invocation,
        notes=list(run.target.get("notes", ())),
        duration_s=round((ended - started).total_seconds(), 3),
        waivers=settled,
        load=under_load,
    )


def _judge(
    level: str,
    asked: Sequence[str],
    pairs: list[tuple[Clause, ClauseResult]],
    capabilities: frozenset[str],
    run: Run,
    waived: frozenset[str],
    exploratory: bool,
    request: Request,
) -> tuple[LevelStatus, str]:
    if level not in ASSESSABLE:
        return LevelStatus.NOT_ASSESSED, "This version has no suites for it."
    missing = [c for c in LEVEL_NEEDS[level] if c not in capabilities]
    if level not in asked:
        unable = f"The target does not declare {', '.join(missing)}." if missing and not run.blocked else ""
        return LevelStatus.NOT_ASSESSED, unable or "Not asked for."
    if run.blocked:
        return (
            LevelStatus.NOT_ASSESSED,
            f"Blocked: {run.control_message or 'the run ended before its positive control'}",
        )
    if request.clauses:
        return LevelStatus.NOT_ASSESSED, f"Only {', '.join(request.clauses)} was asked for."
    return judge_level(level, pairs, missing, waived=waived, exploratory=exploratory)


def _clause_results(register: Register, run: Run, request: Request, capabilities: frozenset[str]) -> list[ClauseResult]:
    from matchmark.conformance.catalogue import mutants_by_clause

    mutants = mutants_by_clause()
    judged: dict[str, list[Any]] = defaultdict(list)
    for record in run.tests:
        for name in record.clauses:
            judged[name].append(record)
    violations: dict[str, list[Violation]] = defaultdict(list)
    for violation in run.violations:
        violations[violation.clause].append(violation)
    results = []
    for clause in register:
        result = ClauseResult(clause.id, clause.strength, Verdict.UNTESTED, mutants=mutants.get(clause.id, []))
        _decide(result, clause, judged[clause.id], violations[clause.id], capabilities, run, request)
        results.append(result)
    return results


def _decide(
    result: ClauseResult,
    clause: Clause,
    records: list[Any],
    violations: list[Violation],
    capabilities: frozenset[str],
    run: Run,
    request: Request,
) -> None:
    result.tests = sorted({r.test for r in records} | {v.test for v in violations})
    result.examples = sum(r.examples for r in records)
    missing = [c for c in clause.needs if c not in capabilities]
    if violations:
        result.verdict = Verdict.FAIL
        result.evidence = [_evidence(v, request) for v in _shortest(violations)]
        result.reason = result.evidence[0].message
    elif request.clauses and clause.id not in request.clauses:
        result.reason, result.tests, result.examples = "not asked for in this run", [], 0
    elif missing and not run.blocked:
        result.verdict = Verdict.NOT_APPLICABLE
        result.reason = f"the target does not declare {', '.join(missing)}"
        result.examples = 0
    elif not records:
        result.reason = clause.untested or _why_not_run(clause, request)
    else:
        result.verdict = merge_verdicts(r.verdict for r in records)
        result.reason = next((r.reason for r in records if r.verdict == result.verdict and r.reason), "")
        if result.verdict is Verdict.BLOCKED:
            result.examples = 0


def _why_not_run(clause: Clause, request: Request) -> str:
    if request.levels and not set(clause.levels) & set(request.levels):
        return f"its level, {' and '.join(clause.levels)}, was not asked for"
    return "no check of it was run"


def levels_for(capabilities: Iterable[str]) -> tuple[str, ...]:
    """The levels that a target with these capabilities can be assessed for; `matching` when there is nothing else to try."""
    has = set(capabilities)
    able = tuple(level for level in ASSESSABLE if set(LEVEL_NEEDS[level]) <= has)
    return able or ("matching",)


def _shortest(violations: list[Violation]) -> list[Violation]:
    return sorted(violations, key=lambda v: len(v.transcript))[:EVIDENCE_MAX]


def _evidence(violation: Violation, request: Request) -> Evidence:
    return Evidence(
        clause=violation.clause,
        test=violation.test,
        message=violation.message,
        expected=violation.expected,
        actual=violation.actual,
        transcript=violation.transcript,
        reproduce=reproduce(request, violation.clause),
        seed=request.seed,
        index=violation.index if 0 <= violation.index < len(violation.transcript) else None,
    )


def reproduce(request: Request, clause: str) -> str:
    """The command that runs this one case again."""
    command = f"matchmark certify --target {request.target} --clause {clause} --seed {request.seed}"
    return command + ("" if request.examples == 1000 else f" --examples {request.examples}")


SEEN = "command to complete answer, as the kit saw it"


def _latency_row(row: dict[str, Any]) -> LatencyRow:
    numbers = (row["count"], row["p50_ns"], row["p99_ns"], row["p999_ns"], row["max_ns"])
    return LatencyRow(row.get("stage", SEEN), *numbers, row.get("budget_ns"))


def environment() -> dict[str, Any]:
    """The machine and the software, as far as they could matter to someone who runs it again."""
    return {
        "kernel": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in ("hypothesis", "pytest", "numpy", "sortedcontainers")},
        "in_virtual_environment": sys.prefix != sys.base_prefix,
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
