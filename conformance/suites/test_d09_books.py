"""Diagram 9, what subscribers rebuild: the model's book at every sequence shown, gaps that show, latecomers that see the same."""

from __future__ import annotations

import time

import pytest

from matchmark.conformance.checks.market_data import check_joined, check_last, check_trades, fresh, trades_of
from matchmark.conformance.market_data.decoder import DEPTH, QUOTES
from matchmark.conformance.suites._market_data import LINGER_S, MIDDLE, Watch, hit, order_fields, rest, watching
from matchmark.conformance.suites._support import VIEWS, View
from matchmark.conformance.suites._trading import Party
from matchmark.conformance.venue import Venue

pytestmark = pytest.mark.needs("market_data", "fix", "limit", "ioc", "cancel", "accounts")

CHANNELS = pytest.mark.parametrize("channel", [DEPTH, QUOTES])


def settled(watch: Watch, *parties: Party) -> None:
    """All is told, and so long ago that the window of conflation is over: each step of a test is shown."""
    for party in parties:
        party.all()
    time.sleep(3 * watch.rules.window_ns / 1e9)


@VIEWS
@CHANNELS
@pytest.mark.clause("D09.X2")
def test_each_step_of_a_book_is_the_model_s(venue: Venue, view: View, channel: str) -> None:
    """Diagrams 1, 3, 4 and 8 one after another: a new best, a partial fill whose rest is the new best of the other side, a level
    that empties, a cancel of the best and one below it, a replace, an IOC."""
    with watching(venue) as watch:
        client = watch.subscriber(clause="D09.X2", channel=channel)
        maker, taker = watch.floor.party(1), watch.floor.party(2)
        first = maker.new(view.resting, 100, view.px(10_048))
        settled(watch, maker)
        best = maker.new(view.resting, 50, view.px(10_050))
        settled(watch, maker)
        taker.new(view.incoming, 80, view.px(10_050))  # 50 trade, 30 rest on the other side; a level empties
        settled(watch, maker, taker)
        far = taker.new(view.incoming, 10, view.px(10_060))
        settled(watch, taker)
        if "replace" in watch.floor.has:
            taker.replace(far, 25, view.px(10_055))
            settled(watch, taker)
        again = maker.new(view.resting, 20, view.px(10_049))
        settled(watch, maker)
        maker.cancel(again)
        settled(watch, maker)
        maker.cancel(best)  # over already: nothing changes
        taker.new(view.incoming, 100, view.px(10_048))  # the last level of that side
        settled(watch, maker, taker)
        maker.cancel(first)
        maker.new(view.resting, 5, view.px(10_040))
        settled(watch, maker)
        taker.new(view.incoming, 9, view.px(10_040), tif="ioc")
        settled(watch, maker, taker)
        tape = watch.tape()
        watch.judge(client, tape, "D09.X2")
        watch.blame(check_last(tape, client.updates(tape.symbol), "D09.X2"), client)


@CHANNELS
@pytest.mark.clause("D09.X2")
def test_books_are_right_while_the_market_moves(venue: Venue, channel: str) -> None:
    """A deep book built, cut, and traded through in bursts, with a pause here and there."""
    with watching(venue) as watch:
        client = watch.subscriber(clause="D09.X2", channel=channel)
        maker, taker = watch.floor.party(1), watch.floor.party(2)
        for n in range(6):
            rest(maker, "buy", 15, lots=5 + n)
            rest(maker, "sell", 15, lots=7 + n)
            watch.floor.settle()
            hit(taker, "sell" if n % 2 else "buy", [3, 11, 40, 1, 2])
            watch.floor.settle()
            time.sleep(0.004 * n)
        watch.judge(client, watch.tape(), "D09.X2")


@pytest.mark.clause("D09.X3")
def test_numbers_show_every_gap(venue: Venue) -> None:
    """Each update names the one before it, from the snapshot on; trades are numbered within their update."""
    with watching(venue) as watch:
        client = watch.subscriber(clause="D09.X3")
        maker, taker = watch.floor.party(1), watch.floor.party(2)
        for n in range(10):
            rest(maker, "buy", 5, lots=10)
            watch.floor.settle()
            hit(taker, "sell", [1 + n, 2, 3])
            settled(watch, taker)
        watch.judge(client, watch.tape(), "D09.X3")


@pytest.mark.clause("D09.X3")
def test_what_is_missing_can_be_had_again(venue: Venue) -> None:
    """A client is away while trades are made. It asks for what came behind the last that it knows, on a new connection: it has
    those trades, each once, and the book."""
    with watching(venue) as watch:
        away, control = watch.subscriber(clause="D09.X3"), watch.subscriber(clause="D09.X3")
        maker, taker = watch.floor.party(1), watch.floor.party(2)
        rest(maker, "buy", 20, lots=10)
        hit(taker, "sell", [1, 2, 3])
        tape = watch.tape()
        watch.caught_up(away, tape)
        known = fresh(away.updates(tape.symbol))
        last = max(u.sequence for u in known)
        before = len(trades_of(known))
        away.close()
        hit(taker, "sell", [4, 5, 6, 30])
        rest(maker, "sell", 5)
        tape = watch.tape()
        watch.caught_up(control, tape)
        back = watch.subscriber(clause="D09.X3", after={tape.symbol: last})
        hit(taker, "sell", [7, 8])
        tape = watch.tape()
        watch.caught_up(back, tape, total=len(tape.trades) - before)
        news = [t for t in trades_of(fresh(back.updates(tape.symbol))) if t.sequence > last]
        missed = check_trades(tape.trades[before:], news)
        if missed:
            text = f"what came behind sequence {last} can be had again: {missed[0].message}"
            watch.violate("D09.X3", text, missed[0].expected, missed[0].actual)
        watch.blame(check_last(tape, back.updates(tape.symbol), "D09.X3"), back)


@pytest.mark.clause("D09.X4")
def test_who_joins_at_rest_sees_the_book_as_it_is(venue: Venue) -> None:
    """After each of several changes a new client is shown the very book, without a further event."""
    with watching(venue) as watch:
        early = watch.subscriber(clause="D09.X4")
        maker, taker = watch.floor.party(1), watch.floor.party(2)
        last = ""
        for n, act in enumerate(("buy", "sell", "buy", "trade", "buy", "cancel")):
            if act == "trade":
                taker.sell(3, MIDDLE - 10, tif="ioc")
            elif act == "cancel":
                maker.cancel(last)
            else:
                last = maker.new(act, 10 + n, MIDDLE - 5 - n if act == "buy" else MIDDLE + 5 + n)
            tape = watch.tape()
            watch.caught_up(early, tape)
            late = watch.subscriber(clause="D09.X4")
            snapshots = [u for u in late.updates(tape.symbol) if u.snapshot]
            time.sleep(LINGER_S)
            found = check_last(tape, snapshots[:1], "D09.X4")
            if found:
                text = f"who joins after step {n + 1} ({act}) is shown the book as it is"
                watch.violate("D09.X4", text, found[0].expected, [*found[0].actual, str(snapshots[0])])
            watch.blame(check_joined(early.updates(tape.symbol), late.updates(tape.symbol)), late)


@pytest.mark.clause("D09.X4")
def test_who_joins_in_the_middle_sees_what_the_others_see(venue: Venue) -> None:
    """Clients join one by one while books change: snapshot and increments give each of them the same books as all increments
    gave the first, and at the end the model's."""
    with watching(venue) as watch:
        early = watch.subscriber(clause="D09.X4")
        maker, taker = watch.floor.party(1), watch.floor.party(2)
        late = []
        for n in range(8):
            maker.send_cut([order_fields(maker, "buy", 5 + k, MIDDLE - 1 - (k * 3 + n) % 12) for k in range(10)], None)
            late.append(watch.subscriber(clause="D09.X4"))
            hit(taker, "sell", [3, 9, 4])
            taker.gather(0.005)
            maker.gather()
        tape = watch.tape()
        watch.caught_up(early, tape)
        for client in late:
            watch.caught_up(client, tape, total=0)
            watch.blame(check_joined(early.updates(tape.symbol), client.updates(tape.symbol)), client)
            found = check_last(tape, client.updates(tape.symbol), "D09.X4")
            if found:
                text = "snapshot and increments give the book as it is in the end"
                watch.violate("D09.X4", text, found[0].expected, found[0].actual)
