"""Exchanges that do not prevent self-matches as they were asked to."""

from __future__ import annotations

from matchmark.conformance.selftest.wire_declare import BrokenWire, Reports, wire_mutant
from matchmark.conformance.selftest.wire_message import Message
from matchmark.conformance.selftest.wire_proxy import Link

INSTRUCTION = 8000
"""The tag of the reference exchange: N cancels the newest, O the oldest."""


@wire_mutant(
    "self-match-newest-not-prevented",
    breaks=("D02.X10", "D02.X21", "D02.8"),
    story="The gateway did not hand on the instruction to cancel the newest, so an account traded with itself.",
)
class NewestIgnored(BrokenWire):
    def to_exchange(self, link: Link, m: Message) -> list[Message]:
        return [m.remove(INSTRUCTION)] if m.get(INSTRUCTION) == "N" else [m]


@wire_mutant(
    "self-match-oldest-not-told",
    breaks=("D02.X11", "D02.X4"),
    story="The owner of a resting order that self-match prevention cancelled got no report of it.",
)
class OldestNotTold(Reports):
    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def to_exchange(self, link: Link, m: Message) -> list[Message]:
        if m.get(INSTRUCTION) == "O":
            self.asked.add(m.get(11))
        return [m]

    def edited(self, link: Link, m: Message) -> list[Message]:
        prevented = m.get(150) == "4" and m.get(58) == "self-match prevention" and m.get(11) not in self.asked
        return [] if prevented else [m]
