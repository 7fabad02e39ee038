"""Several results side by side: of two runs, two versions, two targets. What differs in how they were made is said first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matchmark.load.result import VERSION, figures
from matchmark.load.stats import mean_of


def document(said: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """`said`: results of loads by name, at least two. As JSON has it, and as the page takes it."""
    names = list(said)
    values = {name: figures(one) for name, one in said.items()}
    order = list(dict.fromkeys(figure for one in values.values() for figure in one))
    first, last = names[0], names[-1]
    ratios, apart = {}, []
    for figure in order:
        a, b = (mean_of(values[name].get(figure, [])) for name in (first, last))
        if not (a.n and b.n and a.value):
            continue
        ratios[figure] = f"{b.value / a.value:.3f}"
        if a.half is not None and b.half is not None and abs(a.value - b.value) > a.half + b.half:
            apart.append(figure)
    single = any(len(v) < 2 for one in values.values() for v in one.values())
    words = (
        f"{last} against {first}: intervals of 95 % are apart for {', '.join(apart)}"
        if apart
        else f"{last} against {first}: no figure's intervals of 95 % are apart"
        if not single
        else f"{last} against {first}: single runs have no intervals; repeat them (--repeat) to know what is chance"
    )
    return {
        "version": VERSION,
        "kind": "compare",
        "names": names,
        "order": order,
        "figures": values,
        "ratios": ratios,
        "apart": apart,
        "words": words,
        "differences": differences(said),
        "descriptions": {name: describe(one) for name, one in said.items()},
        "curves": {name: _curve(one) for name, one in said.items()},
        "warnings": [f"{name}: {text}" for name, one in said.items() for text in one.get("warnings", [])],
        "environment": {},
    }


def describe(said: Mapping[str, Any]) -> str:
    target, plan = said["target"], said["plan"]
    how = f"{plan['words']}; {plan['sessions']} sessions, seed {plan['seed']}, {len(said['runs'])} runs"
    return f"{target['name']} {target['version']}; {how}"


def _curve(said: Mapping[str, Any]) -> dict[str, int]:
    """The first run's: repetitions differ less than what is compared, or the intervals say so."""
    return next((dict(run["measured"]["curves"]["response"]) for run in said["runs"] if run["measured"]), {})


def differences(said: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What was not the same, so that it may be the reason: plans, machines, kits."""
    out = []
    plan_keys = ("words", "seed", "sessions", "own", "window", "threads", "warm_s")
    for key in plan_keys:
        out += _differ(f"plan: {key}", {name: one["plan"].get(key) for name, one in said.items()})
    for key in ("processor", "cores_ours", "kernel", "governor", "matchmark"):
        out += _differ(key.replace("_", " "), {name: one["environment"].get(key) for name, one in said.items()})
    return out


def _differ(what: str, values: Mapping[str, Any]) -> list[str]:
    if len({repr(value) for value in values.values()}) < 2:
        return []
    return [f"{what} differs: " + "; ".join(f"{name} {value}" for name, value in values.items())]
