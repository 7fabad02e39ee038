"""Keeping secrets out of everything a run writes down.

Known secrets are replaced wherever they occur: the values of environment variables that the profile refers to or whose
name sounds like one. What has the shape of a secret goes too: JWTs, private keys, passwords in URLs and in FIX Logon
fields, values under keys such as `password`. `[redacted]` stands in their place: a reader sees that there was one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

MARK = "[redacted]"

_SECRET_VARIABLE = re.compile(r"TOKEN|SECRET|PASSW(OR)?D|PASSPHRASE|CREDENTIAL|JWT|(^|_)(API)?KEY($|_)", re.IGNORECASE)
_NOT_SECRET = {"MATCHMARK_SIGNING_KEY"}
"""Holds the name of a file."""
_SECRET_FIELD = re.compile(r"(^|[_-])(passw(or)?d|passphrase|secret|token|private_key|api_?key|authorization)$", re.I)

_NAMED_MIN = 4
_GUESSED_MIN = 8
"""Shorter values are left alone: replacing each "1" or "yes" of a text would destroy evidence and hide nothing."""

_SHAPES = (
    (re.compile(r"\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{2,}\.[A-Za-z0-9_-]*"), MARK),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), MARK),
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@/]+(?=@)", re.IGNORECASE), rf"\g<1>{MARK}"),
    (re.compile(r"((?:^|[\x01|])(?:554|925)=)[^\x01|\s]+"), rf"\g<1>{MARK}"),
    (re.compile(r"(--?(?:password|passwd|secret|token|api-?key)(?:=|\s+))\S+", re.IGNORECASE), rf"\g<1>{MARK}"),
    (re.compile(r"(\bBearer\s+)[A-Za-z0-9._~+/-]{8,}=*"), rf"\g<1>{MARK}"),
)
"""FIX 554 is Password, 925 NewPassword; the separator is SOH, or a bar in logs."""

_SIGNS = ("eyJ", "-", "://", "554=", "925=", "Bearer")
"""Without one of these no shape fits. A run writes a hundred thousand lines that have none."""


class Redactor:
    """Replaces the given secrets, and what looks like one, in text and in JSON values."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        longest_first = sorted(set(secrets) - {""}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    @classmethod
    def from_environment(cls, named: Iterable[str] = (), environ: Mapping[str, str] = os.environ) -> Redactor:
        """`named` are the variables that the target profile takes values from, `${NAME}`."""
        named = set(named)
        secrets = [environ[name] for name in named if len(environ.get(name, "")) >= _NAMED_MIN]
        for name, value in environ.items():
            if name not in _NOT_SECRET and _SECRET_VARIABLE.search(name) and len(value) >= _GUESSED_MIN:
                secrets.append(value)
        return cls(secrets)

    def text(self, text: str) -> str:
        if self._known:
            text = self._known.sub(MARK, text)
        if not any(sign in text for sign in _SIGNS):
            return text
        for shape, replacement in _SHAPES:
            text = shape.sub(replacement, text)
        return text

    def value(self, value: Any) -> Any:
        """A copy of a JSON value without secrets. Keys stay: they are the format's words."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {k: MARK if _names_secret(k, item) else self.value(item) for k, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        return value


def _names_secret(key: Any, item: Any) -> bool:
    return isinstance(key, str) and isinstance(item, str) and item != "" and _SECRET_FIELD.search(key) is not None
