"""Faults of the disk as a game day has them: what stops an exchange is repaired, and nothing acknowledged is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from matchmark.chaos.faults.mounting import cannot_mount
from matchmark.conformance.cli import main


@pytest.mark.soak  # `make chaos` has the whole scenario
@pytest.mark.skipif(cannot_mount() is not None, reason=f"cannot mount here: {cannot_mount()}")
def test_a_failed_flush_stops_the_exchange_and_a_stall_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "day"
    step = {"fault": "disk", "after_orders": 500, "delay_us": 100, "keep": "nothing", "for_ms": 200}
    schedule = {
        "target": "exchange", "seed": 3, "rate": 2000, "heartbeat_s": 1.0, "scenarios": ["disk"], "controls": False,
        "episodes": [{
            "scenario": "disk", "target": "exchange", "storage": "l0", "seed": 9,
            "steps": [{**step, "role": "stall"}, {**step, "role": "flush"}],
        }],
    }  # fmt: skip
    (tmp_path / "schedule.json").write_text(json.dumps(schedule), encoding="utf-8")
    assert main(["chaos", "replay", str(tmp_path), "--quiet", "--out", str(folder)]) == 0, capsys.readouterr().out
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert results["faults"] == {"disk": 2}
    assert results["acknowledged"] > 500 and results["lost"] == results["duplicated"] == 0
    told = [json.loads(line) for line in (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()]
    details = {row["role"]: row["detail"] for row in told if row.get("fault") == "disk"}
    assert details["stall"].endswith("it went on")
    assert details["flush"] == "1 calls failed, started again"
