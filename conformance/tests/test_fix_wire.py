"""FIX messages as bytes: what is encoded, what is read, what is found fault with; simplefix is the measure. Orders as fields."""

from __future__ import annotations

from decimal import Decimal

import pytest
import simplefix
from hypothesis import given
from hypothesis import strategies as st

from matchmark.conformance.fix import FixFault, FixMessage, Instrument, Reader, Rule, encode, utc
from matchmark.conformance.fix.business import cancel, mass_cancel, new_order, replace, status
from matchmark.conformance.fix.wire import parse_utc, split

NOW = "20261125-19:00:00.123"
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), min_size=1, max_size=20)
TAGS = st.integers(5000, 9999)
FIELDS = st.lists(st.tuples(TAGS, VALUES), max_size=12)


def message(seq: int, kind: str = "0", *fields: tuple[int, str], header: tuple[tuple[int, str], ...] = ()) -> bytes:
    return encode("FIX.4.4", kind, ((34, str(seq)), (49, "EX"), (56, "ME"), (52, NOW), *header), fields)


def rules(reader: Reader) -> list[Rule]:
    return [fault.rule for fault in reader.faults]


# --- bytes ---


@given(FIELDS, st.integers(1, 10**9))
def test_simplefix_reads_what_is_encoded_and_encodes_the_same(fields: list[tuple[int, str]], seq: int) -> None:
    raw = message(seq, "D", *fields)
    parser = simplefix.FixParser()
    parser.append_buffer(raw)
    theirs = parser.get_message()
    assert [(int(tag), value.decode("latin-1")) for tag, value in theirs.pairs][5:-1] == [
        (56, "ME"),
        (52, NOW),
        *fields,
    ]
    assert theirs.encode() == raw


@given(FIELDS, st.lists(st.integers(1, 60), max_size=30))
def test_messages_are_read_however_the_bytes_are_cut(fields: list[tuple[int, str]], cuts: list[int]) -> None:
    data = b"".join(message(n, "8", *fields) for n in (1, 2, 3))
    reader, got, at = Reader("FIX.4.4"), [], 0
    for cut in cuts:
        got += reader.feed(data[at : at + cut])
        at += cut
    got += reader.feed(data[at:])
    assert [m.seq for m in got] == [1, 2, 3]
    assert all(list(m.pairs[7:-1]) == fields for m in got)
    assert b"".join(m.raw for m in got) == data
    assert reader.faults == [] and reader.pending == b""


@given(FIELDS, st.data())
def test_a_changed_byte_is_found(fields: list[tuple[int, str]], data: st.DataObject) -> None:
    raw = message(1, "8", *fields)
    at = data.draw(st.integers(0, len(raw) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != raw[at]))
    reader = Reader("FIX.4.4")
    changed = raw[:at] + bytes([other]) + raw[at + 1 :]
    got = reader.feed(changed) + reader.feed(message(2))
    reader.end()
    assert reader.faults and reader.faults[0].rule == Rule.GARBLED
    assert [m.seq for m in got] in ([2], [])  # a BodyLength that became larger swallows what follows


@given(st.binary(max_size=300))
def test_garbage_is_a_fault_and_never_an_error(junk: bytes) -> None:
    reader = Reader("FIX.4.4")
    reader.feed(junk)
    reader.end()
    assert bool(reader.faults) == bool(junk)


def test_a_data_field_may_hold_soh() -> None:
    raw = message(1, "8", (354, "9"), (355, "a\x0110=123\x01"), (58, "x"))
    (m,) = Reader("FIX.4.4").feed(raw)
    assert m.get(355) == "a\x0110=123\x01" and m.get(58) == "x"


@pytest.mark.parametrize(
    ("raw", "rule"),
    [
        (message(1).replace(b"9=4", b"9=5"), Rule.GARBLED),
        (message(1).replace(b"9=", b"9=0x"), Rule.GARBLED),
        (message(1)[:-4] + b"999\x01", Rule.GARBLED),
        (message(1).replace(b"8=FIX.4.4", b"8=FIX.4.2"), Rule.GARBLED),
        (encode("FIX.4.4", "0", ((34, "1"),), ()).replace(b"35=0\x0134=1", b"34=1\x0135=0"), Rule.GARBLED),
        (b"noise" + message(1), Rule.GARBLED),
        (message(1, "8", (58, "")), Rule.FIELD),
        (encode("FIX.4.4", "0", ((49, "EX"), (56, "ME"), (34, "1")), ()), Rule.HEADER),
        (encode("FIX.4.4", "0", ((49, "EX"), (56, "ME"), (52, NOW)), ()), Rule.HEADER),
        (message(0), Rule.HEADER),
        (message(1, "8", (58, "x"), (50, "late")), Rule.HEADER),
        (message(1, header=((56, "ME"),)), Rule.HEADER),
        (message(1, header=((43, "Y"),)), Rule.POSS_DUP),
        (message(1, header=((43, "x"),)), Rule.POSS_DUP),
        (message(1, header=((43, "Y"), (122, "20261125-19:00:00.124"))), Rule.POSS_DUP),
        (message(1, header=((43, "Y"), (122, "yesterday"))), Rule.TIME),
        (encode("FIX.4.4", "0", ((49, "EX"), (56, "ME"), (34, "1"), (52, "20261325-19:00:00")), ()), Rule.TIME),
    ],
)
def test_the_reader_says_what_is_wrong(raw: bytes, rule: Rule) -> None:
    reader = Reader("FIX.4.4")
    reader.feed(raw)
    reader.feed(message(2))
    assert rules(reader)[:1] == [rule], reader.faults
    assert reader.faults[0].raw


def test_a_body_length_too_large_does_not_wait_for_ever() -> None:
    reader = Reader("FIX.4.4")
    assert reader.feed(message(1).replace(b"9=4", b"9=94")) == []
    assert rules(reader) == [Rule.GARBLED]
    assert "simplefix" in reader.faults[0].text
    assert [m.seq for m in reader.feed(message(2))] == [2]


def test_half_a_message_at_the_end_is_a_fault() -> None:
    reader = Reader("FIX.4.4")
    reader.feed(message(1)[:30])
    assert reader.faults == []
    reader.end()
    assert rules(reader) == [Rule.GARBLED]


def test_times() -> None:
    assert parse_utc("20261125-19:00:00.123456789") == parse_utc("20261125-19:00:00.123") + 456_789  # type: ignore[operator]
    assert parse_utc("20161231-23:59:60") is not None
    assert parse_utc(utc(1_800_000_000_123_000_000)) == 1_800_000_000_123_000_000
    for wrong in ("", "20261125", "20261125-24:00:00", "20261125-19:00:61", "20261125-19:00:00.1", "20261125 19:00:00"):
        assert parse_utc(wrong) is None


def test_split_keeps_what_is_no_field() -> None:
    assert list(split(b"8=x\x01junk\x01=5\x0190=1\x01noise\x01")) == [
        ("8", "x"), ("", "junk"), ("", "=5"), ("90", "1"), ("", "noise"),
    ]  # fmt: skip


# --- orders ---


@given(st.integers(0, 10**12), st.sampled_from(["0.01", "0.0005", "1", "0.25", "5", "0.1"]), st.integers(1, 1000))
def test_ticks_and_lots_survive_the_way_to_text_and_back(n: int, tick: str, lot: int) -> None:
    for decimals in (None, 4):
        instrument = Instrument("S", Decimal(tick), lot, decimals)
        assert instrument.ticks(instrument.price(n)) == n
        assert instrument.lots(instrument.quantity(n)) == n
        assert "E" not in instrument.price(n)


@pytest.mark.parametrize("text", ["100.505", "1e2", "", "NaN", "Infinity", " 1", "1_0", "x"])
def test_a_price_that_is_none_is_a_fault(text: str) -> None:
    with pytest.raises(FixFault):
        Instrument("S").ticks(text)
    with pytest.raises(FixFault):
        Instrument("S", lot_size=100).lots(text or "50")


def test_requests_have_the_fields_of_the_standard() -> None:
    s = Instrument("SYM", Decimal("0.01"), 100)
    order = dict(new_order(s, "c1", "buy", 5, 10050, tif="ioc", account="ACC"))
    order.pop(60)
    assert order == {11: "c1", 1: "ACC", 55: "SYM", 54: "1", 38: "500", 40: "2", 44: "100.5", 59: "3"}
    assert dict(new_order(s, "c1", "sell", 5))[40] == "1" and 44 not in dict(new_order(s, "c1", "sell", 5))
    assert dict(cancel(s, "c2", "c1", "buy", 5))[41] == "c1"
    assert dict(replace(s, "c2", "c1", "sell", 7, 10051))[38] == "700"
    assert dict(mass_cancel("c3"))[530] == "7" and dict(mass_cancel("c3", s))[530] == "1"
    assert dict(status(s, "c1", "buy")) == {11: "c1", 55: "SYM", 54: "1"}


def test_a_missing_field_is_a_fault() -> None:
    (m,) = Reader("FIX.4.4").feed(message(1))
    assert m.get(58, "none") == "none"
    with pytest.raises(FixFault, match="58"):
        m.need(58)
    assert isinstance(m, FixMessage)
