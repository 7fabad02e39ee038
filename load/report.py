"""report.html of a load, a search for the knee or a comparison: one page that needs nothing but itself.

Drawn from the results alone: equal results give equal bytes. No script; a content security policy forbids any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from matchmark.load import charts
from matchmark.load.charts import Line
from matchmark.load.latency import show_ns
from matchmark.load.stats import mean_of
from matchmark.reports.plain import visible

ROWS = (
    ("response", "from the intended time to the first answer"),
    ("response/new", "of new orders"),
    ("response/cancel", "of cancels"),
    ("response/replace", "of replaces"),
    ("service", "from the sending to the first answer"),
    ("lateness", "from the intended time to the sending: the generator's own"),
)
NAMES = {"cores_ours": "cores that we may use", "steal_share": "taken by the hypervisor", "others_share": "used by others",
         "governor": "frequency governor", "virtual": "virtual machine"}  # fmt: skip
FINDINGS_SHOWN = 3
"""Of a kind."""
COLUMNS = ("p50", "p90", "p99", "p999", "p9999", "max")
HEADS = ("p50", "p90", "p99", "p99.9", "p99.99", "max")


def page(said: Mapping[str, Any]) -> str:
    """The page as text for a UTF-8 file."""
    draw = {"load": _load, "knee": _knee, "compare": _compare}[said["kind"]]
    machine = environment(said["environment"])
    return _environment().get_template("report.html").render(said=said, machine=machine, **draw(said))


def environment(said: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is known of the machine, in words."""
    rows = []
    for name, value in said.items():
        if name == "started":
            words = datetime.fromtimestamp(float(value), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        elif name.endswith("_share"):
            words = f"{value:.1%} of the processors' time"
        elif isinstance(value, bool):
            words = "yes" if value else "no"
        else:
            words = str(value)
        rows.append((NAMES.get(name, name.replace("_", " ")), words or "not known"))
    return rows


def _load(said: Mapping[str, Any]) -> dict[str, Any]:
    runs = [run for run in said["runs"] if run["measured"]]
    sections = []
    for n, run in enumerate(runs, 1):
        m = run["measured"]
        curves = dict(m["curves"])
        if run["floor"]:
            curves["floor"] = {p: run["floor"][f"{key}_ns"] for p, key in
                               (("50", "p50"), ("90", "p90"), ("99", "p99"), ("99.9", "p999"), ("99.99", "p9999"))}  # fmt: skip
        sections.append({
            "title": f"Run {n}" if len(runs) > 1 else "",
            "rows": latency_rows(run),
            "plots": [
                ("Latency by percentile", charts.by_percentile(curves)),
                ("Latency over time", charts.over_time(m["timeline"])),
                ("Offered and answered a second", charts.rates(m["timeline"])),
            ],
        })  # fmt: skip
    return {"title": f"Load on {_name(said['target'])}", "verdict": verdict(said), "headline": headline(runs),
            "facts": facts(said), "sections": sections, "tables": [],
            "findings": findings(said), "notes": notes(said)}  # fmt: skip


def headline(runs: Sequence[Mapping[str, Any]]) -> str:
    """What most readers came for, of the first run."""
    if not runs:
        return ""
    m, floor = runs[0]["measured"], runs[0]["floor"]
    response = m["latency"]["response"]
    beside = f", the floor's {show_ns(floor['p99_ns'])}" if floor else ""
    return (
        f"{m['offered_per_s']:,.0f} orders/s offered, {m['answered_per_s']:,.0f} answered; response p50 "
        f"{show_ns(response['p50_ns'])}, p99 {show_ns(response['p99_ns'])}{beside}"
    )


def latency_rows(run: Mapping[str, Any]) -> list[tuple[str, str, int, list[str]]]:
    """Name, meaning, count and percentiles in words; the floor behind the responses."""
    m = run["measured"]
    rows = []
    for name, meaning in ROWS:
        one = m["latency"].get(name)
        if name == "service" and run["floor"]:
            floor = [show_ns(run["floor"][f"{c}_ns"]) for c in COLUMNS]
            rows.append(("floor", "response of an echo, same schedule and generator", run["floor"]["count"], floor))
        if one and one["count"] and (name != "lateness" or m["open_loop"]):
            rows.append((name, meaning, one["count"], [show_ns(one[f"{c}_ns"]) for c in COLUMNS]))
    return rows


def verdict(said: Mapping[str, Any]) -> tuple[str, str]:
    """A class of the style sheet and a sentence."""
    wrong = [f for run in said.get("runs", []) for f in run["findings"]]
    trouble = [run["trouble"] for run in said.get("runs", []) if run["trouble"]]
    if wrong:
        return (
            "fail",
            f"Answers were wrong: {sum(f['count'] for f in wrong):,} findings. Speed counts for nothing then.",
        )
    if trouble:
        return "inconclusive", f"Ended early: {trouble[0]['text']}. What was measured until then is below."
    if not any(run["measured"] for run in said.get("runs", [])):
        return "inconclusive", "Nothing was measured."
    return "pass", "Every answer was right, as far as it was judged."


def facts(said: Mapping[str, Any]) -> list[tuple[str, str]]:
    runs = [run["measured"] for run in said["runs"] if run["measured"]]
    plan = said["plan"]
    loop = f"closed loop, {plan['window']} orders a session without an answer" if plan["window"] else "open loop"
    rows = [("Load", f"{plan['words']}; {loop}"), ("Seed", str(plan["seed"])), ("Sessions", str(plan["sessions"]))]
    if plan["warm_s"]:
        rows.append(("Warm-up", f"the first {plan['warm_s']:g} s are sent and judged, not measured"))
    if runs:
        rows += [
            ("Offered", f"{mean_of([m['offered_per_s'] for m in runs]).words()} orders/s"),
            ("Answered", f"{mean_of([m['answered_per_s'] for m in runs]).words()} orders/s"),
            ("Orders", f"{sum(m['sent'] for m in runs):,} sent, {sum(m['unanswered'] for m in runs):,} never answered, "
                       f"{sum(m['rejected'] for m in runs):,} rejected, {sum(m['held_by_target'] for m in runs):,} held up by "
                       "the target's socket"),
        ]  # fmt: skip
    judged = sum(run["judged"]["commands_against_the_model"] for run in said["runs"])
    records = sum(run["judged"]["log_records"] for run in said["runs"])
    rows.append(
        ("Judged", f"{judged:,} commands against the model" + (f", {records:,} log records" if records else ""))
    )
    return rows


def findings(said: Mapping[str, Any]) -> list[str]:
    """In words, those of a kind together: some of each, and how many more there are."""
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for run in said.get("runs", []):
        for f in run["findings"]:
            kinds.setdefault(f["kind"], []).append(f)
    out = []
    for kind, all_of in kinds.items():
        out += [
            f"{kind}: {f['text']}" + (f" ({', '.join(f['names'])})" if f["names"] else "")
            for f in all_of[:FINDINGS_SHOWN]
        ]
        if len(all_of) > FINDINGS_SHOWN:
            out.append(f"{kind}: {len(all_of) - FINDINGS_SHOWN} more; results.json has them")
    return out


def notes(said: Mapping[str, Any]) -> list[str]:
    runs = said.get("runs", [])
    out = [f"not judged: {text}" for run in runs for text in run["judged"]["left_out"]] + [
        t for r in runs for t in r["notes"]
    ]
    return list(dict.fromkeys(out))


# --- the knee ---


def _knee(said: Mapping[str, Any]) -> dict[str, Any]:
    searches = said["searches"]
    lines = []
    for n, one in enumerate(searches, 1):
        steps = sorted(one["steps"], key=lambda step: step["rate"])
        name = f"search {n} " if len(searches) > 1 else ""
        lines += [Line(f"{name}p99", [(s["rate"], s["p99_ns"]) for s in steps]),
                  Line(f"{name}p50", [(s["rate"], s["p50_ns"]) for s in steps], dashed=True)]  # fmt: skip
    tables = [
        {
            "title": f"Search {n}",
            "head": ("orders a second", "holds", "answered a second", "p50", "p99", "lateness p99", "why not"),
            "rows": [
                (f"{s['rate']:,.0f}", held(s), s["answered"], show_ns(s["p50_ns"]), s["p99"],
                 show_ns(s["lateness_p99_ns"]), s["why"])
                for s in one["steps"]
            ],
        }
        for n, one in enumerate(searches, 1)
    ]  # fmt: skip
    knee = said["knee"]
    mark = "fail" if said["findings"] else "pass" if knee["found"] else "inconclusive"
    return {
        "title": f"Knee of {_name(said['target'])}",
            "verdict": (mark, knee["words"]),
        "headline": "",
        "facts": [("Objective", said["slo"]), ("Load", said["plan"]["words"]), ("Seed", str(said["plan"]["seed"]))],
        "sections": [_plots(("Latency against offered load", charts.against_rate(lines, knee["rate"])))],
        "tables": tables,
        "findings": said["findings"],
        "notes": [one["ended"] for one in searches if one["ended"]],
    }  # fmt: skip


def held(step: Mapping[str, Any]) -> str:
    """Of a step's runs; those that others spoiled beside them."""
    left_out = step.get("left_out", 0)
    return f"{step['held']} of {step['trials']}" + (f" ({left_out} left out)" if left_out else "")


# --- a comparison ---


def _compare(said: Mapping[str, Any]) -> dict[str, Any]:
    curves = {name: curve for name, curve in said["curves"].items() if curve}
    rows = [
        (figure, *(_cell(figure, said["figures"][n].get(figure, [])) for n in said["names"]), said["ratios"].get(figure, ""))
        for figure in said["order"]
    ]  # fmt: skip
    return {
        "title": "Comparison",
        "verdict": ("pass" if not said["differences"] else "inconclusive", said["words"]),
        "headline": "",
        "facts": [(name, text) for name, text in said["descriptions"].items()],
        "sections": [_plots(("Response by percentile", charts.by_percentile(curves)))],
        "tables": [{"title": "Figures", "head": ("", *said["names"], "last / first"), "rows": rows}],
        "findings": [],
        "notes": said["differences"],
    }


def _plots(*plots: tuple[str, str]) -> dict[str, Any]:
    return {"title": "", "rows": [], "plots": list(plots)}


def _cell(figure: str, values: list[float]) -> str:
    if not values:
        return "–"
    mean = mean_of(values)
    if figure.endswith(("a second", " mb", " descriptors")):
        return mean.words()
    return show_ns(mean.value) + ("" if mean.half is None else f" ± {show_ns(mean.half)}")


# --- the template ---


def _name(target: Mapping[str, Any]) -> str:
    return f"{target['name']} {target['version']}"


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FunctionLoader(_asset), autoescape=True, undefined=StrictUndefined, finalize=_shown,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.globals["columns"] = HEADS
    made.globals["style"] = Markup(_asset("certificate.css", "matchmark.reports") + _asset("report.css"))
    made.filters["svg"] = Markup
    return made


def _shown(value: object) -> object:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _asset(name: str, package: str = "matchmark.load") -> str:
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")
