"""Exchanges of a test, closed after it whatever happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

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
