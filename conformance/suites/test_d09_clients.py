"""Diagram 9, the last stage: every client that the profile's count allows, and those that do not read."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace

import pytest

from matchmark.conformance.checks.market_data import check_same_bytes, check_trades, trades_of
from matchmark.conformance.market_data.decoder import JSON
from matchmark.conformance.market_data.subscriber import FeedError, Subscriber
from matchmark.conformance.market_data.updates import Subscribed, Trade
from matchmark.conformance.suites._market_data import MIDDLE, PATIENCE_S, Watch, ages_ns, hit, rest, watching
from matchmark.conformance.suites._trading import Party
from matchmark.conformance.timing import AT_A_STANDARD_CLIENT, Measured
from matchmark.conformance.venue import Venue

pytestmark = pytest.mark.needs("market_data", "fix", "limit", "ioc", "cancel", "accounts")

CROWD_PATIENCE_S = 60.0
SMALL_BUFFER = 4096
NOISY_SYMBOLS = 40
ROUNDS_AT_ONCE = 30
HELD_UP_S = 2.0
LATE_S = 0.5
"""Beside one that does not read an update may be later than without it by so much on a busy machine; who waits for it is later by
seconds."""


def crowd(watch: Watch, clause: str, count: int) -> list[Subscriber]:
    """So many clients, subscribed."""
    try:
        clients = watch.feed.connect_many(count, "crowd")
    except FeedError as error:
        watch.violate(clause, f"{count} clients are served", [f"{count} connections"], [str(error)])
    symbol = watch.floor.on.symbol
    asked = [(client, client.ask_subscription([symbol])) for client in clients]
    for n, (client, number) in enumerate(asked):
        answer = client.answer(number, CROWD_PATIENCE_S)
        if not isinstance(answer, Subscribed):
            watch.violate(
                clause, f"client {n + 1} of {count} is served", ["subscribed"], [str(answer), str(client.ended)]
            )
    return clients


@pytest.mark.clause("D09.8", "D09.9")
def test_every_client_is_told_the_same(venue: Venue, measured: Measured) -> None:
    """As many as the profile states hear every trade and the last book, in the same bytes."""
    with watching(venue) as watch:
        clients = crowd(watch, "D09.9", watch.rules.clients)
        maker, taker = watch.floor.party(1), watch.floor.party(2)
        for n in range(10):
            rest(maker, "buy", 4, lots=10)
            watch.floor.settle()
            hit(taker, "sell", [1 + n, 2, 7])
            watch.floor.settle()
            time.sleep(0.02)
        tape = watch.tape()
        clients[-1].wait(lambda: len(trades_of(clients[-1].updates())) >= len(tape.trades), CROWD_PATIENCE_S)
        for n, client in enumerate(clients):
            came = watch_quietly(client, len(tape.trades))
            found = check_trades(tape.trades, trades_of(client.updates(tape.symbol)))
            if not came or found:
                said = found[0].actual if found else (f"{len(trades_of(client.updates()))} trades",)
                text = f"client {n + 1} of {len(clients)} receives every trade"
                watch.violate("D09.9", text, found[0].expected if found else (f"{len(tape.trades)}",), said)
        time.sleep(3 * watch.rules.window_ns / 1e9)  # no window is open any more
        last = max(u.sequence for client in clients for u in client.updates()[-1:])
        for n, client in enumerate(clients):
            if not client.wait(lambda: client.updates()[-1].sequence >= last, PATIENCE_S):  # noqa: B023
                text = f"each update is passed on to client {n + 1} of {len(clients)}"
                watch.violate("D09.8", text, [f"up to {last}"], [f"{client.updates()[-1].sequence}"])
        watch.blame(check_same_bytes([client.updates(tape.symbol) for client in clients]), clients[0])
        measured.add(AT_A_STANDARD_CLIENT, ages_ns(clients, tape.symbol))


def watch_quietly(client: Subscriber, trades: int) -> bool:
    return client.wait(lambda: len(trades_of(client.updates())) >= trades, PATIENCE_S)


@pytest.mark.clause("D09.X5")
def test_who_does_not_read_is_dropped_and_holds_up_nobody(venue: Venue) -> None:
    """Clients that read nothing, with many symbols' books sent to them in the wordiest form, beside one that reads: that one's
    trades come as soon as before, and the others' connections are ended with a reason."""
    with watching(venue) as watch:
        floor = watch.floor
        good = watch.subscriber(clause="D09.X5")
        maker, taker = floor.party(1), floor.party(2)
        usual = max(delay(watch, good, maker, taker) for _ in range(3))
        others = [floor.also_trades(venue.fresh_symbol()) for _ in range(NOISY_SYMBOLS)]
        stalled = watch.feed.connect_many(3, "stalled", receive_buffer=SMALL_BUFFER)
        for client in stalled:
            watch.subscribe(client, floor.on, *others, clause="D09.X5", encoding=JSON)
            client.pause()
        until, trades = time.monotonic() + watch.rules.slow_s + 2, 3
        for n in itertools.count():
            for at in others:
                maker.buy(1 + n % 5, MIDDLE - 1 - n % 40, on=at)
            late = delay(watch, good, maker, taker)
            trades += 1
            if usual + LATE_S < late <= usual + HELD_UP_S:  # a process that got no processor is not late twice
                late = delay(watch, good, maker, taker)
                trades += 1
            if late > usual + LATE_S:
                text = "a client that reads is told no later for those that do not"
                watch.violate("D09.X5", text, [f"about {usual * 1000:.0f} ms"], [f"{late * 1000:.0f} ms"])
            if n > ROUNDS_AT_ONCE:
                time.sleep(0.2)
            if time.monotonic() > until:
                break
        expected = [(MIDDLE, 1, True)] * trades
        watch.blame([replace(f, clause="D09.X5") for f in check_trades(expected, heard(watch, good))], good)
        for client in stalled:
            client.resume()
            client.wait(lambda c=client: c.ended is not None, PATIENCE_S)  # type: ignore[misc]
            if not reason_of(client):
                text = f"a client that reads nothing is dropped within {watch.rules.slow_s:g} s, with a reason"
                watch.violate("D09.X5", text, ["dropped, with a reason"], [f"{client.dropped}, {client.ended}"])


def heard(watch: Watch, client: Subscriber) -> list[Trade]:
    return trades_of(client.updates(watch.floor.on.symbol))


def reason_of(client: Subscriber) -> str:
    if client.dropped:
        return client.dropped.reason.strip()
    return client.ended.strip() if client.ended and client.ended.startswith("received") else ""


def delay(watch: Watch, client: Subscriber, maker: Party, taker: Party) -> float:
    """Seconds from an order that trades to the subscriber's word of it."""
    maker.buy(1, MIDDLE)
    watch.floor.settle()
    symbol = watch.floor.on.symbol
    before = len(trades_of(client.updates(symbol)))
    began = time.monotonic()
    taker.sell(1, MIDDLE)
    if not client.wait(lambda: len(trades_of(client.updates(symbol))) > before, PATIENCE_S):
        watch.violate("D09.X5", "a client that reads hears of a trade", ["its trade"], ["nothing"])
    return time.monotonic() - began
