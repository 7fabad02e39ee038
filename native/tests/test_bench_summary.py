"""`make bench` ends with one table, and every benchmark that makes rows for it is in it."""

from __future__ import annotations

import ast
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1] / "bench"


def makes_rows(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == "figures" for node in tree.body)


def parts() -> list[str]:
    for node in ast.parse((BENCH / "summary.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            return [key.value for key in node.value.keys if isinstance(key, ast.Constant)]
    raise AssertionError("summary.py has no dictionary of parts")


def test_every_benchmark_is_in_the_one_table() -> None:
    assert sorted(parts()) == sorted(path.stem for path in BENCH.glob("*.py") if makes_rows(path))
