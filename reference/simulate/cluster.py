"""A cluster in a simulated world: members, storage, network, clients, and the parts that a planted bug may replace."""

from __future__ import annotations

from dataclasses import dataclass

from matchmark.reference.control.lease import LeaseKeeper, LeaseWatch
from matchmark.reference.control.monitor import Monitor, Settings
from matchmark.reference.control.promotion import Mode, Promotion
from matchmark.reference.control.standbys import Sender
from matchmark.reference.simulate.checks import Checks
from matchmark.reference.simulate.client import Client
from matchmark.reference.simulate.market import Market
from matchmark.reference.simulate.member import Member
from matchmark.reference.simulate.primary import PrimaryRole
from matchmark.reference.simulate.standby import StandbyRole
from matchmark.reference.simulate.storage import SharedStorage
from matchmark.reference.simulate.takeover import Takeover
from matchmark.reference.simulate.world import MS, Network, World

CLIENTS = 2


@dataclass(frozen=True)
class Parts:
    """What a world is made of."""

    keeper: type[LeaseKeeper] = LeaseKeeper
    watch: type[LeaseWatch] = LeaseWatch
    monitor: type[Monitor] = Monitor
    promotion: type[Promotion] = Promotion
    sender: type[Sender] = Sender
    storage: type[SharedStorage] = SharedStorage
    primary: type[PrimaryRole] = PrimaryRole
    standby: type[StandbyRole] = StandbyRole
    takeover: type[Takeover] = Takeover
    market: type[Market] = Market


SOUND = Parts()


class Cluster:
    def __init__(self, world: World, parts: Parts) -> None:
        self.world, self.parts = world, parts
        rng = world.rng
        modes: tuple[Mode, ...] = ("async", "fsync", "replicated")
        self.mode: Mode = rng.choice(modes)
        self.one_host = rng.random() < 0.5
        """Members can read each other's shared memory."""
        self.settings = Settings()
        self.crashes = 0
        """How many flash crashes are on."""
        self.forced = False
        """An operator takes the loss of what is not to be had."""
        self.storage = parts.storage(world)
        self.alerts: dict[str, int] = {}
        self.traps: list[tuple[str, str]] = []
        """What befalls a member when it has come to a step of its takeover: step, fault."""
        self.members = [Member(self, number) for number in range(rng.choice((2, 2, 3)))]
        self.network = Network(world, len(self.members))
        self.checks = Checks(self)
        self.clients = [Client(self, number) for number in range(1, CLIENTS + 1)]
        self._found()

    def _found(self) -> None:
        first, *others = self.members
        assert self.storage.claim_first(first.name)
        keeper = self.parts.keeper(1, first.name, self.settings.lease_ns)
        self.storage.write_lease(keeper.begin(first.clock()))
        keeper.finish(self.storage.current())
        first.up = True
        self.checks.opens(first, 1, None)
        first.primary = self.parts.primary(first, keeper)
        for member in others:
            member.start()
        self.review()

    def price(self, key: int) -> int:
        """Of this order's trade, in ticks."""
        fair = 10_000 - key % 13
        return fair * 85 // 100 if self.crashes else fair

    def review(self) -> None:
        """The operator looks now and then, and lets a symbol trade that was halted."""
        primary = self.primary()
        if primary is not None and primary.primary is not None:
            primary.fire(primary.life, primary.primary.resume, ())
        self.world.at(self.world.rng.randint(600 * MS, 2500 * MS), self.review)

    def peers(self, member: Member) -> list[Member]:
        return [other for other in self.members if other is not member]

    def primary(self) -> Member | None:
        """Who has the right to acknowledge now."""
        for member in self.members:
            if member.up and not member.paused and member.primary is not None and member.primary.may_acknowledge():
                return member
        return None

    def disconnected(self, gone: Member) -> None:
        """Its processes are gone, and its connections with them."""
        for other in self.peers(gone):
            self.world.at(2 * MS, other.fire, other.life, other.disconnected_from, (gone,))
            self.world.at(2 * MS, other.lost, gone, gone.life - 1)

    def took_step(self, member: Member, step: str) -> None:
        """A takeover has come to this step: the moment for a fault that was laid in wait for it."""
        for trap in self.traps:
            if trap[0] == step:
                self.traps.remove(trap)
                self.world.at(0, getattr(self, f"_trap_{trap[1]}"), member)
                return

    def _trap_kill(self, member: Member) -> None:
        member.stop(power=False)
        self.world.at(self.world.rng.randint(100 * MS, 3000 * MS), member.start)

    def _trap_power(self, member: Member) -> None:
        member.stop(power=True)
        self.world.at(self.world.rng.randint(100 * MS, 3000 * MS), member.start)

    def _trap_pause(self, member: Member) -> None:
        member.pause()
        self.world.at(self.world.rng.randint(100 * MS, 5000 * MS), member.resume)
