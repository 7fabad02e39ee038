"""`matchmark certify` as a user meets it: words in, exit code, files and last lines out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from matchmark.conformance.certification import results_of
from matchmark.conformance.clauses import load
from matchmark.conformance.cli import main
from matchmark.conformance.commands import certify
from matchmark.conformance.commands.certify import exit_code
from matchmark.conformance.runner import CheckRecord, Request, Run, Violation
from matchmark.conformance.verdict import Verdict

DEAD = """[target]
name = "dead"
version = "1"
adapter = "subprocess"
capabilities = ["limit", "market", "ioc", "cancel"]
[subprocess]
command = ["{python}", "-c", "raise SystemExit(3)"]
"""


@pytest.fixture(autouse=True)
def own_key(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


def words(capsys) -> str:
    captured = capsys.readouterr()
    assert "Traceback" not in captured.out + captured.err
    return captured.out + captured.err


def test_one_clause_of_the_native_engine_passes_and_leaves_a_whole_run_folder(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["certify", "--target", "native", "--clause", "D07.4", "--seed", "1", "--out", str(out)]) == 0
    assert f"certificate: {out}/certificate.html" in words(capsys)
    results = json.loads((out / "results.json").read_text())
    judged = {c["id"]: c["verdict"] for c in results["clauses"] if c["tests"]}
    assert judged == {"D07.4": "PASS"}
    assert results["levels"]["matching"] == "NOT_ASSESSED"
    assert results["seed"] == 1
    for name in ("certificate.html", "certificate.json", "history.jsonl", "junit.xml", "allure-results"):
        assert (out / name).exists(), name
    assert main(["report", str(out)]) == 0


def test_a_mutant_fails_with_its_transcript_and_the_command_that_runs_it_again(tmp_path, capsys):
    out = tmp_path / "run"
    arguments = [
        "certify",
        "--target",
        "mutant:d08_remainder_unreported",
        "--clause",
        "D08.5",
        "--seed",
        "1",
        "--out",
        str(out),
    ]
    assert main(arguments) == 1
    printed = words(capsys)
    assert "D08.5" in printed
    assert "run one again: matchmark certify --target mutant:d08_remainder_unreported --clause D08" in printed
    (clause,) = [c for c in json.loads((out / "results.json").read_text())["clauses"] if c["id"] == "D08.5"]
    assert clause["verdict"] == "FAIL"
    evidence = clause["evidence"][0]
    assert evidence["expected"] != evidence["actual"]
    assert evidence["transcript"]


def test_the_terminal_counts_what_the_certificate_counts(tmp_path, capsys, monkeypatch):
    run = Run(
        control_ok=True, target={"name": "x", "version": "1", "capabilities": ["limit", "market", "ioc", "cancel"]}
    )
    unlike = iter((Verdict.INCONCLUSIVE, None))  # the second one nobody tested
    for clause in load().for_level("matching"):
        if verdict := next(unlike, Verdict.PASS):
            run.tests.append(CheckRecord(f"t::{clause.id}", [clause.id], verdict, "", 1, 0.0))
    monkeypatch.setattr(certify, "run_suites", lambda *_: run)
    out = tmp_path / "run"
    main(["certify", "--target", "model", "--level", "matching", "--seed", "1", "--out", str(out)])
    printed = words(capsys)
    main(["report", str(out)])
    said, again = (
        [line for line in text.splitlines() if line.startswith("clauses:")] for text in (printed, words(capsys))
    )
    assert said == again and "1 untested" in said[0]


def test_a_dead_target_is_blocked_with_its_last_words(tmp_path, capsys):
    profile = tmp_path / "target.toml"
    profile.write_text(DEAD.format(python=sys.executable))
    assert main(["certify", "--target", str(profile), "--seed", "1", "--out", str(tmp_path / "run")]) == 3
    assert "exit status 3" in words(capsys)
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert {c["verdict"] for c in results["clauses"]} == {"BLOCKED", "UNTESTED"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["--target", "nonsense"],
            "expected model, native, exchange, exchange-fsync, exchange-full, exchange-dpdk or the path of a profile",
        ),
        (["--target", "none.toml"], "no such file"),
        (["--target", "native", "--level", "matchin"], "unknown; the levels are"),
        (["--target", "native", "--level", ","], "name at least one"),
        (["--target", "native", "--clause", "D4.7x"], "no clause 'D4.7x'"),
        (["--target", "native", "--examples", "10"], "--exploratory"),
        (["--target", "native", "--examples", "0"], "at least 1"),
        (["--target", "native", "--seed", "-1"], "from 0 to"),
        (["--target", "native", "--waivers", "none.toml"], "No such file"),
    ],
)
def test_a_wrong_word_is_exit_code_2_and_says_what_is_right(arguments, complaint, capsys):
    assert main(["certify", *arguments]) == 2
    assert complaint in words(capsys)


def test_a_profile_with_an_error_is_exit_code_2_with_its_line(tmp_path, capsys):
    profile = tmp_path / "target.toml"
    profile.write_text(DEAD.replace('"market"', '"markets"'))
    assert main(["certify", "--target", str(profile)]) == 2
    assert f"{profile}:5: [target] capabilities: unknown capability 'markets'" in words(capsys)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[waiver]]\nclause = 'D01.6'\nreason = 'r'", "lacks expires"),
        ("[[waiver]]\nclause = 'D01.6'\nreason = 'r'\nexpires = 'soon'", "must be a date"),
        ("[[waiver]]\nclause = 'D77.1'\nreason = 'r'\nexpires = 2030-01-01", "no clause"),
        ("[[waiver]", "waivers.toml"),
    ],
)
def test_a_wrong_waiver_is_exit_code_2(tmp_path, capsys, text, complaint):
    path = tmp_path / "waivers.toml"
    path.write_text(text)
    assert main(["certify", "--target", "native", "--waivers", str(path)]) == 2
    assert complaint in words(capsys)


def test_an_unwritable_run_folder_is_said_before_anything_is_run(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["certify", "--target", "native", "--out", str(tmp_path / "file" / "run")]) == 2
    assert "--out" in words(capsys)


def test_levels_are_named_by_commas_or_one_a_flag(capsys):
    said = []
    for levels in (["--level", "matching,order-entry"], ["--level", "matching", "--level", "order-entry"]):
        assert main(["certify", "--target", "exchange", "--seed", "1", "--dry-run", *levels]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] and "D01." in said[0]
    assert main(["certify", "--target", "exchange", "--seed", "1", "--dry-run", "--level", "matching"]) == 0
    assert capsys.readouterr().out != said[0]


def test_a_dry_run_lists_checks_and_runs_none(tmp_path, capsys):
    assert main(["certify", "--target", "native", "--dry-run", "--out", str(tmp_path / "run")]) == 0
    printed = words(capsys)
    assert "D07.4" in printed
    assert "nothing was run" in printed
    assert not (tmp_path / "run").exists()


def test_earlier_files_of_the_run_folder_go_and_other_files_stay(tmp_path, capsys):
    out = tmp_path / "run"
    out.mkdir()
    (out / "history.jsonl").write_text("old\n")
    (out / "mine.txt").write_text("mine")
    assert main(["certify", "--target", "native", "--clause", "D07.4", "--seed", "1", "--out", str(out)]) == 0
    assert "old" not in (out / "history.jsonl").read_text()
    assert (out / "mine.txt").read_text() == "mine"


def test_output_into_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m matchmark.conformance.cli clauses | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


def judged(*records: tuple[str, Verdict], control_ok: bool = True, violated: str | None = None, **more: object):
    """Exit code and level of a run that said this of these clauses and PASS of every other of the level."""
    from datetime import UTC, datetime

    from matchmark.conformance.clauses import load

    run = Run(control_ok=control_ok, target={"capabilities": ["limit", "market", "ioc", "cancel"]})
    said = dict(records)
    for clause in load().for_level("matching"):
        verdict = said.get(clause.id, Verdict.PASS)
        run.tests.append(CheckRecord(f"t::{clause.id}", [clause.id], verdict, "", 1, 0.0))
    if violated:
        run.violations.append(Violation("t", violated, "broken", 0, ["a"], ["b"], [{"command": {}, "events": []}]))
    request = Request("x", 1, 1000)
    exploratory = bool(more.get("exploratory"))
    results = results_of(run, request, ["matching"], datetime.now(UTC), invocation="", exploratory=exploratory)
    return exit_code(results, run, request, ["matching"]), str(results.levels["matching"])


def test_only_a_run_in_which_every_must_clause_passed_certifies():
    assert judged() == (0, "CERTIFIED")
    assert judged(violated="D01.6") == (1, "NOT_CERTIFIED")
    assert judged(("D01.6", Verdict.INCONCLUSIVE)) == (3, "NOT_CERTIFIED")
    assert judged(("D01.6", Verdict.BLOCKED)) == (3, "NOT_CERTIFIED")
    assert judged(control_ok=False) == (3, "NOT_ASSESSED")
    assert judged(exploratory=True) == (0, "NOT_ASSESSED")


def test_the_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    printed = words(capsys)
    for command in ("certify", "clauses", "explain", "selftest", "init", "report"):
        assert command in printed


def test_init_writes_a_profile_once(tmp_path, capsys):
    assert main(["init", "mine.toml"]) == 0
    assert main(["init", "mine.toml"]) == 2
    assert "--force" in words(capsys)
    assert Path("mine.toml").read_text().startswith("# Target profile")


def test_a_secret_of_the_profile_is_in_no_file_of_the_run_folder(tmp_path, capsys, monkeypatch):
    secret = "hunter2-hunter2"
    monkeypatch.setenv("ENGINE_PASSPHRASE", secret)
    profile = tmp_path / "target.toml"
    engine = (
        "import sys, json\nfor line in sys.stdin:\n    m = json.loads(line)\n    if m['op'] != 'reset':\n"
        "        print(json.dumps({'ev': 'rejected', 'cl': m['cl'], 'reason': sys.argv[1]}))\n"
        '    print(\'{"ev":"done"}\', flush=True)\n'
    )
    (tmp_path / "engine.py").write_text(engine)
    profile.write_text(
        '[target]\nname = "secretive"\nversion = "1"\nadapter = "subprocess"\ncapabilities = ["limit"]\n'
        f'[subprocess]\ncommand = ["{sys.executable}", "engine.py", "${{ENGINE_PASSPHRASE}}"]\n'
    )
    out = tmp_path / "run"
    assert main(["certify", "--target", str(profile), "--seed", "1", "--out", str(out)]) == 3
    assert secret not in words(capsys)
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) > 3
    for path in files:
        assert secret not in path.read_text(errors="replace"), path


def test_sigterm_ends_the_target_with_the_run(tmp_path):
    pid_file = tmp_path / "pid"
    (tmp_path / "engine.py").write_text(
        f"import os, time\nopen({str(pid_file)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)\n"
    )
    profile = tmp_path / "target.toml"
    profile.write_text(
        '[target]\nname = "sleeper"\nversion = "1"\nadapter = "subprocess"\ncapabilities = ["limit"]\n'
        f'[subprocess]\ncommand = ["{sys.executable}", "engine.py"]\n[timing]\nanswer_timeout_s = 600\n'
    )
    command = [sys.executable, "-m", "matchmark.conformance.cli", "certify", "--target", str(profile)]
    run = subprocess.Popen([*command, "--out", str(tmp_path / "run")], stderr=subprocess.PIPE, text=True)
    until_s = time.monotonic() + 60
    while not (pid_file.exists() and pid_file.read_text()) and time.monotonic() < until_s:
        time.sleep(0.05)
    pid = int(pid_file.read_text())
    run.send_signal(signal.SIGTERM)
    assert run.wait(timeout=60) == 3
    assert run.stderr is not None
    assert "stopped" in run.stderr.read()
    run.stderr.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
