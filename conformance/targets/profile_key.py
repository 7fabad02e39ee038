"""What a profile says of one key of a table: its type, what it is for, whether it must be there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Key:
    kind: type | tuple[type, ...]
    help: str
    required: bool = False


Fail = Callable[[str, str | None, str], None]
"""Raises the ProfileError of (table, key, what is wrong and how to mend it)."""
Tables = Mapping[str, Mapping[str, Any]]
