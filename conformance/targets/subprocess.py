"""An engine in a process of its own, in any language: one JSON object a line on its stdin and stdout (docs/adapters.md).

Reads are bounded in time and size, so that a silent or endless engine is an error and never a hang of the kit. Nothing
here judges an answer: what is not in the protocol is TargetGarbled, what is in it goes to the checks as it came.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matchmark.conformance.messages import Command, Event, WireError, event_from_wire, to_wire
from matchmark.conformance.targets.base import (
    START_TIMEOUT_S,
    Target,
    TargetDied,
    TargetError,
    TargetGarbled,
    TargetHung,
    TargetInfo,
    TargetUnavailable,
)

ANSWER_TIMEOUT_S = 5.0
SLOW_ANSWER_FACTOR = 12
"""An answer may take this many time-outs in all as long as events keep coming: a minute for a million-level sweep."""
LINE_BYTES_MAX = 1 << 20
"""No event is near this long. A longer line is an engine that prints something else, without end perhaps."""
ANSWER_EVENTS_MAX = 2_000_000
"""A sweep of a million-level book answers with a million trades; an answer beyond twice that has no end."""


class SubprocessTarget(Target):
    def __init__(
        self,
        info: TargetInfo,
        command: Sequence[str],
        cwd: Path | None = None,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
        env: Mapping[str, str] | None = None,
        start_timeout_s: float = START_TIMEOUT_S,
    ) -> None:
        self.info = info
        self._command = list(command)
        self._cwd = cwd
        self._timeout_s = answer_timeout_s
        self._start_timeout_s = max(start_timeout_s, answer_timeout_s)
        self._starting = True
        self._env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.close()
        self._buffer = bytearray()
        self._stderr = bytearray()
        self._starting = True
        try:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._cwd,
                env=self._env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise TargetUnavailable(f"cannot start {self._command[0]!r}: {error.strerror or error}") from None

    def submit(self, command: Command) -> list[Event]:
        self._refuse_unasked()
        self._send(to_wire(command))
        events: list[Event] = []
        deadline_s = time.monotonic() + self._timeout_s * SLOW_ANSWER_FACTOR
        while (wire := self._receive(deadline_s)).get("ev") != "done":
            if len(events) >= ANSWER_EVENTS_MAX:
                raise self._ended(TargetGarbled(f"more than {ANSWER_EVENTS_MAX:,} events in one answer, and no done"))
            try:
                events.append(event_from_wire(wire))
            except WireError as error:
                raise self._ended(TargetGarbled(f"{error}; the line was {_shown(json.dumps(wire))}")) from None
        return events

    def reset(self) -> None:
        """Empties the engine by the protocol; starts it first if it is not running."""
        if self._process is None:
            self.start()
        self._refuse_unasked()
        self._send({"op": "reset"})
        wire = self._receive(time.monotonic() + self._patience_s * SLOW_ANSWER_FACTOR)
        if wire.get("ev") != "done":
            raise self._ended(TargetGarbled(f"reset must be answered by done alone, got {_shown(json.dumps(wire))}"))

    def close(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
        # The whole session, since an adapter may have children of its own; it is ours, made in start().
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        process.stderr.close()

    def _send(self, wire: dict[str, Any]) -> None:
        if self._process is None:
            raise TargetUnavailable("the target is not running")
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(wire, separators=(",", ":")).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise self._ended(self._death()) from None

    def _receive(self, deadline_s: float) -> dict[str, Any]:
        line = self._line(deadline_s)
        try:
            wire = json.loads(line)
        except (ValueError, RecursionError):
            raise self._ended(
                TargetGarbled(f"not JSON: {_shown(line)}; stdout is for the protocol alone, print elsewhere to stderr")
            ) from None
        if not isinstance(wire, dict):
            raise self._ended(TargetGarbled(f"expected a JSON object, got {_shown(line)}"))
        return wire

    @property
    def _patience_s(self) -> float:
        return self._start_timeout_s if self._starting else self._timeout_s

    def _line(self, deadline_s: float) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > LINE_BYTES_MAX:
                raise self._ended(TargetGarbled(f"a line without an end: {_shown(bytes(self._buffer[:400]))}"))
            wait_s = min(self._patience_s, deadline_s - time.monotonic())
            if wait_s <= 0 or not self._read_some(wait_s):
                what = "no answer" if not self._buffer else "half a line and no more"
                key = "start_timeout_s" if self._starting else "answer_timeout_s"
                raise self._ended(TargetHung(f"{what} within {self._patience_s:g} s ({key} in the profile's [timing])"))
        self._starting = False
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        return line

    def _read_some(self, wait_s: float) -> bool:
        """Take what stdout has, waiting for it up to `wait_s`; False when that ran out. Drains stderr on the way."""
        assert self._process is not None and self._process.stdout is not None and self._process.stderr is not None
        out, err = self._process.stdout.fileno(), self._process.stderr.fileno()
        until_s = time.monotonic() + wait_s
        watched = [out, err]
        while True:
            ready, _, _ = select.select(watched, [], [], max(0.0, until_s - time.monotonic()))
            if err in ready:
                said = os.read(err, 65536)
                self._stderr = (self._stderr + said)[-4000:]
                if not said:
                    watched = [out]
            if out in ready:
                data = os.read(out, 1 << 18)
                if not data:
                    raise self._ended(self._death())
                self._buffer += data
                return True
            if not ready:
                return False

    def _refuse_unasked(self) -> None:
        """Lines that came when nothing was asked: an answer given twice, or one that came after its done."""
        if self._process is None:
            raise TargetUnavailable("the target is not running")
        if self._buffer or self._read_some(0):
            raise self._ended(TargetGarbled(f"an answer that nothing asked for: {_shown(bytes(self._buffer[:400]))}"))

    def _death(self) -> TargetError:
        assert self._process is not None and self._process.stderr is not None
        try:
            code = self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            return TargetDied("it closed its stdout but runs on")
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        os.set_blocking(self._process.stderr.fileno(), False)
        with contextlib.suppress(BlockingIOError):
            self._stderr += os.read(self._process.stderr.fileno(), 65536)
        said = self._stderr[-4000:].decode(errors="replace").strip().splitlines()
        return TargetDied(f"it ended: {how}" + ("; it said: " + " | ".join(said[-5:]) if said else ""))

    def _ended(self, error: TargetError) -> TargetError:
        """After any of these the stream can no longer be trusted: the process is ended, the next reset starts a new one."""
        self.close()
        return error


def _shown(line: bytes | str) -> str:
    text = line.decode(errors="replace") if isinstance(line, bytes) else line
    text = text.rstrip("\n")
    return repr(text if len(text) <= 200 else text[:200] + "...")
