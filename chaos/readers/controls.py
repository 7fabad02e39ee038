"""Negative controls of the readers' day: what they were told with one thing made wrong, and a ledger altered behind its back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import psycopg

from matchmark.chaos.controls import Caught
from matchmark.chaos.readers import account_book
from matchmark.chaos.readers.audience import MANNERS, Audience, Heard
from matchmark.chaos.readers.judge import balances, whole
from matchmark.chaos.readers.topic import differ, sequences_of
from matchmark.chaos.readers.truth import Amount, Key, Truth
from matchmark.conformance.checks.audit_format import Bytes
from matchmark.conformance.market_data.updates import Update

Plant = Callable[[list[Heard]], bool]
"""Makes one thing wrong in what a listener heard; False: there is nothing to plant it in."""


def _updates(heard: list[Heard], wanted: Callable[[Update], bool]) -> int | None:
    """The place of one in the midst of them."""
    places = [n for n, h in enumerate(heard) if isinstance(h, Update) and not h.snapshot and wanted(h)]
    return places[(len(places) - 1) // 2] if places else None


def lost_update(heard: list[Heard], wanted: Callable[[Update], bool]) -> bool:
    """As if it had never been sent: the next one of the symbol names the one before it."""
    at = _updates(heard, wanted)
    if at is None:
        return False
    gone = heard.pop(at)
    assert isinstance(gone, Update)
    for n in range(at, len(heard)):
        h = heard[n]
        if isinstance(h, Update) and h.symbol == gone.symbol:
            if not h.snapshot:
                heard[n] = replace(h, after=gone.after)
            return True
    return False


def lost_trades(heard: list[Heard]) -> bool:
    return lost_update(heard, lambda u: bool(u.trades))


def lost_levels(heard: list[Heard]) -> bool:
    return lost_update(heard, lambda u: u.book and not u.trades)


def lost_outright(heard: list[Heard]) -> bool:
    at = _updates(heard, lambda u: u.sequence > u.after)
    if at is not None:
        del heard[at]
    return at is not None


def trade_twice(heard: list[Heard]) -> bool:
    at = _updates(heard, lambda u: bool(u.trades))
    if at is None:
        return False
    u = heard[at]
    assert isinstance(u, Update)
    heard[at] = replace(u, trades=(*u.trades, u.trades[-1]))
    return True


def trade_again_later(heard: list[Heard]) -> bool:
    """Under the number of the next update."""
    at = _updates(heard, lambda u: bool(u.trades))
    if at is None:
        return False
    u = heard[at]
    assert isinstance(u, Update)
    for n in range(at + 1, len(heard)):
        h = heard[n]
        if isinstance(h, Update) and h.symbol == u.symbol and not h.snapshot and h.sequence > u.sequence:
            heard[n] = replace(h, trades=(replace(u.trades[-1], sequence=h.sequence), *h.trades))
            return True
    return False


PLANTED: tuple[tuple[str, str, Plant], ...] = (
    ("update lost", "a subscriber was never sent an update, and no gap shows", lost_trades),
    ("change lost", "a change of the book was never sent, and no gap shows", lost_levels),
    ("gap", "an update was lost on its way", lost_outright),
    ("trade twice", "a trade is twice in an update", trade_twice),
    ("trade again", "a trade came once more with the next update", trade_again_later),
)
ALTERED = (
    ("row altered", "a balance was raised by one behind the ledger's back",
     "UPDATE ledger_balance SET balance = balance + 1 WHERE account = 0 AND asset = 0"),
    ("moved", "one unit went from an account to another behind the ledger's back: all still sums to zero",
     "UPDATE ledger_balance SET balance = balance + 1 - 2 * account WHERE account IN (0, 1) AND asset = 0"),
    ("entry gone", "an entry was taken out, past the trigger that forbids it",
     "DELETE FROM ledger_entry WHERE sequence = (SELECT max(sequence) FROM ledger_entry WHERE kind = 4)"),
)  # fmt: skip


@dataclass(frozen=True)
class Whole:
    """All of an episode without a finding: the log's truth, and what its readers said. `published`: of the topic, what came once
    and what came again."""

    audience: Audience
    truth: Truth
    right: Mapping[Key, Amount]
    published: tuple[Bytes, Bytes]


def caught(w: Whole, dsn: str, check: Callable[[], str | None]) -> list[Caught]:
    """Each of them; the database is afterwards as it was. `check`: what `matchmark ledger check` finds."""
    return [*(_heard(w, *one) for one in PLANTED), *_topic(w), *(_ledger(w, dsn, check, *one) for one in ALTERED)]


def _verdict(name: str, story: str, found: list[str]) -> Caught:
    return Caught(name, story, bool(found), found[0] if found else "not found; the checks say clean")


def _heard(w: Whole, name: str, story: str, plant: Plant) -> Caught:
    """In what the first of the listeners heard."""
    heard = list(w.audience.heard[0])
    if not plant(heard):
        return Caught(name, story, None, "nothing in this run to plant it in")
    return _verdict(name, story, list(whole(MANNERS[0], w.audience.symbols, heard, w.truth)))


def _topic(w: Whole) -> list[Caught]:
    rows, again = w.published
    logged, out = w.audience.events, list[Caught]()
    altered = rows.copy()
    altered[len(rows) // 2, 48] ^= 1
    twice = rows.repeat([1] * (len(rows) // 2) + [2] + [1] * (len(rows) - len(rows) // 2 - 1), axis=0)
    removed = rows[sequences_of(rows) != sequences_of(rows)[len(rows) // 2]]
    for name, story, wrong in (
        ("event removed", "an event is missing from the topic", removed),
        ("event altered", "an event has another price on the topic", altered),
        ("event twice", "an event is there twice, and no message says so", twice),
    ):
        out.append(_verdict(name, story, list(differ(logged, wrong, again))))
    return out


def _ledger(w: Whole, dsn: str, check: Callable[[], str | None], name: str, story: str, sql: str) -> Caught:
    """Done in the database itself, by its owner, past triggers; both checks must see it. A copy is put back."""
    tables = "ledger_balance", "ledger_entry"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        with connection.transaction():
            for table in tables:
                connection.execute(f"CREATE TABLE kept_{table} AS TABLE {table}")
            changed = connection.execute(sql).rowcount
        try:
            if not changed:
                return Caught(name, story, None, "nothing in this run to alter")
            sequence, told = account_book.told(dsn, 0)
            by_kit = list(balances(told, w.right, sequence))
            by_check = check()
        finally:
            with connection.transaction():
                for table in tables:
                    connection.execute(f"DELETE FROM {table}")
                    connection.execute(f"INSERT INTO {table} TABLE kept_{table}")
                    connection.execute(f"DROP TABLE kept_{table}")
    found = [text for text in [by_check, *by_kit] if text]
    if by_check is None:
        return Caught(name, story, False, f"matchmark ledger check says equal; the kit says {by_kit or 'clean'}")
    return _verdict(name, story, found)
