"""The checks of the session suites as calls: each test function with the arguments of each of its parameter sets."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

from matchmark.conformance.suites import (
    test_fix_logon_tokens,
    test_fix_session_disconnect,
    test_fix_session_fields,
    test_fix_session_header,
    test_fix_session_heartbeat,
    test_fix_session_hostile,
    test_fix_session_logon,
    test_fix_session_numbers,
    test_fix_session_order,
    test_fix_session_resend,
)

SUITES: tuple[ModuleType, ...] = (
    test_fix_session_header, test_fix_session_fields, test_fix_session_numbers, test_fix_session_resend,
    test_fix_session_heartbeat, test_fix_session_logon, test_fix_logon_tokens, test_fix_session_hostile,
    test_fix_session_order, test_fix_session_disconnect,
)  # fmt: skip


class Call(NamedTuple):
    name: str
    """As pytest would show it: test_function[parameters]."""
    check: Callable[..., None]
    arguments: dict[str, Any]
    clauses: frozenset[str]


def calls() -> list[Call]:
    return [call for suite in SUITES for call in _of(suite)]


def _of(suite: ModuleType) -> Iterator[Call]:
    for name, check in vars(suite).items():
        if not name.startswith("test_") or getattr(check, "__module__", None) != suite.__name__:
            continue
        clauses = frozenset(c for mark in check.pytestmark if mark.name == "clause" for c in mark.args)
        sets = [list(_parameters(mark)) for mark in check.pytestmark if mark.name == "parametrize"]
        for chosen in itertools.product(*sets):
            ids = "-".join(part for part, _ in chosen)
            arguments = {key: value for _, values in chosen for key, value in values.items()}
            yield Call(f"{name}[{ids}]" if ids else name, check, arguments, clauses)


def _parameters(mark: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    names = mark.args[0]
    names = [part.strip() for part in names.split(",")] if isinstance(names, str) else list(names)
    for n, row in enumerate(mark.args[1]):
        shown = mark.kwargs["ids"][n] if mark.kwargs.get("ids") else getattr(row, "id", None)
        values = getattr(row, "values", None)
        if not hasattr(row, "marks"):
            values = (row,) if len(names) == 1 else row
        assert isinstance(values, tuple)
        yield shown or "-".join(map(str, values)), dict(zip(names, values, strict=True))
