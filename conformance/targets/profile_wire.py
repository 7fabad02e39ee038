"""The profile's [wire] table: the network that the target's port is on, for the clauses about frames (level wire).

Without `interface` the kit makes a cable itself, in network namespaces of its own, and the hooks `wire_start` and
`wire_dpdk_start` start an instance at its end. With it the target is there already, or hook `start` starts it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address
from typing import Any

from matchmark.conformance.targets.profile_key import Fail, Key, Tables

CARRIERS = ("kernel", "dpdk")
"""What may carry a target's order entry: the operating system's TCP, and a poll-mode port with a TCP of its own."""
START_HOOKS = {"kernel": "wire_start", "dpdk": "wire_dpdk_start"}
COUNTERS = (
    "rx_frames", "rx_bytes", "tx_frames", "tx_bytes", "rx_dropped", "rx_bad", "rx_ignored", "bytes_in_place", "bytes_copied",
    "buffers_in_use", "connections", "messages_in", "accepted",
)  # fmt: skip
"""What the kit asks of a status page."""
OF_MATCHMARK: Mapping[str, str] = {
    name: f"{'counters' if name in ('messages_in', 'accepted') else 'port'}.{name}" for name in COUNTERS
}
"""Where they are on the page of the reference exchange (docs/dpdk.md, docs/serve.md)."""
PORT_DEFAULT = 9878
REST_S = 5.0

WIRE: dict[str, Key] = {
    "interface": Key(
        str, "the kit's interface on the target's network, used in raw; left out where the kit makes a cable"
    ),
    "address": Key(str, "IPv4 address of the target's port; left out where the readiness line says it"),
    "mac": Key(str, "its hardware address, where it answers no ARP"),
    "addresses": Key(
        list, "with interface: IPv4 addresses of that network for the kit, at least 4, which nobody else has"
    ),
    "poll_mode": Key(bool, "with interface: true if that port is a poll-mode one (default false)"),
    "port": Key(int, f"TCP port of FIX on the kit's own cable (default {PORT_DEFAULT})"),
    "status": Key(str, "URL of the status page, JSON; left out where the readiness line says it (admin)"),
    "counters": Key(dict, 'where on it each counter is: {rx_frames = "port.rx_frames"} (default: as in docs/dpdk.md)'),
    "rest_s": Key((int, float), f"so long after the last frame counters and buffers are at rest (default {REST_S:g})"),
}
HOOKS: dict[str, Key] = {
    "wire_start": Key(
        list, "starts an instance on the kernel's TCP, at {address} and {port} in the network namespace {namespace}"
    ),
    "wire_dpdk_start": Key(
        list, "starts one on a poll-mode port over {interface} in {namespace}, which has no address, as {address}"
    ),
    "wire_other_start": Key(
        list, "the same on a port of another kind, whose far end appears in {namespace} as the interface {interface}"
    ),
    "wire_check": Key(list, "ends with 0 where wire_dpdk_start can work on this machine, else says why not"),
}
CABLE = {"namespace", "interface", "address", "wait"}
"""Placeholders of the first three beside those of `start`; {wait}: sleep or spin, how threads are to wait."""


@dataclass(frozen=True)
class WireProfile:
    """The table with its defaults. `carriers`: those of CARRIERS that can be had."""

    carriers: tuple[str, ...]
    interface: str | None = None
    address: str | None = None
    mac: str | None = None
    addresses: tuple[str, ...] = ()
    port: int = PORT_DEFAULT
    status: str | None = None
    counters: Mapping[str, str] = field(default_factory=lambda: OF_MATCHMARK)
    rest_s: float = REST_S


def wire_of(tables: Tables) -> WireProfile:
    """Of tables that were checked."""
    table, hooks = tables.get("wire", {}), tables.get("hooks", {})
    if "interface" in table:
        carriers: tuple[str, ...] = ("dpdk" if table.get("poll_mode", False) else "kernel",)
    else:
        carriers = tuple(name for name in CARRIERS if START_HOOKS[name] in hooks)
    return WireProfile(
        carriers, table.get("interface"), table.get("address"), table.get("mac"), tuple(table.get("addresses", ())),
        table.get("port", PORT_DEFAULT), table.get("status"), table.get("counters", OF_MATCHMARK),
        float(table.get("rest_s", REST_S)),
    )  # fmt: skip


def check_wire(tables: Tables, capabilities: Iterable[str], fail: Fail) -> None:
    has, hooks, table = set(capabilities), tables.get("hooks", {}), tables.get("wire", {})
    given = "interface" in table
    if "raw_frames" in has and not given and not any(hook in hooks for hook in START_HOOKS.values()):
        fail("target", "capabilities", "raw_frames needs [hooks] wire_start or wire_dpdk_start, or [wire] interface")
    if "dpdk" in has:
        if "raw_frames" not in has:
            fail("target", "capabilities", "dpdk needs raw_frames: without it nobody can put a frame on the port")
        if not (table.get("poll_mode", False) if given else "wire_dpdk_start" in hooks):
            fail(
                "target",
                "capabilities",
                "dpdk needs [hooks] wire_dpdk_start, or [wire] interface with poll_mode = true",
            )
    if "wire" in tables:
        _table(table, given, fail)


def _table(table: Mapping[str, Any], given: bool, fail: Fail) -> None:
    for key in ("addresses", "poll_mode", "mac"):
        if key in table and not given:
            fail("wire", key, "is of a network that is there: it goes with interface")
    for key, addresses in (("address", [table.get("address")]), ("addresses", table.get("addresses", []))):
        for text in addresses if key in table else ():
            if not _is_address(text):
                fail("wire", key, f"must be IPv4, such as 10.0.0.5, not {text!r}")
    if given and len(set(table.get("addresses", ()))) < 4:
        fail("wire", "addresses" if "addresses" in table else None, "must be at least 4 different ones, for the kit")
    if "mac" in table and not re.fullmatch(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", table["mac"]):
        fail("wire", "mac", f'must be such as "02:00:00:00:00:01", not {table["mac"]!r}')
    if not 1 <= table.get("port", PORT_DEFAULT) <= 65535:
        fail("wire", "port", f"must be from 1 to 65535, not {table['port']}")
    for name, path in table.get("counters", {}).items():
        if name not in COUNTERS or not isinstance(path, str):
            fail("wire", "counters", f"must map some of {', '.join(COUNTERS)} to where they are, not {name} = {path!r}")
    if not 0.1 <= table.get("rest_s", REST_S) <= 600:
        fail("wire", "rest_s", f"must be from 0.1 to 600 seconds, not {table['rest_s']:g}")


def _is_address(text: object) -> bool:
    try:
        IPv4Address(text)
    except (AddressValueError, ValueError, TypeError):
        return False
    return True
