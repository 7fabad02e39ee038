"""The echo as a process of its own: `python -m matchmark.load.echo` prints its port and answers until its standard input ends.

For measurements in which it must not share a process with the generator: of the cannon itself, and of locust's users.
"""

from __future__ import annotations

import subprocess
import sys
from types import TracebackType

from matchmark.load.cannon import Echo


class EchoProcess:
    """A context manager; `words` before the command, such as taskset's."""

    def __init__(self, *words: str) -> None:
        self._command = [*words, sys.executable, "-m", "matchmark.load.echo"]
        self.port = 0

    def __enter__(self) -> EchoProcess:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.communicate()


def main() -> None:
    with Echo() as echo:
        print(echo.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
