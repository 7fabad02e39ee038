"""A run in parts says what the run in one says, and leaves the same files."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from matchmark.conformance import runner, shards
from matchmark.conformance.runner import Request, Run, UsageError


def by_test(path: Path) -> dict[str, list[object]]:
    said: dict[str, list[object]] = {}
    for line in (path / "history.jsonl").read_text().splitlines():
        x = json.loads(line)
        said.setdefault(x["test"], []).append((x["command"], x["events"]))
    return said


def junit(path: Path) -> list[str]:
    return sorted(str(case.get("name")) for case in ElementTree.parse(path / "junit.xml").iter("testcase"))


@pytest.mark.soak  # `make test` certifies the native engine in two of them
@pytest.mark.parametrize("target", ["native", "mutant:d04_owner_not_checked"])
def test_three_shards_say_what_one_child_says(tmp_path: Path, target: str) -> None:
    def request(name: str) -> Request:
        return Request(target, 7, 20, ("D04.2", "D04.E1", "D01.X8", "D04.X2"), out=tmp_path / name, shrink=False)

    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    seen: list[str] = []
    whole = runner.run(request("whole"))
    parts = shards.run(request("parts"), 3, lambda kind, values: seen.append(kind))
    assert {t.test: (t.verdict, t.examples) for t in whole.tests} == {
        t.test: (t.verdict, t.examples) for t in parts.tests
    }
    assert {(v.test, v.clause) for v in whole.violations} == {(v.test, v.clause) for v in parts.violations}
    assert bool(parts.violations) == (target != "native")
    assert by_test(tmp_path / "whole") == by_test(tmp_path / "parts")
    assert junit(tmp_path / "whole") == junit(tmp_path / "parts") != []
    assert (len(parts.latency), parts.latency[0]["count"]) == (1, whole.latency[0]["count"])
    assert seen.count("collected") == 3
    assert not list((tmp_path / "parts").glob(".shard-*"))


def test_a_folder_named_from_where_the_user_stands_gets_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    shards.run(Request("model", 7, 5, ("D04.2",), out=Path("run"), shrink=False), 2)
    assert junit(tmp_path / "run")
    assert by_test(tmp_path / "run")


def test_a_blocked_shard_blocks_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def one(request: Request, *_: object) -> Run:
        return Run(control_ok=request.shard[0] == 0, control_message="no answer" if request.shard[0] else "")

    monkeypatch.setattr(runner, "run", one)
    run = shards.run(Request("model", 1, 1), 2)
    assert (run.blocked, run.control_message) == (True, "no answer")


def test_what_the_user_got_wrong_is_said_once() -> None:
    with pytest.raises(UsageError, match="no mutant"):
        shards.run(Request("mutant:nothing", 1, 1), 2)


def test_an_error_of_the_listener_ends_every_child(tmp_path: Path) -> None:
    started = []

    def launch(arguments, work, log, events_fd):  # type: ignore[no-untyped-def]
        started.append(runner.spawn(arguments, work, log, events_fd))
        return started[-1]

    def stop(kind: str, values: object) -> None:
        if kind == "control":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shards.run(Request("native", 1, 1000), 2, stop, launch)
    assert [child.poll() is not None for child in started] == [True] * len(started) != []
