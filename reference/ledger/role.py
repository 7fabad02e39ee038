"""The ledger's process: keeps the embedded server running, if it is that one's, and enters what the log says, for ever.

Whatever PostgreSQL does, trading goes on: the role connects again and goes on from the offset that the database has. A record
that cannot be entered stops the ledger, and nothing else, until people have looked at it.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from matchmark.native.pipeline import Pipeline
from matchmark.native.pipeline_records import Role
from matchmark.reference.audit_log import AuditLogError
from matchmark.reference.config_ledger import EMBEDDED
from matchmark.reference.events.faults import GapError
from matchmark.reference.events.opening import open_source, source_name
from matchmark.reference.events.source import AuditLog, Source
from matchmark.reference.ledger.opening import Opening
from matchmark.reference.ledger.postings import Holds, PoisonRecord
from matchmark.reference.ledger.server import Server, ServerError, dsn_of
from matchmark.reference.ledger.writer import LedgerBusy, LedgerError, Writer, connect, hash_of, rebuilt

if TYPE_CHECKING:
    from matchmark.reference.roles import Plan

AGAIN_S = 0.5
POLL_S = 0.2
UNKNOWN_S = 10.0
"""So long may the log lack what is entered before it is another one."""


def run_ledger(plan: Plan, ready: Callable[[], None]) -> int:
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    pipeline = Pipeline(plan.shm)
    plan.board.set_side("ledger", connected=0, stopped_at=0)  # of a process before it
    ready()  # what it needs may come later than the exchange
    while pipeline.role != Role.PRIMARY and not told.wait(POLL_S):
        pass
    settings = plan.config.ledger
    assert settings

    def durable() -> int:
        return int(pipeline.status().durable_sequence)

    server = Server(plan.data / "ledger") if settings.dsn == EMBEDDED else None
    keeper = Keeper(
        dsn_of(settings, plan.data),
        server,
        Opening(plan.config.accounts, plan.config.symbols),
        plan.log,
        durable,
        lambda **words: plan.board.set_side("ledger", **words),
        source_name(plan),
        lambda next_record, offsets: open_source(plan, durable, next_record, offsets),
    )
    try:
        keeper.run(told)
    finally:
        if server:
            server.stop()
    pipeline.close()
    return 0


class Keeper:
    """Enters records until it is told to stop. `durable`: the last record on the disk. `tell`: numbers for /status.

    `open_it` opens the source named `source`: at a record of the log, with the offsets that are kept for it.
    """

    def __init__(
        self,
        dsn: str,
        server: Server | None,
        opening: Opening,
        log: Path,
        durable: Callable[[], int],
        tell: Callable[..., None],
        source: str,
        open_it: Callable[[int, Mapping[int, int]], Source],
    ) -> None:
        self._dsn, self._server, self._opening, self._log = dsn, server, opening, log
        self._durable, self._tell = durable, tell
        self._source, self._open, self._begin_anew = source, open_it, False
        self._said = ""
        self._before = (0, 0)

    def run(self, told: threading.Event) -> None:
        while not told.is_set():
            try:
                if self._server and not self._server.running():
                    self._server.stop()
                    self._server.start()
                with connect(self._dsn) as connection:
                    self._enter(connection, told)
            except (psycopg.OperationalError, psycopg.InterfaceError, ServerError, LedgerBusy, OSError) as error:
                self._tell(connected=0)
                self._begin_anew = self._begin_anew or isinstance(error, GapError)
                if not told.is_set():
                    self._say(f"the ledger is behind, trading goes on: {_sentence(error)}")
                told.wait(AGAIN_S)
            except (PoisonRecord, LedgerError, AuditLogError, psycopg.Error) as error:
                # 0 says that it has not stopped, and the log may be empty still.
                sequence = error.sequence if isinstance(error, PoisonRecord) else max(1, self._durable())
                self._tell(connected=0, stopped_at=sequence)
                self._say(f"the ledger has stopped, trading goes on: {_sentence(error)}")
                told.wait()

    def _enter(self, connection: psycopg.Connection[tuple[object, ...]], told: threading.Event) -> None:
        holds = Holds()
        writer = Writer(connection, self._opening, holds, self._source)
        if self._begin_anew:
            writer.forget_offsets()
            self._begin_anew = False
        source = self._open(writer.next_offset, writer.offsets)  # before the log is read: Kafka may be away
        done = self._before
        try:
            self._rebuild(writer, holds, told)
            self._tell(connected=1, sequence=writer.last_sequence)
            if self._said:
                self._said = ""
                _print("the ledger is connected")
            while not told.is_set():
                batches = source.poll(POLL_S)
                for batch in batches:
                    writer.enter(batch)
                self._before = (done[0] + writer.transactions, done[1] + writer.lines)
                self._tell(
                    sequence=max(writer.next_offset - 1, writer.last_sequence),
                    transactions=self._before[0],
                    postings=self._before[1],
                )
                if not batches and connection.closed:
                    raise psycopg.OperationalError("the connection is closed")
                if not batches:
                    connection.execute("SELECT 1")  # that it has gone is known before there is something to enter
        finally:
            source.close()

    def _rebuild(self, writer: Writer, holds: Holds, told: threading.Event) -> None:
        """Open orders, from the records that are entered; that the log is the one which was entered is seen on the way."""
        last = writer.last_sequence
        if not last:
            return
        until = time.monotonic() + UNKNOWN_S
        while self._durable() < last and time.monotonic() < until and not told.wait(POLL_S):
            pass  # a primary that has just taken over
        source = AuditLog(self._log, lambda: last)
        running: int | None = None
        try:
            while not told.is_set() and (batches := source.poll(0)):
                for batch in batches:
                    rebuilt(batch.records, holds)
                    found = hash_of(batch.records, last)
                    running = running if found is None else found
        finally:
            source.close()
        if running != writer.last_hash and not told.is_set():
            raise LedgerError(
                f"the ledger holds records up to {last} of another audit log than {self._log}: give this exchange a ledger of "
                "its own, or the log that belongs to it"
            )

    def _say(self, text: str) -> None:
        """Once, not with every attempt."""
        if text != self._said:
            _print(text)
        self._said = text


def _sentence(error: BaseException) -> str:
    with suppress(IndexError):
        return str(error).strip().splitlines()[0]
    return type(error).__name__


def _print(text: str) -> None:
    sys.stderr.write(f"matchmark serve: {text}\n")
    sys.stderr.flush()
