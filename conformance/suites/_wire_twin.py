"""Two instances that are asked the same: the yardstick over the kernel's sockets, and the one under test over frames; and
what of their answers and logs must be equal.

Times, and what is made from a key or a clock of the instance's own (hashes of ClOrdIDs, OrderIDs and ExecIDs of refusals),
may differ.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, NoReturn

from matchmark.conformance.checks.audit_steps import Step
from matchmark.conformance.fix.message import FixMessage
from matchmark.conformance.messages import Command
from matchmark.conformance.packets.plan import Plan, backwards, cut, doubled, overlapped
from matchmark.conformance.targets.base import StreamFault
from matchmark.conformance.targets.fix import FixTarget
from matchmark.conformance.targets.fix_sessions import Sessions
from matchmark.conformance.verdict import fix_violation
from matchmark.conformance.wire_venue import WireVenue

OWN_TAGS = frozenset((8, 9, 10, 17, 37, 52, 60))
"""Tags whose values are an instance's own: framing, ids, times."""
OWN_FIELDS = frozenset(
    ("epoch", "received_ns", "time_ns", "cl_number", "orig_number", "other_number")
)  # fmt: skip
"""Fields of steps and events that are an instance's own."""
RUN = "t"


def told(messages: Sequence[FixMessage]) -> list[str]:
    """Messages as they are compared."""
    return ["|".join(f"{tag}={value}" for tag, value in m.pairs if tag not in OWN_TAGS) for m in messages]


def story(step: Step) -> dict[str, Any]:
    """A logged command with its events, as it is compared."""
    return dict(_without(asdict(step)))


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without(one) for key, one in value.items() if key not in OWN_FIELDS}
    return [_without(one) for one in value] if isinstance(value, list) else value


def segmentation(seed: str) -> Callable[[bytes], Plan]:
    """A delivery for each write, drawn from the seed: any cuts, now and then doubled, overlapping or from behind."""
    chance = random.Random(seed)

    def plan(data: bytes) -> Plan:
        sizes = [chance.choice((1, 2, 5, 17, 60, 130, 300, 700, 1460)) for _ in range(chance.randint(1, 4))]
        made = cut(len(data), sizes)
        fate = chance.random()
        if len(made.actions) > 40:
            return made
        return (
            doubled(made)
            if fate < 0.1
            else overlapped(made, 3)
            if fate < 0.2
            else backwards(made)
            if fate < 0.3
            else made
        )

    return plan


class WireTarget(FixTarget):
    """A venue at the end of a cable, driven by commands."""

    def __init__(self, venue: WireVenue) -> None:
        super().__init__(venue.profile)
        self.venue = venue
        self._sessions = Sessions(venue, self._timeout_s, "order_status" in self.info.capabilities)

    def said(self, command: Command) -> list[str]:
        """What the command was answered, in words. TargetHung, TargetDied."""
        try:
            return [str(event) for event in self.submit(command)]
        except StreamFault as fault:
            return [fault.message, *fault.actual]


def first_difference(one: Sequence[Any], other: Sequence[Any]) -> int | None:
    """Index; None: they are equal."""
    for n, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return n
    return None if len(one) == len(other) else min(len(one), len(other))


def demand_same(clause: str, what: str, yardstick: Sequence[Any], subject: Sequence[Any], venue: WireVenue) -> None:
    """Fails the clause at the first difference."""
    at = first_difference(yardstick, subject)
    if at is not None:
        differ(clause, f"{what}: number {at + 1} differs", yardstick[at : at + 1], subject[at : at + 1], venue)


def differ(clause: str, message: str, expected: Sequence[Any], actual: Sequence[Any], venue: WireVenue) -> NoReturn:
    venue.spoiled = True
    wanted, got = ([str(one) for one in side] or ["nothing"] for side in (expected, actual))
    fix_violation(clause, message, wanted, got, venue.streams())
