"""Watches the primary for one standby: notices its death, takes the epoch, waits for its lease, orders the promotion.

No clock, socket or file: callers say what came and when, call `tick` at least every 50 ms, and carry out what is returned, in
order. Heartbeats that wait in a socket are handed in before `tick`. All times are monotonic nanoseconds of one machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from matchmark.reference.control.lease import LeaseRecord, LeaseWatch
from matchmark.reference.control.machine import Machine
from matchmark.reference.control.machine import Transition as Row


class State(Enum):
    WATCHING = "watching"
    BLOCKED = "blocked"
    TAKING = "taking the epoch"
    WAITING = "waiting for the lease"
    PROMOTING = "promoting"
    REFUSED = "refused"
    DRAINING = "draining"
    SWITCHING = "switching over"
    PRIMARY = "primary"


_S = State
TRANSITIONS: tuple[Row[State], ...] = (
    Row(_S.WATCHING, "silence", _S.TAKING, "declared dead: alert, the next epoch is asked for"),
    Row(_S.WATCHING, "silence, unfit", _S.BLOCKED, "declared dead, but this standby is damaged or diverged: alert"),
    Row(_S.WATCHING, "switchover", _S.DRAINING, "an operator asked, and the standby is caught up: the primary is to drain"),
    Row(_S.BLOCKED, "heartbeat", _S.WATCHING, "a primary is there"),
    Row(_S.BLOCKED, "try again", _S.TAKING, "fit (again), and the time between two tries is over"),
    Row(_S.TAKING, "heartbeat", _S.WATCHING, "late, but the epoch is not taken: nothing has happened"),
    Row(_S.TAKING, "unfit", _S.BLOCKED, "damaged or diverged, found meanwhile: alert"),
    Row(_S.TAKING, "taken", _S.WAITING, "the old primary can renew no lease any more"),
    Row(_S.TAKING, "lost", _S.WATCHING, "another has the epoch: it is waited for as a primary is"),
    Row(_S.TAKING, "bad epoch", _S.BLOCKED, "missing, damaged or too low: alert"),
    Row(_S.WAITING, "lease over", _S.PROMOTING, "nobody may acknowledge now: the promotion is ordered"),
    Row(_S.WAITING, "outrun", _S.WATCHING, "a higher epoch was seen: ours is void"),
    Row(_S.PROMOTING, "promoted", _S.PRIMARY, "it acknowledges under its epoch"),
    Row(_S.PROMOTING, "refused", _S.REFUSED, "the gap cannot be closed: alert"),
    Row(_S.PROMOTING, "outrun", _S.WATCHING, "a higher epoch was seen: ours is void"),
    Row(_S.REFUSED, "try again", _S.PROMOTING, "the epoch is still ours, and the time between two tries is over"),
    Row(_S.REFUSED, "outrun", _S.WATCHING, "a higher epoch was seen: ours is void"),
    Row(_S.DRAINING, "drained", _S.SWITCHING, "the standby has the last record: the next epoch is asked for"),
    Row(_S.DRAINING, "off", _S.WATCHING, "too slow, or no more fit: the primary is to go on"),
    Row(_S.DRAINING, "silence", _S.TAKING, "it died of all things now: as in watching"),
    Row(_S.SWITCHING, "taken", _S.WAITING, "the drained primary's lease was given up"),
    Row(_S.SWITCHING, "off", _S.WATCHING, "the epoch was not to be had: the primary is to go on"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """`sequence`: of the primary's last record. `engine_age_ns`: since its engine last went round its loop."""

    epoch: int
    sequence: int
    engine_age_ns: int = 0


@dataclass(frozen=True, slots=True)
class StandbyStatus:
    """Of the standby that this monitor is for. `unfit`: why it must not be promoted, naming the record; None when it may."""

    received: int = 0
    applied: int = 0
    connected: bool = False
    unfit: str | None = None


@dataclass(frozen=True, slots=True)
class Alert:
    """For the operator; `code` for programs. The caller adds the wall clock."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class TakeEpoch:
    """`EpochStore.take(number, member, used)`; then one of the `epoch_...` methods."""

    number: int
    used: int


@dataclass(frozen=True, slots=True)
class Promote:
    """Locate the gap, replay it, open: promotion.py. Then one of the `promot...` methods."""

    epoch: int
    planned: bool


@dataclass(frozen=True, slots=True)
class Drain:
    """To the primary: take no more orders, finish, give the lease up, say `drained`."""


@dataclass(frozen=True, slots=True)
class Undrain:
    """To the primary: go on trading."""


Action = Alert | TakeEpoch | Promote | Drain | Undrain


@dataclass(frozen=True, slots=True)
class Settings:
    """`stall_ns`: more than this between two ticks is our own standing still, and not the primary's silence."""

    heartbeat_ns: int = 1_000_000_000
    timeout_ns: int = 1_000_000_000
    lease_ns: int = 1_000_000_000
    margin_ns: int = 50_000_000
    stall_ns: int = 250_000_000
    retry_ns: int = 500_000_000
    drain_ns: int = 5_000_000_000
    caught_up_records: int = 1_000

    @property
    def silence_ns(self) -> int:
        """From the last heartbeat to the declaration of death."""
        return self.heartbeat_ns + self.timeout_ns


class Monitor:
    """`used`: the highest epoch in the standby's own log, 0 for none."""

    def __init__(self, settings: Settings, now_ns: int, used: int = 0) -> None:
        self.settings = settings
        self.used = used
        """The highest epoch that is known to have been at work."""
        self.epoch = used
        """The highest that is known to be taken, be it for nothing."""
        self.watch = LeaseWatch(settings.lease_ns, settings.margin_ns)
        self.standby = StandbyStatus()
        self.primary_sequence = 0
        self.silence_ns = 0
        """Counted while we looked: a monitor that stood still has heard nothing, and that means nothing."""
        self._machine = Machine(TRANSITIONS, State.WATCHING)
        self._ticked_ns = now_ns
        self._heard = False
        self._asked = False
        self._tried_ns = 0
        self._taking = 0
        self._planned = False
        self._deadline_ns = 0
        self._drained_at: int | None = None
        self._said: set[str] = set()

    @property
    def state(self) -> State:
        return self._machine.state

    # --- what comes in ---

    def heartbeat(self, now_ns: int, beat: Heartbeat) -> list[Action]:
        """One of a fenced epoch, or of an engine that hangs, is none."""
        if beat.epoch < self.epoch or beat.engine_age_ns > self.settings.timeout_ns:
            return []
        self._heard, self.silence_ns, self.primary_sequence = True, 0, beat.sequence
        self._ticked_ns = max(self._ticked_ns, now_ns)
        return self._at_work(beat.epoch)

    def lease_seen(self, now_ns: int, record: LeaseRecord | None) -> list[Action]:
        """After each look at the lease, at least every 50 ms; `now_ns` is taken when the look has ended."""
        self.watch.seen(now_ns, record)
        return self._at_work(record.epoch) if record else []

    def status(self, status: StandbyStatus) -> None:
        self.standby = status

    def _at_work(self, epoch: int) -> list[Action]:
        ours = self.epoch
        self.used, self.epoch = max(self.used, epoch), max(self.epoch, epoch)
        return self._outrun(ours) if epoch > ours else []

    def _outrun(self, ours: int) -> list[Action]:
        if not self._machine.can("outrun"):
            return []
        self._go("outrun")
        self._heard, self.silence_ns = False, 0
        return [Alert("takeover-outrun", f"epoch {self.epoch} is there: the takeover under epoch {ours} is void")]

    # --- time ---

    def tick(self, now_ns: int) -> list[Action]:
        passed, self._ticked_ns = max(0, now_ns - self._ticked_ns), now_ns
        self.silence_ns += min(passed, self.settings.stall_ns)
        state, silent = self.state, self.silence_ns >= self.settings.silence_ns
        if state is State.DRAINING and self.standby.unfit:
            return self._off(f"the standby is not fit: {self.standby.unfit}")
        if state in (State.WATCHING, State.DRAINING) and silent:
            return self._dead(now_ns)
        if state in (State.TAKING, State.BLOCKED) and not silent and not self._asked:
            self._go("heartbeat")
            return [Alert("primary-back", f"the primary of epoch {self.used} is heard again, no takeover")]
        if state is State.DRAINING:
            return self._drain_goes_on(now_ns)
        if state is State.TAKING and self.standby.unfit and not self._asked:
            self._go("unfit")
            return [self._unfit()]
        if state is State.TAKING and not self._asked and self._time_to_try(now_ns):
            return [self._take(now_ns)]
        if state is State.BLOCKED and not self.standby.unfit and self._time_to_try(now_ns):
            self._go("try again")
            return [self._take(now_ns)]
        if state is State.WAITING and self.watch.expired(now_ns):
            self._go("lease over")
            return [self._promote()]
        if state is State.REFUSED and not self.standby.unfit and self._time_to_try(now_ns):
            self._tried_ns = now_ns
            self._go("try again")
            return [self._promote()]
        return []

    def _dead(self, now_ns: int) -> list[Action]:
        if not self._heard and self._lease_moves(now_ns):
            # Somebody is primary and we cannot hear it: that says more about us than about it.
            return self._once("never-heard", "no heartbeat of the primary yet, though it renews its lease: no takeover")
        self._planned = False
        dead = Alert(
            "primary-dead",
            f"the primary of epoch {self.epoch} is declared dead: no heartbeat for {self.silence_ns / 1e9:.2f} s",
        )
        if self.standby.unfit and self.state is State.WATCHING:
            self._go("silence, unfit")
            return [dead, self._unfit()]
        self._go("silence")
        return [dead, self._take(now_ns)]

    def _lease_moves(self, now_ns: int) -> bool:
        """Of whom has the newest epoch that we know of: who was overtaken may write for a while."""
        record, moved_ns = self.watch.record, self.watch.moved_ns
        if record is None or moved_ns is None or record.epoch < self.epoch:
            return False
        return now_ns - moved_ns < self.settings.silence_ns

    def _time_to_try(self, now_ns: int) -> bool:
        return now_ns - self._tried_ns >= self.settings.retry_ns

    def _take(self, now_ns: int) -> Action:
        self._asked, self._tried_ns, self._taking = True, now_ns, self.epoch + 1
        return TakeEpoch(self._taking, self.used)

    def _promote(self) -> Action:
        return Promote(self._taking, self._planned)

    def _unfit(self) -> Alert:
        return Alert("standby-unfit", f"this standby is not promoted: {self.standby.unfit}")

    # --- what became of TakeEpoch ---

    def epoch_taken(self, now_ns: int) -> list[Action]:
        """It is ours, and on the disk; `now_ns` is taken after that."""
        self._asked = False
        if not self._machine.can("taken"):
            return []  # unfit meanwhile; the old primary finds the epoch, and somebody has to take the next one
        self.epoch = self._taking
        self._go("taken")
        self.watch.epoch_taken(now_ns, self._taking - 1)
        return []

    def epoch_lost(self, stored: int) -> list[Action]:
        """Another has it. `stored`: the epoch on storage now."""
        self._asked = False
        self.epoch = max(self.epoch, stored)
        lost = Alert("takeover-lost", f"another member has epoch {self.epoch}: it is given time to become primary")
        if self.state is State.SWITCHING:
            return [lost, *self._off("another member has the epoch")]
        if not self._machine.can("lost"):
            return []
        self._go("lost")
        self._heard, self.silence_ns = False, 0  # who won has yet to be heard; until then its lease speaks for it
        return [lost]

    def epoch_refused(self, why: str) -> list[Action]:
        """EpochError: missing, damaged or too low. Tried again, for an operator may have repaired it."""
        self._asked = False
        if self.state is State.SWITCHING:
            return self._off(why)
        if not self._machine.can("bad epoch"):
            return []
        self._go("bad epoch")
        return self._once("epoch-refused", why)

    def epoch_unreadable(self, why: str) -> list[Action]:
        """The storage did not answer: tried again, until a heartbeat comes."""
        self._asked = False
        if self.state is State.SWITCHING:
            return self._off(why)
        return self._once("storage-unreadable", f"no takeover yet: {why}")

    # --- what became of Promote ---

    def promoted(self) -> list[Action]:
        self._go("promoted")
        self.used = self._taking
        return [Alert("promoted", f"this standby is primary under epoch {self._taking}")]

    def promotion_outrun(self, epoch: int) -> list[Action]:
        """The new lease met this higher epoch on storage: our takeover is void, and not to be tried again."""
        ours, self.epoch = self.epoch, max(self.epoch, epoch)
        return self._outrun(ours)

    def promotion_refused(self, now_ns: int, why: str) -> list[Action]:
        self._tried_ns = now_ns
        self._go("refused")
        return self._once("promotion-refused", f"not promoted under epoch {self._taking}: {why}")

    # --- switchover ---

    def switchover(self, now_ns: int) -> list[Action] | str:
        """An operator's request. A text: why not."""
        if why := self._not_now():
            return why
        self._drained_at, self._planned = None, True
        self._deadline_ns = now_ns + self.settings.drain_ns
        self._go("switchover")
        return [Alert("switchover", f"switchover from epoch {self.epoch} asked for by an operator"), Drain()]

    def _not_now(self) -> str | None:
        if self.state is not State.WATCHING:
            return f"the monitor is {self.state.value}"
        if self.standby.unfit:
            return f"the standby is not fit: {self.standby.unfit}"
        if not self.standby.connected or not self._heard:
            return "the standby is not connected to the primary"
        behind = self.primary_sequence - self.standby.applied
        if behind > self.settings.caught_up_records:
            return f"the standby is {behind} records behind"
        return None

    def drained(self, now_ns: int, sequence: int) -> list[Action]:
        """The primary has stopped after this record and gave its lease up."""
        if self.state is State.DRAINING:
            self._drained_at = sequence
        return self._drain_goes_on(now_ns) if self.state is State.DRAINING else []

    def _drain_goes_on(self, now_ns: int) -> list[Action]:
        if self._drained_at is not None and self.standby.applied >= self._drained_at:
            self._go("drained")
            return [self._take(now_ns)]
        return self._off("the primary or the standby took too long") if now_ns >= self._deadline_ns else []

    def _off(self, why: str) -> list[Action]:
        self._planned, self._drained_at = False, None
        self._go("off")
        return [Alert("switchover-off", f"switchover called off: {why}"), Undrain()]

    def _once(self, code: str, text: str) -> list[Action]:
        """Said again only after the state was left for good, or when the words change."""
        if text in self._said:
            return []
        self._said.add(text)
        return [Alert(code, text)]

    def _go(self, event: str) -> None:
        self._machine.go(event)
        if self.state in (State.WATCHING, State.PRIMARY):
            self._said.clear()
