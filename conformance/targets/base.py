"""What the kit asks of an engine under test, whatever it is made of.

A target takes one command and gives back the whole list of events that it caused. Targets raise TargetError and
nothing else: its subclass says whose fault it is and so what the verdict may be.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

from matchmark.conformance.history import WireLine
from matchmark.conformance.messages import Command, Event

START_TIMEOUT_S = 30.0
"""For the first line of a process: until it comes, what is waited for is a runtime that starts, on a machine that may be busy."""
PRICE_MAX_TICKS = 2**53 - 1
"""The largest price of docs/engine-rules.md: exact in a double, so that no JSON parser can round it."""
QUANTITY_MAX_LOTS = 2**31 - 1


class TargetError(Exception):
    """The target could not be asked. The text says what happened and what to do about it."""


class TargetUnavailable(TargetError):
    """It cannot be started or reached at all: nothing was tested, the run is BLOCKED."""


class TargetDied(TargetError):
    """It ended (exit status or signal in the text) instead of answering."""


class TargetHung(TargetError):
    """No complete answer within the profile's time-out."""


class TargetGarbled(TargetError):
    """It sent something that is not in the adapter protocol, or more answers than questions."""


class StreamFault(Exception):
    """What the sessions were told breaks a clause by itself, whatever the book did: found by the adapter, for only it sees the
    reports of every session."""

    def __init__(self, clause: str, message: str, expected: Sequence[str] = (), actual: Sequence[str] = ()) -> None:
        super().__init__(clause, message, tuple(expected), tuple(actual))
        self.clause, self.message, self.expected, self.actual = clause, message, tuple(expected), tuple(actual)

    def __str__(self) -> str:
        return f"{self.clause}: {self.message}"


@dataclass(frozen=True)
class Instruments:
    """The symbols that the target trades and the largest numbers that it takes (profile table [instruments])."""

    symbols: tuple[str, ...] = tuple(f"S{n}" for n in range(16))
    price_max_ticks: int = PRICE_MAX_TICKS
    quantity_max_lots: int = QUANTITY_MAX_LOTS


@dataclass(frozen=True)
class TargetInfo:
    name: str
    version: str
    capabilities: frozenset[str]
    instruments: Instruments = field(default_factory=Instruments)
    notes: tuple[str, ...] = ()
    """What a reader of the certificate must know about how the target was driven, a sentence each."""


class Target(ABC):
    """An engine under test. Life: start, then any number of submit and reset, then close; start after close is a restart."""

    info: TargetInfo

    def start(self) -> None:
        """Make it ready for the first command. TargetUnavailable when it cannot be."""

    @abstractmethod
    def submit(self, command: Command) -> list[Event]:
        """Everything that the command caused, in order. TargetDied, TargetHung or TargetGarbled when there is no answer."""

    @abstractmethod
    def reset(self) -> None:
        """Back to empty books and no known ClOrdID."""

    def settle(self) -> None:
        """Look for what was said and not asked for. StreamFault when there is anything; nothing to do in most targets."""

    def take_wire(self) -> tuple[WireLine, ...]:
        """The messages that were exchanged since the last call, where there is a wire to look at."""
        return ()

    def close(self) -> None:
        """Free what it holds; harmless when it is closed already."""
