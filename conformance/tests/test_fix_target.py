"""FixTarget against engines that are wrong on the wire in one way each: found, and held against the right clause; and against
engines that hang, die, talk nonsense or refuse the logon."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from matchmark.conformance.control import ControlFailed, positive_control
from matchmark.conformance.driver import Driver
from matchmark.conformance.messages import Accepted, Cancelled, CancelRejected, Rejected, Replaced, Trade
from matchmark.conformance.strategies import judge
from matchmark.conformance.suites._support import sweep
from matchmark.conformance.targets.base import TargetDied, TargetHung, TargetUnavailable
from matchmark.conformance.targets.fix import FixTarget
from matchmark.conformance.targets.profile import load
from matchmark.conformance.verdict import ClauseViolation, violations_in

from .fix_server import CAPABILITIES, Report, Server, Twist

PROFILE = """[target]
name = "small"
version = "1"
adapter = "fix"
capabilities = {capabilities}
[order_entry]
host = "127.0.0.1"
port = {port}
target_comp_id = "VENUE"
accounts = ["ACC1", "ACC2", "ACC3", "ACC4", "ACC5"]
price_decimals = 2
[instruments]
pattern = "X{{n}}"
count = {symbols}
isolation = "{isolation}"
[timing]
answer_timeout_s = {timeout}
"""


@contextmanager
def driven(
    folder: Path,
    server: Server,
    *,
    timeout: float = 20.0,
    symbols: int = 400,
    isolation: str = "symbol",
    capabilities: tuple[str, ...] = CAPABILITIES,
) -> Iterator[Driver]:
    path = folder / "target.toml"
    listed = str(list(capabilities)).replace("'", '"')
    path.write_text(
        PROFILE.format(capabilities=listed, port=server.port, timeout=timeout, symbols=symbols, isolation=isolation)
    )
    target = FixTarget(load(path, environ={}))
    try:
        yield Driver(target)
    finally:
        target.close()
        server.close()


def example(d: Driver) -> None:
    """Two sellers, a buyer who meets both and rests, a cancel, a replace, a look into the book; all of it judged."""
    d.reset()
    d.sell(10, 500, acct="A1")
    d.sell(7, 500, acct="A3")
    d.sell(5, 501, acct="A1")
    taker = d.buy(20, 501, acct="A2")
    other = d.buy(4, 490, acct="A2")
    d.cancel(other.cl, acct="A2")
    moved = d.sell(9, 600, acct="A3")
    d.replace(moved.cl, qty=4, acct="A3")
    d.buy(3, 400, acct="A1", tif="ioc")
    d.status(taker.cl, acct="A2")
    sweep(d, "sell")
    sweep(d, "buy")
    d.settle()
    judge(d)


def test_a_sound_engine_passes_control_and_example_and_its_events_are_the_models(tmp_path):
    with driven(tmp_path, Server()) as d:
        positive_control(d)
        for _ in range(3):
            example(d)
        d.reset()
        sell = d.sell(10, 500)
        buy = d.buy(25, 501, acct="A2")
        assert buy.events == [Accepted(buy.cl), Trade("S0", 500, 10, sell.cl, buy.cl)]
        assert d.cancel(buy.cl, acct="A2").events == [Cancelled(buy.cl, 15, 10)]
        assert d.history.exchanges[1].wire
        assert all("35=H" not in line.fix for x in d.history for line in x.wire), "fences are not in the log"


def test_with_few_symbols_examples_are_kept_apart_by_cancels(tmp_path):
    with driven(tmp_path, Server(), symbols=3, isolation="mass_cancel") as d:
        positive_control(d)
        for _ in range(3):
            example(d)
            d.reset()
            d.buy(10, 500)
            d.reset()
            assert d.sell(10, 500, acct="A2").events == [Accepted("c1")]


def test_without_status_and_mass_cancel_the_fence_is_a_cancel(tmp_path):
    has = tuple(c for c in CAPABILITIES if c not in ("order_status", "mass_cancel"))
    with driven(tmp_path, Server(), symbols=3, isolation="mass_cancel", capabilities=has) as d:
        positive_control(d)
        order = d.buy(10, 500)
        assert d.replace(order.cl, px=501).events == [Replaced("c2", order.cl, 501, 10, 0)]
        d.reset()
        assert d.sell(10, 500, acct="A2").events == [Accepted("c1")]


def test_a_taken_cl_ord_id_is_refused_also_for_another_account(tmp_path):
    with driven(tmp_path, Server()) as d:
        d.reset()
        first = d.buy(10, 500)
        assert d.sell(5, 600, acct="A2", cl=first.cl).events == [Rejected(first.cl)]


def test_a_cl_ord_id_that_was_refused_belongs_to_nobody(tmp_path):
    with driven(tmp_path, Server()) as d:
        d.reset()
        refused = d.buy(0, 500, acct="A2")
        assert refused.events == [Rejected(refused.cl)]
        assert d.buy(10, 500, acct="A1", cl=refused.cl).events == [Accepted(refused.cl)]
        assert d.cancel(refused.cl, acct="A2").events == [CancelRejected("c2")]
        assert d.cancel(refused.cl, acct="A1").events == [Cancelled(refused.cl, 10, 0)]


# --- wrong in one way ---


def nth_fill(n: int, change: Callable[[Report], list[Report]]) -> Twist:
    """Does something to the n-th report of a fill in one command of several."""

    def twist(reports: list[Report]) -> list[Report]:
        fills = [r for r in reports if r.is_fill]
        out: list[Report] = []
        for r in reports:
            out += change(r) if len(fills) > n and r is fills[n] else [r]
        return out

    return twist


def to_another(r: Report) -> list[Report]:
    return [Report("ACC1" if r.account != "ACC1" else "ACC2", r.kind, r.fields, r.changes)]


def changed(tag: int, value: str) -> Callable[[Report], list[Report]]:
    return lambda r: [Report(r.account, r.kind, r.fields, {**r.changes, tag: value})]


def on_kind(kind: str, change: Callable[[Report], list[Report]]) -> Twist:
    return lambda reports: [out for r in reports for out in (change(r) if r.get(150) == kind else [r])]


def swapped_ack(reports: list[Report]) -> list[Report]:
    acked = reports and reports[0].get(150) == "0" and len(reports) > 1
    return [reports[1], reports[0], *reports[2:]] if acked else reports


def reordered_fills(reports: list[Report]) -> list[Report]:
    """The resting side of ACC1 hears of its two executions in the wrong order, each number right by itself."""
    mine = [r for r in reports if r.is_fill and r.account == "ACC1"]
    if len(mine) != 2:
        return reports
    a, b = mine
    return [b if r is a else a if r is b else r for r in reports]


# 0 incoming and 1 resting of the first execution, 2 and 3 of the second, 4 and 5 of the third
BROKEN: dict[str, tuple[Twist, set[str]]] = {
    "resting side not told": (nth_fill(1, lambda r: []), {"D02.8"}),
    "the last resting side not told": (nth_fill(5, lambda r: []), {"D02.8"}),
    "incoming side not told of the first": (nth_fill(0, lambda r: []), {"D02.X4"}),
    "incoming side not told of the last": (nth_fill(4, lambda r: []), {"D02.8"}),
    "resting side told twice": (nth_fill(1, lambda r: [r, r]), {"D02.X4"}),
    "incoming side told twice": (nth_fill(2, lambda r: [r, r]), {"D02.X4"}),
    "told twice under another id": (nth_fill(3, lambda r: [r, *changed(17, "999999")(r)]), {"D02.X4"}),
    "told to another": (nth_fill(3, to_another), {"D01.X32"}),
    "the price differs between the sides": (nth_fill(3, changed(31, "5.01")), {"D02.X20"}),
    "cum is wrong": (nth_fill(3, changed(14, "99")), {"D02.X21"}),
    "leaves is wrong": (nth_fill(2, changed(151, "11")), {"D02.X21"}),
    "the quantity is wrong": (nth_fill(2, changed(32, "6")), {"D02.X21"}),
    "the status is wrong": (nth_fill(2, changed(39, "2")), {"D02.X21"}),
    "the side is wrong": (nth_fill(1, changed(54, "1")), {"D01.1"}),
    "the symbol is wrong": (nth_fill(1, changed(55, "X399")), {"D01.1"}),
    "another order id": (nth_fill(1, changed(37, "77777")), {"D03.N3"}),
    "no whole ticks": (nth_fill(1, changed(31, "5.001")), {"D02.X21"}),
    "a quantity that was not sent": (on_kind("0", changed(38, "1000")), {"D01.1"}),
    "acknowledgement behind the fill": (swapped_ack, {"D01.8"}),
    "executions in another order": (reordered_fills, {"D02.X4", "D02.X21", "D03.8"}),
    "no acknowledgement": (on_kind("0", lambda r: []), {"D01.X8"}),
    "acknowledged to another": (on_kind("0", to_another), {"D01.X32"}),
    "acknowledged twice": (on_kind("0", lambda r: [r, r]), {"D01.8"}),
    "cancel confirmed twice": (on_kind("4", lambda r: [r, r]), {"D04.8", "D01.X8", "D08.5", "D04.X5", "D08.X5"}),
    "cancelled remainder not over": (on_kind("4", changed(151, "3")), {"D08.X20", "D02.X21"}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_on_the_wire_is_found_and_charged(tmp_path, name):
    twist, clauses = BROKEN[name]
    with driven(tmp_path, Server(twist), timeout=0.5) as d, pytest.raises(ClauseViolation) as caught:
        example(d)
    found = {v.finding.clause for v in violations_in(caught.value)}
    assert found & clauses, caught.value
    assert any("35=8" in line.fix for x in caught.value.history for line in x.wire), "the evidence has the messages"


def after(n: int, account: str, change: Callable[[bytes], bytes]) -> Callable[[str, bytes], bytes]:
    """Changes the bytes of the n-th message to an account."""
    sent = 0

    def raw(to: str, data: bytes) -> bytes:
        nonlocal sent
        sent += to == account
        return change(data) if to == account and sent == n else data

    return raw


GARBLED: dict[str, Callable[[bytes], bytes]] = {
    "checksum": lambda data: data[:-4] + b"%03d\x01" % ((int(data[-4:-1]) + 1) % 256),
    "body length": lambda data: data.replace(b"\x019=", b"\x019=1", 1),
    "left out": lambda data: b"",
    "number again": lambda data: data + data,
    "garbage between": lambda data: b"garbage\x0110=000\x01" + data,
}


@pytest.mark.parametrize("name", GARBLED)
def test_numbers_and_framing_are_the_sessions_clause(tmp_path, name):
    server = Server()
    server.raw = after(4, "ACC1", GARBLED[name])
    with driven(tmp_path, server, timeout=1.0) as d, pytest.raises(ClauseViolation) as caught:
        example(d)
    assert caught.value.finding.clause in ("D01.X24", "D02.X4"), caught.value


def test_an_engine_that_hangs_is_told_from_one_that_hangs_up(tmp_path):
    silent: list[bool] = []
    with driven(tmp_path, Server(lambda reports: [] if silent else reports), timeout=0.5) as d:
        d.reset()
        d.buy(10, 500)
        silent.append(True)
        with pytest.raises(TargetHung, match="answer_timeout_s"):
            d.buy(10, 500)


def test_an_engine_that_dies_is_dead(tmp_path):
    server = Server()
    with driven(tmp_path, server) as d:
        d.reset()
        d.buy(10, 500)
        server.close()
        with pytest.raises(TargetDied, match="cut"):
            d.buy(10, 500)


def test_a_refused_logon_blocks_and_says_what_the_engine_said(tmp_path):
    with driven(tmp_path, Server(logon=lambda sender: False)) as d, pytest.raises(TargetUnavailable) as caught:
        positive_control(d)
    assert "ACC1-0" in str(caught.value)
    assert "no such trader" in str(caught.value)


def test_a_port_where_nobody_listens_blocks(tmp_path):
    server = Server()
    server.close()
    with driven(tmp_path, server) as d, pytest.raises(TargetUnavailable, match="cannot log on"):
        positive_control(d)


def test_a_capability_that_is_not_there_stops_the_control(tmp_path):
    def no_market(reports: list[Report]) -> list[Report]:
        return [r for r in reports if r.get(150) != "F"] if any(r.get(40) == "1" for r in reports) else reports

    server = Server(no_market)
    server._command = _market_is_rejected(server)  # type: ignore[method-assign]
    with driven(tmp_path, server) as d, pytest.raises(ControlFailed, match="declares market"):
        positive_control(d)


def _market_is_rejected(server: Server):
    inner = server._command

    def command(account, m):
        c = inner(account, m)
        return type(c)(c.cl, c.acct, "NONE", c.side, c.type, c.qty) if getattr(c, "type", "") == "market" else c

    return command
