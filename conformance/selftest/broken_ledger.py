"""The reference exchange with a ledger that is broken in one way, by its name:

    python -m matchmark.conformance.selftest.broken_ledger NAME serve ...

Each function of BUGS alters the ledger before the exchange is started; its process is a fork and has it too. Which clauses that
breaks is declared in wire_ledger.py. A ledger that is wrong would be stopped by its own constraints: `without_constraints` takes
them away, as an engineer does who wants his bug to pass.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from matchmark.conformance import cli
from matchmark.native.records import EventKind, Side
from matchmark.reference.ledger import postings, writer
from matchmark.reference.ledger.postings import Lines
from matchmark.reference.ledger.writer import Writer

BUGS: dict[str, Callable[[], None]] = {}
_AMOUNTS = ("cash", "cash_reserved", "shares", "shares_reserved")
_NO_CHECKS = """
ALTER TABLE ledger_balance DROP CONSTRAINT IF EXISTS ledger_no_overdraft, DROP CONSTRAINT IF EXISTS ledger_no_negative_reserve;
ALTER TABLE ledger_entry DROP CONSTRAINT IF EXISTS ledger_sums_to_zero;
"""

_NO_KEY = "ALTER TABLE ledger_entry DROP CONSTRAINT IF EXISTS ledger_entry_pkey;"


def bug(change: Callable[[], None]) -> Callable[[], None]:
    BUGS[change.__name__] = change
    return change


def instead(owner: Any, name: str, made: Callable[[Any], Any]) -> None:
    """`made` is given what was there before."""
    setattr(owner, name, made(getattr(owner, name)))


def without_constraints(more: str = "") -> None:
    def made(prepare: Any) -> Any:
        def broken(connection: Any, opening: Any) -> None:
            prepare(connection, opening)
            connection.execute(_NO_CHECKS + more)

        return broken

    instead(writer, "_prepare", made)


def with_lines(change: Callable[[Lines], Lines]) -> None:
    """Of events; opening balances are as they should be."""
    without_constraints()
    instead(writer, "lines_of", lambda lines_of: lambda *args: change(lines_of(*args)))


def scaled(lines: Lines, where: Any, by: int, columns: tuple[str, ...] = _AMOUNTS) -> Lines:
    factor = np.where(where, by, 1)
    return lines._replace(**{name: getattr(lines, name) * factor for name in columns})


@bug
def applies_executions_twice() -> None:
    with_lines(lambda lines: scaled(lines, lines.kind == EventKind.TRADE, 2))


@bug
def misses_the_release_on_cancel() -> None:
    with_lines(lambda lines: lines.part(lines.kind != EventKind.CANCELLED))


@bug
def releases_by_the_order() -> None:
    """What was ordered, not what was left."""

    def made(lines_of: Any) -> Any:
        def broken(events: Any, *rest: Any) -> Lines:
            changed = events.copy()
            cancelled = changed["body"]["kind"] == EventKind.CANCELLED
            changed["body"]["quantity_lots"][cancelled] += changed["cum_lots"][cancelled]
            lines: Lines = lines_of(changed, *rest)
            return lines

        return broken

    without_constraints()
    instead(writer, "lines_of", made)


@bug
def reserves_nothing() -> None:
    with_lines(lambda lines: lines.part(lines.kind != EventKind.ACCEPTED))


@bug
def reserves_cash_only() -> None:
    with_lines(lambda lines: lines.part((lines.kind != EventKind.ACCEPTED) | (lines.side == Side.BUY)))


@bug
def price_improvement_not_released() -> None:
    def change(lines: Lines) -> Lines:
        better = (lines.kind == EventKind.TRADE) & (lines.side == Side.BUY) & (lines.cash > 0)
        kept = np.where(better, lines.cash, 0)
        return lines._replace(cash=lines.cash - kept, cash_reserved=lines.cash_reserved + kept)

    with_lines(change)


@bug
def replace_reserves_anew() -> None:
    """What the order held before is not given back."""
    without_constraints()
    instead(postings.Holds, "before", lambda before: lambda self, *args: tuple(a * 0 for a in before(self, *args)))


@bug
def wrong_side() -> None:
    """Shares go from the buyer to the seller."""

    def change(lines: Lines) -> Lines:
        return scaled(lines, lines.kind == EventKind.TRADE, -1, ("shares", "shares_reserved"))

    with_lines(change)


@bug
def first_price_for_all() -> None:
    """A walk is settled at the price of its first execution."""

    def made(lines_of: Any) -> Any:
        def broken(events: Any, *rest: Any) -> Lines:
            changed = events.copy()
            body = changed["body"]
            first: dict[int, int] = {}
            for n in np.flatnonzero(body["kind"] == EventKind.TRADE).tolist():
                body["price_ticks"][n] = first.setdefault(int(body["order_id"][n]), int(body["price_ticks"][n]))
            lines: Lines = lines_of(changed, *rest)
            return lines

        return broken

    without_constraints()
    instead(writer, "lines_of", made)


@bug
def seller_pays_a_cent() -> None:
    def change(lines: Lines) -> Lines:
        fee = np.where((lines.kind == EventKind.TRADE) & (lines.side == Side.SELL), 1, 0)
        return lines._replace(cash=lines.cash - fee)

    with_lines(change)


@bug
def buyer_then_seller() -> None:
    """The two sides of a trade are entered in a transaction each."""

    def made(put: Any) -> Any:
        def broken(self: Writer, *parts: Lines) -> None:
            sellers = [lines.part((lines.kind == EventKind.TRADE) & (lines.side == Side.SELL)) for lines in parts]
            put(self, *(lines.part((lines.kind != EventKind.TRADE) | (lines.side != Side.SELL)) for lines in parts))
            self._connection.execute("COMMIT; BEGIN")
            time.sleep(0.01)
            put(self, *sellers)

        return broken

    without_constraints(_NO_KEY)
    instead(Writer, "_put", made)
    instead(Writer, "_enter", _in_plain_transactions)


def _in_plain_transactions(enter: Any) -> Any:
    """`transaction()` of psycopg would notice a COMMIT inside it."""

    def broken(self: Writer, *args: Any) -> None:
        real = self._connection

        class Plain:
            def __enter__(self) -> None:
                real.execute("BEGIN")

            def __exit__(self, kind: Any, *error: object) -> None:
                real.execute("COMMIT" if kind is None else "ROLLBACK")

        class Loose:
            def __getattr__(self, name: str) -> Any:
                return Plain if name == "transaction" else getattr(real, name)

        self._connection = Loose()  # type: ignore[assignment]
        try:
            enter(self, *args)
        finally:
            self._connection = real

    return broken


@bug
def offset_before_the_lines() -> None:
    """The offset is committed, and then the lines are entered."""

    def made(put: Any) -> Any:
        def broken(self: Writer, *parts: Lines) -> None:
            self._connection.execute("COMMIT; BEGIN")
            time.sleep(0.2)
            put(self, *parts)

        return broken

    instead(Writer, "_put", made)
    instead(Writer, "_enter", _in_plain_transactions)


@bug
def offset_forgotten() -> None:
    """A restart begins at the first record, and lines have no key by which they would be known."""
    without_constraints(_NO_KEY)

    def made(init: Any) -> Any:
        def broken(self: Writer, connection: Any, *rest: Any) -> None:
            if connection.execute("SELECT to_regclass('ledger_offset') IS NOT NULL").fetchone()[0]:
                connection.execute("UPDATE ledger_offset SET next_offset = 1, last_sequence = 0, last_hash = 0")
            init(self, connection, *rest)

        return broken

    instead(Writer, "__init__", made)


@bug
def every_tenth_batch_lost() -> None:
    count = [0]

    def change(lines: Lines) -> Lines:
        count[0] += 1
        return lines.part(np.full(len(lines.kind), count[0] % 10 != 0))

    with_lines(change)


@bug
def overdrafts_allowed() -> None:
    without_constraints()


def main(words: list[str]) -> int:
    if not words or words[0] not in BUGS:
        print(f"usage: python -m {__spec__.name} NAME serve ...; NAME: {', '.join(BUGS)}", file=sys.stderr)
        return 2
    BUGS[words[0]]()
    return cli.main(words[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
