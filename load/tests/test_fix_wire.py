"""The Python codec of the locust users, held against simplefix."""

from __future__ import annotations

import pytest
import simplefix
from hypothesis import given
from hypothesis import strategies as st

from matchmark.load.arrivals import constant
from matchmark.load.fix_wire import GarbageError, Reader, Writer, fields_of, pieces_of
from matchmark.load.flow import Place, shots_of
from matchmark.load.mix import load_mix

ALL = frozenset(("limit", "market", "ioc", "cancel", "replace"))
STAMP = b"20261231-23:59:59.123"


def parsed(data: bytes) -> list[simplefix.FixMessage]:
    parser = simplefix.FixParser()
    parser.append_buffer(data)
    out = []
    while (message := parser.get_message()) is not None:
        out.append(message)
    return out


def writer() -> Writer:
    return Writer("FIX.4.4", "ACC1-0", "EXCHANGE", "SYM1", "L000007003", fields_of({1: "ACC1"}))


def reports(count: int) -> bytes:
    w = writer()
    return b"".join(
        w.admin(b"8", b"37=%d\x0117=%d\x0111=L000007003%010d\x01150=0\x01" % (n, n, n)) for n in range(count)
    )


def test_orders_say_what_their_shots_say():
    mix, _ = load_mix("specification").without(ALL)
    shots = shots_of(mix, constant(1000, 0.5), Place(1, 1), 5)
    pieces = pieces_of(shots, 0.01, 2, 10)
    messages = parsed(writer().orders_of(pieces, STAMP))
    assert len(messages) == len(shots)
    for n, (message, shot) in enumerate(zip(messages, shots, strict=True)):
        assert message.get(35) == bytes([shot["op"]])
        assert int(message.get(34)) == n + 1
        assert message.get(11) == b"L000007003%010d" % n
        assert (message.get(49), message.get(56), message.get(55), message.get(1)) == (
            b"ACC1-0",
            b"EXCHANGE",
            b"SYM1",
            b"ACC1",
        )
        assert int(message.get(38)) == int(shot["lots"]) * 10
        assert message.get(54) == (b"2" if shot["flags"] & 1 else b"1")
        if message.get(35) != b"D":
            assert message.get(41) == b"L000007003%010d" % shot["orig"]
        if message.get(40) == b"2":
            assert round(float(message.get(44)) * 100) == shot["price_ticks"]


def test_lengths_and_sums_are_right_in_a_batch_and_alone():
    mix, _ = load_mix("specification").without(ALL)
    pieces = pieces_of(shots_of(mix, constant(1000, 0.05), Place(1, 1), 5), 0.01, 2, 1)
    together = writer().orders_of(pieces, STAMP)
    w = writer()
    assert together == b"".join(w.orders_of([piece], STAMP) for piece in pieces)
    for raw in together.split(b"8=FIX")[1:]:
        message = b"8=FIX" + raw
        assert int(message[-4:-1]) == sum(message[:-7]) & 255
        body = message.index(b"\x01", message.index(b"\x019=") + 1) + 1
        assert int(message[message.index(b"\x019=") + 3 : body - 1]) == len(message) - body - 7


@given(st.lists(st.integers(0, 2_000), max_size=20))
def test_a_stream_may_be_cut_anywhere(cuts):
    data, reader, got = reports(7), Reader(), []
    at = 0
    for cut in [*sorted(c for c in cuts if c < len(data)), len(data)]:
        got += list(reader.take(data[at:cut]))
        at = cut
    assert [(a.number, a.cl[-1:], a.garbled) for a in got] == [(n + 1, b"%d" % n, False) for n in range(7)]


@pytest.mark.parametrize("count", [1, 9])
def test_a_wrong_sum_is_seen(count):
    data = bytearray(reports(count))
    data[-60] ^= 1
    assert [a.garbled for a in Reader().take(bytes(data))] == [False] * (count - 1) + [True]


@pytest.mark.parametrize("data", [b"HTTP/1.1 400 Bad Request\r\n", b"\x00" * 50, b"8=FIX" + b"x" * 70_000])
def test_what_is_no_fix_is_said(data):
    with pytest.raises(GarbageError):
        list(Reader().take(data))


def test_a_rejection_says_why():
    w = writer()
    (answer,) = Reader().take(w.admin(b"8", b"11=x\x01150=8\x0158=no money\x01"))
    assert answer.refused == "no money"
