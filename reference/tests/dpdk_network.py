"""The kit's network for a port of DPDK's: the target's ends of its cables are without an address."""

from __future__ import annotations

from matchmark.conformance.packets import network
from matchmark.conformance.packets.network import CLIENTS, EXCHANGES, Network, inside
from matchmark.native import dpdk

__all__ = ["CLIENTS", "EXCHANGES", "Network", "impossible", "inside"]


def impossible() -> str | None:
    """Why there can be no such port here."""
    return dpdk.missing() or network.impossible()
