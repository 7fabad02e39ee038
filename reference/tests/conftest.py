"""Exchanges of a test, closed after it whatever happened, and the brokers of all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from matchmark.reference.services import kafka_jars
from matchmark.reference.services.kafka_brokers import Brokers
from matchmark.reference.services.kafka_jars import ServiceError

from .serving import Serve


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Callable[..., Serve]]:
    """Makes a Serve below tmp_path; it is not started."""
    made: list[Serve] = []

    def make(*args: Any, name: str = "x", **more: Any) -> Serve:
        made.append(Serve(tmp_path / name, *args, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A PostgreSQL of this run."""
    from .ledgering import Databases

    made = Databases(tmp_path_factory.mktemp("pg"))
    yield made
    made.server.stop()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brokers]:
    """Three real brokers, all up; a test that stops one starts it again."""
    brokers = Brokers(tmp_path_factory.mktemp("kafka"), print, dies_with_us=True)
    try:
        try:
            kafka_jars.java(print)
            kafka_jars.jars(print)
        except ServiceError as error:
            pytest.skip(f"no Kafka on this machine: {error}")
        brokers.up(3)
        yield brokers
    finally:
        brokers.down()
