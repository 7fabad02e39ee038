"""A plan fired at a target, once or several times on the same instance, and the document of all of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from matchmark.conformance.targets.profile import Profile
from matchmark.load import result
from matchmark.load.environment import Before
from matchmark.load.run import Outcome, Plan, Progress, run, run_and_stop
from matchmark.load.venue import Venue


def fired(
    name: str, profile: Profile, plan: Plan, progress: Progress, repeat: int = 1
) -> tuple[dict[str, Any], list[Outcome]]:
    """(results.json, each run's outcome). A single run ends with its instance, whose log is judged too; of several each has its
    own seed, and the first that is wrong or in trouble is the last. TargetUnavailable, ProfileError."""
    outcomes: list[Outcome] = []
    with Venue(name, profile) as venue:
        before = Before(venue.processes())
        for n in range(repeat):
            if repeat == 1:
                outcome = run_and_stop(venue, plan, 1, progress)
            else:
                floor = outcomes[0].floor if outcomes else None
                outcome = run(venue, replace(plan, seed=plan.seed + n), n + 1, progress, floor)
            outcomes.append(outcome)
            if outcome.trouble or not outcome.right:
                break
        environment, warnings = before.document()
        return result.document(venue.target, plan, outcomes, environment, warnings), outcomes
