"""Every mutant of the kit, and targets made of them (`--target mutant:NAME`)."""

from __future__ import annotations

import difflib
import sys
from importlib.metadata import version

from matchmark.conformance.clauses.vocabulary import MATCHING_CAPABILITIES
from matchmark.conformance.selftest import (  # noqa: F401 (read for what they declare)
    arithmetic,
    cancel,
    cancel_answers,
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
    walk,
)
from matchmark.conformance.selftest.broken_process import PROCESSES, Process
from matchmark.conformance.selftest.declare import DECLARED, Mutant
from matchmark.conformance.selftest.wire_declare import PREFIX
from matchmark.conformance.selftest.wire_mutants import WIRES
from matchmark.conformance.selftest.wire_target import wire_target
from matchmark.conformance.targets.base import Target, TargetInfo
from matchmark.conformance.targets.model import ModelTarget
from matchmark.conformance.targets.open import UnknownTarget
from matchmark.conformance.targets.subprocess import SubprocessTarget

MUTANTS: dict[str, Mutant] = dict(sorted(DECLARED.items()))

PROCESS_TIMEOUT_S = 3.0
PROCESS_START_S = 15.0
"""An interpreter takes a quarter of a second to start, and seconds on a busy machine."""


def mutant_target(name: str) -> Target:
    """The mutant as a target that declares every capability of level matching. UnknownTarget names what is near."""
    if name.startswith(PREFIX):
        return wire_target(name)
    if name in MUTANTS:
        engine = MUTANTS[name].engine
        target_class: type[ModelTarget] = type(engine.__name__, (ModelTarget,), {"engine_class": engine})
        return target_class(f"mutant:{name}")
    if name in PROCESSES or name == Process.name:
        info = TargetInfo(f"mutant:{name}", version("matchmark"), frozenset(MATCHING_CAPABILITIES))
        command = [sys.executable, "-m", "matchmark.conformance.selftest.broken_process", name]
        return SubprocessTarget(info, command, answer_timeout_s=PROCESS_TIMEOUT_S, start_timeout_s=PROCESS_START_S)
    near = difflib.get_close_matches(name, [*MUTANTS, *PROCESSES], 3, 0.4)
    hint = f"; did you mean {' or '.join(near)}?" if near else "; `matchmark selftest --list` shows them all"
    raise UnknownTarget(f"there is no mutant {name!r}{hint}")


def mutants_by_clause() -> dict[str, list[str]]:
    """For each clause the mutants declared to break it, first those whose first clause it is."""
    by_clause: dict[str, list[str]] = {}
    declared = {name: chosen.breaks for name, chosen in MUTANTS.items()} | {w.name: w.breaks for w in WIRES.values()}
    for place in (slice(0, 1), slice(1, None)):
        for name, breaks in declared.items():
            for clause in breaks[place]:
                by_clause.setdefault(clause, []).append(name)
    return by_clause
