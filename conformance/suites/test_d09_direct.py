"""Diagram 9, the direct feed: every event straight from the engine, whatever else runs, and the same as subscribers are told."""

from __future__ import annotations

import itertools
import os
import signal

import pytest

from matchmark.conformance.checks.audit_steps import steps
from matchmark.conformance.checks.direct_feed import ages_ns, check_same, is_news, market_orders_ns
from matchmark.conformance.checks.market_data import items, last_shown
from matchmark.conformance.lab import Lab
from matchmark.conformance.market_data.decoder import DEPTH, QUOTES
from matchmark.conformance.market_data.updates import Quote
from matchmark.conformance.packets.receiver import ANSWER
from matchmark.conformance.suites._breaker import Market
from matchmark.conformance.suites._direct_feed import Stand
from matchmark.conformance.suites._market_data_lab import WAIT_S, LabWatch
from matchmark.conformance.timing import AT_A_DIRECT_CLIENT, LEFT_FOR_SUBSCRIBERS, Measured
from matchmark.conformance.trading_messages import Trading

pytestmark = pytest.mark.needs("direct_feed", "fix", "limit", "restart")
ORDERS = 150
TIMED = 60


@pytest.mark.clause("D09.10")
def test_it_depends_on_nothing_slow(lab: Lab) -> None:
    """Trades with everything running; with each role that it must not depend on killed at that moment; and with all of them
    stopped."""
    with Stand(lab) as stand:
        ear = stand.ear()
        stand.desks()
        stand.trade(4)
        stand.judge_trades(ear, "with everything running")
        pids = lab.ready.get("pids", {})
        roles = [role for role in stand.rules.roles if role in pids]
        for role in roles:
            lab.kill(role)
            stand.trade(3)
            stand.judge_trades(ear, f"with {role} killed")
        stopped = [lab.instance.pid_of(role) for role in roles]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            stand.trade(3)
            stand.judge_trades(ear, f"with {' and '.join(roles)} stopped")
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)


@pytest.mark.clause("D09.10")
@pytest.mark.needs("audit_log", "cancel")
def test_every_event_is_on_it_and_the_books_are_the_model_s(lab: Lab) -> None:
    """Random orders. Who listens from the beginning, who joins in the middle and asks for all before, who has a part of it, and
    who wants only what is new: each has every event once, in order; after each command the books are the model's."""
    with Stand(lab) as stand:
        early = stand.ear()
        stand.flow(ORDERS, "first")
        stand.judge(early)
        middle = stand.last()
        late, part, new = stand.ear(), stand.ear(middle), stand.ear(None)
        stand.flow(ORDERS, "second")
        stand.judge(early, late)
        stand.judge(part, beyond=middle)
        first = next((m.sequence for m in new.messages), 0)
        stand.judge(new, beyond=max(middle, first - 1))


@pytest.mark.clause("D09.10")
@pytest.mark.needs("audit_log", "cancel")
def test_what_is_lost_is_noticed_and_brought_again(lab: Lab) -> None:
    """Every third packet of news is lost on its way to a receiver, and the first answers to what it asks for: it has every event
    all the same."""
    with Stand(lab) as stand:
        stand.flow(10, "before")
        turn, answers = itertools.count(1), itertools.count()

        def lose(data: bytes) -> bool:
            if data[5] & ANSWER:
                return next(answers) < 2
            return is_news(data) and next(turn) % 3 == 0

        ear = stand.ear(lose=lose)
        for n in range(2):
            stand.flow(ORDERS // 2, f"lossy {n}")
            stand.judge(ear)
        if not ear.receiver.numbers.gaps or ear.receiver.numbers.asked < 2:
            stand.fail("a receiver that loses packets sees gaps in the numbers", ["gaps"], [str(ear.receiver.numbers)])


@pytest.mark.clause("D09.10")
@pytest.mark.needs("audit_log", "cancel")
def test_the_last_packet_of_a_burst_is_missed_too(lab: Lab) -> None:
    """The news of the last trades are lost, and nothing happens behind them: a receiver learns of it without further news."""
    with Stand(lab) as stand:
        loses = False
        ear = stand.ear(lose=lambda data: loses and is_news(data))
        stand.desks()
        stand.trade(2)
        stand.judge_trades(ear, "with nothing lost")
        loses = True
        stand.trade(2)
        stand.judge_trades(ear, "after the packets of the last two were lost")


@pytest.mark.clause("D09.10")
@pytest.mark.needs("audit_log", "cancel")
def test_after_a_new_start_it_goes_on_where_it_was(lab: Lab) -> None:
    """A stop and a start, and a kill of everything: numbers go on, who knows the last number and epoch has all that is new and is
    told that nothing was taken back."""
    with Stand(lab) as stand:
        first = stand.ear()
        stand.flow(40, "one")
        stand.judge(first)
        ears = [first]
        for how in ("stopped", "killed"):
            known = ears[-1].receiver
            if how == "stopped":
                lab.stop()
            else:
                lab.kill("all")
            lab.restart()
            ears.append(stand.ear(known.have, known.epoch))
            stand.flow(40, how)
            before = known.have or 0
            stand.judge(ears[-1], beyond=before)
        stand.judge(stand.ear())


@pytest.mark.clause("D09.10")
@pytest.mark.needs("audit_log", "market")
def test_trades_of_market_orders_are_on_it_at_once(lab: Lab, measured: Measured) -> None:
    """Each is heard before anything else is done. How long that took is measured, and not judged here."""
    with Stand(lab) as stand:
        ear = stand.ear()
        stand.desks()
        stand.watched(ear, TIMED)
        stand.judge_trades(ear, "of market orders")
        stand.judge(ear)
        logged = steps(lab.read_log().records)
        measured.add(AT_A_DIRECT_CLIENT, ages_ns(ear.packets, ear.came_ns))
        measured.add(LEFT_FOR_SUBSCRIBERS, market_orders_ns(ear.packets, logged))


@pytest.mark.clause("D09.X6")
@pytest.mark.needs("market_data", "cancel")
@pytest.mark.parametrize("channel", [DEPTH, QUOTES])
def test_both_feeds_tell_the_same(lab: Lab, channel: str) -> None:
    """Trades and books of a symbol: what a subscriber is shown at any moment, the direct feed had just so."""
    with Stand(lab, "D09.X6") as stand, LabWatch(lab, "D09.X6", n=1) as watch:
        ear, client = stand.ear(), watch.join(channel=channel)
        watch.desks()
        for n in range(4):
            for k in range(4):
                watch.maker.order("buy", 10 + k, -1 - k, watch.n)
                watch.taker.order("sell", 20 + n, 2 + k, watch.n)
            gone = watch.maker.order("buy", 4, -9, watch.n)
            watch.taker.order("sell", 15 + n, -2, watch.n)
            watch.maker.cancel(gone, "buy", watch.n)
            watch.maker.order("buy", 30, 3, watch.n, tif="ioc")
        stand.hear_all(ear)
        symbol = ear.messages[0].symbol
        made = sum(m.type == "E" and m.symbol == symbol for m in ear.messages)
        watch.hears(client, made)
        client.wait(lambda: not check_same(ear.messages, symbol, watch.symbol, client.updates(watch.symbol)), WAIT_S)
        stand.blame(check_same(ear.messages, symbol, watch.symbol, client.updates(watch.symbol)))


@pytest.mark.clause("D09.X6")
@pytest.mark.needs("market_data", "breaker", "operator")
def test_both_feeds_tell_the_same_of_a_halt(lab: Lab) -> None:
    """A warning, a halt and a resume stand between the same trades on both."""
    with Stand(lab, "D09.X6") as stand:
        market = Market(lab, "D09.X6")
        at = market.symbol()
        with LabWatch(lab, "D09.X6", at.symbol) as watch:
            ear, client = stand.ear(), watch.join()
            market.average(at)
            market.trade(at, market.at_warning)
            market.expect_state(at, Trading.WARNED)
            market.trade(at, market.beyond_halt)
            market.expect_state(at, Trading.HALTED)
            market.resume(at)
            market.expect_state(at, Trading.OPEN)
            market.trade(at, market.beyond_halt)
            ear.hear(lambda: sum(m.type in "ES" for m in ear.messages) >= 7)
            client.wait(lambda: len(list(items(client.updates(at.symbol)))) >= 7, WAIT_S)
            symbol = next((m.symbol for m in ear.messages if m.type == "E"), 0)
            client.wait(lambda: last_shown(client.updates(at.symbol)) in (((), ()), Quote(None, None)), WAIT_S)
            stand.blame(check_same(ear.messages, symbol, at.symbol, client.updates(at.symbol)))
