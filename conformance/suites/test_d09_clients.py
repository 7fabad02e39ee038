"""Diagram 9, the last stage: every client that the profile's count allows, and those that do not read."""

from __future__ import annotations

import time

import pytest

from matchmark.conformance.checks.market_data import check_same_bytes, check_trades, trades_of
from matchmark.conformance.market_data.subscriber import FeedError, Subscriber
from matchmark.conformance.market_data.updates import Subscribed
from matchmark.conformance.suites._market_data import MIDDLE, PATIENCE_S, Watch, hit, rest, watching
from matchmark.conformance.suites._trading import Party
from matchmark.conformance.venue import Venue

pytestmark = pytest.mark.needs("market_data", "fix", "limit", "ioc", "cancel", "accounts")

CROWD_PATIENCE_S = 60.0
SMALL_BUFFER = 4096
HUGE_SYMBOLS = 40
DROPPED_IN_S = 60.0
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
def test_every_client_is_told_the_same(venue: Venue) -> None:
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
        watch.blame(check_same_bytes([client.updates(tape.symbol) for client in clients]), clients[0])
        last = [u.sequence for client in clients for u in client.updates()[-1:]]
        if len(set(last)) > 1:
            watch.violate("D09.8", "each update is passed on to all clients", [f"up to {max(last)}"], [f"{min(last)}"])


def watch_quietly(client: Subscriber, trades: int) -> bool:
    return client.wait(lambda: len(trades_of(client.updates())) >= trades, PATIENCE_S)


@pytest.mark.clause("D09.X5")
def test_who_does_not_read_is_dropped_and_holds_up_nobody(venue: Venue) -> None:
    """Clients that read nothing, with all that happens sent to them in the wordiest form, beside one that reads: that one's
    trades come at the same time as before, and the others' connections are ended with a reason."""
    with watching(venue) as watch:
        floor = watch.floor
        good = watch.subscriber(clause="D09.X5")
        maker, taker = floor.party(1), floor.party(2)
        usual = delay(watch, good, maker, taker)
        others = [floor.also_trades(venue.fresh_symbol()) for _ in range(HUGE_SYMBOLS)]
        stalled = watch.feed.connect_many(3, "stalled", receive_buffer=SMALL_BUFFER)
        for client in stalled:
            watch.subscribe(client, floor.on, *others, clause="D09.X5", encoding="json")
            client.pause()
        worst, until, n = 0.0, time.monotonic() + DROPPED_IN_S, 0
        while time.monotonic() < until and n < 400:
            n += 1
            for at in others:
                maker.buy(1 + n % 5, MIDDLE - 1 - n % 40, on=at)
            maker.gather()
            if n % 10 == 0:
                worst = max(worst, delay(watch, good, maker, taker))
            if worst > usual + LATE_S:
                break
        if worst > usual + LATE_S:
            text = "a client that reads is told no later for those that do not"
            watch.violate("D09.X5", text, [f"about {usual * 1000:.0f} ms"], [f"{worst * 1000:.0f} ms"])
        for client in stalled:
            client.resume()
            client.wait(lambda c=client: c.dropped is not None or c.ended is not None, 0.5)  # type: ignore[misc]
        watch.judge(good, watch.tape())
        for client in stalled:
            if (client.dropped is not None or client.ended is not None) and not reason_of(client):
                text = "a client that does not read is dropped with a reason"
                watch.violate("D09.X5", text, ["a reason"], [str(client.ended)])


def reason_of(client: Subscriber) -> str:
    return client.dropped.reason.strip() if client.dropped else (client.ended or "").strip()


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
