"""The primary's part of a planned switchover: stops taking orders, finishes, gives its lease up; or goes on trading.

It goes on by itself when nobody took over in time: its lease is good again only if the epoch on storage is still its own.
"""

from __future__ import annotations

from enum import Enum

from matchmark.reference.control.machine import Machine
from matchmark.reference.control.machine import Transition as Row


class State(Enum):
    TRADING = "trading"
    DRAINING = "draining"
    RELEASED = "released"
    FENCED = "fenced"


class Step(Enum):
    """What the caller has to do, in the order in which they are returned."""

    STOP_ORDERS = "refuse new orders"
    RELEASE_LEASE = "write LeaseKeeper.release()"
    SAY_DRAINED = "tell the standby the last sequence number"
    TAKE_LEASE_BACK = "LeaseKeeper.take_back() and renew"
    TAKE_ORDERS = "accept orders again"
    STOP = "acknowledge nothing more, ever"


_S = State
TRANSITIONS: tuple[Row[State], ...] = (
    Row(_S.TRADING, "drain", _S.DRAINING, "new orders are refused, those that were taken are finished"),
    Row(_S.TRADING, "fenced", _S.FENCED, "a higher epoch is on storage: stops for good"),
    Row(_S.DRAINING, "idle", _S.RELEASED, "all is decided, acknowledged, on disk and sent to the standby: lease given up"),
    Row(_S.DRAINING, "called off", _S.TRADING, "takes orders again"),
    Row(_S.DRAINING, "fenced", _S.FENCED, "stops for good"),
    Row(_S.RELEASED, "called off", _S.TRADING, "takes the lease back, then orders"),
    Row(_S.RELEASED, "fenced", _S.FENCED, "the standby took over: stops for good"),
)  # fmt: skip


class PrimarySwitch:
    """`patience_ns`: after so long without an end the switchover is off; longer than the monitor's own patience."""

    def __init__(self, patience_ns: int) -> None:
        self._machine = Machine(TRANSITIONS, State.TRADING)
        self._patience_ns, self._deadline_ns = patience_ns, 0
        self.sequence = 0
        """The last record, once it is released."""

    @property
    def state(self) -> State:
        return self._machine.state

    def drain(self, now_ns: int) -> list[Step]:
        """The standby's monitor asked for it. A second request changes nothing."""
        if not self._machine.can("drain"):
            return []
        self._machine.go("drain")
        self._deadline_ns = now_ns + self._patience_ns
        return [Step.STOP_ORDERS]

    def idle(self, sequence: int) -> list[Step]:
        """Nothing is in flight: `sequence` is the last record, sent to the standby, and its report has left."""
        if not self._machine.can("idle"):
            return []
        self._machine.go("idle")
        self.sequence = sequence
        return [Step.RELEASE_LEASE, Step.SAY_DRAINED]

    def undrain(self) -> list[Step]:
        """The monitor called it off."""
        if not self._machine.can("called off"):
            return []
        released = self.state is State.RELEASED
        self._machine.go("called off")
        return [Step.TAKE_LEASE_BACK, Step.TAKE_ORDERS] if released else [Step.TAKE_ORDERS]

    def fenced(self) -> list[Step]:
        """LeaseKeeper.fenced_by is set."""
        if not self._machine.can("fenced"):
            return []
        self._machine.go("fenced")
        return [Step.STOP]

    def tick(self, now_ns: int) -> list[Step]:
        return self.undrain() if now_ns >= self._deadline_ns else []
