"""A TOML file with enough memory of its text to say on which line a value stands."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class ConfigError(ValueError):
    """A mistake of whoever wrote the configuration: where it is, what is wrong, what to write."""


@dataclass(frozen=True)
class Source:
    """One file's tables. `name` and `body` are empty for what is built in."""

    name: str
    body: str
    tables: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Source:
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}; give a file that can be read") from None
        except UnicodeDecodeError:
            raise ConfigError(f"{path}: it is not UTF-8 text; save it as UTF-8") from None
        try:
            return cls(str(path), text, tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: this is not TOML: {error}") from None

    @classmethod
    def of(cls, tables: Mapping[str, Any]) -> Source:
        return cls("", "", tables)

    @classmethod
    def empty(cls) -> Source:
        return cls.of({})

    def table(self, name: str) -> Mapping[str, Any]:
        value = self.tables.get(name, {})
        if not isinstance(value, dict):
            raise ConfigError(f"{self.where(name)}: write [{name}] and its keys below it")
        return value

    def rows(self, name: str) -> list[dict[str, Any]]:
        value = self.tables.get(name, [])
        if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
            raise ConfigError(f"{self.where(name)}: write [[{name}]] (two brackets) for each entry")
        return value

    def only(self, place: tuple[Any, ...], found: Iterable[str], known: Iterable[str]) -> None:
        """Refuses keys that nobody reads: most are slips of the pen."""
        known = sorted(known)
        for key in found:
            if key not in known:
                table, index = (*place, None, None)[:2]
                where = self.where(table, index, key) if table else self.where(key)
                raise ConfigError(f"{where}: unknown key {key!r}; known are {', '.join(known)}")

    def _value(self, table: str, index: int | None, key: str) -> Any:
        return (self.table(table) if index is None else self.rows(table)[index]).get(key)

    def text(self, table: str, index: int | None, key: str) -> str:
        value = self._value(table, index, key)
        if not isinstance(value, str) or not value:
            raise ConfigError(f"{self.where(table, index, key)}: {key} is {value!r}; write text in quotes")
        return value

    def boolean(self, table: str, key: str, otherwise: bool) -> bool:
        """`otherwise` where the table does not have the key."""
        value = self.table(table).get(key, otherwise)
        if not isinstance(value, bool):
            raise ConfigError(f"{self.where(table, None, key)}: {key} is {value!r}; write true or false")
        return value

    def integer(self, table: str, index: int | None, key: str, least: int, most: int = 2**63 - 1) -> int:
        value = self._value(table, index, key)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            where = self.where(table, index, key)
            raise ConfigError(f"{where}: {key} is {value!r}; write a whole number from {least} to {most}")
        return value

    def number(self, table: str, index: int | None, key: str) -> float:
        value = self._value(table, index, key)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1e9:
            raise ConfigError(
                f"{self.where(table, index, key)}: {key} is {value!r}; write a number that is not negative"
            )
        return float(value)

    def where(self, table: str | None = None, index: int | None = None, key: str | None = None) -> str:
        """`file, line n` of a key, or of its table, as near as the text tells."""
        if not self.name:
            return "built-in configuration"
        line = self._line(table, index, key)
        return f"{self.name}, line {line}" if line else self.name

    def _line(self, table: str | None, index: int | None, key: str | None) -> int:
        if table is None:
            return 0
        header = re.compile(rf"\s*\[\[?\s*{re.escape(table)}\s*\]\]?\s*(#.*)?$")
        entry = re.compile(rf"\s*([\"']?){re.escape(key or '')}\1\s*[.=]")
        seen, at = -1, 0
        for number, line in enumerate(self.body.splitlines(), 1):
            if line.lstrip().startswith("["):
                if at:
                    break
                seen += bool(header.match(line))
                at = number if seen == (index or 0) else 0
            elif at and key and entry.match(line):
                return number
        return at
