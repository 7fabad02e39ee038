"""The run folder's last files: results.json, certificate.html and the signed certificate.json."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from matchmark.reports.certificate import NAME, claims_of, file_digest, sign
from matchmark.reports.describe import describe_from_register
from matchmark.reports.document import readable
from matchmark.reports.html import render
from matchmark.reports.keys import SigningKey, signing_key
from matchmark.reports.records import LOAD_RESULTS, FileDigest, Results
from matchmark.reports.redact import Redactor
from matchmark.reports.results import from_json, to_json

ALLURE = "allure-results"


class ReportError(Exception):
    """The run folder cannot be written. The text names the path and what to do."""


@dataclass(frozen=True)
class Written:
    results: Path
    html: Path
    certificate: Path
    key: SigningKey


def write(
    results: Results,
    out: Path,
    history: Path | Iterable[Mapping[str, Any]] | None = None,
    *,
    signing_key_file: Path | None = None,
    redactor: Redactor | None = None,
    describe: Callable[[Results], Results] = describe_from_register,
    say: Callable[[str], None] | None = None,
) -> Written:
    """Write results.json, certificate.html and certificate.json into `out`, each whole or not at all.

    history.jsonl, junit.xml and allure-results/ are the run's own: what is there of them is listed, and the files signed.
    `history` may hand over the exchanges instead, as JSON objects, or the path of a file to copy. `say` is told when a
    signing key was made (default: stderr). ReportError or KeyFileError say what stands in the way.
    """
    redactor = redactor or Redactor.from_environment()
    key = signing_key(signing_key_file)
    if key.new:
        (say or _to_stderr)(
            f"made a signing key for this user: {key.path} (key {key.signer.key_id}); --signing-key FILE signs with another"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / NAME).unlink(missing_ok=True)  # An old certificate must not stand beside new results.
        _take_history(history, out, redactor)
        clean = _clean(results, describe, redactor)
        clean = replace(clean, signer=key.signer, files=run_files(out))
        written = Written(out / "results.json", out / "certificate.html", out / NAME, key)
        _put(written.results, readable(to_json(clean)))
        _put(written.html, render(clean))
        _put(written.certificate, readable(sign(claims_of(clean, out), key)))
    except OSError as error:
        where = error.filename or out
        raise ReportError(f"{where}: cannot write it ({error.strerror}); choose another folder with --out") from None
    return written


def _clean(results: Results, describe: Callable[[Results], Results], redactor: Redactor) -> Results:
    try:
        return from_json(redactor.value(to_json(describe(results))))
    except ValueError as error:  # ResultsError, or clauses that the register does not have
        raise ReportError(f"the results contradict themselves, which is a fault of matchmark: {error}") from error


def run_files(out: Path) -> list[FileDigest]:
    """What the run itself left in the folder. The Allure folder is named only: Allure's own tools may add to it."""
    files = [file_digest(out, name) for name in ("history.jsonl", "junit.xml", LOAD_RESULTS) if (out / name).is_file()]
    if (out / ALLURE).is_dir():
        size = sum(path.stat().st_size for path in (out / ALLURE).rglob("*") if path.is_file())
        files.append(FileDigest(f"{ALLURE}/", "", size))
    return files


def _take_history(history: Path | Iterable[Mapping[str, Any]] | None, out: Path, redactor: Redactor) -> None:
    path = out / "history.jsonl"
    if history is None:
        return
    if isinstance(history, Path):
        if history.resolve() != path.resolve():
            shutil.copyfile(history, path)
        return
    import json

    with path.open("w", encoding="ascii") as stream:
        for exchange in history:
            stream.write(json.dumps(redactor.value(exchange), separators=(",", ":")) + "\n")


def _put(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8", newline="\n")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr)
