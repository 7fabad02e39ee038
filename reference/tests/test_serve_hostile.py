"""What strangers and bad clients do to `matchmark serve`, all at once; those who behave lose nothing and wait for nobody."""

from __future__ import annotations

import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from .crowd import Crowd, Member, all_of
from .serving import SMALL, Serve, Trader

Make = Callable[..., Serve]

PLACES = 400
CONFIG = (
    SMALL.replace("max_connections = 64", f"max_connections = {PLACES}") + "output_bytes = 65536\nlogon_wait_s = 2.0\n"
)


@pytest.fixture(autouse=True)
def descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def trades_on(client: Trader, n: int, name: str) -> None:
    """Orders one at a time: each is accepted, in order, and the session stays."""
    for k in range(n):
        client.new(f"{name}{k}", 1 + k % 2, 1, "100.00")
        while True:
            report = client.next()
            if report[11] == f"{name}{k}":
                assert report[150] == "0"
                break
            assert report[150] == "F"


def test_thousands_half_open_take_no_place_from_those_logged_on(serving: Make) -> None:
    x = serving(CONFIG)
    x.start()
    good = x.client()
    crowd = Crowd(x.ready["fix"]["port"])
    try:
        for n in range(5 * PLACES):
            crowd.join(Member(f"S{n}", ""), [b"", b"8=FIX.4.4\x019=", b"\x00" * 100][n % 3])
            if n % PLACES == 0:
                crowd.drive(lambda: False, 0.05)
                trades_on(good, 20, f"g{n}-")
        x.wait_for(lambda s: s["counters"]["evicted"] > 3 * PLACES)
        trades_on(good, 20, "end")
        late = x.client("ACC2")
        trades_on(late, 20, "late")
    finally:
        crowd.close()
    assert not good.cut and x.status()["restarts"]["gateway"] == 0
    assert x.stop() == 0


def test_a_flood_of_logons_is_refused_one_by_one_and_the_entitled_get_in(serving: Make) -> None:
    x = serving(CONFIG)
    x.start()
    good, crowd = x.client(), Crowd(x.ready["fix"]["port"])
    bad = [x.token("NOBODY"), x.token("ACC2")[:-4] + "AAAA", "", "a.b.c", "x" * 1500]
    try:
        for n in range(300):
            member = Member(f"F{n}", bad[n % len(bad)])
            crowd.join(member, member.logon())
        twins = [Member("ACC1-1", x.token("ACC1")) for _ in range(20)]  # the session is on already
        thieves = [Member("ACC1-1", x.token("ACC2")) for _ in range(20)]  # it is another account's
        for member in (*twins, *thieves):
            crowd.join(member, member.logon())
        trades_on(good, 50, "g")
        assert crowd.drive(all_of(crowd.members, lambda m: m.cut)), "a refused logon was not cut"
        assert not any(m.logged_on or m.said for m in crowd.members)
        trades_on(x.client("ACC3"), 10, "in")
        trades_on(good, 10, "still")
    finally:
        crowd.close()
    told = x.wait_for(lambda s: s["counters"]["logon_refusals"] >= 340 and s["counters"]["logons"] >= 2)
    assert told["counters"]["logons"] == 2
    said = x.stderr()
    assert not any(token in said for token in (x.token("NOBODY")[:40], "x" * 100)), "a credential is in the log"
    assert x.stop() == 0


def test_a_logon_that_drips_in_is_cut_and_an_order_that_drips_in_is_taken(serving: Make) -> None:
    x = serving(CONFIG)
    x.start()
    good, crowd = x.client(), Crowd(x.ready["fix"]["port"])
    try:
        slow = [crowd.join(Member(f"D{n}", x.token("ACC2"))) for n in range(30)]
        logons = {m.sender: m.logon() for m in slow}
        began = time.monotonic()
        for at in range(20):
            for m in slow:
                if not m.cut:
                    crowd.send(m, logons[m.sender][at : at + 1])
            crowd.drive(lambda: False, 0.02)
        trades_on(good, 20, "g")
        assert crowd.drive(all_of(slow, lambda m: m.cut), 20) and time.monotonic() - began > 1.5
        dripping = x.client("ACC2")
        order = dripping._message("D", ((11, "d"), (55, "SYM1"), (54, 1), (60, "20260101-00:00:00"), (38, 1), (40, 2),
                                        (44, "90.00")), dripping.next_out)  # fmt: skip
        assert dripping.socket
        for at in range(len(order)):
            dripping.socket.sendall(order[at : at + 1])
        assert dripping.next()[11] == "d"
    finally:
        crowd.close()
    assert x.stop() == 0


def test_clients_that_never_read_are_cut_and_find_every_report_when_they_come_back(serving: Make) -> None:
    """Another client's orders make its reports: what the deaf one sends itself may wait in its kernel, which drops the
    acknowledgements that come once its receive window is full."""
    x = serving(CONFIG)
    x.start()
    good, deaf = x.client(), x.client("ACC2")
    deaf.connect(x.ready["fix"]["port"], receive_bytes=1 << 16)
    deaf.new("rest", 1, 40_000, "100.00")
    assert deaf.next()[11] == "rest"
    traded = 0
    while traded < 40_000 and x.status()["counters"]["cut"] == 0:
        for _ in range(400):
            traded += 1
            good.new(f"g{traded}", 2, 1, "100.00", tif=3)
        assert good.read_until(lambda n=2 * traded: len(good.reports) == n), f"{len(good.reports)} of {2 * traded}"
    assert x.status()["counters"]["cut"] == 1, f"not cut after {traded} trades"
    good._looked = len(good.reports)
    trades_on(good, 50, "still")
    deaf.connect(x.ready["fix"]["port"])
    assert deaf.read_until(lambda: len(deaf.reports) >= 1 + traded, 60), len(deaf.reports)
    first, *trades = deaf.reports[: 1 + traded]
    assert first[150] == "0" and all(m[150] == "F" and m[11] == "rest" for m in trades)
    assert [int(m[14]) for m in trades] == list(range(1, traded + 1)), "a trade is missing, twice, or out of order"
    execs = [int(m[17]) for m in deaf.reports]
    assert execs == sorted(set(execs)), "a report came twice, or out of order"
    assert x.stop() == 0


# --- how long the others wait, in `make soak` ---

ATTACK = """
import socket, sys, time
port, seconds = int(sys.argv[1]), float(sys.argv[2])
until, held = time.monotonic() + seconds, []
while time.monotonic() < until:
    for _ in range(20):
        s = socket.socket(); s.setblocking(False)
        try: s.connect(("127.0.0.1", port))
        except BlockingIOError: pass
        held.append(s)
    for s in held[-40:]:
        try: s.send(b"8=FIX.4.4\\x019=100\\x0135=A\\x01")
        except OSError: pass
    while len(held) > 1500: held.pop(0).close()
    time.sleep(0.02)
"""
IDLE = "import sys, time; time.sleep(float(sys.argv[2]))"


def round_trips_us(client: Trader, n: int, name: str) -> list[float]:
    assert client.socket
    out = []
    for k in range(n):
        order = client._message("D", ((11, f"{name}{k}"), (55, "SYM1"), (54, 1), (60, "20260101-00:00:00"), (38, 1), (40, 2),
                                      (44, "90.00"), (59, 3)), client.next_out)  # fmt: skip
        client.next_out += 1
        began = time.perf_counter_ns()
        client.socket.sendall(order)
        got = b""
        while got.count(b"\x0110=") < 2:
            got += client.socket.recv(65536)
        out.append((time.perf_counter_ns() - began) / 1000)
    return out


@pytest.mark.soak
def test_the_others_wait_no_longer_while_a_thousand_strangers_a_second_knock(serving: Make) -> None:
    """The attack and the quiet take turns; the floor is the same load on the machine, not on the gateway."""
    x = serving(CONFIG)
    x.start("--wait", "yield")
    port = str(x.ready["fix"]["port"])
    client = x.client()
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as elsewhere:
        other = str(elsewhere.getsockname()[1])
        us: dict[str, list[float]] = {"quiet": [], "elsewhere": [], "here": []}
        for turn in range(12):
            for kind, words in (("quiet", (IDLE, port)), ("elsewhere", (ATTACK, other)), ("here", (ATTACK, port))):
                with subprocess.Popen([sys.executable, "-c", *words, "3"]) as attack:
                    time.sleep(0.5)
                    us[kind] += round_trips_us(client, 400, f"{kind}{turn}-")
                    attack.wait()
    for kind, samples in us.items():
        cuts = statistics.quantiles(samples, n=1000)
        print(f"{kind:10} p50 {cuts[499]:7.0f}  p99 {cuts[989]:7.0f}  p99.9 {cuts[998]:7.0f} us  {len(samples)}")
    print(x.status()["counters"])
    assert x.status()["counters"]["evicted"] > 1000
    assert statistics.median(us["here"]) < 2 * statistics.median(us["elsewhere"])
    assert x.stop() == 0
