"""Labels, attachments and the folder's own files, as Allure's reader sees them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from matchmark.reports.allure import write_environment
from matchmark.reports.records import Results

TEST = """
import pytest
from matchmark.conformance.clauses import load
from matchmark.reports.allure import attach, marks
from matchmark.reports.records import Evidence

register = load()
labels = marks([register["D04.E1"], register["D04.P1"]], {"D04": "Cancel"}, "https://example.org/spec")
pytestmark = labels

def test_it():
    attach(Evidence("D04.E1", "t", "wrong", ["a"], ["b"], [{"command": {}}], "matchmark certify", 1))
"""


def test_labels_and_attachments_reach_the_result(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TEST)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "allure_pytest.plugin", "-p", "no:cacheprovider"]
    environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PATH": "/usr/bin:/bin"}
    ran = subprocess.run(
        [*command, "-c", "/dev/null", "--rootdir", ".", "--alluredir", "allure", "test_it.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (result,) = (tmp_path / "allure").glob("*-result.json")
    wire = json.loads(result.read_text())
    labels = {(label["name"], label["value"]) for label in wire["labels"]}
    assert {("epic", "matching"), ("feature", "D04 Cancel"), ("severity", "critical")} <= labels
    assert sum(name == "story" and value.startswith("D04.E1 ") for name, value in labels) == 1
    assert wire["links"][0]["url"] == "https://example.org/spec/d04.md"
    names = [attachment["name"] for attachment in wire["attachments"]]
    assert names == ["D04.E1: expected and actual", "D04.E1: wire log", "D04.E1: run this one case again"]


def test_the_environment_is_properties_that_java_reads(sample: Callable[[str], Results], tmp_path: Path) -> None:
    results = sample("pass")
    results.target.name = "Ünï=x:#\n\U0001f600"
    results.environment["a key"] = "c:\\dir"
    write_environment(tmp_path / "allure-results", results)
    lines = (tmp_path / "allure-results" / "environment.properties").read_text(encoding="ascii").splitlines()
    assert lines[0] == r"Target=\u00dcn\u00ef\=x\:\#\n\ud83d\ude00\ 2.0.1"
    assert r"a\ key=c\:\\dir" in lines
    assert "Level.matching=CERTIFIED" in lines
    assert len(lines) == len(set(lines))


def test_categories_are_what_allure_expects(sample: Callable[[str], Results], tmp_path: Path) -> None:
    write_environment(tmp_path, sample("pass"))
    categories = json.loads((tmp_path / "categories.json").read_text())
    statuses = {"failed", "broken", "skipped", "passed", "unknown"}
    assert all(set(c["matchedStatuses"]) <= statuses and c["name"] for c in categories)


@pytest.mark.parametrize("kind", ["pass", "fail"])
def test_nested_environment_values_are_left_to_results_json(
    sample: Callable[[str], Results], tmp_path: Path, kind: str
) -> None:
    write_environment(tmp_path, sample(kind))
    assert "packages" not in (tmp_path / "environment.properties").read_text()
