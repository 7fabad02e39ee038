"""A short game day through the command, and what the command refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from matchmark.chaos.game_day import Day, play_control
from matchmark.chaos.live_controls import LIVE
from matchmark.conformance.cli import main
from matchmark.conformance.targets.open import PROFILES
from matchmark.conformance.targets.profile import load


def test_a_short_day_ends_clean_with_its_pictures_and_can_be_had_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "day"
    words = ["--quiet", "--no-controls", "--out", str(folder)]
    asked = ["chaos", "run", "--scenario", "kill", "--kills", "2", "--rate", "2000", "--seed", "5", *words]
    assert main(asked) == 0, capsys.readouterr().out
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert results["kills"] == 2 and results["acknowledged"] > 500
    assert results["lost"] == results["duplicated"] == 0 and not results["findings"]
    assert (folder / "timeline.svg").read_text(encoding="utf-8").count("<polygon") == 1
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["role"] for line in lines if line.get("fault") == "kill"] == ["engine", "all"]
    schedule = json.loads((folder / "schedule.json").read_text(encoding="utf-8"))
    assert schedule["seed"] == 5 and len(schedule["episodes"]) == 1


@pytest.mark.parametrize("name", ["acknowledged, not logged", pytest.param("two primaries", marks=pytest.mark.soak)])
def test_a_control_is_caught_under_load(name: str) -> None:
    control = next(control for control in LIVE if control.name == name)
    if reason := control.needs():
        pytest.skip(reason)
    day = Day({"exchange": load(PROFILES["exchange"])}, ("kill",), seed=1, kills=0, cuts=0, rate=2000, built_in=True)
    caught = play_control(day, control)
    assert caught.caught, caught.words


def test_a_target_that_is_not_expendable_is_refused_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PROFILES["exchange"].read_text(encoding="utf-8").replace("expendable = true", "expendable = false")
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    assert main(["chaos", "run", "--target", str(path)]) == 2
    assert "expendable = true" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--scenario", "earthquake"], "earthquake"),
        (["run", "--faults", "kill,flood"], "flood"),
        (["run", "--target", "nobody"], "FILE.toml"),
        (["run", "--target", "nobody.toml"], "no such file"),
        (["run", "--rate", "5"], "--rate"),
        (["replay", "nowhere"], "schedule.json"),
    ],
)
def test_slips_are_told_in_a_sentence(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chaos", *words]) == 2
    assert said in capsys.readouterr().err


def test_the_list_says_what_this_machine_can(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chaos", "list"]) == 0
    assert "power-cut" in capsys.readouterr().out
