"""When a run must end before its time: the target refuses, resets, stalls, talks garbage, rejects all. Said within seconds.

A pure function of what the cannon's counts are and were; what was measured until then is kept by the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matchmark.load.cannon import GARBAGE, LOGGED_OUT, REFUSED, SILENT, CannonCounts, SessionEnd

STALL_S = 3.0
"""Nothing at all was answered for so long, with orders out: longer than any pause that a target should recover from in a run."""
REJECTS_MIN = 200
"""So many answers, all of them refusals: a wrong account, symbol or price, not a load."""


@dataclass(frozen=True)
class Trouble:
    """`kind`: refused, logon, garbage, disconnected, stalled, rejects, full, stopped; `text` says it to the user."""

    kind: str
    text: str

    def __str__(self) -> str:
        return self.text


def at_logon(ends: Sequence[SessionEnd], sessions: int) -> Trouble | None:
    """After connecting: None when all sessions are on."""
    if not ends:
        return None
    first, many = ends[0], f" ({len(ends)} of {sessions} sessions)" if len(ends) > 1 else ""
    kind = {REFUSED: "refused", GARBAGE: "garbage"}.get(first.end, "logon")
    hint = {
        REFUSED: ": is it running, and are host and port right?",
        SILENT: ": CompIDs, token, or sequence numbers that go on (reset_on_logon)?",
        LOGGED_OUT: "",
    }.get(first.end, "")
    return Trouble(kind, f"{first}{many}{hint}")


class Watch:
    """`look` after look; the stall clock is the caller's, in seconds."""

    def __init__(self, sessions: int, stall_s: float = STALL_S) -> None:
        self.sessions, self.stall_s = sessions, stall_s
        self._told, self._since = -1, 0.0

    def look(self, counts: CannonCounts, ends: Sequence[SessionEnd], now_s: float, words: str = "") -> Trouble | None:
        if counts.down:
            garbage = next((end for end in ends if end.end == GARBAGE), None)
            first = garbage or (ends[0] if ends else None)
            return Trouble("garbage" if garbage else "disconnected", f"in the run {first or 'a session ended'}")
        if counts.full:
            return Trouble(
                "full", "more reports came than there is room for: fewer orders, or an exchange that reports twice"
            )
        if counts.told >= REJECTS_MIN and counts.rejected + counts.refused_messages >= counts.told:
            return Trouble(
                "rejects", f"all of {counts.told:,} orders were rejected" + (f': "{words}"' if words else "")
            )
        if counts.told != self._told or counts.sent == counts.told:
            self._told, self._since = counts.told, now_s
        elif now_s - self._since > self.stall_s:
            text = f"nothing was answered for {self.stall_s:g} s, with {counts.sent - counts.told:,} orders out"
            return Trouble("stalled", text)
        return None
