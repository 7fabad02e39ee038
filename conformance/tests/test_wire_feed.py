"""Mutants of market data against recorded feeds: what each does to a sound feed is found by the check of the clause it breaks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from matchmark.conformance.checks.finding import Finding
from matchmark.conformance.checks.market_data import (
    Tape,
    check_books,
    check_chain,
    check_last,
    check_same_bytes,
    check_sizes,
    check_trades,
    check_windows,
    trades_of,
)
from matchmark.conformance.market_data.decoder import MatchmarkDecoder
from matchmark.conformance.market_data.updates import Update
from matchmark.conformance.selftest.feed_proxy import FeedClient, Tap
from matchmark.conformance.selftest.wire_feed import Sound
from matchmark.conformance.selftest.wire_mutants import WIRES

from .feed_replay import CLASSES, WINDOW_NS, encoded, updates_of

FEED_MUTANTS = {
    name: wire for name, wire in WIRES.items() if name.startswith("wire-feed-") and wire.wire.tap is not None
}
BY_CONVERSATION = {
    "wire-feed-any-token", "wire-feed-forgets-one-client", "wire-feed-goes-on-after-the-end", "wire-feed-neighbour-told",
    "wire-feed-nothing-again", "wire-feed-party-named", "wire-feed-snapshot-one-behind", "wire-feed-unknown-symbol-swallowed",
    "wire-feed-waits-for-the-slowest", "wire-feed-ioc-remainder-shown", "wire-feed-halt-lost",
    "wire-feed-nothing-after-a-crash", "wire-feed-never-stale",
}  # fmt: skip
"""What they do shows only where somebody asks, joins late, or does not read."""


class Client:
    """As much of a FeedClient as the editing of updates asks for."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.held: dict[int, Any] = {}


def through(tap: Tap, updates: list[Update], number: int = 0) -> list[Update]:
    decoder, client = MatchmarkDecoder(), cast(FeedClient, Client(number))
    decoder.read('{"op":"subscribed","id":1,"symbols":{"S0":4}}', 1)
    out: list[Update] = []
    for update in updates:
        for part in tap.updates(client, CLASSES["Update"].FromString(encoded(update, 4))):
            (heard,) = decoder.read(tap.encoded(client, part), update.at_ns)
            assert isinstance(heard, Update)
            out.append(heard)
    return out


def findings(tape: Tape, tap: Tap, depth: bool) -> list[Finding]:
    recorded = [replace(u, made_ns=5) for u in updates_of(tape, 2, depth)]
    heard = through(tap, recorded)
    found = check_trades(tape.trades, trades_of(heard)) + check_chain(heard) + check_sizes(heard)
    found += check_books(tape, heard) + check_last(tape, heard, "D09.6") + check_windows(heard, WINDOW_NS, WINDOW_NS)
    return found + check_same_bytes([heard, through(tap, recorded, 1)])


def tape() -> Tape:
    """Trades of one price and of several in a command, prices that a float rounds, quantities beyond sixteen bits, a book that
    empties and one that does not."""
    wide = Tape("S0")
    wide.add([], (((10_049, 500_000), (10_048, 7)), ((10_060, 3),)))
    wide.add([(10_049, 300_000, True), (10_049, 200_000, True), (10_048, 2, True)], (((10_048, 5),), ((10_060, 3),)))
    wide.add([(10_048, 5, True)], ((), ((10_060, 3),)))
    for n in range(1, 12):
        wide.add([], (((10_030 + n, n),), ((10_060, 3),)))
        wide.add([(10_030 + n, n, True)] if n % 2 else [], ((), ((10_060, 3 + n),)))
    return wide


def test_a_feed_through_the_sound_proxy_is_sound() -> None:
    assert Sound.tap is not None
    assert findings(tape(), Sound.tap(), True) == [] and findings(tape(), Sound.tap(), False) == []


@pytest.mark.parametrize("name", sorted(FEED_MUTANTS.keys() - BY_CONVERSATION))
def test_what_it_does_is_found_by_the_check_of_its_clause(name: str) -> None:
    mutant = FEED_MUTANTS[name]
    kind = mutant.wire.tap
    assert kind is not None
    found = findings(tape(), kind(), True) + findings(tape(), kind(), False)
    assert mutant.breaks[0] in {f.clause for f in found}, [f.message for f in found]


def test_there_are_enough_and_the_rest_is_for_the_suites() -> None:
    assert len(FEED_MUTANTS) >= 25 and FEED_MUTANTS.keys() >= BY_CONVERSATION
