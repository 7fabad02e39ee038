"""What the fault-injecting disk is told to do wrong, and what it was asked to do: rules and a journal.

A call comes in at the gate, waits there while the disk stalls or is frozen, and is then let through or refused.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

JOURNAL_MAX = 1_000_000
"""Calls that are kept; a run of the suites makes some ten thousand."""
HOUR_NS = 3_600_000_000_000

MUTATING = frozenset({"write", "fsync", "fsyncdir", "fallocate", "truncate", "create", "mkdir", "rename", "unlink"})
SYNCS = frozenset({"fsync", "fsyncdir"})


class Call(NamedTuple):
    """One call, times in nanoseconds of CLOCK_MONOTONIC. `error` is the errno it ended with, 0 for none."""

    started_ns: int
    ended_ns: int
    kind: str
    path: str
    offset: int
    length: int
    error: int


@dataclass
class Failure:
    """From the `after`-th next matching call on, `times` calls fail with `error` (`times` below 0: all).

    `kind` is a kind of call, or "fsync" for both kinds of fsync.
    """

    kind: str
    error: int
    under: str = "/"
    after: int = 0
    times: int = -1

    def strikes(self, kind: str, path: str) -> bool:
        syncs = self.kind == "fsync" and kind in SYNCS
        if not (kind == self.kind or syncs) or not inside(path, self.under) or self.times == 0:
            return False
        if self.after > 0:
            self.after -= 1
            return False
        self.times -= 1
        return True


@dataclass
class Delay:
    """Calls of this kind take so much longer, until the time given (CLOCK_MONOTONIC)."""

    kinds: frozenset[str]
    under: str
    each_ns: int = 0
    until_ns: int = 0
    """All of them wait until then: a stall."""


@dataclass
class Shortening:
    """The next `times` writes of more than a byte are done in their first half only, and say so."""

    under: str
    times: int


class Rules:
    """Thread-safe. `journal` is what was asked, oldest first."""

    def __init__(self) -> None:
        self.journal: deque[Call] = deque(maxlen=JOURNAL_MAX)
        self.counts: dict[str, int] = {}
        self.read_only = False
        self.lying = False
        self.frozen = False
        self.dead = False
        self._failures: list[Failure] = []
        self._delays: list[Delay] = []
        self._shortenings: list[Shortening] = []
        self._changed = threading.Condition()

    # --- told by the kit ---

    def change(self, **settings: Any) -> None:
        """Sets read_only, lying, frozen or dead. Lying: a flush is confirmed and not done. Frozen: calls that change something
        wait. Dead: they fail, as without power."""
        with self._changed:
            for name, value in settings.items():
                setattr(self, name, bool(value))
            self._changed.notify_all()

    def fail(self, failure: Failure) -> None:
        with self._changed:
            self._failures.append(failure)

    def delay(self, delay: Delay) -> None:
        with self._changed:
            self._delays.append(delay)

    def shorten(self, shortening: Shortening) -> None:
        with self._changed:
            self._shortenings.append(shortening)

    def heal(self) -> None:
        """No failure, no delay, no lie, not read-only; who waits goes on. The power stays as it is."""
        with self._changed:
            self._failures, self._delays, self._shortenings = [], [], []
            self.read_only = self.lying = False
            self._changed.notify_all()

    # --- asked by the target ---

    @contextmanager
    def call(self, kind: str, path: str, offset: int = 0, length: int = 0) -> Iterator[None]:
        """Around a call: waits, refuses (OSError), and notes how it ended."""
        started, error = time.monotonic_ns(), 0
        try:
            self._wait(kind, path)
            self._refuse(kind, path)
            yield
        except OSError as refused:
            error = refused.errno or errno.EIO
            raise
        finally:
            with self._changed:
                self.counts[kind] = self.counts.get(kind, 0) + 1
                self.journal.append(Call(started, time.monotonic_ns(), kind, path, offset, length, error))

    def taken(self, path: str, length: int) -> int:
        """How many bytes of a write the disk takes."""
        with self._changed:
            for shortening in self._shortenings:
                if shortening.times > 0 and length > 1 and inside(path, shortening.under):
                    shortening.times -= 1
                    return length // 2
        return length

    def _wait(self, kind: str, path: str) -> None:
        with self._changed:
            delays = [d for d in self._delays if kind in d.kinds and inside(path, d.under)]
            self._sleep(sum(d.each_ns for d in delays), delays)
            while self.frozen and kind in MUTATING:
                self._changed.wait()
            if self.dead and kind in MUTATING:
                raise OSError(errno.EIO, os.strerror(errno.EIO))

    def _sleep(self, each_ns: int, delays: list[Delay]) -> None:
        until = max([time.monotonic_ns() + each_ns, *(d.until_ns for d in delays)])
        while not self.dead and any(d in self._delays for d in delays) and (left := until - time.monotonic_ns()) > 0:
            self._changed.wait(left / 1e9)

    def _refuse(self, kind: str, path: str) -> None:
        with self._changed:
            if self.read_only and kind in MUTATING - SYNCS:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
            for failure in self._failures:
                if failure.strikes(kind, path):
                    raise OSError(failure.error, os.strerror(failure.error))


def inside(path: str, under: str) -> bool:
    """Whether a path of the disk is that folder or in it."""
    return under == "/" or path == under or path.startswith(under.rstrip("/") + "/")
