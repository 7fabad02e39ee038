"""Trading states and deferred orders: the model by example, and the native engine against it, event by event."""

from __future__ import annotations

import random

import pytest

from matchmark.conformance.messages import Cancel, Command, MassCancel, New, Replace, Status
from matchmark.conformance.targets.base import Instruments
from matchmark.conformance.targets.native import NativeTarget
from matchmark.conformance.trading_messages import Act, Control, Release, SetTrading
from matchmark.reference.model import ModelEngine

SYMBOLS = ("S0", "S1")


def limit(cl: str, side: str, px: int, qty: int = 10, acct: str = "A", tif: str = "day", defer: bool = False) -> New:
    return New(cl, acct, "S0", side, "limit", qty, px, tif, defer=defer or None)


def said(model: ModelEngine, *commands: Command | Control) -> list[str]:
    out = []
    for command in commands:
        events = model.control(command) if isinstance(command, SetTrading | Release) else model.submit(command)
        out += [f"{e.ev} {getattr(e, 'cl', '') or getattr(e, 'state', '') or ''}".strip() for e in events]
    return out


@pytest.fixture
def model() -> ModelEngine:
    return ModelEngine(SYMBOLS, emit_top=False)


def test_a_halted_symbol_takes_no_order_and_lets_every_owner_go(model: ModelEngine) -> None:
    said(model, limit("b1", "buy", 99), limit("b2", "buy", 99), SetTrading("h", "S0", Act.HALT))
    assert said(model, limit("n", "buy", 99)) == ["rejected n"]
    assert said(model, Replace("r", "b1", "A", "S0", 98)) == ["cancel_rejected r"]
    assert said(model, Cancel("c", "b1", "A", "S0")) == ["cancelled b1"]
    assert said(model, Status("s", "b2", "A", "S0")) == ["status s"]
    assert said(model, SetTrading("o", "S0", Act.RESUME), limit("a", "sell", 99)) == [
        "trading open",
        "accepted a",
        "trade",
    ]


def test_a_halt_of_one_symbol_is_none_of_another(model: ModelEngine) -> None:
    said(model, SetTrading("h", "S0", Act.HALT))
    assert said(model, New("x", "A", "S1", "buy", "limit", 1, 5)) == ["accepted x"]


def test_deferred_orders_wait_and_are_decided_when_released(model: ModelEngine) -> None:
    said(model, limit("b", "buy", 99), SetTrading("w", "S0", Act.WARN))
    assert said(model, limit("s1", "sell", 99, 4, defer=True), limit("s2", "sell", 99, 4, defer=True)) == [
        "accepted s1",
        "accepted s2",
    ]
    assert said(model, Replace("r", "s1", "A", "S0", 98)) == ["cancel_rejected r"]
    assert said(model, Release("r1", "s1", "A", "S0")) == ["released s1", "trade"]
    assert said(model, SetTrading("c", "S0", Act.CALM)) == ["trading open", "released s2", "trade"]


def test_a_halt_cancels_a_deferred_order_that_would_trade_and_rests_one_that_would_not(model: ModelEngine) -> None:
    said(model, limit("b", "buy", 99), SetTrading("w", "S0", Act.WARN))
    said(model, limit("s1", "sell", 99, defer=True), limit("s2", "sell", 101, defer=True))
    said(model, New("m", "A", "S0", "sell", "market", 5, defer=True), limit("b2", "buy", 101, defer=True))
    assert said(model, SetTrading("h", "S0", Act.HALT)) == [
        "trading halted", "cancelled s1", "released s2", "cancelled m", "cancelled b2",
    ]  # fmt: skip
    assert said(model, Cancel("c", "s2", "A", "S0")) == ["cancelled s2"]


@pytest.mark.parametrize(("first", "then"), [(Act.WARN, Act.RESUME), (Act.HALT, Act.WARN), (Act.HALT, Act.CALM)])
def test_what_does_not_follow_is_refused_and_changes_nothing(model: ModelEngine, first: Act, then: Act) -> None:
    said(model, SetTrading("1", "S0", first))
    before = model.state_hash()
    assert said(model, SetTrading("2", "S0", then)) == ["trading_refused 2"]
    assert said(model, SetTrading("3", "S9", then)) == ["trading_refused 3"]
    assert model.state_hash() == before


def _flow(rng: random.Random) -> list[Command | Control]:
    out: list[Command | Control] = []
    for n in range(600):
        cl, orig = f"c{n}", f"c{rng.randint(max(0, n - 40), n)}"
        acct, sym, draw = rng.choice("AB"), rng.choice(SYMBOLS), rng.random()
        if draw < 0.65:
            kind = "market" if rng.random() < 0.07 else "limit"
            px = None if kind == "market" else rng.randint(96, 104)
            tif, smp = (
                rng.choice(("day", "day", "day", "ioc")),
                rng.choice((None, None, "cancel_newest", "cancel_oldest")),
            )
            defer = True if rng.random() < 0.5 else None
            out.append(New(cl, acct, sym, rng.choice(("buy", "sell")), kind, rng.randint(1, 20), px, tif, smp, defer))
        elif draw < 0.72:
            out.append(Cancel(cl, orig, acct, sym))
        elif draw < 0.77:
            out.append(Replace(cl, orig, acct, sym, rng.randint(96, 104), rng.randint(1, 20)))
        elif draw < 0.8:
            out.append(Status(cl, orig, acct, sym))
        elif draw < 0.81:
            out.append(MassCancel(cl, acct, rng.choice((sym, None))))
        elif draw < 0.9:
            out.append(Release(cl, orig, acct, sym))
        else:
            out.append(
                SetTrading(cl, sym, rng.choice((Act.WARN, Act.WARN, Act.CALM, Act.HALT, Act.RESUME, Act.RESUME)))
            )
    return out


@pytest.mark.parametrize("seed", range(8))
def test_the_native_engine_and_the_model_agree(seed: int) -> None:
    model, native = ModelEngine(SYMBOLS), NativeTarget(instruments=Instruments(SYMBOLS))
    native.start()
    changed = 0
    for command in _flow(random.Random(seed)):
        if isinstance(command, SetTrading | Release):
            due, got = model.control(command), native.control(command)
            changed += any(e.ev in ("trading", "released") for e in due)
        else:
            due, got = list(model.submit(command)), list(native.submit(command))
        if isinstance(command, MassCancel):
            due, got = sorted(due, key=repr), sorted(got, key=repr)
        assert got == due, command
        assert native.state_hash() == model.state_hash(), command
    assert changed > 20
    native.close()
