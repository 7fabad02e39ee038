"""Writes batches of events into the ledger: one transaction a batch, with the offsets up to which events are entered inside it.

What is delivered again is told by its sequence and left out; that nobody else has moved the offset is checked in the transaction,
and that no record is entered twice is a unique key. `psycopg.OperationalError` passes through: whoever calls connects again.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType
from typing import Any

import numpy as np
import psycopg

from matchmark.reference.audit_log import Records
from matchmark.reference.events.opening import LOG
from matchmark.reference.events.source import Batch
from matchmark.reference.ledger.opening import EQUITY, EQUITY_NAME, Opening
from matchmark.reference.ledger.postings import Holds, Lines, PoisonRecord, lines_of, moving, touches_of
from matchmark.reference.ledger.rows import COLUMNS, binary_rows

VERSION = 2
_LOCK = 0x6D6D6C65
"""Advisory lock of the one who writes."""
_COPY = f"COPY ledger_entry ({COLUMNS}) FROM STDIN (FORMAT binary)"
_MOVE = f"""UPDATE ledger_offset SET next_offset = %s, last_sequence = %s, last_hash = %s
WHERE source = '{LOG}' AND partition = 0 AND last_sequence = %s"""
_BEGIN = f"""INSERT INTO ledger_offset (source, partition, next_offset, last_sequence, last_hash)
VALUES ('{LOG}', 0, 1, 0, 0) ON CONFLICT DO NOTHING"""
_KEEP = """INSERT INTO ledger_offset (source, partition, next_offset, last_sequence, last_hash)
SELECT %s, partition, next_offset, %s, %s FROM unnest(%s::integer[], %s::bigint[]) AS t (partition, next_offset)
ON CONFLICT (source, partition) DO UPDATE
SET next_offset = excluded.next_offset, last_sequence = excluded.last_sequence, last_hash = excluded.last_hash"""
_FROM_1 = """ALTER TABLE ledger_offset ADD COLUMN source text NOT NULL DEFAULT 'audit-log',
    DROP CONSTRAINT ledger_offset_pkey, ADD PRIMARY KEY (source, partition);
UPDATE ledger_meta SET version = 2 WHERE version = 1"""
"""A ledger that knew of the log alone."""
Connection = psycopg.Connection[tuple[Any, ...]]


class LedgerError(Exception):
    """This database cannot be the ledger of this exchange; a sentence that says why and what to do."""


def connect(dsn: str) -> Connection:
    """psycopg.OperationalError: it cannot be reached."""
    return psycopg.connect(dsn, connect_timeout=5, autocommit=True, application_name="matchmark ledger")


class LedgerBusy(LedgerError):
    """Somebody writes: another exchange, or for a moment still the process before this one."""


class Writer:
    """The one that writes, on a connection of its own. `next_offset`, the next record, and `last_sequence` are what the database
    has; so is `offsets`: where to go on in the partitions of `source` (opening.py). A ledger goes on exactly in another source.

    LedgerBusy: another one writes. LedgerError: the database holds something else.
    """

    def __init__(self, connection: Connection, opening: Opening, holds: Holds, source: str = LOG) -> None:
        self._connection, self._opening, self._holds, self._source = connection, opening, holds, source
        self.transactions = self.lines = 0
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).fetchone()
        if not row or not row[0]:
            raise LedgerBusy("another process writes this ledger: one exchange, one ledger; stop the other one")
        with connection.transaction():
            _prepare(connection, opening)
            rows = connection.execute("SELECT account, asset FROM ledger_balance WHERE account >= 0").fetchall()
            opening.entered((int(account), int(asset)) for account, asset in rows)
            connection.execute(_BEGIN)
            pairs = list(opening.at_start())
            self._put(opening.lines(pairs))
        opening.entered(pairs)
        found = connection.execute(
            "SELECT next_offset, last_sequence, last_hash FROM ledger_offset WHERE source = %s AND partition = 0",
            (LOG,),
        ).fetchone()
        assert found
        self.next_offset, self.last_sequence = int(found[0]), int(found[1])
        self.last_hash = int(found[2]) & (2**64 - 1)
        self.offsets: dict[int, int] = {}
        if source != LOG:
            places = "SELECT partition, next_offset FROM ledger_offset WHERE source = %s"
            self.offsets.update(connection.execute(places, (source,)).fetchall())

    def enter(self, batch: Batch) -> None:
        """Enters what of the batch is not entered. PoisonRecord: all before that record is entered, and it is not."""
        records = batch.records[batch.records["sequence"] > self.last_sequence]
        if not len(records):
            self.next_offset = max(self.next_offset, batch.next_offset)
            return
        try:
            self._enter(records, batch.next_offset, batch.offsets)
        except (psycopg.IntegrityError, psycopg.DataError, PoisonRecord, OverflowError) as error:
            self._enter_until(records, error)

    def forget_offsets(self) -> None:
        """Of a source that has lost events: it is read from its beginning."""
        self._connection.execute("DELETE FROM ledger_offset WHERE source = %s AND source <> %s", (self._source, LOG))
        self.offsets.clear()

    def _enter_until(self, records: Records, error: Exception) -> None:
        """By halves: what is refused is one record."""
        if len(records) == 1:
            sequence = int(records["sequence"][0])
            if isinstance(error, PoisonRecord):
                raise error
            raise PoisonRecord(sequence, str(error).splitlines()[0]) from None
        half = len(records) // 2
        for part in (records[:half], records[half:]):
            try:
                self._enter(part, int(part["sequence"][-1]) + 1)
            except (psycopg.IntegrityError, psycopg.DataError, PoisonRecord, OverflowError) as refused:
                self._enter_until(part, refused)

    def _enter(self, records: Records, next_offset: int, offsets: Mapping[int, int] = MappingProxyType({})) -> None:
        events = moving(records)
        touches = touches_of(events)
        lines = lines_of(events, self._opening.units, self._holds, touches)
        pairs = list(self._opening.touched(lines))
        last = records[-1]
        sequence, running = int(last["sequence"]), int(last["running_hash"])
        signed = running - (running >> 63 << 64)
        with self._connection.transaction():
            moved = self._connection.execute(_MOVE, (next_offset, sequence, signed, self.last_sequence))
            if moved.rowcount != 1:
                raise LedgerError("somebody else has written to this ledger; start the ledger again")
            if offsets:
                places = (self._source, sequence, signed, list(offsets), list(offsets.values()))
                self._connection.execute(_KEEP, places)
            self._put(self._opening.lines(pairs), lines)
        self._opening.entered(pairs)
        self._holds.take(touches)
        self.next_offset, self.last_sequence, self.last_hash = next_offset, sequence, running
        self.transactions += 1
        self.lines += len(lines.sequence)

    def _put(self, *parts: Lines) -> None:
        """Openings before what spends them: the constraints look at each statement."""
        for lines in parts:
            if len(lines.sequence):
                with self._connection.cursor().copy(_COPY) as copy:
                    copy.write(binary_rows(lines))


def _prepare(connection: Connection, opening: Opening) -> None:
    """The tables, made where they are not, and the names of accounts and symbols."""
    row = connection.execute("SELECT to_regclass('ledger_meta') IS NOT NULL").fetchone()
    if not row or not row[0]:
        connection.execute(resources.files(__package__).joinpath("schema.sql").read_text())
        connection.execute("INSERT INTO ledger_meta (version, digits) VALUES (%s, %s)", (VERSION, opening.digits))
    meta = connection.execute("SELECT version, digits FROM ledger_meta").fetchone()
    if meta == (1, opening.digits):
        connection.execute(_FROM_1)
        meta = (VERSION, opening.digits)
    if meta != (VERSION, opening.digits):
        raise LedgerError(
            f"the ledger in the database is of version and digits {meta}, not {(VERSION, opening.digits)}"
        )
    accounts = [(EQUITY, EQUITY_NAME), *((n, account.name) for n, account in enumerate(opening.accounts))]
    assets = [(0, "cash"), *((n + 1, symbol.name) for n, symbol in enumerate(opening.symbols))]
    _names(connection, "account", accounts)
    _names(connection, "asset", assets)


def _names(connection: Connection, what: str, wanted: list[tuple[int, str]]) -> None:
    known: dict[int, str] = dict(connection.execute(f"SELECT {what}, name FROM ledger_{what}").fetchall())
    for number, name in wanted:
        if known.get(number, name) != name:
            raise LedgerError(
                f"{what} {number} of the ledger is {known[number]!r} and {name!r} in the configuration: accounts and symbols "
                "keep their places in their lists; add new ones at the end"
            )
    new = [row for row in wanted if row[0] not in known]
    if new:
        with connection.cursor().copy(f"COPY ledger_{what} ({what}, name) FROM STDIN") as copy:
            for row in new:
                copy.write_row(row)


def rebuilt(records: Records, holds: Holds) -> None:
    """Takes records that are entered already, after a restart."""
    if len(records):
        holds.take(touches_of(moving(records)))


def hash_of(records: Records, sequence: int) -> int | None:
    """The running hash of that record, if it is among them."""
    at = np.searchsorted(records["sequence"], sequence)
    found = at < len(records) and int(records["sequence"][at]) == sequence
    return int(records["running_hash"][at]) if found else None
