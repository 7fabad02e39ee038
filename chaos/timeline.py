"""The timeline of a game day as a picture (SVG): of each episode the orders acknowledged over time, and when what struck."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from matchmark.chaos.episode import Outcome
from matchmark.chaos.readers.kills import ROLES
from matchmark.chaos.recovery import Recovery

BIN_S = 0.05
LANE, GAP, LEFT, TOP, WIDTH = 46, 22, 230, 64, 900
COLOURS = {"kill": "#c2410c", "cut": "#b91c1c", "pause": "#7c3aed", "disk": "#1d4ed8"}
READERS = dict(zip(ROLES, ("#c2410c", "#1d4ed8", "#7c3aed", "#b91c1c", "#0f766e", "#0891b2", "#a16207"), strict=True))
OTHER = "#0f766e"
LABELS_MAX = 8
"""Faults of a lane that are named there; of more the words can be pointed at."""


@dataclass(frozen=True)
class Lane:
    """An episode: orders acknowledged in each BIN_S since its first, its faults in seconds since then."""

    title: str
    clean: bool
    acknowledged: list[int]
    marks: list[tuple[float, float, str, str]]
    """When, for how long nobody could trade or readers were behind, the fault (of readers: the role), and what is said of it."""


def lane_of(outcome: Outcome) -> Lane | None:
    """None when nothing was sent. The outcome must have its evidence."""
    e = outcome.evidence
    if e is None or not len(e.sent.orders):
        return None
    told = e.sent.orders["acknowledged_ns"]
    told = told[told > 0].astype(np.int64)
    zero = int(e.sent.orders["sent_ns"].min())
    seconds = (told - zero) / 1e9
    bins = max(1, int(seconds.max() / BIN_S) + 1 if len(seconds) else 1)
    counts = np.bincount((seconds / BIN_S).astype(np.int64), minlength=bins)
    marks = [_mark(recovery, zero) for recovery in outcome.recoveries]
    title = f"{outcome.plan.scenario}, {outcome.plan.storage}"
    return Lane(f"{title}\n{outcome.plan.target}", not outcome.found, [int(n) for n in counts], marks)


def _mark(recovery: Recovery, zero: int) -> tuple[float, float, str, str]:
    fault, gap = recovery.fault, recovery.gap_ns
    if fault.role in READERS:
        took = f"caught up in {fault.caught_up_ns / 1e6:.0f} ms" if fault.caught_up_ns else "never caught up"
        return (fault.at_ns - zero) / 1e9, fault.caught_up_ns / 1e9, fault.role, f"{fault.fault} {fault.role}: {took}"
    words = f"{fault.fault} {fault.role} {fault.detail}".strip()
    took = "never traded again" if gap is None else f"{gap / 1e6:.0f} ms"
    return (fault.at_ns - zero) / 1e9, (gap or 0) / 1e9, fault.fault, f"{words}: {took}"


def svg(lanes: Sequence[Lane], title: str) -> str:
    """The whole picture."""
    longest = max((len(lane.acknowledged) for lane in lanes), default=1) * BIN_S
    scale = WIDTH / longest
    height = TOP + len(lanes) * (LANE + GAP) + 30
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 20}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="12" y="24" font-size="16" font-weight="600">{escape(title)}</text>',
        *_legend({key for lane in lanes for _, _, key, _ in lane.marks}),
    ]
    for n, lane in enumerate(lanes):
        out += _lane(lane, TOP + n * (LANE + GAP), scale)
    out += _axis(longest, scale, height - 16)
    return "\n".join([*out, "</svg>\n"])


def _legend(keys: set[str]) -> list[str]:
    out, x = [], LEFT
    readers = [(role, colour) for role, colour in READERS.items() if role in keys]
    others = [*COLOURS.items(), ("other", OTHER)] if keys - READERS.keys() or not readers else []
    for name, colour in (*others, *readers):
        out.append(
            f'<rect x="{x}" y="36" width="10" height="10" fill="{colour}"/><text x="{x + 14}" y="45">{name}</text>'
        )
        x += 24 + 7 * len(name) if readers else 70
    shaded = "nobody could trade" if others else "readers were behind"
    words = f"area: orders acknowledged; shaded: {shaded}"
    return [*out, f'<text x="{x + 10}" y="45" fill="#555">{words}</text>']


def _lane(lane: Lane, y: float, scale: float) -> list[str]:
    peak = max(max(lane.acknowledged, default=1), 1)
    base = y + LANE
    points = [f"{LEFT},{base}"]
    for n, count in enumerate(lane.acknowledged):
        top = base - LANE * count / peak
        points += [f"{LEFT + n * BIN_S * scale:.1f},{top:.1f}", f"{LEFT + (n + 1) * BIN_S * scale:.1f},{top:.1f}"]
    points.append(f"{LEFT + len(lane.acknowledged) * BIN_S * scale:.1f},{base}")
    first, _, second = lane.title.partition("\n")
    colour = "#15803d" if lane.clean else "#b91c1c"
    out = [
        f'<text x="12" y="{y + 16}" font-weight="600">{escape(first)}</text>',
        f'<text x="12" y="{y + 32}" fill="#555">{escape(second)}</text>',
        f'<text x="{LEFT - 12}" y="{y + 16}" text-anchor="end" fill="{colour}">{"clean" if lane.clean else "FINDINGS"}</text>',
        f'<text x="{LEFT - 12}" y="{y + 32}" text-anchor="end" fill="#555">{peak / BIN_S:,.0f}/s</text>',
        f'<polygon points="{" ".join(points)}" fill="#93c5fd"/>',
    ]
    for at, gap, fault, words in lane.marks:
        x, ink = LEFT + at * scale, READERS.get(fault) or COLOURS.get(fault, OTHER)
        label = escape(words) if len(lane.marks) <= LABELS_MAX else ""
        out.append(
            f'<g><title>{escape(words)}</title><rect x="{x:.1f}" y="{y}" width="{max(gap * scale, 1):.1f}" height="{LANE}" '
            f'fill="{ink}" opacity="0.15"/><line x1="{x:.1f}" x2="{x:.1f}" y1="{y - 4}" y2="{base}" stroke="{ink}" '
            f'stroke-width="1.5"/><text x="{x + 3:.1f}" y="{y - 2}" font-size="10" fill="{ink}">{label}</text></g>'
        )
    return [*out, f'<line x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{base}" y2="{base}" stroke="#ccc"/>']


def _axis(longest: float, scale: float, y: float) -> list[str]:
    step = next((s for s in (0.5, 1, 2, 5, 10, 20, 60) if longest / s <= 15), 120)
    at, out = 0.0, []
    while at <= longest:
        out.append(f'<text x="{LEFT + at * scale:.1f}" y="{y}" text-anchor="middle" fill="#555">{at:g} s</text>')
        at += step
    return out
