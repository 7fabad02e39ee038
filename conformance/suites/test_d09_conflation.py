"""Diagram 9, conflation: at most one update of a book in a window, with its last values, and nothing left waiting."""

from __future__ import annotations

import time

import pytest

from matchmark.conformance.checks.market_data import check_books, check_last, check_windows
from matchmark.conformance.hiccups import Hiccups
from matchmark.conformance.market_data.decoder import DEPTH, QUOTES
from matchmark.conformance.suites._market_data import LINGER_S, MIDDLE, SLACK_NS, stir, watching
from matchmark.conformance.venue import Venue

pytestmark = pytest.mark.needs("market_data", "conflation", "fix", "limit", "cancel", "accounts")

CHANNELS = pytest.mark.parametrize("channel", [DEPTH, QUOTES])
STIR_S = 0.8
LAST_S = 1.0
"""The last of a burst must be there by then: a hundred windows, for the machine may be busy."""


@CHANNELS
@pytest.mark.clause("D09.6")
def test_one_update_a_window_at_most(venue: Venue, channel: str) -> None:
    """The best price changes many times a window for most of a second; the last change is shown without another one."""
    with watching(venue) as watch:
        client = watch.subscriber(clause="D09.6", channel=channel)
        party = watch.floor.party(1)
        with Hiccups() as machine:
            stir(party, STIR_S)
            tape = watch.tape()
            watch.caught_up(client, tape, LAST_S)
        updates = client.updates(tape.symbol)
        shown = [u for u in updates if u.book and not u.snapshot]
        if len(shown) < 3 or len(tape.books) < 2 * len(shown) // 3:
            found = [f"{len(tape.books)} books, {len(shown)} shown"]
            watch.violate(
                "D09.6", "books that change are shown as they change", ["an update every window or two"], found
            )
        watch.blame(check_windows(updates, watch.rules.window_ns, SLACK_NS, machine.total_ns), client)
        found_books = check_books(tape, updates, "D09.6") or check_last(tape, updates, "D09.6")
        watch.blame(found_books, client)


@CHANNELS
@pytest.mark.clause("D09.6")
def test_the_last_of_a_burst_needs_no_other_event(venue: Venue, channel: str) -> None:
    """Bursts of two to nine changes, with silence behind each: the last one is shown in that silence."""
    with watching(venue) as watch:
        client = watch.subscriber(clause="D09.6", channel=channel)
        party = watch.floor.party(1)
        for burst in range(2, 10):
            for n in range(burst):
                party.buy(1 + n, MIDDLE - 30 + burst * 2 + (n % 3))
            party.all()
            tape = watch.tape()
            watch.caught_up(client, tape, LAST_S)
            watch.blame(check_last(tape, client.updates(tape.symbol), "D09.6"), client)
            time.sleep(LINGER_S)
