"""`matchmark serve` from outside: it starts, trades, stops, and goes on where it was."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from matchmark.native.pipeline import recover

from .serving import SMALL, Serve, Trader

Make = Callable[..., Serve]


def test_the_readiness_line_says_where_everything_is(serving: Make) -> None:
    x = serving()
    ready = x.start("--durability", "fsync")
    assert ready["ready"] is True and ready["pid"] == ready["pids"]["supervisor"]
    assert ready["fix"]["begin_string"] == "FIX.4.4" and ready["fix"]["target_comp_id"] == "MATCHMARK"
    assert [ready[key] for key in ("websocket", "direct_feed", "kafka", "ledger")] == [None] * 4
    assert (ready["symbols"], ready["durability"], ready["wait"]) == (16, "fsync", "sleep")
    assert Path(ready["audit_dir"]) == x.data / "log" and Path(ready["data_dir"]) == x.data
    assert ready["recovered"]["records"] == 0 and ready["recovered"]["may_be_missing"] is None
    for role in ("supervisor", "gateway", "engine", "writer"):
        os.kill(ready["pids"][role], 0)
    assert len(set(ready["pids"].values())) == len(ready["pids"])


@pytest.mark.parametrize("mode", ["async", "fsync"])
def test_two_clients_trade_and_a_restart_goes_on_where_it_was(serving: Make, mode: str) -> None:
    x = serving()
    x.start("--durability", mode)
    buyer, seller = x.client("ACC1"), x.client("ACC2")
    buyer.new("b1", 1, 100, "100.00")
    assert buyer.next()[150] == "0"
    seller.new("s1", 2, 40, "100.00")
    assert [seller.next()[150] for _ in range(2)] == ["0", "F"]
    assert buyer.next()[14] == "40"
    assert x.stop() == 0
    assert not Path(x.ready["shm_dir"]).exists()
    again = x.start("--durability", mode)
    assert again["recovered"]["records"] == recover(x.data / "log", cut=False).sequence > 0
    assert again["recovered"]["may_be_missing"] is None and again["epoch"] == 2
    port = again["fix"]["port"]
    buyer.connect(port)
    seller.connect(port)
    seller.new("s2", 2, 60, "100.00")
    assert [seller.next()[150] for _ in range(2)] == ["0", "F"]
    last = buyer.next()
    assert (last[11], last[14], last[151]) == ("b1", "100", "0")
    assert x.stop() == 0


@pytest.mark.parametrize("role", ["engine", "writer", "gateway", "admin"])
def test_a_killed_role_comes_back_and_nothing_is_lost(serving: Make, role: str) -> None:
    x = serving()
    ready = x.start()
    client = x.client()
    client.new("a", 1, 10, "100.00")
    assert client.next()[150] == "0"
    x.kill_role(role)
    if role == "gateway":
        client.connect(ready["fix"]["port"])
    client.new("b", 1, 10, "100.00")
    assert client.next()[11] == "b"
    client.send("H", (11, "a"), (55, "SYM1"), (54, 1))
    assert client.next()[39] == "0"
    assert x.status()["restarts"][role] == 1
    assert f"the {role} was killed by SIGKILL; it is started again" in x.stderr()
    assert x.stop() == 0


def test_a_killed_supervisor_takes_its_roles_along_and_the_next_start_lacks_nothing(serving: Make) -> None:
    x = serving()
    x.start()
    client = x.client()
    for n in range(200):
        client.new(f"a{n}", 1, 1, "100.00")
    assert client.read_until(lambda: len(client.reports) == 200)
    x.kill()
    ready = x.start()
    assert ready["recovered"]["warm"] is True and ready["recovered"]["may_be_missing"] is None
    client.connect(ready["fix"]["port"])
    client.send("q", (11, "all"), (530, 7), (60, "20260101-00:00:00"))
    assert client.read_until(lambda: client.reports[-1][35] == "r")
    assert client.reports[-1][533] == "200"


@pytest.mark.parametrize(("mode", "stated"), [("async", True), ("fsync", False)])
def test_a_cold_start_says_what_may_be_missing_when_memory_was_lost(serving: Make, mode: str, stated: bool) -> None:
    x = serving()
    x.start("--durability", mode)
    client = x.client()
    client.new("a", 1, 10, "100.00")
    assert client.next()[150] == "0"
    x.wait_for(lambda s: s["sequence"] == s["durable_sequence"])
    x.kill()
    x.lose_memory()
    ready = x.start("--durability", mode)
    missing = ready["recovered"]["may_be_missing"]
    assert (missing is not None) is stated
    assert not stated or (missing["last_ms"] == 10 and "not stopped cleanly" in missing["why"])
    assert ready["recovered"]["records"] > 0 and ready["epoch"] == 2
    assert ("may be missing" in x.stderr()) is stated
    client.connect(ready["fix"]["port"])
    client.send("H", (11, "a"), (55, "SYM1"), (54, 1))
    assert client.read_until(lambda: client.reports[-1][150] == "I")
    assert client.reports[-1][39] == "0"


class SlowEngine(Serve):
    """Its engine takes its time, as one with a long log to replay, and leaves a mark when it has taken it."""

    @property
    def mark(self) -> Path:
        return self.data.parent / "engine"

    def words(self, *flags: str) -> list[str]:
        slow = (
            "import pathlib, sys, time; from matchmark.conformance.cli import main; from matchmark.reference import roles; "
            f"run, mark = roles.run_engine, pathlib.Path({str(self.mark)!r}); "
            "roles.BODIES['engine'] = lambda *a: (time.sleep(2), mark.touch(), run(*a))[2]; sys.exit(main())"
        )
        words = super().words(*flags)
        at = words.index("-m")
        return [*words[:at], "-c", slow, *words[at + 2 :]]


def test_nobody_is_heard_before_the_engine_has_the_book(tmp_path: Path) -> None:
    x = SlowEngine(tmp_path)
    try:
        x.start()
        x.client().new("before", 2, 5, "100.00")
        assert x.clients[0].next()[150] == "0"
        x.kill()
        x.lose_memory()
        x.mark.unlink()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with x.stderr_path.open("a") as err:
            words = x.words("--fix-port", str(port))
            x.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=err, text=True)
        early = Trader("ACC2-1", x.token("ACC2"))
        x.clients.append(early)
        while early.next_out == 1:  # it has not said who it is yet
            with suppress(ConnectionRefusedError):
                early.connect(port, wait=False)
        assert not x.mark.exists(), "it was too slow to be early"
        assert early.read_until(lambda: early.logged_on)
        assert x.mark.exists(), "it was heard before the engine was there"
        early.new("after", 1, 5, "100.00")
        assert [early.next()[150] for _ in range(2)] == ["0", "F"]
        assert x.process.stdout
        x.ready = json.loads(x.process.stdout.readline())
        assert x.stop() == 0
    finally:
        x.close()


def test_an_interrupt_from_the_keyboard_stops_it_cleanly_too(serving: Make) -> None:
    x = serving()
    x.start()
    assert x.process
    x.process.send_signal(signal.SIGINT)
    assert x.process.wait(30) == 0
    assert "stopped cleanly" in x.stderr()


def test_a_second_serve_on_the_same_data_directory_is_told_who_has_it(serving: Make) -> None:
    x = serving()
    ready = x.start()
    code, said = x.refused()
    assert code == 3 and f"in use by matchmark serve, process {ready['pid']}" in said and "Traceback" not in said


def test_a_taken_port_is_one_sentence(serving: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        for flag in ("--fix-port", "--admin-port"):
            code, said = serving(name=flag).refused(flag, str(port))
            assert code == 3 and f"127.0.0.1:{port}" in said and f"another {flag}" in said and "Traceback" not in said


def test_a_data_directory_that_cannot_be_made_is_one_sentence(serving: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, said = serving().refused("--data-dir", str(tmp_path / "file" / "data"))
    assert code == 3 and "cannot be written: Not a directory" in said and "Traceback" not in said


def test_a_damaged_log_is_refused_and_not_touched(serving: Make) -> None:
    x = serving()
    x.start()
    client = x.client()
    for n in range(50):
        client.new(f"a{n}", 1, 1, "100.00")
    assert client.read_until(lambda: len(client.reports) == 50)
    assert x.stop() == 0
    path = next((x.data / "log").glob("audit-*.log"))
    with path.open("r+b") as log:
        log.seek(4096 + 272 * 5 + 100)
        log.write(b"XXXX")
    before = path.read_bytes()
    code, said = x.refused()
    assert code == 1 and "damage" in said and "Traceback" not in said
    assert path.read_bytes() == before


def test_another_instrument_list_on_an_existing_log_is_refused(serving: Make) -> None:
    x = serving()
    x.start()
    assert x.stop() == 0
    x.config.write_text(SMALL + '[[symbols]]\nname = "OTHER"\n')
    code, said = x.refused()
    assert code == 2 and "another instrument list" in said


def test_the_mode_cannot_change_under_orders_that_are_only_in_memory(serving: Make) -> None:
    x = serving()
    x.start("--durability", "async")
    x.kill()
    code, said = x.refused("--durability", "fsync")
    assert code == 2 and "mode async" in said
    x.start("--durability", "async")
    assert x.stop() == 0
    assert x.start("--durability", "fsync")["durability"] == "fsync"


def test_status_tells_state_sequences_and_counters(serving: Make) -> None:
    x = serving()
    x.start()
    client = x.client()
    client.new("a", 1, 10, "100.00")
    client.next()
    status = x.wait_for(lambda s: s["counters"]["orders"] == 1 and s["sequence"] == s["durable_sequence"])
    assert status["state"] == "running" and status["failure"] is None and status["sequence"] >= 2
    assert status["pids"].items() >= x.ready["pids"].items()
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(x.ready["admin"] + "/other", timeout=10)
    with refused.value as page:
        assert page.code == 404 and "/status" in json.load(page)["error"]


def test_thousands_of_symbols_and_the_largest_price_and_quantity_trade(serving: Make) -> None:
    most = 2**53 - 1
    config = (
        SMALL.replace("window_ticks = 256", "window_ticks = 64")
        + """
[[symbols]]
pattern = "S{n}"
count = 4000
max_lots = 2147483647
[[accounts]]
pattern = "T{n}"
count = 4
cash = 1e27
position_each = 1000000000000
"""
    )
    x = serving(config)
    assert x.start()["symbols"] == 4000
    buyer, seller = x.client("T1"), x.client("T2")
    price = f"{most // 100}.{most % 100:02d}"
    buyer.new("b", 1, 2**31 - 1, price, symbol="S3999")
    accepted = buyer.next()
    assert (accepted[150], accepted[44]) == ("0", price)
    seller.new("s", 2, 2**31 - 1, price, symbol="S3999")
    assert [seller.next()[150] for _ in range(2)] == ["0", "F"]
    filled = buyer.next()
    assert (filled[31], filled[32], filled[14], filled[151]) == (price, str(2**31 - 1), str(2**31 - 1), "0")
    assert float(filled[6]) == pytest.approx(most / 100)
    buyer.new("c", 1, 1, f"{(most + 1) // 100}.{(most + 1) % 100:02d}", symbol="S1")
    assert buyer.next()[150] == "8"
    assert x.stop() == 0
