"""Market data of an exchange that runs, over the wire: what a subscriber gets, what it is refused, what it is told."""

from __future__ import annotations

import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from matchmark.reference.tokens import Keys

from .market_client import Client, tape
from .serving import SMALL, Serve, Trader

Serving = Callable[..., Serve]


def trade(buyer: Trader, seller: Trader, n: int, symbol: str = "SYM1", lots: int = 2) -> None:
    """One trade; the names of its orders end in `n`."""
    seller.new(f"s{n}", 2, lots, "100.00", symbol)
    seller.next()
    buyer.new(f"b{n}", 1, lots, "100.00", symbol)
    buyer.next()


def started(serving: Serving, config: str = "", *flags: str) -> Serve:
    x = serving(SMALL + "[market_data]\n" + config)
    x.start("--ws-port", "0", *flags)
    return x


def test_off_unless_configured(serving: Serving) -> None:
    x = serving()
    assert x.start()["websocket"] is None and "market_data" not in x.status()["pids"]


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
def test_book_and_trades_of_a_subscriber(serving: Serving, encoding: str) -> None:
    x = started(serving)
    a, b = x.client("ACC1"), x.client("ACC2")
    a.new("a1", 1, 5, "99.00")
    a.next()
    with Client(x.ready["websocket"], x.token("ACC1")) as depth, Client(x.ready["websocket"], x.token("ACC2")) as top:
        assert depth.subscribe("SYM1", "SYM3", channel="depth", encoding=encoding)["symbols"] == {"SYM1": 0, "SYM3": 2}
        top.subscribe("SYM1", encoding=encoding)
        assert depth.read_until(lambda: depth["SYM1"].sides() == ({9900: 5}, {}) and depth["SYM3"].snapshots == 1)
        b.new("b1", 2, 7, "101.00")
        b.new("b2", 2, 3, "99.00")
        b.new("b3", 2, 3, "99.00", "SYM2")
        assert depth.read_until(lambda: depth["SYM1"].sides() == ({9900: 2}, {10100: 7}))
        assert top.read_until(lambda: top["SYM1"].quote == (9900, 2, 10100, 7))
        b.new("b4", 2, 9, "99.00")
        assert depth.read_until(lambda: depth["SYM1"].sides() == ({}, {9900: 7, 10100: 7}))
        assert top.read_until(lambda: top["SYM1"].quote == (0, 0, 9900, 7))
        on_tape = tape(x.data / "log", 0)
        assert [t[1:] for t in on_tape] == [(9900, 3, True), (9900, 2, True)]
        for client in (depth, top):
            assert client["SYM1"].trades == on_tape and not client["SYM1"].gaps
            assert "SYM2" not in client.symbols, "nobody asked for it"
        depth.send(op="unsubscribe", id=7, symbols=["SYM1"])
        assert depth.next() == {"op": "unsubscribed", "id": 7, "symbols": ["SYM1"]}
        had = depth["SYM1"].increments
        b.new("b5", 2, 1, "98.50")
        assert top.read_until(lambda: top["SYM1"].last > depth["SYM1"].last)
        assert not depth.read_until(lambda: depth["SYM1"].increments > had, 0.1)
    counted = x.wait_for(lambda s: s["market_data"]["clients"] == 0)["market_data"]
    assert counted["messages"] >= 8 and counted["sequence"] == x.status()["sequence"] and not counted["stale"]


def test_states_come_in_their_place_and_latecomers_know_them(serving: Serving) -> None:
    x = started(serving)
    a, b = x.client("ACC1"), x.client("ACC2")
    with Client(x.ready["websocket"], x.token("ACC1")) as early, Client(x.ready["websocket"], x.token("ACC2")) as other:
        early.subscribe("SYM1", channel="depth")
        other.subscribe("SYM1", encoding="json")
        trade(b, a, 1)
        for command in ("halt", "resume"):
            assert x.operator(command, symbol="SYM1", reason="test")[0] == 200
        trade(b, a, 2)
        assert x.operator("halt", symbol="SYM1", reason="test")[0] == 200
        for client in (early, other):
            assert client.read_until(lambda c=client: len(c["SYM1"].statuses) == 3)  # type: ignore[misc]
            assert [s for _, s in client["SYM1"].statuses] == ["HALTED", "NORMAL", "HALTED"]
            (first, *_), (second, *_) = client["SYM1"].trades
            stopped, resumed, halted = (sequence for sequence, _ in client["SYM1"].statuses)
            assert first < stopped < resumed < second < halted
    with Client(x.ready["websocket"], x.token("ACC1")) as late:
        late.subscribe("SYM1")
        assert late.read_until(lambda: late["SYM1"].snapshots == 1)
        assert [s for _, s in late["SYM1"].statuses] == ["HALTED"] and late["SYM1"].trades == []


BAD = [
    ("not JSON", "this is not JSON"),
    ("[1, 2]", "object"),
    ("{}", "op is"),
    ('{"op": "steal"}', "op is"),
    ('{"op": "subscribe"}', "symbols is a list"),
    ('{"op": "subscribe", "symbols": []}', "symbols is a list"),
    ('{"op": "subscribe", "symbols": [1]}', "symbols is a list"),
    ('{"op": "subscribe", "symbols": ["SYM1", "NONE"]}', "unknown symbol"),
    ('{"op": "subscribe", "symbols": ["SYM1"], "channel": "all"}', "channel is"),
    ('{"op": "subscribe", "symbols": ["SYM1"], "channel": ["depth"]}', "channel is"),
    ('{"op": "subscribe", "symbols": ["SYM1"], "encoding": "xml"}', "encoding is"),
    ('{"op": "subscribe", "symbols": ["SYM1"], "after": 5}', "after is"),
    ('{"op": "subscribe", "symbols": ["SYM1"], "after": {"SYM1": -1}}', "after is"),
    ('{"op": "subscribe", "symbols": ["SYM1"], "after": {"SYM2": 1}}', "after is"),
    ('{"op": "subscribe", "symbols": ["SYM1"], "after": {"SYM1": 99999999}}', "records"),
    ('{"op": "unsubscribe", "symbols": ["SYM2"]}', "not subscribed"),
    ('{"op": "login", "token": 5}', "token"),
    ('{"op": "login", "token": "x.y.z"}', "refused"),
    ("[" * 100_000, "this is not JSON"),
]


def test_a_bad_request_is_refused_with_a_reason_and_harms_nobody(serving: Serving) -> None:
    x = started(serving)
    a, b = x.client("ACC1"), x.client("ACC2")
    url = x.ready["websocket"]
    with Client(url, x.token("ACC1")) as good, Client(url, x.token("ACC2")) as bad:
        good.subscribe("SYM1", channel="depth")
        bad.subscribe("SYM1")
        for text, why in BAD:
            bad.ws.send(text)
            answer = bad.next()
            assert answer["op"] == "refused" and why in answer["reason"], (text[:80], answer)
        bad.ws.send(b"\x00\x01")
        assert "text" in bad.next()["reason"]
        bad.send(op="subscribe", id=5, symbols=["SYM1", "NONE"])
        assert bad.next() == {"op": "refused", "id": 5, "reason": "unknown symbol", "symbols": ["NONE"]}
        bad.send(op="ping", id="p")
        assert bad.next() == {"op": "pong", "id": "p"}
        trade(b, a, 1)
        for client in (good, bad):
            assert client.read_until(lambda c=client: len(c["SYM1"].trades) == 1)  # type: ignore[misc]
    assert x.status()["market_data"]["dropped_clients"] == 0


def test_nothing_without_a_token(serving: Serving) -> None:
    x = started(serving)
    url = x.ready["websocket"]
    with Client(url) as nobody:
        nobody.send(op="subscribe", id=1, symbols=["SYM1"])
        assert nobody.next()["reason"].startswith("log in first")
        nobody.send(op="login", token=Keys(x.data / "other-keys").issue("ACC1", 600))
        assert nobody.next()["op"] == "refused"
        expired = x.token("ACC1", 1)
        time.sleep(2.1)
        nobody.send(op="login", token=expired)
        assert "Expired" in nobody.next()["reason"]
        nobody.send(op="login", token=x.token("ACC1"))
        assert nobody.next() == {"op": "logged_in", "account": "ACC1"}
        assert nobody.subscribe("SYM1")["op"] == "subscribed"
        nobody.send(op="login", token=x.token("ACC2"))
        assert "another account" in nobody.next()["reason"]
    with Client(url, x.token("ACC1"), header=True) as by_header, Client(f"{url}?token={x.token('ACC2')}") as by_query:
        assert by_header.said[0]["account"] == "ACC1" and by_query.next()["account"] == "ACC2"
    with Client(url, x.token("ACC1", 2)) as short:
        assert short.subscribe("SYM1")["op"] == "subscribed"
        short.read_until(lambda: short.closed is not None)
        assert short.said[-1]["op"] == "dropped" and "expired" in short.said[-1]["reason"]
        assert short.closed and short.closed[0] == 1008


def test_who_comes_back_misses_no_trade_even_after_kill_9(serving: Serving) -> None:
    x = started(serving, "keep_trades = 3\n")
    a, b = x.client("ACC1"), x.client("ACC2")
    url = x.ready["websocket"]
    with Client(url, x.token("ACC1")) as client:
        client.subscribe("SYM1", channel="depth")
        trade(b, a, 1)
        assert client.read_until(lambda: len(client["SYM1"].trades) == 1)
        pid = x.status()["pids"]["market_data"]
        os.kill(pid, signal.SIGKILL)
        client.read_until(lambda: client.closed is not None)
        mine = client["SYM1"]
    for n in range(2, 12):
        trade(b, a, n)  # trading goes on
    x.wait_for(lambda s: s["pids"].get("market_data", pid) not in (0, pid) and not s["market_data"]["stale"])
    with Client(url, x.token("ACC1")) as again:
        again.symbols["SYM1"] = mine
        assert again.subscribe("SYM1", channel="depth", after={"SYM1": mine.last})["op"] == "subscribed"
        assert again.read_until(lambda: len(mine.trades) == 11)
        trade(b, a, 12)
        assert again.read_until(lambda: len(mine.trades) == 12)
        assert mine.trades == tape(x.data / "log", 0) and not mine.gaps
    assert x.status()["restarts"]["market_data"] == 1 and "trading goes on" in x.stderr()


def test_how_far_back_one_may_ask(serving: Serving) -> None:
    x = started(serving, "keep_trades = 2\nrecover_records = 60\nrecover_trades = 5\n")
    a, b = x.client("ACC1"), x.client("ACC2")
    for n in range(8):
        trade(b, a, n)
    last = x.wait_for(lambda s: s["sequence"] == s["market_data"]["sequence"])["sequence"]
    with Client(x.ready["websocket"], x.token("ACC1")) as client:
        client.subscribe("SYM1", after={"SYM1": 1})
        refused = client.next()
        assert refused["op"] == "refused" and "more than 5" in refused["reason"] and refused["symbols"] == ["SYM1"]
        for n in range(8, 16):
            trade(b, a, n)
        x.wait_for(lambda s: s["sequence"] == s["market_data"]["sequence"] > last)
        refused = client.subscribe("SYM1", after={"SYM1": 1})
        assert refused["op"] == "refused" and "too far back" in refused["reason"]
        trades = tape(x.data / "log", 0)
        client.subscribe("SYM1", after={"SYM1": trades[-5][0]})
        assert client.read_until(lambda: client["SYM1"].trades == trades[-4:])


def test_servers_that_were_held_up_say_so(serving: Serving) -> None:
    x = started(serving, "stale_s = 0.3\n")
    a, b = x.client("ACC1"), x.client("ACC2")
    with Client(x.ready["websocket"], x.token("ACC1")) as client:
        client.subscribe("SYM1")
        pid = x.status()["pids"]["market_data"]
        os.kill(pid, signal.SIGSTOP)
        trade(b, a, 1)
        time.sleep(0.5)
        os.kill(pid, signal.SIGCONT)
        assert client.read_until(lambda: len(client["SYM1"].trades) == 1)
        assert client.read_until(lambda: client.said[-1]["op"] == "live")
        assert client.said[-2]["op"] == "stale" and "held up" in client.said[-2]["why"]


def test_the_page_is_there_and_nothing_else(serving: Serving) -> None:
    x = started(serving)
    at = x.ready["websocket"].replace("ws://", "http://")
    with urllib.request.urlopen(at, timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/html") and b"matchmark" in answer.read()
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(at + "etc/passwd", timeout=10)
    refused.value.close()
    assert refused.value.code == 404


def test_processes_share_the_port_and_one_that_dies_is_replaced(serving: Serving) -> None:
    x = started(serving, "processes = 2\n")
    a, b = x.client("ACC1"), x.client("ACC2")
    clients = [Client(x.ready["websocket"], x.token("ACC1")) for _ in range(12)]
    for client in clients:
        client.subscribe("SYM1", channel="depth")
    trade(b, a, 1)
    for client in clients:
        assert client.read_until(lambda c=client: len(c["SYM1"].trades) == 1)  # type: ignore[misc]
    role = x.wait_for(lambda s: s["market_data"]["clients"] == 12)["pids"]["market_data"]
    (child,) = (int(p) for p in Path(f"/proc/{role}/task/{role}/children").read_text().split())
    os.kill(child, signal.SIGKILL)
    x.wait_for(lambda s: s["pids"].get("market_data", role) not in (0, role) and not s["market_data"]["stale"])
    for client in clients:
        client.close()
    with Client(x.ready["websocket"], x.token("ACC1")) as client:
        client.subscribe("SYM1", after={"SYM1": 0})
        assert client.read_until(lambda: client["SYM1"].trades == tape(x.data / "log", 0))


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ("processes = 0", "line 18: processes is 0"),
        ("conflation_ms = -1", "conflation_ms"),
        ("slow_s = 0", "0.1 to 3600"),
        ("echo = 1", "true or false"),
        ("color = 'red'", "unknown key 'color'"),
    ],
)
def test_a_wrong_table_is_refused_with_its_line(serving: Serving, table: str, why: str) -> None:
    x = serving(SMALL + f"[market_data]\n{table}\n")
    code, said = x.refused()
    assert code == 2 and why in said


def test_a_port_in_use_is_refused(serving: Serving) -> None:
    x = started(serving)
    port = x.ready["fix"]["port"]
    y = serving(name="y")
    code, said = y.refused("--ws-port", str(port))
    assert code == 3 and "choose another --ws-port" in said
