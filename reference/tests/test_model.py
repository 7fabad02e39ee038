"""The model against docs/engine-rules.md: each rule with an example whose answer is written out."""

from __future__ import annotations

import pytest

from matchmark.conformance.messages import (
    Accepted,
    Cancel,
    Cancelled,
    CancelRejected,
    Event,
    MassCancel,
    MassCancelled,
    New,
    Rejected,
    Replace,
    Replaced,
    Reset,
    State,
    Status,
    StatusReport,
    Top,
    Trade,
)
from matchmark.reference.bench import SYMBOLS, mixed_flow
from matchmark.reference.model import ModelEngine
from matchmark.reference.state_hash import fold, mix


@pytest.fixture
def engine() -> ModelEngine:
    return ModelEngine(("S0", "S1"), emit_top=False)


def order(engine: ModelEngine, cl: str, side: str, qty: int, px: int | None = None, **more: str) -> list[Event]:
    fields = {"acct": "A", "sym": "S0", "type": "market" if px is None else "limit", **more}
    return engine.submit(New(cl=cl, side=side, qty=qty, px=px, **fields))


def reasons(events: list[Event]) -> list[str]:
    return [e.reason for e in events if isinstance(e, Rejected | Cancelled | CancelRejected)]


@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        ("unknown_symbol", {"sym": "S9", "side": "up", "qty": 0}),
        ("malformed", {"side": "up", "qty": 0}),
        ("malformed", {"type": "stop", "qty": 0}),
        ("malformed", {"tif": "gtc", "qty": 0}),
        ("malformed", {"smp": "cancel_both", "qty": 0}),
        ("bad_quantity", {"qty": 0, "px": 0}),
        ("bad_quantity", {"qty": 2**31, "px": 0}),
        ("bad_price", {"px": None, "cl": "taken"}),
        ("bad_price", {"px": 0, "cl": "taken"}),
        ("bad_price", {"px": 2**53, "cl": "taken"}),
        ("duplicate_cl_ord_id", {"cl": "taken"}),
    ],
)
def test_the_first_check_that_fails_gives_the_reason(
    engine: ModelEngine, reason: str, fields: dict[str, object]
) -> None:
    order(engine, "taken", "buy", 1, 1)
    good = {"cl": "n", "acct": "A", "sym": "S0", "side": "buy", "type": "limit", "qty": 5, "px": 100}
    command = New(**{**good, **fields})  # type: ignore[arg-type]
    assert engine.submit(command) == [Rejected(command.cl)]
    assert reasons(engine.submit(command)) == [reason]


def test_a_rejected_order_leaves_its_cl_ord_id_free(engine: ModelEngine) -> None:
    order(engine, "b", "buy", 0, 100)
    assert order(engine, "b", "buy", 1, 100) == [Accepted("b")]


def test_the_largest_price_and_quantity_are_taken(engine: ModelEngine) -> None:
    assert order(engine, "b", "buy", 2**31 - 1, 2**53 - 1) == [Accepted("b")]
    assert engine.top("S0") == ((2**53 - 1, 2**31 - 1), None)


def test_a_market_order_ignores_its_price(engine: ModelEngine) -> None:
    order(engine, "b", "buy", 5, 100)
    assert order(engine, "s", "sell", 5, 2**60, type="market")[1:] == [Trade("S0", 100, 5, "b", "s")]


def test_matching_takes_the_best_price_and_the_oldest_order(engine: ModelEngine) -> None:
    for cl, px in (("a", 99), ("b", 100), ("c", 100), ("d", 98)):
        order(engine, cl, "buy", 10, px)
    assert order(engine, "s", "sell", 35, 99, acct="B") == [
        Accepted("s"),
        Trade("S0", 100, 10, "b", "s"),
        Trade("S0", 100, 10, "c", "s"),
        Trade("S0", 99, 10, "a", "s"),
    ]
    assert engine.top("S0") == ((98, 10), (99, 5))


@pytest.mark.parametrize(
    ("tif", "px", "reason"), [("ioc", 100, "ioc"), ("day", None, "no_liquidity"), ("ioc", None, "no_liquidity")]
)
def test_what_may_not_rest_is_cancelled(engine: ModelEngine, tif: str, px: int | None, reason: str) -> None:
    order(engine, "b", "buy", 4, 100)
    events = order(engine, "s", "sell", 10, px, tif=tif)
    assert events[-1] == Cancelled("s", 6, 4)
    assert reasons(events) == [reason]
    assert engine.top("S0") == (None, None)


def test_self_match_prevention_is_the_incoming_orders_wish(engine: ModelEngine) -> None:
    order(engine, "b1", "buy", 4, 100, acct="B")
    order(engine, "b2", "buy", 5, 100)
    order(engine, "b3", "buy", 6, 100, acct="B")
    assert order(engine, "n", "sell", 10, 100, smp="cancel_newest") == [
        Accepted("n"),
        Trade("S0", 100, 4, "b1", "n"),
        Cancelled("n", 6, 4),
    ]
    assert order(engine, "o", "sell", 10, 100, smp="cancel_oldest") == [
        Accepted("o"),
        Cancelled("b2", 5, 0),
        Trade("S0", 100, 6, "b3", "o"),
    ]
    assert order(engine, "b4", "buy", 4, 100)[1:] == [Trade("S0", 100, 4, "o", "b4")]


@pytest.mark.parametrize(
    ("reason", "command"),
    [
        ("unknown_symbol", Cancel("x", "b", "A", "S9")),
        ("unknown_order", Cancel("x", "ghost", "A", "S0")),
        ("unknown_order", Cancel("x", "b", "B", "S0")),
        ("unknown_order", Cancel("x", "b", "A", "S1")),
        ("unknown_order", Cancel("x", "gone", "B", "S0")),
        ("too_late", Cancel("x", "gone", "A", "S0")),
        ("unknown_symbol", Replace("x", "b", "A", "S9")),
        ("malformed", Replace("x", "ghost", "A", "S0")),
        ("malformed", Replace("x", "b", "A", "S0", 5, 5, "cancel_both")),
        ("unknown_order", Replace("x", "ghost", "A", "S0", 0, 0)),
        ("too_late", Replace("x", "gone", "A", "S0", 0, 0)),
        ("bad_quantity", Replace("x", "b", "A", "S0", 0, 0)),
        ("bad_quantity", Replace("x", "b", "A", "S0", 0, 4)),
        ("bad_quantity", Replace("x", "b", "A", "S0", 0, 2**31)),
        ("bad_price", Replace("gone", "b", "A", "S0", 0, 5)),
        ("duplicate_cl_ord_id", Replace("b", "b", "A", "S0", 1, 5)),
        ("unknown_symbol", MassCancel("x", "A", "S9")),
    ],
)
def test_a_refused_request_changes_nothing(
    engine: ModelEngine, reason: str, command: Cancel | Replace | MassCancel
) -> None:
    order(engine, "b", "buy", 10, 100)
    order(engine, "s", "sell", 4, 100)
    order(engine, "gone", "buy", 10, 90)
    engine.submit(Cancel("c", "gone", "A", "S0"))
    before = engine.state_hash()
    assert engine.submit(command) == [CancelRejected(command.cl)]
    assert reasons(engine.submit(command)) == [reason]
    assert engine.top("S0") == ((100, 6), None)
    if command.acct == "A":
        assert engine.state_hash() == before


def test_a_cancel_reports_leaves_and_cum(engine: ModelEngine) -> None:
    order(engine, "b", "buy", 10, 100)
    order(engine, "s", "sell", 4, 100)
    events = engine.submit(Cancel("x", "b", "A", "S0"))
    assert events == [Cancelled("b", 6, 4)]
    assert reasons(events) == ["requested"]


def test_a_cut_at_the_same_price_keeps_the_place(engine: ModelEngine) -> None:
    order(engine, "b1", "buy", 10, 100)
    order(engine, "b2", "buy", 10, 100)
    assert engine.submit(Replace("b3", "b1", "A", "S0", 100, 7)) == [Replaced("b3", "b1", 100, 7, 0)]
    assert order(engine, "s", "sell", 8, 100)[1:] == [Trade("S0", 100, 7, "b3", "s"), Trade("S0", 100, 1, "b2", "s")]


@pytest.mark.parametrize(("px", "qty"), [(None, 11), (100, 11), (99, None), (99, 5)])
def test_any_other_replace_loses_the_place(engine: ModelEngine, px: int | None, qty: int | None) -> None:
    order(engine, "b1", "buy", 10, 100)
    order(engine, "b2", "buy", 10, px or 100)
    engine.submit(Replace("b3", "b1", "A", "S0", px, qty))
    assert order(engine, "s", "sell", 1)[1:] == [Trade("S0", px or 100, 1, "b2", "s")]


def test_a_replace_that_crosses_trades_with_its_cum_carried(engine: ModelEngine) -> None:
    order(engine, "b", "buy", 10, 100)
    order(engine, "s1", "sell", 4, 100, acct="B")
    order(engine, "s2", "sell", 3, 105, acct="B")
    assert engine.submit(Replace("b2", "b", "A", "S0", 105, 12)) == [
        Replaced("b2", "b", 105, 8, 4),
        Trade("S0", 105, 3, "s2", "b2"),
    ]
    told = [engine.submit(Status("q", cl, "A", "S0"))[0] for cl in ("b", "b2")]
    assert told == [
        StatusReport("q", "b", State.CANCELLED, 0, 4),
        StatusReport("q", "b2", State.PARTIALLY_FILLED, 5, 7),
    ]
    assert reasons(engine.submit(Cancel("x", "b", "A", "S0"))) == ["too_late"]


def test_a_mass_cancel_goes_symbol_by_symbol_and_from_the_best_price(engine: ModelEngine) -> None:
    placed = [("p1", "buy", 99, "S0"), ("p2", "buy", 100, "S1"), ("p3", "sell", 105, "S0"), ("p4", "buy", 100, "S0")]
    placed += [("p5", "sell", 104, "S0"), ("p6", "buy", 100, "S0")]
    for cl, side, px, sym in placed:
        order(engine, cl, side, 1, px, sym=sym)
    order(engine, "other", "buy", 1, 100, acct="B")
    ended = [Cancelled(cl, 1, 0) for cl in ("p4", "p6", "p1", "p5", "p3", "p2")]
    assert engine.submit(MassCancel("m", "A")) == [*ended, MassCancelled("m", 6)]
    assert engine.submit(MassCancel("m", "A")) == [MassCancelled("m", 0)]
    assert engine.top("S0") == ((100, 1), None)


def test_status_tells_a_stranger_nothing(engine: ModelEngine) -> None:
    order(engine, "b", "buy", 10, 100)
    unknown = StatusReport("q", "b", State.UNKNOWN, 0, 0)
    for acct, sym in (("B", "S0"), ("A", "S1"), ("A", "S9")):
        assert engine.submit(Status("q", "b", acct, sym)) == [unknown]
    assert engine.submit(Status("q", "b", "A", "S0")) == [StatusReport("q", "b", State.NEW, 10, 0)]


def test_top_is_published_once_and_only_when_it_changed() -> None:
    engine = ModelEngine(("S0",))
    assert order(engine, "b1", "buy", 10, 100)[1:] == [Top("S0", (100, 10), None)]
    assert order(engine, "b2", "buy", 10, 99)[1:] == []
    assert order(engine, "b3", "buy", 5, 100)[1:] == [Top("S0", (100, 15), None)]
    assert order(engine, "s", "sell", 20, 99)[-1] == Top("S0", (99, 5), None)
    assert engine.submit(MassCancel("m", "A"))[-1] == Top("S0", None, None)


def test_reset_forgets_everything(engine: ModelEngine) -> None:
    fresh = engine.state_hash()
    first = order(engine, "b", "buy", 10, 100)
    assert engine.state_hash() != fresh
    assert engine.submit(Reset()) == []
    assert engine.state_hash() == fresh
    again = order(engine, "b", "buy", 10, 100)
    assert [e.id for e in first + again if isinstance(e, Accepted)] == ["1", "1"]


def test_the_state_hash_is_the_documented_one(engine: ModelEngine) -> None:
    engine.submit(Cancel("x", "ghost", "Z", "S0"))
    order(engine, "b1", "buy", 10, 100, sym="S1")
    order(engine, "b2", "buy", 20, 100, sym="S1", acct="B")
    order(engine, "s", "sell", 4, 100, sym="S1")

    def of(*words: int) -> int:
        h = 0
        for word in words:
            h = fold(h, word)
        return h

    # symbol, side, price, leaves, cum, account (Z is 0), order id, id ahead
    total = of(1, 0, 100, 6, 4, 1, 1, 0) + of(1, 0, 100, 20, 0, 2, 2, 1) + mix(3)
    assert engine.state_hash() == mix(total % 2**64)


def test_the_mixer_does_not_change() -> None:
    """State hashes are compared between versions and machines: these values are for good."""
    assert mix(0) == 0
    assert mix(1) == 0x5692161D100B05E5
    assert fold(0, 0) == 0x9E3779B97F4A7C15


def test_the_same_commands_lead_to_the_same_events_and_state() -> None:
    flow = mixed_flow(3_000)
    engines = [ModelEngine(SYMBOLS) for _ in range(2)]
    for command in flow:
        assert engines[0].submit(command) == engines[1].submit(command)
    assert engines[0].state_hash() == engines[1].state_hash()


def test_levels_and_books_add_up_after_a_long_flow() -> None:
    """What is kept up incrementally, level totals and the best level, is what the orders say."""
    engine = ModelEngine(SYMBOLS)
    for n, command in enumerate(mixed_flow(4_000, seed=3)):
        engine.submit(command)
        if n % 50 == 0:
            for book in engine.books.values():
                for side, levels in book.levels.items():
                    assert all(level.qty == sum(o.leaves for o in level.orders.values()) for level in levels.values())
                    assert all(level.orders for level in levels.values())
                    prices = [*levels]
                    best = (max if side == "buy" else min)(prices) if prices else None
                    assert (book.best[side].px if book.best[side] else None) == best  # type: ignore[union-attr]
