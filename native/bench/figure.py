"""One measured figure beside what was wanted and what it could be at best: a row of the table that `make bench` ends with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """`value` in `unit`; `wanted` 0 when nothing was asked for. `floor`: the best that the same run saw, in words."""

    name: str
    value: float
    unit: str
    wanted: float = 0
    at_most: bool = False
    floor: str = ""

    @property
    def reached(self) -> bool:
        return not self.wanted or (self.value <= self.wanted if self.at_most else self.value >= self.wanted)


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(figures: Sequence[Figure]) -> str:
    """Text, a line a figure; SHORT marks those that were not reached."""
    width = max(len(f.name) for f in figures)
    lines = [f"{'figure':{width}}{'measured':>12}{'wanted':>14}        beside it"]
    for f in figures:
        wanted = f"{'at most' if f.at_most else 'at least'} {number(f.wanted)}" if f.wanted else ""
        verdict = "" if not f.wanted else "ok" if f.reached else "SHORT"
        lines.append(f"{f.name:{width}}{number(f.value):>12} {f.unit:9}{wanted:>17}  {verdict:6} {f.floor}".rstrip())
    short = sum(not f.reached for f in figures)
    lines.append(f"{len(figures)} figures, {short} short of what was wanted")
    return "\n".join(lines)
