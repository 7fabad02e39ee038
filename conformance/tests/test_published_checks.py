"""The checks of a topic of events: silent about a sound one, repetitions included, and loud about each thing gone wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from matchmark.conformance.checks.published import check_order, check_partitions
from matchmark.conformance.market_data.topic import Published

LOGGED = [(2, 0), (4, 1), (6, 0), (7, 0), (9, 1), (11, 2), (13, 0)]


@dataclass
class Topic:
    """Sound messages of LOGGED: symbols 0 and 2 in partition 0, symbol 1 in partition 1."""

    messages: list[Published] = field(
        default_factory=lambda: [
            Published(0, 0, b"A", 0, ((2, 0),)),
            Published(0, 1, b"A", 2, ((6, 0), (7, 0))),
            Published(0, 2, b"C", 0, ((11, 2),)),
            Published(0, 3, b"A", 7, ((13, 0),)),
            Published(1, 0, b"B", 0, ((4, 1), (9, 1))),
        ]
    )

    def edit(self, n: int, **values: object) -> Topic:
        self.messages[n] = self.messages[n]._replace(**values)  # type: ignore[arg-type]
        return self

    def again(self, n: int) -> Topic:
        """The message comes a second time, at the end of its partition."""
        self.messages.append(self.messages[n]._replace(offset=9))
        self.messages.sort(key=lambda m: (m.partition, m.offset))
        return self

    def without(self, n: int) -> Topic:
        del self.messages[n]
        return self

    @property
    def found(self) -> list[str]:
        return [f.message for f in (*check_partitions(self.messages), *check_order(self.messages, LOGGED))]


def test_a_sound_topic_is_not_found_wrong() -> None:
    assert Topic().found == []
    assert Topic().again(1).found == [], "what comes twice can be told"


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (lambda t: t.edit(3, partition=1), "symbol 0 are in several partitions"),
        (lambda t: t.edit(3, key=b"Z"), "symbol 0 have several keys"),
        (lambda t: t.without(1), "before record 13 is not what was"),
        (lambda t: t.without(3), "has not the log's events of symbol 0"),
        (lambda t: t.without(2), "has not the log's events of symbol 2"),
        (lambda t: t.edit(4, events=((4, 1),)), "has not the log's events of symbol 1"),
        (lambda t: t.edit(4, events=((4, 1), (9, 1), (10, 1))), "has not the log's events of symbol 1"),
        (lambda t: t.edit(1, previous=1), "before record 6 is not what was"),
        (lambda t: t.edit(0, events=((13, 0),)).edit(3, events=((2, 0),)), "record 2 of symbol 0 comes late"),
    ],
)
def test_each_fault_is_found(broken: Callable[[Topic], Topic], says: str) -> None:
    assert any(says in text for text in broken(Topic()).found), broken(Topic()).found
