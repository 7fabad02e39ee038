"""The circuit breaker in a running exchange: warning, halt, review, resume; who is told, who may, and what a restart keeps."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from matchmark.conformance.cli import main
from matchmark.conformance.commands.operator import post
from matchmark.reference.tokens import Keys
from matchmark.reference.verify import verify

from .serving import SMALL, Serve, Trader

Make = Callable[..., Serve]

WATCHED = (
    SMALL
    + """
[breaker]
symbols = ["SYM{n}"]
interval_s = 0.1
rate_per_s = 5
over_rate = "OVER"
[[symbols]]
pattern = "SYM{n}"
count = 4
tick = "0.01"
"""
)
HALT, RESUME, READY, FAST = "2", "3", "17", "23"


class Floor:
    """A maker, a taker, an operator, and a clock that can be moved."""

    def __init__(self, x: Serve, over: str = "reject") -> None:
        self.x = x
        x.config.write_text(WATCHED.replace("OVER", over))
        self.clock = x.data.parent / "clock"
        self.start()
        self.maker, self.taker = x.client("ACC1"), x.client("ACC2")
        self.n = 0

    def start(self) -> None:
        self.x.start("--clock", str(self.clock))
        self.operator = Keys(self.x.data / "keys").issue("OPS", 600, "operator")

    def trade(self, price: str, quantity: int, symbol: str = "SYM1") -> None:
        self.n += 1
        buy, sell = f"b{self.n}", f"s{self.n}"
        self.maker.new(buy, 1, quantity, price, symbol=symbol)
        expect(self.maker, 150, "0")
        self.taker.new(sell, 2, quantity, price, symbol=symbol)
        expect(self.taker, 150, "0")
        expect(self.taker, 150, "F")
        expect(self.maker, 150, "F")

    def advance(self, seconds: float, jump: float = 0) -> None:
        words = [sys.executable, "-m", "matchmark.reference.clock", str(self.clock)]
        subprocess.run([*words, "--advance", str(seconds), "--jump", str(jump)], check=True)

    def say(
        self, command: str, symbol: str = "SYM1", token: str | None = None, **body: str
    ) -> tuple[int, dict[str, Any]]:
        url = f"{self.x.ready['admin']}/operator/{command}"
        return post(url, self.operator if token is None else token, {"symbol": symbol, **body})

    def state(self, symbol: str = "SYM1") -> str:
        return str(self.say("status", symbol)[1]["symbols"][symbol]["state"])


def expect(client: Trader, tag: int, value: str) -> dict[int, str]:
    """The next report, or (tag 326) the next that is told of a symbol's state; the others of these two sorts are passed over."""
    got: dict[int, str] = client.next()
    while (got[35] == "f") != (tag == 326):
        got = client.next()
    assert got.get(tag) == value, got
    return got


@pytest.fixture
def floor(serving: Make) -> Floor:
    return Floor(serving())


def crash(f: Floor, to: str = "88.00") -> None:
    f.trade("100.45", 100_000)
    f.trade(to, 1)


def test_a_crash_is_halted_reviewed_and_resumed(floor: Floor) -> None:
    f = floor
    f.maker.new("rests", 1, 10, "80.00")
    expect(f.maker, 150, "0")
    crash(f)
    for client in (f.maker, f.taker):
        told = expect(client, 326, HALT)
        assert told[35] == "f" and told[55] == "SYM1" and "12.39%" in told[58] and told[31] == "88.00", told
    f.taker.new("late", 2, 1, "80.00")
    refused = expect(f.taker, 150, "8")
    assert (refused[103], refused[58]) == ("2", "Trading Halted")
    f.taker.new("other", 1, 1, "80.00", symbol="SYM2")
    expect(f.taker, 150, "0")
    code, said = f.say("status")
    seen = said["symbols"]["SYM1"]
    assert code == 200 and seen["state"] == "halted" and seen["halted_on"]["trades_in_average"] == 2
    assert [(t["price"], t["lots"]) for t in seen["trades"]] == [("100.45", 100_000), ("88.00", 1)]
    time.sleep(0.5)
    assert f.state() == "halted", "nothing resumes by itself"
    newcomer = f.x.client("ACC3")
    expect(newcomer, 326, HALT)
    assert f.say("resume", reason="reviewed")[0] == 200
    for client in (f.maker, f.taker, newcomer):
        told = expect(client, 326, RESUME)
        assert "reviewed" in told[58] and "OPS" in told[58]
    f.taker.new("now", 2, 1, "80.00")
    expect(f.taker, 150, "0")
    expect(f.taker, 150, "F")
    assert expect(f.maker, 150, "F")[11] == "rests"
    assert f.x.stop() == 0
    assert verify(f.x.data / "log").findings == []


def test_a_warning_limits_the_rate_and_ends_by_the_rule(floor: Floor) -> None:
    f = floor
    crash(f, "95.00")
    for client in (f.maker, f.taker):
        expect(client, 326, FAST)
    for n in range(20):
        f.taker.new(f"r{n}", 1, 1, "50.00")
    got = [f.taker.next() for _ in range(20)]
    assert sum(m[150] == "0" for m in got) in (5, 6), got
    assert {m[58] for m in got if m[150] == "8"} == {"rate limit: too many orders a second in a warned symbol"}
    f.advance(121)
    for client in (f.maker, f.taker):
        expect(client, 326, READY)
    for n in range(20):
        f.taker.new(f"q{n}", 1, 1, "50.00")
    assert {f.taker.next()[150] for _ in range(20)} == {"0"}


def test_deferred_orders_are_decided_in_order_and_settled_by_a_halt(serving: Make) -> None:
    f = Floor(serving(), "defer")
    crash(f, "95.00")
    for client in (f.maker, f.taker):
        expect(client, 326, FAST)
    f.maker.new("bid", 1, 100, "94.00")
    expect(f.maker, 150, "0")
    for n in range(12):
        f.taker.new(f"d{n}", 2, 1, "94.00")
    got = [f.taker.next() for _ in range(24)]
    assert [m[11] for m in got if m[150] == "F"] == [f"d{n}" for n in range(12)]
    deferred = [m[11] for m in got if m[150] == "0" and "deferred" in m.get(58, "")]
    assert 4 <= len(deferred) <= 8, got
    for n in range(8):
        f.taker.new(f"e{n}", 2, 1, "94.00" if n % 2 else "99.00")
    f.say("halt")
    outcome: dict[str, str] = {}
    while len([o for o in outcome.values() if o != "0"]) < 3 or "f" not in outcome.values():
        m = f.taker.next()
        outcome[m.get(11, "status")] = m[150] if m[35] == "8" else m[35]
    assert f.x.stop() == 0
    assert verify(f.x.data / "log").findings == []


def test_a_market_order_to_buy_does_not_wait_to_trade_above_its_reserve(serving: Make) -> None:
    f = Floor(serving(), "defer")
    crash(f, "95.00")
    for client in (f.maker, f.taker):
        expect(client, 326, FAST)
    for n in range(12):
        f.taker.new(f"m{n}", 1 if n % 2 else 2, 1, None)
    got: list[dict[int, str]] = []
    while sum(m[150] in "48" for m in got) < 12:  # what is not refused is cancelled for want of a book
        got.append(f.taker.next())
    refused = [m for m in got if m[150] == "8"]
    assert len(refused) >= 3 and all(m[54] == "1" for m in refused), got
    assert {m[58] for m in refused} == {
        "rate limit: a market order to buy does not wait, for nobody can say what it would cost"
    }
    deferred = [m for m in got if "deferred" in m.get(58, "")]
    assert deferred and all(m[54] == "2" for m in deferred), got
    assert f.x.stop() == 0
    assert verify(f.x.data / "log").findings == []


def test_a_halt_outlives_kill_9_restart_and_a_lost_memory(floor: Floor) -> None:
    f = floor
    crash(f)
    crash_2 = "95.00"
    f.trade("100.45", 100_000, "SYM2")
    f.trade(crash_2, 1, "SYM2")
    deadline = time.monotonic() + 10
    while (f.state(), f.state("SYM2")) != ("halted", "warned"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    for role in ("breaker", "engine", "gateway"):
        f.x.kill_role(role)
        f.x.wait_for(lambda s: s["pids"]["breaker"] > 0)
        time.sleep(0.3)
        assert (f.state(), f.state("SYM2")) == ("halted", "warned"), role
    f.x.kill()
    f.start()
    assert (f.state(), f.state("SYM2")) == ("halted", "warned")
    assert f.x.stop() == 0
    f.start()
    time.sleep(0.3)
    assert (f.state(), f.state("SYM2")) == ("halted", "warned")
    seen = f.say("status")[1]["symbols"]["SYM1"]
    assert len(seen["trades"]) == 2, "the review outlives a restart"
    f.advance(121)
    f.x.wait_for(lambda s: f.state("SYM2") == "open")
    assert f.state() == "halted"


def test_clock_jumps_trigger_and_end_nothing(floor: Floor) -> None:
    f = floor
    crash(f, "95.00")
    expect(f.maker, 326, FAST)
    for jump in (-3600, 7200):
        f.advance(0, jump)
        time.sleep(0.4)
        assert f.state() == "warned"


def test_who_may_and_what_is_refused(floor: Floor) -> None:
    f = floor
    trader = Keys(f.x.data / "keys").issue("ACC1", 600)
    forged = Keys(f.x.data.parent / "other").issue("OPS", 600, "operator")
    for token in (trader, forged, "", "nonsense"):
        for command in ("halt", "resume", "status"):
            code, said = f.say(command, token=token)
            assert (code, said["error"].split(":")[0]) == (403, "refused"), (token[:8], command)
    assert f.state() == "open"
    assert f.say("resume")[0] == 409
    assert f.say("resume", "NOPE")[0] == 404
    assert f.say("frobnicate")[0] == 404
    assert f.say("halt", reason="by hand")[0] == 200
    assert f.say("halt")[0] == 409
    assert f.say("resume")[0] == 200
    assert f.x.stop() == 0
    log = b"".join(p.read_bytes() for p in sorted((f.x.data / "log").glob("audit-*.log")))
    assert log.count(b"not an operator's token") == 6 and b"by hand" in log
    assert verify(f.x.data / "log").findings == []


def test_the_command_line_says_what_was_refused(floor: Floor, capfd: pytest.CaptureFixture[str]) -> None:

    words = ["--admin", floor.x.ready["admin"], "--token", floor.operator]
    assert main(["operator", "halt", "--symbol", "SYM1", *words]) == 0
    assert main(["operator", "resume", "--symbol", "SYM2", *words]) == 1
    assert "SYM2 is not halted" in capfd.readouterr().err
    assert main(["operator", "resume", *words]) == 2
    assert main(["operator", "status", "--admin", "http://127.0.0.1:1", "--token", "x"]) == 3
    assert Path(floor.x.ready["audit_dir"]).is_dir()
