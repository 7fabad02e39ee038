"""A session that is logged on."""

from __future__ import annotations

import pytest

from .fix_wire import Peer


@pytest.fixture
def peer() -> Peer:
    made = Peer()
    made.logon()
    return made
