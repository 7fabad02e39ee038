"""The gateway end to end: FIX over TCP, checks, rings, engine, audit log, reports; logons and what strangers do to it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import jwt
import pytest

from matchmark.native.pipeline import PipelineError
from matchmark.native.pipeline_records import Durability, Wait

from .exchange import Client, Exchange
from .fix_wire import utc, wait_until


@pytest.fixture(params=[Durability.ASYNC, Durability.FSYNC], ids=["async", "fsync"])
def exchange(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Exchange]:
    made = Exchange(tmp_path, request.param)
    yield made
    made.close()


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Exchange]:
    made = Exchange(tmp_path)
    yield made
    made.close()


def logged_on(x: Exchange, account: str = "ALICE", **more: object) -> Client:
    c = x.client(account, **more)  # type: ignore[arg-type]
    c.expect("A", t98="0", t108="30")
    return c


def test_a_limit_order_rests_and_trades_and_both_sides_are_told(exchange: Exchange) -> None:
    a, b = logged_on(exchange), logged_on(exchange, "BOB")
    a.new("b1", 1, 100, "100.50")
    accepted = a.expect(
        "8", t150="0", t39="0", t11="b1", t151="100", t14="0", t44="100.50", t54="1", t55="SYM", t1="ALICE"
    )
    b.new("s1", 2, 40, "100.48")
    b.expect("8", t150="0", t39="0", t11="s1")
    b.expect("8", t150="F", t39="2", t32="40", t31="100.50", t151="0", t14="40", t6="100.500000", t11="s1")
    trade = a.expect("8", t150="F", t39="1", t32="40", t31="100.50", t151="60", t14="40", t11="b1")
    assert trade[37] == accepted[37]
    assert int(trade[17]) > int(accepted[17])


def test_a_market_order_walks_the_book_and_averages(exchange: Exchange) -> None:
    a, b = logged_on(exchange), logged_on(exchange, "BOB")
    for n, (qty, price) in enumerate(((100, "100.50"), (300, "100.49"), (200, "100.48"), (400, "100.47"))):
        a.new(f"b{n}", 1, qty, price)
        a.expect("8", t150="0")
    b.new("m", 2, 1000)
    b.expect("8", t150="0", t40="1")
    fills = [b.expect("8", t150="F") for _ in range(4)]
    assert [(m[32], m[31]) for m in fills] == [
        ("100", "100.50"),
        ("300", "100.49"),
        ("200", "100.48"),
        ("400", "100.47"),
    ]
    assert fills[-1][6] == "100.481000"  # ruling R2


def test_an_ioc_remainder_is_cancelled(exchange: Exchange) -> None:
    a = logged_on(exchange)
    a.new("i", 1, 10, "100.00", tif=3)
    a.expect("8", t150="0", t59="3")
    a.expect("8", t150="4", t39="4", t151="0", t14="0", t11="i")


def test_cancel_replace_status_and_mass_cancel(exchange: Exchange) -> None:
    a = logged_on(exchange)
    a.new("1", 1, 100, "100.00")
    a.expect("8", t150="0")
    a.replace("2", "1", 50, "99.00")
    a.expect("8", t150="5", t39="0", t11="2", t41="1", t151="50", t44="99.00")
    a.send("H", (11, "2"), (55, "SYM"), (54, 1))
    a.expect("8", t150="I", t39="0", t11="2", t151="50")
    a.cancel("3", "2")
    a.expect("8", t150="4", t39="4", t11="3", t41="2", t151="0")
    a.cancel("4", "2")
    a.expect("9", t434="1", t102="0", t11="4", t41="2")
    a.cancel("5", "never")
    a.expect("9", t434="1", t102="1", t11="5")
    for cl in "ab":
        a.new(cl, 1, 10, "50.00")
        a.expect("8", t150="0")
    a.send("q", (11, "mc"), (530, 7), (60, "20260101-00:00:00"))
    assert {a.expect("8", t150="4")[11] for _ in range(2)} == {"a", "b"}
    a.expect("r", t11="mc", t530="7", t531="7", t533="2")


def test_a_stranger_s_order_is_as_good_as_unknown(exchange: Exchange) -> None:
    a, b = logged_on(exchange), logged_on(exchange, "BOB")
    a.new("mine", 1, 100, "100.00")
    a.expect("8", t150="0")
    b.cancel("x", "mine")
    theirs = b.expect("9", t102="1")
    b.cancel("x2", "nothing")
    unknown = b.expect("9", t102="1")
    assert theirs[58] == unknown[58]
    assert theirs[37] == unknown[37] == "NONE"


@pytest.mark.parametrize(
    ("order", "reason", "word"),
    [
        ({"qty": 10, "price": "100.005"}, "11", "tick"),
        ({"qty": 10, "price": "-1.00"}, "11", "tick"),
        ({"qty": 0, "price": "100.00"}, "13", "lot"),
        ({"qty": 15, "price": "10.00", "symbol": "LOT"}, "13", "lot"),
        ({"qty": 10_001, "price": "100.00"}, "3", "size"),
        ({"qty": 10, "price": "151.00"}, "99", "collar"),
        ({"qty": 10, "price": "49.99"}, "99", "collar"),
        ({"qty": 11, "price": "100.00"}, "0", "cash"),
        ({"side": 2, "qty": 6, "price": "100.00"}, "0", "position"),
        ({"qty": 10, "price": "100.00", "symbol": "NOPE"}, "1", "symbol"),
        ({"side": 5, "qty": 1, "price": "100.00"}, "11", "offered"),
        ({"qty": 1, "price": "100.00", "tif": 1}, "11", "offered"),
    ],
)
def test_each_check_has_its_reason_and_text(plain: Exchange, order: dict[str, object], reason: str, word: str) -> None:
    poor = logged_on(plain, "POOR")
    poor.new("x", **({"side": 1} | order))  # type: ignore[arg-type]
    assert word in poor.expect("8", t150="8", t39="8", t103=reason, t11="x", t151="0")[58]
    poor.new("ok", 1, 10, "100.00")
    poor.expect("8", t150="0", t11="ok")


def test_fills_and_cancels_give_back_what_was_reserved(plain: Exchange) -> None:
    poor, bob = logged_on(plain, "POOR"), logged_on(plain, "BOB")
    for n in range(3):
        poor.new(f"c{n}", 1, 10, "100.00")
        poor.expect("8", t150="0")
        poor.cancel(f"x{n}", f"c{n}")
        poor.expect("8", t150="4")
    assert plain.gateway.cash_units("POOR") == 100_000
    bob.new("s", 2, 10, "90.00")
    bob.expect("8", t150="0")
    poor.new("b", 1, 10, "100.00")
    poor.expect("8", t150="0")
    poor.expect("8", t150="F", t31="90.00")
    assert plain.gateway.cash_units("POOR") == 10_000
    assert plain.gateway.position_lots("POOR", 0) == 15


def test_a_missing_price_or_quantity_is_a_business_reject(plain: Exchange) -> None:
    a = logged_on(plain)
    a.send("D", (11, "x"), (55, "SYM"), (54, 1), (60, "20260101-00:00:00"), (38, 1), (40, 2))
    a.expect("j", t380="5", t372="D", t379="x")
    a.send("D", (11, "x"), (55, "SYM"), (54, 1), (60, "20260101-00:00:00"), (44, 1), (40, 2))
    a.expect("j", t380="5")
    a.new("y" * 41, 1, 1, "100.00")
    a.expect("3", t373="5", t371="11")


@pytest.mark.parametrize(
    ("qty", "price"), [(10_001, "100.00"), (20, "100.005"), (20, "300.00"), (10_000, "149.00"), (0, "1")]
)
def test_a_replace_that_is_refused_says_where_the_order_stands(plain: Exchange, qty: int, price: str) -> None:
    """Whether a check of the gateway refuses it or the engine."""
    a, b = logged_on(plain), logged_on(plain, "BOB")
    a.new("o", 1, 10, "100.00")
    order = a.expect("8", t150="0")[37]
    a.replace("r1", "o", qty, price)
    a.expect("9", t37=order, t39="0", t434="2", t11="r1", t41="o")
    b.new("s", 2, 4, "100.00")
    a.expect("8", t150="F")
    a.replace("r2", "o", qty, price)
    a.expect("9", t37=order, t39="1", t434="2")
    b.replace("r3", "o", qty, price)
    assert [b.expect("8")[150] for _ in range(2)] == ["0", "F"]
    b.expect("9", t37="NONE", t39="8", t434="2")
    a.cancel("c", "o")
    a.expect("8", t150="4")
    a.replace("r4", "o", qty, price)
    a.expect("9", t37=order, t39="4", t434="2")
    a.cancel("c2", "o")
    a.expect("9", t37=order, t39="4", t434="1")
    assert plain.gateway.cash_units("ALICE") == 100_000_000 - 4 * 10_000


def test_the_status_of_an_order_that_is_over_has_all_fields(exchange: Exchange) -> None:
    a, b = logged_on(exchange), logged_on(exchange, "BOB")
    a.new("s", 2, 10, "100.01")
    order = a.expect("8", t150="0")[37]
    b.new("b1", 1, 1, "100.02")
    b.new("b2", 1, 2, "100.02")
    for _ in range(2):
        a.expect("8", t150="F")
    a.cancel("c", "s")
    a.expect("8", t150="4")
    a.send("H", (11, "s"), (55, "SYM"), (54, 2))
    told = {"t37": order, "t54": "2", "t38": "10", "t44": "100.01", "t151": "0", "t14": "3", "t6": "100.010000"}
    a.expect("8", t150="I", t39="4", t40="2", t59="0", **told)
    b.send("H", (11, "b2"), (55, "SYM"), (54, 1))
    for kind in "0F0F":
        b.expect("8", t150=kind)
    b.expect("8", t150="I", t39="2", t54="1", t38="2", t14="2", t44="100.02", t6="100.010000")


def test_an_order_sent_again_is_executed_once(plain: Exchange) -> None:
    a = logged_on(plain)
    a.new("once", 1, 10, "100.00")
    a.expect("8", t150="0")
    a.new("once", 1, 10, "100.00", poss_dup=True)
    assert a.silent()
    a.send(
        "D", (97, "Y"), (11, "once"), (55, "SYM"), (54, 1), (60, utc(time.time_ns())), (38, 10), (40, 2), (44, "100.00")
    )
    a.expect("8", t150="I", t39="0", t11="once", t151="10")
    a.new("once", 1, 10, "100.00")
    a.expect("8", t150="8", t103="6")


@pytest.mark.parametrize("flag", [43, 97])
def test_a_finished_order_sent_again_is_answered_with_its_state(plain: Exchange, flag: int) -> None:
    a, b = logged_on(plain), logged_on(plain, "BOB")
    a.new("done", 1, 10, "100.00")
    a.expect("8", t150="0")
    b.new("other", 2, 10, "100.00")
    a.expect("8", t150="F", t39="2")
    before = plain.gateway.cash_units("ALICE"), plain.gateway.position_lots("ALICE", 0)
    again = (
        (11, "done"), (55, "SYM"), (54, 1), (60, utc(time.time_ns())), (38, 10), (40, 2), (44, "100.00"), (59, 0),
    )  # fmt: skip
    if flag == 43:
        a.send("D", *again, poss_dup=True)
    else:
        a.send("D", (97, "Y"), *again)
    a.expect("8", t150="I", t39="2", t11="done", t14="10")
    a.new("next", 1, 1, "50.00")
    a.expect("8", t150="0", t11="next")
    assert plain.gateway.cash_units("ALICE") == before[0] - 5000
    assert plain.gateway.position_lots("ALICE", 0) == before[1]


@pytest.mark.parametrize("flag", [43, 97])
def test_an_order_sent_again_that_never_came_is_executed(plain: Exchange, flag: int) -> None:
    a = logged_on(plain)
    new = ((11, "first"), (55, "SYM"), (54, 1), (60, utc(time.time_ns())), (38, 10), (40, 2), (44, "100.00"), (59, 0))
    if flag == 43:
        a.send("D", *new, poss_dup=True)
    else:
        a.send("D", (97, "Y"), *new)
    a.new("next", 1, 1, "50.00")
    a.expect("8", t150="0", t11="first")
    a.expect("8", t150="0", t11="next")


# Logons


def test_a_token_of_either_algorithm_logs_on(plain: Exchange) -> None:
    keys = plain.gateway.keys
    for n, algorithm in enumerate(("HS256", "EdDSA")):
        logged_on(plain, sender=f"S{n}", token=keys.issue("ALICE", 60, "trader", algorithm))  # type: ignore[arg-type]


def test_tokens_that_are_no_good_are_cut_without_a_word(plain: Exchange, caplog: pytest.LogCaptureFixture) -> None:
    keys = plain.gateway.keys
    good = keys.issue("ALICE", 60)
    now = int(time.time())
    claims = {"sub": "ALICE", "role": "trader", "aud": "matchmark", "iss": "matchmark", "iat": now, "exp": now + 60}
    secret = keys._secret
    bad = {
        "none": "",
        "forged": good[:-4] + ("AAAA" if good[-4:] != "AAAA" else "BBBB"),
        "expired": jwt.encode(claims | {"exp": now - 1}, secret, "HS256"),
        "audience": jwt.encode(claims | {"aud": "elsewhere"}, secret, "HS256"),
        "no expiry": jwt.encode({k: v for k, v in claims.items() if k != "exp"}, secret, "HS256"),
        "another key": jwt.encode(claims, b"k" * 48, "HS256"),
        "unsigned": jwt.encode(claims, None, "none"),
        "stranger": jwt.encode(claims | {"sub": "MALLORY"}, secret, "HS256"),
    }
    for name, token in bad.items():
        c = Client(plain.gateway.address, f"BAD-{name}", token or "x")
        assert c.next() is None, name
    wait_until(lambda: plain.gateway.counters()["logon_refusals"] == len(bad))
    assert not any(token and token in caplog.text for token in [*bad.values(), good])


def test_a_session_name_belongs_to_its_first_account(plain: Exchange) -> None:
    logged_on(plain, "ALICE", sender="DESK").close()
    assert plain.client("BOB", sender="DESK").next() is None


def test_a_second_connection_of_a_live_session_is_refused(plain: Exchange) -> None:
    first = logged_on(plain)
    assert plain.client().next() is None
    first.new("still", 1, 1, "100.00")
    first.expect("8", t150="0")


def test_expiry_ends_the_session(plain: Exchange) -> None:
    c = logged_on(plain, token=plain.token("ALICE", 2))
    assert "expired" in c.expect("5")[58]


# Restart, resend, disconnect


def test_what_happened_while_away_is_resent_once(exchange: Exchange) -> None:
    a, b = logged_on(exchange), logged_on(exchange, "BOB")
    a.new("b1", 1, 100, "100.00")
    a.expect("8", t150="0")
    a.close()
    wait_until(lambda: exchange.gateway.counters()["accepted"] == 2)
    time.sleep(0.1)
    b.new("s1", 2, 100, "100.00")
    b.expect("8", t150="0")
    b.expect("8", t150="F")
    a = exchange.client("ALICE", seq=a.seq)
    assert a.expect("A")[34] == "4"
    a.send("2", (7, 3), (16, 0))
    a.expect("8", t34="3", t43="Y", t150="F", t11="b1", t32="100", t6="100.000000")
    a.expect("4", t34="4", t123="Y", t36="5")
    assert a.silent()


def test_a_gateway_that_restarts_knows_balances_orders_and_what_was_sent(exchange: Exchange) -> None:
    a, b = logged_on(exchange), logged_on(exchange, "BOB")
    a.new("b1", 1, 100, "100.00")
    sent = [a.expect("8", t150="0")]
    b.new("s1", 2, 30, "100.00")
    sent.append(a.expect("8", t150="F"))
    poor = logged_on(exchange, "POOR")
    poor.new("p", 1, 10, "50.00")
    poor.expect("8", t150="0")
    before = {name: exchange.gateway.cash_units(name) for name in ("ALICE", "BOB", "POOR")}
    exchange.restart_gateway()
    assert {name: exchange.gateway.cash_units(name) for name in before} == before
    a = exchange.client("ALICE", seq=a.seq)
    a.expect("A", t34="5")
    a.send("2", (7, 2), (16, 3))
    drop = (8, 9, 10, 52, 43, 122)
    again = [a.expect("8", t43="Y"), a.expect("8", t43="Y")]
    assert [{k: v for k, v in m.items() if k not in drop} for m in again] == [
        {k: v for k, v in m.items() if k not in drop} for m in sent
    ]
    a.cancel("x", "b1")
    a.expect("8", t150="4", t14="30")
    assert exchange.gateway.cash_units("ALICE") == 100_000_000 - 30 * 10_000


def test_cancel_on_disconnect_cancels(plain: Exchange) -> None:
    a, b = logged_on(plain, fields=[(8013, "Y")]), logged_on(plain, "BOB")
    a.new("gone", 1, 10, "100.00")
    a.expect("8", t150="0")
    a.close()
    wait_until(lambda: plain.gateway.cash_units("ALICE") == 100_000_000)
    b.new("s", 2, 10, "100.00")
    b.expect("8", t150="0")
    assert b.silent()


def test_cancel_on_disconnect_is_of_the_session_and_not_of_the_account(plain: Exchange) -> None:
    a, other = logged_on(plain, fields=[(8013, "Y")]), logged_on(plain, sender="ALICE-2")
    other.new("stays", 1, 10, "100.00")
    other.expect("8", t150="0")
    for n in range(5):
        a.new(f"g{n}", 1, 10, "99.00")
        a.expect("8", t150="0")
    a.new("filled", 1, 10, "100.01")
    a.expect("8", t150="0")
    b = logged_on(plain, "BOB")
    b.new("s0", 2, 10, "100.01")
    b.expect("8", t150="0")
    b.expect("8", t150="F")
    a.close()
    wait_until(lambda: plain.gateway.cash_units("ALICE") == 100_000_000 - 10 * 10_000 - 10 * 10_001)
    assert other.silent()
    b.new("s1", 2, 20, "99.00")
    b.expect("8", t150="0")
    b.expect("8", t150="F", t32="10", t31="100.00")
    assert b.silent()


# Strangers and slow readers


def test_garbage_and_silence_do_not_disturb_the_others(tmp_path: Path) -> None:
    x = Exchange(tmp_path, max_connections=16, logon_wait_s=0.5)
    try:
        a = logged_on(x)
        strangers = [socket.create_connection(x.gateway.address, timeout=5) for _ in range(60)]
        for n, s in enumerate(strangers):
            with contextlib.suppress(OSError):  # evicted already
                s.sendall([b"\x00" * 4096, b"GET / HTTP/1.1\r\n\r\n", b"8=FIX.4.4\x019=5", b""][n % 4])
        for n in range(20):
            a.new(f"o{n}", 1, 1, "100.00")
            a.expect("8", t150="0", t11=f"o{n}")
        time.sleep(0.8)
        b = logged_on(x, "BOB")
        b.new("s", 2, 1, "100.00")
        b.expect("8", t150="0")
        for s in strangers:
            s.close()
    finally:
        x.close()


def test_a_client_that_never_reads_is_cut_and_loses_nothing(tmp_path: Path) -> None:
    x = Exchange(tmp_path, output_bytes=16384)
    try:
        a = Client(x.gateway.address, "ALICE-1", x.token("ALICE"), logon=False)
        a.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        a.send("A", (98, 0), (108, 30), (554, a.token))
        a.expect("A")
        a.socket.settimeout(2)
        with contextlib.suppress(OSError):
            for n in range(20_000):
                a.send("H", (11, f"q{n}"), (55, "SYM"), (54, 1))
        wait_until(lambda: x.gateway.counters()["cut"] == 1, 10)
        b = logged_on(x, "BOB")
        b.new("fine", 1, 1, "100.00")
        b.expect("8", t150="0")
    finally:
        x.close()


def test_many_sessions_at_once(tmp_path: Path) -> None:
    x = Exchange(tmp_path, max_connections=320, max_sessions=320)
    try:
        token = x.token("ALICE")
        clients = [Client(x.gateway.address, f"C{n}", token) for n in range(300)]
        for c in clients:
            c.expect("A")
        for n, c in enumerate(clients):
            c.new(f"m{n}", 1, 1, "60.00")
        for n, c in enumerate(clients):
            c.expect("8", t150="0", t11=f"m{n}")
    finally:
        x.close()


def test_stopping_logs_everyone_out(tmp_path: Path) -> None:
    x = Exchange(tmp_path)
    a = logged_on(x)
    stopper = threading.Thread(target=x.gateway.stop)
    stopper.start()
    a.expect("5")
    a.send("5")
    assert a.closed()
    stopper.join(5)
    assert not stopper.is_alive()
    x.close()


def test_decimal_cash_of_an_account_is_exact(plain: Exchange) -> None:
    assert plain.gateway.cash_units("POOR") == int(Decimal(1000) * 100)


class SlowDisk(Exchange):
    """Its audit writer writes while `writing` is set."""

    def __init__(self, root: Path) -> None:
        self.writing = threading.Event()
        self.writing.set()
        super().__init__(root)

    def _run(self, role: Any) -> None:
        while role.run(wait=Wait.SLEEP) == 0:
            if role is self.writer:
                self.writing.wait()

    def behind(self) -> None:
        """Something is acknowledged that is not in the log yet."""
        a = logged_on(self)
        self.writing.clear()
        time.sleep(0.2)
        a.new("b1", 1, 5, "100.50")
        a.expect("8", t150="0")
        assert self.pipeline.durable_sequence < self.pipeline.status().sequence


@pytest.fixture
def slow_disk(tmp_path: Path) -> Iterator[SlowDisk]:
    made = SlowDisk(tmp_path)
    yield made
    made.writing.set()
    made.close()


def test_a_gateway_that_starts_waits_for_a_slow_disk(slow_disk: SlowDisk) -> None:
    slow_disk.behind()
    threading.Timer(6.0, slow_disk.writing.set).start()
    slow_disk.restart_gateway()
    assert slow_disk.pipeline.durable_sequence == slow_disk.pipeline.status().sequence


@pytest.mark.parametrize("why", ["the disk burns", "another member is primary"])
def test_a_gateway_does_not_wait_for_a_log_that_will_not_grow(slow_disk: SlowDisk, why: str) -> None:
    slow_disk.behind()
    slow_disk.gateway.close()
    if "disk" in why:
        slow_disk.pipeline.fail(why)
    else:
        slow_disk.pipeline.fence(2)
    began = time.monotonic()
    with pytest.raises(PipelineError, match=f"the audit log ends at record .*{why}"):
        slow_disk._gateway()
    assert time.monotonic() - began < 4
