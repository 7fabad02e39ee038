"""Brokers of this machine, as far as no Java is needed."""

from __future__ import annotations

import uuid

import pytest

from matchmark.reference.services import kafka_brokers


def test_no_cluster_has_a_name_that_kafkas_tools_take_for_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = [uuid.UUID(bytes=bytes([first]) + bytes(15)) for first in (0xF8, 0xFB, 0x10)]
    monkeypatch.setattr(uuid, "uuid4", lambda: drawn.pop(0))
    assert kafka_brokers.new_cluster_id() == "EAAAAAAAAAAAAAAAAAAAAA" and not drawn
