"""The mutants of the poll-mode carrier: their edits fit its sources, and a library that was built so is the one loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from matchmark.conformance.selftest import carrier_build
from matchmark.conformance.selftest.carrier_build import Edit, built, edited, lacking
from matchmark.conformance.selftest.frame_exchange import VARIABLE
from matchmark.conformance.selftest.wire_declare import Start
from matchmark.conformance.selftest.wire_mutants import WIRES
from matchmark.conformance.selftest.wire_port import BROKEN_CLI, BrokenPort, SoundPort, Started
from matchmark.conformance.selftest.wire_target import wire_profile

PORTS = {name: wire for name, wire in WIRES.items() if issubclass(wire.wire, BrokenPort)}
here = pytest.mark.skipif(bool(lacking()), reason=lacking())


def test_there_are_enough_and_they_break_the_clauses_of_diagram_12() -> None:
    assert len(PORTS) >= 25
    broken = {wire.breaks[0] for wire in PORTS.values()}
    assert {"D12.1", "D12.2", "D12.3", "D12.4", "D12.5", "D12.6", "D12.7"} <= broken
    assert {f"D12.X{n}" for n in range(1, 8)} <= broken and {"D12.N4", "D12.N5", "D12.N6"} <= broken


@pytest.mark.skipif(not (carrier_build.SOURCES / "dpdk_port.c").exists(), reason="the sources are not here")
@pytest.mark.parametrize("name", PORTS)
def test_each_edit_fits_the_sources(name: str) -> None:
    wire = PORTS[name].wire
    assert issubclass(wire, BrokenPort)
    texts = edited(wire.edits)
    for edit in wire.edits:
        assert edit.new in texts[edit.file]


@pytest.mark.skipif(not (carrier_build.SOURCES / "dpdk_port.c").exists(), reason="the sources are not here")
def test_an_edit_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(ValueError, match="has 0 times what an edit replaces"):
        edited([Edit("dpdk_port.c", "nothing like this", "")])


@pytest.mark.parametrize("name", [*PORTS, "wire-sound-port"])
def test_only_what_is_started_on_the_port_is_broken(name: str) -> None:
    hooks = wire_profile(name).tables["hooks"]
    assert name in hooks["wire_dpdk_start"] and name not in hooks["wire_start"] and name not in hooks["start"]
    assert any(word.endswith("wire-serve.toml") for word in hooks["wire_start"])


@here
def test_an_edited_carrier_is_the_one_that_is_loaded() -> None:
    marked = Edit("gateway_dpdk.c", '"%s, lwIP %s"', '"edited %s, lwIP %s"')
    library = built([marked])
    script = (
        "from matchmark.conformance.selftest.frame_exchange import load; import os; load(os.environ['"
        + VARIABLE
        + "'])"
    )
    script += "\nfrom matchmark.native import dpdk; print(dpdk.version())"
    env = {**os.environ, VARIABLE: str(library)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("edited DPDK"), done.stderr
    start = Start(["python", "-m", "matchmark.conformance.cli", "serve"])
    SoundPort().prepare(start)
    assert start.words[2] == BROKEN_CLI and Path(start.env[VARIABLE]).exists()


def test_a_changed_configuration_has_what_it_replaces(tmp_path: Path) -> None:
    config = tmp_path / "serve.toml"
    config.write_text("max_lots = 10\n")
    start = Start(["serve", "--config", str(config), "--data-dir", str(tmp_path / "data")])
    Started.with_config(start, ("max_lots = 10", "max_lots = 20"))
    assert Path(start.flag("--config") or "").read_text() == "max_lots = 20\n"
    with pytest.raises(ValueError, match="has no"):
        Started.with_config(start, ("nothing", "x"))
