"""Which of the collected tests a run is about: by clause, by level, by shard; and that they name only what the register knows."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from matchmark.conformance.clauses import Register, UnknownClause, load
from matchmark.conformance.clauses.vocabulary import CAPABILITIES
from matchmark.reports import allure


def select(config: pytest.Config, items: list[pytest.Item], certifying: Sequence[pytest.Item]) -> None:
    """Takes out of `items` those of `certifying` that the options leave out. UsageError when an option is wrong."""
    _check_names(certifying)
    wanted = config.getoption("--clause")
    if wanted:
        _check_ids(load(), wanted, "--clause")
        _deselect(config, items, [item for item in certifying if not clauses_of(item) & set(wanted)])
    if levels := set(config.getoption("--level")):
        kept = {c.id for c in load() if levels.intersection(c.levels)}
        _deselect(config, items, [item for item in certifying if not clauses_of(item) & kept])
    if config.getoption("--generated-only"):
        _deselect(config, items, [item for item in certifying if not is_generated(item)])
    if shard := config.getoption("--shard"):
        left = [item for item in certifying if item in items]
        _deselect(config, items, _not_in_shard(left, shard))


def label(items: Sequence[pytest.Item]) -> None:
    """Allure shows the tests by level, diagram and clause."""
    register = load()
    titles = {diagram.id: diagram.title for diagram in register.diagrams()}
    for item in items:
        for mark in allure.marks((register[clause] for clause in sorted(clauses_of(item))), titles):
            item.add_marker(mark)


def clauses_of(item: pytest.Item) -> set[str]:
    return {name for marker in item.iter_markers("clause") for name in marker.args}


def is_generated(item: pytest.Item) -> bool:
    """Whether its examples are drawn from the run's seed: other tests say the same with every seed."""
    return "property_settings" in getattr(item, "fixturenames", ())


def needs_of(item: pytest.Item) -> set[str]:
    return {name for marker in item.iter_markers("needs") for name in marker.args}


def _deselect(config: pytest.Config, items: list[pytest.Item], dropped: list[pytest.Item]) -> None:
    config.hook.pytest_deselected(items=dropped)
    out = set(dropped)
    items[:] = [item for item in items if item not in out]


def _not_in_shard(items: list[pytest.Item], shard: str) -> list[pytest.Item]:
    """Generated tests, which take most of the time, are dealt out by themselves, so that each shard gets as many."""
    index, _, count = shard.partition("/")
    if not (index.isdigit() and count.isdigit() and int(index) < int(count)):
        raise pytest.UsageError(f"--shard {shard}: expected I/N with 0 <= I < N, such as 0/2")
    by_kind = [[i for i in items if is_generated(i)], [i for i in items if not is_generated(i)]]
    return [item for kind in by_kind for n, item in enumerate(kind) if n % int(count) != int(index)]


def _check_names(items: Sequence[pytest.Item]) -> None:
    register = load()
    for item in items:
        _check_ids(register, sorted(clauses_of(item)), item.nodeid)
        unknown = needs_of(item) - set(CAPABILITIES)
        if unknown:
            raise pytest.UsageError(f"{item.nodeid} needs unknown capabilities: {', '.join(sorted(unknown))}")


def _check_ids(register: Register, ids: Sequence[str], where: str) -> None:
    for clause in ids:
        try:
            register[clause]
        except UnknownClause as error:
            raise pytest.UsageError(f"{where}: {error}") from None
