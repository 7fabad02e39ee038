"""An engine in a shared library: our own interface (docs/so-abi.md) or the public matching-engine-benchmark harness's.

The library is loaded in a process of its own (so_host.py) which speaks the subprocess protocol, so that a crash in it
is TargetDied with the signal's name and a hang is TargetHung, and neither is the kit's end.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from matchmark.conformance.targets.base import (
    START_TIMEOUT_S,
    TargetDied,
    TargetError,
    TargetHung,
    TargetInfo,
    TargetUnavailable,
)
from matchmark.conformance.targets.subprocess import SubprocessTarget

ABIS = ("matchmark", "harness")


class SoTarget(SubprocessTarget):
    def __init__(
        self,
        info: TargetInfo,
        library: Path,
        abi: str,
        answer_timeout_s: float,
        start_timeout_s: float = START_TIMEOUT_S,
    ) -> None:
        self._library = library.absolute()
        self._abi = abi
        command = [sys.executable, "-P", "-m", "matchmark.conformance.targets.so_host", str(self._library), abi]
        command += [json.dumps(info.instruments.symbols), json.dumps(sorted(info.capabilities))]
        super().__init__(info, command, self._library.parent, answer_timeout_s, start_timeout_s=start_timeout_s)

    def start(self) -> None:
        """Load the library and make an engine; TargetUnavailable says why it could not be and what to do about it."""
        if self._abi not in ABIS:
            raise TargetUnavailable(f"[so] abi is {self._abi!r}; it must be one of {', '.join(ABIS)}")
        if not self._library.is_file():
            raise TargetUnavailable(f"{self._library}: there is no such file; build the library, or mend [so] library")
        super().start()
        try:
            greeting = self._receive(time.monotonic() + self._patience_s)
        except (TargetDied, TargetHung) as error:
            raise TargetUnavailable(f"{self._library}: while it was loaded and an engine made: {error}") from None
        if "unavailable" in greeting:
            raise self._ended(TargetUnavailable(f"{self._library}: {greeting['unavailable']}"))

    def _death(self) -> TargetError:
        """A library's death is told with its path: the process is ours, the fault is not."""
        error = super()._death()
        return TargetDied(f"{self._library.name}: {error}") if isinstance(error, TargetDied) else error
