"""Expected against actual, line by line, with the first difference marked down to the word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

_WORDS = re.compile(r"[\s,;|()\[\]{}]+|[^\s,;|()\[\]{}]+")


@dataclass(frozen=True, slots=True)
class Piece:
    text: str
    differs: bool = False


Line = tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One expected line beside one actual line; None where a side has no such line."""

    expected: Line | None
    actual: Line | None
    differs: bool
    first: bool
    """This is where the two lists part."""


def compare(expected: Sequence[str], actual: Sequence[str]) -> list[Row]:
    """Rows of the two lists side by side; common lines face each other, however many are missing or extra between."""
    rows: list[Row] = []
    parted = False
    for tag, e_from, e_to, a_from, a_to in SequenceMatcher(None, expected, actual, autojunk=False).get_opcodes():
        for n in range(max(e_to - e_from, a_to - a_from)):
            left = expected[e_from + n] if e_from + n < e_to else None
            right = actual[a_from + n] if a_from + n < a_to else None
            differs = tag != "equal"
            rows.append(Row(*_pieces(left, right), differs, differs and not parted))
            parted = parted or differs
    return rows


def _pieces(left: str | None, right: str | None) -> tuple[Line | None, Line | None]:
    if left is None or right is None or left == right:
        return _whole(left), _whole(right)
    a, b = _WORDS.findall(left), _WORDS.findall(right)
    steps = SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
    if not any(tag == "equal" and "".join(a[i:j]).strip() for tag, i, j, _, _ in steps):
        return _whole(left), _whole(right)  # They share no word, so marking words would mark everything.
    mine: list[Piece] = []
    theirs: list[Piece] = []
    for tag, i, j, k, m in steps:
        differs = tag != "equal"
        mine += [Piece("".join(a[i:j]), differs)] * (j > i)
        theirs += [Piece("".join(b[k:m]), differs)] * (m > k)
    return tuple(mine), tuple(theirs)


def _whole(line: str | None) -> Line | None:
    return None if line is None else (Piece(line),)
