"""The stages of an order's way: counted where they happen, read back from a log folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matchmark.native import _native
from matchmark.reference import stage_counts, stages
from matchmark.reference.stage_counts import BUCKET_TOPS_NS, ROW

from .serving import Serve, Trader

Make = Callable[..., Serve]

_ffi: Any = _native.ffi
_lib: Any = _native.lib


def by_step(log: Path) -> dict[str, dict[str, Any]]:
    return {row["stage"].split()[0]: row for row in stages.rows(log)}


def counted(times: np.ndarray[Any, np.dtype[np.uint64]]) -> np.void:
    row = np.zeros(1, dtype=ROW)
    pointer = _ffi.from_buffer("mm_stage_row *", row)
    _lib.mm_stage_count_all(pointer, _ffi.from_buffer("uint64_t[]", times), len(times))
    return row[0]


def test_every_time_is_in_the_bucket_that_holds_it() -> None:
    edges = [2**n + off for n in range(1, 37) for off in (-1, 0, 1)]
    rng = np.random.default_rng(1)
    times = np.array([0, *edges, *(2 ** rng.uniform(0, 36, 2000)).astype(np.uint64)], dtype=np.uint64)
    for ns in times:
        bucket = int(np.flatnonzero(counted(np.array([ns]))["counts"])[0])
        below = int(BUCKET_TOPS_NS[bucket - 1]) if bucket else -1
        assert below < ns <= BUCKET_TOPS_NS[bucket] and BUCKET_TOPS_NS[bucket] <= ns + ns // 64 + 1


def test_what_is_longer_than_the_last_bucket_is_counted_in_it() -> None:
    row = counted(np.array([2**60, 2**63], dtype=np.uint64))
    assert row["counts"][-1] == 2 and row["max_ns"] == 2**63


def test_quantiles_are_those_of_the_times_within_a_bucket() -> None:
    times = np.random.default_rng(2).lognormal(10, 1, 50_000).astype(np.uint64)
    got = stage_counts.quantiles(counted(times))
    for name, share in (("p50_ns", 0.5), ("p99_ns", 0.99), ("p999_ns", 0.999)):
        exact = int(np.quantile(times, share, method="inverted_cdf"))
        assert exact <= got[name] <= exact * 65 / 64 + 1
    assert got["max_ns"] == times.max()


def trade_all_kinds(buyer: Trader, seller: Trader) -> None:
    """Limits that rest, one that crosses, a market order over one level and one over two, two cancels, an IOC; a refusal."""

    def answered(client: Trader, n: int) -> None:
        for _ in range(n):
            client.next()

    buyer.new("rest1", 1, 10, "100.00")
    answered(buyer, 1)
    seller.new("cross", 2, 10, "100.00")
    answered(seller, 2)
    answered(buyer, 1)
    buyer.new("rest2", 1, 10, "100.00")
    answered(buyer, 1)
    seller.new("market", 2, 10)
    answered(seller, 2)
    answered(buyer, 1)
    for cl, price in (("level1", "100.00"), ("level2", "99.99")):
        buyer.new(cl, 1, 5, price)
        answered(buyer, 1)
    seller.new("sweep", 2, 10)
    answered(seller, 3)
    answered(buyer, 2)
    seller.new("ioc", 2, 7, "100.00", tif=3)
    answered(seller, 2)
    for n in range(2):
        buyer.new(f"c{n}", 1, 1, "99.00")
        answered(buyer, 1)
        buyer.send("F", (41, f"c{n}"), (11, f"x{n}"), (55, "SYM1"), (54, 1), (60, "20260101-00:00:00"))
        answered(buyer, 1)
    buyer.send("F", (41, "c0"), (11, "again"), (55, "SYM1"), (54, 1), (60, "20260101-00:00:00"))
    answered(buyer, 1)
    seller.new("refused", 2, 1, "1.00")
    answered(seller, 1)


COUNTS = {
    "D01.3": 6, "D01.4": 6, "D01.5": 6, "D01.6": 6, "D01.7": 7, "D01.8": 7, "D01.P3": 10, "D02.2": 1, "D02.3": 1, "D02.5": 1,
    "D02.7": 6, "D02.8": 6, "D03.6": 1, "D03.8": 2, "D04.2": 2, "D04.3": 2, "D04.6": 2, "D04.7": 2, "D04.8": 2, "D07.6": 1,
    "D08.5": 1, "D08.6": 1,
}  # fmt: skip
"""What trade_all_kinds makes: acceptances and fills are reports, of each party."""


@pytest.mark.parametrize("mode", ["async", "fsync"])
def test_each_kind_of_order_is_in_its_diagram_s_rows_and_a_restart_adds_to_them(serving: Make, mode: str) -> None:
    x = serving()
    x.start("--durability", mode)
    trade_all_kinds(x.client("ACC1"), x.client("ACC2"))
    assert x.stop() == 0
    log = x.data / "log"
    once = by_step(log)
    assert {step: row["count"] for step, row in once.items() if not step.startswith("D10")} == COUNTS
    events = once["D10.7"]["count"]
    assert once["D10.6"]["count"] == events == 18 and 0 < once["D10.2"]["count"] <= events
    for row in once.values():
        assert 0 < row["p50_ns"] <= row["p99_ns"] <= row["p999_ns"] <= row["max_ns"]
    order = [once[f"D01.{n}"]["p50_ns"] for n in range(3, 9)]
    assert order[:4] == sorted(order[:4]) and once["D10.6"]["max_ns"] <= once["D10.7"]["max_ns"]
    if mode == "fsync":  # nobody is told before it is on disk
        assert once["D01.8"]["p50_ns"] > once["D10.7"]["p50_ns"]
    x.start("--durability", mode)
    client = x.client("ACC1", sender="ACC1-2")
    client.new("more", 1, 1, "1.00")
    client.new("more2", 1, 1, "90.00")
    assert client.read_until(lambda: len(client.reports) == 2)
    assert x.stop() == 0
    assert by_step(log)["D01.8"]["count"] == COUNTS["D01.8"] + 1


WAY = ("ready", "read", "parsed", "checked", "enqueued")


def demand_way(status: dict[str, Any], carrier: str, orders: int) -> None:
    """All five stages of that many orders, each later than the one before, and none of the other carrier's."""
    rows = [status["stages"][f"{carrier}_{name}"] for name in WAY]
    assert [row["count"] for row in rows] == [orders] * 5
    assert [row["p50_ns"] for row in rows] == sorted(row["p50_ns"] for row in rows) and rows[0]["p50_ns"] > 0
    other = "kernel" if carrier == "port" else "port"
    assert not any(name.startswith(f"{other}_") for name in status["stages"])


def test_the_way_from_the_segment_to_the_queue_is_measured_once_a_read(serving: Make) -> None:
    x = serving()
    x.start()
    client = x.client()
    for n in range(20):
        client.new(f"w{n}", 1, 1, "90.00")
        client.next()
    demand_way(x.status(), "kernel", 20)
    assert client.socket
    both = b"".join(client._message("D", client_order(n), client.next_out + n) for n in range(2))
    client.next_out += 2
    client.socket.sendall(both)
    assert client.read_until(lambda: len(client.reports) == 22)
    demand_way(x.status(), "kernel", 21)  # the second order of a segment waits for the first
    assert x.stop() == 0
    steps = [row["stage"].split()[0] for row in stages.way_rows(x.data / "log")]
    assert steps == ["D12.A3", "D12.A4", "D12.A5", "D12.A6"]


def client_order(n: int) -> tuple[tuple[int, object], ...]:
    return (
        (11, f"both{n}"), (55, "SYM2"), (54, 1), (60, "20260101-00:00:00.000"), (38, 1), (40, 2), (44, "90.00"), (59, 0),
    )  # fmt: skip


def test_counts_are_there_while_it_runs_and_a_killed_role_loses_none(serving: Make) -> None:
    x = serving()
    ready = x.start()
    client = x.client()
    for n, role in enumerate(("writer", "gateway", "engine")):
        client.new(f"a{n}", 1, 1, "100.00")
        assert client.read_until(lambda n=n: len(client.reports) == n + 1)  # type: ignore[misc]
        x.wait_for(lambda s: s["sequence"] == s["durable_sequence"])
        x.kill_role(role)
        client.connect(ready["fix"]["port"]) if role == "gateway" else None
    log = Path(ready["audit_dir"])
    x.wait_for(lambda s: by_step(log).get("D01.8", {}).get("count") == 3)
    assert x.stop() == 0
    assert by_step(log)["D10.7"]["count"] == 3


def test_a_copy_torn_by_a_power_cut_costs_only_what_was_in_it(tmp_path: Path) -> None:
    for text in ("", "{", '{"version": 2}', '{"version": 1, "rows": {"nothing": {}}}', "[]"):
        (tmp_path / stage_counts.FILE).write_text(text)
        assert not stage_counts.read(tmp_path)["counts"].any()


def test_a_copy_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    counts = stage_counts.StageCounts()
    counts.save(tmp_path / "nowhere")
    counts.save(tmp_path)
    assert json.loads((tmp_path / stage_counts.FILE).read_text())["rows"] == {}
