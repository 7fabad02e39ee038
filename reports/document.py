"""Reading untrusted JSON documents with errors that name the place, and writing JSON that has one form only.

Knows JSON, not what is in it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeVar

T = TypeVar("T")


class DocumentError(ValueError):
    """A document is not what it should be. The text starts with the path of the value, as in `clauses[3].verdict`."""


def parse(text: str | bytes, name: str) -> Any:
    """The JSON value in `text`. DocumentError for what is not JSON, for NaN and for a key that occurs twice."""
    try:
        return json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"{name}: not a JSON document: {error or 'nested too deeply'}") from None


def canonical(value: Any) -> bytes:
    """The one byte string of a JSON value: keys sorted, no blanks, ASCII only, whole numbers only.

    Two equal values have equal bytes on any machine, which signatures need. Floats are refused (TypeError): their
    text depends on who prints them.
    """
    _refuse_floats(value, "value")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")


def readable(value: Any) -> str:
    """JSON for people and diffs: two blanks of indent, keys in their given order, a newline at the end."""
    return json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            raise ValueError(f"key {key!r} occurs twice in one object")
        seen[key] = value
    return seen


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _refuse_floats(value: Any, path: str) -> None:
    if isinstance(value, float):
        raise TypeError(f"{path} is a float ({value!r}); canonical JSON takes whole numbers and text only")
    if isinstance(value, Mapping):
        for key, item in value.items():
            _refuse_floats(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for n, item in enumerate(value):
            _refuse_floats(item, f"{path}[{n}]")


class Node:
    """A JSON object and its path in the document. Each getter returns the promised type or raises DocumentError."""

    def __init__(self, value: Any, path: str = "") -> None:
        self.path = path
        if not isinstance(value, dict):
            raise DocumentError(f"{path or 'document'}: expected an object, got {_kind(value)}")
        self.value: dict[str, Any] = value

    def __contains__(self, key: str) -> bool:
        return self.value.get(key) is not None

    def fail(self, key: str, problem: str) -> DocumentError:
        return DocumentError(f"{self._at(key)}: {problem}")

    def text(self, key: str, default: str | None = None) -> str:
        return self._get(key, str, "text", default)

    def optional_text(self, key: str) -> str | None:
        return self.text(key) if key in self else None

    def integer(self, key: str, default: int | None = None, minimum: int | None = 0) -> int:
        value = self._get(key, int, "a whole number", default)
        if minimum is not None and value < minimum:
            raise self.fail(key, f"must be at least {minimum}, got {value}")
        return value

    def optional_integer(self, key: str, minimum: int | None = 0) -> int | None:
        return self.integer(key, minimum=minimum) if key in self else None

    def number(self, key: str, default: float) -> float:
        value = self.value.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.fail(key, f"expected a number, got {_kind(value)}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        return self._get(key, bool, "true or false", default)

    def choice(self, key: str, parse_one: Callable[[str], T], words: str) -> T:
        """The value that `parse_one` makes of the text; it raises ValueError for what is not one of `words`."""
        text = self.text(key)
        try:
            return parse_one(text)
        except ValueError:
            raise self.fail(key, f"expected {words}, got {text!r}") from None

    def timestamp(self, key: str) -> str:
        """ISO 8601 with a zone, as text."""
        text = self.text(key)
        try:
            aware = datetime.fromisoformat(text).tzinfo is not None
        except ValueError:
            aware = False
        if not aware:
            raise self.fail(key, f"expected a time with its zone such as 2026-01-31T09:00:00+00:00, got {text!r}")
        return text

    def mapping(self, key: str, required: bool = False) -> dict[str, Any]:
        return self._get(key, dict, "an object", None if required else {})

    def texts(self, key: str) -> list[str]:
        items = self._get(key, list, "a list", [])
        for n, item in enumerate(items):
            if not isinstance(item, str):
                raise DocumentError(f"{self._at(key)}[{n}]: expected text, got {_kind(item)}")
        return items

    def child(self, key: str) -> Node:
        if key not in self.value:
            raise self.fail(key, "is missing")
        return Node(self.value[key], self._at(key))

    def children(self, key: str, required: bool = False) -> Iterator[Node]:
        for n, item in enumerate(self._get(key, list, "a list", None if required else [])):
            yield Node(item, f"{self._at(key)}[{n}]")

    def _at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def _get(self, key: str, kind: type[T], words: str, default: T | None) -> T:
        if key not in self.value:
            if default is None:
                raise self.fail(key, "is missing")
            return default
        value = self.value[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.fail(key, f"expected {words}, got {_kind(value)}")
        return value


def _kind(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"
