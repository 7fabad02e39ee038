"""The way from "the old lease is over" to the first order: find the end of the old log, join it, replay the gap, open.

One run of this machine a try. Nothing of it acknowledges; the new lease is taken when the own log has everything, and only
with it is a session opened. A try that is cut off is repeated from the start: what was replayed is in the own log by then.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from matchmark.reference.control.machine import Machine
from matchmark.reference.control.machine import Transition as Row

Mode = Literal["async", "fsync", "replicated"]
WINDOW_MS = 10
"""What mode async may lose when the primary's memory is gone: decided and not yet on its disk (docs/audit-log.md)."""


class State(Enum):
    LOCATING = "locating"
    JOINING = "joining"
    REPLAYING = "replaying"
    FLUSHING = "flushing"
    LEASING = "leasing"
    MARKING = "marking"
    OPENING = "opening"
    SERVING = "serving"
    REFUSED = "refused"


_S = State
TRANSITIONS: tuple[Row[State], ...] = (
    Row(_S.LOCATING, "found", _S.JOINING, "the old primary's log was read: is ours the same up to where both go?"),
    Row(_S.LOCATING, "none, may go on", _S.FLUSHING, "no log to be read, and the mode allows it: what may be missing is stated"),
    Row(_S.LOCATING, "refused", _S.REFUSED, "no log to be read, and the mode promised more; or our own is damaged"),
    Row(_S.JOINING, "gap", _S.REPLAYING, "same hash at the join: the records behind ours are replayed"),
    Row(_S.JOINING, "no gap", _S.FLUSHING, "same hash at the join, and we have all"),
    Row(_S.JOINING, "refused", _S.REFUSED, "another hash at the join: this standby has diverged"),
    Row(_S.REPLAYING, "replayed", _S.FLUSHING, "the last record of the gap is in our own log, with the same hash"),
    Row(_S.REPLAYING, "refused", _S.REFUSED, "a record of the gap is damaged, or replays to something else"),
    Row(_S.FLUSHING, "flushed", _S.LEASING, "our log is on our disk, all of it, as the old one was or was not"),
    Row(_S.FLUSHING, "refused", _S.REFUSED, "our disk does not take it"),
    Row(_S.LEASING, "leased", _S.MARKING, "the new lease is held"),
    Row(_S.LEASING, "refused", _S.REFUSED, "a higher epoch is there"),
    Row(_S.MARKING, "marked", _S.OPENING, "storage says that this epoch opened, and what may be missing: sessions are opened"),
    Row(_S.MARKING, "refused", _S.REFUSED, "storage does not take it, or a higher epoch is there"),
    Row(_S.OPENING, "open", _S.SERVING, "orders are accepted"),
    Row(_S.OPENING, "refused", _S.REFUSED, "the sessions cannot be opened, or a higher epoch is there"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Own:
    """The standby as it is. `noted`: shared storage names it as the standby of the last epoch at work, and it still has
    all that it ever acknowledged to have received."""

    sequence: int
    noted: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """The log of who opened last. `sequence`: the last record to be had, None when none is.

    `memory`: the shared memory of its last run was read as well, so nothing that it decided is missing. `why`: what is wrong
    with it, when it cannot be read whole.
    """

    member: str
    sequence: int | None
    memory: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class Locate:
    """Read the log of who opened last, as storage says; then `located`. Not before the lease is over: it may still grow."""


@dataclass(frozen=True, slots=True)
class Compare:
    """The running hashes of record `sequence` here and at `member`'s; then `compared`."""

    member: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Replay:
    """Records `first` to `last` of `member`'s, each once, in order; then `replayed` or `failed`."""

    member: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Flush:
    """The own log to its end, on the disk, in every mode; then `flushed`.

    Who takes over next looks at our log and no more at the old one, where some of it was on disk already.
    """


@dataclass(frozen=True, slots=True)
class TakeLease:
    """The keeper's first renewal; then `leased`, or `failed` when it is fenced."""


@dataclass(frozen=True, slots=True)
class MarkOpened:
    """Write on shared storage, flushed, that this epoch opens; then `marked`. From now on our log stands for the old ones.

    `may_be_missing`: null, or in words what may have been acknowledged and is lost. Nobody looks for it any more.
    """

    may_be_missing: str | None


@dataclass(frozen=True, slots=True)
class OpenSessions:
    """Every session as the last record leaves it; then `opened`."""


@dataclass(frozen=True, slots=True)
class AcceptOrders:
    """Listen."""


Step = Locate | Compare | Replay | Flush | TakeLease | MarkOpened | OpenSessions | AcceptOrders


class Promotion:
    """`forced`: an operator takes the loss of what is not to be had; it is stated all the same."""

    def __init__(self, mode: Mode, own: Own, forced: bool = False) -> None:
        self._mode, self._own, self._forced = mode, own, forced
        self._machine = Machine(TRANSITIONS, State.LOCATING)
        self._source = Found("", None)
        self.may_be_missing: str | None = None
        self.refusal: str | None = None

    @property
    def state(self) -> State:
        return self._machine.state

    def begin(self) -> Step:
        return Locate()

    def located(self, found: Found) -> Step | None:
        """None: refused, see `refusal`."""
        self._source = found
        lost = self._unread(found) if found.sequence is None else None if found.memory else self._cut()
        if lost is not None and not lost[1] and not self._forced:
            return self._refuse(lost[0])
        self.may_be_missing = lost[0] if lost else None
        if found.sequence is None:
            self._machine.go("none, may go on")
            return Flush()
        self._machine.go("found")
        return Compare(found.member, min(self._own.sequence, found.sequence))

    def _unread(self, found: Found) -> tuple[str, bool] | None:
        """The log cannot be read: what may be missing, and whether the mode goes on with that."""
        what = f"{found.member}'s log cannot be read ({found.why})"
        if self._mode == "replicated" and self._own.noted:
            return None
        if self._mode == "async":
            return f"mode async: {what}; what was decided after record {self._own.sequence} may be missing", True
        if self._mode == "fsync":
            return f"mode fsync: {what}; acknowledged orders after record {self._own.sequence} may be in it", False
        return (
            f"mode replicated: {what}, and another standby may have more than this one's {self._own.sequence} records",
            False,
        )

    def _cut(self) -> tuple[str, bool] | None:
        """The log was read, but not the memory: what had not reached the disk is gone."""
        if self._mode == "fsync" or (self._mode == "replicated" and self._own.noted):
            return None
        if self._mode == "async":
            return f"mode async: the primary's memory is gone; its last {WINDOW_MS} ms may be missing", True
        return (
            "mode replicated: the primary's memory is gone, and another standby may have what its disk had not",
            False,
        )

    def compared(self, same: bool, differs_from: int = 0) -> Step | None:
        """`differs_from`: the first record that is another one, when that is known (0: not)."""
        last = self._source.sequence or 0
        if not same:
            at = differs_from or min(self._own.sequence, last)
            known = "from" if differs_from else "at or before"
            return self._refuse(f"this standby has diverged from {self._source.member}'s log {known} record {at}")
        if last <= self._own.sequence:
            self._machine.go("no gap")
            return Flush()
        self._machine.go("gap")
        return Replay(self._source.member, self._own.sequence + 1, last)

    def replayed(self, sequence: int) -> Step | None:
        """The own log ends with this record now."""
        last = self._source.sequence or 0
        if sequence < last:
            return self._refuse(f"the replay of {self._source.member}'s log ended at record {sequence} of {last}")
        self._machine.go("replayed")
        return Flush()

    def flushed(self) -> Step:
        self._machine.go("flushed")
        return TakeLease()

    def leased(self) -> Step:
        self._machine.go("leased")
        return MarkOpened(self.may_be_missing)

    def marked(self) -> Step:
        self._machine.go("marked")
        return OpenSessions()

    def opened(self) -> Step:
        self._machine.go("open")
        return AcceptOrders()

    def failed(self, why: str) -> None:
        """The step that was asked for cannot be done."""
        self._refuse(why)

    def _refuse(self, why: str) -> Step | None:
        self._machine.go("refused")
        self.refusal = why
        return None
