"""The native cannon against its echo: an open loop does not slow down, a stall is in the percentiles, lateness is told."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import pytest

from matchmark.load.arrivals import Arrivals, constant
from matchmark.load.cannon import Cannon, CannonSettings, Echo
from matchmark.load.fix_load import LoadSession
from matchmark.load.flow import Place, shots_of
from matchmark.load.measure import measured
from matchmark.load.mix import load_mix
from matchmark.load.run import Plan, floor_of
from matchmark.load.shots import NEW, SHOT

ALL = frozenset(("limit", "market", "ioc", "cancel", "replace"))
STALL_MS = 5


def plan(rate: float = 4_000.0, seconds: float = 2.0, **more: object) -> Plan:
    return Plan("specification", Arrivals("constant", rate, seconds), 1, **{"warm_s": 0.0, **more})  # type: ignore[arg-type]


def shots(rate: float, seconds: float) -> np.ndarray:
    mix, _ = load_mix("specification").without(ALL)
    return shots_of(mix, constant(rate, seconds), Place(4, 4), 1)


@pytest.mark.parametrize("threads", [1, 2])
def test_every_shot_is_sent_and_answered_with_one_thread_and_with_two(threads):
    outcome = floor_of(plan(threads=threads, seconds=1.0), shots(4_000, 1.0))
    assert outcome.trouble is None
    m = outcome.measured
    assert m is not None
    assert (m.offered, m.sent, m.unanswered) == (4_000, 4_000, 0)
    assert 0 < m.histograms["service"].percentile(50) <= m.histograms["response"].percentile(50)
    assert outcome.counts is not None
    assert outcome.counts.wrong[:4] == (0, 0, 0, 0)


TRIES, CALM_NS = 3, 5_000_000


def test_a_stall_each_second_is_in_the_percentiles_and_not_as_fewer_orders():
    """A closed loop would send nothing in a stall, and have one slow answer of it a session."""
    length = 3.0
    fired = shots(4_000, length)
    # The run without a stall says whether others have the processors: then neither says anything.
    for _ in range(TRIES):
        calm = floor_of(plan(seconds=length), fired).measured
        stalled = floor_of(plan(seconds=length), fired, stall_ms=STALL_MS * 8, stall_every_ms=1000).measured
        assert calm is not None
        assert stalled is not None
        if calm.histograms["response"].percentile(99) < CALM_NS:
            break
    assert stalled.offered == stalled.sent == len(fired)
    # 40 of each 1,000 ms: of what was due then, evenly spread, half has waited for 20 ms or more
    waited = stalled.histograms["response"]
    share = sum(count for ns, count in waited.buckets().items() if ns > 20_000_000) / waited.count
    assert 0.01 < share < 0.10, f"{share:.2%} of the orders waited for more than 20 ms"
    assert waited.percentile(99) > 30_000_000
    assert waited.percentile(99) > 3 * calm.histograms["response"].percentile(99)


def test_a_planted_stall_of_five_milliseconds_each_second_is_seen():
    fired = shots(8_000, 3.0)
    stalled = floor_of(plan(8_000, 3.0), fired, stall_ms=STALL_MS, stall_every_ms=1000).measured
    assert stalled is not None
    assert stalled.offered == stalled.sent == len(fired)
    # two stalls of 5 ms in 3 s: 80 orders are due in them, of which those of the first ms wait for 4 ms and more
    waited = stalled.histograms["response"].buckets()
    assert sum(count for ns, count in waited.items() if ns >= 4_000_000) >= 10
    assert stalled.histograms["response"].percentile(99.9) >= 3_000_000


def test_a_generator_that_is_starved_says_that_it_was_late():
    """Its only processor is taken by others that never rest."""
    allowed = os.sched_getaffinity(0)
    one = {min(allowed)}
    stop = threading.Event()
    hogs = [_hog(one) for _ in range(3)]
    try:
        os.sched_setaffinity(0, one)
        outcome = floor_of(plan(20_000, 1.0, threads=1), shots(20_000, 1.0))
    finally:
        os.sched_setaffinity(0, allowed)
        stop.set()
        for pid in hogs:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
    assert outcome.measured is not None
    assert "the generator itself was late" in outcome.measured.late


def _hog(where: set[int]) -> int:
    pid = os.fork()
    if pid == 0:
        os.sched_setaffinity(0, where)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            pass
        os._exit(0)
    return pid


def test_a_closed_loop_has_no_more_orders_out_than_its_window():
    sessions = [LoadSession("A", "ECHO", {}, {}, reset_first=True)]
    fired = np.zeros(3_000, dtype=SHOT)
    fired["op"], fired["lots"], fired["price_ticks"] = NEW, 1, 100
    with Echo() as echo, Cannon(CannonSettings(1, ("S",), window=7), sessions, fired) as cannon:
        assert cannon.connect("127.0.0.1", echo.port) == 1
        cannon.start()
        most, until = 0, time.monotonic() + 10
        while not cannon.look().done and time.monotonic() < until:
            counts = cannon.look()
            most = max(most, counts.sent - counts.told)
        while cannon.look().told < 3_000 and time.monotonic() < until:
            time.sleep(0.01)
        assert cannon.look().told == 3_000
        assert most <= 7
        end = time.monotonic_ns()
        cannon.finish()
        m = measured(cannon, 0.0, end)
        assert not m.open_loop
        assert m.late == ""


def test_what_is_no_shot_is_refused():
    wrong = np.zeros(1, dtype=SHOT)
    wrong["session"] = 9
    with pytest.raises(ValueError, match="each of one of them"):
        Cannon(CannonSettings(1, ("S",)), [LoadSession("A", "B", {}, {})], wrong)
    with pytest.raises(ValueError, match="session"):
        Cannon(CannonSettings(1, ("S",)), [LoadSession("", "B", {}, {})], np.zeros(0, dtype=SHOT))
