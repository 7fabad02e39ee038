"""A pair as a game day has it: killed once, and once woken from the dead, under a small load."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from matchmark.conformance.cli import main


@pytest.mark.parametrize(
    ("scenario", "fault"), [("failover", "failover"), pytest.param("zombie", "zombie", marks=pytest.mark.soak)]
)
def test_a_standby_takes_over_and_nothing_is_lost_or_done_twice(
    tmp_path: Path, scenario: str, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "day"
    schedule = {
        "target": "exchange-fsync", "seed": 3, "rate": 2000, "heartbeat_s": 0.3, "scenarios": [scenario], "controls": False,
        "episodes": [{
            "scenario": scenario, "target": "exchange-fsync", "storage": "plain", "seed": 9, "pair": True,
            "steps": [{"fault": fault, "role": "all", "after_orders": 500, "delay_us": 100, "keep": "nothing", "for_ms": 0}],
        }],
    }  # fmt: skip
    (tmp_path / "schedule.json").write_text(json.dumps(schedule), encoding="utf-8")
    assert main(["chaos", "replay", str(tmp_path), "--quiet", "--out", str(folder)]) == 0, capsys.readouterr().out
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert results["faults"] == {fault: 1}
    assert results["acknowledged"] > 500 and results["lost"] == results["duplicated"] == 0
