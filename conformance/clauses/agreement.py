"""The register against the code: each clause has checks, or a reason why it has none, and never both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matchmark.conformance.clauses.register import Register, UnknownClause


def disagreements(register: Register, checks_by_clause: Mapping[str, Sequence[str]]) -> list[str]:
    """What is wrong between the two, a line each with the fix; empty when they agree."""
    found = []
    for clause_id, checks in checks_by_clause.items():
        if checks and clause_id not in register:
            found.append(f"{', '.join(checks)}: {UnknownClause(clause_id, register.near(clause_id))}")
    for clause in register:
        checks = checks_by_clause.get(clause.id, ())
        if checks and clause.untested is not None:
            found.append(f"{clause.id} is checked by {', '.join(checks)}; remove its key `untested`")
        elif not checks and clause.untested is None:
            found.append(
                f"{clause.id} has no check and no reason; write a check, or say under `untested` what it needs"
            )
    return found
