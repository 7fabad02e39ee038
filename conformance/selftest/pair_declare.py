"""How a broken pair is declared: every member of it runs with one function of the cluster plane replaced.

It is a wire mutant whose wire is sound: what is started by the hooks of a cluster goes through pair_serve.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from matchmark.conformance.selftest.wire_declare import BrokenWire, Start, wire_mutant

Patch = Callable[[Start], None]


class BrokenPair(BrokenWire):
    def member(self, start: Start) -> None:
        """Before a member is started, in its process."""


def broken_pair(
    name: str, *, breaks: tuple[str, ...], story: str, profile: str = "exchange"
) -> Callable[[Patch], type[BrokenPair]]:
    """Declare the decorated function as wire-pair-NAME: it alters the process that is about to be a member."""

    def declare(patch: Patch) -> type[BrokenPair]:
        cls = type(f"Pair_{patch.__name__}", (BrokenPair,), {"member": lambda self, start: patch(start)})
        return wire_mutant(f"pair-{name}", breaks=breaks, story=story, profile=profile)(cls)

    return declare


def around(owner: Any, name: str, replacement: Callable[..., Any]) -> None:
    """`replacement` gets the sound function first, then its arguments."""
    sound = getattr(owner, name)
    setattr(owner, name, lambda *args, **kwargs: replacement(sound, *args, **kwargs))
