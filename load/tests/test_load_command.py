"""`matchmark load run` against a small exchange over FIX: right answers, wrong answers, and every way to misbehave."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from matchmark.conformance.cli import main

from .scripted import Habits, Report, Scripted, profile

QUICK_S = 12.0
"""A run that is in trouble has said so by then: it would have taken a minute."""


def loaded(tmp_path: Path, exchange: Scripted, *words: str, seconds: float = 2.0) -> tuple[int, dict[str, Any]]:
    path = tmp_path / "target.toml"
    path.write_text(profile(exchange.port), encoding="utf-8")
    out = tmp_path / "out"
    code = main([
        "load", "run", "--target", str(path), "--seconds", f"{seconds:g}", "--warm", "0", "--rate", "500", "--sessions", "2",
        "--seed", "1", "--no-floor", "--quiet", "--out", str(out), *words,
    ])  # fmt: skip
    return code, json.loads((out / "results.json").read_text(encoding="utf-8"))


def test_right_answers_are_measured_and_judged(tmp_path, capsys):
    with Scripted() as exchange:
        code, said = loaded(tmp_path, exchange)
    (run,) = said["runs"]
    assert run["findings"] == []
    assert code == 0
    assert run["trouble"] is None
    assert run["measured"]["sent"] == run["measured"]["offered"] > 800
    assert run["measured"]["unanswered"] == 0
    assert 0 < run["measured"]["latency"]["response"]["p50_ns"] < 1_000_000_000
    # nobody knows whether the books of a target that runs already are empty
    assert any("not empty" in text for text in run["judged"]["left_out"])
    for name in ("report.html", "latency.hlog", "latency.csv", "timeline.csv"):
        assert (tmp_path / "out" / name).stat().st_size > 100
    assert "report.html" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [False, True])
def test_fills_of_fix_4_2_are_fills(tmp_path, wrong):
    spoil = change("2", _31="0.01") if wrong else (lambda reports: reports)
    with Scripted(begin_string="FIX.4.2", spoil=spoil) as exchange:
        code, said = loaded(tmp_path, exchange, "--set", "order_entry.begin_string=FIX.4.2")
    (run,) = said["runs"]
    assert {f["kind"] for f in run["findings"]} >= ({"price"} if wrong else set())
    assert code == (1 if wrong else 0)
    assert run["measured"]["unanswered"] == 0


def change(kind: str, **fields: str) -> Callable[[list[Report]], list[Report]]:
    """Fields of every report of that ExecType, once fifty of them came."""
    seen = [0]

    def spoil(reports: list[Report]) -> list[Report]:
        for report in reports:
            if report.get(150) == kind:
                seen[0] += 1
                if seen[0] > 50:
                    report.update({int(tag[1:]): value for tag, value in fields.items()})
        return reports

    return spoil


def drop(kind: str) -> Callable[[list[Report]], list[Report]]:
    seen = [0]

    def spoil(reports: list[Report]) -> list[Report]:
        seen[0] += 1
        return [r for r in reports if not (seen[0] % 40 == 0 and r.get(150) == kind)]

    return spoil


def again(kind: str) -> Callable[[list[Report]], list[Report]]:
    seen = [0]

    def spoil(reports: list[Report]) -> list[Report]:
        seen[0] += 1
        return [r for r in reports for _ in range(2 if seen[0] % 40 == 0 and r.get(150) == kind else 1)]

    return spoil


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (change("F", _32="1000"), "overfill"),
        (change("F", _14="1"), "sum"),
        (change("F", _31="0.01"), "price"),
        (change("0", _11="K000001000000099999"), "stranger"),
        (again("0"), "twice"),
        (again("F"), "sum"),
        (drop("0"), "untold"),
        (drop("F"), "sum"),
    ],
)
def test_a_fast_wrong_answer_fails_the_run(tmp_path, spoil, kind):
    with Scripted(spoil=spoil) as exchange:
        code, said = loaded(tmp_path, exchange, seconds=1.5)
    assert kind in {finding["kind"] for finding in said["runs"][0]["findings"]}
    assert code == 1


@pytest.mark.parametrize(
    ("habits", "kind", "said"),
    [
        (Habits(logout_words="no such account"), "logon", "no such account"),
        (Habits(garbage_for_logon=True), "garbage", "no FIX"),
        (Habits(after=300, then="close"), "disconnected", "by the target"),
        (Habits(after=300, then="reset"), "disconnected", "by the target"),
        (Habits(after=300, then="stall"), "stalled", "nothing was answered"),
        (Habits(after=0, then="reject"), "rejects", "you may not trade"),
    ],
)
def test_trouble_is_said_within_seconds_and_what_was_measured_is_kept(tmp_path, habits, kind, said):
    began = time.monotonic()
    with Scripted(habits=habits) as exchange:
        code, results = loaded(tmp_path, exchange, seconds=60)
    assert time.monotonic() - began < QUICK_S
    (run,) = results["runs"]
    assert run["trouble"]["kind"] == kind
    assert said in run["trouble"]["text"]
    assert code == 3
    if habits.after:
        assert run["measured"]["latency"]["response"]["count"] >= 250
        assert run["findings"] == []


def test_garbage_in_the_run_is_a_wrong_answer(tmp_path):
    with Scripted(habits=Habits(after=300, then="garbage")) as exchange:
        code, results = loaded(tmp_path, exchange, seconds=60)
    (run,) = results["runs"]
    assert run["trouble"]["kind"] == "garbage"
    assert "garbled" in {f["kind"] for f in run["findings"]}
    assert run["measured"]["sent"] >= 300
    assert code == 1


@pytest.mark.parametrize(("then", "kind"), [("number", "number"), ("checksum", "garbled")])
def test_a_broken_session_is_a_finding(tmp_path, then, kind):
    with Scripted(habits=Habits(after=200, then=then)) as exchange:
        code, results = loaded(tmp_path, exchange, seconds=1.5)
    assert kind in {f["kind"] for f in results["runs"][0]["findings"]}
    assert code == 1


def test_a_target_that_is_not_there_is_said_at_once(tmp_path):
    with Scripted() as exchange:
        pass
    began = time.monotonic()
    code, results = loaded(tmp_path, exchange, seconds=60)
    assert code == 3
    assert time.monotonic() - began < QUICK_S
    assert results["runs"][0]["trouble"]["kind"] == "refused"
    assert "Connection refused" in results["runs"][0]["trouble"]["text"]


def test_a_logon_that_is_not_answered_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("matchmark.load.cannon.CONNECT_S", 1.0)
    with Scripted(habits=Habits(ignores_logon=True)) as exchange:
        code, results = loaded(tmp_path, exchange, seconds=60)
    assert code == 3
    assert results["runs"][0]["trouble"]["kind"] == "logon"
    assert "reset_on_logon" in results["runs"][0]["trouble"]["text"]


def test_an_objective_that_breaks_is_an_exit_code(tmp_path):
    with Scripted(habits=Habits(after=200, stall_s=0.3)) as exchange:
        code, results = loaded(tmp_path, exchange, "--slo", "p99<1us", seconds=1.0)
    assert results["runs"][0]["findings"] == []
    assert code == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["load", "run", "--target", "nowhere.toml"], "no such file"),
        (["load", "run", "--target", "model"], "FIX port"),
        (["load", "run", "--mix", "no-such"], "market-making"),
        (["load", "run", "--rate", "0"], "above 0"),
        (["load", "run", "--warm", "20"], "leaves nothing"),
        (["load", "run", "--sessions", "0"], "--sessions"),
        (["load", "find-knee", "--mix", "bitstamp"], "find-knee"),
        (["load", "find-knee", "--arrivals", "burst"], "find-knee"),
        (["load", "compare", "one"], "two"),
        (["load", "report", "nowhere"], "nowhere"),
    ],
)
def test_what_is_asked_for_wrongly_is_usage(words, said, capsys):
    assert main(words) == 2
    assert said in capsys.readouterr().err


def test_an_objective_is_written_in_one_way(capsys):
    with pytest.raises(SystemExit) as error:
        main(["load", "run", "--slo", "fast"])
    assert error.value.code == 2
    assert "p99<5ms" in capsys.readouterr().err


def test_a_profile_with_too_few_symbols_says_what_to_do(tmp_path, capsys):
    path = tmp_path / "target.toml"
    path.write_text(profile(1, symbols=("SYM1",)), encoding="utf-8")
    assert main(["load", "run", "--target", str(path), "--quiet"]) == 2
    assert "--symbols shared" in capsys.readouterr().err
