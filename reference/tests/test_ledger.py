"""The ledger's rules: examples, what the constraints refuse, and equality after random orders in random batches, each twice."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings

from matchmark.native.records import ABSENT
from matchmark.reference.gateway import Account, Symbol
from matchmark.reference.ledger.opening import Opening
from matchmark.reference.ledger.postings import Holds, PoisonRecord
from matchmark.reference.ledger.writer import LedgerError, Writer, connect

from .ledgering import BUY, SELL, Databases, Events, balances

SYMBOLS = (Symbol("AAA"), Symbol("BBB", lot_size=10))
ACCOUNTS = tuple(Account(f"A{n}", Decimal(1_000_000), {"AAA": 5_000}, position_each=700) for n in range(4))


def opening(accounts: tuple[Account, ...] = ACCOUNTS, symbols: tuple[Symbol, ...] = SYMBOLS) -> Opening:
    return Opening(accounts, symbols)


def test_a_market_sell_walks_down_and_its_seller_is_credited_with_the_sum(databases: Databases) -> None:
    dsn, e = databases.fresh(), Events()
    bids = [e.accept(n, BUY, lots, ticks) for n, lots, ticks in ((1, 500, 10050), (2, 300, 10048), (3, 200, 10045))]
    sell = e.accept(0, SELL, 1000)
    for bid in bids:
        e.trade(sell, bid, e.leaves(bid))
    with connect(dsn) as c:
        Writer(c, opening(), Holds()).enter(e.batch())
        for n, paid in ((1, 5_025_000), (2, 3_014_400), (3, 2_009_000)):
            assert balances(dsn)[f"A{n}", "cash"] == (100_000_000 - paid, 0)
        assert balances(dsn)["A0", "cash"] == (100_000_000 + 10_048_400, 0)
        assert balances(dsn)["A0", "AAA"] == (4_000, 0) and balances(dsn)["A2", "AAA"] == (5_300, 0)


def test_reserves_are_taken_improved_replaced_and_given_back(databases: Databases) -> None:
    dsn, e = databases.fresh(), Events()
    with connect(dsn) as c:
        w = Writer(c, opening(), Holds())

        def enter() -> dict[tuple[str, str], tuple[int, int]]:
            w.enter(e.batch())
            return balances(dsn)

        sell = e.accept(1, SELL, 50, 100, symbol=1)
        assert enter()["A1", "BBB"] == (6_500, 500)
        buy = e.accept(0, BUY, 80, 110, symbol=1)
        e.trade(buy, sell, 50)  # 10 ticks better than its limit, ten shares a lot
        assert enter()["A0", "cash"] == (100_000_000 - 50_000 - 33_000, 33_000)
        e.replace(buy, 40, 90)
        assert enter()["A0", "cash"] == (100_000_000 - 50_000 - 36_000, 36_000)
        e.replace(buy, 10, 200)
        e.cancel(buy)
        assert enter()["A0", "cash"] == (100_000_000 - 50_000, 0)
        assert balances(dsn)["A0", "BBB"] == (7_500, 0) and balances(dsn)["A1", "cash"] == (100_050_000, 0)
        held = c.execute("SELECT held FROM ledger_orders").fetchall()
        assert held and all(row[0] == 0 for row in held)


def test_cash_beyond_64_bits_is_exact(databases: Databases) -> None:
    dsn, e = databases.fresh(), Events()
    rich = (Account("A0", Decimal(10) ** 27), Account("A1", Decimal(1), {"AAA": 2**31 - 1}))
    sell = e.accept(1, SELL, 2**31 - 1, 2**53 - 1)
    buy = e.accept(0, BUY, 2**31 - 1, 2**53 - 1)
    e.trade(buy, sell, 2**31 - 1)
    with connect(dsn) as c:
        Writer(c, opening(rich), Holds()).enter(e.batch())
    paid = (2**31 - 1) * (2**53 - 1)
    assert balances(dsn)["A0", "cash"] == (10**29 - paid, 0) and balances(dsn)["A1", "cash"] == (100 + paid, 0)


def test_an_overdraft_is_refused_whole_and_named(databases: Databases) -> None:
    dsn, e = databases.fresh(), Events()
    e.accept(0, BUY, 1, 100)
    e.accept(0, BUY, 2_000_000, 100)  # more than it has
    e.accept(1, BUY, 1, 100)
    with connect(dsn) as c:
        w = Writer(c, opening(), Holds())
        with pytest.raises(PoisonRecord, match=r"record 2 of the audit log cannot be entered .*ledger_no_overdraft"):
            w.enter(e.batch())
        assert w.last_sequence == 1 and balances(dsn)["A0", "cash"] == (100_000_000 - 100, 100)
        assert balances(dsn)["A1", "cash"] == (100_000_000, 0)


def test_an_unknown_account_or_symbol_is_named(databases: Databases) -> None:
    for account, symbol in ((4, 0), (0, 2)):
        e = Events()
        e.accept(account, BUY, 1, 100, symbol)
        with (
            connect(databases.fresh()) as c,
            pytest.raises(PoisonRecord, match=r"record 1 .*is the configuration that"),
        ):
            Writer(c, opening(), Holds()).enter(e.batch())


def test_constraints_refuse_what_no_entry_may_do(databases: Databases) -> None:
    dsn, e = databases.fresh(), Events()
    e.accept(0, BUY, 10, 100)
    with connect(dsn) as c:
        Writer(c, opening(), Holds()).enter(e.batch())
        before = balances(dsn)
        trade = "INSERT INTO ledger_entry VALUES (2, 4, 1, 0, 1, {}, {}, {}, 1, 1, {}, {}, {})"
        buy = "INSERT INTO ledger_entry VALUES ({}, 1, 1, 0, 1, {}, {}, 0)"
        for statement, error in (
            (trade.format(-5, 0, 0, 4, 0, 0), "ledger_sums_to_zero"),
            (trade.format(-5, 0, 1, 5, 0, 0), "ledger_sums_to_zero"),
            (trade.format(-5, 0, 1, 5, -1, "NULL"), "ledger_whole"),
            (buy.format(2, -5, 4), "ledger_sums_to_zero"),
            (buy.format(2, -200000000, 200000000), "ledger_no_overdraft"),
            (buy.format(2, 2000, -2000), "ledger_no_negative_reserve"),
            (buy.format(1, -100, 100), "ledger_entry_pkey"),
            ("UPDATE ledger_entry SET kind = 0", "never changed or taken back"),
            ("DELETE FROM ledger_entry", "never changed or taken back"),
        ):
            with pytest.raises(psycopg.IntegrityError, match=error):
                c.execute(statement)
        assert balances(dsn) == before


def test_a_second_writer_or_another_configuration_is_refused(databases: Databases) -> None:
    dsn = databases.fresh()
    with connect(dsn) as c:
        Writer(c, opening(), Holds())
        with connect(dsn) as other, pytest.raises(LedgerError, match="another process writes this ledger"):
            Writer(other, opening(), Holds())
    with connect(dsn) as c, pytest.raises(LedgerError, match="account 0 of the ledger is 'A0' and 'B'"):
        Writer(c, opening((Account("B"),)), Holds())


def test_offsets_of_a_topic_move_with_the_entries_or_not_at_all(databases: Databases) -> None:
    dsn, e = databases.fresh(), Events()
    e.accept(0, BUY, 10, 100)
    with connect(dsn) as c:
        Writer(c, opening(), Holds()).enter(e.batch())
        # As a ledger of the first version has it, which knew of the log alone.
        c.execute("ALTER TABLE ledger_offset DROP COLUMN source, ADD PRIMARY KEY (partition)")
        c.execute("UPDATE ledger_meta SET version = 1")
    e.accept(1, BUY, 10, 100)
    with connect(dsn) as c:
        w = Writer(c, opening(), Holds(), "kafka:t")
        assert (w.last_sequence, w.next_offset, w.offsets) == (1, 2, {})
        w.enter(e.batch()._replace(offsets={0: 5, 3: 7}))
        assert w.lines == 1, "what is entered already is left out"
        e.accept(0, BUY, 10, 10**9)
        with pytest.raises(PoisonRecord):
            w.enter(e.batch(2)._replace(offsets={0: 9}))
    for source, kept in (("kafka:other", {}), ("kafka:t", {0: 5, 3: 7})):
        with connect(dsn) as c:
            w = Writer(c, opening(), Holds(), source)
            assert (w.last_sequence, w.offsets) == (2, kept)
            w.forget_offsets()
    with connect(dsn) as c:
        w = Writer(c, opening(), Holds(), "kafka:t")
        assert (w.last_sequence, w.next_offset, w.offsets) == (2, 3, {}), "the place in the log is not forgotten"


class Flow:
    """Random orders, and what balances must be: counted by order, without the ledger's lines."""

    def __init__(self, choose: Any) -> None:
        self.events, self.choose = Events(), choose
        self.live: dict[int, list[int]] = {}
        self.cash = [[100_000_000, 0] for _ in ACCOUNTS]
        self.shares = {(a, s): [(5_000, 7_000)[s], 0] for a in range(4) for s in range(2)}

    def hold(self, order: int, sign: int) -> None:
        account, side, symbol, ticks, lots = self.live[order]
        if side == BUY and ticks:
            of, amount = self.cash[account], ticks * lots * SYMBOLS[symbol].lot_size
        elif side == SELL:
            of, amount = self.shares[account, symbol], lots * SYMBOLS[symbol].lot_size
        else:
            return
        of[0] -= sign * amount
        of[1] += sign * amount

    def step(self) -> None:
        account, side, symbol, ticks, lots, what = self.choose()
        mine = [o for o in self.live if self.live[o][0] == account]
        if what == "cancel" and mine:
            self.hold(mine[0], -1)
            del self.live[mine[0]]
            self.events.cancel(mine[0])
        elif what == "replace" and mine:
            order = mine[-1]
            self.hold(order, -1)
            self.live[order][3:] = [ticks, lots]
            self.hold(order, 1)
            self.events.replace(order, lots, ticks)
            self.match(order)
        else:
            market = what == "market"
            order = self.events.accept(account, side, lots, ABSENT if market else ticks, symbol)
            self.live[order] = [account, side, symbol, 0 if market else ticks, lots]
            self.hold(order, 1)
            self.match(order, market)
            if market and order in self.live:
                self.hold(order, -1)
                del self.live[order]
                self.events.cancel(order)

    def match(self, order: int, market: bool = False) -> None:
        me = self.live[order]
        for other in list(self.live):
            him = self.live[other]
            crosses = market or (me[3] >= him[3] if me[1] == BUY else me[3] <= him[3])
            if other == order or him[1] == me[1] or him[2] != me[2] or not crosses:
                continue
            lots, price = min(me[4], him[4]), him[3]
            for o in (order, other):
                self.hold(o, -1)
            buyer, seller = (me, him) if me[1] == BUY else (him, me)
            shares = lots * SYMBOLS[me[2]].lot_size
            self.cash[buyer[0]][0] -= shares * price
            self.cash[seller[0]][0] += shares * price
            self.shares[buyer[0], me[2]][0] += shares
            self.shares[seller[0], me[2]][0] -= shares
            me[4] -= lots
            him[4] -= lots
            for o in (order, other):
                self.hold(o, 1)
            self.events.trade(order, other, lots)
            self.live = {o: v for o, v in self.live.items() if v[4]}
            if order not in self.live:
                return

    def expected(self) -> dict[tuple[str, str], tuple[int, int]]:
        out = {(f"A{n}", "cash"): (c[0], c[1]) for n, c in enumerate(self.cash)}
        return out | {(f"A{a}", "AAABBB"[3 * s : 3 * s + 3]): (v[0], v[1]) for (a, s), v in self.shares.items()}


orders = st.tuples(
    st.integers(0, 3),
    st.sampled_from([BUY, SELL]),
    st.integers(0, 1),
    st.integers(95, 105),
    st.integers(1, 10),
    st.sampled_from(["new"] * 5 + ["market", "cancel", "replace", "replace"]),
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(flow=st.lists(orders, min_size=1, max_size=60), cuts=st.lists(st.integers(1, 200), max_size=6))
def test_random_orders_in_random_batches_each_twice_give_what_counting_by_order_gives(
    databases: Databases, flow: list[Any], cuts: list[int]
) -> None:
    dsn, steps = databases.fresh(), iter(flow)
    model = Flow(lambda: next(steps))
    for _ in flow:
        model.step()
    made = model.events
    ends = sorted({min(cut, len(made.made)) for cut in cuts} | {len(made.made)})
    with connect(dsn) as c:
        w = Writer(c, opening(), Holds())
        begin = 0
        for end in ends:
            for _ in range(2):
                w.enter(made.batch(begin, end))
            begin = max(0, end - 3)  # and some of the next batch again
        told = balances(dsn)
        for key, value in model.expected().items():
            assert told.get(key, ({"BBB": 7_000}.get(key[1], 0), 0)) == value, key
        for asset in ("cash", "AAA", "BBB"):
            assert sum(sum(v) for k, v in told.items() if k[1] == asset) == 0
        assert c.execute("SELECT count(*) FROM ledger_postings").fetchone() != (0,)
        over = [o for o in range(1, len(made._orders) + 1) if o not in model.live]
        rows = c.execute("SELECT held FROM ledger_orders WHERE order_id = ANY(%s)", (over,)).fetchall()
        assert all(held == 0 for (held,) in rows)
