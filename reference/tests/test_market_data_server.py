"""A WebSocket server among bad clients: slow ones, many that never read, floods; RFC 6455; and a feed that is held up."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from matchmark.conformance.messages import New

from .market_client import Client
from .market_server import Running

Making = Callable[..., Running]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Making]:
    made: list[Running] = []

    def make(**settings: Any) -> Running:
        made.append(Running(tmp_path, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


def orders(first: int, count: int, every_trades: int = 4) -> list[New]:
    """Bids that move about, and now and then a sell that takes one lot."""
    out = []
    for n in range(first, first + count):
        sell = n % every_trades == every_trades - 1
        out.append(New(f"o{n}", "B" if sell else "A", "S0", "sell" if sell else "buy", "limit", 1 if sell else 9,
                       1 if sell else 50 + n % 40, "ioc" if sell else "day"))  # fmt: skip
    return out


def masked(opcode: int, payload: bytes, fin: bool = True, rsv: int = 0) -> bytes:
    """A client's frame with a mask of zeros."""
    n = len(payload)
    size = bytes([0x80 | n]) if n < 126 else bytes([0xFE]) + struct.pack(">H", n) if n < 65_536 else b""
    return (
        bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
        + (size or bytes([0xFF]) + struct.pack(">Q", n))
        + bytes(4)
        + payload
    )


def answer(sock: socket.socket) -> tuple[int, bytes]:
    """Opcode and payload of the next frame; (-1, b"") at the end of the connection."""

    def exactly(n: int) -> bytes:
        got = b""
        while len(got) < n:
            part = sock.recv(n - len(got))
            if not part:
                raise EOFError
            got += part
        return got

    try:
        first, size = exactly(2)
        n = size if size < 126 else int.from_bytes(exactly(2 if size == 126 else 8), "big")
        return first & 15, exactly(n)
    except (EOFError, ConnectionResetError):
        return -1, b""


def quiet_clients(x: Running, count: int) -> list[socket.socket]:
    """Logged in, subscribed, and never reading."""
    out = []
    for _ in range(count):
        sock = x.socket(receive_bytes=2048, path=f"/?token={x.token()}")
        said = {"op": "subscribe", "symbols": ["S0"], "channel": "depth", "encoding": "json"}
        sock.sendall(masked(1, json.dumps(said).encode()))
        out.append(sock)
    return out


def test_a_slow_client_is_conflated_and_then_misses_no_trade(running: Making) -> None:
    x = running(conflation_ms=0, socket_bytes=4096, slow_s=30)
    with Client(x.url, x.token(), receive_bytes=4096) as slow:
        slow.subscribe("S0", channel="depth", encoding="json")
        for n in range(0, 600, 20):
            x.do(*orders(n, 20))
            time.sleep(0.005)
        assert slow.read_until(lambda: slow["S0"].trades == x.trades() and slow["S0"].last >= x.exchange.sequence - 1)
        assert slow["S0"].snapshots > 1, "it was conflated"
        assert slow["S0"].increments + slow["S0"].snapshots < 550
        x.do(*orders(600, 4))
        assert slow.read_until(lambda: slow["S0"].trades == x.trades() and slow["S0"].sides() == x.exchange.levels(0))
        assert not slow["S0"].gaps and slow.closed is None


def test_200_clients_that_never_read_hold_up_nobody_and_are_dropped(running: Making) -> None:
    x = running(conflation_ms=0, socket_bytes=4096, slow_s=1.0, keep_trades=100_000)
    with Client(x.url, x.token()) as good:
        good.subscribe("S0", channel="depth")
        silent = quiet_clients(x, 200)
        worst = 0.0
        for n in range(0, 800, 4):
            x.do(*orders(n, 4))
            began, due = time.monotonic(), len(x.trades())
            assert good.read_until(lambda due=due: len(good["S0"].trades) == due)  # type: ignore[misc]
            worst = max(worst, time.monotonic() - began)
        assert worst < 1.0, "nobody waits for those who do not read"
        until = time.monotonic() + 15
        while x.counters.get("dropped_clients", 0) < 200 and time.monotonic() < until:
            good.read_until(lambda: False, 0.05)
        assert x.counters["dropped_clients"] == 200 and not good["S0"].gaps
        reasons = []
        for sock in silent[:5]:  # the reason is behind what they did not read
            while (got := answer(sock))[0] not in (8, -1):
                reasons.append(got[1])
            assert got[0] == 8 and b"too slow" in got[1], got
        assert sum(b'"op":"dropped"' in r for r in reasons) == 5
        for sock in silent:
            sock.close()
        assert good.read_until(lambda: good["S0"].sides() == x.exchange.levels(0))


def test_a_slow_client_that_missed_more_than_is_kept_is_dropped(running: Making) -> None:
    x = running(conflation_ms=0, socket_bytes=4096, slow_s=600, keep_trades=10)
    (sock,) = quiet_clients(x, 1)
    with Client(x.url, x.token()) as good:
        good.subscribe("S0")
        for n in range(0, 1200, 20):
            x.do(*orders(n, 20))
            good.read_until(lambda: len(good["S0"].trades) == len(x.trades()))
        said = []
        while (got := answer(sock))[0] not in (8, -1):
            said.append(got[1])
        assert got[0] == 8 and b"more trades" in got[1]
        assert b"more trades" in said[-1]
    sock.close()


def test_a_flood_of_pings_that_reads_no_pong_is_dropped(running: Making) -> None:
    x = running(socket_bytes=4096, slow_bytes=20_000, slow_s=30)
    sock = x.socket(receive_bytes=2048, path=f"/?token={x.token()}")
    with Client(x.url, x.token()) as good:
        with suppress(OSError):  # it is cut off in the middle
            for _ in range(3000):
                sock.sendall(masked(1, b'{"op":"ping","id":"' + b"x" * 60 + b'"}'))
        until = time.monotonic() + 10
        while not x.counters.get("dropped_clients") and time.monotonic() < until:
            time.sleep(0.02)
        good.send(op="ping", id=1)
        assert good.next()["op"] == "pong" and x.counters["dropped_clients"] == 1
    sock.close()


def test_a_feed_that_is_held_up_is_stale_until_it_has_caught_up(running: Making) -> None:
    x = running(stale_s=1.0)
    with Client(x.url, x.token()) as client:
        client.subscribe("S0", channel="depth")
        x.source.held = True
        x.do(*orders(0, 8))
        said = client.next()
        while said["op"] == "live" or "behind" not in said["why"]:
            said = client.next()  # a busy machine may have held it up before
        assert said["op"] == "stale" and said["since_ns"] > 0
        with Client(x.url, x.token()) as late:
            assert late.next()["op"] == "stale"
            x.source.held = False
            assert late.next()["op"] == client.next()["op"] == "live"
        assert client.read_until(
            lambda: client["S0"].trades == x.trades() and client["S0"].sides() == x.exchange.levels(0)
        )


def test_a_newcomer_is_not_told_the_past_that_a_server_makes_its_books_from(running: Making) -> None:
    x = running()
    until = time.monotonic() + 20
    while not x.server.hub.live and time.monotonic() < until:
        time.sleep(0.01)
    x.server.hub.live = False  # as after a restart, until it has read what there is
    with Client(x.url, x.token()) as early, Client(x.url, x.token()) as back:
        early.subscribe("S0", channel="depth")
        back.subscribe("S0", channel="depth", after={"S0": 0})
        x.do(*orders(0, 8))
        until = time.monotonic() + 20
        while x.counters.get("sequence") != x.exchange.sequence and time.monotonic() < until:
            time.sleep(0.01)
        x.server.hub.live = True
        for client in (early, back):
            assert client.read_until(lambda c=client: c["S0"].sides() == x.exchange.levels(0))  # type: ignore[misc]
        assert back["S0"].trades == x.trades() != [] and early["S0"].trades == []


def test_more_clients_than_are_allowed_are_turned_away(running: Making) -> None:
    x = running(max_clients=3)
    with Client(x.url, x.token()), Client(x.url, x.token()), Client(x.url, x.token()) as third:
        with pytest.raises(InvalidStatus, match="503"):
            Client(x.url, x.token())
        third.send(op="ping")
        assert third.next()["op"] == "pong"


def test_reconnect_storm(running: Making) -> None:
    x = running()
    x.do(*orders(0, 40))
    with Client(x.url, x.token()) as good:
        good.subscribe("S0", channel="depth")
        for _ in range(10):
            storm = quiet_clients(x, 20)
            for sock in storm:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # ends with a reset
                sock.close()
        x.do(*orders(40, 4))
        assert good.read_until(lambda: good["S0"].sides() == x.exchange.levels(0))
    until = time.monotonic() + 10
    while x.counters.get("clients") != 0 and time.monotonic() < until:
        time.sleep(0.02)
    assert x.counters["clients"] == 0 and not x.server.hub._streams, "nothing is kept of who has gone"


# --- RFC 6455 at /echo ---


@pytest.fixture
def echo(running: Making) -> Iterator[socket.socket]:
    x = running(echo=True)
    sock = x.socket(path="/echo")
    yield sock
    sock.close()


@pytest.mark.parametrize("n", [0, 1, 125, 126, 127, 128, 65_535, 65_536, 1_000_000])
@pytest.mark.parametrize("opcode", [1, 2])
def test_echo_of_any_length(echo: socket.socket, n: int, opcode: int) -> None:
    echo.sendall(masked(opcode, b"*" * n))
    assert answer(echo) == (opcode, b"*" * n)


def test_fragments_with_a_ping_between(echo: socket.socket) -> None:
    echo.sendall(masked(1, b"Hel", fin=False) + masked(9, b"are you there") + masked(0, b"lo", fin=False))
    assert answer(echo) == (10, b"are you there")
    echo.sendall(masked(0, b"!", fin=True) + masked(10, b"a pong that nobody asked for") + masked(2, b"next"))
    assert answer(echo) == (1, b"Hello!") and answer(echo) == (2, b"next")


def test_octet_by_octet(echo: socket.socket) -> None:
    for byte in masked(1, "κόσμε".encode()):
        echo.sendall(bytes([byte]))
    assert answer(echo) == (1, "κόσμε".encode())


@pytest.mark.parametrize(
    ("name", "frames", "code"),
    [
        ("reserved bit", masked(1, b"x", rsv=4), 1002),
        ("unknown data opcode", masked(3, b"x"), 1002),
        ("unknown control opcode", masked(11, b"x"), 1002),
        ("long ping", masked(9, b"x" * 126), 1002),
        ("ping in fragments", masked(9, b"x", fin=False), 1002),
        ("continuation of nothing", masked(0, b"x"), 1002),
        ("message within a message", masked(1, b"x", fin=False) + masked(1, b"y"), 1002),
        ("not UTF-8", masked(1, b"\xce\xba\xff"), 1007),
        ("not UTF-8 in fragments", masked(1, b"\xce", fin=False) + masked(0, b"\x41"), 1007),
        ("too big", bytes([0x82, 0xFF]) + struct.pack(">Q", 1 << 30) + bytes(4), 1009),
        ("too big in parts", masked(2, bytes(1 << 19), fin=False) * 1 + masked(0, bytes((1 << 19) + 1)), 1009),
        ("close of one byte", masked(8, b"\x03"), 1002),
        ("close code 999", masked(8, struct.pack(">H", 999)), 1002),
        ("close code 1005", masked(8, struct.pack(">H", 1005)), 1002),
        ("unmasked", b"\x81\x01x", 1002),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_what_breaks_the_protocol_ends_with_its_code(echo: socket.socket, name: str, frames: bytes, code: int) -> None:
    echo.sendall(frames)
    opcode, payload = answer(echo)
    assert (opcode, int.from_bytes(payload[:2], "big")) == (8, code)
    assert answer(echo)[0] == -1


@pytest.mark.parametrize("code", [1000, 1001, 1003, 3000, 4999])
def test_close_is_answered_with_close(echo: socket.socket, code: int) -> None:
    echo.sendall(masked(8, struct.pack(">H", code) + b"bye"))
    opcode, payload = answer(echo)
    assert opcode == 8 and int.from_bytes(payload[:2], "big") == code and answer(echo)[0] == -1


def test_no_echo_unless_asked_for(running: Making) -> None:
    x = running()
    with pytest.raises(InvalidStatus, match="404"):
        Client(x.url + "echo")
