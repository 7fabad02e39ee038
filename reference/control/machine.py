"""A state machine whose transitions are one table: the code runs on it, the documentation shows it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Generic, NamedTuple, TypeVar

S = TypeVar("S", bound=Enum)


class Transition(NamedTuple, Generic[S]):
    """`event` in `state` leads to `next`; `meaning` is what happens then, for readers."""

    state: S
    event: str
    next: S
    meaning: str


class Machine(Generic[S]):
    def __init__(self, table: Sequence[Transition[S]], state: S) -> None:
        self._next = {(row.state, row.event): row.next for row in table}
        assert len(self._next) == len(table), "two rows for one event in one state"
        self.state = state

    def can(self, event: str) -> bool:
        return (self.state, event) in self._next

    def go(self, event: str) -> None:
        """KeyError when the table has no such event in this state: a mistake of the caller's."""
        self.state = self._next[self.state, event]
