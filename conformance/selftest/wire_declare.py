"""How a wire mutant is declared: a Wire, or the start of an exchange, that gets one thing wrong.

The book behind it is sound. Wire mutants live in the modules `wire_*` by theme; `wire_mutants` gathers them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from matchmark.conformance.selftest.direct_proxy import DirectTap
from matchmark.conformance.selftest.feed_proxy import Tap
from matchmark.conformance.selftest.wire_message import Message
from matchmark.conformance.selftest.wire_proxy import Link, Wire

PREFIX = "wire-"
"""What the name of a wire mutant, and of a sound wire, begins with."""


@dataclass
class Start:
    """How the exchange is about to be started; `prepare` of a mutant alters it."""

    words: list[str]
    env: dict[str, str] = field(default_factory=dict)

    def flag(self, name: str) -> str | None:
        """The value of the last `--name VALUE` or `--name=VALUE`."""
        found = None
        for n, word in enumerate(self.words):
            if word == name and n + 1 < len(self.words):
                found = self.words[n + 1]
            elif word.startswith(f"{name}="):
                found = word.partition("=")[2]
        return found

    def set_flag(self, name: str, value: str) -> None:
        """Said last, it holds."""
        self.words += [name, value]

    @property
    def data(self) -> Path:
        return Path(self.flag("--data-dir") or "data")


class BrokenWire(Wire):
    """What wire mutants are made of: `data` is the exchange's folder, known before its first message."""

    tap: type[Tap] | None = None
    """What market data goes through; None: nothing."""
    direct_tap: type[DirectTap] | None = None
    """What the direct feed goes through."""

    def __init__(self) -> None:
        self.data = Path()

    def prepare(self, start: Start) -> None:
        """Before the exchange is started, each time."""

    def ready(self, line: dict[str, Any]) -> None:
        """The readiness line, before it is printed."""

    def ended(self) -> None:
        """The exchange has ended."""


@dataclass(frozen=True)
class WireMutant:
    name: str
    breaks: tuple[str, ...]
    """Clause ids: the first is the one whose check must fail it, the others may fail with it."""
    story: str
    """One sentence: what a real exchange did wrong."""
    wire: type[BrokenWire]
    needs_compiler: bool = False
    profile: str = "exchange"
    """The built-in profile whose exchange it stands in for."""


DECLARED_WIRES: dict[str, WireMutant] = {}

W = TypeVar("W", bound=type[BrokenWire])


def wire_mutant(
    name: str, *, breaks: tuple[str, ...], story: str, needs_compiler: bool = False, profile: str = "exchange"
) -> Callable[[W], W]:
    """Declare the decorated class as wire-NAME. ValueError for a name that is taken: it would hide the first."""

    def declare(wire: W) -> W:
        full = PREFIX + name
        if full in DECLARED_WIRES:
            raise ValueError(f"there are two wire mutants called {full!r}")
        DECLARED_WIRES[full] = WireMutant(full, breaks, story, wire, needs_compiler, profile)
        return wire

    return declare


class Reports(BrokenWire):
    """For bugs of the report path: `edited` gives what goes out in place of each report."""

    def edited(self, link: Link, m: Message) -> list[Message]:
        raise NotImplementedError

    def to_client(self, link: Link, m: Message) -> list[Message]:
        return self.edited(link, m) if m.kind == "8" else [m]


def is_fill(m: Message) -> bool:
    return m.kind == "8" and m.get(150) == "F"


def is_ack(m: Message) -> bool:
    return m.kind == "8" and m.get(150) == "0"


def every(n: int, first: int = 0) -> Iterator[bool]:
    """True at turn `first` (or n) and then at every n-th: which message is hit depends on the count alone."""
    yield from (False,) * max(0, first - n)
    while True:
        yield from (False,) * (n - 1)
        yield True
