"""`matchmark verify-log` without the terminal: goes through an audit log and says what is wrong with it, or that nothing is.

Passes, in one reading: structure (CRC, sequence, epoch, hash chain, framing), replay (the commands through a fresh native engine
give the same events), and in a thread beside them book (price-time priority; quantity, cash and positions conserved). The first
fault of the log ends the run: what comes after it cannot be judged. A torn tail, which a crash leaves behind and the next start
cuts, is not a fault but is told.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from matchmark.native import EVENT, _native
from matchmark.native.pipeline import EngineConfig, PipelineError, recover
from matchmark.reference.audit_log import AuditFile, AuditLogError, log_files, open_file
from matchmark.reference.verify_book import Book
from matchmark.reference.verify_structure import check_structure, fresh_state

Records = npt.NDArray[np.void]
# A piece fits a processor's own cache: what the first pass over it read from memory, the next ones find there.
PIECE_RECORDS = 1 << 10
CHUNK_RECORDS = 8 * PIECE_RECORDS
AHEAD_CHUNKS = 4

_ffi: Any = _native.ffi
_lib: Any = _native.lib


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
    """What was checked. `findings` is empty for a clean log.

    `seconds` by pass: of the wall clock, of the processor. `wall_s`: of all, beside each other, without loading the checks.
    """

    files: int = 0
    records: int = 0
    commands: int = 0
    trades: int = 0
    lots: int = 0
    bytes: int = 0
    wall_s: float = 0.0
    seconds: dict[str, tuple[float, float]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


Progress = Callable[[int, int], None]
"""Called with records done and records there may be."""


class Replay:
    """A fresh engine that takes the log's commands; its events must be the log's."""

    def __init__(self, config: EngineConfig) -> None:
        self._native = _ffi.gc(_lib.mm_replay_make(config.native()), _lib.mm_replay_free)
        if self._native == _ffi.NULL:
            raise MemoryError(f"no memory for an engine of {config.max_orders:,} orders on {config.symbols:,} symbols")
        self._made = np.zeros(1, dtype=EVENT)

    def check(self, records: Records) -> tuple[int, str]:
        """(index, what is wrong) of the first event that the engine does not make; (n, "") when it makes all."""
        where, made = _ffi.from_buffer("mm_audit_record *", records), _ffi.from_buffer("mm_event *", self._made)
        index = int(_lib.mm_replay_check(self._native, where, len(records), made))
        if index == len(records):
            return index, ""
        logged = np.ascontiguousarray(records["body"][index : index + 1]).view(EVENT)[0]
        if not self._made["kind"][0]:
            return index, f"replay gives no such event: {_words(logged)}"
        return index, f"replay gives another event: {_words(self._made[0])}; logged {_words(logged)}"


class _Pass:
    """A check that gets the records in their order; it ends at its first fault."""

    def __init__(
        self, name: str, check: Callable[[Records], tuple[int, str]], take: Callable[[str, float, float], None]
    ):
        self.name, self._check, self._take = name, check, take
        self.finding: Finding | None = None

    def run(self, file: AuditFile, at: int, records: Records) -> None:
        if self.finding:
            return
        began = time.perf_counter(), time.thread_time()
        index, fault = self._check(records)
        self._take(self.name, time.perf_counter() - began[0], time.thread_time() - began[1])
        if fault:
            number = at + index
            sequence = file.header.first_sequence + number
            self.finding = Finding(file.path, file.offset(number), sequence, f"{self.name}: {fault}")


class _Beside:
    """A pass in a thread of its own."""

    def __init__(self, one: _Pass) -> None:
        self._pass = one
        self._thread = ThreadPoolExecutor(1, f"verify-{one.name}")
        self._waiting: deque[Future[None]] = deque()

    def put(self, file: AuditFile, at: int, records: Records) -> None:
        """Waits when it is far behind."""
        while len(self._waiting) >= AHEAD_CHUNKS:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(self._pass.run, file, at, records))

    def end(self) -> None:
        while self._waiting:
            self._waiting.popleft().result()
        self._thread.shutdown()


def verify(directory: Path, progress: Progress = lambda done, total: None) -> Result:
    """Checks the log in `directory`.

    OSError when the directory cannot be read. A log without files or records has `records` 0 and no findings.
    """
    result = Result()
    began = time.perf_counter()
    run = _Run(result, progress)
    try:
        _go_through(log_files(directory), run)
    finally:
        run.end()
    result.wall_s = time.perf_counter() - began - result.seconds.get("load", (0.0, 0.0))[0]
    return result


def _go_through(paths: list[Path], run: _Run) -> None:
    for number, path in enumerate(paths):
        began = time.perf_counter(), time.thread_time()
        try:
            file = open_file(path)
        except AuditLogError as error:
            text = str(error).removeprefix(f"{path}: ")
            run.result.findings.append(Finding(path, 0, run.sequence + 1, text))
            return
        run.result.files += 1
        run.add_time("read", time.perf_counter() - began[0], time.thread_time() - began[1])
        run.take(file, last=number + 1 == len(paths))
        if run.over:
            return


class _Run:
    """Goes through the files in order. Two threads, of about the same work: structure and replay here, the book beside."""

    def __init__(self, result: Result, progress: Progress) -> None:
        self.result, self.progress = result, progress
        self.links = fresh_state()
        self.first: AuditFile | None = None
        self.passes: list[_Pass] = []
        self.book: Book | None = None
        self.beside: _Beside | None = None

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
        for chunk in _parts(file.slots, CHUNK_RECORDS):
            good, fault = self._here(file, done, chunk)
            if self.beside and good:
                self.beside.put(file, done, chunk[:good])
            done += good
            self.progress(self.result.records, total)
            if any(one.finding for one in self.passes):
                return
            if fault:
                self._stopped(file, done, fault, last)
                return

    def _begin(self, file: AuditFile) -> None:
        self.first = file
        began = time.perf_counter(), time.process_time()
        check_structure(file.slots[:0], fresh_state())  # loads what numba compiled, which is not checking
        Book(1).check(file.slots[:0])
        self.add_time("load", time.perf_counter() - began[0], time.process_time() - began[1])
        room = len(file.slots) * len(log_files(file.path.parent))
        replay, self.book = Replay(file.header.config), Book(file.header.config.symbols, room)
        self.passes = [_Pass("replay", replay.check, self.add_time), _Pass("book", self.book.check, self.add_time)]
        self.beside = _Beside(self.passes[1])

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

    def _here(self, file: AuditFile, at: int, chunk: Records) -> tuple[int, str]:
        """How many records from the chunk's first have a sound structure, and what is wrong with the next; they are replayed."""
        good, fault, replay = 0, "", self.passes[0]
        for piece in _parts(chunk, PIECE_RECORDS):
            began = time.perf_counter(), time.thread_time()
            sound, fault = check_structure(piece, self.links)
            self.add_time("structure", time.perf_counter() - began[0], time.thread_time() - began[1])
            if sound:
                replay.run(file, at + good, piece[:sound])
            good += sound
            if fault or replay.finding:
                break
        self.result.records += good
        self.result.bytes += good * chunk.itemsize
        return good, fault

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

    @property
    def over(self) -> bool:
        """Something was found: what comes after it cannot be judged."""
        return bool(self.result.findings) or any(one.finding for one in self.passes)

    def end(self) -> None:
        """The first fault of all passes counts; where two fault one record, replay before book."""
        if self.beside:
            self.beside.end()
        found = [*(one.finding for one in self.passes if one.finding), *self.result.findings]
        self.result.findings = sorted(found, key=lambda finding: finding.sequence)[:1]
        self.result.commands = int(self.links[6])
        if self.book is not None:
            self.result.trades, self.result.lots = self.book.trades, self.book.lots
        if self.result.records and not self.result.findings and self.links[4] == 0:
            self.result.notes.append(f"the last command is cut short at record {self.sequence}; a restart completes it")

    def add_time(self, name: str, wall: float, busy: float) -> None:
        before = self.result.seconds.get(name, (0.0, 0.0))
        self.result.seconds[name] = (before[0] + wall, before[1] + busy)


def _parts(slots: Records, size: int) -> Iterator[Records]:
    return (slots[at : at + size] for at in range(0, len(slots), size))


def _last_written(file: AuditFile) -> int:
    """About how many slots are used: for the progress bar."""
    used = np.flatnonzero(file.slots["sequence"][:: max(1, len(file.slots) // 1000)])
    return (int(used[-1]) + 1) * max(1, len(file.slots) // 1000) if len(used) else 0


def _nonzero_from(file: AuditFile, at: int) -> bool:
    return any(chunk.view(np.uint8).any() for chunk in _parts(file.slots[at:], CHUNK_RECORDS))


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
