"""What the scripted acceptor finds wrong with a message's fields: (reason 373, tag 371), as the standard numbers them."""

from __future__ import annotations

import re
from collections.abc import Callable

from matchmark.conformance.fix.message import FixMessage
from matchmark.conformance.fix.wire import HEADER_TAGS, parse_utc, split

REQUIRED = {"D": (11, 55, 54, 60, 38, 40), "F": (41, 11, 55, 54, 60), "A": (98, 108), "1": (112,)}
VALUES = {54: "12", 40: "12", 59: "03", 21: "123"}
FORMATS = {38: r"\d+", 44: r"-?\d+(\.\d*)?", 34: r"\d+", 36: r"\d+", 7: r"\d+", 16: r"\d+"}
TIMES = (52, 60)
KNOWN_TYPES = "012345ADFB C6"
PARTY = (448, 447, 452)

Problem = tuple[str, str | None]


def problem(m: FixMessage, is_wrong: Callable[[str], bool]) -> Problem | None:
    if m.type not in KNOWN_TYPES:
        return None if is_wrong("unknown types are passed over") else ("11", None)
    if m.poss_dup and m.type != "4":
        original = m.get(122)
        if original is None:
            return None if is_wrong("a duplicate needs no first time") else ("1", "122")
        if (parse_utc(original) or 0) > (parse_utc(m.get(52, "") or "") or 0):
            return None if is_wrong("a duplicate may be from the future") else ("10", "122")
    if any(not tag.isdigit() for tag, _ in split(m.raw)):
        return "17", None
    found = _fields(m)
    if found is None and is_wrong("fields must be in the order of the standard"):
        order = [tag for tag, _ in m.pairs if tag in (11, 55, 54, 60, 38, 40)]
        if order != sorted(order, key=(11, 55, 54, 60, 38, 40).index):
            return "14", str(order[0])
    return found


def _fields(m: FixMessage) -> Problem | None:
    body, seen = False, set[int]()
    for tag, value in m.pairs:
        if not value:
            return "4", str(tag)
        if tag in HEADER_TAGS and body:
            return "14", str(tag)
        body = body or (tag not in HEADER_TAGS and tag != 10)
        if tag in seen and tag not in PARTY:
            return "13", str(tag)
        seen.add(tag)
        if tag == 4711 or tag == 0:
            return "0", str(tag)
        if tag == 112 and m.type == "D":
            return "2", "112"
        if tag == 91:
            return "7", "91"
        if tag in VALUES and value not in VALUES[tag]:
            return "5", str(tag)
        if tag in FORMATS and not re.fullmatch(FORMATS[tag], value, re.ASCII):
            return "6", str(tag)
        if tag in TIMES and parse_utc(value) is None:
            return "6", str(tag)
    for tag in (52, *REQUIRED.get(m.type, ())):
        if tag not in seen:
            return "1", str(tag)
    if m.type == "D" and m.get(40) == "2" and 44 not in seen:
        return "1", "44"
    return _parties(m)


def _parties(m: FixMessage) -> Problem | None:
    if m.get(453) is None:
        return None
    group = [tag for tag, _ in m.pairs if tag in PARTY]
    if group.count(448) != int(m.need(453)):
        return "16", "453"
    return None if group[0] == 448 else ("15", str(group[0]))
