"""docs/control-plane.md shows the tables that the code runs on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

import pytest

from matchmark.reference.control import monitor, promotion, switchover
from matchmark.reference.control.lease import LeaseKeeper
from matchmark.reference.control.machine import Transition
from matchmark.reference.simulate.bugs import BUGS

PAGE = Path(__file__).parents[2] / "docs" / "control-plane.md"


def rows(heading: str, first_column: str) -> list[list[str]]:
    """Of the first table with that first column below the heading."""
    section = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    table = re.search(rf"^\| {first_column} \|.*\n\|[-|]+\n((?:\|.*\n)+)", section, re.MULTILINE)
    assert table is not None, f"no table of {first_column} below {heading}"
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table[1].splitlines()]


@pytest.mark.parametrize(
    ("heading", "table"),
    [
        ("Monitor", monitor.TRANSITIONS),
        ("Promotion", promotion.TRANSITIONS),
        ("Switchover", switchover.TRANSITIONS),
    ],
)
def test_the_tables_are_those_of_the_code(heading: str, table: Sequence[Transition[Enum]]) -> None:
    assert rows(heading, "state") == [[row.state.value, row.event, row.next.value, row.meaning] for row in table]


@pytest.mark.parametrize("read", ["ours", "higher", "lower", "unreadable"])
def test_the_lease_does_what_its_table_says(read: str) -> None:
    says = dict(rows("Lease", "epoch read"))[read]
    keeper = LeaseKeeper(5, "a", 1_000)
    keeper.begin(100)
    keeper.finish(5)
    keeper.begin(400)
    keeper.finish({"ours": 5, "higher": 6, "lower": 4, "unreadable": None}[read])
    if says.startswith("until the time taken at the start"):
        assert keeper.until_ns == 1_400
    elif says == "as it was":
        assert keeper.until_ns == 1_100 and keeper.fenced_by is None
    else:
        assert "fenced" in says and keeper.until_ns == 0 and keeper.fenced_by == 6


@pytest.mark.parametrize("column", ["async", "fsync", "replicated"])
def test_what_each_mode_goes_on_with_is_what_the_table_says(column: promotion.Mode) -> None:
    found = {
        "read, and its shared memory": promotion.Found("a", 9, memory=True),
        "read, memory gone": promotion.Found("a", 9),
        "not to be read": promotion.Found("a", None, why="EIO"),
    }
    for log, *cells in rows("Promotion", "old primary's log"):
        says = dict(zip(("async", "fsync", "replicated"), cells, strict=True))[column]
        for noted in (True, False):
            machine = promotion.Promotion(column, promotion.Own(5, noted))
            went_on = machine.located(found[log]) is not None
            if "if storage names this standby" in says:
                assert went_on == noted and machine.may_be_missing is None
            else:
                assert went_on == (says != "refused")
                assert (machine.may_be_missing is not None) == ("says:" in says)


def test_every_planted_bug_says_what_is_wrong() -> None:
    assert len(BUGS) >= 8
    assert len({bug.says for bug in BUGS.values()}) == len(BUGS)
