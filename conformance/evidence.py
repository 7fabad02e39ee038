"""What a violation, a failed target and the times of a run become as messages to the runner."""

from __future__ import annotations

from typing import Any

from matchmark.conformance.history import History
from matchmark.conformance.verdict import ClauseViolation

ANSWERED_CLAUSE = "D01.X8"
"""Every command is answered exactly once: the clause that a death or a hang breaks."""


def of_violation(violation: ClauseViolation) -> dict[str, Any]:
    f = violation.finding
    return {
        "clause": f.clause,
        "message": f.message,
        "index": f.index,
        "expected": list(f.expected),
        "actual": list(f.actual),
        "transcript": violation.history.rows(),
    }


def of_failure(history: History, message: str) -> dict[str, Any]:
    return {
        "clause": ANSWERED_CLAUSE,
        "message": f"the command was not answered: {message}",
        "index": len(history) - 1,
        "expected": ["an answer, whatever it says"],
        "actual": [message],
        "transcript": history.rows(),
    }


def latency(answers_ns: list[int]) -> dict[str, Any]:
    """Time from handing a command to the adapter until its answer was complete, as this process saw it, in ns."""
    import numpy as np

    if not answers_ns:
        return {"count": 0}
    p50, p99, p999, most = (int(v) for v in np.percentile(answers_ns, [50, 99, 99.9, 100]))
    return {"count": len(answers_ns), "p50_ns": p50, "p99_ns": p99, "p999_ns": p999, "max_ns": most}
