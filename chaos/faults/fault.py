"""What every fault offers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Fault(Protocol):
    """Something that goes wrong and can be put right again."""

    def needs(self) -> str | None:
        """Why this machine cannot do it; None when it can."""

    def inject(self) -> None: ...

    def heal(self) -> None:
        """Puts it right; harmless when it was never injected."""


@contextmanager
def injected(fault: Fault) -> Iterator[None]:
    """The fault holds inside the `with`, however that is left. RuntimeError when this machine cannot do it."""
    if reason := fault.needs():
        raise RuntimeError(f"{type(fault).__name__}: {reason}")
    try:
        fault.inject()
        yield
    finally:
        fault.heal()
