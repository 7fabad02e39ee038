"""The handshake of replication: who may follow, from where, and where two logs part."""

from __future__ import annotations

import contextlib
import json
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matchmark.reference.control.replication import (
    MESSAGE_BYTES_MAX,
    VERSION,
    Answer,
    Ask,
    Decoder,
    Go,
    Handshake,
    Hash,
    Hello,
    Message,
    Primary,
    ProtocolError,
    Refused,
    encode,
)

MINE = Primary("c", "a", 2**64 - 1, "00ff", epoch=3, first_sequence=1, last_sequence=100)
HELLO = Hello(VERSION, "c", "b", 2**64 - 1, "00ff", epoch=3, next_sequence=101, hash_before=100)


def ask(hello: Hello, mine: Primary = MINE) -> Answer:
    return Handshake(mine, lambda sequence: sequence).hello(hello)


@pytest.mark.parametrize(
    "message", [HELLO, Go(3, 7), Ask(5), Hash(5, 2**63), Refused("diverged", "ö", 9), Refused("cluster", "x")]
)
def test_messages_come_back_in_whatever_pieces(message: Message) -> None:
    decoder = Decoder()
    for byte in encode(message):
        assert decoder.next() is None
        decoder.feed(bytes([byte]))
    assert decoder.next() == message
    decoder.feed(encode(message) + b"records")
    assert decoder.next() == message
    assert decoder.rest == b"records"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{}", b"\xff", b"null", b'{"message": "nothing"}', b'{"message": []}', b'{"message": "go", "epoch": 1}',
        b'{"message": "go", "epoch": "1", "sequence": 1}', b'{"message": "go", "epoch": true, "sequence": 1}',
        b'{"message": "hash", "sequence": 1, "hash": "xyz"}', b'{"message": "hash", "sequence": 1, "hash": 5}',
        b'{"message": "ask", "sequence": 1, "more": 2}',
    ],
)  # fmt: skip
def test_what_is_no_message_is_refused(body: bytes) -> None:
    decoder = Decoder()
    decoder.feed(struct.pack("<I", len(body)) + body)
    with pytest.raises(ProtocolError):
        decoder.next()


KEYS, VALUES = (
    st.sampled_from(["message", "epoch", "sequence", "hash"]),
    st.none() | st.integers() | st.sampled_from(["go", "1"]),
)


@given(st.dictionaries(KEYS, VALUES))
def test_nothing_else_comes_out_of_strange_json(row: dict[str, object]) -> None:
    body = json.dumps({"message": "go", **row}).encode()
    decoder = Decoder()
    decoder.feed(struct.pack("<I", len(body)) + body)
    with contextlib.suppress(ProtocolError):
        assert isinstance(decoder.next(), Go | Ask)


def test_a_message_that_would_not_end_is_refused_at_once() -> None:
    decoder = Decoder()
    decoder.feed(struct.pack("<I", MESSAGE_BYTES_MAX + 1))
    with pytest.raises(ProtocolError):
        decoder.next()


def test_a_standby_goes_on_where_it_is() -> None:
    assert ask(HELLO) == Go(3, 101)
    assert ask(replace(HELLO, next_sequence=1, hash_before=0)) == Go(3, 1)
    assert ask(replace(HELLO, epoch=0, next_sequence=51, hash_before=50)) == Go(3, 51)


@pytest.mark.parametrize(
    ("hello", "reason", "at"),
    [
        (replace(HELLO, version=2), "version", 0),
        (replace(HELLO, cluster="d"), "cluster", 0),
        (replace(HELLO, member="a"), "member", 0),
        (replace(HELLO, epoch=4), "outdated", 0),
        (replace(HELLO, instruments_hash=0), "config", 0),
        (replace(HELLO, engine="00fe"), "config", 0),
        (replace(HELLO, next_sequence=104, hash_before=103), "ahead", 101),
    ],
)
def test_who_does_not_fit_is_told_why(hello: Hello, reason: str, at: int) -> None:
    answer = ask(hello)
    assert isinstance(answer, Refused)
    assert (answer.reason, answer.at) == (reason, at)


def test_a_standby_from_before_the_log_is_told_to_take_a_snapshot() -> None:
    later = replace(MINE, first_sequence=50)
    answer = ask(replace(HELLO, next_sequence=49, hash_before=48), later)
    assert isinstance(answer, Refused) and (answer.reason, answer.at) == ("behind", 50)
    assert not answer.unfit
    assert ask(replace(HELLO, next_sequence=50, hash_before=49), later) == Go(3, 50)


@given(st.integers(1, 300), st.integers(0, 300), st.integers(1, 300))
def test_the_record_where_two_logs_part_is_found(length: int, held: int, parts_at: int) -> None:
    parts_at, first = min(parts_at, length), min(held, length) + 1
    mine = replace(MINE, first_sequence=first, last_sequence=length)
    shake = Handshake(mine, lambda s: s if s >= first - 1 else pytest.fail(f"the log has no {s}"))

    def theirs(sequence: int) -> int:
        return sequence if sequence < parts_at else sequence + 10**6

    answer = shake.hello(replace(HELLO, next_sequence=length + 1, hash_before=theirs(length)))
    asked = 0
    while isinstance(answer, Ask):
        answer = shake.hash(Hash(answer.sequence, theirs(answer.sequence)))
        asked += 1
    assert isinstance(answer, Refused) and answer.reason == "diverged" and answer.unfit
    assert answer.at == max(parts_at, first - 1)
    assert asked <= 12


def test_an_answer_to_another_question_is_a_breach() -> None:
    shake = Handshake(MINE, lambda sequence: sequence)
    assert isinstance(shake.hello(replace(HELLO, hash_before=0)), Ask)
    with pytest.raises(ProtocolError):
        shake.hash(Hash(99, 0))
