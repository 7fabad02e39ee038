"""The [transport] table of `matchmark serve`: what carries FIX, the kernel's TCP or a poll-mode port of DPDK's."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

from matchmark.native.dpdk import BUFFERS
from matchmark.reference.config_text import ConfigError, Source

KINDS = ("tcp", "dpdk")
_KEYS = ("kind", "eal", "address", "gateway", "buffers")
_WORDS = {"kind": "transport", "eal": "eal", "address": "dpdk_address"}
"""Keys that have a flag and a variable, and their names."""


@dataclass(frozen=True)
class TransportSettings:
    """A poll-mode port. `eal`: its arguments, which alone say which port that is. `gateway`: the router to other networks."""

    eal: tuple[str, ...]
    address: IPv4Interface
    gateway: IPv4Address | None = None
    buffers: int = BUFFERS


def transport_settings(
    source: Source, flags: Mapping[str, Any], env: Mapping[str, str], prefix: str, fix_port: int
) -> TransportSettings | None:
    """None: the kernel's TCP. ConfigError names what is wrong: a flag, a variable or a line."""
    table = source.table("transport")
    source.only(("transport",), table, _KEYS)
    found: dict[str, tuple[str, str]] = {}
    for key in _KEYS[:4]:
        if key in table:
            found[key] = source.text("transport", None, key), source.where("transport", None, key)
        if (name := _WORDS.get(key)) and f"{prefix}{name.upper()}" in env:
            found[key] = env[f"{prefix}{name.upper()}"], f"{prefix}{name.upper()}"
        if name and flags.get(name) is not None:
            found[key] = str(flags[name]), f"--{name.replace('_', '-')}"
    kind, where = found.get("kind", ("tcp", ""))
    if kind not in KINDS:
        raise ConfigError(f"{where}: transport is {kind!r}; write one of {', '.join(KINDS)}")
    if kind == "tcp":
        for key, (_, where) in found.items():
            if key != "kind":
                raise ConfigError(f"{where}: {key} is for transport dpdk; give --transport dpdk, or leave it out")
        return None
    if "address" not in found:
        raise ConfigError("transport dpdk: its port has no address; give one, as --dpdk-address 10.77.0.1/24")
    if not fix_port:
        raise ConfigError("fix_port is 0: with transport dpdk nobody can say which port is free; write 1 to 65535")
    router = _router(*found["gateway"]) if "gateway" in found else None
    return TransportSettings(
        _eal(*found["eal"]) if "eal" in found else (),
        _interface(*found["address"]),
        router,
        source.integer("transport", None, "buffers", 1023, 1 << 20) if "buffers" in table else BUFFERS,
    )


def _eal(text: str, where: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise ConfigError(f"{where}: eal is {text!r}: {error}; write words as for a shell") from None


def _interface(text: str, where: str) -> IPv4Interface:
    try:
        found = IPv4Interface(text)
    except ValueError:
        found = None
    if found is None or "/" not in text or found.ip.is_multicast or found.ip.is_unspecified or found.ip.is_loopback:
        raise ConfigError(f"{where}: address is {text!r}; write an IPv4 address and its network, as 10.77.0.1/24")
    return found


def _router(text: str, where: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except ValueError:
        raise ConfigError(f"{where}: gateway is {text!r}; write the router's IPv4 address, as 10.77.0.254") from None
