"""`matchmark verify-log` without the terminal: goes through an audit log and says what is wrong with it, or that nothing is.

Passes, in one reading: structure (CRC, sequence, epoch, hash chain, framing), replay (the commands through a fresh native
engine give the same events), book (price-time priority; quantity, cash and positions conserved). The first fault of the log
ends the run: what comes after it cannot be judged. A torn tail, which a crash leaves behind and the next start cuts, is not a
fault but is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from matchmark.native import COMMAND, EVENT, Engine
from matchmark.native.pipeline import EngineConfig, PipelineError, recover
from matchmark.native.pipeline_records import RecordKind
from matchmark.reference.audit_log import AuditFile, AuditLogError, log_files, open_file
from matchmark.reference.verify_book import Book
from matchmark.reference.verify_structure import check_structure, fresh_state

Records = npt.NDArray[np.void]
CHUNK_RECORDS = 1 << 16


@dataclass(frozen=True)
class Finding:
    """One fault. `sequence` is the record number that should be there; `offset` bytes from the file's start."""

    path: Path
    offset: int
    sequence: int
    text: str

    def __str__(self) -> str:
        return f"{self.path.name}, offset {self.offset}, record {self.sequence}: {self.text}"


@dataclass
class Result:
    """What was checked. `seconds` by pass: of the wall clock, of the processor; `findings` empty for a clean log."""

    files: int = 0
    records: int = 0
    commands: int = 0
    trades: int = 0
    lots: int = 0
    bytes: int = 0
    seconds: dict[str, tuple[float, float]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


Progress = Callable[[int, int], None]
"""Called with records done and records there may be."""


class Replay:
    """A fresh engine that takes the log's commands; its events must be the log's."""

    def __init__(self, config: EngineConfig) -> None:
        levels = config.max_orders if config.max_levels is None else config.max_levels
        self.engine = Engine(
            config.symbols, config.max_orders, levels, config.remembered_ids, config.emit_top,
            window_ticks=config.window_ticks, hash_seed=config.hash_seed,
        )  # fmt: skip
        self.owed = np.zeros(0, dtype=EVENT)

    def check(self, records: Records) -> tuple[int, str]:
        """(index, what is wrong) of the first event that the engine does not make; (n, "") when it makes all."""
        commands = records["kind"] == RecordKind.COMMAND
        made = self.engine.submit(_bodies(records[commands]).view(COMMAND).reshape(-1))
        expected = np.concatenate([self.owed, made])
        where = np.flatnonzero(~commands)
        logged = _bodies(records[where]).view(EVENT).reshape(-1)
        n = min(len(logged), len(expected))
        differ = _rows(logged[:n]) != _rows(expected[:n])
        bad = np.flatnonzero(differ.any(axis=1))
        if len(bad):
            return int(
                where[bad[0]]
            ), f"replay gives another event: {_words(expected[bad[0]])}; logged {_words(logged[bad[0]])}"
        if len(logged) > n:
            return int(where[n]), f"replay gives no such event: {_words(logged[n])}"
        self.owed = expected[n:]
        return len(records), ""


def verify(directory: Path, progress: Progress = lambda done, total: None) -> Result:
    """Checks the log in `directory`.

    OSError when the directory cannot be read. A log without files or records has `records` 0 and no findings.
    """
    result = Result()
    paths = log_files(directory)
    run = _Run(result, progress)
    for number, path in enumerate(paths):
        began = time.perf_counter(), time.process_time()
        try:
            file = open_file(path)
        except AuditLogError as error:
            result.findings.append(Finding(path, 0, run.sequence + 1, str(error).removeprefix(f"{path}: ")))
            return result
        result.files += 1
        run.add_time("read", *began)
        run.take(file, last=number + 1 == len(paths))
        if result.findings:
            break
    run.end()
    return result


class _Run:
    def __init__(self, result: Result, progress: Progress) -> None:
        self.result, self.progress = result, progress
        self.links = fresh_state()
        self.first: AuditFile | None = None
        self.passes: list[tuple[str, Callable[[Records], tuple[int, str]]]] = []
        self.book: Book | None = None

    @property
    def sequence(self) -> int:
        return int(self.links[0])

    def take(self, file: AuditFile, last: bool) -> None:
        if fault := self._does_not_follow(file):
            self.result.findings.append(Finding(file.path, 0, self.sequence + 1, fault))
            return
        if self.first is None:
            self._begin(file)
        done = 0
        total = self.result.records + _last_written(file)
        for chunk in _chunks(file.slots):
            good, fault = self._time("structure", lambda records: check_structure(records, self.links), chunk)
            self._deeper(file, done, chunk[:good])
            done += good
            self.progress(self.result.records, total)
            if self.result.findings:
                return
            if fault:
                self._stopped(file, done, fault, last)
                return

    def _begin(self, file: AuditFile) -> None:
        self.first = file
        began = time.perf_counter(), time.process_time()
        check_structure(file.slots[:0], fresh_state())  # loads what numba compiled, which is not checking
        Book(1).check(file.slots[:0])
        self.add_time("load", *began)
        replay, self.book = Replay(file.header.config), Book(file.header.config.symbols)
        self.passes = [("replay", replay.check), ("book", self.book.check)]

    def _does_not_follow(self, file: AuditFile) -> str:
        h = file.header
        if h.first_sequence != self.sequence + 1:
            return f"the file begins with record {h.first_sequence}, but record {self.sequence + 1} is due: a file is missing"
        if h.first_hash != int(self.links[1]):
            return "the file does not go on from the one before it: the running hash in its header is another"
        if self.first is not None and (h.config, h.instruments_hash) != (
            self.first.header.config,
            self.first.header.instruments_hash,
        ):
            return "the file's engine configuration or instrument list is not that of the first file"
        return ""

    def _deeper(self, file: AuditFile, at: int, records: Records) -> None:
        if not len(records):
            return
        self.result.records += len(records)
        self.result.bytes += records.nbytes
        self.result.commands += int((records["kind"] == RecordKind.COMMAND).sum())
        for name, check in self.passes:
            index, fault = self._time(name, check, records)
            if fault:
                where = at + index
                self.result.findings.append(
                    Finding(file.path, file.offset(where), file.header.first_sequence + where, f"{name}: {fault}")
                )
                return

    def _stopped(self, file: AuditFile, at: int, fault: str, last: bool) -> None:
        """A record that is not valid: the end of the log, a torn tail, or damage."""
        if last and not _nonzero_from(file, at):
            return
        text = fault if any(file.slots[at].tobytes()) else "zeros where a record was"
        if last:
            try:
                extent = recover(file.path.parent, cut=False)
            except PipelineError:
                pass  # it says in other words what we have found ourselves
            else:
                self.result.notes.append(
                    f"torn tail: {extent.bytes_cut:,} bytes after record {extent.sequence} were never confirmed; "
                    "the next start cuts them"
                )
                return
        self.result.findings.append(Finding(file.path, file.offset(at), file.header.first_sequence + at, text))

    def end(self) -> None:
        if self.book is not None:
            self.result.trades, self.result.lots = self.book.trades, self.book.lots
        if self.result.records and not self.result.findings and self.links[4] == 0:
            self.result.notes.append(f"the last command is cut short at record {self.sequence}; a restart completes it")

    def _time(self, name: str, check: Callable[[Records], tuple[int, str]], records: Records) -> tuple[int, str]:
        began = time.perf_counter(), time.process_time()
        answer = check(records)
        self.add_time(name, *began)
        return answer

    def add_time(self, name: str, wall_began: float, busy_began: float) -> None:
        wall, busy = self.result.seconds.get(name, (0.0, 0.0))
        self.result.seconds[name] = (wall + time.perf_counter() - wall_began, busy + time.process_time() - busy_began)


def _chunks(slots: Records) -> Iterator[Records]:
    return (slots[at : at + CHUNK_RECORDS] for at in range(0, len(slots), CHUNK_RECORDS))


def _last_written(file: AuditFile) -> int:
    """About how many slots are used: for the progress bar."""
    used = np.flatnonzero(file.slots["sequence"][:: max(1, len(file.slots) // 1000)])
    return (int(used[-1]) + 1) * max(1, len(file.slots) // 1000) if len(used) else 0


def _nonzero_from(file: AuditFile, at: int) -> bool:
    return any(chunk.view(np.uint8).any() for chunk in _chunks(file.slots[at:]))


def _bodies(records: Records) -> npt.NDArray[np.void]:
    return np.ascontiguousarray(records["body"])


def _rows(events: Records) -> npt.NDArray[np.uint64]:
    return np.ascontiguousarray(events).view(np.uint64).reshape(len(events), -1)


def _words(event: np.void) -> str:
    names = (
        "kind",
        "reason",
        "side",
        "symbol",
        "order_id",
        "price_ticks",
        "quantity_lots",
        "cum_lots",
        "other_order_id",
    )
    return ", ".join(f"{name} {event[name]}" for name in names)
