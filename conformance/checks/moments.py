"""What rules are shown: the moments of a history, each with the state in which the target decided."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from matchmark.conformance.checks.demand import Demand
from matchmark.conformance.checks.finding import Finding, show, show_all
from matchmark.conformance.checks.observed import Seen, TopOfBook
from matchmark.conformance.messages import Cancelled, Command, Event, Trade

if TYPE_CHECKING:
    from matchmark.conformance.checks.replay import Observed


@dataclass(frozen=True, slots=True)
class Before:
    """What was known of the order that a command names, when the command arrived."""

    px: int | None
    leaves: int
    cum: int
    over: str | None


@dataclass(slots=True)
class Step:
    """One exchange; as a moment, the finished one: everything in it has been taken into account."""

    index: int
    command: Command
    events: tuple[Event, ...]
    seen: Observed
    demand: Demand
    """What the rules leave the target to answer."""
    order: Seen | None = None
    """The order that a `new`, or an accepted `replace`, brings to the market."""
    subject: Seen | None = None
    """The order that a cancel, replace or status names, whoever owns it."""
    before: Before | None = None
    """Of `subject`."""
    crossed_on_arrival: bool = False
    """`order` found something within its limit."""
    book_was_crossed: bool = False
    top_before: dict[str, TopOfBook] = field(default_factory=dict)
    trades: list[TradeSeen] = field(default_factory=list)
    latest_of_pair: dict[tuple[str, str], TradeSeen] = field(default_factory=dict)
    ends: list[EndSeen] = field(default_factory=list)
    done_for: bool = False
    """The target reported `order` as cancelled in this exchange."""
    unreported_lots: int = 0
    """What `order` had left when it was over by the rules, though no report said so."""
    overlooked: list[Seen] = field(default_factory=list)
    """Orders that a mass cancel was about and did not report."""

    def breaks(self, clause: str, message: str, *expected: str) -> Finding:
        return Finding(clause, self.index, message, expected, show_all(self.events))


@dataclass(slots=True)
class TradeSeen:
    """A trade that is about to be taken into account."""

    step: Step
    event: Trade
    resting: Seen | None
    incoming: Seen | None
    fault: str | None
    """Why these two cannot have traded at all, if so; the words are in replay.py."""
    front: Seen | None
    """The resting order that had the first claim on the incoming order."""
    repeats: TradeSeen | None
    """The latest earlier trade of the same two orders in this exchange."""
    full_lots: int = 0
    """The smaller of what the two had left."""

    @property
    def nth(self) -> int:
        """How many trades this exchange had before it."""
        return len(self.step.trades)

    def breaks(self, clause: str, message: str, *expected: str) -> Finding:
        return Finding(clause, self.step.index, message, expected, (show(self.event),))


@dataclass(slots=True)
class EndSeen:
    """A `cancelled` event that is about to be taken into account."""

    step: Step
    event: Cancelled
    order: Seen | None
    role: str
    """What the order is to the command: incoming, subject, mass, smp, bystander, over, unknown."""
    front: Seen | None
    """The resting order that had the first claim on the incoming order."""
    leaves: int = 0
    cum: int = 0
    """What the order had left and had done by then."""

    def breaks(self, clause: str, message: str, *expected: str) -> Finding:
        return Finding(clause, self.step.index, message, expected, (show(self.event),))


@dataclass(slots=True)
class Publication:
    """Comes after the Step, when what is wrong with the exchange otherwise is known."""

    step: Step


@dataclass(slots=True)
class HistoryEnd:
    index: int
    """Of the last exchange."""
    seen: Observed
