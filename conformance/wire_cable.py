"""The cable to a target's port: made by the kit, in network namespaces of its own, or given by the profile ([wire] interface).

On the kit's end frames are sent and read in raw, from addresses that no kernel knows; ordinary clients use the kernel's TCP
there.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from matchmark.conformance.hooks import HookFailed, run_hook
from matchmark.conformance.packets import network, raw_port
from matchmark.conformance.packets.network import EXCHANGES, Network
from matchmark.conformance.packets.pcap import Ring
from matchmark.conformance.packets.raw_port import RawPort
from matchmark.conformance.targets.profile import Profile
from matchmark.conformance.targets.profile_wire import WireProfile, wire_of

KERNEL_CABLES, PORT_CABLES = (0, 1), (2, 3)
"""Of a network that the kit makes: those whose far end has an address of the kernel's, and those whose far end has none."""
OTHER = "vother0"
ADDRESSES = 64
"""Of the kit's own on a cable."""


@dataclass(frozen=True)
class Cable:
    """`net`: None where the cable is the profile's. `number`: which of the network's."""

    wire: WireProfile
    net: Network | None = None
    number: int = 0
    other: bool = False
    """Its interface is one that the target makes itself (`wire_other_start`)."""

    @property
    def namespace(self) -> str:
        return self.net.exchange if self.net else ""

    @property
    def interface(self) -> str:
        """The target's end."""
        if self.other:
            return OTHER
        return self.net.port(self.number) if self.net else ""

    @property
    def address(self) -> str:
        """The target's. Empty where only the readiness line says it."""
        return EXCHANGES[self.number] if self.net else self.wire.address or ""

    @property
    def addresses(self) -> list[str]:
        """The kit's, for frames."""
        return network.raw_addresses(self.number, ADDRESSES) if self.net else list(self.wire.addresses)

    def open(self, ring: Ring) -> RawPort:
        if self.net:
            return RawPort(OTHER, self.net.exchange, ring) if self.other else self.net.raw_port(self.number, ring)
        assert self.wire.interface
        return RawPort(self.wire.interface, ring=ring)

    def with_target(self) -> AbstractContextManager[object]:
        """This thread where the target's page listens."""
        return network.inside(self.net.exchange) if self.net else nullcontext()

    def with_clients(self) -> AbstractContextManager[object]:
        """This thread where ordinary clients can reach the target."""
        return network.inside(self.net.clients) if self.net else nullcontext()


class Cables:
    """The network of some instances: each is given a cable of its own. A context manager."""

    def __init__(self, profile: Profile) -> None:
        self.wire = wire_of(profile.tables)
        self.net = None if self.wire.interface else Network(kernel=KERNEL_CABLES, kind="w")
        self._free = {"kernel": list(KERNEL_CABLES), "dpdk": list(PORT_CABLES)}

    def __enter__(self) -> Cables:
        return self

    def __exit__(self, *why: object) -> None:
        self.close()

    def close(self) -> None:
        if self.net:
            self.net.close()

    def take(self, carrier: str) -> Cable:
        return Cable(self.wire, self.net, self._free[carrier].pop(0) if self.net else 0)

    def give_back(self, carrier: str, cable: Cable) -> None:
        if self.net:
            self._free[carrier].append(cable.number)


def unable(profile: Profile, carriers: Iterable[str] | None = None) -> str | None:
    """Why this machine cannot put frames on the ports of these carriers (of all that the target has); None: it can."""
    wire = wire_of(profile.tables)
    if wire.interface:
        return raw_port.why_not()
    if why := network.impossible():
        return why
    hooks = profile.tables.get("hooks", {})
    if "wire_check" in hooks and "dpdk" in (wire.carriers if carriers is None else carriers):
        try:
            run_hook("wire_check", hooks, {"profile": str(profile.folder)})
        except HookFailed as error:
            return str(error).rpartition("it said: ")[2]
    return None
