"""Brokers of this machine, and what they are asked for, as far as no Java is needed."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import Future
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from matchmark.reference.config_kafka import KafkaSettings
from matchmark.reference.events import topics
from matchmark.reference.events.faults import KafkaFault
from matchmark.reference.services import kafka_brokers


def test_no_cluster_has_a_name_that_kafkas_tools_take_for_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = [uuid.UUID(bytes=bytes([first]) + bytes(15)) for first in (0xF8, 0xFB, 0x10)]
    monkeypatch.setattr(uuid, "uuid4", lambda: drawn.pop(0))
    assert kafka_brokers.new_cluster_id() == "EAAAAAAAAAAAAAAAAAAAAA" and not drawn


def test_brokers_that_do_not_answer_in_time_are_a_fault_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    class Busy:
        """What librdkafka is to us while the controller has no time: the answer does not come."""

        def __init__(self, settings: dict[str, Any]) -> None:
            pass

        def list_topics(self, timeout: float) -> Any:
            return SimpleNamespace(topics={})

        def create_topics(self, wanted: list[Any], operation_timeout: float) -> dict[str, Future[None]]:
            return {one.topic: Future() for one in wanted}

    monkeypatch.setattr(topics, "AdminClient", Busy)
    monkeypatch.setattr(topics, "ANSWER_S", 0.01)
    with pytest.raises(KafkaFault, match="has not made topic t within"):
        topics.ensure_topics(KafkaSettings("127.0.0.1:1", "t"))


def test_a_consumer_that_does_not_end_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    over = Event()
    monkeypatch.setattr(topics, "CLOSE_S", 0.05)
    began = time.monotonic()
    topics.close(SimpleNamespace(close=lambda: over.wait(10)))
    assert time.monotonic() - began < 5
    over.set()
