"""Order mixes as data: TOML files that say what is sent, phase by phase; when it is sent is the schedule's (arrivals.py).

Those of the kit lie in load/mixes/ and go by their name; anyone's own by its path. Format: docs/load.md. What is wrong with a
file is said with its name and key.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from matchmark.load.arrivals import KINDS

ACTIONS = ("passive", "crossing", "ioc", "market", "cancel", "replace")
"""A limit order behind the middle, one that reaches over it, that one immediate-or-cancel, a market order, a cancel and a replace
of a recent order of the session."""
NEEDS = {"ioc": "ioc", "market": "market", "cancel": "cancel", "replace": "replace"}
"""The capability without which an action is left out; limit orders are everyone's."""
BITSTAMP = "bitstamp"
"""The mix that is a recording: load/bitstamp.py."""


class MixError(Exception):
    """What is wrong with a mix, with its file."""


@dataclass(frozen=True)
class Phase:
    """`share` of the orders of a run. The middle drifts by `drift_percent` over the phase and walks by `walk_ticks` (standard
    deviation) in a hundred orders; passive orders lie `distance_ticks` behind it, the others reach `reach_ticks` over it."""

    share: float
    weights: Mapping[str, float]
    drift_percent: float = 0.0
    walk_ticks: float = 1.0
    distance_ticks: tuple[int, int] = (0, 5)
    reach_ticks: tuple[int, int] = (0, 3)
    lots: tuple[int, int] = (1, 9)
    sells: float = 0.5


@dataclass(frozen=True)
class Mix:
    """`arrivals`: what the mix wants of its schedule, keys of arrivals.Arrivals; flags go over it."""

    name: str
    text: str
    phases: tuple[Phase, ...]
    arrivals: Mapping[str, Any]

    def without(self, capabilities: frozenset[str]) -> tuple[Mix, list[str]]:
        """What a target of these capabilities can be asked, and the actions that are left out."""
        out = sorted({a for p in self.phases for a in p.weights if NEEDS.get(a, "limit") not in capabilities})
        phases = tuple(
            Phase(**{**vars(p), "weights": {a: w for a, w in p.weights.items() if a not in out}}) for p in self.phases
        )
        if any(sum(p.weights.values()) <= 0 for p in phases):
            raise MixError(f"mix {self.name}: nothing is left of a phase without {', '.join(out)}")
        return Mix(self.name, self.text, phases, self.arrivals), out


def names() -> list[str]:
    """The mixes of the kit."""
    folder = Path(str(files("matchmark.load"))) / "mixes"
    return [*sorted(path.stem for path in folder.glob("*.toml")), BITSTAMP]


def load_mix(name: str) -> Mix:
    """By name or path. MixError."""
    path = Path(name) if name.endswith(".toml") else Path(str(files("matchmark.load"))) / "mixes" / f"{name}.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MixError(
            f"mix {name}: there is none; one of {', '.join(names())} or the path of a file (FILE.toml)"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MixError(f"{path}: cannot be read: {error}") from None
    return _mix(path, table)


def _mix(path: Path, table: Mapping[str, Any]) -> Mix:
    if unknown := set(table) - {"text", "phases", "arrivals"}:
        raise MixError(f"{path}: unknown key {min(unknown)}; known: text, arrivals, phases")
    rows = table.get("phases")
    if not isinstance(rows, list) or not rows:
        raise MixError(f"{path}: needs at least one [[phases]]")
    phases = tuple(_phase(f"{path}: phase {n}", row) for n, row in enumerate(rows, 1))
    if abs(sum(p.share for p in phases) - 1) > 1e-6:
        raise MixError(f"{path}: the shares of the phases sum to {sum(p.share for p in phases):g}, not 1")
    arrivals = table.get("arrivals", {})
    if arrivals.get("kind", "poisson") not in KINDS:
        raise MixError(f"{path}: [arrivals] kind is one of {', '.join(KINDS)}")
    return Mix(path.stem, str(table.get("text", "")), phases, arrivals)


def _phase(where: str, row: Mapping[str, Any]) -> Phase:
    known = {field.name for field in fields(Phase)}
    if unknown := set(row) - known:
        raise MixError(f"{where}: unknown key {min(unknown)}; known: {', '.join(sorted(known))}")
    weights = row.get("weights")
    if not isinstance(weights, dict) or not weights or set(weights) - set(ACTIONS):
        raise MixError(f"{where}: [phases.weights] has numbers for some of {', '.join(ACTIONS)}")
    if any(not isinstance(w, int | float) or w < 0 for w in weights.values()) or sum(weights.values()) <= 0:
        raise MixError(f"{where}: weights are not below 0, and one is above")
    values = dict(row)
    for name, lowest in (("distance_ticks", 0), ("reach_ticks", 0), ("lots", 1)):
        if name in values:
            values[name] = _span(f"{where}: {name}", values[name], lowest)
    try:
        phase = Phase(**{"share": 1.0, **values})
        sound = 0 < phase.share <= 1 and 0 <= phase.sells <= 1 and phase.walk_ticks >= 0 and phase.drift_percent > -90
    except TypeError as error:
        raise MixError(f"{where}: {error}") from None
    if not sound:
        raise MixError(f"{where}: share is in (0, 1], sells in [0, 1], walk_ticks >= 0, drift_percent > -90")
    return phase


def _span(where: str, value: Any, lowest: int) -> tuple[int, int]:
    if not (isinstance(value, list) and len(value) == 2 and all(type(v) is int for v in value)):
        raise MixError(f"{where} is [LEAST, MOST] in whole numbers")
    if not lowest <= value[0] <= value[1]:
        raise MixError(f"{where}: {lowest} <= LEAST <= MOST")
    return value[0], value[1]
