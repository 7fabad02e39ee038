"""Level `wire` of the exchange: a clause over both carriers leaves nothing behind; where frames cannot be sent the level is
left out."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from matchmark.conformance import wire_cable
from matchmark.conformance.commands import certify
from matchmark.conformance.packets import network
from matchmark.conformance.targets.open import PROFILES, no_wire
from matchmark.conformance.targets.profile import load

CERTIFY = [sys.executable, "-m", "matchmark.conformance.cli", "certify", "--target", "exchange", "--seed", "1"]
WHY_NOT = no_wire("exchange")
with_frames = pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")


def namespaces() -> set[str]:
    folder = Path("/run/netns")
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


@with_frames
def test_a_clause_over_both_carriers_passes_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    env = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    before = namespaces()
    out = tmp_path / "run"
    done = subprocess.run([*CERTIFY, "--clause", "D12.1", "--out", str(out)], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((out / "results.json").read_text())
    tests = next(clause["tests"] for clause in results["clauses"] if clause["id"] == "D12.1")
    assert any("[kernel]" in test for test in tests) and any("[dpdk]" in test for test in tests)
    assert namespaces() <= before and list((tmp_path / "tmp").iterdir()) == []


def _asked(*levels: str) -> argparse.Namespace:
    """As the command line has it: a list of what each --level said."""
    return argparse.Namespace(target="exchange", set=[], level=list(levels) or None)


def test_without_the_right_to_it_the_level_is_left_out_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "impossible", lambda: "network namespaces need root")
    levels, left_out = certify._levels(_asked())
    assert "wire" not in levels and "order-entry" in levels and "need root" in left_out["wire"]
    assert certify._levels(_asked("wire")) == (["wire"], {})
    assert certify._levels(_asked("safety,wire", "wire")) == (["safety", "wire"], {})
    monkeypatch.setattr(certify, "no_wire", lambda *_: None)
    levels, left_out = certify._levels(_asked())
    assert "wire" in levels and not left_out


def test_what_the_profile_s_check_says_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "impossible", lambda: None)
    profile = load(PROFILES["exchange"])
    profile.tables["hooks"]["wire_check"][:] = ["{python}", "-c", "import sys; sys.exit('no port, ' 'install one')"]  # type: ignore[index]
    assert wire_cable.unable(profile) == "no port, install one"
    assert wire_cable.unable(profile, ("kernel",)) is None
