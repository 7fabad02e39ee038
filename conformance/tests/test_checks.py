"""The checks as a whole: an engine that is right is never blamed, and a divergence from the model is put to its diagram."""

from __future__ import annotations

import random

import pytest

from matchmark.conformance.checks import audit
from matchmark.conformance.checks.differential import differential
from matchmark.conformance.clauses.vocabulary import MATCHING_CAPABILITIES
from matchmark.conformance.history import Exchange, History
from matchmark.conformance.messages import (
    Accepted,
    Cancel,
    Cancelled,
    Command,
    Event,
    MassCancel,
    MassCancelled,
    New,
    Rejected,
    Replace,
    Status,
    Top,
    Trade,
)
from matchmark.conformance.random_flow import SYMBOLS, FlowMaker, history_of
from matchmark.conformance.targets.base import Instruments, TargetInfo
from matchmark.conformance.targets.native import NativeTarget
from matchmark.reference.book import Order
from matchmark.reference.model import ModelEngine

CAPABILITIES = frozenset(MATCHING_CAPABILITIES)


def info_with(capabilities: frozenset[str] = CAPABILITIES) -> TargetInfo:
    return TargetInfo("under test", "1", capabilities, Instruments(SYMBOLS))


class RightEngine(ModelEngine):
    """The rules as they are for a target with these capabilities, written without looking at differential.py."""

    def __init__(self, info: TargetInfo) -> None:
        self.info = info
        super().__init__(info.instruments.symbols, emit_top="top" in info.capabilities)

    def keeps_place(self, order: Order, px: int | None, qty: int) -> bool:
        return "replace_priority" in self.info.capabilities and super().keeps_place(order, px, qty)


class RejectsWhatFindsNothing(RightEngine):
    """Ruling R15's other way: a market order into an empty book is rejected, and its ClOrdID stays free."""

    def submit(self, command: Command) -> list[Event]:
        events = super().submit(command)
        match events:
            case [Accepted(), Cancelled(cl=cl, cum=0, reason="no_liquidity")]:
                del self.orders[cl]
                return [Rejected(cl, "nothing to trade with")]
        return events


class PublishesFirst(RightEngine):
    """Ruling R14: market data may be out before the report."""

    def submit(self, command: Command) -> list[Event]:
        return sorted(super().submit(command), key=lambda e: not isinstance(e, Top))


class CancelsInItsOwnOrder(RightEngine):
    """A mass cancel reports its orders in any order, before the count."""

    def submit(self, command: Command) -> list[Event]:
        events = super().submit(command)
        if isinstance(command, MassCancel):
            return sorted(events, key=lambda e: (isinstance(e, MassCancelled), isinstance(e, Top), str(e)[::-1]))
        return events


def some_capabilities(rng: random.Random) -> frozenset[str]:
    """All of them, or all but some of the optional ones."""
    share = rng.choice((0, 0, 0.1, 0.3))
    return frozenset(c for c in sorted(CAPABILITIES) if c in ("limit", "cancel") or rng.random() >= share)


@pytest.mark.parametrize("engine", [RightEngine, RejectsWhatFindsNothing, PublishesFirst, CancelsInItsOwnOrder])
@pytest.mark.parametrize("seed", range(60))
def test_an_engine_that_is_right_is_never_blamed(engine: type[RightEngine], seed: int) -> None:
    rng = random.Random(seed)
    info = info_with(some_capabilities(rng))
    history = history_of(engine(info).submit, FlowMaker(rng, info.capabilities).flow(150))
    assert audit(history, info) == []
    assert differential(history, info) == []


@pytest.mark.parametrize("seed", range(20))
def test_the_native_engine_is_never_blamed(seed: int) -> None:
    native = NativeTarget(instruments=Instruments(SYMBOLS))
    native.start()
    history = history_of(native.submit, FlowMaker(random.Random(seed), CAPABILITIES).flow(300))
    native.close()
    assert audit(history, info_with()) == []
    assert differential(history, info_with()) == []


def test_the_flows_meet_everything_they_are_for() -> None:
    """A test that finds nothing wrong must have had something to look at."""
    events: set[str] = set()
    info = info_with()
    for seed in range(5):
        history = history_of(RightEngine(info).submit, FlowMaker(random.Random(seed), CAPABILITIES).flow(150))
        events |= {e.ev if not isinstance(e, Cancelled | Rejected) else f"{e.ev} {e.reason}" for e in history.events}
    assert events >= {
        *("accepted", "trade", "replaced", "cancel_rejected", "mass_cancelled", "status", "top"),
        *("cancelled requested", "cancelled ioc", "cancelled no_liquidity", "cancelled smp", "cancelled mass_cancel"),
        *("rejected bad_quantity", "rejected bad_price", "rejected duplicate_cl_ord_id", "rejected unknown_symbol"),
    }


def limit(cl: str, side: str, px: int, tif: str = "day") -> New:
    return New(cl, "A1", "S0", side, "limit", 10, px, tif)


def market(cl: str, qty: int) -> New:
    return New(cl, "A2", "S0", "sell", "market", qty)


BOOK = [limit("b1", "buy", 100), limit("b2", "buy", 99)]


@pytest.mark.parametrize(
    ("clause", "command"),
    [
        ("D01.X12", limit("n", "buy", 90)),
        ("D03.X5", limit("n", "sell", 100)),
        ("D08.X5", limit("n", "sell", 100, "ioc")),
        ("D02.X5", market("n", 5)),
        ("D07.X5", market("n", 15)),
        ("D04.X5", Cancel("n", "b1", "A1", "S0")),
        ("D04.X5", Replace("n", "b1", "A1", "S0", None, 5)),
        ("D04.X5", MassCancel("n", "A1")),
        ("D04.X5", Status("n", "b1", "A1", "S0")),
    ],
)
def test_a_divergence_belongs_to_the_diagram_of_its_command(clause: str, command: Command) -> None:
    info = info_with()
    engine = RightEngine(info)
    history = history_of(engine.submit, [*BOOK])
    history.add(Exchange(command, (*engine.submit(command), Accepted("unasked"))))
    found = differential(history, info)
    assert [(f.clause, f.index) for f in found][:1] == [(clause, 2)]
    assert [f.clause for f in found][1:] == (["D01.X12"] if clause == "D03.X5" else [])


def test_a_divergence_shows_both_answers_in_full() -> None:
    info = info_with(CAPABILITIES - {"top"})
    history = history_of(RightEngine(info).submit, [*BOOK])
    history.add(Exchange(market("s1", 5), (Accepted("s1", "9"), Trade("S0", 99, 5, "b2", "s1"))))
    (finding,) = differential(history, info)
    assert finding.expected == ("accepted cl=s1 id=3", "trade sym=S0 px=100 qty=5 resting=b1 incoming=s1")
    assert finding.actual == ("accepted cl=s1 id=9", "trade sym=S0 px=99 qty=5 resting=b2 incoming=s1")


def test_checks_stop_at_a_failed_exchange() -> None:
    info = info_with()
    history = history_of(RightEngine(info).submit, [*BOOK])
    history.add(Exchange(market("s1", 5), (), failure="TargetDied: signal 11"))
    history.add(Exchange(market("s2", 5), ()))
    assert audit(history, info) == []
    assert differential(history, info) == []


def test_a_walk_of_thousands_of_trades_is_audited_in_one_pass() -> None:
    """20,000 orders in 4,000 levels taken by one: work that grew with the square of that would not come back."""
    info = info_with()
    flow: list[Command] = [New(f"b{n}", "A1", "S0", "buy", "limit", 1, 10_000 - n % 4_000) for n in range(20_000)]
    history = history_of(RightEngine(info).submit, [*flow, market("s", 20_000)])
    assert audit(history, info) == []


def test_an_empty_history_has_no_findings() -> None:
    assert audit(History(), info_with()) == []
    assert differential(History(), info_with()) == []


def test_after_a_wrong_answer_the_top_is_not_blamed_for_what_follows() -> None:
    """The cancel was not carried out; that the target publishes the book that it has is not a second bug."""
    info = info_with()
    engine = RightEngine(info)
    history = history_of(engine.submit, [*BOOK])
    command = Cancel("x", "b1", "A1", "S0")
    history.add(Exchange(command, (Cancelled("b1", 10, 0),)))
    late = limit("b3", "buy", 100)
    history.add(Exchange(late, tuple(engine.submit(late))))
    assert [f.clause for f in audit(history, info)] == ["D04.9"]
