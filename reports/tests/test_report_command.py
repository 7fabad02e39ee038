"""`matchmark report`: exit codes and words."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from matchmark.conformance.commands import report
from matchmark.reports.document import parse
from matchmark.reports.html import render
from matchmark.reports.records import Results
from matchmark.reports.results import from_json
from matchmark.reports.writer import Written, write

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: object) -> tuple[int, str, str]:
        parser = argparse.ArgumentParser()
        report.add_arguments(parser)
        code = report.run(parser.parse_args([str(word) for word in words]))
        out, err = capsys.readouterr()
        return code, " ".join(out.split()), " ".join(err.split())

    return call


def test_a_valid_folder_ends_with_0_and_a_summary(run: Run, folder: Written) -> None:
    code, out, err = run(folder.certificate.parent)
    assert (code, err) == (0, "")
    assert "Conformance report: Liquibook 2.0.1" in out
    assert "matching Not certified 2 of " in out
    assert "MUST clauses failed" in out
    assert "D04.E1 fail The cancel of a part-filled order gave back" in out
    assert "valid, by this user's own key" in out
    assert "unchanged results.json, history.jsonl, junit.xml, certificate.html" in out


def test_a_stranger_s_own_key_is_named_as_such(run: Run, folder: Written, own_home: Path) -> None:
    shutil.rmtree(own_home / ".config")
    code, out, _ = run(folder.certificate.parent)
    assert code == 0
    assert "which matchmark made on the signer's machine" in out
    assert "give it with --public-key" in out


def test_a_changed_file_ends_with_1_and_its_name_and_no_summary(run: Run, folder: Written) -> None:
    with (folder.certificate.parent / "history.jsonl").open("a") as stream:
        stream.write("{}\n")
    code, out, err = run(folder.certificate.parent)
    assert code == 1
    assert "history.jsonl was changed" in out
    assert "matching" not in out
    assert "does not verify" in err


def test_the_certificate_alone_says_what_was_not_compared(run: Run, folder: Written, tmp_path: Path) -> None:
    alone = tmp_path / "mail" / "certificate.json"
    alone.parent.mkdir()
    shutil.copy(folder.certificate, alone)
    code, out, _ = run(alone)
    assert code == 0
    assert "results.json is not there" in out


def test_the_wrong_public_key_ends_with_1(run: Run, folder: Written, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("A" * 43 + "=")
    assert run(folder.certificate, "--public-key", tmp_path / "other")[0] == 1
    (tmp_path / "right").write_text(folder.key.signer.public_key)
    code, out, _ = run(folder.certificate, "--public-key", tmp_path / "right")
    assert code == 0
    assert "valid, by the given public key" in out


def test_usage_ends_with_2(run: Run, folder: Written, tmp_path: Path) -> None:
    assert run(tmp_path / "nowhere")[0] == 2
    assert run(folder.certificate, "--public-key", tmp_path / "nowhere")[0] == 2


def test_nothing_to_verify_ends_with_3(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, _, err = run(tmp_path / "empty")
    assert code == 3
    assert "holds no certificate.json" in err
    assert run(tmp_path / "empty", "--html")[0] == 3


def test_a_hostile_folder_does_not_reach_the_terminal(
    run: Run, sample: Callable[[str], Results], tmp_path: Path
) -> None:
    results = sample("hostile")
    results.target.name = "\x1b[2Jx\u202e"
    write(results, tmp_path, describe=lambda r: r, say=lambda text: None)
    code, out, _ = run(tmp_path)
    assert code == 0
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "<U+001B>" in out


def test_the_page_can_be_drawn_again_elsewhere(run: Run, folder: Written, tmp_path: Path) -> None:
    code, out, _ = run(folder.certificate.parent, "--html", tmp_path / "again.html")
    assert (code, out) == (0, str(tmp_path / "again.html"))
    assert (tmp_path / "again.html").read_bytes() == folder.html.read_bytes()
    results = from_json(parse(folder.results.read_bytes(), "results.json"))
    assert folder.html.read_text() == render(results)


def test_a_signed_page_is_replaced_only_by_its_equal(run: Run, folder: Written) -> None:
    code, out, _ = run(folder.certificate.parent, "--html")
    assert code == 0
    assert "as signed" in out
    folder.html.write_text("older")
    code, _, err = run(folder.certificate.parent, "--html")
    assert code == 1
    assert "--html FILE" in err
    assert folder.html.read_text() == "older"


def test_an_unsigned_folder_gets_its_page(run: Run, folder: Written) -> None:
    folder.certificate.unlink()
    folder.html.unlink()
    assert run(folder.certificate.parent, "--html")[0] == 0
    assert folder.html.exists()


def test_broken_results_are_refused_in_words(run: Run, folder: Written, tmp_path: Path) -> None:
    folder.results.write_text("{}")
    code, _, err = run(folder.certificate.parent, "--html", tmp_path / "x.html")
    assert code == 1
    assert "results.json: target: is missing" in err
