"""What a durability check finds is charged to each clause that it breaks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from matchmark.conformance.checks.audit_ledger import Breach
from matchmark.conformance.hiccups import Hiccups
from matchmark.conformance.lab import Lab
from matchmark.conformance.lab_fixtures import judge
from matchmark.conformance.verdict import ClauseViolation, violations_in

LAB = cast(Lab, SimpleNamespace(streams=dict))


def test_one_check_fails_every_clause_that_it_finds_broken_by_its_first_breach() -> None:
    found = [Breach("D10.N1", "first"), Breach("D01.N1", "other"), Breach("D10.N1", "second")]
    with pytest.raises(ClauseViolation) as raised:
        judge(LAB, [], found, [Breach("D10.2", "what comes of it")])
    said: list[tuple[str, Any]] = [(v.finding.clause, v.finding.message) for v in violations_in(raised.value)]
    assert said == [("D10.N1", "first"), ("D01.N1", "other")]


def test_checks_that_find_nothing_pass() -> None:
    judge(LAB, [], iter(()))


def test_the_breaks_of_the_machine_are_added_up_within_a_time() -> None:
    hiccups = Hiccups()
    hiccups._gaps = [(10, 20), (30, 50), (60, 90)]
    assert hiccups.total_ns(15, 70) == 5 + 20 + 10 and hiccups.longest_ns(15, 70) == 30
    assert hiccups.total_ns(20, 30) == 0
