"""Where the knee is: the highest rate at which the objective holds, found by stepping up until it breaks and halving from there.

A step is several short runs at one rate. It holds when more than half of its runs do. A run holds when the objective does, when
the target has answered what was due, and when nothing was wrong; a wrong answer ends the search: a knee of wrong answers is none.
Where the generator is late instead, it is asked to keep the same schedule against an echo. If it cannot, the step shows nothing
of the target: the search says so and ends. If it can, the target leaves it too little of the processors that they share, and the
step broke.

A run that broke while other processes used the processors is no evidence against the target: it is left out and made again, a few
times at most. One that held all the same counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from matchmark.load.environment import OTHERS_MAX
from matchmark.load.run import Outcome
from matchmark.load.stats import Mean, Slo, mean_of

GROWTH = 1.5
WITHIN = 1.06
"""The bracket between what holds and what breaks is at most so wide when the search ends."""
ANSWERED_SHARE = 0.98
"""Of what was due in the step, by its end: below, the target falls behind."""
STEPS_MAX = 40
AGAIN_MAX = 4
"""So many runs of a step are left out because of others; after that they count, for a machine may never be quiet."""
ECHO_TRIES = 3

Fire = Callable[[float], Outcome]
"""A run at that rate."""
Alone = Callable[[float], bool]
"""Whether the generator keeps that rate's schedule when all it has beside it is an echo."""


@dataclass(frozen=True)
class Trial:
    """One run of a step. `why`: what broke; empty: it held."""

    rate: float
    answered_per_s: float
    p50_ns: int
    p99_ns: int
    lateness_p99_ns: int
    why: str
    late: bool = False
    wrong: bool = False
    disturbed: float = 0.0


@dataclass
class Step:
    rate: float
    trials: list[Trial] = field(default_factory=list)
    left_out: list[Trial] = field(default_factory=list)
    """Broke while others used the processors, and were made again."""

    @property
    def holds(self) -> bool:
        return 2 * sum(not t.why for t in self.trials) > len(self.trials)

    @property
    def late(self) -> bool:
        return 2 * sum(t.late for t in self.trials) > len(self.trials)

    @property
    def p99_ns(self) -> Mean:
        return mean_of([float(t.p99_ns) for t in self.trials])

    @property
    def answered(self) -> Mean:
        return mean_of([t.answered_per_s for t in self.trials])


@dataclass
class Search:
    """`holds`: the knee, the highest rate that held; `breaks`: the lowest that did not, 0: none; `ended`: why it is no knee."""

    steps: list[Step] = field(default_factory=list)
    holds: float = 0.0
    breaks: float = 0.0
    ended: str = ""
    findings: list[str] = field(default_factory=list)


def trial_of(rate: float, outcome: Outcome, slo: Slo) -> Trial:
    m = outcome.measured
    if m is None:
        return Trial(rate, 0.0, 0, 0, 0, str(outcome.trouble or "nothing was sent"))
    response, lateness = m.histograms["response"], m.histograms["lateness"].percentile(99)
    wrong = "" if outcome.right else str(outcome.judgement.findings[0])
    trouble = str(outcome.trouble) if outcome.trouble else ""
    behind = f"answered {m.answered:,} of {m.offered:,} in time" if m.answered < ANSWERED_SHARE * m.offered else ""
    why = wrong or trouble or slo.broken(response) or behind
    return Trial(
        rate, m.answered_rate, response.percentile(50), response.percentile(99), lateness, why, bool(m.late), bool(wrong),
        round(outcome.disturbed, 3),
    )  # fmt: skip


def search(
    fire: Fire, slo: Slo, start: float, most: float, repeat: int, told: Callable[[Trial, bool], None],
    alone: Alone = lambda rate: False,
) -> Search:  # fmt: skip
    """`told` after every run, and whether it counts."""
    found = Search()
    rate = start
    while len(found.steps) < STEPS_MAX:
        step = _step(fire, slo, rate, repeat, told, found)
        if found.findings:
            found.ended = "answers were wrong"
            return found
        if step.late and not step.holds and not any(alone(rate) for _ in range(ECHO_TRIES)):
            found.ended = f"at {rate:,.0f}/s the generator was late: what the target does there is not known"
            found.breaks = rate
            return found
        if step.holds:
            found.holds = max(found.holds, rate)
        else:
            found.breaks = min(found.breaks or rate, rate)
        if found.holds and found.breaks and found.breaks / found.holds <= WITHIN:
            return found
        if found.holds >= most:
            found.ended = f"the objective still holds at {most:,.0f}/s, the most that was asked for (--max)"
            return found
        if not found.holds and found.breaks < start / 64:
            found.ended = f"the objective breaks even at {found.breaks:,.0f}/s"
            return found
        rate = _next(found, most)
    found.ended = f"no end after {STEPS_MAX} steps"
    return found


def _next(found: Search, most: float) -> float:
    if not found.breaks:
        return min(found.holds * GROWTH, most)
    if not found.holds:
        return found.breaks / 2
    return float((found.holds * found.breaks) ** 0.5)


def _step(fire: Fire, slo: Slo, rate: float, repeat: int, told: Callable[[Trial, bool], None], found: Search) -> Step:
    """No more runs than it takes to know."""
    step = Step(rate)
    found.steps.append(step)
    while len(step.trials) < repeat:
        outcome = fire(rate)
        trial = trial_of(rate, outcome, slo)
        if trial.why and not trial.wrong and trial.disturbed > OTHERS_MAX and len(step.left_out) < AGAIN_MAX:
            step.left_out.append(trial)
            told(trial, False)
            continue
        step.trials.append(trial)
        told(trial, True)
        if trial.wrong:
            found.findings = [str(finding) for finding in outcome.judgement.findings]
            break
        held = sum(not t.why for t in step.trials)
        if max(held, len(step.trials) - held) * 2 > repeat and len(step.trials) >= min(2, repeat):
            break
    return step
