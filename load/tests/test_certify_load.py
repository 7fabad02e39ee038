"""A load as a part of a certification: who answers wrongly under it is certified nothing, and the page says what it found.

The suites are stood in for, by a run in which every clause passed: what is looked at is what the load adds to it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from matchmark.conformance import certify_load
from matchmark.conformance.clauses import load
from matchmark.conformance.cli import main
from matchmark.conformance.commands import certify
from matchmark.conformance.runner import CheckRecord, Run
from matchmark.conformance.verdict import Verdict
from matchmark.reports.certificate import verify

from .scripted import Habits, Scripted, profile
from .test_load_command import change

CAPABILITIES = ("limit", "market", "ioc", "cancel", "fix")


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key of its own, a short load, and every clause of level order-entry passed."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(certify_load, "SECONDS", 1.5)
    made = Run(control_ok=True, target={"name": "scripted", "version": "1", "capabilities": list(CAPABILITIES)})
    for clause in load().for_level("order-entry"):
        verdict = Verdict.PASS if set(clause.needs) <= set(CAPABILITIES) else Verdict.NOT_APPLICABLE
        made.tests.append(CheckRecord(f"t::{clause.id}", [clause.id], verdict, "", 1, 0.0))
    monkeypatch.setattr(certify, "run_suites", lambda *_: made)


def certified(tmp_path: Path, exchange: Scripted, rate: str = "500") -> tuple[int, dict[str, Any]]:
    path, out = tmp_path / "target.toml", tmp_path / "out"
    path.write_text(profile(exchange.port), encoding="utf-8")
    words = [
        "--target",
        str(path),
        "--level",
        "order-entry",
        "--seed",
        "1",
        "--load",
        rate,
        "--quiet",
        "--out",
        str(out),
    ]
    return main(["certify", *words]), json.loads((out / "results.json").read_text(encoding="utf-8"))


def test_right_answers_are_part_of_the_certificate_and_of_what_is_signed(tmp_path):
    with Scripted() as exchange:
        code, results = certified(tmp_path, exchange)
    assert code == 0
    assert results["levels"]["order-entry"] == "CERTIFIED"
    said = results["load"]
    assert said["findings"] == [] and said["trouble"] == ""
    assert said["orders"] > 100 and said["offered_per_s"] > 300
    stages = [row["stage"].partition(",")[0] for row in said["latency"]]
    assert stages == ["response", "floor", "lateness"]
    assert 0 < said["latency"][0]["p50_ns"] <= said["latency"][0]["max_ns"]
    page = (tmp_path / "out" / "certificate.html").read_text(encoding="utf-8")
    assert 'href="load/report.html"' in page and "every answer right" in page
    assert "load/results.json" in verify(tmp_path / "out" / "certificate.json").verified


def test_a_fast_wrong_answer_takes_every_level(tmp_path):
    with Scripted(spoil=change("F", _31="0.01")) as exchange:
        code, results = certified(tmp_path, exchange)
    assert code == 1
    assert "CERTIFIED" not in results["levels"].values()
    assert results["levels"]["order-entry"] == "NOT_CERTIFIED"
    assert results["level_reasons"]["order-entry"].startswith("Answers were wrong under load: price:")
    page = (tmp_path / "out" / "certificate.html").read_text(encoding="utf-8")
    assert "answers were wrong" in page and '<li class="not-certified">' in page


def test_a_load_that_ends_early_is_no_failure_and_no_success(tmp_path):
    with Scripted(habits=Habits(after=300, then="close")) as exchange:
        code, results = certified(tmp_path, exchange)
    assert code == 3
    assert results["levels"]["order-entry"] == "CERTIFIED"  # no clause says what an exchange must bear
    assert "by the target" in results["load"]["trouble"]


def test_a_profile_that_does_not_do_for_a_load_loses_no_verdict(tmp_path):
    with Scripted() as exchange:
        text = profile(exchange.port)
        path, out = tmp_path / "target.toml", tmp_path / "out"
        path.write_text(text, encoding="utf-8")
        words = [
            "--target",
            str(path),
            "--level",
            "order-entry",
            "--seed",
            "1",
            "--load",
            "500",
            "--quiet",
            "--out",
            str(out),
        ]
        code = main(["certify", *words, "--set", 'instruments.symbols=["ONE"]'])
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert code == 3 and results["levels"]["order-entry"] == "CERTIFIED"
    assert "4 symbols are needed" in results["load"]["trouble"]
    assert "Nothing was measured" in (out / "certificate.html").read_text(encoding="utf-8")


def test_nothing_is_left_of_a_load_before(tmp_path):
    with Scripted() as exchange:
        certified(tmp_path, exchange)
        words = ["--target", str(tmp_path / "target.toml"), "--level", "order-entry", "--seed", "1", "--quiet"]
        assert main(["certify", *words, "--out", str(tmp_path / "out")]) == 0
    assert not (tmp_path / "out" / "load").exists()
    assert "load" not in json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--target", "native", "--load", "500"], "a load needs a FIX port"),
        (["--target", "exchange", "--load", "0"], "--load 0:"),
        (["--target", "exchange", "--load", "nan"], "--load nan:"),
        (["--target", "exchange", "--load", "inf"], "--load inf:"),
        (["--target", "exchange", "--load", "500", "--clause", "D01.1"], "--clause asks for less"),
    ],
)
def test_what_cannot_be_is_usage(words: list[str], said: str, capsys: Callable[..., Any], tmp_path: Path):
    assert main(["certify", *words, "--out", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
