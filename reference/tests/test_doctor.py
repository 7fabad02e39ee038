"""`matchmark doctor` says what is there, what is missing, and what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from matchmark.conformance.cli import main
from matchmark.native import dpdk
from matchmark.reference import doctor


def test_a_machine_that_runs_these_tests_has_what_is_required(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--data-dir", str(tmp_path), "--json"]) == 0
    found = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert found["Python"]["verdict"] == found["native core"]["verdict"] == found["/dev/shm"]["verdict"] == "ok"
    assert "fdatasync" in found["disk"]["found"]
    assert found["DPDK"]["verdict"] == ("lacks" if dpdk.missing() else "ok") and not found["DPDK"]["required"]
    assert all(row["advice"] for row in found.values() if row["verdict"] != "ok")
    assert list(tmp_path.iterdir()) == []


def test_something_required_that_is_missing_is_exit_code_3_with_advice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "SHM_BYTES_MIN", 1 << 60)
    assert main(["doctor", "--data-dir", str(tmp_path)]) == 3
    out, err = capsys.readouterr()
    assert "required and missing: /dev/shm" in err and "remount" in out


def test_a_directory_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    assert main(["doctor", "--data-dir", str(tmp_path / "none")]) == 2


def test_without_a_chromium_it_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    found = doctor.browser()
    assert found.verdict == "lacks" and not found.required and "apt-get install chromium-headless-shell" in found.advice
    own = tmp_path / "chromium-1200" / "chrome-linux" / "chrome"
    own.parent.mkdir(parents=True)
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    assert doctor.browser().verdict == "ok" and doctor.chromium() == str(own)
