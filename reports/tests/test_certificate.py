"""Signing, and the promise that a change anywhere is found and named."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matchmark.reports.certificate import FORMAT, sign, verify
from matchmark.reports.keys import KeyFileError, key_id, own_key_path, read_public, signing_key
from matchmark.reports.records import COVERED, Results
from matchmark.reports.writer import ReportError, Written, write

Sample = Callable[[str], Results]


def pem(key: Any, password: bytes | None = None) -> bytes:
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    data: bytes = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)
    return data


def problems(written: Written, **options: Any) -> list[str]:
    return verify(written.certificate, **options).problems


def document(written: Written) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(written.certificate.read_text())
    return loaded


def test_a_fresh_run_folder_verifies(folder: Written) -> None:
    outcome = verify(folder.certificate)
    assert outcome.valid
    assert sorted(outcome.verified) == sorted(COVERED)
    assert outcome.remarks == []


@pytest.mark.parametrize("name", COVERED)
def test_a_changed_file_is_named(folder: Written, name: str) -> None:
    path = folder.certificate.parent / name
    path.write_bytes(path.read_bytes() + b" ")
    assert problems(folder) == [f"{name} was changed after the certificate was signed"]


@pytest.mark.parametrize("name", COVERED)
def test_a_missing_file_is_named(folder: Written, name: str) -> None:
    (folder.certificate.parent / name).unlink()
    assert problems(folder) == [f"{name} is not there, so it could not be compared"]
    alone = verify(folder.certificate, need_files=False)
    assert alone.valid
    assert alone.remarks == [f"{name} is not there, so it could not be compared"]


def test_a_file_that_came_later_is_remarked(sample: Sample, tmp_path: Path) -> None:
    written = write(sample("pass"), tmp_path, say=lambda text: None)
    (tmp_path / "junit.xml").write_text("<testsuites/>")
    assert verify(written.certificate).remarks == ["junit.xml is not covered by the signature"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_byte_of_the_claims_can_be_changed(folder: Written, data: st.DataObject) -> None:
    original = document(folder)
    key = data.draw(st.sampled_from(sorted(original["claims"])))
    changed = json.loads(json.dumps(original))
    changed["claims"][key] = data.draw(
        st.sampled_from([None, "x", 0, [], {}]).filter(lambda v: v != changed["claims"][key])
    )
    copy = folder.certificate.with_name("copy.json")
    copy.write_text(json.dumps(changed))
    (problem,) = verify(copy).problems
    assert "changed after it was signed" in problem


def test_reformatting_the_certificate_changes_nothing(folder: Written) -> None:
    folder.certificate.write_text(json.dumps(document(folder), indent=7, sort_keys=True))
    assert problems(folder) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(format="x"), "format: expected"),
        (lambda d: d.pop("signature"), "signature: is missing"),
        (lambda d: d["signature"].update(algorithm="none"), "signature.algorithm: expected 'Ed25519'"),
        (lambda d: d["signature"].update(value=""), "signature.value: expected 64 bytes"),
        (lambda d: d["signature"].update(public_key="AAAA"), "signature.public_key: expected 32 bytes"),
        (lambda d: d["signature"].update(value="A" * 86 + "=="), "signature: does not fit the claims"),
        (lambda d: d["claims"].update(duration=1.5), "signature: does not fit the claims"),
        (lambda d: d.update(claims=[]), "claims: expected an object"),
    ],
)
def test_a_malformed_certificate_is_refused_in_words(
    folder: Written, change: Callable[[dict[str, Any]], Any], words: str
) -> None:
    broken = document(folder)
    change(broken)
    folder.certificate.write_text(json.dumps(broken))
    assert problems(folder)[0].startswith(words)


def test_a_certificate_that_is_no_json_is_refused(folder: Written) -> None:
    folder.certificate.write_bytes(b"\x00")
    assert "not a JSON document" in problems(folder)[0]


def resigned(written: Written, change: Callable[[dict[str, Any]], Any]) -> None:
    """Someone who has the key signs other claims."""
    claims = document(written)["claims"]
    change(claims)
    written.certificate.write_text(json.dumps(sign(claims, written.key)))


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "certificate.json"])
def test_no_file_outside_the_run_folder_is_read(folder: Written, name: str) -> None:
    resigned(folder, lambda claims: claims["files"].update({name: {"sha256": "0" * 64, "bytes": 1}}))
    assert "is not a file of a run folder" in problems(folder)[0]


def test_a_certificate_without_results_certifies_nothing(folder: Written) -> None:
    resigned(folder, lambda claims: claims["files"].pop("results.json"))
    assert "results.json is missing" in problems(folder)[0]


def test_claims_that_contradict_the_results_are_found(folder: Written) -> None:
    resigned(folder, lambda claims: claims["levels"].update(matching="CERTIFIED"))
    assert problems(folder) == ["claims.levels contradicts results.json"]


def test_claims_that_name_another_key_are_found(folder: Written) -> None:
    resigned(folder, lambda claims: claims["signer"].update(key_id="0000-0000-0000-0000"))
    assert problems(folder) == ["claims.signer: names another key than the one that signed"]


def test_the_trusted_key_must_be_the_one_that_signed(folder: Written) -> None:
    own = verify(folder.certificate).public_key
    assert problems(folder, trusted=own) == []
    (problem,) = problems(folder, trusted=bytes(32))
    assert key_id(bytes(32)) in problem
    assert key_id(own) in problem


def test_anyone_can_check_it_with_json_and_ed25519(folder: Written) -> None:
    """The recipe of the format, without our code."""
    import base64

    doc = document(folder)
    canonical = json.dumps(doc["claims"], sort_keys=True, separators=(",", ":")).encode()
    key = ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(doc["signature"]["public_key"]))
    key.verify(base64.b64decode(doc["signature"]["value"]), FORMAT.encode() + b"\n" + canonical)


def test_the_first_signing_makes_a_private_key_and_says_so(sample: Sample, tmp_path: Path) -> None:
    said: list[str] = []
    first = write(sample("pass"), tmp_path / "a", say=said.append)
    second = write(sample("pass"), tmp_path / "b", say=said.append)
    assert len(said) == 1
    assert str(own_key_path()) in said[0]
    assert stat.S_IMODE(own_key_path().stat().st_mode) == 0o600
    assert first.key.signer == second.key.signer
    assert document(first)["claims"]["signer"]["origin"] == "made here"
    assert [p.name for p in own_key_path().parent.iterdir()] == ["signing-key.pem"]


def test_a_given_key_is_used_and_named_as_given(
    sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(pem(ed25519.Ed25519PrivateKey.generate()))
    by_flag = write(sample("pass"), tmp_path / "a", signing_key_file=path)
    monkeypatch.setenv("MATCHMARK_SIGNING_KEY", str(path))
    by_variable = write(sample("pass"), tmp_path / "b")
    assert by_flag.key.signer == by_variable.key.signer
    assert by_flag.key.signer.origin == "given"
    assert not own_key_path().exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot read the key file"),
        (b"hello", "not a private key in PEM form"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "not an Ed25519 key"),
        (pem(ed25519.Ed25519PrivateKey.generate(), b"pw"), "encrypted"),
    ],
)
def test_a_key_file_that_cannot_sign_is_refused_by_name(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "key.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(KeyFileError, match=words) as caught:
        signing_key(path)
    assert str(path) in str(caught.value)


def test_a_home_that_takes_no_key_is_an_error_with_a_way_out(own_home: Path) -> None:
    (own_home / ".config").write_text("a file, not a folder")
    with pytest.raises(KeyFileError, match="--signing-key"):
        signing_key()


def test_a_public_key_is_read_as_pem_or_base64(tmp_path: Path, folder: Written) -> None:
    raw = verify(folder.certificate).public_key
    public = folder.key.private.public_key()
    text = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "pem").write_bytes(text)
    (tmp_path / "b64").write_text(folder.key.signer.public_key + "\n")
    assert read_public(tmp_path / "pem") == read_public(tmp_path / "b64") == raw


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pem(ed25519.Ed25519PrivateKey.generate()), "this is a private key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "not a public key in PEM form"),
        (b"AAAA", "expected PEM, or 32 bytes in base64"),
    ],
)
def test_what_is_no_public_key_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(KeyFileError, match=words):
        read_public(tmp_path / "key")


def test_secrets_are_in_no_file_written(sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENUE_TOKEN", "hunter2-hunter2")
    results = sample("fail")
    results.invocation += " hunter2-hunter2"
    results.clauses[0].reason = "said hunter2-hunter2"
    write(results, tmp_path, [{"command": {"op": "new", "cl": "hunter2-hunter2"}}], say=lambda text: None)
    for path in tmp_path.iterdir():
        assert "hunter2-hunter2" not in path.read_text(), path.name


def test_history_may_be_handed_over_as_a_file(sample: Sample, tmp_path: Path) -> None:
    source = tmp_path / "elsewhere.jsonl"
    source.write_text("{}\n")
    written = write(sample("pass"), tmp_path / "run", source, say=lambda text: None)
    assert (tmp_path / "run" / "history.jsonl").read_text() == "{}\n"
    assert "history.jsonl" in verify(written.certificate).verified


def test_allure_results_are_listed_and_not_signed(sample: Sample, tmp_path: Path) -> None:
    (tmp_path / "allure-results").mkdir()
    (tmp_path / "allure-results" / "x-result.json").write_text("{}")
    written = write(sample("pass"), tmp_path, say=lambda text: None)
    assert "allure-results/" in written.html.read_text()
    assert "allure-results" not in written.certificate.read_text()


def test_a_folder_that_cannot_be_written_is_named(sample: Sample, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(ReportError, match="--out"):
        write(sample("pass"), tmp_path / "out", say=lambda text: None)


def test_a_failed_write_leaves_no_old_certificate_behind(folder: Written, sample: Sample) -> None:
    (folder.html).unlink()
    folder.html.mkdir()
    with pytest.raises(ReportError):
        write(sample("pass"), folder.html.parent, say=lambda text: None)
    assert not folder.certificate.exists()
    assert not list(folder.html.parent.glob(".*"))
