"""What goes wrong in a world, and when: drawn from its seed. Every fault ends by itself or with `heal`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from matchmark.reference.simulate.world import MS, SECOND

if TYPE_CHECKING:
    from matchmark.reference.simulate.cluster import Cluster
    from matchmark.reference.simulate.member import Member

STEPS = ("Locate", "Compare", "Replay", "Chunk", "Chunk", "Chunk", "Flush", "TakeLease", "MarkOpened", "AcceptOrders")
"""Where a fault may lie in wait; `Chunk` is in the middle of a replay."""


class Faults:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._world, self._rng = cluster, cluster.world, cluster.world.rng
        self.counts: dict[str, int] = {}
        self.ends_at = self._rng.randint(4 * SECOND, 10 * SECOND)
        for _ in range(self._rng.randint(1, 5)):
            self._world.at(self._rng.randint(200 * MS, self.ends_at - SECOND), self._strike)
        if self._rng.random() < 0.4:
            fault = self._rng.choice(("kill", "power", "pause"))
            cluster.traps = [(self._rng.choice(STEPS), fault) for _ in range(self._rng.randint(1, 2))]

    def _strike(self) -> None:
        kinds: dict[str, tuple[int, Callable[[], None]]] = {
            "kill": (4, self._kill),
            "power cut": (4, self._power),
            "pause": (4, self._pause),
            "cut, then kill": (4, self._lag_then_die),
            "slow link, then kill": (2, self._slow_link),
            "site power cut": (2, self._site),
            "network": (3, self._network),
            "storage of one": (2, self._storage_of_one),
            "storage of all": (1, self._storage_of_all),
            "storage power cut": (1, self._storage_power),
            "slow storage": (1, self._slow_storage),
            "slow disk": (2, self._slow_disk),
            "log away": (2, self._log_away),
            "damaged standby": (2, self._damage),
            "epoch file": (1, self._epoch_file),
            "engine hangs": (2, self._hang),
            "flash crash": (3, self._flash_crash),
            "clock jumps": (1, self._clock_jump),
            "switchover": (3, self._switchover),
        }
        name = self._rng.choices(list(kinds), [weight for weight, _ in kinds.values()])[0]
        self.counts[name] = self.counts.get(name, 0) + 1
        self._world.say("fault", name)
        kinds[name][1]()

    def _victim(self) -> Member:
        """The primary more often than not."""
        primary = self._cluster.primary()
        return primary if primary is not None and self._rng.random() < 0.7 else self._rng.choice(self._cluster.members)

    def _after(self, low_ms: int, high_ms: int, what: Callable[[], None]) -> None:
        self._world.at(self._rng.randint(low_ms * MS, high_ms * MS), what)

    def _kill(self) -> None:
        self._kill_of(self._victim())

    def _power(self) -> None:
        self._power_of(self._victim())

    def _pause(self) -> None:
        self._pause_of(self._victim())

    def _lag_then_die(self) -> None:
        primary = self._cluster.primary()
        if primary is None:
            return
        peers = self._cluster.peers(primary)
        for other in self._rng.sample(peers, self._rng.randint(1, len(peers))):
            self._cut((primary.number, other.number), 400, 1500)
        die = self._rng.choice((self._kill_of, self._power_of, self._pause_of))
        self._after(100, 1200, lambda: die(primary))

    def _slow_link(self) -> None:
        """One standby is behind another when the primary goes."""
        primary, slow = self._cluster.primary(), self._cluster.network.slow
        if primary is None:
            return
        link = (primary.number, self._rng.choice(self._cluster.peers(primary)).number)
        slow[link] = self._rng.randint(20 * MS, 400 * MS)
        self._after(1500, 3000, lambda: _forget(slow, link))
        die = self._rng.choice((self._kill_of, self._power_of, self._pause_of))
        self._after(300, 1200, lambda: die(primary))
        if self._rng.random() < 0.5:
            self._log_away_of(primary)

    def _site(self) -> None:
        """All lose power at once, while their disks are behind."""
        for member in self._cluster.members:
            self._slow_disk_of(member)
        for member in self._cluster.members:
            self._world.at(500 * MS, self._power_of, member)

    def _kill_of(self, victim: Member) -> None:
        victim.stop(power=False)
        self._after(50, 6000, victim.start)

    def _power_of(self, victim: Member) -> None:
        victim.stop(power=True)
        self._after(300, 6000, victim.start)

    def _pause_of(self, victim: Member) -> None:
        if victim.up:
            victim.pause()
            self._after(200, 6000, victim.resume)

    def _cut(self, link: tuple[int, int], low_ms: int, high_ms: int) -> None:
        cuts = self._cluster.network.cuts
        cuts[link] = cuts.get(link, 0) + 1
        self._after(low_ms, high_ms, lambda: cuts.__setitem__(link, max(0, cuts.get(link, 0) - 1)))

    def _network(self) -> None:
        one, other = self._rng.sample(range(len(self._cluster.members)), 2)
        for link in self._rng.choice(([(one, other)], [(one, other), (other, one)])):
            self._cut(link, 300, 6000)

    def _storage_of_one(self) -> None:
        number, cut = self._victim().number, self._cluster.storage.cut
        cut[number] = cut.get(number, 0) + 1
        self._after(300, 6000, lambda: cut.__setitem__(number, max(0, cut.get(number, 0) - 1)))

    def _storage_of_all(self) -> None:
        storage = self._cluster.storage
        storage.down += 1
        self._after(100, 3000, lambda: setattr(storage, "down", max(0, storage.down - 1)))

    def _storage_power(self) -> None:
        self._cluster.storage.lose_power()
        self._storage_of_all()

    def _slow_storage(self) -> None:
        storage = self._cluster.storage
        storage.slow += 1
        self._after(500, 5000, lambda: setattr(storage, "slow", max(0, storage.slow - 1)))

    def _slow_disk(self) -> None:
        self._slow_disk_of(self._victim())

    def _slow_disk_of(self, victim: Member) -> None:
        victim.slow_disk += 1
        self._after(500, 5000, lambda: setattr(victim, "slow_disk", max(0, victim.slow_disk - 1)))

    def _log_away(self) -> None:
        victim = self._victim()
        self._log_away_of(victim)
        if self._rng.random() < 0.7:
            self._rng.choice((self._kill_of, self._power_of))(victim)

    def _log_away_of(self, victim: Member) -> None:
        victim.log_away += 1
        self._after(2000, 8000, lambda: setattr(victim, "log_away", max(0, victim.log_away - 1)))

    def _damage(self) -> None:
        standbys = [member.standby for member in self._cluster.members if member.standby is not None]
        followers = [standby for standby in standbys if standby.receiver is not None and standby.takeover is None]
        if followers:
            self._rng.choice(followers).member.log.damage()

    def _epoch_file(self) -> None:
        storage = self._cluster.storage
        if self._rng.random() < 0.5:
            storage.record = None
        else:
            storage.damaged = True
        if self._rng.random() < 0.5:
            self._after(500, 4000, storage.repair)

    def _hang(self) -> None:
        primary = self._cluster.primary()
        if primary is not None and primary.primary is not None:
            role = primary.primary
            role.hung = True
            self._after(300, 6000, lambda: primary.fire(primary.life, role.unhang, ()))

    def _flash_crash(self) -> None:
        cluster = self._cluster
        cluster.crashes += 1
        self._after(500, 2500, lambda: setattr(cluster, "crashes", max(0, cluster.crashes - 1)))

    def _clock_jump(self) -> None:
        """Of the wall clock: nothing may depend on it."""
        self._victim().wall_offset_ns += self._rng.choice((-1, 1)) * self._rng.randint(1, 10**6) * SECOND

    def _switchover(self) -> None:
        standbys = [member.standby for member in self._cluster.members if member.up and member.standby is not None]
        if standbys:
            standby = self._rng.choice(standbys)
            standby.member.fire(standby.member.life, standby.switchover, ())

    # --- the end of all of it ---

    def heal(self) -> None:
        cluster, storage = self._cluster, self._cluster.storage
        self._world.say("fault", "everything is repaired")
        cluster.traps = []
        cluster.network.cuts.clear()
        cluster.network.slow.clear()
        cluster.network.loss = 0.0
        storage.down = storage.slow = cluster.crashes = 0
        storage.cut.clear()
        storage.repair()
        for member in cluster.members:
            member.log_away = member.slow_disk = 0
            if member.primary is not None and member.primary.hung:
                member.fire(member.life, member.primary.unhang, ())
            member.resume()
            member.start()


def _forget(slow: dict[tuple[int, int], int], link: tuple[int, int]) -> None:
    slow.pop(link, None)
