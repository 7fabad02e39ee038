"""Diagram 9, the tape: every trade once, in order, never conflated, small, and without a name on it."""

from __future__ import annotations

from collections.abc import Iterable

import hypothesis
import pytest
from hypothesis import given

from matchmark.conformance.checks.market_data import (
    check_books,
    check_chain,
    check_last,
    check_sizes,
    check_trades,
    trades_of,
)
from matchmark.conformance.market_data.decoder import DEPTH, JSON, PROTOBUF, QUOTES
from matchmark.conformance.plugin import Examples
from matchmark.conformance.suites._market_data import MIDDLE, hit, order_fields, rest, watching
from matchmark.conformance.suites._support import VIEWS, View
from matchmark.conformance.suites.test_fix_d02_streams import CHOICES, CHOICES_LIST, PARTIES, act
from matchmark.conformance.venue import Venue

pytestmark = pytest.mark.needs("market_data", "fix", "limit", "ioc", "accounts")

EXAMPLES_MAX = 20
"""Each is 10 to 30 requests on four sessions and two subscribers."""
WALK = ((100, 10_050), (300, 10_049), (200, 10_048), (400, 10_047))


@VIEWS
@pytest.mark.clause("D09.1", "D09.7", "D09.X2")
@pytest.mark.parametrize("channel", [DEPTH, QUOTES])
def test_the_walk_of_diagram_7_is_on_the_tape(venue: Venue, view: View, channel: str) -> None:
    """Four trades of one order, each with its price, quantity and direction, and the book as they left it."""
    with watching(venue) as watch:
        client = watch.subscriber(clause="D09.1", channel=channel)
        owner, taker = watch.floor.party(1), watch.floor.party(2)
        for lots, px in WALK:
            owner.new(view.resting, lots, view.px(px))
        owner.all()
        taker.new(view.incoming, 1000)
        taker.all()
        watch.judge(client, watch.tape())


@pytest.mark.clause("D09.X1", "D09.1")
@pytest.mark.parametrize("channel", [DEPTH, QUOTES])
def test_a_burst_of_trades_is_heard_trade_by_trade(venue: Venue, channel: str) -> None:
    """Forty at one price and forty through ten prices, all within a few windows: equal ones are not made one."""
    with watching(venue) as watch:
        client = watch.subscriber(clause="D09.X1", channel=channel)
        maker, taker = watch.floor.party(1), watch.floor.party(2)
        maker.send_cut([order_fields(maker, "buy", 1, MIDDLE) for _ in range(40)], None)
        rest(maker, "buy", 10, lots=4)
        watch.floor.settle()
        hit(taker, "sell", [1] * 40)
        hit(taker, "sell", [1] * 40)
        watch.judge(client, watch.tape())


@pytest.mark.clause("D09.7")
@pytest.mark.needs("binary_feed")
@pytest.mark.parametrize(("lots", "ticks"), [(1, 1), (127, 128), (16_383, 16_384), (2_097_151, 2_097_151)])
def test_a_trade_takes_sixteen_bytes_and_loses_nothing(venue: Venue, lots: int, ticks: int) -> None:
    """Up to the values of ruling R10; beside it in JSON, with the same values."""
    with watching(venue) as watch:
        client = watch.subscriber(clause="D09.7", encoding=PROTOBUF)
        reader = watch.subscriber(clause="D09.7", encoding=JSON)
        maker, taker = watch.floor.party(1), watch.floor.party(2)
        for side, other in (("buy", "sell"), ("sell", "buy")):
            maker.new(side, lots, ticks)
            maker.all()
            taker.new(other, lots, ticks)
            taker.all()
        tape = watch.tape()
        for each in (client, reader):
            watch.caught_up(each, tape)
            heard = trades_of(each.updates(tape.symbol))
            found = [f for f in check_trades(tape.trades, heard) if f.clause == "D09.7"]
            watch.blame(found, each)
            if len(heard) != len(tape.trades):
                watch.violate("D09.7", "each trade decodes to what was traded", [str(tape.trades)], [str(heard)])
        watch.blame(check_sizes(client.updates(tape.symbol)), client)


@pytest.mark.clause("D02.N4")
@pytest.mark.parametrize("encoding", [PROTOBUF, JSON])
def test_nobody_is_named(venue: Venue, encoding: str) -> None:
    """What a subscriber receives has no account, no session and no ClOrdID in it."""
    with watching(venue) as watch:
        client = watch.subscriber(clause="D02.N4", encoding=encoding)
        maker, taker = watch.floor.party(1), watch.floor.party(2)
        names = {maker.account, taker.account, maker.client.sender_comp_id, taker.client.sender_comp_id}
        names |= {maker.buy(100, MIDDLE), maker.sell(100, MIDDLE + 5)}
        maker.all()
        names |= {taker.sell(60, MIDDLE), taker.buy(10, MIDDLE + 5)}
        taker.all()
        tape = watch.tape()
        watch.judge(client, tape, "D09.1")  # else there is nothing to find names in
        if len(trades_of(client.updates(tape.symbol))) != 2:
            watch.violate("D02.N4", "subscribers receive each trade", ["2 trades"], shown(client.updates(tape.symbol)))
        for update in client.updates(tape.symbol):
            named = sorted(name for name in names if name.encode() in update.raw)
            if named:
                watch.violate(
                    "D02.N4", "no party is named to subscribers", ["no name"], [", ".join(named), str(update)]
                )


def shown(updates: Iterable[object]) -> list[str]:
    return [str(update) for update in updates] or ["nothing"]


@VIEWS
@pytest.mark.clause("D08.N2")
def test_of_an_ioc_its_trades_are_seen_and_nothing_else(venue: Venue, view: View) -> None:
    """Diagram 8: 300 of 500 trade. The rest is in no book, and an IOC that finds nothing is not there at all."""
    with watching(venue) as watch:
        client = watch.subscriber(clause="D08.N2")
        maker, taker = watch.floor.party(1), watch.floor.party(2)
        maker.new(view.resting, 300, view.px(10_050))
        maker.new(view.resting, 900, view.px(10_045))
        maker.all()
        tape = watch.tape()
        if not watch.caught_up(client, tape):
            watch.violate("D08.N2", "the book before the IOC is seen", [str(tape.last)], shown(client.updates()))
        before = len(client.heard)
        taker.new(view.incoming, 77, view.px(10_055), tif="ioc")
        taker.all()
        if not watch.caught_up(client, tape) or any(u.trades or u.levels for u in client.updates()[before:]):
            watch.violate("D08.N2", "an IOC that finds nothing changes nothing", ["nothing"], shown(client.updates()))
        taker.new(view.incoming, 500, view.px(10_050), tif="ioc")
        taker.all()
        tape = watch.tape()
        watch.caught_up(client, tape)
        updates = client.updates(tape.symbol)
        found = [
            *check_trades(tape.trades, trades_of(updates)),
            *check_books(tape, updates),
            *check_last(tape, updates, ""),
        ]
        if found:
            watch.violate("D08.N2", found[0].message, found[0].expected, found[0].actual)


@pytest.mark.clause("D09.1", "D09.X1", "D09.X2", "D09.X3", "D09.6")
def test_whatever_is_traded_subscribers_know_it(
    venue: Venue, examples: Examples, property_settings: hypothesis.settings
) -> None:
    """Any flow on four sessions at once: tape, sequence and books of a subscriber to depth and of one to quotes."""

    @hypothesis.settings(property_settings, max_examples=min(property_settings.max_examples, EXAMPLES_MAX))
    @given(cards=CHOICES_LIST)
    def run(cards: list[int]) -> None:
        with watching(venue) as watch:
            clients = [watch.subscriber(clause="D09.1", channel=channel) for channel in (DEPTH, QUOTES)]
            parties = [watch.floor.party(n + 1) for n in range(PARTIES)]
            sent: list[list[str]] = [[] for _ in parties]
            for card in cards:
                c = CHOICES.take(card)
                k = int(str(c["party"]))
                act(watch.floor, parties[k], sent[k], sent[(k + 1) % PARTIES], c)
                if c["pause"]:
                    watch.floor.settle()
            tape = watch.tape()
            for client in clients:
                watch.judge(client, tape)
                watch.blame(check_chain(client.updates(tape.symbol)), client)
        examples.add()

    run()
