"""What a session must remember beyond one connection: its numbers, what it sent, and what it was told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from matchmark.conformance.fix.wire import Field

SESSION_TYPES = frozenset("012345A")
"""Heartbeat, TestRequest, ResendRequest, Reject, SequenceReset, Logout, Logon: gap-filled, but for Reject, and not sent again."""
GAP_FILLED = SESSION_TYPES - {"3"}


class Sent(NamedTuple):
    msg_type: str
    header: tuple[Field, ...]
    """Beyond CompIDs, number and times."""
    fields: tuple[Field, ...]
    sending_time: str


@dataclass
class Numbers:
    """A session's own memory. A client that is given the one of an earlier client goes on where that one was."""

    next_in: int = 1
    next_out: int = 1
    sent: dict[int, Sent] = field(default_factory=dict)
    """Business messages by number, to be sent again when asked for."""
    received: dict[int, tuple[Field, ...]] = field(default_factory=dict)
    """Business messages by number, to be compared when they come again."""

    def reset(self) -> None:
        self.next_in = self.next_out = 1
        self.sent.clear()
        self.received.clear()
