"""A wire mutant as a target: the profile of the built-in exchange, started by wire_serve and at a size that starts quickly."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from matchmark.conformance.selftest.wire_declare import BrokenWire
from matchmark.conformance.selftest.wire_mutants import SOUND_WIRES, WIRES
from matchmark.conformance.selftest.wire_port import BrokenPort
from matchmark.conformance.targets.base import Target
from matchmark.conformance.targets.open import PROFILES, UnknownTarget, from_profile
from matchmark.conformance.targets.profile import Profile, load

SYMBOLS = 8_000
"""As many as wire-serve.toml has."""
ANSWER_TIMEOUT_S = 4.0
"""A report that never comes is waited for so long."""


def wire_class(name: str) -> type[BrokenWire]:
    """Of a wire mutant, or of a sound wire. UnknownTarget names what is near."""
    if name in WIRES:
        return WIRES[name].wire
    if name in SOUND_WIRES:
        return SOUND_WIRES[name]
    raise UnknownTarget(f"there is no wire mutant {name}{_hint(name, [*WIRES, *SOUND_WIRES])}")


def _hint(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, names, 3, 0.4)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    return "; `matchmark selftest --list` shows them all"


def wire_target(name: str, profile: str = "") -> Target:
    """`profile` is the built-in one that a sound wire stands in for."""
    return from_profile(wire_profile(name, profile))


def wire_profile(name: str, profile: str = "") -> Profile:
    wire_class(name)
    base = load(
        PROFILES[WIRES[name].profile if name in WIRES else profile or "exchange"], [f"instruments.count={SYMBOLS}"]
    )
    config = Path(str(files("matchmark.conformance.selftest"))) / "wire-serve.toml"
    hooks = dict(base.tables["hooks"])
    for hook in {"wire_start", "wire_dpdk_start", "wire_other_start"} & hooks.keys():
        hooks[hook] = [str(config) if word.endswith("exchange-serve.toml") else word for word in hooks[hook]]
    if issubclass(wire_class(name), BrokenPort):
        return _with_port(name, base, hooks, config)
    # The lab's instances too: what they are started with in place of `start` is as broken.
    for hook in {"start", "lab_start", "ledger_start"} & hooks.keys():
        words = [str(config) if word.endswith("exchange-serve.toml") else word for word in hooks[hook]]
        serve = ["{python}", "-m", "matchmark.conformance.selftest.wire_serve", name, "--"]
        hooks[hook] = [*serve, *words, "--wait", "sleep"]
    for hook in ("cluster_start", "standby_start"):
        if hook in hooks:
            hooks[hook] = ["{python}", "-m", "matchmark.conformance.selftest.pair_serve", name, "--", *hooks[hook]]
    hooks["token"] = [
        "{python}",
        "-m",
        "matchmark.conformance.selftest.wire_token",
        "{folder}",
        "{account}",
        "{ttl}",
        "{role}",
    ]
    return _named(name, base, hooks)


def _with_port(name: str, base: Profile, hooks: dict[str, Any], config: Path) -> Profile:
    """Only what is started on a poll-mode port is broken."""
    for hook in {"start", "lab_start", "ledger_start"} & hooks.keys():
        hooks[hook] = [str(config) if word.endswith("exchange-serve.toml") else word for word in hooks[hook]]
    for hook in {"wire_dpdk_start", "wire_other_start"} & hooks.keys():
        hooks[hook] = ["{python}", "-m", "matchmark.conformance.selftest.frame_serve", name, "--", *hooks[hook]]
    return _named(name, base, hooks)


def _named(name: str, base: Profile, hooks: dict[str, Any]) -> Profile:
    info = replace(base.info, name=f"mutant:{name}")
    return replace(base, info=info, tables={**base.tables, "hooks": hooks}, answer_timeout_s=ANSWER_TIMEOUT_S)
