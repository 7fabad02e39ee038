"""What is sent: shots for the cannon, drawn from a mix and a seed before the run, or taken from the Bitstamp recording.

Cancels and replaces name recent orders of their own session, which may be over by then, as anyone's may. With `own` symbols each
session trades one that nobody else does: then the order in which the exchange took its orders is known, and the answers can be
held against the model command by command (judge.py). With shared ones sessions trade with each other.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from matchmark.load import bitstamp
from matchmark.load.arrivals import Times, recorded
from matchmark.load.mix import ACTIONS, Mix, Phase
from matchmark.load.shots import CANCEL, IMMEDIATE, MARKET, NEW, REPLACE, SELLS, SHOT, Array

RECENT = 32
"""Orders of a session that a cancel or replace picks from: what a client has open, more or less."""
PER_WALK = 100

Ints = npt.NDArray[np.int64]
PASSIVE, CROSSING, IOC, MARKET_ORDER, CANCELS, REPLACES = range(len(ACTIONS))


@dataclass(frozen=True)
class Place:
    """Where a flow trades: `own` symbols, session n symbol n and nobody else's, or shared ones."""

    sessions: int
    symbols: int
    own: bool = True
    middle_ticks: int = 10_000

    def __post_init__(self) -> None:
        if self.own and self.symbols < self.sessions:
            raise ValueError(f"{self.sessions} sessions with symbols of their own need as many, not {self.symbols}")


def shots_of(mix: Mix, times: Times, place: Place, seed: int) -> Array:
    """SHOT, shape (n,), in the order of `times`: the same for the same arguments."""
    draw = np.random.default_rng([seed, 1])
    n = len(times)
    shots = np.zeros(n, dtype=SHOT)
    shots["at_ns"] = times
    shots["session"] = draw.integers(0, place.sessions, n)
    shots["symbol"] = shots["session"] if place.own else draw.integers(0, place.symbols, n)
    actions = np.zeros(n, dtype=np.int64)
    middle = np.empty(n)
    level, first = float(place.middle_ticks), 0
    for number, phase in enumerate(mix.phases):
        last = n if number == len(mix.phases) - 1 else min(n, first + round(n * phase.share))
        part = slice(first, last)
        level = _phase(phase, shots[part], actions[part], middle[part], level, place.middle_ticks, draw)
        first = last
    _link(shots, actions, random.Random(seed))
    return shots


def _phase(
    p: Phase, shots: Array, actions: Ints, middle: npt.NDArray[np.float64], level: float, base: int, draw: np.random.Generator
) -> float:  # fmt: skip
    """Fills one phase in; where the middle is at its end."""
    n = len(shots)
    if not n:
        return level
    weights = np.array([p.weights.get(action, 0.0) for action in ACTIONS])
    actions[:] = draw.choice(len(ACTIONS), n, p=weights / weights.sum())
    drift = base * p.drift_percent / 100 * np.linspace(0, 1, n)
    walk = np.cumsum(draw.normal(0, p.walk_ticks / PER_WALK**0.5, n))
    middle[:] = np.maximum(level + drift + walk, 1)
    sells = draw.random(n) < p.sells
    behind = draw.integers(p.distance_ticks[0], p.distance_ticks[1] + 1, n)
    over = draw.integers(p.reach_ticks[0], p.reach_ticks[1] + 1, n)
    rests = (actions == PASSIVE) | (actions == REPLACES)
    away = np.where(rests, behind, -over)
    shots["price_ticks"] = np.maximum(np.round(middle).astype(np.int64) + np.where(sells, away, -away), 1)
    shots["lots"] = draw.integers(p.lots[0], p.lots[1] + 1, n)
    shots["op"] = np.choose(actions, [NEW, NEW, NEW, NEW, CANCEL, REPLACE])
    shots["flags"] = np.where(sells, SELLS, 0)
    shots["flags"] |= np.choose(actions, [0, 0, IMMEDIATE, MARKET, 0, 0]).astype(np.uint8)
    shots["price_ticks"][actions == MARKET_ORDER] = 0
    return float(middle[-1])


def _link(shots: Array, actions: Ints, chance: random.Random) -> None:
    """Gives each cancel and replace an order of its session and symbol; one that finds none becomes a passive order."""
    recent: dict[tuple[int, int], list[tuple[int, int]]] = {}
    numbers: dict[int, int] = {}
    flags, lots, orig, op = (shots[name].tolist() for name in ("flags", "lots", "orig", "op"))
    sessions, symbols = shots["session"].tolist(), shots["symbol"].tolist()
    for i, action in enumerate(actions.tolist()):
        session = sessions[i]
        number = numbers.get(session, 0)
        numbers[session] = number + 1
        if action in (IOC, MARKET_ORDER):
            continue
        there = recent.setdefault((session, symbols[i]), [])
        if action in (CANCELS, REPLACES) and there:
            orig[i], before = there.pop(chance.randrange(len(there)))
            flags[i] = flags[before] & SELLS
            if action == CANCELS:
                lots[i] = lots[before]
                continue
        elif action in (CANCELS, REPLACES):
            op[i] = NEW
        there.append((number, i))
        if len(there) > RECENT:
            there.pop(0)
    shots["flags"], shots["lots"], shots["orig"], shots["op"] = flags, lots, orig, op


# --- the recording ---


def bitstamp_shots(place: Place, speed: float, most: int | None = None) -> Array:
    """The Bitstamp flow at `speed` times its own pace, its orders dealt out to the sessions by their id, all in symbol 0; `most`
    of its events. Gaps of the recording longer than an hour of the venue stay what they are: take fewer events, or more speed."""
    flow = bitstamp.events()
    if most is not None:
        flow = flow.head(most)
    shots = np.zeros(len(flow), dtype=SHOT)
    times = np.maximum.accumulate(flow["timestamp_ms"].to_numpy(dtype=np.int64))
    shots["at_ns"] = recorded(times * 1_000_000, speed)
    shots["session"] = flow["id"].to_numpy(dtype=np.int64) % place.sessions
    shots["price_ticks"], shots["lots"] = flow["ticks"], flow["lots"]
    shots["flags"] = np.where(flow["direction"] == "bid", 0, SELLS)
    _name_recorded(shots, flow["id"].tolist(), flow["action"].tolist())
    return shots


def _name_recorded(shots: Array, ids: Sequence[int], actions: Sequence[str]) -> None:
    """An order that is changed goes by its newest number; what is about one that the recording never created is left as a new
    order for `changed` and as a cancel of the session's first order for `deleted`: something to refuse or to find over."""
    current: dict[int, int] = {}
    numbers: dict[int, int] = {}
    sessions = shots["session"].tolist()
    op, orig = [0] * len(ids), [0] * len(ids)
    for i, (venue_id, action) in enumerate(zip(ids, actions, strict=True)):
        number = numbers.get(sessions[i], 0)
        numbers[sessions[i]] = number + 1
        before = current.get(venue_id)
        if action == "deleted":
            op[i], orig[i] = CANCEL, before or 0
            current.pop(venue_id, None)
        else:
            op[i], orig[i] = (NEW, 0) if action == "created" or before is None else (REPLACE, before)
            current[venue_id] = number
    shots["op"], shots["orig"] = op, orig
