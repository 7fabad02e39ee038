"""The suites of the session layer against a scripted acceptor that is sound: it passes all of them.

What they find in one that is wrong is in test_session_faults.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .session_calls import Call, calls
from .session_stand import Stand, smaller


@pytest.fixture(scope="module")
def sound() -> Iterator[Stand]:
    stand = Stand()
    yield stand
    stand.close()


@pytest.mark.parametrize("call", [pytest.param(call, id=call.name) for call in calls()])
def test_a_sound_acceptor_passes(monkeypatch: pytest.MonkeyPatch, sound: Stand, call: Call) -> None:
    smaller(monkeypatch)
    call.check(venue=sound.venue, **call.arguments)
    sound.venue.end_of_test()


def test_the_table_of_cases_names_checks_that_there_are() -> None:
    table = (Path(__file__).parents[2] / "docs/fix-session-cases.md").read_text()
    named = re.findall(r"`(test_\w+?)(?:\.\.\.)?(?:\[([\w*-]+)\])?`", table)
    names = [call.name for call in calls()]
    assert len(named) > 40
    for check, parameter in named:
        wanted = parameter.rstrip("*")
        assert any(name.startswith(check) and f"[{wanted}" in name + "[" for name in names), (check, parameter)
