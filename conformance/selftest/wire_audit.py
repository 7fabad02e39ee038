"""Wire mutants of the audit log: what is written, flushed and admitted, and what a restart makes of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matchmark.conformance.selftest.shims import compiled
from matchmark.conformance.selftest.wire_declare import BrokenWire, Reports, Start, wire_mutant
from matchmark.conformance.selftest.wire_message import Message
from matchmark.conformance.selftest.wire_proxy import Link
from matchmark.conformance.selftest.wire_resend import Again
from matchmark.native import _native

FSYNC = "exchange-fsync"
RECORD, HEADER, CRC_AT = 272, 4096, 268
COPY_EVERY_S = 0.1
AFTER_CONTROL = 60
"""Orders of an exchange: fewer are in the positive control, which a mutant must pass to be judged."""


class Shimmed(BrokenWire):
    """The audit writer's calls go through shims/audit_shim.c, which gets `mode` wrong."""

    mode = ""

    def prepare(self, start: Start) -> None:
        self.built = tempfile.TemporaryDirectory(prefix="matchmark-shim-")
        start.env |= {"LD_PRELOAD": str(compiled(Path(self.built.name))), "MATCHMARK_SHIM": self.mode}


def shim(name: str, mode: str, *, breaks: tuple[str, ...], story: str, profile: str = "exchange") -> type[Shimmed]:
    cls = type(f"Shim_{mode}", (Shimmed,), {"mode": mode})
    return wire_mutant(name, breaks=breaks, story=story, needs_compiler=True, profile=profile)(cls)


shim(
    "flush-left-out",
    "no_flush",
    breaks=("D10.X8", "D10.7"),
    story="A setting that was meant for tests turned every flush of the log off.",
    profile=FSYNC,
)
shim(
    "flush-before-the-write",
    "flush_first",
    breaks=("D10.X8", "D10.7"),
    story="Each batch was flushed before it was written, so that the last one never was.",
    profile=FSYNC,
)
shim(
    "flush-left-out-in-async",
    "no_flush",
    breaks=("D10.N2", "D01.N2", "D10.7", "D10.X3"),
    story="In mode async nobody waits for the flush, and so it was left to the operating system's half a minute.",
)
shim(
    "flush-error-overlooked",
    "ignore_flush_error",
    breaks=("D10.X4",),
    story="The flush returned an error that nobody looked at.",
)
shim(
    "flush-tried-again",
    "retry_flush",
    breaks=("D10.X4",),
    story="A failed flush was tried again and then believed, though the pages had been dropped by the first.",
)
shim(
    "write-error-overlooked",
    "ignore_write_error",
    breaks=("D10.X4",),
    story="A write that failed was counted as written.",
)
shim(
    "short-write-overlooked",
    "short",
    breaks=("D10.6", "D10.1"),
    story="A write that took only part of a batch was taken for a whole one, and left a hole behind it.",
)
shim(
    "batch-not-written",
    "hole",
    breaks=("D10.2", "D10.1", "D01.7"),
    story="A batch was skipped when the writer was woken twice: orders were acknowledged that no log has.",
)
shim(
    "last-record-of-batch-lost",
    "lose_last",
    breaks=("D10.2", "D10.1"),
    story="The loop over a batch ended one record early.",
)
shim(
    "last-record-of-batch-twice",
    "twice",
    breaks=("D10.1", "D10.2"),
    story="The last record of a batch was copied over the one before it.",
)
shim(
    "records-swapped",
    "swap",
    breaks=("D10.1",),
    story="The last two records of a batch changed places on their way to the disk.",
)
shim(
    "bit-flipped",
    "flip",
    breaks=("D10.1",),
    story="A bit of a record was changed between its check sum and the disk.",
)
shim(
    "batch-kept-back",
    "late",
    breaks=("D10.4", "D10.X1"),
    story="A batch stayed in the writer's buffer until the next one came.",
)
shim(
    "chain-begins-anew-in-each-file",
    "chain_anew",
    breaks=("D10.X11",),
    story="Each file of the log began its chain of hashes at zero, so that none can be missed.",
)
shim(
    "no-room-kept",
    "no_room_kept",
    breaks=("D10.X10",),
    story="Files of the log were made without taking the room for them, and a full disk was found too late.",
)

# --- modes ---


@wire_mutant(
    "acknowledged-before-the-flush",
    breaks=("D10.X8",),
    story="Mode fsync was printed and mode async was run.",
    profile=FSYNC,
)
class AsyncInFact(BrokenWire):
    def prepare(self, start: Start) -> None:
        start.set_flag("--durability", "async")

    def ready(self, line: dict[str, Any]) -> None:
        line["durability"] = "fsync"


@wire_mutant(
    "async-waits-for-the-disk",
    breaks=("D10.3", "D01.7", "D10.N1", "D01.N1"),
    story="In mode async every acknowledgement waited for the disk all the same.",
)
class FsyncInFact(BrokenWire):
    def prepare(self, start: Start) -> None:
        start.set_flag("--durability", "fsync")

    def ready(self, line: dict[str, Any]) -> None:
        line["durability"] = "async"


@wire_mutant(
    "unlogged-order-acknowledged",
    breaks=("D01.7", "D06.X4", "D10.X1"),
    story="An order was acknowledged by the gateway at once, and every fourth was lost before it was logged.",
)
class AcknowledgedUnlogged(BrokenWire):
    """The answer is made from an acknowledgement that the session had before."""

    def __init__(self) -> None:
        super().__init__()
        self.acks: dict[str, Message] = {}
        self.count = 0

    def to_client(self, link: Link, m: Message) -> list[Message]:
        if link.session and m.kind == "8" and m.get(150) == "0":
            self.acks[link.session.name] = m
        return [m]

    def to_exchange(self, link: Link, m: Message) -> list[Message]:
        like = self.acks.get(link.session.name) if link.session else None
        if like is None or m.kind != "D" or m.again or m.get(40) != "2":
            return [m]
        self.count += 1
        if self.count < AFTER_CONTROL or self.count % 4:
            return [m]
        ack = like.copy().set(37, 2**40 + self.count).set(17, 2**62 + 2**41 + self.count).set(151, m.get(38))
        for tag in (11, 55, 54, 38, 44, 59):
            ack.set(tag, m.get(tag) or "0")
        link.insert(ack)
        return []


@wire_mutant(
    "fill-price-not-that-of-the-log",
    breaks=("D02.7",),
    story="Both sides were told the price after a price improvement that the log knew nothing of.",
)
class OtherPriceThanLog(Reports):
    def edited(self, link: Link, m: Message) -> list[Message]:
        if m.get(150) == "F" and m.get(31).endswith("1"):
            m.set(31, f"{m.get(31)[:-1]}2")
        return [m]


# --- restarts ---


class Restarts(BrokenWire):
    """For bugs of a restart: `before` is called when there is a log already."""

    restarted = False

    def prepare(self, start: Start) -> None:
        self.log = start.data / "log"
        self.restarted = any(self.log.glob("audit-*.log"))
        if self.restarted:
            self.before(start)

    def before(self, start: Start) -> None:
        pass


def records(path: Path) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of every place for a record in a file."""
    data = path.read_bytes()
    for at in range(HEADER, len(data) - RECORD + 1, RECORD):
        yield at, data[at : at + RECORD]


def is_sound(record: bytes, sequence: int) -> bool:
    crc = int.from_bytes(record[CRC_AT:], "little")
    return int.from_bytes(record[:8], "little") == sequence and int(_native.lib.mm_crc32c(0, record, CRC_AT)) == crc


def end_of(path: Path) -> tuple[int, bool]:
    """Where the sound records of a file end, and whether anything but zeros is there or behind."""
    sequence = int(path.stem.removeprefix("audit-"))
    for at, record in records(path):
        if not is_sound(record, sequence):
            return at, any(path.read_bytes()[at:])
        sequence += 1
    return path.stat().st_size, False


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


@wire_mutant(
    "torn-tail-refused",
    breaks=("D10.X5",),
    story="A record that a power cut had torn was called damage, and the exchange did not start again.",
)
class TornRefused(Restarts):
    def before(self, start: Start) -> None:
        last = max(self.log.glob("audit-*.log"))
        if end_of(last)[1]:
            sys.exit(f"matchmark serve: audit log {last} is damaged")


@wire_mutant(
    "torn-tail-takes-a-record-along",
    breaks=("D10.X5",),
    story="Together with a torn record the last sound one before it was cut off.",
)
class TornTakesMore(Restarts):
    def before(self, start: Start) -> None:
        last = max(self.log.glob("audit-*.log"))
        end, torn = end_of(last)
        if torn and end > HEADER:
            overwrite(last, end - RECORD, bytes(RECORD))


@wire_mutant(
    "damage-cut-off",
    breaks=("D10.X6",),
    story="The log was cut at the first record that could not be read, with all the good ones behind it.",
)
class DamageCutOff(Restarts):
    def before(self, start: Start) -> None:
        paths = sorted(self.log.glob("audit-*.log"))
        for n, path in enumerate(paths):
            end, bad = end_of(path)
            if bad:
                overwrite(path, end, bytes(path.stat().st_size - end))
                for later in paths[n + 1 :]:
                    later.unlink()
                return


@wire_mutant(
    "damage-mended-in-silence",
    breaks=("D10.X6",),
    story="Damaged records were replaced from a second copy, and nobody was told.",
)
class DamageMended(Restarts):
    """The copy is made all the time: nobody ends before a kill."""

    def before(self, start: Start) -> None:
        for path in sorted(self.log.glob("audit-*.log")):
            copy = self.log.parent / "copy" / path.name
            if not copy.exists():
                continue
            first = int(path.stem.removeprefix("audit-"))
            good = copy.read_bytes()
            for n, (at, record) in enumerate(records(path)):
                second = good[at : at + RECORD]
                if not is_sound(record, first + n) and is_sound(second, first + n):
                    overwrite(path, at, second)

    def ready(self, line: dict[str, Any]) -> None:
        threading.Thread(target=self.copy_always, daemon=True).start()

    def copy_always(self) -> None:
        copy = self.log.parent / "copy"
        copy.mkdir(exist_ok=True)
        while True:
            for path in self.log.glob("audit-*.log"):
                with contextlib.suppress(OSError):
                    shutil.copyfile(path, copy / path.name)
            time.sleep(COPY_EVERY_S)


@wire_mutant(
    "loss-not-admitted",
    breaks=("D10.X3", "D01.N2"),
    story="After a power cut in mode async the restart said that nothing could be missing.",
)
class LossNotAdmitted(Restarts):
    def ready(self, line: dict[str, Any]) -> None:
        line["recovered"]["may_be_missing"] = None


@wire_mutant(
    "memory-not-used-after-a-kill",
    breaks=("D10.X1", "D06.X4"),
    story="After a kill the rings in shared memory were made anew, and what the writer had not written was gone.",
)
class MemoryDropped(Restarts):
    def before(self, start: Start) -> None:
        if memory := start.flag("--shm-dir"):
            shutil.rmtree(memory, ignore_errors=True)
            os.mkdir(memory)


@wire_mutant(
    "orders-cancelled-by-restart",
    breaks=("D10.X12",),
    story="A restart brought the log back and not the book: open orders were cancelled when their owners came back.",
)
class CancelledByRestart(Restarts):
    def __init__(self) -> None:
        super().__init__()
        self.done: set[str] = set()

    def to_client(self, link: Link, m: Message) -> list[Message]:
        if self.restarted and m.kind == "A" and link.session and link.session.name not in self.done:
            self.done.add(link.session.name)
            cancel = Message.make("q", m, (11, f"restart{m.seq}"), (530, "7"), (60, m.get(52)))
            link.ask(cancel.set(49, m.get(56)).set(56, m.get(49)))
        return [m]


@wire_mutant(
    "client-order-ids-forgotten-by-restart",
    breaks=("D10.X12",),
    story="ClOrdIDs were remembered in memory only: after a restart each could be used again.",
)
class IdsForgotten(Again, Restarts):
    def to_exchange(self, link: Link, m: Message) -> list[Message]:
        if self.restarted and m.kind == "D" and not m.again:
            return [self.as_new(m)]
        return [m]


@wire_mutant(
    "exec-ids-begin-again-at-restart",
    breaks=("D02.X20", "D10.X12"),
    story="Execution ids were counted from the start of the process.",
)
class ExecIdsBeginAgain(BrokenWire):
    def __init__(self) -> None:
        super().__init__()
        self.ids: dict[str, int] = {}

    def to_client(self, link: Link, m: Message) -> list[Message]:
        if m.kind == "8" and m.get(150) != "I":
            m.set(17, self.ids.setdefault(m.get(17), len(self.ids) + 1))
        return [m]
