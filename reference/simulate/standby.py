"""A standby: follows the primary that it hears, watches it, and takes over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matchmark.reference.control.monitor import (
    Action,
    Alert,
    Drain,
    Heartbeat,
    Promote,
    StandbyStatus,
    TakeEpoch,
    Undrain,
)
from matchmark.reference.control.replication import Answer, Ask, Go, Handshake, Hash, Refused
from matchmark.reference.control.standbys import Receiver, ReplicationError
from matchmark.reference.simulate.log import Record, chain
from matchmark.reference.simulate.primary import hello_of
from matchmark.reference.simulate.takeover import Takeover
from matchmark.reference.simulate.world import MS

if TYPE_CHECKING:
    from matchmark.reference.simulate.member import Member

TICK_NS = 50 * MS
HELLO_PATIENCE_NS = 400 * MS


class StandbyRole:
    def __init__(self, member: Member) -> None:
        self.member, self.cluster = member, member.cluster
        parts, settings = self.cluster.parts, self.cluster.settings
        self.monitor = parts.monitor(settings, member.clock(), member.log.epoch)
        self.monitor.watch = parts.watch(settings.lease_ns, settings.margin_ns)
        self.receiver: Receiver | None = None
        self.following: Member | None = None
        self._hello_ns = -HELLO_PATIENCE_NS
        self._damaged: str | None = None
        self.read_log()
        self._needed = 0
        self.takeover: Takeover | None = None
        member.every(TICK_NS, self._tick)

    # --- following ---

    def heard(self, primary: Member, beat: Heartbeat) -> None:
        self._do(self.monitor.heartbeat(self.member.clock(), beat))
        now = self.member.world.now
        follows = self.receiver is not None and self.receiver.epoch >= beat.epoch
        may = self.takeover is None and not self.member.refused and now - self._hello_ns >= HELLO_PATIENCE_NS
        if not follows and may and beat.epoch >= self.monitor.epoch:
            self._hello_ns, self.following, self.receiver = now, primary, None
            self._send(primary.hello, self.member, self.member.life, hello_of(self.member, self.monitor.epoch))

    def answered(self, primary: Member, shake: Handshake, answer: Answer) -> None:
        if self.takeover is not None or primary is not self.following:
            return
        if isinstance(answer, Ask):
            said = Hash(answer.sequence, self.member.log.hash_at(answer.sequence))
            self._send(primary.hash_said, self.member, self.member.life, shake, said)
        elif isinstance(answer, Go) and answer.sequence == len(self.member.log) + 1:
            self.receiver, self._needed = Receiver(answer.sequence - 1, answer.epoch), answer.needed
            self._is_whole()
            self.member.say(f"follows {primary.name} of epoch {answer.epoch} from record {answer.sequence} on")
        elif isinstance(answer, Refused):
            self.member.say(f"is refused: {answer.text}")
            if answer.reason in ("diverged", "ahead", "config"):
                self.member.refused = answer.text

    def records(self, primary: Member, first: int, batch: list[Record], epoch: int, tail: int) -> None:
        if self.receiver is None or primary is not self.following:
            return
        try:
            self.receiver.frame(first, len(batch), epoch, tail)
        except ReplicationError as error:
            self.member.say(f"breaks the connection: {error}")
            self.receiver = None
            return
        log = self.member.log
        for record in batch:
            if chain(log.hash_at(len(log)), record.epoch, record.key, record.value) != record.hash:
                self._damaged = f"its book differs from the primary's from record {len(log) + 1} on"
                self.member.say(self._damaged)
                self.receiver = None
                return
            log.append(record.epoch, record.key, record.value)
        self.receiver.executed(len(log))
        self._is_whole()
        self.member.write_log(lambda: True, self._flushed)
        self._send(primary.ack, self.member, self.member.life, self.receiver.ack())

    def _is_whole(self) -> None:
        if self.receiver is not None and self.receiver.received >= self._needed:
            self.member.kept = self.member.memory_whole = True

    def _flushed(self) -> None:
        self.member.write_log(lambda: True, self._flushed)

    def disconnected_from(self, primary: Member) -> None:
        if primary is self.following:
            self.receiver = self.following = None

    def _send(self, what: Any, *args: Any) -> None:
        following, life = self.following, self.member.life
        if following is not None:
            self.cluster.network.send(
                self.member, following, what, *args, broken=lambda: following.lost(self.member, life)
            )  # fmt: skip

    def read_log(self) -> bool:
        """Its own log, at the start and before a takeover. False: it is damaged."""
        if at := self.member.log.broken_at():
            self._damaged = f"its log is damaged at record {at}"
        return not at

    # --- watching ---

    @property
    def unfit(self) -> str | None:
        return self._damaged or self.member.refused

    def _tick(self) -> None:
        member, storage, monitor = self.member, self.cluster.storage, self.monitor
        receiver = self.receiver
        last = len(member.log)
        monitor.status(StandbyStatus(last, last, receiver is not None, self.unfit))
        now = member.clock()
        if storage.reachable(member):
            self._do(monitor.lease_seen(now, storage.lease))
        self._do(monitor.tick(now))

    def switchover(self) -> None:
        """An operator asks for it."""
        answer = self.monitor.switchover(self.member.clock())
        if isinstance(answer, str):
            self.member.say(f"no switchover: {answer}")
        else:
            self._do(answer)

    def drained(self, sequence: int) -> None:
        self._do(self.monitor.drained(self.member.clock(), sequence))

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Alert():
                    self.member.say(f"alert {action.code}: {action.text}")
                    self.cluster.alerts[action.code] = self.cluster.alerts.get(action.code, 0) + 1
                    if action.code == "takeover-outrun" and self.takeover is not None:
                        self.takeover = None
                        self.member.restart("its takeover is void")
                        return
                case TakeEpoch():
                    self._take(action)
                case Promote():
                    self.takeover = self.cluster.parts.takeover(self, action)
                    self.takeover.begin()
                case Drain():
                    self._to_primary(drain=True)
                case Undrain():
                    self._to_primary(drain=False)

    def _to_primary(self, drain: bool) -> None:
        primary = self.following
        if primary is not None:
            what = primary.drain if drain else primary.undrain
            self.cluster.network.send(self.member, primary, what, *((self.member,) if drain else ()))

    # --- the epoch ---

    def _take(self, take: TakeEpoch) -> None:
        name, storage = self.member.name, self.cluster.storage
        self.member.say(f"wants epoch {take.number}")
        self.member.ask_storage(
            lambda: storage.claim(take.number, name, take.used), lambda got: self._claimed(take.number, got)
        )

    def _claimed(self, number: int, got: tuple[str, Any] | None) -> None:
        monitor, storage = self.monitor, self.cluster.storage
        if got is None:
            self._do(monitor.epoch_unreadable("no answer"))
        elif got[0] == "won":
            name = self.member.name
            self.member.ask_storage(lambda: storage.publish(number, name), lambda done: self._published(number, done))
        elif got[0] == "lost":
            self._do(monitor.epoch_lost(got[1]))
        else:
            self._do(monitor.epoch_refused(got[1]))

    def _published(self, number: int, done: bool | None) -> None:
        if done is None:
            self._do(self.monitor.epoch_unreadable("no answer"))
        elif done:
            self.member.say(f"has epoch {number}")
            self._do(self.monitor.epoch_taken(self.member.clock()))
        else:
            self._do(self.monitor.epoch_lost(number + 1))

    def outrun(self, epoch: int) -> None:
        """The takeover met a higher epoch."""
        self._do(self.monitor.promotion_outrun(epoch))

    def refused(self, why: str) -> None:
        """The takeover cannot go on now."""
        self.takeover = None
        self._do(self.monitor.promotion_refused(self.member.clock(), why))
