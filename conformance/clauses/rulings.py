"""Rulings: how the kit reads the specification where it contradicts itself or says nothing.

A clause that a ruling touches names it, and `matchmark explain` and docs/spec print it in full, so that a vendor can
read why a check expects 450 lots and not 300.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Final

from matchmark.conformance.clauses.schema import Entry, RegisterError, parse_toml, read_toml

SOURCE: Final = "conformance/clauses/rulings.toml"


@dataclass(frozen=True)
class Ruling:
    """One decision: `where` in the specification, what it `says` there, and the `ruling` that everything follows."""

    id: str
    where: str
    says: str
    ruling: str


def rulings_of(data: Mapping[str, object], source: str = SOURCE) -> Mapping[str, Ruling]:
    """The rulings of a parsed file, by id in order. Raises RegisterError unless they are R1, R2, ... without a gap."""
    unknown = [key for key in data if key != "ruling"]
    entries = data.get("ruling")
    if unknown or not isinstance(entries, list):
        raise RegisterError(
            f"{source}: must hold [[ruling]] tables and nothing else, found {', '.join(data) or 'nothing'}"
        )
    rulings = [_ruling(table, source, index) for index, table in enumerate(entries, 1)]
    for index, ruling in enumerate(rulings, 1):
        if ruling.id != f"R{index}":
            raise RegisterError(
                f"{source}: {ruling.id} stands where R{index} belongs; number rulings R1, R2, ... in order"
            )
    return MappingProxyType({ruling.id: ruling for ruling in rulings})


def _ruling(table: object, source: str, index: int) -> Ruling:
    entry = Entry(table, source, f"ruling {index}")
    entry.name = entry.text("id")
    if not re.fullmatch(r"R[1-9][0-9]*", entry.name):
        raise entry.fault("id must be R and a number, such as R5")
    ruling = Ruling(entry.name, entry.text("where"), entry.text("says"), entry.text("ruling"))
    entry.done()
    return ruling


def parse_rulings(text: str, source: str = SOURCE) -> Mapping[str, Ruling]:
    """`rulings_of` for the text of a file."""
    return rulings_of(parse_toml(text, source), source)


RULINGS: Final[Mapping[str, Ruling]] = rulings_of(
    read_toml(resources.files("matchmark.conformance.clauses") / "rulings.toml", SOURCE)
)
