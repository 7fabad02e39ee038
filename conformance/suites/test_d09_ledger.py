"""The ledger, read while the exchange trades: reserve, settle, release; conservation; equality after crashes and redelivery."""

from __future__ import annotations

import time

import psycopg
import pytest

from matchmark.conformance.checks.audit_steps import steps
from matchmark.conformance.checks.ledger_replay import gained
from matchmark.conformance.lab_fixtures import MakeLab
from matchmark.conformance.suites._ledger import Hall, Watcher

pytestmark = pytest.mark.needs("ledger", "fix", "restart")
CASH = Hall.CASH


@pytest.mark.clause("D01.10")
def test_what_an_accepted_order_reserves_is_shown(make_lab: MakeLab) -> None:
    h = Hall(make_lab, "D01.10")
    h.order(0, "buy", 7, -20)
    h.order(1, "sell", 9, 20)
    costs = 7 * (h.middle - 20)
    untouched = {(2, CASH): (0, 0), (2, 0): (0, 0), (1, CASH): (0, 0), (0, 0): (0, 0)}
    h.expect("a buy and a sell that rest", {(0, CASH): (-costs, costs), (1, 0): (-9, 9), **untouched})
    h.order(0, "buy", 5, -30)
    costs += 5 * (h.middle - 30)
    h.expect("a second buy", {(0, CASH): (-costs, costs), (1, 0): (-9, 9), **untouched})


@pytest.mark.clause("D02.10")
def test_a_trade_moves_cash_and_shares_once(make_lab: MakeLab) -> None:
    h = Hall(make_lab, "D02.10")
    h.order(0, "sell", 10, 3)
    h.order(1, "buy", 4, None)
    paid, rest = 4 * (h.middle + 3), {(2, CASH): (0, 0), (2, 0): (0, 0)}
    wanted = {(0, CASH): (paid, 0), (0, 0): (-10, 6), (1, CASH): (-paid, 0), (1, 0): (4, 0), **rest}
    h.expect("a market order to buy meets a resting sell", wanted)
    h.order(2, "buy", 5, -4)
    h.order(3, "sell", 5, None)
    got = 5 * (h.middle - 4)
    wanted |= {(2, CASH): (-got, 0), (2, 0): (5, 0), (3, CASH): (got, 0), (3, 0): (-5, 0)}
    h.expect("a market order to sell meets a resting buy", wanted)


@pytest.mark.clause("D04.10")
def test_a_cancel_releases_what_the_leaves_held(make_lab: MakeLab) -> None:
    h = Hall(make_lab, "D04.10")
    buy, sell = h.order(0, "buy", 10, -2), h.order(1, "sell", 8, 9)
    h.order(2, "sell", 4, None)
    h.cancel(buy, "buy")
    h.cancel(sell, "sell")
    paid = 4 * (h.middle - 2)
    h.expect(
        "a buy of 10 cancelled after 4 traded, and a sell cancelled whole",
        {
            (0, CASH): (-paid, 0),
            (0, 0): (4, 0),
            (1, CASH): (0, 0),
            (1, 0): (0, 0),
            (2, CASH): (paid, 0),
            (2, 0): (-4, 0),
        },
    )


@pytest.mark.clause("D07.10")
def test_a_walk_through_three_prices_credits_the_sum(make_lab: MakeLab) -> None:
    """500 at 100.50, 300 at 100.48 and 200 at 100.43: 100,481.00 where the middle is 100.00."""
    h = Hall(make_lab, "D07.10")
    bids = ((1, 500, 50), (2, 300, 48), (3, 200, 43))
    for who, lots, away in bids:
        h.order(who, "buy", lots, away)
    h.order(0, "sell", 1000, None)
    paid = {who: lots * (h.middle + away) for who, lots, away in bids}
    wanted = {(who, CASH): (-paid[who], 0) for who in paid} | {(who, 0): (lots, 0) for who, lots, _ in bids}
    h.expect(
        "a market sell of 1,000 walks through three bids",
        {**wanted, (0, CASH): (sum(paid.values()), 0), (0, 0): (-1000, 0)},
    )


@pytest.mark.clause("D09.X24")
def test_orders_that_are_over_hold_nothing(make_lab: MakeLab) -> None:
    h = Hall(make_lab, "D09.X24")
    h.order(1, "sell", 5, 10)
    h.order(0, "buy", 5, 25)
    paid = 5 * (h.middle + 10)
    h.expect(
        "a buy that traded 15 ticks below its limit", {(0, CASH): (-paid, 0), (1, CASH): (paid, 0), (1, 0): (-5, 0)}
    )
    first = h.order(2, "buy", 10, -10)
    second = h.replace(first, "buy", 20, -30)
    costs = 20 * (h.middle - 30)
    h.expect("a buy replaced by one of more lots and a lower price", {(2, CASH): (-costs, costs)})
    h.order(3, "sell", 6, None)
    third = h.replace(second, "buy", 8, -5)
    paid, costs = 6 * (h.middle - 30), 2 * (h.middle - 5)
    h.expect("and after a trade by one of fewer", {(2, CASH): (-paid - costs, costs), (2, 0): (6, 0)})
    h.cancel(third, "buy")
    h.expect("all orders are over", {(2, CASH): (-paid, 0), (2, 0): (6, 0), (3, CASH): (paid, 0), (3, 0): (-6, 0)})


@pytest.mark.clause("D09.X21", "D02.N2")
def test_every_reader_sees_what_was_there_before(make_lab: MakeLab) -> None:
    h = Hall(make_lab, "D09.X21", symbols=2)
    assets = {h.profile.cash, *(at.symbol for at in h.symbols)}
    before = {asset: total for asset, total in h.totals(h.before).items() if asset in assets}
    with Watcher(h) as watcher:
        for n in range(30):
            h.order(n % 4, "sell", 3, 0, n % 2)
            h.order((n + 1) % 4, "buy", 3, None, n % 2)
        h.flow(7, 150)
        h.fence()
        time.sleep(h.profile.lag_s)
    changed = {h.moved(r, who, CASH) for r in watcher.readings for who in range(4)}
    if len(changed) < 20:
        h.fail("the ledger is not written while the exchange trades", ["20 balances or more seen"], [str(len(changed))])
    for n, reading in enumerate(watcher.readings):
        totals = h.totals(reading)
        for asset, total in before.items():
            if totals.get(asset) != total:
                h.fail(
                    f"reading {n} of {len(watcher.readings)}, made while orders traded: the total of {asset} over all accounts "
                    "is not what it was", [f"{total}"], [f"{totals.get(asset)}"],
                    clause="D02.N2" if h.totals(watcher.readings[-1]).get(asset) == total else None,
                )  # fmt: skip


@pytest.mark.clause("D09.X23")
def test_nothing_is_ever_negative_and_an_overdraft_is_refused(make_lab: MakeLab) -> None:
    h = Hall(make_lab, "D09.X23")
    with Watcher(h) as watcher:
        h.flow(11, 80)
        h.fence()
        time.sleep(h.profile.lag_s)
    for reading in watcher.readings:
        below = [f"{k}: {v[0]} free, {v[1]} reserved" for k, v in reading.items() if k[0] in h.accounts and min(v) < 0]
        if below:
            h.fail("a reader saw a balance below zero", ["nothing below zero"], below)
    if h.profile.overdraw is None:
        return
    account, now = h.accounts[0], h.read()
    has = now[account, h.profile.cash][0]
    words = h.profile.overdraw.replace("{account}", account).replace("{amount}", f"{int(has) + 1}")
    try:
        with h.connected() as connection:
            connection.execute(words)
        said = "it was taken"
    except psycopg.errors.IntegrityError:
        said = ""
    after = h.read()
    if said or after != now:
        changed = [f"{k}: {after[k][0]} free, {after[k][1]} reserved" for k in after if after[k] != now.get(k)]
        h.fail(
            "an entry of more than the account has is refused whole", ["refused, and nothing changed"], [said, *changed]
        )


@pytest.mark.clause("D09.X20")
def test_at_rest_the_ledger_is_what_the_log_says(make_lab: MakeLab) -> None:
    h = Hall(make_lab, "D09.X20", symbols=3)
    for n in range(4):
        h.flow(100 + n, 60)
        h.fence()
    equal_to_log(h, "after random orders")


@pytest.mark.clause("D09.X22")
def test_after_crashes_nothing_is_entered_twice_or_skipped(make_lab: MakeLab) -> None:
    h = Hall(make_lab, "D09.X22", symbols=2)
    for n in range(6):
        h.flow(200 + n, 40)
        pid = h.lab.kill(h.profile.role) if h.profile.role in h.lab.ready.get("pids", {}) else 0
        h.flow(300 + n, 20)
        if pid:
            h.lab.wait_role(h.profile.role, pid)
    h.fence()
    equal_to_log(h, "after kills of the role that writes it")
    h.flow(400, 40)
    h.lab.kill("all")
    h.lab.start()
    h.again()
    h.flow(401, 40)
    h.fence()
    equal_to_log(h, "after a kill of everything")
    h.lab.stop()
    h.lab.start()
    h.again()
    equal_to_log(h, "after a stop")


def equal_to_log(h: Hall, when: str) -> None:
    """Every account's cash and every position, as the events in the log make them."""
    deadline = time.monotonic() + 10
    while True:
        events = [e for step in steps(h.lab.read_log().records) for e in step.events]
        known = {e.cl for e in events}
        if set(list(h.orders)[-1:]) <= known or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    account = {e.account: h.orders[e.cl][0] for e in events if e.cl in h.orders}
    symbol = {e.symbol: h.orders[e.cl][1] for e in events if e.cl in h.orders}
    number = {name: n for n, name in enumerate(h.accounts)}
    all_of = gained(events)
    wanted: dict[tuple[int, int], tuple[int, int]] = {}
    for n, name in account.items():
        held = all_of.held_cash[n]
        wanted[number[name], CASH] = all_of.cash[n] - held, held
        for s, at in symbol.items():
            reserved = all_of.held_lots[n, s]
            wanted[number[name], at] = all_of.lots[n, s] - reserved, reserved
    h.expect(f"{when}, against the audit log", wanted, patience_s=20.0)
