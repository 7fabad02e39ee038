"""What an operator should know: a line of JSON each in `alerts.jsonl` of the data directory, and a sentence on stderr.

Written by whichever role has something to say, shown by GET /status. Nothing depends on a line having got to the disk.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SHOWN = 50


class Alerts:
    """`say` gets the sentence."""

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self._path, self._say = path, say

    def raise_(self, code: str, text: str, **more: Any) -> None:
        """`code` is for programs."""
        at = time.time_ns()
        wall = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at // 1_000_000_000))
        row = {"time": f"{wall}.{at // 1_000_000 % 1000:03d}Z", "time_ns": at, "code": code, "text": text, **more}
        with contextlib.suppress(OSError), self._path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")
        self._say(text)

    def newest(self) -> list[dict[str, Any]]:
        """The last SHOWN of this data directory, oldest first."""
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()[-SHOWN:]
            return [json.loads(line) for line in lines]
        except (OSError, ValueError):
            return []
