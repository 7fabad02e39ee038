"""The same run in Allure: labels, links and attachments of a test, and the files of the result folder.

Epic is the certification level, feature the diagram, story the clause; a MUST is critical, a SHOULD minor. Used by the
kit's pytest plugin; without allure-pytest's --alluredir all of it is without effect.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import allure
import pytest
from allure_commons.types import AttachmentType, Severity
from matchmark.reports.records import Evidence, Results

SEVERITIES = {"MUST": Severity.CRITICAL, "SHOULD": Severity.MINOR}

CATEGORIES: list[dict[str, Any]] = [
    {"name": "Clause broken", "matchedStatuses": ["failed"]},
    {
        "name": "Target gave no answer",
        "matchedStatuses": ["broken"],
        "messageRegex": r"(?s).*Target(Died|Hung|Garbled|Unavailable).*",
    },
    {"name": "Kit or machine", "matchedStatuses": ["broken"]},
    {"name": "Capability not declared", "matchedStatuses": ["skipped"]},
]
"""Allure sorts each result into the first category that fits."""


class ClauseLabels(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def diagram(self) -> str: ...
    @property
    def strength(self) -> str: ...
    @property
    def levels(self) -> Iterable[str]: ...
    @property
    def text(self) -> str: ...


def marks(clauses: Iterable[ClauseLabels], titles: Mapping[str, str], docs: str = "") -> list[pytest.MarkDecorator]:
    """Marks for a test that speaks about these clauses. `titles` maps a diagram's id to its title.

    `docs` is the address of the specification's folder, without a slash at the end; given one, each clause is linked.
    """
    clauses = list(clauses)
    strengths = {c.strength for c in clauses}
    found = [_mark(allure.severity, SEVERITIES[s]) for s in SEVERITIES if s in strengths][:1]
    found += [_mark(allure.epic, level) for level in _once(level for c in clauses for level in c.levels)]
    found += [_mark(allure.feature, f"{d} {titles.get(d, '')}".strip()) for d in _once(c.diagram for c in clauses)]
    found += [_mark(allure.story, f"{c.id} {c.text}") for c in clauses]
    if docs:
        found += [_mark(allure.link, f"{docs}/{c.diagram.lower()}.md", name=c.id) for c in clauses]
    return [mark for mark in found if isinstance(mark, pytest.MarkDecorator)]


def _mark(decorator: Any, *values: Any, **named: Any) -> Any:
    """A mark, or something else when allure-pytest is not active in this process."""
    return decorator(*values, **named)


def _once(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))


def attach(evidence: Evidence) -> None:
    """Put a finding's evidence on the test that is running: message with the two lists, the wire log, the command."""
    parts = [evidence.message, "", "expected:", *evidence.expected, "", "actual:", *evidence.actual]
    allure.attach("\n".join(parts), f"{evidence.clause}: expected and actual", AttachmentType.TEXT)
    if evidence.transcript:
        lines = "\n".join(json.dumps(exchange) for exchange in evidence.transcript)
        allure.attach(lines, f"{evidence.clause}: wire log", AttachmentType.TEXT, "jsonl")
    if evidence.reproduce:
        allure.attach(evidence.reproduce, f"{evidence.clause}: run this one case again", AttachmentType.TEXT)


def write_environment(folder: Path, results: Results) -> None:
    """environment.properties and categories.json of an allure-results folder. OSError when it cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        "Target": f"{results.target.name} {results.target.version}",
        "Specification": results.spec,
        "Kit": f"matchmark {results.matchmark}",
        "Seed": str(results.seed),
        **{f"Level.{level}": str(status) for level, status in results.levels.items()},
        **{key: str(value) for key, value in results.environment.items() if not isinstance(value, dict | list)},
    }
    lines = [f"{_property(key)}={_property(value)}\n" for key, value in values.items()]
    (folder / "environment.properties").write_text("".join(lines), encoding="ascii")
    (folder / "categories.json").write_text(json.dumps(CATEGORIES, indent=2) + "\n", encoding="ascii")


def _property(text: str) -> str:
    """Text as java.util.Properties reads it back: ASCII, with separators and line ends escaped."""
    escaped = "".join(_ESCAPES.get(c, c) for c in text)
    units = escaped.encode("utf-16-be", "surrogatepass")
    pairs = (int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2))
    return "".join(chr(u) if 0x20 <= u < 0x7F else f"\\u{u:04x}" for u in pairs)


_ESCAPES = {c: f"\\{c}" for c in "\\=:#! "} | {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
