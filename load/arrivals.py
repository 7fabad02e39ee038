"""When orders are due: schedules of arrivals, drawn from a seed before the run and never slowed by answers.

A schedule is an array of intended times, shape (n,), int64 nanoseconds from the start of the run, never descending. The same
arguments and seed give the same array on any machine. What is sent is another matter (flow.py), what came of it another
(cannon.py); nothing here reads a clock.

    constant    evenly spaced                     step     a rate, then another, and so on
    poisson     independent, exponential gaps     ramp     from one rate to another, linearly
    recorded    as they were, at a speed-up       burst    a base rate with bursts of n at once, periodically
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.int64]
NS = 1_000_000_000
ARRIVALS_MAX = 50_000_000
"""Of one schedule: what the arrays of a run hold in memory (docs/load.md)."""


class ScheduleError(ValueError):
    """What was asked for is no schedule; the text says why."""


def constant(rate: float, seconds: float) -> Times:
    """`rate` a second, evenly spaced, the first at 0."""
    n = _count(rate * seconds, rate, seconds)
    return (np.arange(n) * (NS / rate)).astype(np.int64)


def poisson(rate: float, seconds: float, seed: int) -> Times:
    """Gaps are exponential with mean 1/rate: about rate x seconds arrivals. What independent clients make together."""
    _count(rate * seconds, rate, seconds)
    return _thinned(rate, rate, seconds, seed)


def ramp(start: float, end: float, seconds: float, seed: int | None = None) -> Times:
    """The rate goes from `start` to `end`. Without a seed the gaps are what the rate says, with one they are Poisson's."""
    mean = (start + end) / 2 * seconds
    n = _count(mean, max(start, end), seconds)
    if start < 0 or end < 0:
        raise ScheduleError("a rate is not below 0")
    if seed is not None:
        return _thinned(start, end, seconds, seed)
    count = np.arange(n, dtype=np.float64)
    slope = (end - start) / seconds
    if abs(slope) < 1e-9:
        return constant(start, seconds)
    at = (np.sqrt(start * start + 2 * slope * count) - start) / slope
    return np.minimum(at * NS, seconds * NS).astype(np.int64)


def step(rates: Sequence[float], seconds_each: float, seed: int | None = None) -> Times:
    """Each rate for so long, one after the other."""
    if not rates:
        raise ScheduleError("steps need at least one rate")
    parts = []
    for n, rate in enumerate(rates):
        part = constant(rate, seconds_each) if seed is None else poisson(rate, seconds_each, seed + n)
        parts.append(part + int(n * seconds_each * NS))
    return np.concatenate(parts)


def burst(rate: float, seconds: float, size: int, every_s: float, seed: int | None = None) -> Times:
    """`rate` a second, and `size` more at the same instant each `every_s`: the first after one period."""
    if size < 1 or every_s <= 0:
        raise ScheduleError("bursts have at least one order and more than 0 seconds between them")
    base = constant(rate, seconds) if seed is None else poisson(rate, seconds, seed)
    bursts = np.arange(1, int(seconds / every_s) + 1) * every_s
    bursts = bursts[bursts < seconds]
    _count(len(base) + len(bursts) * size, rate, seconds)
    extra = np.repeat((bursts * NS).astype(np.int64), size)
    return np.sort(np.concatenate([base, extra]), kind="stable")


def recorded(times_ns: npt.ArrayLike, speed: float = 1.0) -> Times:
    """Gaps as they were, `speed` times as fast; the first is at 0. Times that go back are refused: they are no record."""
    times = np.asarray(times_ns, dtype=np.int64)
    if speed <= 0:
        raise ScheduleError("a speed-up is above 0")
    if len(times) and (np.diff(times) < 0).any():
        raise ScheduleError("recorded times go back")
    if len(times) > ARRIVALS_MAX:
        raise ScheduleError(f"{len(times):,} arrivals are more than {ARRIVALS_MAX:,}")
    return ((times - times[0]) / speed).astype(np.int64) if len(times) else times


def _count(expected: float, rate: float, seconds: float) -> int:
    if not (np.isfinite(expected) and rate > 0 and seconds > 0):
        raise ScheduleError(f"a rate of {rate:g}/s for {seconds:g} s is no schedule: both are above 0")
    if expected > ARRIVALS_MAX:
        raise ScheduleError(f"{expected:,.0f} arrivals are more than {ARRIVALS_MAX:,}: a lower rate, or a shorter time")
    return max(1, round(expected))


def _thinned(start: float, end: float, seconds: float, seed: int) -> Times:
    """Poisson arrivals of a rate that changes linearly: those of the highest rate, each kept by the share of its moment."""
    draw, peak = np.random.default_rng(seed), max(start, end)
    at, last = [], 0.0
    while last < seconds:
        gaps = draw.exponential(1 / peak, max(16, int((seconds - last) * peak * 1.02)))
        times = last + np.cumsum(gaps)
        at.append(times)
        last = float(times[-1])
    times = np.concatenate(at)
    times = times[times < seconds]
    if start != end:
        share = (start + (end - start) * times / seconds) / peak
        times = times[draw.random(len(times)) < share]
    return (times * NS).astype(np.int64)


# --- in words ---

KINDS = ("constant", "poisson", "step", "ramp", "burst")


@dataclass(frozen=True)
class Arrivals:
    """A schedule as it is asked for: `kind` of KINDS (recorded ones come with their flow), `rate` a second, and what it needs
    beside: `rates` of steps, `rate_end` of a ramp, `size` and `every_s` of bursts. `random`: gaps are Poisson's where the kind
    leaves a choice."""

    kind: str = "poisson"
    rate: float = 10_000.0
    seconds: float = 10.0
    rate_end: float = 0.0
    rates: tuple[float, ...] = ()
    size: int = 500
    every_s: float = 1.0
    random: bool = True

    def times(self, seed: int) -> Times:
        """ScheduleError when there is no such schedule."""
        own = seed if self.random else None
        if self.kind == "constant":
            return constant(self.rate, self.seconds)
        if self.kind == "poisson":
            return poisson(self.rate, self.seconds, seed)
        if self.kind == "step":
            rates = self.rates or (self.rate,)
            return step(rates, self.seconds / len(rates), own)
        if self.kind == "ramp":
            return ramp(self.rate, self.rate_end or 2 * self.rate, self.seconds, own)
        if self.kind == "burst":
            return burst(self.rate, self.seconds, self.size, self.every_s, own)
        raise ScheduleError(f"arrivals {self.kind!r}: one of {', '.join(KINDS)}")

    @property
    def words(self) -> str:
        more = {
            "step": f", rates {', '.join(f'{rate:,.0f}' for rate in self.rates)}/s",
            "ramp": f" to {self.rate_end or 2 * self.rate:,.0f}/s",
            "burst": f", {self.size} at once each {self.every_s:g} s",
        }.get(self.kind, "")
        return f"{self.kind}, {self.rate:,.0f}/s{more}, {self.seconds:g} s"
