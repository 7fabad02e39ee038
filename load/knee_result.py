"""What searches for the knee found, as JSON has it and as the page takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from matchmark.load.knee import Search, Step
from matchmark.load.latency import show_ns
from matchmark.load.result import VERSION
from matchmark.load.run import Plan
from matchmark.load.stats import Slo, mean_of


def document(
    target: Mapping[str, str], plan: Plan, slo: Slo, searches: Sequence[Search], floor_p99_ns: int,
    environment: Mapping[str, Any], warnings: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    found = [s.holds for s in searches if s.holds and not s.ended]
    knee = mean_of(found)
    apart = max(found) / min(found) - 1 if len(found) > 1 else 0.0
    findings = [text for s in searches for text in s.findings]
    return {
        "version": VERSION,
        "kind": "knee",
        "target": dict(target),
        "slo": str(slo),
        "plan": {
            **asdict(plan),
            "words": f"{plan.mix}, {plan.arrivals.kind} arrivals, {plan.arrivals.seconds:g} s a run",
        },
        "searches": [_search(s) for s in searches],
        "knee": {
            "found": bool(found) and not findings,
            "rate": round(knee.value, 1),
            "half": knee.half,
            "apart": round(apart, 4),
            "words": words(found, apart, findings, searches, slo),
        },
        "floor_p99_ns": floor_p99_ns,
        "findings": findings,
        "environment": dict(environment),
        "warnings": list(warnings),
    }


def words(found: Sequence[float], apart: float, findings: Sequence[str], searches: Sequence[Search], slo: Slo) -> str:
    if findings:
        return f"No knee: answers were wrong ({findings[0]})"
    if not found:
        held = max((s.holds for s in searches), default=0.0)
        text = f"No knee found: {searches[0].ended if searches else 'nothing was run'}"
        return text + (f"; {held:,.0f} orders/s held" if held else "")
    many = (
        f" ({len(found)} searches, {min(found):,.0f} to {max(found):,.0f}, {apart:.0%} apart)" if len(found) > 1 else ""
    )
    without = [s for s in searches if s.ended or not s.holds]
    if without:
        held = max(s.holds for s in without)
        many += f"; {len(without)} of {len(searches)} searches found none, where {held:,.0f}/s held: {without[0].ended}"
    return f"Up to {mean_of(found).value:,.0f} orders/s hold {slo}{many}"


def _search(s: Search) -> dict[str, Any]:
    steps = [
        {
            "rate": round(step.rate, 1),
            "held": sum(not t.why for t in step.trials),
            "trials": len(step.trials),
            "left_out": len(step.left_out),
            "answered": step.answered.words(),
            "p50_ns": int(median(t.p50_ns for t in step.trials)),
            "p99_ns": int(step.p99_ns.value),
            "p99": _interval(step),
            "lateness_p99_ns": int(median(t.lateness_p99_ns for t in step.trials)),
            "why": next((t.why for t in step.trials if t.why), ""),
            "runs": [asdict(t) for t in step.trials],
        }
        for step in s.steps
    ]
    return {"holds": s.holds, "breaks": s.breaks, "ended": s.ended, "steps": steps}


def _interval(step: Step) -> str:
    mean = step.p99_ns
    return show_ns(mean.value) + ("" if mean.half is None else f" ± {show_ns(mean.half)}")
