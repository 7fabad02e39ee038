"""Locust with this kit's users: headless, over processes, its exit codes; exact percentiles merged from all workers."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from matchmark.conformance.hooks import free_port
from matchmark.load.latency import merge_logs, read_log

from .namespaces import Machines, impossible
from .scripted import Habits, Scripted, profile

LOCUST = [sys.executable, "-m", "matchmark.conformance.cli", "load", "locust"]


def swarm(tmp_path: Path, exchange: Scripted, *words: str) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "target.toml"
    path.write_text(profile(exchange.port), encoding="utf-8")
    command = [*LOCUST, "--target", str(path), "--sessions", "4", "--latency-out", str(tmp_path / "exact.hlog")]
    command += ["--headless", "--only-summary", *words]
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


@pytest.mark.skipif(bool(impossible()), reason=impossible())
def test_a_master_and_three_machines_have_the_union_of_their_histograms(tmp_path):
    port = free_port()
    with Scripted(host="0.0.0.0") as exchange, Machines(3) as machines:
        started: list[subprocess.Popen[str]] = []
        try:
            for n, name in enumerate(machines.names):
                path = tmp_path / f"{n}.toml"
                path.write_text(profile(exchange.port, host=machines.here[n]), encoding="utf-8")
                words = ["--target", str(path), "--first-seat", str(n), "--latency-out", str(tmp_path / f"{n}.hlog")]
                words += ["--worker", "--master-host", machines.here[n], "--master-port", str(port), "OpenFixUser"]
                command = ["ip", "netns", "exec", name, *LOCUST, *words]
                started.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
            path = tmp_path / "master.toml"
            path.write_text(profile(exchange.port), encoding="utf-8")
            words = ["--target", str(path), "--latency-out", str(tmp_path / "all.hlog"), "--headless", "--only-summary"]
            words += ["--master", "--master-bind-host", "0.0.0.0", "--master-bind-port", str(port)]
            words += ["--expect-workers", "3", "-u", "3", "-r", "3", "-t", "4s", "--fix-rate", "60", "OpenFixUser"]
            done = subprocess.run(
                [*LOCUST, *words], capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False
            )
            said = [process.communicate(timeout=20)[1] for process in started]
        finally:
            for process in started:
                process.terminate()
                process.communicate(timeout=20)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "merged from 3 workers" in done.stderr
    whole, union = read_log(tmp_path / "all.hlog"), merge_logs([tmp_path / f"{n}.hlog" for n in range(3)])
    assert set(whole) == set(union), said
    for name, one in whole.items():
        assert one.buckets() == union[name].buckets(), name
        assert one.percentile(99) == union[name].percentile(99)
    assert whole["new"].count > 100
