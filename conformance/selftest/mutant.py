"""Every mutant of the kit, and targets made of them (`--target mutant:NAME`)."""

from __future__ import annotations

import difflib

from matchmark.conformance.selftest import (  # noqa: F401 (read for what they declare)
    arithmetic,
    cancel,
    crossing,
    events,
    identity,
    levels,
    price,
    priority,
    quantity,
    rare,
    remainder,
    replace,
    self_match,
    status,
    top,
)
from matchmark.conformance.selftest.declare import DECLARED, Mutant
from matchmark.conformance.targets.base import Target
from matchmark.conformance.targets.model import ModelTarget
from matchmark.conformance.targets.open import UnknownTarget

MUTANTS: dict[str, Mutant] = dict(sorted(DECLARED.items()))


def find(name: str) -> Mutant:
    """UnknownTarget, with the names that are near, when there is no such mutant."""
    if name in MUTANTS:
        return MUTANTS[name]
    near = difflib.get_close_matches(name, MUTANTS, 3)
    hint = f"; did you mean {' or '.join(near)}?" if near else "; `matchmark selftest --list` shows them all"
    raise UnknownTarget(f"there is no mutant {name!r}{hint}")


def mutant_target(name: str) -> Target:
    """The mutant as a target that claims every capability of level matching."""
    chosen = find(name)
    target_class: type[ModelTarget] = type(chosen.engine.__name__, (ModelTarget,), {"engine_class": chosen.engine})
    return target_class(f"mutant:{name}")


def mutants_by_clause() -> dict[str, list[str]]:
    """For each clause the mutants declared to break it, those that break it first of all before the others."""
    by_clause: dict[str, list[str]] = {}
    for place in (slice(0, 1), slice(1, None)):
        for name, chosen in MUTANTS.items():
            for clause in chosen.breaks[place]:
                by_clause.setdefault(clause, []).append(name)
    return by_clause
