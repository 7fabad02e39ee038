"""The engine's rules one by one (docs/engine-rules.md), its limits, and the book's window, on the public Python API."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from matchmark.native import (
    ABSENT,
    ALL_SYMBOLS,
    COMMAND,
    EVENT,
    MAX_PRICE_TICKS,
    MAX_QUANTITY_LOTS,
    Engine,
    EngineClosed,
    Event,
    EventKind,
    Op,
    OrdType,
    Quote,
    Reason,
    Side,
    Smp,
    State,
    Tif,
    Top,
)

BUY, SELL = Side.BUY, Side.SELL


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine(3, max_orders=1000, remembered_ids=10_000, window_ticks=64) as made:
        yield made
        made.check()


def new(e: Engine, cl: int, side: int, price: int | None, quantity: int | None, **more: Any) -> list[str]:
    return said(e.execute(Op.NEW, cl, side=side, price_ticks=price, quantity_lots=quantity, **more))


def said(events: list[Event | Top]) -> list[str]:
    """Each event as a short sentence: what the rules say that it carries, and nothing else."""
    return [sentence(e) for e in events]


def sentence(e: Event | Top) -> str:
    if isinstance(e, Top):
        bid, ask = (None if p == ABSENT else (p, q) for p, q in ((e.bid_ticks, e.bid_lots), (e.ask_ticks, e.ask_lots)))
        return f"top {e.symbol} {bid} {ask}"
    reason, state = Reason(e.reason).name.lower(), State(e.state).name.lower()
    lots, cum = e.quantity_lots, e.cum_lots
    return {
        EventKind.ACCEPTED: f"accepted {e.cl_ord_id} id {e.order_id}",
        EventKind.REJECTED: f"rejected {e.cl_ord_id} {reason}",
        EventKind.REPLACED: f"replaced {e.cl_ord_id} was {e.other_cl_ord_id} {lots}@{e.price_ticks} cum {cum}",
        EventKind.TRADE: f"trade {lots}@{e.price_ticks} resting {e.other_cl_ord_id} incoming {e.cl_ord_id}",
        EventKind.CANCELLED: f"cancelled {e.cl_ord_id} leaves {lots} cum {cum} {reason}",
        EventKind.CANCEL_REJECTED: f"cancel_rejected {e.cl_ord_id} {reason}",
        EventKind.MASS_CANCELLED: f"mass_cancelled {e.cl_ord_id} count {lots}",
        EventKind.STATUS: f"status {e.other_cl_ord_id} {state} leaves {lots} cum {cum}",
    }[EventKind(e.kind)]


def test_a_sell_walks_the_bids_by_price_then_time_and_its_rest_rests(engine: Engine) -> None:
    for cl, price, lots in ((1, 10050, 100), (2, 10049, 200), (3, 10049, 150)):
        assert new(engine, cl, BUY, price, lots) == [f"accepted {cl} id {cl}"]
    assert new(engine, 4, SELL, 10048, 500) == [
        "accepted 4 id 4",
        "trade 100@10050 resting 1 incoming 4",
        "trade 200@10049 resting 2 incoming 4",
        "trade 150@10049 resting 3 incoming 4",
    ]
    assert engine.best(0, BUY) is None
    assert engine.best(0, SELL) == Quote(10048, 50, 1)
    assert engine.counters().trades == 3


def test_events_carry_both_sides_for_the_gateway(engine: Engine) -> None:
    engine.execute(Op.NEW, 11, account=7, side=BUY, price_ticks=5, quantity_lots=10)
    trade = engine.execute(Op.NEW, 12, account=8, side=SELL, price_ticks=4, quantity_lots=3)[1]
    assert trade == Event(
        EventKind.TRADE, 0, SELL, State.PARTIALLY_FILLED, 0, 12, 11, 2, 5, 3, 3, 8, 7, 1
    )  # fmt: skip


def test_a_limit_does_not_trade_beyond_its_price(engine: Engine) -> None:
    new(engine, 1, SELL, 101, 5)
    assert new(engine, 2, BUY, 100, 5) == ["accepted 2 id 2"]
    assert engine.best(0, BUY) == Quote(100, 5, 1)


def test_ioc_and_market_remainders_are_cancelled(engine: Engine) -> None:
    new(engine, 1, SELL, 101, 5)
    assert new(engine, 2, BUY, 101, 8, tif=Tif.IOC)[1:] == [
        "trade 5@101 resting 1 incoming 2",
        "cancelled 2 leaves 3 cum 5 ioc",
    ]
    assert new(engine, 3, BUY, None, 8, type=OrdType.MARKET) == [
        "accepted 3 id 3",
        "cancelled 3 leaves 8 cum 0 no_liquidity",
    ]
    assert new(engine, 4, BUY, -7, 8, type=OrdType.MARKET)[0] == "accepted 4 id 4", "a market order's price is ignored"
    assert engine.counters().resting_orders == 0


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"symbol": 3}, "unknown_symbol"),
        ({"symbol": ALL_SYMBOLS, "side": 9, "quantity_lots": 0}, "unknown_symbol"),
        ({"side": 2, "quantity_lots": 0}, "malformed"),
        ({"side": 999}, "malformed"),
        ({"type": 2}, "malformed"),
        ({"tif": 2}, "malformed"),
        ({"smp": 3}, "malformed"),
        ({"quantity_lots": 0, "price_ticks": 0}, "bad_quantity"),
        ({"quantity_lots": -1}, "bad_quantity"),
        ({"quantity_lots": None}, "bad_quantity"),
        ({"quantity_lots": MAX_QUANTITY_LOTS + 1}, "bad_quantity"),
        ({"quantity_lots": 1 << 80}, "bad_quantity"),
        ({"price_ticks": 0}, "bad_price"),
        ({"price_ticks": -1}, "bad_price"),
        ({"price_ticks": None}, "bad_price"),
        ({"price_ticks": MAX_PRICE_TICKS + 1}, "bad_price"),
        ({"price_ticks": -(1 << 80)}, "bad_price"),
        ({"cl_ord_id": 1}, "duplicate_cl_ord_id"),
        ({"op": 0}, "malformed"),
        ({"op": 77}, "malformed"),
    ],
)
def test_a_bad_new_is_refused_and_changes_nothing(engine: Engine, fields: dict[str, Any], reason: str) -> None:
    new(engine, 1, SELL, 101, 5)
    before = engine.state_hash()
    good = {"op": Op.NEW, "cl_ord_id": 2, "side": BUY, "price_ticks": 101, "quantity_lots": 1}
    assert said(engine.execute(**{**good, **fields})) == [f"rejected {fields.get('cl_ord_id', 2)} {reason}"]
    assert engine.state_hash() == before
    assert new(engine, 2, BUY, 100, 1) == ["accepted 2 id 2"], "a refused order does not use its ClOrdID up"


def test_the_largest_price_and_quantity_are_good(engine: Engine) -> None:
    for cl in range(1, 9):
        new(engine, cl, BUY, MAX_PRICE_TICKS, MAX_QUANTITY_LOTS)
    assert engine.best(0, BUY) == Quote(MAX_PRICE_TICKS, 8 * MAX_QUANTITY_LOTS, 8), "a level's quantity exceeds 32 bits"
    assert (
        new(engine, 9, SELL, 1, MAX_QUANTITY_LOTS)[1]
        == f"trade {MAX_QUANTITY_LOTS}@{MAX_PRICE_TICKS} resting 1 incoming 9"
    )


def test_finished_ids_are_duplicates_until_reset(engine: Engine) -> None:
    new(engine, 1, BUY, 100, 1)
    engine.execute(Op.CANCEL, 2, 1)
    assert new(engine, 1, BUY, 100, 1) == ["rejected 1 duplicate_cl_ord_id"]
    engine.reset()
    assert new(engine, 1, BUY, 100, 1) == ["accepted 1 id 1"]
    assert engine.execute(Op.RESET) == []
    assert new(engine, 1, BUY, 100, 1) == ["accepted 1 id 1"]


def test_cancel_removes_the_leaves_and_tells_cum(engine: Engine) -> None:
    new(engine, 1, BUY, 100, 10)
    new(engine, 2, SELL, 100, 4)
    assert said(engine.execute(Op.CANCEL, 3, 1)) == ["cancelled 1 leaves 6 cum 4 requested"]
    assert engine.best(0, BUY) is None


def test_cancel_tells_a_stranger_nothing_and_the_owner_that_it_is_too_late(engine: Engine) -> None:
    new(engine, 1, BUY, 100, 10, account=1)
    cancel = {"op": Op.CANCEL, "cl_ord_id": 9, "orig_cl_ord_id": 1, "account": 1, "symbol": 0}
    for fields, reason in (
        ({"account": 2}, "unknown_order"),
        ({"symbol": 1}, "unknown_order"),
        ({"symbol": 3}, "unknown_symbol"),
        ({"orig_cl_ord_id": 5}, "unknown_order"),
    ):
        assert said(engine.execute(**{**cancel, **fields})) == [f"cancel_rejected 9 {reason}"]
    engine.execute(**cancel)
    assert said(engine.execute(**cancel)) == ["cancel_rejected 9 too_late"]
    assert said(engine.execute(**{**cancel, "account": 2})) == ["cancel_rejected 9 unknown_order"]
    assert said(engine.execute(**{**cancel, "symbol": 1})) == ["cancel_rejected 9 unknown_order"]


def test_self_match_prevention(engine: Engine) -> None:
    new(engine, 1, SELL, 100, 5, account=1)
    new(engine, 2, SELL, 100, 5, account=2)
    assert new(engine, 3, BUY, 100, 3, account=2, smp=Smp.CANCEL_NEWEST)[1:] == ["trade 3@100 resting 1 incoming 3"]
    assert new(engine, 4, BUY, 100, 3, account=1, smp=Smp.CANCEL_NEWEST) == [
        "accepted 4 id 4",
        "cancelled 4 leaves 3 cum 0 smp",
    ]
    assert new(engine, 5, BUY, 100, 3, account=1, smp=Smp.CANCEL_OLDEST) == [
        "accepted 5 id 5",
        "cancelled 1 leaves 2 cum 3 smp",
        "trade 3@100 resting 2 incoming 5",
    ]
    assert new(engine, 6, BUY, 100, 1, account=2) == ["accepted 6 id 6", "trade 1@100 resting 2 incoming 6"]


def test_replace_keeps_the_place_only_for_a_quantity_cut(engine: Engine) -> None:
    for cl in (1, 2, 3):
        new(engine, cl, BUY, 100, 10)
    assert said(engine.execute(Op.REPLACE, 11, 1, quantity_lots=4)) == ["replaced 11 was 1 4@100 cum 0"]
    assert said(engine.execute(Op.REPLACE, 12, 2, quantity_lots=11)) == ["replaced 12 was 2 11@100 cum 0"]
    assert new(engine, 4, SELL, 100, 25)[1:] == [
        "trade 4@100 resting 11 incoming 4",
        "trade 10@100 resting 3 incoming 4",
        "trade 11@100 resting 12 incoming 4",
    ]


def test_replace_counts_what_has_traded_and_may_trade_itself(engine: Engine) -> None:
    new(engine, 1, BUY, 100, 10)
    new(engine, 2, SELL, 100, 4)
    new(engine, 3, SELL, 105, 5)
    assert said(engine.execute(Op.REPLACE, 4, 1, quantity_lots=4)) == ["cancel_rejected 4 bad_quantity"]
    assert said(engine.execute(Op.REPLACE, 4, 1, price_ticks=105, quantity_lots=12)) == [
        "replaced 4 was 1 8@105 cum 4",
        "trade 5@105 resting 3 incoming 4",
    ]
    assert engine.best(0, BUY) == Quote(105, 3, 1)
    assert said(engine.execute(Op.STATUS, 9, 4)) == ["status 4 partially_filled leaves 3 cum 9"]
    assert said(engine.execute(Op.STATUS, 9, 1)) == ["status 1 cancelled leaves 0 cum 4"]
    assert said(engine.execute(Op.CANCEL, 9, 1)) == ["cancel_rejected 9 too_late"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"symbol": 3, "smp": 9}, "unknown_symbol"),
        ({"orig_cl_ord_id": 99}, "malformed"),
        ({"price_ticks": 99, "smp": 3, "account": 5}, "malformed"),
        ({"price_ticks": 0, "account": 5}, "unknown_order"),
        ({"price_ticks": 99, "orig_cl_ord_id": 2}, "too_late"),
        ({"price_ticks": 0, "quantity_lots": 0}, "bad_quantity"),
        ({"quantity_lots": 1 << 40}, "bad_quantity"),
        ({"price_ticks": 0, "cl_ord_id": 1}, "bad_price"),
        ({"price_ticks": 1 << 53}, "bad_price"),
        ({"price_ticks": 99, "cl_ord_id": 1}, "duplicate_cl_ord_id"),
        ({"price_ticks": 99, "cl_ord_id": 2}, "duplicate_cl_ord_id"),
    ],
)
def test_a_bad_replace_is_refused_in_the_order_of_the_rules(
    engine: Engine, fields: dict[str, Any], reason: str
) -> None:
    new(engine, 1, BUY, 100, 10)
    new(engine, 2, BUY, 100, 10)
    engine.execute(Op.CANCEL, 3, 2)
    before = engine.state_hash()
    answer = engine.execute(**{"op": Op.REPLACE, "cl_ord_id": 7, "orig_cl_ord_id": 1, **fields})
    assert said(answer) == [f"cancel_rejected {fields.get('cl_ord_id', 7)} {reason}"]
    assert engine.state_hash() == before


def test_mass_cancel_goes_by_symbol_side_price_and_time(engine: Engine) -> None:
    orders = ((1, 2, SELL, 9), (2, 0, SELL, 12), (3, 0, SELL, 11), (4, 0, BUY, 5), (5, 0, BUY, 6), (6, 0, BUY, 6))
    for cl, symbol, side, price in orders:
        new(engine, cl, side, price, 1, symbol=symbol, account=1)
    new(engine, 7, BUY, 6, 1, account=2)
    assert said(engine.execute(Op.MASS_CANCEL, 8, account=1, symbol=3)) == ["cancel_rejected 8 unknown_symbol"]
    assert said(engine.execute(Op.MASS_CANCEL, 8, account=1, symbol=1)) == ["mass_cancelled 8 count 0"]
    answer = said(engine.execute(Op.MASS_CANCEL, 8, account=1, symbol=ALL_SYMBOLS))
    assert [s.split()[1] for s in answer[:-1]] == ["5", "6", "4", "3", "2", "1"]
    assert answer[-1] == "mass_cancelled 8 count 6"
    assert engine.counters().resting_orders == 1


def test_status_tells_only_the_owner(engine: Engine) -> None:
    new(engine, 1, BUY, 100, 10, account=1)
    assert said(engine.execute(Op.STATUS, 2, 1, account=1)) == ["status 1 new leaves 10 cum 0"]
    for fields in ({"account": 2}, {"account": 1, "symbol": 1}, {"account": 1, "symbol": 99}):
        assert said(engine.execute(Op.STATUS, 2, 1, **fields)) == ["status 1 unknown leaves 0 cum 0"]
    new(engine, 3, SELL, 100, 10)
    assert said(engine.execute(Op.STATUS, 2, 1, account=1)) == ["status 1 filled leaves 0 cum 10"]


def test_top_is_told_once_a_command_when_it_changed() -> None:
    with Engine(2, 100, emit_top=True) as engine:
        assert new(engine, 1, BUY, 100, 5)[1:] == ["top 0 (100, 5) None"]
        assert new(engine, 2, BUY, 99, 5)[1:] == []
        assert new(engine, 3, BUY, 100, 5)[1:] == ["top 0 (100, 10) None"]
        assert new(engine, 4, SELL, 100, 12)[3:] == ["top 0 (99, 5) (100, 2)"]
        assert said(engine.execute(Op.CANCEL, 5, 2))[1:] == ["top 0 None (100, 2)"]
        new(engine, 6, SELL, 7, 1, symbol=1)
        answer = said(engine.execute(Op.MASS_CANCEL, 7, symbol=ALL_SYMBOLS))
        assert answer[2:] == ["mass_cancelled 7 count 2", "top 0 None None", "top 1 None None"]
        engine.reset()
        assert new(engine, 1, BUY, 100, 5)[1:] == ["top 0 (100, 5) None"]


def test_full_pools_are_answered_with_capacity() -> None:
    with Engine(1, max_orders=2, max_levels=2, remembered_ids=6) as engine:
        new(engine, 1, BUY, 100, 1)
        new(engine, 2, BUY, 99, 1)
        assert new(engine, 3, BUY, 100, 1) == ["rejected 3 capacity"]
        assert new(engine, 3, SELL, 100, 1, tif=Tif.IOC) == ["accepted 3 id 3", "trade 1@100 resting 1 incoming 3"]
        new(engine, 4, BUY, 99, 1)
        assert said(engine.execute(Op.REPLACE, 5, 4, price_ticks=98)) == ["replaced 5 was 4 1@98 cum 0"]
        engine.execute(Op.CANCEL, 9, 5)
        assert new(engine, 6, BUY, 99, 1)[0] == "accepted 6 id 5"
        assert new(engine, 7, SELL, 99, 1, tif=Tif.IOC) == ["rejected 7 capacity"], "no ClOrdID left to remember"
        assert said(engine.execute(Op.REPLACE, 7, 6, price_ticks=1)) == ["cancel_rejected 7 capacity"]
        engine.check()
        engine.reset()
        assert new(engine, 7, BUY, 99, 1) == ["accepted 7 id 1"]


def test_no_level_left_is_capacity_unless_the_price_has_one() -> None:
    with Engine(1, max_orders=10, max_levels=2) as engine:
        new(engine, 1, BUY, 100, 1)
        new(engine, 2, BUY, 99, 1)
        assert new(engine, 3, BUY, 98, 1) == ["rejected 3 capacity"]
        assert new(engine, 3, BUY, 99, 1) == ["accepted 3 id 3"]
        assert said(engine.execute(Op.REPLACE, 4, 3, price_ticks=98)) == ["cancel_rejected 4 capacity"]
        assert said(engine.execute(Op.REPLACE, 4, 1, price_ticks=98)) == ["replaced 4 was 1 1@98 cum 0"]


def test_without_memory_of_finished_orders_an_id_may_return() -> None:
    with Engine(1, 10, remembered_ids=0) as engine:
        for _ in range(100):
            assert new(engine, 5, BUY, 100, 1)[0].startswith("accepted 5")
            assert new(engine, 6, SELL, 100, 2)[1] == "trade 1@100 resting 5 incoming 6"
            assert said(engine.execute(Op.CANCEL, 7, 5)) == ["cancel_rejected 7 unknown_order"]
            engine.execute(Op.CANCEL, 7, 6)
        engine.check()
        assert engine.counters().ids_in_use == 0


def test_a_million_levels() -> None:
    n = 1_000_000
    with Engine(1, max_orders=n + 1, max_levels=n + 1, remembered_ids=n + 10) as engine:
        commands = np.zeros(n, dtype=COMMAND)
        commands["op"] = Op.NEW
        commands["cl_ord_id"] = np.arange(1, n + 1)
        commands["price_ticks"] = (np.arange(n) * 7919) % n + 1
        commands["quantity_lots"] = 2
        assert (engine.submit(commands)["kind"] == EventKind.ACCEPTED).all()
        assert engine.counters().levels_in_use == n
        assert engine.best(0, BUY) == Quote(n, 2, 1)
        engine.check()
        sweep = np.zeros(1, dtype=COMMAND)
        sweep["op"], sweep["cl_ord_id"], sweep["side"], sweep["price_ticks"] = Op.NEW, n + 1, SELL, 1
        sweep["quantity_lots"] = 2 * n
        events = engine.submit(sweep)
        assert len(events) == n + 1
        assert (np.diff(events["price_ticks"][1:]) == -1).all()
        assert engine.best(0, BUY) is None


def test_levels_move_between_window_and_tree_without_a_trace() -> None:
    with Engine(1, 100_000, window_ticks=64) as engine:
        cl = 0
        for price in [*range(1000, 5000, 3), *range(5000, 1000, -7)]:
            cl += 1
            new(engine, cl, BUY, price, 1)
        engine.check()
        counters = engine.counters()
        assert counters.window_slides > 10 and counters.far_levels > 1000
        prices = []
        while best := engine.best(0, BUY):
            cl += 1
            prices += [best.price_ticks]
            new(engine, cl, SELL, best.price_ticks, best.quantity_lots)
            if cl % 100 == 0:
                engine.check()
        assert prices == sorted(prices, reverse=True) and len(prices) == counters.levels_in_use


def random_commands(n: int, seed: int) -> np.ndarray:
    r = np.random.default_rng(seed)
    commands = np.zeros(n, dtype=COMMAND)
    commands["op"] = r.choice([Op.NEW, Op.CANCEL, Op.REPLACE], n, p=[0.6, 0.3, 0.1])
    commands["cl_ord_id"] = np.arange(1, n + 1)
    commands["orig_cl_ord_id"] = np.maximum(1, commands["cl_ord_id"] - r.integers(1, 400, n).astype(np.uint64))
    commands["side"], commands["symbol"] = r.integers(0, 2, n), r.integers(0, 4, n) * (r.random(n) < 0.1)
    commands["price_ticks"] = 10_000 + r.integers(-300, 300, n) + np.where(r.random(n) < 0.02, 1 << 40, 0)
    commands["quantity_lots"] = r.integers(1, 100, n)
    return commands


def test_window_size_seed_and_buffer_size_have_no_effect_on_events_or_state() -> None:
    commands = random_commands(50_000, 1)
    seen = []
    for window, seed in ((64, 0), (512, 5), (4096, 2**64 - 1), (16384, 1), (262144, 2)):
        with Engine(4, 1 << 16, window_ticks=window, hash_seed=seed) as engine:
            events = engine.submit(commands)
            engine.check()
            seen.append((events.tobytes(), engine.state_hash()))
    with Engine(4, 1 << 16) as engine:
        buffer, parts, taken = np.empty(5, dtype=EVENT), [], 0
        while taken < len(commands) or engine.unfinished:
            done, written = engine.submit_into(commands[taken:], buffer)
            parts.append(buffer[:written].tobytes())
            taken += done
        seen.append((b"".join(parts), engine.state_hash()))
    assert all(s == seen[0] for s in seen)


def test_submits_from_two_threads_do_not_mix_their_events() -> None:
    with Engine(2, 1 << 16) as engine:
        batches = []
        for symbol in (0, 1):
            commands = random_commands(20_000, symbol)
            commands["symbol"] = symbol
            commands["cl_ord_id"] += np.uint64(symbol << 40)
            commands["orig_cl_ord_id"] += np.uint64(symbol << 40)
            batches.append(commands)
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda c: [engine.submit(part) for part in np.split(c, 200)], batches))
        for symbol, parts in enumerate(answers):
            assert all((part["symbol"] == symbol).all() for part in parts)
        engine.check()


def test_a_reset_engine_is_as_good_as_new() -> None:
    commands = random_commands(20_000, 2)
    with Engine(4, 1 << 16, window_ticks=64) as engine:
        first = engine.submit(commands).tobytes()
        for warm in (10, 1000, 20_000):
            engine.reset()
            engine.submit(random_commands(warm, 3))
            engine.reset()
            engine.check()
            assert engine.counters().ids_in_use == 0
        assert engine.submit(commands).tobytes() == first


def test_misuse_is_told_in_words(engine: Engine) -> None:
    with pytest.raises(TypeError, match="COMMAND dtype"):
        engine.submit_into(np.zeros(3), np.empty(10, dtype=EVENT))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="EVENT dtype"):
        engine.submit_into(np.zeros(3, dtype=COMMAND), np.empty(10))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="contiguous"):
        engine.submit(np.zeros(10, dtype=COMMAND)[::2])
    with pytest.raises(ValueError, match="at least 4"):
        engine.submit_into(np.zeros(3, dtype=COMMAND), np.empty(3, dtype=EVENT))
    read_only = np.empty(10, dtype=EVENT)
    read_only.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        engine.submit_into(np.zeros(3, dtype=COMMAND), read_only)
    with pytest.raises(TypeError, match="integers"):
        engine.execute(Op.NEW, 1, price_ticks=1.5, quantity_lots=1)  # type: ignore[arg-type]
    assert len(engine.submit(np.zeros(0, dtype=COMMAND))) == 0


@pytest.mark.parametrize(
    "settings",
    [
        {"symbols": 0},
        {"symbols": -1},
        {"symbols": 1 << 25},
        {"max_orders": 0},
        {"max_levels": 1 << 31},
        {"remembered_ids": 1 << 31},
        {"window_ticks": 100},
        {"window_ticks": 524288},
    ],
)
def test_a_setting_out_of_range_is_told_in_words(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="out of range"):
        Engine(**{"symbols": 1, **settings})  # type: ignore[arg-type]


def test_a_closed_engine_says_so() -> None:
    engine = Engine(1)
    engine.close()
    engine.close()
    with pytest.raises(EngineClosed, match="closed"):
        engine.execute(Op.STATUS)
    with pytest.raises(EngineClosed):
        engine.submit(np.zeros(1, dtype=COMMAND))
