"""A profile that declares battery-backed memory: D10.8 is judged for real, says what it assumed, and catches one that errs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from matchmark.chaos.faults.mounting import cannot_mount
from matchmark.conformance.targets.open import PROFILES
from matchmark.conformance.targets.profile import ProfileError, load

WIPED = (
    "import os, pathlib, shutil, sys; [shutil.rmtree(f) if f.is_dir() else f.unlink() "
    "for f in pathlib.Path(sys.argv[1]).glob('*')]; os.execv(sys.argv[2], sys.argv[2:])"
)
"""Before each start: this memory was on no battery."""


def declared(folder: Path, *edits: tuple[str, str]) -> Path:
    built_in = PROFILES["exchange"]
    edits = (
        ('"power_cut",', '"power_cut", "battery_backed",'),
        ('durability = "async"\n', 'durability = "async"\nbattery_backed = true\n'),
        ("{profile}", str(built_in.parent)),
        *edits,
    )
    text = built_in.read_text(encoding="utf-8")
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    path = folder / "battery.toml"
    path.write_text(text)
    return path


def verdict(profile: Path, out: Path) -> dict[str, Any]:
    """Of D10.8, in a certificate about it alone."""
    words = ["certify", "--target", str(profile), "--clause", "D10.8", "--out", str(out)]
    subprocess.run([sys.executable, "-m", "matchmark.conformance.cli", *words], capture_output=True, timeout=280)
    clauses = json.loads((out / "results.json").read_text(encoding="utf-8"))["clauses"]
    return dict(next(clause for clause in clauses if clause["id"] == "D10.8"))


@pytest.mark.skipif(cannot_mount() is not None, reason=f"cannot mount here: {cannot_mount()}")
def test_memory_on_a_battery_passes_and_the_verdict_says_what_it_assumed(tmp_path: Path) -> None:
    found = verdict(declared(tmp_path), tmp_path / "out")
    assert found["verdict"] == "PASS" and "assuming that the memory is battery-backed" in found["reason"]


@pytest.mark.soak
@pytest.mark.skipif(cannot_mount() is not None, reason=f"cannot mount here: {cannot_mount()}")
def test_memory_that_is_declared_battery_backed_and_is_not_fails(tmp_path: Path) -> None:
    start = 'lab_start = ["{python}", "-m"'
    broken = f'lab_start = ["{{python}}", "-c", {json.dumps(WIPED)}, "{{memory}}", "{{python}}", "-m"'
    found = verdict(declared(tmp_path, (start, broken)), tmp_path / "out")
    assert found["verdict"] == "FAIL"


def test_the_capability_and_the_key_are_declared_together(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="battery_backed"):
        load(declared(tmp_path, ("battery_backed = true\n", "")))
