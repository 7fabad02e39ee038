"""A primary: lease, engine, acknowledgements by durability mode, what it sends to standbys."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from matchmark.conformance.trading_messages import Act
from matchmark.reference.control.monitor import Heartbeat
from matchmark.reference.control.replication import VERSION, Answer, Go, Handshake, Hash, Hello, Primary
from matchmark.reference.control.standbys import Ack, NoteStandby
from matchmark.reference.control.switchover import PrimarySwitch, Step
from matchmark.reference.simulate.log import ACTS
from matchmark.reference.simulate.world import MS

if TYPE_CHECKING:
    from matchmark.reference.control.lease import LeaseKeeper
    from matchmark.reference.simulate.client import Client
    from matchmark.reference.simulate.member import Member

ENGINE = "engine"
BATCH = 16
"""Records of a frame."""


class PrimaryRole:
    """From the moment that its promotion is complete; the keeper holds the lease already."""

    def __init__(self, member: Member, keeper: LeaseKeeper) -> None:
        self.member, self.keeper = member, keeper
        self.cluster = member.cluster
        self.sender = self.cluster.parts.sender(keeper.epoch, len(member.log))
        self.switch = PrimarySwitch(8_000 * MS)
        self.market = self.cluster.parts.market(member.log, member.clock())
        self.hung = False
        self._stuck: list[tuple[Client, int]] = []
        self._unsent: list[tuple[int, Client | None, int]] = []
        """Record, client (None: everybody is told of a halt), order."""
        self._links: dict[int, list[int]] = {}
        """By standby: the life that it had, and the last record sent."""
        self._asker: Member | None = None
        settings = self.cluster.settings
        member.later(settings.lease_ns // 3, self._renew)
        member.every(settings.heartbeat_ns, self._beat)
        member.every(40 * MS, self._pump)

    @property
    def epoch(self) -> int:
        return self.keeper.epoch

    def may_acknowledge(self) -> bool:
        return self.keeper.held(self.member.clock())

    # --- lease ---

    def _renew(self) -> None:
        record, storage = self.keeper.begin(self.member.clock()), self.cluster.storage
        self.member.ask_storage(lambda: storage.write_lease(record), self._lease_written)

    def _lease_written(self, written: bool | None) -> None:
        if written:
            self.member.ask_storage(self.cluster.storage.current, self._epoch_read)
        else:
            self._epoch_read(None)

    def _epoch_read(self, epoch: int | None) -> None:
        self.keeper.finish(epoch)
        if self.keeper.fenced_by is not None:
            self.switch.fenced()
            self.member.restart(f"fenced by epoch {self.keeper.fenced_by}")
            return
        if self.may_acknowledge():
            self.cluster.checks.lease(self.member, self.keeper)
            self._pump()
        self.member.later(self.cluster.settings.lease_ns // 3, self._renew)

    def _beat(self) -> None:
        """Only while it may acknowledge: an exchange that may not is no use to anybody. Or while it has given that up."""
        if not (self.may_acknowledge() or self.switch.state is self.switch.state.RELEASED):
            return
        age = 10 * self.cluster.settings.timeout_ns if self.hung else 0
        beat = Heartbeat(self.epoch, len(self.member.log), age)
        for peer in self.cluster.peers(self.member):
            self.cluster.network.send(self.member, peer, peer.heard, self.member, self.member.life, beat)

    # --- orders ---

    def order(self, client: Client, key: int) -> None:
        if self.hung:
            self._stuck.append((client, key))
            return
        if self.switch.state is not self.switch.state.TRADING or not self.may_acknowledge():
            client.answer_later(client.refused, key)
            return
        at = self.remembered(key)
        if at is None and self.market.halted:
            client.answer_later(client.refused, key)
            return
        if at is None:
            at = self._sequence(key, self.cluster.price(key))
        self._unsent.append((at, client, key))
        self._pump()

    def _sequence(self, key: int, value: int) -> int:
        """One more record."""
        log = self.member.log
        self.cluster.checks.executes(self.member, self.epoch)
        record = log.append(self.epoch, key, value)
        self.market.follow(len(log), record, self.member.clock())
        self.sender.tail = len(log)
        return len(log)

    def _change_trading(self, act: Act) -> None:
        """Sequenced with the orders; a halt is told to everybody as an order is acknowledged."""
        key = -(len(self.member.log) + 1)
        at = self._sequence(key, ACTS.index(act))
        if act is Act.HALT:
            self.member.say(f"halts trading, record {at}")
            self._unsent.append((at, None, key))

    def resume(self) -> None:
        """The operator's command."""
        if self.market.halted and self.may_acknowledge() and self.switch.state is self.switch.state.TRADING:
            self.member.say("resumes trading")
            self._change_trading(Act.RESUME)
            self._pump()

    def remembered(self, key: int) -> int | None:
        """The record of an order that was executed already."""
        return self.member.log.keys.get(key)

    def unhang(self) -> None:
        self.hung = False
        stuck, self._stuck = self._stuck, []
        for client, key in stuck:
            self.order(client, key)

    def _pump(self) -> None:
        """Whatever can be decided, written, sent and acknowledged now."""
        if self.may_acknowledge() and not self.hung and self.switch.state is self.switch.state.TRADING:
            for act in self.market.check(self.member.clock()):
                self._change_trading(act)
        self.member.write_log(self._may_write, self._flushed)
        self._send_records()
        self._note(self.sender.tick())
        self._acknowledge()
        self._switch()

    def _flushed(self) -> None:
        self.cluster.checks.wrote(self.member)
        self._pump()

    def _may_write(self) -> bool:
        if self.may_acknowledge():
            self.cluster.checks.writes(self.member, self.epoch)
            return True
        return False

    def _acknowledge(self) -> None:
        mark = {"async": len(self.member.log), "fsync": self.member.log.synced, "replicated": self.sender.replicated}[
            self.cluster.mode
        ]
        if not self._unsent or not self.may_acknowledge():
            return
        ready = [item for item in self._unsent if item[0] <= mark]
        if ready:
            self._unsent = [item for item in self._unsent if item[0] > mark]
            for at, client, key in ready:
                self.cluster.checks.acknowledges(self.member, self.epoch, at, key)
                if client is not None:
                    client.answer_later(client.acknowledged, key)

    # --- standbys ---

    def hello(self, standby: Member, life: int, hello: Hello) -> None:
        log = self.member.log
        mine = Primary("c", self.member.name, 0, ENGINE, self.epoch, 1, len(log), self.sender.needed)
        shake = Handshake(mine, log.hash_at)
        self._answer(standby, life, shake, shake.hello(hello))

    def _answer(self, standby: Member, life: int, shake: Handshake, answer: Answer) -> None:
        if isinstance(answer, Go) and standby.life == life:
            last = answer.sequence - 1
            self._links[standby.number] = [life, last]
            self._note(self.sender.attach(standby.name, last))
        self.cluster.network.send(
            self.member, standby, standby.answered, self.member, life, shake, answer,
            broken=lambda: self.member.lost(standby, life),
        )  # fmt: skip

    def hash_said(self, standby: Member, life: int, shake: Handshake, said: Hash) -> None:
        self._answer(standby, life, shake, shake.hash(said))

    def _send_records(self) -> None:
        log = self.member.log
        for number, link in self._links.items():
            while link[1] < len(log):
                first, standby = link[1] + 1, self.cluster.members[number]
                batch = log.records[first - 1 : first - 1 + BATCH]
                link[1] += len(batch)
                self.cluster.network.send(
                    self.member, standby, standby.records, self.member, link[0], first, batch, self.epoch, len(log),
                    broken=lambda standby=standby, life=link[0]: self.member.lost(standby, life),
                )  # fmt: skip

    def ack(self, standby: Member, life: int, ack: Ack) -> None:
        link = self._links.get(standby.number)
        if link and link[0] == life:
            self._note(self.sender.ack(standby.name, ack))
            self._acknowledge()
            self._switch()

    def lost(self, standby: Member, life: int) -> None:
        """The connection is broken."""
        link = self._links.get(standby.number)
        if link and link[0] == life:
            del self._links[standby.number]
            self._note([note for note in self.sender.detach(standby.name) if isinstance(note, NoteStandby)])

    def _note(self, notes: list[NoteStandby]) -> None:
        for note in notes:
            write = partial(self.cluster.storage.note_standby, note.member)
            self.member.ask_storage(write, partial(self._noted, note))

    def _noted(self, note: NoteStandby, done: bool | None) -> None:
        self.sender.noted(note, bool(done))
        self._acknowledge()

    # --- switchover ---

    def drain(self, asker: Member) -> None:
        self._asker = asker
        self._carry_out(self.switch.drain(self.member.clock()))

    def undrain(self) -> None:
        self._carry_out(self.switch.undrain())

    def _switch(self) -> None:
        self._carry_out(self.switch.tick(self.member.clock()))
        log, link = self.member.log, self._links.get(self._asker.number) if self._asker else None
        if link and not self._unsent and log.synced == len(log) and link[1] == len(log):
            self._carry_out(self.switch.idle(len(log)))

    def _carry_out(self, steps: list[Step]) -> None:
        for step in steps:
            if step is Step.RELEASE_LEASE:
                write = partial(self.cluster.storage.write_lease, self.keeper.release())
                self.member.ask_storage(write, lambda written: None)
            elif step is Step.TAKE_LEASE_BACK:
                self.keeper.take_back()
            elif step is Step.SAY_DRAINED and self._asker is not None:
                asker = self._asker
                self.cluster.network.send(self.member, asker, asker.primary_drained, self.switch.sequence)


def hello_of(member: Member, epoch: int) -> Hello:
    last = len(member.log)
    return Hello(VERSION, "c", member.name, 0, ENGINE, epoch, last + 1, member.log.hash_at(last))
