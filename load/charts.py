"""Plots of a load as SVG, in the page's own ink: latency by percentile, over time, throughput against latency.

Axes of latency are logarithmic: from a microsecond to a second is six decades, and all of them matter. Nothing is fetched, and
nothing runs: the text of a plot is in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from matchmark.load.latency import show_ns

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 860, 300, 74, 40, 14, 16
INKS = ("#1f6feb", "#c2410c", "#0f766e", "#7c3aed", "#a16207", "#be123c")


@dataclass(frozen=True)
class Line:
    """`points` in data units, x ascending; `dashed` for what is only to compare with."""

    name: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


@dataclass(frozen=True)
class Axis:
    low: float
    high: float
    log: bool
    ticks: Sequence[tuple[float, str]]

    def share(self, value: float) -> float:
        """Where a value is, from 0 to 1."""
        if self.log:
            low, high, value = math.log10(self.low), math.log10(self.high), math.log10(max(value, self.low))
            return (value - low) / (high - low)
        return (value - self.low) / (self.high - self.low or 1)


def by_percentile(curves: dict[str, dict[str, int]]) -> str:
    """x: percentiles, in nines; `curves` by name, ns by percentile as text."""
    lines = []
    for name, curve in curves.items():
        points = [(_nines(float(p)), float(ns)) for p, ns in curve.items() if float(p) < 100]
        lines.append(Line(name, [p for p in points if p[1] > 0], name == "floor"))
    lines = [line for line in lines if line.points]
    if not lines:
        return ""
    most = max(x for line in lines for x, _ in line.points)
    marks = [(_nines(p), f"{p:g} %") for p in (0, 50, 90, 99, 99.9, 99.99, 99.999) if _nines(p) <= most + 0.01]
    return _plot(lines, Axis(0, most, False, marks), "percentile of orders")


def over_time(timeline: dict[str, list[float]]) -> str:
    seconds = timeline["second"]
    lines = [
        Line(name, [(s, us * 1000) for s, us in zip(seconds, timeline[key], strict=True) if us > 0])
        for name, key in (("p50", "p50_us"), ("p99", "p99_us"), ("max", "max_us"))
    ]
    lines = [line for line in lines if line.points]
    return _plot(lines, _linear(seconds[-1] if seconds else 1, "s"), "second in which orders were due") if lines else ""


def rates(timeline: dict[str, list[float]]) -> str:
    seconds = timeline["second"]
    lines = [
        Line(name, list(zip(seconds, timeline[key], strict=True)), name == "offered")
        for name, key in (("offered", "offered_per_s"), ("answered", "answered_per_s"))
    ]
    most = max([1.0, *(y for line in lines for _, y in line.points)])
    step = _step(most)
    marks = [(n * step, f"{n * step:,.0f}") for n in range(int(most * 1.05 / step) + 1)]
    y = Axis(0, most * 1.05, False, marks)
    return _plot(lines, _linear(seconds[-1] if seconds else 1, "s"), "second", y)


def against_rate(lines: Sequence[Line], knee: float = 0.0) -> str:
    """x: orders a second; y: ns. `knee` is marked, where there is one."""
    lines = [Line(line.name, [p for p in line.points if p[1] > 0], line.dashed) for line in lines]
    lines = [line for line in lines if line.points]
    if not lines:
        return ""
    most = max(x for line in lines for x, _ in line.points)
    mark = (knee, f"knee {knee:,.0f}/s") if knee else None
    return _plot(lines, _linear(most, ""), "orders a second, offered", mark=mark)


# --- drawing ---


def _nines(percent: float) -> float:
    return -math.log10(max(1 - percent / 100, 1e-7))


def _step(most: float) -> float:
    size = 10.0 ** math.floor(math.log10(max(most, 1e-9)))
    return float(next((size * f for f in (0.1, 0.2, 0.5, 1, 2) if most / (size * f) <= 8), size * 2))


def _linear(most: float, unit: str) -> Axis:
    most = most or 1
    step = _step(most)
    ticks = [(n * step, f"{n * step:,.10g} {unit}".strip()) for n in range(int(most / step + 1e-9) + 1)]
    return Axis(0, most, False, ticks)


def _latency_axis(lines: Sequence[Line]) -> Axis:
    values = [y for line in lines for _, y in line.points]
    low, high = 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values)) + 1e-9)
    high = high if high > low else low * 10
    marks, at = [], float(low)
    while at <= high * 1.001:
        marks.append((at, show_ns(at).replace(".00", "").replace(".0", "")))
        at *= 10
    return Axis(low, high, True, marks)


def _plot(
    lines: Sequence[Line], x: Axis, title: str, y: Axis | None = None, mark: tuple[float, str] | None = None
) -> str:
    y = y or _latency_axis(lines)
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def at_x(value: float) -> float:
        return LEFT + wide * x.share(value)

    def at_y(value: float) -> float:
        return TOP + high * (1 - y.share(value))

    out = [
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT + 22}" role="img" aria-label="{escape(title)}" font-size="12">',
    ]
    for value, label in y.ticks:
        out.append(f'<path class="grid" d="M{LEFT} {at_y(value):.1f}H{WIDTH - RIGHT}"/>')
        out.append(f'<text x="{LEFT - 8}" y="{at_y(value) + 4:.1f}" text-anchor="end">{escape(label)}</text>')
    for value, label in x.ticks:
        out.append(f'<path class="grid" d="M{at_x(value):.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
        out.append(
            f'<text x="{at_x(value):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{escape(label)}</text>'
        )
    out.append(
        f'<text x="{LEFT + wide / 2}" y="{HEIGHT - 6}" text-anchor="middle" class="axis-title">{escape(title)}</text>'
    )
    if mark:
        out.append(f'<path class="mark" d="M{at_x(mark[0]):.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
        out.append(
            f'<text x="{at_x(mark[0]) - 5:.1f}" y="{TOP + 12}" text-anchor="end" class="mark">{escape(mark[1])}</text>'
        )
    legend = LEFT
    for n, line in enumerate(lines):
        ink, dash = INKS[n % len(INKS)], ' stroke-dasharray="5 4"' if line.dashed else ""
        path = " ".join(f"{at_x(px):.1f},{at_y(py):.1f}" for px, py in line.points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{ink}" stroke-width="1.8"{dash}/>')
        if len(line.points) < 30:
            out += [f'<circle cx="{at_x(px):.1f}" cy="{at_y(py):.1f}" r="2.6" fill="{ink}"/>' for px, py in line.points]
        row = HEIGHT + 12
        out.append(f'<path d="M{legend} {row - 4}h22" stroke="{ink}" stroke-width="2.4"{dash}/>')
        out.append(f'<text x="{legend + 28}" y="{row}">{escape(line.name)}</text>')
        legend += 46 + 7 * len(line.name)
    return "\n".join([*out, "</svg>"])
