"""One seed: a world with faults, then a world that is whole again and has to trade. The same seed is the same history."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field

from matchmark.reference.simulate.cluster import SOUND, Cluster, Parts
from matchmark.reference.simulate.faults import Faults
from matchmark.reference.simulate.world import MS, SECOND, Violation, World

TRADES_WITHIN_NS = 40 * SECOND
"""After everything is repaired: every client has orders acknowledged again."""
FORCE_AFTER_NS = 8 * SECOND
"""An operator waits so long before he takes a loss."""
ACKNOWLEDGEMENTS = 2


@dataclass
class Outcome:
    """Of one seed. `violation`: what must not have happened, None when all is well."""

    seed: int
    violation: str | None = None
    mode: str = ""
    members: int = 0
    simulated_ns: int = 0
    events: int = 0
    acknowledged: int = 0
    lost_stated: int = 0
    takeovers: int = 0
    halts: int = 0
    forced: bool = False
    faults: dict[str, int] = field(default_factory=dict)
    alerts: dict[str, int] = field(default_factory=dict)
    timeline: list[tuple[int, str, str]] = field(default_factory=list)


def run_seed(seed: int, parts: Parts = SOUND, trace: bool = False) -> Outcome:
    """Never raises for what happens in the world: a mistake of a machine is a violation too."""
    world = World(seed, trace)
    outcome = Outcome(seed, timeline=world.timeline)
    cluster = Cluster(world, parts)
    try:
        faults = Faults(cluster)
        outcome.faults = faults.counts
        world.run(faults.ends_at, _never)
        faults.heal()
        _Repair(cluster)
        if not world.run(world.now + TRADES_WITHIN_NS, _trades_again(cluster)):
            raise Violation(f"{TRADES_WITHIN_NS // SECOND} s after everything was repaired not every client can trade")
        cluster.checks.end()
    except Violation as violation:
        outcome.violation = str(violation)
    except Exception as error:
        outcome.violation = f"{type(error).__name__}: {error} in {traceback.extract_tb(error.__traceback__)[-1]}"
    if outcome.violation is not None:
        world.say("VIOLATION", outcome.violation)
    outcome.mode, outcome.members = cluster.mode, len(cluster.members)
    outcome.simulated_ns, outcome.events = world.now, world.events
    outcome.acknowledged = sum(client.acknowledgements for client in cluster.clients)
    outcome.lost_stated, outcome.takeovers = cluster.checks.lost_stated, cluster.checks.opens_count - 1
    outcome.halts = sum(key < 0 for key in cluster.checks.acked)
    outcome.forced, outcome.alerts = cluster.forced, cluster.alerts
    return outcome


def _never() -> bool:
    return False


class _Repair:
    """The operator, after the faults: empties a standby that must not go on as it is, and forces a takeover in the end."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._since = cluster.world.now
        self._look()

    def _look(self) -> None:
        cluster = self._cluster
        primary = cluster.primary()
        if primary is not None:
            self._since = cluster.world.now
            for member in cluster.peers(primary):
                standby = member.standby
                if standby is not None and standby.takeover is None and (standby.unfit or member.refused):
                    member.wipe()
        elif cluster.world.now - self._since > FORCE_AFTER_NS and not cluster.forced:
            cluster.world.say("operator", "takeovers may go on with what there is")
            cluster.forced = True
        cluster.world.at(500 * MS, self._look)


class _trades_again:
    def __init__(self, cluster: Cluster) -> None:
        self._clients = [(client, client.acknowledgements + ACKNOWLEDGEMENTS) for client in cluster.clients]

    def __call__(self) -> bool:
        return all(client.acknowledgements >= wanted for client, wanted in self._clients)
