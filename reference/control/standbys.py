"""What the two ends of replication keep of each other: how far the standby is, and from whom acknowledgements count."""

from __future__ import annotations

from dataclasses import dataclass

from matchmark.reference.control.monitor import Alert


class ReplicationError(ValueError):
    """The other side broke the protocol: a hole, a repetition, an epoch that fell, or what was never sent."""


@dataclass(frozen=True, slots=True)
class Ack:
    """Of a standby: it has all records up to `received`, and its engine has executed those up to `applied`."""

    received: int
    applied: int


class Receiver:
    """The standby's end. Begins behind record `last`, under the primary's `epoch`."""

    def __init__(self, last: int, epoch: int) -> None:
        self.received = self.applied = self.primary_tail = last
        self.epoch = epoch

    def frame(self, first: int, count: int, epoch: int, tail: int) -> None:
        """`count` records from `first` on came, sent under `epoch` by a primary whose last record is `tail`.

        ReplicationError when they are not exactly the next ones.
        """
        if epoch != self.epoch:
            raise ReplicationError(f"a frame of epoch {epoch} on a connection of epoch {self.epoch}")
        if count and first != self.received + 1:
            raise ReplicationError(f"record {first} came, {self.received + 1} is the next one")
        if tail < self.received + count or tail < self.primary_tail:
            raise ReplicationError(f"the primary says that its last record is {tail}, and sent more before")
        self.received += count
        self.primary_tail = tail

    def executed(self, sequence: int) -> None:
        """The standby's engine has made this record, and it is the same."""
        if not self.applied <= sequence <= self.received:
            raise ReplicationError(f"record {sequence} executed, {self.applied} to {self.received} are possible")
        self.applied = sequence

    def ack(self) -> Ack:
        return Ack(self.received, self.applied)

    @property
    def behind(self) -> int:
        """Records that the primary has and this standby has not executed."""
        return self.primary_tail - self.applied


@dataclass(frozen=True, slots=True)
class NoteStandby:
    """Write on shared storage, flushed, that `member` is the standby of `epoch`; then say `noted`."""

    epoch: int
    member: str


class Sender:
    """The primary's end, under one epoch. `replicated`: reports of records up to there may go out in mode replicated.

    Only one standby's acknowledgements count, and only once storage says that it is the one: a takeover without the old log
    asks there who has everything. A newcomer becomes that one when it has all that was replicated so far, and all that was
    there when this primary began, which may have been acknowledged by the one before.
    """

    def __init__(self, epoch: int, tail: int = 0, replicated: int = 0) -> None:
        self.epoch = epoch
        self.replicated = replicated
        self.tail = self._began_at = tail
        """The primary's last record."""
        self.noted_member: str | None = None
        self._noting: str | None = None
        self._acks: dict[str, Ack] = {}

    @property
    def connected(self) -> bool:
        return self.noted_member in self._acks

    @property
    def needed(self) -> int:
        """Who has all records up to this one has all that can have been acknowledged."""
        return max(self.replicated, self._began_at)

    def attach(self, member: str, last: int) -> list[NoteStandby]:
        """After the handshake: its records up to `last` are the same. One connection a member, the later one counts."""
        self._acks[member] = Ack(last, last)
        if member == self.noted_member:
            self.replicated = max(self.replicated, last)
        return self._choose()

    def ack(self, member: str, ack: Ack) -> list[NoteStandby]:
        """ReplicationError: nothing like that was sent, or it falls."""
        if ack.received > self.tail or ack.applied > ack.received or ack.received < self._acks[member].received:
            raise ReplicationError(f"standby {member} acknowledges {ack}, the last record is {self.tail}")
        self._acks[member] = ack
        if member == self.noted_member:
            self.replicated = max(self.replicated, ack.received)
            return []
        return self._choose()

    def detach(self, member: str) -> list[Alert | NoteStandby]:
        """The connection ended. `replicated` stays where it is: nothing is acknowledged unprotected."""
        lost: list[Alert | NoteStandby] = []
        if self._acks.pop(member, None) is None:
            return lost
        if member == self.noted_member:
            lost.append(Alert("standby-lost", f"standby {member} is gone, it had the records up to {self.replicated}"))
        return lost + list(self._choose())

    def noted(self, note: NoteStandby, done: bool) -> list[Alert]:
        """`done`: it is on storage, flushed. Otherwise `tick` asks again."""
        self._noting = None
        if not done:
            return []
        self.noted_member = note.member
        if note.member not in self._acks:
            return [Alert("standby-lost", f"standby {note.member} is gone")]
        self.replicated = max(self.replicated, self._acks[note.member].received)
        return [Alert("standby-there", f"standby {note.member} follows under epoch {self.epoch}")]

    def tick(self) -> list[NoteStandby]:
        """Now and then: asks again for what storage did not take."""
        return self._choose()

    def _choose(self) -> list[NoteStandby]:
        if self.connected or self._noting is not None:
            return []
        able = [member for member, ack in self._acks.items() if ack.received >= self.needed]
        if not able:
            return []
        self.noted_member = None  # while it is written nobody knows whom storage names, so nobody's count
        self._noting = max(able, key=lambda member: (self._acks[member].received, member))
        return [NoteStandby(self.epoch, self._noting)]


class LagAlarm:
    """An alert when the standby is further behind than the bound, one when it is not any more. Half the bound ends it."""

    def __init__(self, bound_ns: int) -> None:
        self._bound_ns, self._over = bound_ns, False

    def lag(self, lag_ns: int) -> list[Alert]:
        if not self._over and lag_ns > self._bound_ns:
            self._over = True
            return [
                Alert(
                    "standby-lags", f"the standby is {lag_ns / 1e6:.1f} ms behind, more than {self._bound_ns / 1e6:g}"
                )
            ]
        if self._over and lag_ns <= self._bound_ns // 2:
            self._over = False
            return [Alert("standby-caught-up", f"the standby is {lag_ns / 1e6:.1f} ms behind again")]
        return []
