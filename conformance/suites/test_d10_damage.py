"""Diagram 10: what is wrong with the log's files when the exchange starts. A torn tail is cut off, committed damage is refused.

The memory is gone, as after a power cut, so the files are all there is. Each alteration is made to a copy of the same log; the
start is to end with the place, and the file stays as it was.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from matchmark.conformance.checks import audit_format as f
from matchmark.conformance.checks import audit_ledger as ledgers
from matchmark.conformance.checks.audit_ledger import Breach
from matchmark.conformance.checks.audit_structure import AuditLog, Place
from matchmark.conformance.hooks import HookFailed, StartRefused, waited
from matchmark.conformance.lab import Lab
from matchmark.conformance.lab_fixtures import MakeLab, judge, violate
from matchmark.conformance.lab_load import Load
from matchmark.conformance.ledger import Ledger
from matchmark.conformance.suites._durability import Desk, read_steps

pytestmark = pytest.mark.needs("audit_log", "restart")

ORDERS = 60
"""Of the load, in the log's last file."""
ROTATION_S = 60.0


@dataclass(frozen=True)
class Snapshot:
    """The folder of a lab that was killed after a load and lost its memory, its log in two files."""

    folder: Path
    log_dir: Path
    """Below the folder."""
    log: AuditLog
    ledger: Ledger


class Damaged:
    """A lab that is given the snapshot's folder, as often as it is asked to."""

    def __init__(self, lab: Lab, snapshot: Snapshot) -> None:
        self.lab, self.snapshot = lab, snapshot
        self.log_dir = lab.folder / snapshot.log_dir
        self.log, self.ledger = snapshot.log, snapshot.ledger

    def restore(self) -> AuditLog:
        self.lab.instance.kill_all()
        shutil.rmtree(self.lab.folder, ignore_errors=True)
        shutil.copytree(self.snapshot.folder, self.lab.folder)
        self.lab.wipe_memory()
        self.lab.forget_numbers()
        return self.log

    def path(self, place: Place) -> Path:
        return self.log_dir / place.file


SNAPSHOT = pytest.StashKey[Snapshot]()


@pytest.fixture
def damaged(request: pytest.FixtureRequest, make_lab: MakeLab, tmp_path_factory: pytest.TempPathFactory) -> Damaged:
    stash = request.config.stash
    if SNAPSHOT not in stash:
        stash[SNAPSHOT] = _snapshot(make_lab(), tmp_path_factory.mktemp("snapshot") / "data")
    return Damaged(make_lab(), stash[SNAPSHOT])


def _snapshot(lab: Lab, copy: Path) -> Snapshot:
    lab.start()
    with Load(lab, lab.accounts[:3], "damage-", burst=20) as load:
        waited(lambda: len(list(lab.log_dir.glob("*.log"))) > 1 or load.error is not None, ROTATION_S)
        load.wait_sent(ORDERS)
        load.stop()
        load.settle()
    ledger = lab.ledger
    lab.wait_logged(set(ledger.acknowledged))
    lab.kill("all")
    lab.wipe_memory()
    log = lab.read_log()
    shutil.copytree(lab.folder, copy)
    return Snapshot(copy, lab.log_dir.relative_to(lab.folder), log, ledger)


def _torn_tails(log: AuditLog) -> Iterator[tuple[str, int, bytes]]:
    """What a write that was cut off may have left behind the last record: (what, offset, bytes). Whole sectors are missing."""
    place = log.files[-1]
    end = f.HEADER_BYTES + place.records * f.RECORD_BYTES
    rows = log.records[-8:].view(np.uint8).reshape(-1, f.RECORD_BYTES).copy()
    rows.view(f.RECORD)["sequence"][:, 0] = log.last_sequence + 1 + np.arange(8)
    rows.view(f.RECORD)["batch_index"][:, 0] = np.arange(8)
    batch = f.seal(rows, int(log.records["running_hash"][-1])).tobytes()
    edge = f.SECTOR_BYTES - end % f.SECTOR_BYTES
    if edge < f.RECORD_BYTES:  # else a record of it would be whole, and would have to be one that the engine makes
        yield "its first sector", end, batch[:edge]
    yield "all but its first sector", end + edge, batch[edge:]
    yield (
        "a sector in its middle",
        end + edge + f.SECTOR_BYTES,
        batch[edge + f.SECTOR_BYTES : edge + 2 * f.SECTOR_BYTES],
    )


@pytest.mark.clause("D10.X5")
def test_a_torn_tail_is_cut_off_and_every_record_before_it_is_kept(damaged: Damaged) -> None:
    lab = damaged.lab
    for what, offset, data in _torn_tails(damaged.log):
        log = damaged.restore()
        with damaged.path(log.files[-1]).open("r+b") as file:
            file.seek(offset)
            file.write(data)
        try:
            lab.restart()
        except HookFailed as error:
            violate(
                lab,
                Breach(
                    "D10.X5", f"of a batch on its way {what} was left at the log's end, and it does not start: {error}"
                ),
            )
        lab.wait_logged({Desk(lab, lab.accounts[4], f"torn{offset}.").order("buy", 1, -3)})
        after, logged, faults = read_steps(lab)
        judge(lab, (Breach("D10.X5", f"{what} was left at the log's end; {b.message}") for b in faults))
        kept = after.records[: len(log.records)].view(np.uint8).tobytes()
        if kept != log.records.view(np.uint8).tobytes():
            violate(
                lab,
                Breach(
                    "D10.X5", f"of a batch on its way {what} was left, and records before it are not what they were"
                ),
            )
        judge(lab, ledgers.nothing_lost(damaged.ledger, logged, "D10.X5", f"a torn tail ({what})"))


Alteration = Callable[[Damaged], Path]
"""Alters the log of a restored lab; the file that is damaged then."""


def _edit(change: Callable[[np.ndarray, int], None], which: int = 0) -> Alteration:
    """Changes the records of a file (the first, -1 the last), shape (n, 272), given with the number of them."""

    def alter(d: Damaged) -> Path:
        place = d.log.files[which]
        path = d.path(place)
        content = bytearray(path.read_bytes())
        size = place.records * f.RECORD_BYTES
        rows = np.frombuffer(content, dtype=np.uint8, count=size, offset=f.HEADER_BYTES).reshape(-1, f.RECORD_BYTES)
        change(rows, place.records)
        path.write_bytes(content)
        return path

    return alter


def _flip(rows: np.ndarray, n: int) -> None:
    rows[n // 2, 88] ^= 0x10


def _rewrite(rows: np.ndarray, n: int) -> None:
    """A quantity changed by somebody who can make a CRC, and no chain."""
    rows[n // 2, 56] ^= 0x01
    rows[n // 2, 268:272] = f.crc32c(rows[n // 2 : n // 2 + 1, :268]).view(np.uint8)


def _zero(rows: np.ndarray, n: int) -> None:
    rows[n // 2] = 0


def _leave_out(rows: np.ndarray, n: int) -> None:
    rows[n // 2 : n - 1] = rows[n // 2 + 1 : n].copy()
    rows[n - 1] = 0


def _repeat(rows: np.ndarray, n: int) -> None:
    rows[n // 2 + 1 : n] = rows[n // 2 : n - 1].copy()


def _exchange(rows: np.ndarray, n: int) -> None:
    rows[[n // 2, n // 2 + 1]] = rows[[n // 2 + 1, n // 2]]


def _header(d: Damaged) -> Path:
    path = d.path(d.log.files[0])
    with path.open("r+b") as file:
        file.seek(88)
        byte = file.read(1)
        file.seek(88)
        file.write(bytes([byte[0] ^ 1]))
    return path


ALTERATIONS: dict[str, Alteration] = {
    "a flipped bit": _edit(_flip),
    "a changed quantity with a CRC that fits": _edit(_rewrite),
    "a flipped bit in the last file": _edit(_flip, -1),
    "zeros": _edit(_zero),
    "a missing record": _edit(_leave_out),
    "a repeated record": _edit(_repeat),
    "exchanged records": _edit(_exchange),
    "exchanged records in the last file": _edit(_exchange, -1),
    "a damaged header": _header,
}


def _names_place(said: str, path: Path, in_record: bool) -> bool:
    """The file, and of damage in a record a number that says where."""
    _, found, after = said.partition(path.name)
    return bool(found) and (not in_record or any(c.isdigit() for c in after))


@pytest.mark.clause("D10.X6")
def test_damage_to_committed_records_is_refused_with_its_place_and_nothing_is_cut(damaged: Damaged) -> None:
    lab = damaged.lab
    for what, alter in ALTERATIONS.items():
        damaged.restore()
        path = alter(damaged)
        before = {p.name: p.read_bytes() for p in damaged.log_dir.glob("*.log")}
        try:
            lab.restart()
        except StartRefused as refused:
            if not _names_place(refused.said, path, in_record=alter is not _header):
                violate(
                    lab, Breach("D10.X6", f"{what}: refused without its place", (path.name,), (refused.said[-500:],))
                )
        else:
            violate(
                lab,
                Breach(
                    "D10.X6",
                    f"the log has {what} in what was committed, and the exchange starts",
                    ("a refusal",),
                    ("ready",),
                ),
            )
        after = {p.name: p.read_bytes() for p in damaged.log_dir.glob("*.log")}
        if after != before:
            violate(lab, Breach("D10.X6", f"{what}: the start that refused the log has altered its files"))


@pytest.mark.clause("D10.X6")
def test_a_missing_or_repeated_file_is_refused(damaged: Damaged) -> None:
    if len(damaged.log.files) < 2:
        pytest.skip("the log did not go on in another file: give the profile's lab_start smaller files")
    first, second = damaged.log.files[0].file, damaged.log.files[1].file
    for what, change in (
        ("lacks a file", lambda: (damaged.log_dir / first).unlink()),
        ("has a file twice", lambda: shutil.copy(damaged.log_dir / first, damaged.log_dir / _next_name(second))),
    ):
        damaged.restore()
        change()
        try:
            damaged.lab.restart()
        except StartRefused as refused:
            if not re.search(r"audit-\d{20}|record \d+", refused.said):
                text = f"the log {what}: refused without its place"
                violate(damaged.lab, Breach("D10.X6", text, ("the file, or the record",), (refused.said[-500:],)))
        else:
            violate(
                damaged.lab, Breach("D10.X6", f"the log {what}, and the exchange starts", ("a refusal",), ("ready",))
            )


def _next_name(name: str) -> str:
    """A file name of the format behind this one."""
    found = f.NAME.fullmatch(name)
    assert found
    return name.replace(found[1], f"{int(found[1]) + 7:020d}")
