"""`matchmark certify --load`: a load as a part of a certification, on an instance of the target of its own, after the suites.

Its folder is load/ of the run folder, as `matchmark load run` writes it; the certificate has a summary of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matchmark.conformance.load_progress import LoadProgress
from matchmark.conformance.targets.base import TargetUnavailable
from matchmark.conformance.targets.profile import ProfileError
from matchmark.load import result
from matchmark.load.arrivals import Arrivals
from matchmark.load.repeat import fired
from matchmark.load.report import ROWS, findings
from matchmark.load.run import Plan
from matchmark.load.venue import open_profile
from matchmark.reports.records import LOAD_PAGE, LatencyRow, LoadSummary
from matchmark.reports.redact import Redactor

MIX, SECONDS = "specification", 10.0


class Load:
    """The specification's flows, due at random times, so many a second on average."""

    def __init__(self, target: str, overrides: list[str], rate: float, seed: int) -> None:
        """ProfileError where the target does not speak FIX, ScheduleError where it is no rate; nothing is started yet."""
        self.name, self.profile = open_profile(target, overrides)
        self.plan = Plan(MIX, Arrivals("poisson", rate=rate, seconds=SECONDS), seed)
        self.plan.arrivals.times(seed)

    def fire(self, out: Path, redactor: Redactor, quiet: bool) -> LoadSummary:
        """Fires it and writes its folder into the run folder `out`. What keeps it from that is the summary's trouble: the suites
        before it were not run for nothing."""
        words = f"The mix {self.plan.mix}, {self.plan.arrivals.words}, {self.plan.sessions} sessions"
        try:
            with LoadProgress(quiet) as progress:
                said, outcomes = fired(self.name, self.profile, self.plan, progress)
        except (TargetUnavailable, ProfileError) as error:
            return LoadSummary(words, 0, 0, 0, trouble=redactor.text(f"it could not be fired: {error}"))
        said = result.cleaned(said, redactor)
        result.write((out / LOAD_PAGE).parent, said, result.histograms_of(outcomes))
        return summary_of(said, words)


def summary_of(said: dict[str, Any], words: str) -> LoadSummary:
    """Of the document of a single run."""
    one = said["runs"][0]
    m, judged = one["measured"], one["judged"]
    summary = LoadSummary(
        words,
        round(m["offered_per_s"]) if m else 0,
        round(m["answered_per_s"]) if m else 0,
        m["sent"] if m else 0,
        findings=findings(said),
        trouble=one["trouble"]["text"] if one["trouble"] else "" if m else "nothing was measured",
        judged=f"{judged['commands_against_the_model']:,} commands held against the model, {judged['log_records']:,} log records",
        warnings=list(said["warnings"]),
    )
    if m:
        summary.latency = [
            _row(f"{name}, {meaning}", m["latency"][name])
            for name, meaning in ROWS
            if name in ("response", "lateness") and m["latency"][name]["count"]
        ]
    if one["floor"]:
        summary.latency.insert(1, _row("floor, an echo that answers at once", one["floor"]))
    return summary


def _row(stage: str, one: dict[str, Any]) -> LatencyRow:
    return LatencyRow(stage, one["count"], *(int(one[f"{p}_ns"]) for p in ("p50", "p99", "p999", "max")))
