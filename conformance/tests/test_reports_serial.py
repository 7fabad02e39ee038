"""The search for an order that explains racing sessions: it finds one for every sound exchange, and none where there is none."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matchmark.conformance.checks.reports_seen import Market
from matchmark.conformance.checks.reports_serial import Undecided, serial_history
from matchmark.conformance.fix.message import FixMessage, Line
from matchmark.conformance.messages import Cancel, Command, New, Replace
from matchmark.reference.model import ModelEngine

from .fix_streams import DECIMALS, INSTRUMENTS, SYMBOLS, Sound, find, rewritten

MARKET = Market(INSTRUMENTS, {}, DECIMALS)


def explained(streams: dict[str, list[Line]]) -> list[str]:
    _, wrong = serial_history(streams, MARKET, ModelEngine(SYMBOLS, emit_top=False))
    return [] if wrong is None else [f"{wrong.session} {wrong.index}: {wrong.message}", *wrong.expected, *wrong.actual]


def racing(seed: int, count: int) -> dict[str, list[Line]]:
    """Four sessions trade in one symbol at a few prices. What each sends, and what it hears, is moved in time as if they had
    raced: sent earlier than it was decided, heard later."""
    rng, x = random.Random(seed), Sound()
    mine: dict[str, list[str]] = {name: ["none"] for name in "ABCD"}
    for n in range(count):
        name = rng.choice("ABCD")
        command: Command
        cl = f"c{n}"
        kind = rng.random()
        if kind < 0.6:
            px = rng.choice((None, 99, 100, 101, 100))
            tif = rng.choice(("day", "day", "ioc")) if px else "day"
            command = New(
                cl, name, "S0", rng.choice(("buy", "sell")), "limit" if px else "market", rng.randint(1, 9), px, tif
            )
            mine[name].append(cl)
        elif kind < 0.9:
            command = Cancel(cl, rng.choice(mine[name][-4:]), name, "S0")
        else:
            command = Replace(
                cl, rng.choice(mine[name][-3:]), name, "S0", rng.choice((99, 100, 101)), rng.randint(1, 12)
            )
            mine[name].append(cl)
        x.send(name, command)
    return {name: blurred(stream, rng) for name, stream in x.streams.items()}


def blurred(stream: list[Line], rng: random.Random) -> list[Line]:
    """Requests up to five steps of the clock earlier, reports up to five later; each way stays in its order."""
    out: list[Line] = []
    latest = {True: 0, False: 0}
    for line in stream:
        m = line.message
        shift = rng.randrange(0, 5000)
        at = max(latest[line.sent], m.at_ns - shift if line.sent else m.at_ns + shift)
        latest[line.sent] = at
        out.append(Line(line.sent, FixMessage(m.pairs, m.raw, at)))
    return sorted(out, key=lambda line: line.message.at_ns)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_every_race_at_a_sound_exchange_is_explained(seed: int) -> None:
    assert explained(racing(seed, 120)) == []


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), data=st.data())
def test_a_fill_given_to_the_wrong_order_is_not(seed: int, data: st.DataObject) -> None:
    """One fill more for one resting order, one less for another, by consistent reports: only the queue says that it is wrong."""
    streams = racing(seed, 60)
    fills = [
        (n, i) for n, s in sorted(streams.items()) for i, x in enumerate(s) if not x.sent and x.message.get(150) == "F"
    ]
    if not fills:
        return
    name, at = data.draw(st.sampled_from(fills))
    price = streams[name][at].message.need(31)
    wrong = "1.02" if price != "1.02" else "0.98"
    streams[name][at] = rewritten(streams[name][at], {31: wrong})
    assert explained(streams) != []


def queue(first: str, second: str) -> dict[str, list[Line]]:
    """A and B rest at one price, one behind the other; C takes one of them."""
    x = Sound()
    x.new("A", "a1", "buy", 5, 100)
    x.new("B", "b1", "buy", 5, 100)
    x.new("C", "c1", "sell", 5, 100)
    fill = find(x.streams[first], 0, t150="F")
    line = x.streams[first].pop(fill)
    given = {"A": "a1", "B": "b1"}[second]
    ack = x.streams[second][find(x.streams[second], 0, t150="0")].message
    x.streams[second].append(rewritten(line, {11: given, 37: ack.get(37), 34: "2"}))
    return x.streams


def test_the_one_behind_may_not_be_filled_first() -> None:
    assert explained(queue("A", "A")) == []
    assert explained(queue("A", "B")) != []


def test_unless_nobody_can_know_who_was_first() -> None:
    """Both were on their way at once."""
    streams = queue("A", "B")
    streams["B"][0] = Line(True, FixMessage(streams["B"][0].message.pairs, streams["B"][0].message.raw, 500))
    assert explained(streams) == []


def test_an_order_that_was_cancelled_before_cannot_trade() -> None:
    x = Sound()
    x.new("A", "a1", "buy", 5, 100)
    x.cancel("A", "a2", "a1")
    x.new("C", "c1", "sell", 5, 100)
    ack = x.streams["A"][find(x.streams["A"], 0, t150="0")]
    assert explained(x.streams) == []
    end = find(x.streams["A"], 0, t150="4")
    m = x.streams["A"][end].message
    fill = rewritten(ack, {150: "F", 39: "2", 32: "5", 31: "1.00", 151: "0", 14: "5", 6: "1", 34: "2"})
    late = rewritten(Line(False, m), {35: "9", 150: None, 34: "3", 39: "2"})
    x.streams["A"][end:] = [
        Line(False, FixMessage(line.message.pairs, line.message.raw, m.at_ns)) for line in (fill, late)
    ]
    assert explained(x.streams) != []


def test_a_search_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matchmark.conformance.checks.reports_serial.STEPS_MAX", 3)
    with pytest.raises(Undecided):
        explained(racing(1, 40))
