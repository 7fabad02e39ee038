"""What the load's generators can: python native/bench/load_run.py.

The native cannon and a user of locust against an echo that answers every order at once, a process of its own on the last
processor, the generator on the first. Orders a second in a closed loop; how late an open loop sends.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from figure import Figure, table

from matchmark.load.arrivals import constant, poisson
from matchmark.load.cannon import Cannon, CannonSettings
from matchmark.load.echo import EchoProcess
from matchmark.load.fix_load import LoadSession
from matchmark.load.latency import read_log, show_ns
from matchmark.load.measure import Measured, measured
from matchmark.load.shots import NEW, SHOT

SESSIONS, WINDOW, SECONDS = 4, 512, 3.0
FAST, SLOW = 500_000, 20_000
LOCUST_RATE, LOCUST_USERS = 15_000, 4
PROFILE = """
[target]
name = "echo"
version = "1"
adapter = "fix"
capabilities = ["limit", "market", "ioc", "cancel", "replace", "fix"]
[order_entry]
host = "127.0.0.1"
port = {port}
target_comp_id = "ECHO"
accounts = ["A1", "A2", "A3", "A4", "A5"]
reset_on_logon = true
[instruments]
pattern = "E{{n}}"
count = 8
isolation = "symbol"
"""


def on_processor(number: int) -> list[str]:
    mine = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(mine[number])] if len(mine) > 1 else []


def cannon(port: int, times: np.ndarray, window: int = 0) -> Measured:
    """One run, of NewOrderSingles on four sessions, by one thread."""
    shots = np.zeros(len(times), dtype=SHOT)
    shots["at_ns"], shots["op"], shots["lots"], shots["price_ticks"] = times, NEW, 5, 10_000
    shots["session"] = np.arange(len(times)) % SESSIONS
    sessions = [LoadSession(f"B{n}", "ECHO", {}, {}, reset_first=True) for n in range(SESSIONS)]
    settings = CannonSettings(1, ("E0",), window=window, threads=1, reports_per_order=1.1)
    with Cannon(settings, sessions, shots) as fired:
        if fired.connect("127.0.0.1", port) != SESSIONS:
            raise SystemExit(f"bench: {fired.ends()[0]}")
        fired.start()
        until = time.monotonic() + 60
        while not (fired.look().done and fired.look().told == len(shots)) and time.monotonic() < until:
            time.sleep(0.01)
        end, counts = time.monotonic_ns(), fired.look()
    if counts.told != len(shots) or counts.wrongs:
        raise SystemExit(f"bench: {counts.told:,} of {len(shots):,} orders answered, {counts.wrongs} wrong")
    return measured(fired, 0.0, end)


def locust(port: int, folder: Path, user: str, *words: str) -> tuple[float, int]:
    """Orders a second of one worker, and the p99 of its lateness in ns (0 of a closed loop)."""
    (folder / "echo.toml").write_text(PROFILE.format(port=port), encoding="utf-8")
    out, seconds = folder / f"{user}.hlog", 8
    command = [*on_processor(0), sys.executable, "-m", "matchmark.conformance.cli", "load", "locust", "--target"]
    command += [str(folder / "echo.toml"), "--sessions", str(LOCUST_USERS), "--latency-out", str(out), "--headless"]
    command += ["--only-summary", "-u", str(LOCUST_USERS), "-r", "100", "-t", f"{seconds}s", *words, user]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    if done.returncode:
        raise SystemExit(f"bench: locust ended with {done.returncode}: {done.stderr[-2000:]}")
    found = read_log(out)
    orders = sum(one.count for name, one in found.items() if name != "lateness")
    row = re.search(r"Aggregated +\d+ +\S+ .*?\| +([\d.]+) +[\d.]+ *$", done.stderr + done.stdout, re.MULTILINE)
    rate = float(row[1]) if row else orders / seconds
    return rate, found["lateness"].percentile(99) if "lateness" in found else 0


def figures() -> list[Figure]:
    """Prints what was measured; the rows of the summary."""
    allowed = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory() as root, EchoProcess(*on_processor(-1)) as echo:
        try:
            os.sched_setaffinity(0, {min(allowed)})
            closed = cannon(echo.port, constant(FAST, SECONDS), WINDOW)
            fast = cannon(echo.port, constant(FAST, SECONDS))
            slow = cannon(echo.port, poisson(SLOW, SECONDS, 1))
        finally:
            os.sched_setaffinity(0, allowed)
        taken, _ = locust(echo.port, Path(root), "ClosedFixUser", "--fix-window", "64")
        sent, late = locust(echo.port, Path(root), "OpenFixUser", "--fix-rate", str(LOCUST_RATE / LOCUST_USERS))
    error = {name: m.histograms["lateness"] for name, m in (("fast", fast), ("slow", slow))}
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    print(f"cannon, closed  {closed.offered_rate:,.0f} orders/s, {closed.sent:,} orders, all answered and checked")
    for name, m, rate in (("fast", fast, FAST), ("slow", slow, SLOW)):
        late_50, late_99 = (show_ns(error[name].percentile(p)) for p in (50, 99))
        took_50, took_99 = (show_ns(m.histograms["response"].percentile(p)) for p in (50, 99))
        print(
            f"cannon, open    {rate:,}/s asked for, {m.offered_rate:,.0f}/s due; late p50 {late_50}, p99 {late_99}; response p50 "
            f"{took_50}, p99 {took_99}"
        )
    print(f"locust, closed  {taken:,.0f} orders/s of one worker")
    print(f"locust, open    {sent:,.0f} orders/s of one worker, {LOCUST_RATE:,}/s asked for; late p99 {show_ns(late)}")
    floor = f"echo, response p50 {show_ns(slow.histograms['response'].percentile(50))}"
    return [
        Figure("cannon, closed loop", closed.offered_rate, "/s", 500_000, floor=floor),
        Figure(
            "cannon, late at 500,000/s, p99", error["fast"].percentile(99) / 1000, "us", 10, at_most=True, floor=floor
        ),
        Figure(
            "cannon, late at 20,000/s, p99", error["slow"].percentile(99) / 1000, "us", 10, at_most=True, floor=floor
        ),
        Figure("locust, closed loop, a worker", taken, "/s", 40_000, floor=floor),
        Figure("locust, open loop, a worker", sent, "/s", 0.97 * LOCUST_RATE, floor=f"{LOCUST_RATE:,}/s asked for"),
        Figure("locust, late, p99", late / 1e6, "ms", 1, at_most=True, floor=floor),
    ]


if __name__ == "__main__":
    print(table(figures()))
