"""Reading the register's TOML files: types, unknown keys, and errors that say which file, entry and key to mend.

Only shapes are checked here; what a clause or ruling may say is in `register` and `rulings`.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources.abc import Traversable
from typing import Any


class RegisterError(ValueError):
    """A register file is wrong. The message names file, entry and key, and says how to mend it."""


def fault(source: str, entry: str, problem: str) -> RegisterError:
    """Returns (does not raise) the error for `entry` of the file `source`."""
    return RegisterError(f"{source}: {entry}: {problem}")


def near(word: str, words: Iterable[str]) -> str:
    """A hint such as `; did you mean 'top'?`, or an empty string."""
    close = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def read_toml(file: Traversable, source: str) -> dict[str, Any]:
    """The parsed file. Raises RegisterError when it is missing, not UTF-8 or not TOML."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RegisterError(f"{source}: cannot be read ({error}); reinstall matchmark, or restore the file") from error
    return parse_toml(text, source)


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """As `read_toml`, from text already in hand."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RegisterError(f"{source}: not valid TOML: {error}") from error


class Entry:
    """One table of a register file, read key by key; `done` refuses the keys that nobody asked for."""

    def __init__(self, table: object, source: str, name: str) -> None:
        self._source = source
        self.name = name
        if not isinstance(table, Mapping):
            raise self.fault(f"must be a table, not {type(table).__name__}")
        self._table: Mapping[str, object] = table
        self._asked: set[str] = set()

    def fault(self, problem: str) -> RegisterError:
        return fault(self._source, self.name, problem)

    def _get(self, key: str, kind: type, wanted: str) -> Any:
        self._asked.add(key)
        value = self._table.get(key)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise self.fault(f"{key} must be {wanted}, not {value!r}")
        return value

    def maybe_text(self, key: str) -> str | None:
        """A non-empty string of one line without outer blanks, or None when the key is absent."""
        value: str | None = self._get(key, str, "a string")
        if value is not None and (not value.strip() or value != value.strip() or "\n" in value):
            raise self.fault(f"{key} must be one line of text without leading or trailing blanks, not {value!r}")
        return value

    def text(self, key: str) -> str:
        value = self.maybe_text(key)
        if value is None:
            raise self.fault(f'key {key!r} is missing; add {key} = "..."')
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings; absent is empty."""
        value: list[object] = self._get(key, list, "a list of strings") or []
        strings = tuple(item for item in value if isinstance(item, str))
        if len(strings) != len(value):
            raise self.fault(f"{key} must be a list of strings, not {value!r}")
        return strings

    def words(self, key: str, allowed: Iterable[str]) -> tuple[str, ...]:
        """A list of different words, each one of `allowed`; absent is empty."""
        value, known = self.texts(key), tuple(allowed)
        for word in value:
            if word not in known:
                raise self.fault(f"{key} has {word!r}, which is not in the vocabulary{near(word, known)}")
        if len(set(value)) != len(value):
            raise self.fault(f"{key} names something twice: {', '.join(value)}; name it once")
        return value

    def maybe_count(self, key: str) -> int | None:
        """An integer >= 0, or None when the key is absent."""
        value: int | None = self._get(key, int, "an integer")
        if value is not None and value < 0:
            raise self.fault(f"{key} must be 0 or more, not {value}")
        return value

    def done(self) -> None:
        for key in self._table:
            if key not in self._asked:
                raise self.fault(f"unknown key {key!r}{near(key, self._asked) or '; remove it'}")
