"""Schedules are functions of the seed, share out what was asked for, and can be written down and had again."""

from __future__ import annotations

import json

from matchmark.chaos.scenarios import BY_NAME, ROLES
from matchmark.chaos.schedule import STEPS_MAX, EpisodePlan, episodes, plan_of


def day(seed: int, steps: int = 13) -> list[EpisodePlan]:
    return episodes("kill", ["a", "b"], ["plain"], BY_NAME["kill"].kinds, steps, 50_000, seed)


def test_the_same_seed_gives_the_same_day_and_another_another() -> None:
    assert day(1) == day(1) != day(2)


def test_every_fault_that_was_asked_for_is_there_and_no_episode_is_too_long() -> None:
    plans = day(3)
    assert sum(len(plan.steps) for plan in plans) == 13
    assert max(len(plan.steps) for plan in plans) <= STEPS_MAX


def test_roles_and_targets_take_turns() -> None:
    plans = day(4)
    assert {plan.target for plan in plans} == {"a", "b"}
    assert {step.role for plan in plans for step in plan.steps} == set(ROLES)


def test_a_plan_outlives_json() -> None:
    for plan in day(5):
        assert plan_of(json.loads(json.dumps(plan.document()))) == plan
