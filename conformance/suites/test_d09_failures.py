"""Diagram 9 when parts of it die or lag: no gap that subscribers are not told of, and trading goes on."""

from __future__ import annotations

import os
import signal
import time

import pytest

from matchmark.conformance.checks.market_data import check_chain, check_trades, last_shown
from matchmark.conformance.lab import Lab
from matchmark.conformance.market_data.updates import Live, Stale
from matchmark.conformance.suites._market_data_lab import BACK_S, WAIT_S, LabWatch, known
from matchmark.conformance.venue import NotOffered

pytestmark = pytest.mark.needs("market_data", "restart", "fix", "limit")


@pytest.mark.clause("D09.X7")
@pytest.mark.parametrize("role", ["the feed's", "engine", "all"])
def test_after_a_crash_nothing_is_missing_and_nothing_new_is_old(lab: Lab, role: str) -> None:
    """Trades before a kill, trades while it is down, trades after. A client that comes back with the last that it knows has each
    trade once, in order, and the book; one that was not cut off has them in an unbroken sequence."""
    with LabWatch(lab, "D09.X7") as watch:
        watch.desks()
        client = watch.join()
        watch.trade(4)
        if not watch.hears(client, 4):
            watch.fail("trades are heard before anything is killed", ["4 trades"], [str(u) for u in client.updates()])
        last, before = known(client.updates(watch.symbol))
        for name in watch.rules.roles if role == "the feed's" else (role,):
            pid = lab.kill(name)
            if name == "all":
                lab.restart()
                watch.maker.connect_again()
                watch.taker.connect_again()
            elif name == "engine" and not lab.wait_role(name, pid):
                watch.fail(f"role {name} is started again", ["another process"], ["none"])
        watch.trade(4)
        if role == "engine":
            if not watch.hears(client, 8):
                watch.fail("after a failure of the engine its trades are heard", ["8 trades"], [str(client.ended)])
            updates = client.updates(watch.symbol)
            watch.blame([*check_chain(updates), *check_trades(watch.made, known(updates)[1])])
            return
        client.wait(lambda: client.ended is not None, WAIT_S)
        back = watch.join(after=last)
        watch.trade(4)
        watch.hears(back, len(watch.made) - len(before))
        back.wait(lambda: last_shown(back.updates(watch.symbol)) == ((), ()), WAIT_S)
        updates = back.updates(watch.symbol)
        news = [t for t in known(updates)[1] if t.sequence > last]
        watch.blame([*check_chain(updates), *check_trades(watch.made, [*before, *news])])
        if last_shown(updates) != ((), ()):
            watch.fail("the book after all this is empty", ["an empty book"], [str(last_shown(updates))])


@pytest.mark.clause("D09.X8")
def test_trading_goes_on_without_market_data_and_it_comes_back_by_itself(lab: Lab) -> None:
    """Every role of the feed is killed, twice. Orders are answered and trade as before; then a new client is served, without
    anybody's doing, and has what was traded meanwhile from where it asks."""
    with LabWatch(lab, "D09.X8") as watch:
        watch.desks()
        client = watch.join()
        watch.trade(3)
        watch.hears(client, 3)
        last, before = known(client.updates(watch.symbol))
        for _ in range(2):
            for name in watch.rules.roles:
                lab.kill(name)
            began = time.monotonic()
            watch.trade(5)
            if time.monotonic() - began > WAIT_S:
                watch.fail("trading goes on as fast without market data", ["10 orders at once"], ["it waited"])
            watch.join().close()
        back = watch.join(after=last)
        watch.hears(back, len(watch.made) - len(before))
        news = [t for t in known(back.updates(watch.symbol))[1] if t.sequence > last]
        watch.blame(check_trades(watch.made, [*before, *news]))


@pytest.mark.clause("D09.X8")
def test_who_is_told_old_news_is_told_that_they_are_old(lab: Lab) -> None:
    """What feeds the feed is stopped for a while. Trading goes on, subscribers are told that their data is stale; when it goes on
    they are told that too, and have all that was traded."""
    with LabWatch(lab, "D09.X8") as watch:
        if watch.rules.behind is None:
            raise NotOffered(
                "the profile does not say which role to stop for market data to fall behind ([market_data] behind)"
            )
        watch.desks()
        client = watch.join()
        watch.trade(3)
        if not watch.hears(client, 3):
            watch.fail("trades are heard while all is well", ["3 trades"], [str(u) for u in client.updates()])
        client.wait(lambda: not client.all_of(Stale) or bool(client.all_of(Live)), WAIT_S)
        stales, lives = len(client.all_of(Stale)), len(client.all_of(Live))
        pid = lab.instance.pid_of(watch.rules.behind)
        os.kill(pid, signal.SIGSTOP)
        try:
            watch.trade(5)
            told = client.wait(lambda: len(client.all_of(Stale)) > stales, BACK_S)
        finally:
            os.kill(pid, signal.SIGCONT)
        if not told:
            watch.fail("subscribers are told that their data is stale", ["stale"], [str(h) for h in client.heard[-3:]])
        if not client.wait(lambda: len(client.all_of(Live)) > lives, BACK_S) or not watch.hears(client, 8):
            watch.fail("it catches up by itself", ["live, and 8 trades"], [str(h) for h in client.heard[-3:]])
        watch.blame(check_trades(watch.made, known(client.updates(watch.symbol))[1]))
