"""A network that carries nothing one way: the fault alone, in a game day, and what it catches."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from matchmark.chaos.faults.fault import injected
from matchmark.chaos.faults.partition import Partition, cannot_part
from matchmark.conformance.cli import main

pytestmark = pytest.mark.skipif(cannot_part() is not None, reason=f"no partitions here: {cannot_part()}")


@pytest.mark.parametrize("mute", ["primary", "standby"])
def test_a_partition_loses_what_one_side_says_and_nothing_else(mute: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as standby, listener.accept()[0] as primary:
            silent, heard = (primary, standby) if mute == "primary" else (standby, primary)
            partition = Partition(port, mute)
            with injected(partition):
                heard.sendall(b"x")
                silent.settimeout(5)
                assert silent.recv(1) == b"x"
                silent.sendall(b"y")
                heard.settimeout(0.5)
                with pytest.raises(TimeoutError):
                    heard.recv(1)
            assert partition.lost > 0
            heard.settimeout(10)
            assert heard.recv(1) == b"y"  # sent again by the kernel
    partition.heal()  # once more, to no harm


def test_a_partition_of_nobody_says_that_it_lost_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        partition = Partition(listener.getsockname()[1], "primary")
        with injected(partition):
            pass
        assert partition.lost == 0


@pytest.mark.parametrize("mute", ["primary", pytest.param("standby", marks=pytest.mark.soak)])
def test_a_pair_that_is_parted_never_has_two_who_acknowledge(
    tmp_path: Path, mute: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "day"
    step = {"fault": "partition", "role": mute, "after_orders": 500, "delay_us": 100, "keep": "nothing", "for_ms": 4000}
    schedule = {
        "target": "exchange-fsync", "seed": 3, "rate": 2000, "heartbeat_s": 0.5, "scenarios": ["partition"], "controls": False,
        "episodes": [{
            "scenario": "partition", "target": "exchange-fsync", "storage": "plain", "seed": 9, "pair": True, "steps": [step],
        }],
    }  # fmt: skip
    (tmp_path / "schedule.json").write_text(json.dumps(schedule), encoding="utf-8")
    assert main(["chaos", "replay", str(tmp_path), "--quiet", "--out", str(folder)]) == 0, capsys.readouterr().out
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert results["faults"] == {"partition": 1}
    assert results["acknowledged"] > 500 and results["lost"] == results["duplicated"] == 0
