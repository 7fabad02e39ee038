"""Right under load: the same checks as the suites', over what a load left; each is shown a run that is wrong in one way."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from matchmark.conformance.targets.base import Instruments, TargetInfo
from matchmark.load.answers import history_of, sessions_told
from matchmark.load.arrivals import constant
from matchmark.load.cannon import Cannon, CannonSettings
from matchmark.load.fix_load import LoadSession
from matchmark.load.flow import Place, shots_of
from matchmark.load.judge import judged
from matchmark.load.mix import load_mix
from matchmark.reference.model import ModelEngine

from .scripted import Report, Scripted

CAPABILITIES = frozenset(
    ("limit", "market", "ioc", "cancel", "replace", "replace_priority", "replace_above_cum", "accounts", "validation")
)
INFO = TargetInfo("scripted", "1", CAPABILITIES, Instruments(("SYM1", "SYM2")))
ORDERS = 1_200


def fired(exchange: Scripted, mix: str = "specification") -> Cannon:
    chosen, _ = load_mix(mix).without(CAPABILITIES)
    shots = shots_of(chosen, constant(2_000, ORDERS / 2_000), Place(2, 2), 11)
    sessions = [LoadSession(f"ACC{n}", "SCRIPTED", {}, {}, reset_first=True) for n in range(2)]
    with Cannon(CannonSettings(3, ("SYM1", "SYM2")), sessions, shots) as cannon:
        assert cannon.connect("127.0.0.1", exchange.port) == 2
        cannon.start()
        until = time.monotonic() + 15
        while cannon.look().sent < ORDERS and time.monotonic() < until:
            time.sleep(0.02)
        last = -1
        while last != cannon.look().reports and time.monotonic() < until:
            last = cannon.look().reports
            time.sleep(0.25)
    return cannon


@pytest.mark.parametrize("mix", ["specification", "market-making", "flash-crash", "opening-burst"])
def test_a_right_exchange_is_found_right_command_by_command(mix):
    with Scripted(("SYM1", "SYM2")) as exchange:
        cannon = fired(exchange, mix)
    found = judged(cannon, INFO, own=True, fresh=True, alone=True, whole=True)
    assert found.findings == []
    assert found.judged == ORDERS
    assert found.left_out == []


def test_the_history_is_what_was_sent_and_what_the_model_answers():
    with Scripted(("SYM1", "SYM2")) as exchange:
        cannon = fired(exchange)
    for part in sessions_told(cannon.shots, cannon.marks, cannon.reports, cannon.settings.symbols):
        history, unpaired = history_of(part, 10_000)
        assert not unpaired
        assert len(history) == len(part.rows)
        model = ModelEngine((part.symbol,), emit_top=False)
        for exchange_of in history:
            assert list(exchange_of.events) == model.submit(exchange_of.command)
        assert sum(len(x.events) for x in history) > len(history), "there were trades"


def worse(kind: type[ModelEngine]) -> Callable[[Scripted], None]:
    def put(exchange: Scripted) -> None:
        exchange.engine = kind(("SYM1", "SYM2"))

    return put


class NewestFirst(ModelEngine):
    def next_resting(self, level):  # type: ignore[no-untyped-def]
        return next(reversed(level.orders.values()))


class RestsIoc(ModelEngine):
    def may_rest(self, order):  # type: ignore[no-untyped-def]
        return order.px is not None


class Half(ModelEngine):
    def trade_quantity(self, incoming, resting):  # type: ignore[no-untyped-def]
        return max(1, super().trade_quantity(incoming, resting) // 2)


@pytest.mark.parametrize("engine", [NewestFirst, RestsIoc, Half])
def test_an_engine_that_matches_wrongly_is_found_by_its_answers_alone(engine):
    """Every number adds up, every order is answered: only who traded with whom, or what rested, is wrong."""
    with Scripted(("SYM1", "SYM2")) as exchange:
        worse(engine)(exchange)
        cannon = fired(exchange)
    found = judged(cannon, INFO, own=True, fresh=True, alone=True, whole=True)
    assert any(finding.kind.startswith("D0") for finding in found.findings), found.findings


def silent_side(reports: list[Report]) -> list[Report]:
    """The resting side of every tenth trade is not told."""
    silent_side.count += 1  # type: ignore[attr-defined]
    fills = [r for r in reports if r.get(150) == "F"]
    drop = fills[:1] if silent_side.count % 10 == 0 else []  # type: ignore[attr-defined]
    return [r for r in reports if r not in drop]


silent_side.count = 0  # type: ignore[attr-defined]


def test_an_execution_that_only_one_side_is_told_is_found():
    with Scripted(("SYM1", "SYM2"), spoil=silent_side) as exchange:
        cannon = fired(exchange)
    found = judged(cannon, INFO, own=True, fresh=True, alone=True, whole=True)
    assert "one-sided" in {finding.kind for finding in found.findings}


def test_what_could_not_be_judged_is_said():
    with Scripted(("SYM1", "SYM2")) as exchange:
        cannon = fired(exchange)
    found = judged(cannon, INFO, own=True, fresh=True, alone=True, whole=False, most=100)
    assert found.judged <= 100
    assert len(found.left_out) == 3
    assert np.all(cannon.marks["sent_ns"] > 0)
