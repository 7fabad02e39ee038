"""FIX as a layer of scapy's: built right or as wrong as asked, read as it stands, and put together from segments in any order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.sendrecv import sniff
from scapy.sessions import TCPSession

from matchmark.conformance.fix import Reader, encode
from matchmark.conformance.packets import nasty
from matchmark.conformance.packets.fix_layer import FIX, Direction, bind, dissect, messages, streams, unbind
from matchmark.conformance.packets.headers import ACK, IPV4, PSH, SYN, Segment, ethernet, ip_bytes, packet

BEAT = encode("FIX.4.4", "0", [(34, "7"), (49, "ME"), (56, "YOU"), (52, "20260101-00:00:00.000")], [])
ORDER = encode(
    "FIX.4.4", "D", [(34, "8"), (49, "ME"), (56, "YOU"), (52, "20260101-00:00:00.000")], [(11, "a"), (55, "S")]
)
PORT = 9878


_FLAGS = {"S": SYN, "SA": SYN | ACK, "PA": PSH | ACK}


def frame(seq: int, payload: bytes, flags: str = "PA", back: bool = False, good: bool = True) -> bytes:
    a, b = ("10.0.0.1", "10.0.0.3") if back else ("10.0.0.3", "10.0.0.1")
    ports = (PORT, 7) if back else (7, PORT)
    s = Segment(ip_bytes(a), ip_bytes(b), *ports, seq % 2**32, 0, _FLAGS[flags], 8192, b"", payload)
    raw = packet(s if good else s._replace(payload=payload + b"!"))
    whole = ethernet(bytes(6), bytes(6), IPV4, raw if good else raw[:-1] + b"?")
    return whole[: 14 + len(raw)]  # scapy's sessions take padding for data


# --- one message ---


def test_length_and_checksum_are_computed_and_the_kits_reader_agrees() -> None:
    built = bytes(FIX(pairs=[(35, "0"), (34, "7"), (49, "ME"), (56, "YOU"), (52, "20260101-00:00:00.000")]))
    assert built == BEAT
    reader = Reader("FIX.4.4")
    assert reader.feed(built)[0].type == "0" and not reader.faults


@settings(deadline=None)
@given(st.sampled_from(("0", "12", "005", "-1", "", "99999")), st.sampled_from(("000", "1", "abc", "")))
def test_wrong_ones_are_written_as_given_and_read_as_they_stand(length: str, total: str) -> None:
    raw = bytes(FIX(pairs=[(35, "0"), (34, "7")], body_length=length, check_sum=total))
    assert f"\x019={length}\x01".encode() in raw and raw.endswith(f"\x0110={total}\x01".encode())
    read = FIX(raw)
    assert (read.body_length, read.check_sum, read.value(34), bytes(read)) == (length, total, "7", raw)
    assert read.length_is_right is (length == "10") and read.sum_is_right is (total == f"{sum(raw[:-7]) & 255:03d}")


def test_a_message_that_was_read_says_all_its_fields() -> None:
    read = FIX(ORDER)
    assert read.msg_type == "D" and read.values(55) == ["S"] and read.value(999) is None
    assert read.length_is_right and read.sum_is_right and "35=D|34=8" in str(read.show(dump=True))
    read.pairs = [*read.pairs, (58, "more")]
    assert not read.length_is_right, "what was read stays until it is told to be computed"
    read.body_length = read.check_sum = None
    assert Reader("FIX.4.4").feed(bytes(read))[0].get(58) == "more"


@pytest.mark.parametrize("odd", [b"=x", b"nothing", b"035=7", b"5", b"x=y", b"58="])
def test_malformed_fields_stay_as_they_are(odd: bytes) -> None:
    raw = BEAT[:-7] + odd + b"\x01" + BEAT[-7:]
    assert bytes(FIX(raw)) == raw


def test_a_data_field_may_hold_the_separator() -> None:
    raw = encode("FIX.4.4", "A", [(34, "1")], [(95, "3"), (96, "a\x01b"), (108, "30")])
    assert FIX(raw).value(96) == "a\x01b" and bytes(FIX(raw)) == raw


# --- streams ---


def test_messages_that_come_together_are_a_chain_and_the_rest_is_left() -> None:
    both = FIX(BEAT + ORDER + BEAT[:20])
    assert (both.msg_type, both.payload.msg_type, type(both.payload.payload.payload).__name__) == (
        "0",
        "D",
        "NoPayload",
    )
    assert [type(one) for one in dissect(b"noise" + BEAT + b"\x01junk\x01" + ORDER[:30])] == [Raw, FIX, Raw, Raw]


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_segments_of_any_plan_give_the_same_messages(data: st.DataObject) -> None:
    stream = BEAT + ORDER + BEAT
    plan = data.draw(nasty.plans(len(stream)))
    isn = data.draw(st.sampled_from((0, 5, 2**32 - 50)))
    frames = [frame(isn, b"", "S"), frame(900, b"", "SA", back=True)]
    frames += [frame(isn + 1 + p.begin, stream[p.begin : p.end]) for p in plan.pieces]
    frames += [frame(901, BEAT, back=True), frame(isn + 1, b"X" * 30, good=False), b"noise", b""]
    got = messages(frames)
    assert [m.msg_type for m in got[Direction("10.0.0.3", 7, "10.0.0.1", PORT, 0)]] == ["0", "D", "0"]
    assert b"".join(bytes(m) for m in got[Direction("10.0.0.1", PORT, "10.0.0.3", 7, 0)]) == BEAT


def test_two_connections_of_the_same_ends_are_two_and_one_that_was_joined_late_begins_where_it_is() -> None:
    twice = [frame(10, b"", "S"), frame(11, b"one"), frame(10, b"", "S"), frame(500, b"", "S"), frame(501, b"two")]
    assert list(streams(twice).values()) == [b"one", b"two"]
    assert list(streams([frame(104, b"56"), frame(100, b"1234")]).values()) == [b"123456"]


def test_of_bytes_that_come_twice_the_first_count() -> None:
    assert list(streams([frame(0, b"", "S"), frame(1, b"abc"), frame(1, b"XYZdef")]).values()) == [b"abcdef"]


def test_scapys_own_sessions_know_the_layer() -> None:
    bind(PORT)
    try:
        cuts = [
            frame(0, b"", "S"),
            frame(1, BEAT[:30]),
            frame(31, BEAT[30:] + ORDER[:10]),
            frame(41 + len(BEAT) - 30, ORDER[10:]),
        ]
        read = sniff(offline=[Ether(one) for one in cuts], session=TCPSession, quiet=True)
        assert [one[FIX].msg_type for one in read if FIX in one] == ["0", "D"]
        assert Ether(frame(1, BEAT))[FIX].msg_type == "0" and FIX not in Ether(frame(1, BEAT[:9]))
    finally:
        unbind(PORT)
    assert FIX not in Ether(frame(1, BEAT))
