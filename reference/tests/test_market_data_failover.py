"""A standby's servers take clients when it is primary, and who comes from the old primary misses no trade."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from .market_client import Client, tape
from .pair import Pair
from .test_market_data import trade


def test_subscribers_go_on_at_the_new_primary(tmp_path: Path) -> None:
    pair = Pair(tmp_path, "replicated")
    try:
        a = pair.start("a", "--ws-port", "0")
        b = pair.start("b", "--standby", "--ws-port", "0")
        at = urlsplit(b.ready["websocket"])
        with pytest.raises(ConnectionRefusedError), socket.socket() as sock:
            sock.connect((at.hostname, at.port))
        buyer, seller = pair.client("ACC1"), pair.client("ACC2")
        with Client(a.ready["websocket"], a.token("ACC1")) as client:
            client.subscribe("SYM1", channel="depth")
            trade(buyer, seller, 1)
            assert client.read_until(lambda: len(client["SYM1"].trades) == 1)
            mine = client["SYM1"]
            b.wait_for(lambda s: s["sequence"] >= mine.last)
            a.kill()
            client.read_until(lambda: client.closed is not None)
        pair.members.pop("a")
        for trader in (buyer, seller):
            pair.connect(trader)
        trade(buyer, seller, 2)
        with Client(b.ready["websocket"], b.token("ACC1")) as client:
            client.symbols["SYM1"] = mine
            assert client.subscribe("SYM1", channel="depth", after={"SYM1": mine.last})["op"] == "subscribed"
            assert client.read_until(lambda: len(mine.trades) == 2)
            assert mine.trades == tape(b.data / "log", 0) and not mine.gaps
        a.close()
    finally:
        pair.close()
