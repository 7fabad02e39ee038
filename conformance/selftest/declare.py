"""How a mutant is declared: a subclass of the model that gets one thing wrong, and the clauses that it thereby breaks.

Mutants live in the modules of this package, by theme; `mutant` gathers them. A mutant overrides as little as it can, so
that a reader sees the bug and nothing else, and each is a bug that an engine in production could have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from matchmark.reference.model import ModelEngine

Engine = TypeVar("Engine", bound=type[ModelEngine])


@dataclass(frozen=True)
class Mutant:
    name: str
    breaks: tuple[str, ...]
    """Clause ids: the first is the one whose check must fail it, the others may fail with it."""
    story: str
    """One sentence: what a real engine did wrong."""
    engine: type[ModelEngine]


DECLARED: dict[str, Mutant] = {}


def mutant(name: str, *, breaks: tuple[str, ...], story: str) -> Callable[[Engine], Engine]:
    """Declare the decorated class as a mutant. ValueError for a name that is taken: it would hide the first."""

    def declare(engine: Engine) -> Engine:
        if name in DECLARED:
            raise ValueError(f"there are two mutants called {name!r}")
        DECLARED[name] = Mutant(name, breaks, story, engine)
        return engine

    return declare
