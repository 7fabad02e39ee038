"""The run folder of a load: results.json, latency.hlog, latency.csv, timeline.csv and report.html; and tables of them in pandas.

results.json is what `compare` and `report` read again; its keys are in docs/load.md. latency.hlog has the histograms themselves:
several folders, of processes or machines, merge without loss.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from matchmark.load import measure
from matchmark.load.latency import Latencies, merge_logs, write_log
from matchmark.load.run import Outcome, Plan
from matchmark.load.stats import mean_of
from matchmark.reports.redact import Redactor

VERSION = 1
RESULTS, HISTOGRAMS, PAGE = "results.json", "latency.hlog", "report.html"
COLUMNS = ("count", "p50_ns", "p90_ns", "p99_ns", "p999_ns", "p9999_ns", "max_ns")


class ResultError(Exception):
    """No run folder, or one of another version; the text names the file."""


def document(
    target: Mapping[str, str], plan: Plan, outcomes: Sequence[Outcome], environment: Mapping[str, Any], warnings: Sequence[str]
) -> dict[str, Any]:  # fmt: skip
    """Of one or more repetitions of a plan."""
    late = [m.late for o in outcomes if (m := o.measured) is not None and m.late]
    return {
        "version": VERSION,
        "kind": "load",
        "target": dict(target),
        "plan": {**asdict(plan), "words": f"{plan.mix}, {plan.arrivals.words}"},
        "runs": [run_document(o) for o in outcomes],
        "environment": dict(environment),
        "warnings": [*warnings, *dict.fromkeys(late)],
    }


def run_document(o: Outcome) -> dict[str, Any]:
    counts = asdict(o.counts) if o.counts else {}
    return {
        "measured": measure.document(o.measured) if o.measured else None,
        "floor": vars(o.floor.summary()) if o.floor else None,
        "trouble": asdict(o.trouble) if o.trouble else None,
        "findings": [asdict(finding) for finding in o.judgement.findings],
        "judged": {
            "commands_against_the_model": o.judgement.judged,
            "log_records": o.judgement.records,
            "left_out": o.judgement.left_out,
        },
        "notes": o.notes,
        "disturbed": round(o.disturbed, 4),
        "resources": o.resources,
        "counts": counts,
    }


def cleaned(said: Mapping[str, Any], redactor: Redactor) -> dict[str, Any]:
    """Without secrets: a target's own words are in it."""
    without: dict[str, Any] = json.loads(redactor.text(json.dumps(said)))
    return without


def histograms_of(outcomes: Sequence[Outcome]) -> dict[str, Latencies]:
    """Of all repetitions together, with the floor as `floor`."""
    merged: dict[str, Latencies] = {}
    for o in outcomes:
        parts = dict(o.measured.histograms) if o.measured else {}
        if o.floor is not None:
            parts["floor"] = o.floor
        for name, one in parts.items():
            merged.setdefault(name, Latencies()).merge(one)
    return merged


def write(folder: Path, said: Mapping[str, Any], histograms: Mapping[str, Latencies]) -> None:
    """All files of the folder."""
    from matchmark.load.report import page

    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESULTS).write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    if histograms:
        seconds = max([float(r["measured"]["seconds"]) for r in said.get("runs", []) if r["measured"]] or [0.0])
        write_log(folder / HISTOGRAMS, histograms, float(said["environment"].get("started", 0.0)), seconds)
        latency_table(histograms).to_csv(folder / "latency.csv")
        times = timeline_table(said)
        if len(times):
            times.to_csv(folder / "timeline.csv", index=False)
    (folder / PAGE).write_text(page(said), encoding="utf-8")


def read(folder: Path) -> dict[str, Any]:
    """results.json of a folder. ResultError."""
    path = folder / RESULTS if folder.is_dir() else folder
    try:
        said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultError(f"{path}: {error.strerror}; give the folder of a load") from None
    except ValueError:
        raise ResultError(f"{path}: not JSON") from None
    if (
        not isinstance(said, dict)
        or said.get("version") != VERSION
        or said.get("kind") not in ("load", "knee", "compare")
    ):
        raise ResultError(f"{path}: not the results of a load, or of another version of the kit")
    return said


def merged(folders: Sequence[Path]) -> dict[str, Latencies]:
    """The histograms of several folders together. HistogramFileError."""
    return merge_logs([folder / HISTOGRAMS for folder in folders])


# --- tables ---


def latency_table(histograms: Mapping[str, Latencies]) -> pd.DataFrame:
    """A row a histogram; counts and percentiles in ns."""
    rows = {name: vars(one.summary()) for name, one in histograms.items()}
    return pd.DataFrame.from_dict(rows, orient="index")[list(COLUMNS)].rename_axis("what")


def timeline_table(said: Mapping[str, Any]) -> pd.DataFrame:
    """Every repetition's timeline: `run` counts from 1, other columns as in the results."""
    frames = [
        pd.DataFrame(run["measured"]["timeline"]).assign(run=n)
        for n, run in enumerate(said.get("runs", []), 1)
        if run["measured"]
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def figures(said: Mapping[str, Any]) -> dict[str, list[float]]:
    """Of each repetition: rates a second, and percentiles of response, floor and lateness in ns. What comparisons compare."""
    out: dict[str, list[float]] = {}
    for run in said.get("runs", []):
        m = run["measured"]
        if not m:
            continue
        row = {
            "offered a second": m["offered_per_s"],
            "answered a second": m["answered_per_s"],
            **{f"response {p}": m["latency"]["response"][f"{p}_ns"] for p in ("p50", "p90", "p99", "p999", "max")},
            "lateness p99": m["latency"]["lateness"]["p99_ns"],
            **({"floor p50": run["floor"]["p50_ns"], "floor p99": run["floor"]["p99_ns"]} if run["floor"] else {}),
        }
        row |= {name.replace("_", " "): value for name, value in run["resources"].items()}
        for name, value in row.items():
            out.setdefault(name, []).append(float(value))
    return out


def comparison(said: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Of several results by name: a row a figure, of each its mean and the half-width of its 95 % interval (NaN of one run), and
    of all but the first the ratio to the first."""
    columns: dict[str, dict[str, float]] = {}
    first: dict[str, float] = {}
    for n, (name, one) in enumerate(said.items()):
        means = {figure: mean_of(values) for figure, values in figures(one).items()}
        columns[name] = {figure: mean.value for figure, mean in means.items()}
        columns[f"{name} ±"] = {f: float("nan") if m.half is None else m.half for f, m in means.items()}
        if n == 0:
            first = columns[name]
        else:
            columns[f"{name} / first"] = {f: v / first[f] for f, v in columns[name].items() if first.get(f)}
    return pd.DataFrame(columns).rename_axis("figure")
