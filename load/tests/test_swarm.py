"""Locust with this kit's users: headless, over processes, its exit codes; exact percentiles merged from all workers."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

from matchmark.load.latency import read_log

from .scripted import Habits, Scripted, profile


def swarm(tmp_path: Path, exchange: Scripted, *words: str) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "target.toml"
    path.write_text(profile(exchange.port), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "matchmark.conformance.cli",
        "load",
        "locust",
        "--target",
        str(path),
        "--sessions",
        "4",
    ]
    command += ["--latency-out", str(tmp_path / "exact.hlog"), "--headless", "--only-summary", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False)


def test_an_open_loop_over_two_processes_has_exact_percentiles_of_both(tmp_path):
    with Scripted() as exchange:
        done = swarm(
            tmp_path, exchange, "-u", "4", "-r", "4", "-t", "4s", "--processes", "2", "--fix-rate", "50", "--csv", "out",
            "--html", "out.html", "OpenFixUser",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    exact = read_log(tmp_path / "exact.hlog")
    with (tmp_path / "out_stats.csv").open() as rows:
        counts = {row["Name"]: int(row["Request Count"]) for row in csv.DictReader(rows)}
    for name in ("new", "cancel"):
        assert exact[name].count == counts[name] > 10
    assert exact["lateness"].count >= sum(exact[name].count for name in exact if name != "lateness")
    assert "merged from 2 workers" in done.stderr
    assert (tmp_path / "out.html").is_file()


def test_a_rejection_is_a_failure_and_the_exit_code_is_1(tmp_path):
    with Scripted(habits=Habits(after=5, then="reject")) as exchange:
        done = swarm(tmp_path, exchange, "-u", "1", "-r", "1", "-t", "2s", "--tags", "closed", "ClosedFixUser")
    assert done.returncode == 1
    assert "you may not trade" in done.stdout + done.stderr


def test_a_target_that_is_not_there_is_a_failure(tmp_path):
    with Scripted() as exchange:
        pass
    done = swarm(tmp_path, exchange, "-u", "1", "-r", "1", "-t", "2s", "OpenFixUser")
    assert done.returncode == 1
    assert "refused" in (done.stdout + done.stderr).lower()
