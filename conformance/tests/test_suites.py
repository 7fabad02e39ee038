"""The generators and the suites themselves: they reach what they are for, and shrink what they find."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import hypothesis
import pytest

from matchmark.conformance.catalogue import checks_by_clause
from matchmark.conformance.checks import RULES
from matchmark.conformance.checks.differential import CLAUSES as DIFFERENTIAL_CLAUSES
from matchmark.conformance.clauses import load
from matchmark.conformance.driver import Driver
from matchmark.conformance.flow_rules import Choices, Profile
from matchmark.conformance.history import Exchange, History
from matchmark.conformance.messages import (
    Cancel,
    Cancelled,
    CancelRejected,
    MassCancel,
    MassCancelled,
    New,
    Rejected,
    Replace,
    Replaced,
    StatusReport,
    Trade,
)
from matchmark.conformance.strategies import middles, run_property
from matchmark.conformance.suites._support import sweep
from matchmark.conformance.targets.base import Instruments, TargetInfo
from matchmark.conformance.targets.model import ModelTarget
from matchmark.conformance.verdict import violations_in
from matchmark.reference.book import Level, Order
from matchmark.reference.model import ModelEngine

SUITES = {
    "d01": "test_d01_limit_order",
    "d02": "test_d02_market_order",
    "d03": "test_d03_partial_fill",
    "d04": "test_d04_cancel",
    "d04 replace": "test_d04_replace",
    "d07": "test_d07_price_walk",
    "d08": "test_d08_ioc",
}
EXAMPLES = 300


def suite(name: str) -> Any:
    return importlib.import_module(f"matchmark.conformance.suites.{SUITES[name]}")


def settings(examples: int = EXAMPLES, shrink: bool = False) -> hypothesis.settings:
    phases = [hypothesis.Phase.generate, *([hypothesis.Phase.shrink] if shrink else [])]
    return hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=phases,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )


# --- what the generated flows reach ---


def trades(x: Exchange) -> list[Trade]:
    return [e for e in x.events if isinstance(e, Trade)]


def levels(x: Exchange) -> int:
    return len({t.px for t in trades(x)})


def ended(x: Exchange, reason: str) -> list[Cancelled]:
    """The model's words for why an order ended."""
    return [e for e in x.events if isinstance(e, Cancelled) and e.reason == reason]


def refused(reason: str) -> Callable[[Exchange], bool]:
    return lambda x: any(isinstance(e, Rejected | CancelRejected) and e.reason == reason for e in x.events)


def kept_place(x: Exchange) -> bool:
    return (
        isinstance(x.command, Replace) and x.command.new_px is None and any(isinstance(e, Replaced) for e in x.events)
    )


def replaced_again() -> Callable[[Exchange], bool]:
    names: set[str] = set()

    def happened(x: Exchange) -> bool:
        done = isinstance(x.command, Replace) and any(isinstance(e, Replaced) for e in x.events)
        again = done and x.command.orig in names  # type: ignore[union-attr]
        if done:
            names.add(x.command.cl)  # type: ignore[union-attr]
        elif isinstance(x.command, New):
            names.discard(x.command.cl)
        return again

    return happened


def own_order_deep(x: Exchange) -> bool:
    """An own order was cancelled or stopped the match after trades with others."""
    return bool(ended(x, "smp")) and bool(trades(x))


def stranger(x: Exchange) -> bool:
    return isinstance(x.command, Cancel) and x.command.orig != "ghost" and refused("unknown_order")(x)


SITUATIONS: dict[str, Callable[[Exchange], bool]] = {
    "walk of 3 levels": lambda x: levels(x) >= 3,
    "walk of 8 levels": lambda x: levels(x) >= 8,
    "3 orders of one level in one match": lambda x: len(trades(x)) - levels(x) >= 2,
    "ioc remainder": lambda x: bool(ended(x, "ioc")) and bool(trades(x)),
    "ioc that finds nothing": lambda x: bool(ended(x, "ioc")) and not trades(x),
    "ioc filled": lambda x: getattr(x.command, "tif", "") == "ioc" and bool(trades(x)) and not ended(x, "ioc"),
    "market remainder": lambda x: bool(ended(x, "no_liquidity")) and bool(trades(x)),
    "market into nothing": lambda x: bool(ended(x, "no_liquidity")) and not trades(x),
    "part-filled order cancelled": lambda x: any(e.cum for e in ended(x, "requested")),
    "cut that keeps the place": kept_place,
    "replace that trades": lambda x: isinstance(x.command, Replace) and bool(trades(x)),
    "replace of a part-filled order": lambda x: any(isinstance(e, Replaced) and e.cum for e in x.events),
    "replace that meets its own": lambda x: isinstance(x.command, Replace) and bool(ended(x, "smp")),
    "replace of a replaced order": replaced_again(),
    "newest cancelled": lambda x: any(e.cl == x.command.cl for e in ended(x, "smp")),  # type: ignore[union-attr]
    "oldest cancelled": lambda x: any(e.cl != x.command.cl for e in ended(x, "smp")),  # type: ignore[union-attr]
    "own order deep in the book": own_order_deep,
    "mass cancel of 3": lambda x: any(isinstance(e, MassCancelled) and e.count >= 3 for e in x.events),
    "mass cancel of everything": lambda x: isinstance(x.command, MassCancel) and x.command.sym is None,
    "cancel too late": lambda x: isinstance(x.command, Cancel) and refused("too_late")(x),
    "cancel of nothing": lambda x: isinstance(x.command, Cancel) and x.command.orig == "ghost",
    "cancel by a stranger": stranger,
    "bad replace": lambda x: isinstance(x.command, Replace) and (refused("bad_price")(x) or refused("bad_quantity")(x)),
    "duplicate": refused("duplicate_cl_ord_id"),
    "bad quantity": lambda x: isinstance(x.command, New) and refused("bad_quantity")(x),
    "bad price": lambda x: isinstance(x.command, New) and refused("bad_price")(x),
    "unknown symbol": refused("unknown_symbol"),
    "price beyond 2^31": lambda x: any(t.px > 2**31 for t in trades(x)),
    "price beyond 2^50": lambda x: any(t.px > 2**50 for t in trades(x)),
    "millions of lots": lambda x: any(t.qty > 2**24 for t in trades(x)),
    "the last symbol": lambda x: any(t.sym == "S15" for t in trades(x)),
    **{
        f"status {state}": (
            lambda x, state=state: any(isinstance(e, StatusReport) and e.state == state for e in x.events)
        )
        for state in ("new", "partially_filled", "filled", "cancelled")
    },
}

BASE = {
    "walk of 3 levels",
    "3 orders of one level in one match",
    "price beyond 2^31",
    "price beyond 2^50",
    "millions of lots",
}
REACHED: dict[str, set[str]] = {
    "d01": BASE | {"duplicate", "bad quantity", "bad price", "unknown symbol", "the last symbol"},
    "d02": BASE
    | {"market remainder", "market into nothing", "newest cancelled", "oldest cancelled", "own order deep in the book"},
    "d03": BASE
    | {"part-filled order cancelled", "status new", "status partially_filled", "status filled", "status cancelled"},
    "d04": BASE
    | {
        *("part-filled order cancelled", "cancel too late", "mass cancel of 3", "mass cancel of everything"),
        *("cancel of nothing", "cancel by a stranger", "the last symbol", "newest cancelled", "oldest cancelled"),
    },
    "d04 replace": BASE
    | {
        *("cut that keeps the place", "replace that trades", "replace of a part-filled order", "bad replace"),
        *("part-filled order cancelled", "replace that meets its own", "replace of a replaced order"),
    },
    "d07": BASE | {"walk of 8 levels", "market remainder", "market into nothing"},
    "d08": BASE | {"ioc remainder", "ioc that finds nothing", "ioc filled", "market remainder"},
}
"""What each suite's property must meet within EXAMPLES examples; a generator that goes blind is noticed here."""


@pytest.mark.parametrize("name", SUITES)
def test_the_generator_reaches_the_situations_of_its_suite(name: str) -> None:
    met: set[str] = set()
    commands = []

    def look(history: History) -> None:
        commands.append(len(history))
        for x in history:
            met.update(what for what, happened in SITUATIONS.items() if what not in met and happened(x))

    engine = Driver(ModelTarget(), on_example=look)
    run_property(suite(name).PROFILE, engine, settings())
    engine.end_example()
    assert REACHED[name] - met == set()
    assert 12 <= sum(commands) / len(commands) <= 60


# --- what they do with what they find ---


class LastInFirstOut(ModelEngine):
    def next_resting(self, level: Level) -> Order:
        return next(reversed(level.orders.values()))


class LosesItsPlaceWhenPartlyFilled(ModelEngine):
    def fill_resting(self, order: Order, qty: int, level: Level) -> None:
        super().fill_resting(order, qty, level)
        if order.leaves:
            level.orders.move_to_end(order.id)


class RestsIocRemainder(ModelEngine):
    def may_rest(self, order: Order) -> bool:
        return order.type == "limit"


def target_of(engine: type[ModelEngine]) -> ModelTarget:
    return type("Broken", (ModelTarget,), {"engine_class": engine})()


@pytest.mark.parametrize(
    ("name", "engine", "clause", "commands_max"),
    [
        ("d01", LastInFirstOut, "D01.X2", 8),
        ("d03", LosesItsPlaceWhenPartlyFilled, "D03.X1", 9),
        ("d08", RestsIocRemainder, "D08.X1", 6),
    ],
)
def test_a_bug_is_found_and_shrunk_to_a_short_transcript(
    name: str, engine: type[ModelEngine], clause: str, commands_max: int
) -> None:
    with pytest.raises(BaseException) as caught:
        run_property(suite(name).PROFILE, Driver(target_of(engine)), settings(300, shrink=True))
    found = [v for v in violations_in(caught.value) if v.finding.clause == clause]
    assert found, caught.value
    assert min(len(v.history) for v in found) <= commands_max


def test_the_clauses_of_one_wrong_answer_are_reported_together() -> None:
    """The rule names the cause; that the answer differs from the model's is told with it."""
    with pytest.raises(BaseException) as caught:
        run_property(suite("d01").PROFILE, Driver(target_of(LastInFirstOut)), settings(100))
    clauses = {v.finding.clause for v in violations_in(caught.value)}
    assert clauses & {"D01.X2", "D03.X1"}, "the younger order trades first, or before one that is part-filled"
    assert clauses & set(DIFFERENTIAL_CLAUSES)


# --- what is left out for targets that declare less ---


@pytest.mark.parametrize(
    "missing", [("ioc", "market"), ("accounts", "multi_symbol", "validation"), ("cancel", "replace")]
)
def test_nothing_is_sent_that_the_target_does_not_declare(missing: tuple[str, ...]) -> None:
    full = ModelTarget().info
    target = ModelTarget()
    target.info = TargetInfo(full.name, full.version, full.capabilities - set(missing), full.instruments)
    sent: list[Any] = []
    engine = Driver(target, on_example=lambda history: sent.extend(history.commands))
    run_property(suite("d04").PROFILE, engine, settings(60))
    engine.end_example()
    if "ioc" in missing:
        assert not [c for c in sent if getattr(c, "tif", "day") == "ioc" or getattr(c, "type", "limit") == "market"]
    elif "accounts" in missing:
        assert {(c.acct, c.sym) for c in sent if isinstance(c, New)} == {("A1", "S0")}
    else:
        assert not [c for c in sent if isinstance(c, Cancel | Replace)]


def test_a_book_is_swept_with_limit_orders_where_there_is_nothing_else() -> None:
    target = ModelTarget()
    target.info = TargetInfo("m", "1", frozenset({"limit", "cancel"}), Instruments(("S0",), 20_000, 100))
    engine = Driver(target)
    engine.buy(10, 100)
    assert [t.qty for t in sweep(engine, "sell")] == [10]
    assert engine.target.engine.top("S0") == (None, None)  # type: ignore[attr-defined]


def test_choices_pack_every_combination_into_one_integer() -> None:
    choices = Choices(side=("buy", "sell"), qty=(1, 2, 3), px=(None, 5))
    taken = [tuple(choices.take(n).values()) for n in range(choices.size)]
    assert len(set(taken)) == 12
    assert taken[0] == ("buy", 1, None)


def test_prices_stay_within_what_a_small_target_takes() -> None:
    info = TargetInfo("small", "1", frozenset(), Instruments(("S0",), 40, 10))
    assert middles(info, 4) == [32]
    assert middles(TargetInfo("big", "1", frozenset()), 4)[:3] == [10_050, 2**31, 2**32]


# --- the register and the checks agree ---


def test_every_clause_of_level_matching_has_a_test_in_a_suite() -> None:
    tested = {clause for clause, checks in checks_by_clause().items() if any("::" in check for check in checks)}
    assert [c.id for c in load().for_level("matching") if c.id not in tested] == []


def test_rules_and_suites_name_clauses_of_the_register() -> None:
    register = load()
    named = {clause for clauses in RULES.values() for clause in clauses} | set(DIFFERENTIAL_CLAUSES)
    assert [clause for clause in sorted(named) if clause not in register] == []


@pytest.mark.parametrize("name", SUITES)
def test_a_property_is_marked_with_clauses_that_it_can_report(name: str) -> None:
    reportable = {clause for clauses in RULES.values() for clause in clauses} | set(DIFFERENTIAL_CLAUSES)
    (test,) = [f for f in vars(suite(name)).values() if hasattr(f, "pytestmark") and "examples" in f.__annotations__]
    marked = {clause for mark in test.pytestmark if mark.name == "clause" for clause in mark.args}
    assert marked - reportable == set()
    assert isinstance(suite(name).PROFILE, Profile)
