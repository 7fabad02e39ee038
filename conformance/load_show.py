"""What a load prints when it is over: tables of latency, of a search's steps, what was judged and what was wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from matchmark.load import result
from matchmark.load.report import HEADS, findings, held, latency_rows, notes, verdict
from matchmark.load.run import Outcome
from matchmark.load.stats import Slo


def show_load(console: Console, said: dict[str, Any], outcomes: Sequence[Outcome], slo: Slo | None) -> bool:
    """Prints the tables; whether the objective broke."""
    runs = [run for run in said["runs"] if run["measured"]]
    for n, one in enumerate(runs, 1):
        m = one["measured"]
        table = Table(title=f"run {n}" if len(runs) > 1 else None, box=None, padding=(0, 1, 0, 0))
        table.add_column("", no_wrap=True)
        for head in ("orders", *HEADS):
            table.add_column(head, justify="right", no_wrap=True)
        for name, _, count, values in latency_rows(one):
            whole, part, operation = name.partition("/")
            table.add_row(f"  {operation}" if part else whole, f"{count:,}", *values)
        console.print(table)
        console.print(
            f"offered {m['offered_per_s']:,.0f}/s, answered {m['answered_per_s']:,.0f}/s; {m['unanswered']:,} never answered, "
            f"{m['rejected']:,} rejected, {m['held_by_target']:,} held up by the target's socket",
            soft_wrap=True,
        )
        judged = one["judged"]
        console.print(
            f"judged: {judged['commands_against_the_model']:,} commands against the model, {judged['log_records']:,} log records"
        )
    if len(runs) > 1:
        frame = result.comparison({"mean": said})
        console.print(frame.to_string(float_format=lambda value: f"{value:,.1f}"), markup=False)
    for text in said["warnings"]:
        console.print(f"warning: {text}", markup=False, soft_wrap=True)
    for text in (*notes(said), *findings(said)):
        console.print(text, markup=False, soft_wrap=True)
    mark, words = verdict(said)
    console.print(
        words, markup=False, style={"fail": "red", "inconclusive": "yellow", "pass": "green"}[mark], soft_wrap=True
    )
    broken = [why for o in outcomes if slo and o.measured and (why := slo.broken(o.measured.histograms["response"]))]
    for why in broken:
        console.print(f"objective broken: {why}", markup=False, style="red")
    return bool(broken)


def show_knee(console: Console, said: dict[str, Any]) -> None:
    for n, one in enumerate(said["searches"], 1):
        table = Table(title=f"search {n}", box=None, padding=(0, 1, 0, 0))
        for head in ("orders/s", "holds", "answered/s", "p99", "lateness p99", "why not"):
            table.add_column(head, justify="left" if head == "why not" else "right")
        for s in one["steps"]:
            late = f"{s['lateness_p99_ns'] / 1000:,.0f} us"
            table.add_row(f"{s['rate']:,.0f}", held(s), s["answered"], s["p99"], late, s["why"])
        console.print(table)
    console.print(f"floor (echo, same generator): p99 {said['floor_p99_ns'] / 1000:,.1f} us", markup=False)
    for text in said["warnings"]:
        console.print(f"warning: {text}", markup=False, soft_wrap=True)
    console.print(
        said["knee"]["words"], markup=False, soft_wrap=True, style="green" if said["knee"]["found"] else "yellow"
    )
