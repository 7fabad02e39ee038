"""What `matchmark clauses`, `matchmark explain` and docs/spec make of the register."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from matchmark.conformance.clauses import CAPABILITIES, CORE_CAPABILITIES, RULINGS, Clause, load
from matchmark.conformance.commands import clauses as clauses_command
from matchmark.conformance.commands import explain as explain_command
from matchmark.conformance.commands import spec_docs

REGISTER = load()


def run_clauses(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    parser = argparse.ArgumentParser()
    clauses_command.add_arguments(parser)
    assert clauses_command.run(parser.parse_args(arguments)) == 0
    return capsys.readouterr().out


def test_clauses_lists_every_clause_and_counts_them(capsys: pytest.CaptureFixture[str]) -> None:
    out = run_clauses(capsys)
    assert re.findall(r"^  (D\S+)", out, re.MULTILINE) == [clause.id for clause in REGISTER]
    assert out.splitlines()[-1].startswith(f"{len(REGISTER)} clauses, 118 of them numbered steps: ")


def test_clauses_filters_add_up(capsys: pytest.CaptureFixture[str]) -> None:
    out = run_clauses(capsys, "--level", "matching", "--diagram", "d8")
    assert re.findall(r"^  (D\S+)", out, re.MULTILINE) == [
        clause.id for clause in REGISTER.for_diagram("D08") if "matching" in clause.levels
    ]
    assert out.splitlines()[-1].startswith(
        f"12 of {len(REGISTER)} clauses, 8 of them numbered steps: 12 MUST, 0 SHOULD; 0 unt"
    )
    assert run_clauses(capsys, "--level", "matching", "--untested").startswith(f"0 of {len(REGISTER)} clauses")


def test_clauses_prints_every_field_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    printed = json.loads(run_clauses(capsys, "--json", "--diagram", "4"))
    assert (printed["total"], printed["selected"]) == (len(REGISTER), 27)
    as_read = [Clause(**c | {"needs": tuple(c["needs"]), "levels": tuple(c["levels"])}) for c in printed["clauses"]]
    assert as_read == REGISTER.for_diagram("D04")


def test_clauses_lists_the_capabilities(capsys: pytest.CaptureFixture[str]) -> None:
    lines = run_clauses(capsys, "--capabilities").splitlines()
    assert [line.split()[0] for line in lines] == list(CAPABILITIES)
    assert [line.split()[0] for line in lines if "required for level matching" in line] == list(CORE_CAPABILITIES)


@pytest.mark.parametrize("width", [20, 60, 80, 99, 100, 200])
def test_the_table_fits_the_terminal_and_loses_no_word(width: int) -> None:
    lines = clauses_command.table_lines(REGISTER, list(REGISTER), width)
    longest = max(len(word) for clause in REGISTER for word in f"{clause.text} {clause.untested}".split())
    assert max(map(len, lines)) <= max(width, 50, 18 + longest)
    printed = " ".join(" ".join(lines).split())
    assert all(clause.text in printed for clause in REGISTER)


@pytest.mark.parametrize(
    "arguments", [["--level", "mathcing"], ["--diagram", "D13"], ["--diagram", "0"], ["--diagram", "²"]]
)
def test_clauses_refuses_what_does_not_exist(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run_clauses(capsys, *arguments)
    assert caught.value.code == 2


CATALOGUE = explain_command.Catalogue(
    {"D04.E1": ["checks/cancel.py: leaves_only"]}, {"D04.E1": ["cancel_tells_original_quantity"]}
)


def run_explain(capsys: pytest.CaptureFixture[str], *ids: str) -> tuple[int, str, str]:
    parser = argparse.ArgumentParser()
    explain_command.add_arguments(parser)
    code = explain_command.run(parser.parse_args(ids), lambda: CATALOGUE)
    captured = capsys.readouterr()
    return code, " ".join(captured.out.split()), captured.err


def test_explain_tells_all_about_a_clause(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run_explain(capsys, "D04.E1")
    clause = REGISTER["D04.E1"]
    assert code == 0
    for part in (
        clause.text,
        clause.why,
        "matching, order-entry",
        CAPABILITIES["cancel"],
        RULINGS["R13"].ruling,
        RULINGS["R13"].says,
    ):
        assert part in out
    assert "checks/cancel.py: leaves_only" in out
    assert "cancel_tells_original_quantity" in out
    assert "NOT_APPLICABLE: the target does not declare all of limit, cancel" in out


def test_explain_says_why_a_clause_is_untested_and_what_its_budget_counts_from(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, _ = run_explain(capsys, "D10.P1")
    assert code == 0
    assert "none: latency stage: measured and printed, judged only by a timing grade" in out
    assert "UNTESTED: " in out
    assert "PASS" not in out
    assert "5 µs from time zero, which is the engine's decision of the order" in out


def test_explain_does_not_hide_a_clause_that_has_neither_check_nor_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert "this is a defect of matchmark" in run_explain(capsys, "D01.X1")[1]


def test_explain_tells_a_ruling_and_the_clauses_under_it(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run_explain(capsys, "r1")
    assert code == 0
    assert RULINGS["R1"].ruling in out
    assert "D03.4, D03.5, D03.6, D03.7, D03.8, D03.9, D03.N2" in out


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["d4.e1"], "no clause 'd4.e1' in the register; did you mean D04.E1?"),
        (["D04.E1", "D99.1"], "no clause 'D99.1' in the register"),
        (["R18"], "no ruling 'R18'; there are R1 to R17"),
        (["R0"], "no ruling 'R0'"),
        (["D04"], "'D04' is a diagram; `matchmark clauses --diagram D04` lists its clauses"),
        ([""], "no clause ''"),
    ],
)
def test_explain_of_an_unknown_id_is_a_usage_error(
    ids: Sequence[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run_explain(capsys, *ids)
    assert (code, out) == (2, "")
    assert err.startswith("matchmark explain: ")
    assert message in err


# -- docs/spec --


def test_docs_spec_is_what_the_register_generates(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(__file__).resolve().parents[2] / "docs" / "spec"
    assert spec_docs.main(["--check", "--out", str(folder)]) == 0, capsys.readouterr().err


def test_the_check_finds_pages_that_are_missing_stale_or_left_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "spec"
    arguments = ["--out", str(folder)]
    assert spec_docs.main(arguments) == 0
    assert spec_docs.main([*arguments, "--check"]) == 0
    (folder / "d01.md").unlink()
    (folder / "d02.md").write_text("edited by hand", encoding="utf-8")
    (folder / "d13.md").write_text("old", encoding="utf-8")
    assert spec_docs.main([*arguments, "--check"]) == 1
    err = capsys.readouterr().err
    assert "d01.md is missing" in err
    assert "d02.md is stale" in err
    assert "d13.md is left over" in err
    assert spec_docs.main(arguments) == 0
    assert spec_docs.main([*arguments, "--check"]) == 0


def test_a_wrong_folder_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        spec_docs.main(["--out", str(tmp_path / "nowhere" / "spec")])
    assert caught.value.code == 2
    assert "is not a folder; run this at the top of the checkout" in capsys.readouterr().err


def test_every_link_in_docs_spec_leads_somewhere() -> None:
    made = spec_docs.pages(REGISTER)
    anchors = {f"{name}#{anchor}" for name, text in made.items() for anchor in re.findall(r'<a id="([^"]+)">', text)}
    anchors |= {f"rulings.md#{ruling.lower()}" for ruling in RULINGS}
    links = {link for text in made.values() for link in re.findall(r"\]\(([^)]+)\)", text)}
    assert links <= anchors | set(made)
    assert len(made) == 14


def test_every_clause_ruling_and_capability_is_in_docs_spec() -> None:
    made = spec_docs.pages(REGISTER)
    assert all(clause.text in made[f"{clause.diagram.lower()}.md"] for clause in REGISTER)
    assert all(ruling.ruling in made["rulings.md"] for ruling in RULINGS.values())
    assert all(meaning in made["README.md"] for meaning in CAPABILITIES.values())
