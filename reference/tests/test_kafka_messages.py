"""The message of the events topic: what is packed comes out, what is damaged is refused, a symbol's place never changes."""

from __future__ import annotations

import numpy as np
import pytest

from matchmark.native import _native
from matchmark.native.pipeline_records import AUDIT_RECORD
from matchmark.reference.audit_log import Records
from matchmark.reference.config_kafka import KafkaSettings, kafka_settings
from matchmark.reference.config_text import ConfigError, Source
from matchmark.reference.events import progress
from matchmark.reference.events.message import NO_SYMBOL, MessageError, pack, partition_of, pieces, symbols_of, unpack


def records(*sequences: int, symbol: int = 0) -> Records:
    """Events with good CRCs."""
    out = np.zeros(len(sequences), dtype=AUDIT_RECORD)
    out["sequence"], out["kind"] = sequences, 2
    out.view(np.uint32).reshape(len(out), -1)[:, 5] = symbol
    for n in range(len(out)):
        out[n]["crc"] = _native.lib.mm_crc32c(0, out[n : n + 1].tobytes(), AUDIT_RECORD.itemsize - 4)
    return out


def test_what_is_packed_comes_out() -> None:
    some = records(5, 6, 9)
    said = unpack(pack(some, 3, 4))
    assert said[:4] == (5, 9, 3, 4) and (said.records == some).all()
    assert len(pack(some, 3, 4)) == 48 + 3 * 272


@pytest.mark.parametrize("at", [0, 4, 6, 8, 16, 24, 32, 48, 100, 48 + 2 * 272 + 10])
def test_a_damaged_byte_is_refused(at: int) -> None:
    value = bytearray(pack(records(5, 6, 9), 3, 4))
    value[at] ^= 0x15
    with pytest.raises(MessageError):
        unpack(bytes(value))


@pytest.mark.parametrize("value", [b"", b"hello", b"MMEV" + b"\0" * 44])
def test_what_is_none_of_ours_is_refused(value: bytes) -> None:
    with pytest.raises(MessageError):
        unpack(value)


def test_a_message_cut_short_is_refused() -> None:
    with pytest.raises(MessageError, match="not what 3 records take"):
        unpack(pack(records(5, 6, 9), 3, 4)[:-272])


def test_events_out_of_order_are_refused() -> None:
    with pytest.raises(MessageError, match="prefix"):
        unpack(pack(records(5, 9, 9), 3, 4))
    with pytest.raises(MessageError, match="prefix"):
        unpack(pack(records(5, 6), 5, 4))


@pytest.mark.parametrize(
    ("key", "murmur2"),
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536), (b"abc", 479470107)],
)
def test_a_symbols_partition_is_that_of_kafkas_own_clients(key: bytes, murmur2: int) -> None:
    for partitions in (1, 7, 100):
        assert partition_of(key, partitions) == (murmur2 & 0x7FFFFFFF) % partitions


def test_commands_are_never_split() -> None:
    commands = np.array([0, 0, 1, 2, 2, 2, 2, 3, 4])
    assert list(pieces(commands, 100)) == [(0, 9)]
    assert list(pieces(commands, 3)) == [(0, 3), (3, 7), (7, 9)]
    assert list(pieces(commands, 1)) == [(0, 2), (2, 3), (3, 7), (7, 8), (8, 9)]


def test_events_of_no_known_symbol_are_of_none() -> None:
    some = np.concatenate([records(1, symbol=3), records(2, symbol=4), records(3, symbol=NO_SYMBOL)])
    assert symbols_of(some, 4).tolist() == [3, NO_SYMBOL, NO_SYMBOL]


def test_progress_is_read_as_it_was_noted() -> None:
    assert progress.noted(progress.partition_note(77, {b"SYM1": 5, b"": 2**40})) == (77, {b"SYM1": 5, b"": 2**40})
    said = progress.read_watermark(progress.watermark(progress.Progress(9, 8, 7, offsets={0: 5, 2: 6}), 3))
    assert said and said[:3] == (9, 8, 7) and said.offsets.tolist() == [5, 0, 6]
    assert progress.read_watermark(b"something else") is None
    assert progress.read_watermark(progress.watermark(progress.Progress(), 3)[:-1]) is None


def test_settings() -> None:
    assert kafka_settings(Source.empty()) is None
    assert kafka_settings(Source.empty(), "h:1,[::1]:2") == KafkaSettings("h:1,[::1]:2")
    table = {"bootstrap": "h:1", "topic": "t", "partitions": 3, "replication": 1}
    assert kafka_settings(Source.of({"kafka": table})) == KafkaSettings("h:1", "t", 3, 1)
    assert kafka_settings(Source.of({"kafka": table}), "other:5") == KafkaSettings("other:5", "t", 3, 1)
    said = {"topic": "mine", "partitions": "7"}
    assert kafka_settings(Source.of({"kafka": table}), None, said) == KafkaSettings("h:1", "mine", 7, 1)
    by_log = {**table, "readers": "log"}
    assert kafka_settings(Source.of({"kafka": by_log})) == KafkaSettings("h:1", "t", 3, 1, "log")
    for wrong in ({"partitions": "0"}, {"partitions": "x"}, {"topic": "a b"}):
        with pytest.raises(ConfigError, match="--kafka-"):
            kafka_settings(Source.of({"kafka": table}), None, wrong)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"topic": "t"}, "bootstrap is None"),
        ({"bootstrap": "nowhere"}, "host:port"),
        ({"bootstrap": "h:1", "topic": "a b"}, "letters"),
        ({"bootstrap": "h:1", "partitions": 0}, "whole number from 1"),
        ({"bootstrap": "h:1", "replication": "3"}, "whole number from 1"),
        ({"bootstrap": "h:1", "acks": "1"}, "unknown key"),
        ({"bootstrap": "h:1", "readers": "both"}, "kafka or log"),
    ],
)
def test_mistakes_in_settings_are_said(table: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        kafka_settings(Source.of({"kafka": table}))
