"""Which checks and which mutants touch a clause, read off the code that has them: nothing is listed by hand."""

from __future__ import annotations

import importlib
from collections import defaultdict
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import ModuleType

SUITES = "matchmark.conformance.suites"


@cache
def checks_by_clause() -> dict[str, list[str]]:
    """Clause id -> the tests that name it, as file::test, and the rules of checks/ that can report it."""
    from matchmark.conformance.checks import RULES
    from matchmark.conformance.checks.reports import STREAM_RULES

    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(Path(str(files(SUITES))).glob("test_*.py")):
        for test, clauses in _marked(importlib.import_module(f"{SUITES}.{path.stem}")).items():
            for clause in clauses:
                found[clause].append(f"{path.name}::{test}")
    for rule, reported in {**RULES, **STREAM_RULES}.items():
        for clause in reported:
            found[clause].append(f"rule {rule}")
    return dict(found)


@cache
def mutants_by_clause() -> dict[str, list[str]]:
    """Clause id -> the mutants that are broken in this clause."""
    from matchmark.conformance.selftest.mutant import mutants_by_clause as declared

    return declared()


def _marked(suite: ModuleType) -> dict[str, list[str]]:
    """Test function -> ids in its `clause` markers."""
    return {
        name: [clause for mark in test.pytestmark if mark.name == "clause" for clause in mark.args]
        for name, test in vars(suite).items()
        if name.startswith("test_") and hasattr(test, "pytestmark")
    }
