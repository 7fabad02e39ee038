"""One member: a machine with a clock and a log, and on it the exchange's processes, as primary or as standby.

Whatever a member does happens in an event of its own; none happens while it is paused, and none of an earlier life after it
was started again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from matchmark.reference.simulate.log import Log, Record
from matchmark.reference.simulate.world import MS, Handler

if TYPE_CHECKING:
    from matchmark.reference.control.monitor import Heartbeat
    from matchmark.reference.control.replication import Answer, Handshake, Hash, Hello
    from matchmark.reference.control.standbys import Ack
    from matchmark.reference.simulate.client import Client
    from matchmark.reference.simulate.cluster import Cluster
    from matchmark.reference.simulate.primary import PrimaryRole
    from matchmark.reference.simulate.standby import StandbyRole

RATE_ERROR = 0.01
"""How much faster or slower than true a clock may be; two of them differ by less than the margin over one lease."""


class Member:
    def __init__(self, cluster: Cluster, number: int) -> None:
        self.cluster, self.world, self.number = cluster, cluster.world, number
        self.name = f"m{number}"
        rng = self.world.rng
        self._rate = 1 + rng.uniform(-RATE_ERROR, RATE_ERROR)
        self._clock_zero = rng.randint(0, 10**12)
        self.wall_offset_ns = 0
        self.log = Log()
        self.life = 0
        self.up = False
        self.paused = False
        self._backlog: list[tuple[int, Handler, tuple[Any, ...]]] = []
        self.memory_whole = True
        """The shared memory of its last run is there: nothing that its engine decided is missing."""
        self.log_away = 0
        """How many faults keep others from reading its log."""
        self.kept = True
        """It has all that it ever acknowledged as a standby to have received."""
        self.wiped_at = 0
        """The highest epoch when an operator emptied its data directory, 0: never."""
        self.refused: str | None = None
        """A primary will not have it as a standby: why."""
        self.slow_disk = 0
        self.primary: PrimaryRole | None = None
        self.standby: StandbyRole | None = None

    # --- time ---

    def clock(self) -> int:
        """Monotonic, of this machine; wrong by its rate."""
        return self._clock_zero + int(self.world.now * self._rate)

    def later(self, delay: int, what: Handler, *args: Any) -> None:
        self.world.at(delay, self.fire, self.life, what, args)

    def fire(self, life: int, what: Handler, args: tuple[Any, ...]) -> None:
        if life != self.life or not self.up:
            return
        if self.paused:
            self._backlog.append((life, what, args))
        else:
            what(*args)

    def every(self, period: int, what: Callable[[], None]) -> None:
        """For the rest of this life, with some jitter; late rather than never after a pause."""

        def again() -> None:
            what()
            self.later(period + self.world.rng.randint(0, period // 20), again)

        self.later(self.world.rng.randint(0, period), again)

    def ask_storage(self, act: Callable[[], Any], then: Callable[[Any], None]) -> None:
        self.cluster.storage.ask(self, act, then)

    # --- what happens to it ---

    def start(self) -> None:
        """As a standby: who is primary is for the epoch to say, and not for who comes first."""
        if self.up:
            return
        self.up, self.paused = True, False
        self.say("starts")
        self.standby = self.cluster.parts.standby(self)

    def stop(self, power: bool) -> None:
        """Killed, or without power: then its memory is gone, and what was not flushed."""
        if not self.up:
            return
        self.say("loses power" if power else "is killed")
        self.end_of_life()
        self.up = False
        if power:
            self.log.lose_memory()
            self.memory_whole = self.kept = False

    def restart(self, why: str) -> None:
        """Its processes end and start again as a standby; shared memory stays."""
        self.say(f"starts again as a standby: {why}")
        self.end_of_life()
        self.up = False
        self.start()

    def end_of_life(self) -> None:
        self.log.stop_writing(self.world.rng)
        self.life += 1
        self.paused = False
        self._backlog.clear()
        self.primary = self.standby = None
        self.cluster.disconnected(self)

    def pause(self) -> None:
        self.paused = True
        self.say("is paused")

    def resume(self) -> None:
        if not self.paused:
            return
        self.paused = False
        self.say("goes on")
        waiting, self._backlog = self._backlog, []
        for life, what, args in waiting:
            self.fire(life, what, args)

    def wipe(self) -> None:
        """An operator empties its data directory, and starts it again."""
        self.say("is emptied by an operator")
        self.end_of_life()
        self.up = False
        self.log, self.refused = Log(), None
        self.memory_whole = self.kept = False
        self.wiped_at = max(self.cluster.storage.claims, default=0)
        self.start()

    # --- its log ---

    def write_log(self, may: Callable[[], bool], then: Callable[[], None]) -> None:
        """Starts the writer when there is something to write and `may()`; `then` when it is flushed."""
        log = self.log
        if log.writing > log.synced or len(log) == log.synced or not may():
            return
        log.writing = len(log)
        delay = self.world.rng.randint(200_000, 4 * MS)
        if self.slow_disk:
            delay += self.world.rng.randint(0, 1_500 * MS)
        self.later(delay, self._written, log.writing, then)

    def _written(self, up_to: int, then: Callable[[], None]) -> None:
        self.log.synced = self.log.writing = up_to
        then()

    # --- what comes in, for whatever role it has now ---

    def heard(self, primary: Member, life: int, beat: Heartbeat) -> None:
        if self.standby is not None and primary.life == life:
            self.standby.heard(primary, beat)

    def answered(self, primary: Member, life: int, shake: Handshake, answer: Answer) -> None:
        if self.standby is not None and life == self.life:
            self.standby.answered(primary, shake, answer)

    def records(self, primary: Member, life: int, first: int, batch: list[Record], epoch: int, tail: int) -> None:
        if self.standby is not None and life == self.life:
            self.standby.records(primary, first, batch, epoch, tail)

    def disconnected_from(self, primary: Member) -> None:
        if self.standby is not None:
            self.standby.disconnected_from(primary)

    def primary_drained(self, sequence: int) -> None:
        if self.standby is not None:
            self.standby.drained(sequence)

    def order(self, client: Client, key: int) -> None:
        if self.primary is not None:
            self.primary.order(client, key)
        else:
            client.answer_later(client.refused, key)

    def hello(self, standby: Member, life: int, said: Hello) -> None:
        if self.primary is not None:
            self.primary.hello(standby, life, said)

    def hash_said(self, standby: Member, life: int, shake: Handshake, said: Hash) -> None:
        if self.primary is not None:
            self.primary.hash_said(standby, life, shake, said)

    def ack(self, standby: Member, life: int, ack: Ack) -> None:
        if self.primary is not None:
            self.primary.ack(standby, life, ack)

    def lost(self, standby: Member, life: int) -> None:
        """The connection with this standby is broken."""
        if self.primary is not None:
            self.fire(self.life, self.primary.lost, (standby, life))
        standby.fire(life, standby.disconnected_from, (self,))

    def drain(self, asker: Member) -> None:
        if self.primary is not None:
            self.primary.drain(asker)

    def undrain(self) -> None:
        if self.primary is not None:
            self.primary.undrain()

    def say(self, text: str) -> None:
        if self.world.trace:
            self.world.say(self.name, text)
