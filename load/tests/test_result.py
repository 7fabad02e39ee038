"""Reports: self-contained, the same for the same results; comparisons say what is chance and what was not the same."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from typing import Any

import numpy as np
import pytest

from matchmark.chaos.checks import Finding
from matchmark.conformance.cli import main
from matchmark.load import compare, result
from matchmark.load.arrivals import Arrivals
from matchmark.load.environment import Before
from matchmark.load.knee import Search, Step, Trial
from matchmark.load.knee_result import document as knee_document
from matchmark.load.latency import Latencies
from matchmark.load.measure import Measured
from matchmark.load.report import page
from matchmark.load.run import Outcome, Plan
from matchmark.load.stats import slo_of

PLAN = Plan("specification", Arrivals(), 5)
TARGET = {"name": "<b>bold</b> exchange", "version": "1.0"}
ENVIRONMENT: dict[str, Any] = {"cores": 2, "started": 1e9}


def outcome(scale: float = 1.0, seed: int = 1) -> Outcome:
    draw = np.random.default_rng(seed)
    response = (draw.exponential(50_000 * scale, 5_000) + 10_000).astype(np.int64)
    histograms = {
        "response": Latencies.of(response),
        "service": Latencies.of(response - 5_000),
        "lateness": Latencies.of(response // 50),
    }
    timeline = {
        "second": [0.0, 1.0], "offered_per_s": [100.0, 110.0], "answered_per_s": [100.0, 90.0], "p50_us": [40.0, 50.0],
        "p99_us": [200.0, 300.0], "max_us": [900.0, 0.0],
    }  # fmt: skip
    return Outcome(
        PLAN, Latencies.of(response // 3), Measured(histograms, 2.0, 5_000, 5_000, 5_000, 0, 3, 0, True, timeline)
    )


def said(*outcomes: Outcome, **more: Any) -> dict[str, Any]:
    return {**result.document(TARGET, PLAN, outcomes, ENVIRONMENT, ["a warning"]), **more}


def test_the_folder_is_whole_and_reads_back(tmp_path):
    outcomes = [outcome(seed=1), outcome(seed=2)]
    result.write(tmp_path, said(*outcomes), result.histograms_of(outcomes))
    assert {p.name for p in tmp_path.iterdir()} == {
        "results.json",
        "latency.hlog",
        "latency.csv",
        "timeline.csv",
        "report.html",
    }
    again = result.read(tmp_path)
    assert again == json.loads(json.dumps(said(*outcomes)))
    merged = result.merged([tmp_path, tmp_path])
    assert merged["response"].count == 4 * 5_000
    assert merged["floor"].count == 20_000


def test_the_page_needs_nothing_and_escapes_everything():
    bad = outcome()
    bad.judgement.findings.append(Finding("overfill", 2, "<script>alert(1)</script>", ("K1",)))
    text = page(said(bad))
    assert "<script" not in text
    assert "&lt;b&gt;bold" in text
    assert not re.search(r"(?:src|href)\s*=|url\(|@import", text)
    assert "Answers were wrong" in text
    assert "floor" in text
    assert "a warning" in text
    assert text.count("<svg") == 3
    assert page(said(bad)) == text


def test_a_page_of_a_run_that_measured_nothing_says_so():
    assert "Nothing was measured" in page(said(Outcome(PLAN)))


def test_comparisons_tell_chance_from_difference():
    fast, slow = [said(*(outcome(scale, seed) for seed in range(3))) for scale in (1.0, 2.0)]
    found = compare.document({"before": fast, "after": slow})
    assert "response p50" in found["apart"]
    assert float(found["ratios"]["response p50"]) > 1.5
    assert page(found).count("<svg") == 1
    same = compare.document({"before": fast, "after": deepcopy(fast)})
    assert same["apart"] == []
    assert same["differences"] == []


def test_comparisons_say_what_was_not_the_same_and_what_single_runs_cannot_say():
    one, two = said(outcome()), said(outcome(), environment={"cores": 2, "kernel": "other"})
    two["plan"]["sessions"] = 9
    found = compare.document({"a": one, "b": two})
    assert "single runs" in found["words"]
    assert any("sessions" in text for text in found["differences"])
    assert any("kernel" in text for text in found["differences"])


def test_the_commands_over_folders(tmp_path, capsys):
    for name, scale in (("a", 1.0), ("b", 1.3)):
        outcomes = [outcome(scale, 1), outcome(scale, 2)]
        result.write(tmp_path / name, said(*outcomes), result.histograms_of(outcomes))
    assert main(["load", "compare", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "c")]) == 0
    assert (tmp_path / "c" / "comparison.csv").is_file()
    assert main(["load", "report", str(tmp_path / "c")]) == 0
    assert main(["load", "report", str(tmp_path / "a")]) == 0
    assert main(["load", "report", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    assert "20000" in capsys.readouterr().out.replace(",", "")
    (tmp_path / "a" / "results.json").write_text("{}", encoding="utf-8")
    assert main(["load", "report", str(tmp_path / "a")]) == 2


def test_a_search_for_the_knee_has_a_page():
    steps = [Step(rate, [Trial(rate, rate, 50_000, p99, 1_000, why)]) for rate, p99, why in
             ((1_000.0, 100_000, ""), (2_000.0, 90_000_000, "p99 90 ms"))]  # fmt: skip
    found = knee_document(TARGET, PLAN, slo_of("p99<10ms"), [Search(steps, 1_000, 2_000)] * 2, 5_000, ENVIRONMENT, [])
    assert found["knee"]["found"]
    text = page(found)
    assert "knee 1,000/s" in text
    assert "2 searches" in text


def test_a_search_that_found_no_knee_is_not_kept_quiet_about():
    steps = [Step(1_000.0, [Trial(1_000.0, 1_000.0, 50_000, 100_000, 1_000, "")])]
    both = [Search(steps, 1_000, 2_000), Search(steps, 3_000, 3_100, "the generator was late")]
    found = knee_document(TARGET, PLAN, slo_of("p99<10ms"), both, 5_000, ENVIRONMENT, [])
    assert "1 of 2 searches found none, where 3,000/s held: the generator was late" in found["knee"]["words"]


def test_the_environment_says_what_spoils_numbers():
    before = Before()
    sum(n * n for n in range(200_000))
    environment, warnings = before.document()
    assert environment["cores"] >= 1
    assert 0 <= environment["steal_share"] <= 1
    assert 0 <= environment["others_share"] <= 1
    assert all(isinstance(text, str) for text in warnings)


def test_another_version_is_refused(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps({"version": 99, "kind": "load"}), encoding="utf-8")
    with pytest.raises(result.ResultError, match="another version"):
        result.read(tmp_path)
